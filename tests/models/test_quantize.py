"""quantize_: layers replaced in place, what they lose, and their state on disk."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk import artifact
from metabonk.config import ModelConfig
from metabonk.models.policy import build
from metabonk.models.quantize import QLinear, quantize_
from metabonk.ops.qweight import FORMATS, WeightFormat
from metabonk.spaces import ActionLayout

# Most that the outputs of `network` may lose, relatively, beside what was seen.
LOSS = {
    "int8": 0.015,  # seen 0.010
    "int4": 0.16,  # seen 0.108
    "bf16": 0.006,  # seen 0.004
    "fp8": 0.06,  # seen 0.040
    "nvfp4": 0.24,  # seen 0.159
    "mxfp8": 0.06,  # seen 0.040
}


class Network(nn.Module):
    """Layers at several depths, one of them under two names, one without a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.trunk = nn.Sequential(nn.Linear(40, 64), nn.Tanh(), nn.Linear(64, 64, bias=False))
        self.heads = nn.ModuleDict({"act": nn.Linear(64, 9), "value": nn.Linear(64, 1)})
        self.again = self.trunk[2]

    def forward(self, x: Tensor) -> Tensor:
        h = self.again(self.trunk(x).tanh())
        return torch.cat([self.heads["act"](h), self.heads["value"](h)], -1)


@pytest.fixture
def network() -> Network:
    return Network().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(50, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("format", FORMATS)
def test_every_linear_layer_is_replaced_and_loses_little(
    network: Network, x: Tensor, format: WeightFormat
) -> None:
    exact = network(x).detach()
    report = quantize_(network, format, example=[x])
    names = [layer.name for layer in report.layers]
    assert names == ["trunk.0", "trunk.2", "heads.act", "heads.value", "again"]
    assert not any(type(m) is nn.Linear for m in network.modules())
    assert network.again is network.trunk[2]
    found = network(x)
    relative = float((found - exact).norm() / exact.norm())
    assert 0.0 < relative < LOSS[format]
    for layer in report.layers:
        assert layer.output is not None
        assert 0.0 < layer.output < LOSS[format]
        assert 0.0 < layer.loss.relative < LOSS[format]
    assert report.bytes_after < report.bytes_before
    assert "trunk.0" in str(report)
    assert str(report).count("\n") == len(names)


@pytest.mark.parametrize("format", FORMATS)
def test_its_state_comes_back_through_safetensors_bit_for_bit(
    network: Network, x: Tensor, format: WeightFormat
) -> None:
    quantize_(network, format)
    data = safetensors.torch.save({k: v.clone() for k, v in network.state_dict().items()})
    other = Network().eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    quantize_(other, format)
    assert not torch.equal(other(x), network(x))
    other.load_state_dict(safetensors.torch.load(data))
    assert torch.equal(other(x), network(x))
    again = other.state_dict()
    for key, tensor in network.state_dict().items():
        assert torch.equal(again[key], tensor), key


@pytest.mark.parametrize("format", FORMATS)
def test_its_state_goes_through_numpy_and_artifacts(
    network: Network, x: Tensor, format: WeightFormat, tmp_path: Path
) -> None:
    quantize_(network, format)
    arrays: Mapping[str, Any] = {k: v.numpy() for k, v in network.state_dict().items()}
    written = artifact.write(
        tmp_path / "net", kind="test", seed=0, files={"net.safetensors": arrays}
    )
    back = artifact.load(written.path).tensors("net.safetensors")
    other = Network().eval()
    quantize_(other, format)
    other.load_state_dict({k: torch.from_numpy(v) for k, v in back.items()})
    assert torch.equal(other(x), network(x))
    bits = 8 * sum(v.nbytes for k, v in back.items() if "bias" not in k and "again" not in k)
    assert bits / (64 * 40 + 64 * 64 + 64 * 10) < 17


def test_states_of_other_formats_and_shapes_are_refused(network: Network) -> None:
    states = {}
    for format in FORMATS:
        copied = copy.deepcopy(network)
        quantize_(copied, format)
        states[format] = copied.state_dict()
    for format in FORMATS:
        target = copy.deepcopy(network)
        quantize_(target, format)
        before = target.trunk[0].weight
        for other, state in states.items():
            if other != format:
                with pytest.raises(RuntimeError, match=r"trunk\.0"):
                    target.load_state_dict(state)
        with pytest.raises(RuntimeError, match=r"trunk\.0"):
            target.load_state_dict(network.state_dict())
        assert torch.equal(target.trunk[0].weight, before)
    small = nn.Sequential(nn.Linear(40, 63))
    quantize_(small, "int8")
    large = nn.Sequential(nn.Linear(40, 64))
    quantize_(large, "int8")
    with pytest.raises(RuntimeError, match=r"63 outputs, not 64|size mismatch"):
        large.load_state_dict(small.state_dict())
    with pytest.raises(RuntimeError, match="Missing"):
        large.load_state_dict({"0.bias": torch.zeros(64)})


@pytest.mark.parametrize("name", ["codes", "scales"])
def test_a_state_that_holds_nan_is_refused(name: str) -> None:
    layer = nn.Sequential(nn.Linear(40, 8))
    quantize_(layer, "fp8" if name == "codes" else "mxfp8")
    state = {k: v.clone() for k, v in layer.state_dict().items()}
    if name == "codes":
        state["0.weight"][2, 3] = 0x7F
    else:
        state["0.scales"][2, 1] = 0xFF
    with pytest.raises(RuntimeError, match=f"{name}: must be finite"):
        layer.load_state_dict(state)


def test_filters_choose_layers(network: Network) -> None:
    report = quantize_(network, "int8", only=["trunk.*"], skip=["trunk.2"])
    assert [layer.name for layer in report.layers] == ["trunk.0"]
    assert set(report.skipped) == {"trunk.2", "heads.act", "heads.value", "again"}
    assert isinstance(network.trunk[0], QLinear)
    assert type(network.heads["act"]) is nn.Linear
    report = quantize_(network, "bf16", only=lambda name, layer: layer.out_features == 9)
    assert [layer.name for layer in report.layers] == ["heads.act"]
    assert network.heads["act"].format == "bf16"
    with pytest.raises(ValueError, match=r"no layer to replace; there are trunk\.2"):
        quantize_(network, "int8", only=["nothing"])


def test_nothing_is_replaced_where_one_cannot_be(network: Network) -> None:
    with torch.no_grad():
        network.heads["value"].weight[0, 5] = float("nan")
    with pytest.raises(ValueError, match=r"heads\.value: weight: must be finite"):
        quantize_(network, "int8")
    assert type(network.trunk[0]) is nn.Linear
    with pytest.raises(ValueError, match="itself a Linear"):
        quantize_(nn.Linear(3, 3), "int8")
    with pytest.raises(ValueError, match="'int7'; there are int8"):
        quantize_(network, "int7")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"trunk\.0: .*weight is float64"):
        quantize_(Network().double(), "int8")


@pytest.mark.parametrize("format", ["int8", "bf16"])
def test_torchs_own_networks(format: WeightFormat) -> None:
    """An encoder of transformers, whose fast path reads weights past the layers, and a projection
    that is a subclass."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    network = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(5, 7, 32)
    exact = network(x).detach()
    report = quantize_(network, format)
    assert [r.name for r in report.layers] == [
        f"layers.{i}.linear{k}" for i in (0, 1) for k in (1, 2)
    ]
    for grad in (True, False):  # the fast path runs without gradients only
        with torch.set_grad_enabled(grad):
            found = network(x).detach()
        assert float((found - exact).norm() / exact.norm()) < LOSS[format]
    with pytest.raises(ValueError, match="no layer to replace; there are none"):
        quantize_(nn.LSTM(3, 4), format)


def test_a_layer_whose_weight_is_tied_leaves_the_other_as_it_was() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 16)
            self.out = nn.Linear(16, 50, bias=False)
            self.out.weight = self.embedding.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.embedding(tokens))

    torch.manual_seed(0)
    network, tokens = Tied(), torch.arange(50)
    exact, table = network(tokens).detach(), network.embedding.weight.detach().clone()
    quantize_(network, "int8")
    assert torch.equal(network.embedding.weight, table)
    found = network(tokens).detach()
    assert float((found - exact).norm() / exact.norm()) < LOSS["int8"]


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
@pytest.mark.parametrize("format", ["int8", "bf16"])
def test_a_policy_decides_nearly_as_before(name: str, format: WeightFormat) -> None:
    """Also where weights are read past their layers, as the cell of the pilot does."""
    space = gs.Dict(
        state=gs.Box(-1, 1, (9,), np.float32),
        things=gs.Box(-1, 1, (6, 4), np.float32),
        things_mask=gs.Box(0, 1, (6,), np.uint8),
    )
    layout = ActionLayout.of(gs.Discrete(9))
    policy = build(space, layout, ModelConfig(name=name, hidden=32), seed=0)
    generator = torch.Generator().manual_seed(0)
    given = {
        "state": torch.rand(64, 9, generator=generator) * 2 - 1,
        "things": torch.rand(64, 6, 4, generator=generator) * 2 - 1,
        "things_mask": (torch.rand(64, 6, generator=generator) > 0.5).byte(),
    }

    def decide() -> Tensor:
        with torch.no_grad():
            out = policy.step(given, policy.initial_state(64), torch.zeros(64, dtype=torch.bool))
        return torch.cat([out.parameters, out.value[:, None]], -1)

    exact = decide()
    report = quantize_(policy, format)
    assert not any(type(m) is nn.Linear for m in policy.modules())
    assert ("rnn_cell.heads" in [r.name for r in report.layers]) == (name == "pilot")
    found = decide()
    assert 0.0 < float((found - exact).norm() / exact.norm()) < 2 * LOSS[format]


def test_subclasses_stay() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2.0 * super().forward(x)

    network = nn.Sequential(Scaled(4, 4), nn.Linear(4, 4))
    report = quantize_(network, "int8")
    assert [layer.name for layer in report.layers] == ["1"]
    assert type(network[0]) is Scaled


@pytest.mark.parametrize("format", FORMATS)
def test_a_layer_is_the_linear_layer_of_its_own_weights(format: WeightFormat) -> None:
    layer = QLinear.of(nn.Linear(37, 21), format)
    x = torch.randn(6, 37, generator=torch.Generator().manual_seed(1))
    assert layer.bias is not None
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, atol=0.05, rtol=0.05)
    assert torch.equal(layer(x.repeat_interleave(2, 1)[:, ::2]), layer(x))
    assert layer(torch.zeros(0, 37)).shape == (0, 21)
    assert format in repr(layer)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), layer(x))
    assert np.array_equal(twin.panels.numpy(), layer.panels.numpy())


def test_gradients_pass_through_to_what_comes_before(network: Network, x: Tensor) -> None:
    quantize_(network, "int8", skip=["trunk.0"])
    network(x).sum().backward()
    first = network.trunk[0]
    assert isinstance(first, nn.Linear)
    assert first.weight.grad is not None
    assert first.weight.grad.abs().sum() > 0
    assert not [name for name, _ in network.named_parameters() if not name.startswith("trunk.0")]


def test_the_quantised_network_compiles_into_one_graph(network: Network, x: Tensor) -> None:
    quantize_(network, "int8")
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))

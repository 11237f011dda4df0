"""CfC against the `ncps` package: the same example under both imports, weights carried over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metabonk.models.cfc import CfC, CfCCell

pytest.importorskip("ncps", reason="the extra `bench` has it")
import ncps.torch
import ncps.wirings

INPUTS, UNITS = 3, 8


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def example(module: type[nn.Module]) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A classifier of sequences as people write it with ncps; `module` is what was imported."""
    torch.manual_seed(3)
    net = module(INPUTS, UNITS, proj_size=2, backbone_units=16)

    def run(x: Tensor) -> Tensor:
        outputs, state = net(x)
        outputs, _ = net(x, state)
        return outputs[:, -1]

    return net, run


def carried(theirs: nn.Module, ours: nn.Module) -> None:
    """Weights from ncps to ours, and back by name and shape."""
    state = theirs.state_dict()
    ours.load_state_dict(state, strict=True)
    back = ours.state_dict()
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in state.items()}
    theirs.load_state_dict(back, strict=True)


def noisy(module: nn.Module) -> nn.Module:
    """Weights off their start, where some are 0 or 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def compare(theirs: nn.Module, ours: nn.Module, x: Tensor, *more: Any) -> None:
    """Outputs, states, and every gradient by name."""
    results = []
    for net in (theirs, ours):
        net.zero_grad()
        out, state = net(x, *more)
        states = state if isinstance(state, tuple) else (state,)
        (out.square().sum() + sum(s.sum() for s in states)).backward()
        results.append([out, *states])
    for mine, other in zip(results[1], results[0], strict=True):
        assert mine.shape == other.shape
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    wanted = {k: p.grad for k, p in theirs.named_parameters() if p.grad is not None}
    found = gradients(ours)
    assert set(wanted) == set(found)
    for name, grad in wanted.items():
        size = grad.abs().max().item()  # sums of hundreds of terms, of which most cancel
        torch.testing.assert_close(found[name], grad, atol=1e-5 * (1.0 + size), rtol=0)


def gradients(net: nn.Module) -> dict[str, Tensor]:
    """By ncps's names: the fused layer of heads taken apart."""
    found: dict[str, Tensor] = {}
    for name, parameter in net.named_parameters():
        if parameter.grad is None:
            continue
        if ".heads." in name:
            parts = parameter.grad.chunk(4)
            for head, part in zip(("ff1", "ff2", "time_a", "time_b"), parts, strict=True):
                found[name.replace("heads", head)] = part
        else:
            found[name] = parameter.grad
    return found


def test_the_example_gives_the_same_under_both_imports() -> None:
    (theirs, run_theirs), (ours, run_ours) = example(ncps.torch.CfC), example(CfC)
    carried(theirs, ours)
    x, labels = torch.randn(20, 12, INPUTS), torch.randint(2, (20,))
    losses = []
    for net, run in ((theirs, run_theirs), (ours, run_ours)):
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        history = []
        for _ in range(20):
            loss = nn.functional.cross_entropy(run(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        losses.append(history)
    assert losses[0][-1] < 0.9 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0], abs=2e-4)


@pytest.mark.parametrize("mode", ["default", "pure", "no_gate"])
@pytest.mark.parametrize("activation", ["lecun_tanh", "tanh", "relu", "silu", "gelu"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_every_form_of_the_cell(mode: Any, activation: str, layers: int) -> None:
    options: dict[str, Any] = {
        "mode": mode,
        "activation": activation,
        "backbone_layers": layers,
        "backbone_units": 10,
    }
    theirs, ours = ncps.torch.CfC(INPUTS, UNITS, **options), CfC(INPUTS, UNITS, **options)
    carried(noisy(theirs), ours)
    compare(theirs, ours, torch.randn(5, 7, INPUTS))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("proj_size", [None, 4])
@pytest.mark.parametrize("mixed_memory", [True, False])
def test_every_way_of_calling(
    batch_first: bool, return_sequences: bool, proj_size: int | None, mixed_memory: bool
) -> None:
    options = {
        "batch_first": batch_first, "return_sequences": return_sequences, "proj_size": proj_size,
        "mixed_memory": mixed_memory,
    }  # fmt: skip
    theirs, ours = ncps.torch.CfC(INPUTS, UNITS, **options), CfC(INPUTS, UNITS, **options)
    carried(noisy(theirs), ours)
    x = torch.randn(5, 6, INPUTS)
    compare(theirs, ours, x)
    state = torch.randn(5 if batch_first else 6, UNITS)
    compare(theirs, ours, x, (state, state.cos()) if mixed_memory else state)
    if return_sequences:  # without them ncps takes the wrong axis of a lone sequence away
        compare(theirs, ours, x[0])


@pytest.mark.parametrize("mode", ["default", "pure", "no_gate"])
def test_wirings(mode: Any) -> None:
    for make in (
        lambda: ncps.wirings.AutoNCP(20, 4),
        lambda: ncps.wirings.FullyConnected(9, 3),
        lambda: ncps.wirings.NCP(10, 8, 3, 4, 3, 4, 3),
    ):
        theirs = ncps.torch.CfC(INPUTS, make(), mode=mode, mixed_memory=mode == "pure")
        ours = CfC(INPUTS, make(), mode=mode, mixed_memory=mode == "pure")
        assert (ours.state_size, ours.output_size) == (theirs.state_size, theirs.output_size)
        carried(noisy(theirs), ours)
        compare(theirs, ours, torch.randn(5, 7, INPUTS))


@pytest.mark.parametrize("layers", [0, 1])
def test_time_is_a_rows_own(layers: int) -> None:
    """ncps gets that right for a batch of 1; row by row it is what ours does for all at once."""
    theirs = ncps.torch.CfC(INPUTS, UNITS, backbone_layers=layers)
    ours = CfC(INPUTS, UNITS, backbone_layers=layers)
    carried(noisy(theirs), ours)
    x, spans = torch.randn(5, 7, INPUTS), torch.rand(5, 7) * 3
    out, state = ours(x, None, spans)
    same, _ = ours(x, None, spans[..., None])
    assert torch.equal(out, same)
    for i in range(5):
        want, end = theirs(x[i : i + 1], None, spans[i : i + 1])
        torch.testing.assert_close(out[i : i + 1], want, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(state[i : i + 1], end, atol=1e-5, rtol=1e-4)
    per_unit = torch.rand(5, 7, UNITS)
    compare(theirs, ours, x, None, per_unit)


def test_dropout_stands_where_ncps_has_it() -> None:
    options = {"backbone_layers": 3, "backbone_dropout": 0.5, "backbone_units": 32}
    theirs, ours = ncps.torch.CfC(INPUTS, UNITS, **options), CfC(INPUTS, UNITS, **options)
    carried(theirs, ours)
    x = torch.randn(4, 6, INPUTS)
    torch.manual_seed(1)
    want, _ = theirs(x)
    torch.manual_seed(1)
    found, _ = ours(x)
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)
    again, _ = ours(x)
    assert not torch.allclose(found, again)
    compare(theirs.eval(), ours.eval(), x)


def test_the_default_form_runs_through_the_operation() -> None:
    assert isinstance(CfC(INPUTS, UNITS, backbone_dropout=0.5).rnn_cell, CfCCell)
    assert not isinstance(CfC(INPUTS, UNITS, mode="pure").rnn_cell, CfCCell)


def test_bad_arguments_are_named() -> None:
    net = CfC(INPUTS, UNITS)
    x = torch.randn(5, 7, INPUTS)
    with pytest.raises(ValueError, match="mode: 'fast'; wanted one of default"):
        CfC(INPUTS, UNITS, mode="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="activation: 'sine'"):
        CfC(INPUTS, UNITS, activation="sine")
    with pytest.raises(ValueError, match="backbone_units: 5; a wired cell"):
        CfC(INPUTS, ncps.wirings.AutoNCP(20, 4), backbone_units=5)
    with pytest.raises(ValueError, match="input_size: None"):
        CfC(None, ncps.wirings.AutoNCP(20, 4))
    with pytest.raises(ValueError, match="input_size: None"):
        CfC(None, UNITS)
    with pytest.raises(ValueError, match=r"hx: \[5, 9\]; wanted \[5, 8\]"):
        net(x, torch.zeros(5, 9))
    with pytest.raises(ValueError, match="hx: a tensor"):
        net(x, (torch.zeros(5, 8), torch.zeros(5, 8)))
    with pytest.raises(ValueError, match=r"timespans: \[5, 6\]"):
        net(x, None, torch.ones(5, 6))
    with pytest.raises(ValueError, match=r"input: \[5, 0, 3\]"):
        net(x[:, :0])

"""Encoders: every kind of observation, sets that ignore what is masked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs

from metabonk.config import ModelConfig
from metabonk.errors import ConfigError
from metabonk.models import encoders
from metabonk.models.encoders import ImageEncoder, ObservationReader
from metabonk.models.layers import Dense, fast_tanh
from metabonk.models.policy import build
from metabonk.spaces import ActionLayout

SPACE = gs.Dict(
    state=gs.Box(-1, 1, (5,), np.float32),
    entities=gs.Box(-1, 1, (6, 3), np.float32),
    entities_mask=gs.Box(0, 1, (6,), np.uint8),
    offers=gs.Box(-1, 1, (4, 2), np.float32),
    offers_mask=gs.Box(0, 1, (4,), np.uint8),
    pixels=gs.Box(0, 255, (36, 48, 3), np.uint8),
    cells=gs.Box(0, 15, (64, 64), np.uint8),
    action_mask=gs.Box(0, 1, (3,), np.uint8),
    dt=gs.Box(0, 10, (1,), np.float32),
)


def observe(batch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    SPACE.seed(seed)
    drawn = [SPACE.sample() for _ in range(batch)]
    return {key: torch.from_numpy(np.stack([d[key] for d in drawn])) for key in SPACE.spaces}


def test_every_part_moves_the_features_and_masked_rows_do_not() -> None:
    torch.manual_seed(0)
    reader = ObservationReader(SPACE, time=True)
    dense = Dense(reader.widths, 16)

    def encoder(observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return dense(*reader(observation).parts)

    seen = observe(4)
    seen["entities_mask"][:] = torch.tensor([1, 1, 1, 0, 0, 0])
    before = encoder(seen)
    assert before.shape == (4, 16)
    seen["offers_mask"][:] = torch.tensor([1, 1, 0, 0])
    before = encoder(seen)
    for key in (
        "state",
        "entities",
        "entities_mask",
        "offers",
        "offers_mask",
        "pixels",
        "cells",
        "dt",
    ):
        other = dict(seen) | {key: observe(4, seed=1)[key]}
        assert not torch.allclose(encoder(other), before, atol=1e-4), key
    hidden = {**seen, "entities": seen["entities"].clone(), "offers": seen["offers"].clone()}
    hidden["entities"][:, 3:] = 1e6
    hidden["offers"][:, 2:] = 1e6
    torch.testing.assert_close(encoder(hidden), before)
    torch.testing.assert_close(encoder({**seen, "action_mask": 1 - seen["action_mask"]}), before)


@pytest.mark.parametrize("shape", [(84, 84, 3), (64, 64), (36, 48, 1), (7, 7, 3), (10, 200, 4)])
def test_frames_of_any_size(shape: tuple[int, ...]) -> None:
    encoder = ImageEncoder(shape, 12)
    frames = torch.randint(0, 16, (3, *shape), dtype=torch.uint8)
    assert encoder(frames).shape == (3, 12)


@pytest.mark.parametrize(
    "shape", [(84, 84, 3), (64, 64), (9, 9), (36, 48, 1), (7, 7, 3), (10, 200, 4)]
)
def test_frames_that_are_learned_from_are_read_as_those_that_are_not(
    shape: tuple[int, ...],
) -> None:
    """Where a gradient is asked for the first convolution is another one of the same numbers."""
    encoder = ImageEncoder(shape, 12)
    frames = torch.randint(0, 16, (5, *shape), dtype=torch.uint8)
    frames[0] = 0
    direction = torch.randn(5, 12)
    parameters = list(encoder.parameters())
    found = torch.autograd.grad((encoder(frames) * direction).sum(), parameters)
    with torch.no_grad():
        served = encoder(frames)
    torch.testing.assert_close(encoder(frames).detach(), served, rtol=1e-5, atol=1e-5)
    seen = encoder.colours(frames.long()) if encoder.cells else frames.float() / 255.0
    plain = encoder.convolutions(seen.permute(0, 3, 1, 2)).flatten(1)
    expected = torch.relu(encoder.project(plain))
    wanted = torch.autograd.grad((expected * direction).sum(), parameters)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    assert max(float(g.abs().max()) for g in found) > 1e-3
    assert encoder(frames.transpose(0, 1).contiguous().transpose(0, 1)).shape == (5, 12)


def test_frames_that_repeat_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same numbers and gradients, and only where it spares a quarter of them."""
    encoder = ImageEncoder((64, 64), 12)
    three = torch.randint(0, 16, (3, 64, 64), dtype=torch.uint8)
    frames = three[torch.tensor([2, 0, 0, 1, 2, 2, 0, 0])]
    read: list[int] = []
    first = encoder._first
    monkeypatch.setattr(encoder, "_first", lambda x, conv: read.append(len(x)) or first(x, conv))
    direction = torch.randn(8, 12)
    results = []
    for spared in (True, False):
        if not spared:
            monkeypatch.setattr(encoders, "distinct", lambda frames: None)
        seen = encoder(frames)
        found = torch.autograd.grad((seen * direction).sum(), list(encoder.parameters()))
        results.append([seen.detach(), *found])
    assert read == [3, 8]
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_distinct_frames_are_found_and_none_is_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = torch.randint(0, 16, (5, 8, 8), dtype=torch.uint8)[torch.arange(20) % 5]
    found = encoders.distinct(few)
    assert found is not None
    each, places = found
    assert len(each) == 5
    assert torch.equal(few[each][places], few)
    assert encoders.distinct(few[:5]) is None, "all differ"
    assert encoders.distinct(few[:1]) is None
    assert encoders.distinct(torch.zeros(4, 3, 3, dtype=torch.uint8)) is None, "no whole words"
    assert encoders.distinct(few[:0]) is None
    # Words in another order have the same sum where all weigh the same.
    swapped = few.view(torch.int64).flip(1).view(torch.uint8)
    monkeypatch.setattr(encoders, "_odd", lambda count: torch.ones(count, dtype=torch.int64))
    assert encoders.distinct(torch.cat([few, swapped])) is None
    assert encoders.distinct(few) is not None


def test_colours_that_are_none_are_refused() -> None:
    frames = torch.full((2, 64, 64), 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="cells: colour 16; wanted 0 to 15"):
        ImageEncoder((64, 64), 12)(frames)


@pytest.mark.parametrize("outputs", [2, 9])
def test_a_dense_layer_is_the_layer_over_the_concatenation(outputs: int) -> None:
    layer = Dense([3, 4, 2], outputs).double()
    parts = [torch.randn(5, n, dtype=torch.float64, requires_grad=True) for n in (3, 4, 2)]
    direction = torch.randn(5, outputs, dtype=torch.float64)
    whole = torch.cat(list(layer.weights), 1)
    expected = torch.tanh(torch.cat(parts, 1) @ whole.T + layer.bias)
    variables = [*parts, *layer.weights, layer.bias]
    wanted = torch.autograd.grad((expected * direction).sum(), variables)
    out = layer(*parts)
    found = torch.autograd.grad((out * direction).sum(), variables)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(found, wanted)


def test_weights_are_orthogonal() -> None:
    whole = torch.cat(list(Dense([3, 4, 2], 7).weights), 1)
    torch.testing.assert_close(whole @ whole.T, 2 * torch.eye(7), atol=1e-5, rtol=0)


def test_fast_tanh_is_tanh_with_its_gradient() -> None:
    x = torch.linspace(-30, 30, 4001, dtype=torch.float64).requires_grad_()
    y = fast_tanh(x)
    torch.testing.assert_close(y, x.tanh(), atol=1e-15, rtol=1e-13)
    (ours,) = torch.autograd.grad(y.sum(), x)
    (theirs,) = torch.autograd.grad(x.tanh().sum(), x)
    torch.testing.assert_close(ours, theirs)
    small = torch.linspace(-9, 9, 4001)
    assert (fast_tanh(small) - small.tanh()).abs().max() < 3e-7


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match="'word'"):
        ObservationReader(gs.Dict(word=gs.Discrete(3)), time=True)
    with pytest.raises(ConfigError, match="nothing that a network can read"):
        ObservationReader(gs.Dict(action_mask=gs.Box(0, 1, (3,), np.uint8)), time=True)


@pytest.mark.parametrize("name", ["mlp", "conv", "pilot", "pilot-large", "mamba"])
def test_sequences_equal_steps_and_forget_where_told(name: str) -> None:
    layout = ActionLayout.of(gs.Discrete(3), masked=("action",))
    model = build(SPACE, layout, ModelConfig(name=name, hidden=16, layers=2), seed=1)
    steps, batch = 5, 3
    seen = {k: v.view(steps, batch, *v.shape[1:]) for k, v in observe(steps * batch).items()}
    first = torch.zeros(steps, batch, dtype=torch.bool)
    first[2, 1] = True
    state = torch.randn(batch, model.state_size)
    with torch.no_grad():
        whole = model.sequence(seen, state, first)
        carried = state
        for t in range(steps):
            out = model.step({k: v[t] for k, v in seen.items()}, carried, first[t])
            carried = out.state
            torch.testing.assert_close(out.parameters, whole.parameters[t], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(out.value, whole.value[t], atol=1e-5, rtol=1e-4)
        other = model.sequence(seen, torch.randn(batch, model.state_size), first)
    torch.testing.assert_close(other.value[2:, 1], whole.value[2:, 1])
    if model.state_size:
        assert not torch.allclose(other.value[:2, 1], whole.value[:2, 1])
    torch.testing.assert_close(carried, whole.state, atol=1e-5, rtol=1e-4)


def test_weights_follow_from_the_seed_alone() -> None:
    layout = ActionLayout.of(gs.Discrete(3))

    def weights(seed: int) -> torch.Tensor:
        return torch.cat(
            [p.flatten() for p in build(SPACE, layout, ModelConfig(), seed=seed).parameters()]
        )

    first = weights(4)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(weights(4), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(weights(5), first)


def test_recurrent_cells_feel_the_time_step_and_the_towers_read_it() -> None:
    layout = ActionLayout.of(gs.Discrete(3))
    for name in ("pilot", "mamba", "mlp"):
        model = build(SPACE, layout, ModelConfig(name=name, hidden=16), seed=1)
        seen = observe(2)
        first = torch.zeros(2, dtype=torch.bool)
        state = torch.ones(2, model.state_size)
        slow = {**seen, "dt": seen["dt"] * 0 + 1.0}
        fast = {**seen, "dt": seen["dt"] * 0 + 0.05}
        a, b = model.step(slow, state, first), model.step(fast, state, first)
        assert not torch.allclose(a.value, b.value, atol=1e-5)

"""bench/world.py: who is timed as torch does the same work as ours, and it shows where not."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from gymnasium import spaces as gs
from metabonk.bench import world

from metabonk.config import WorldConfig
from metabonk.observations import OBSERVATION_SPACE
from metabonk.spaces import ActionLayout

torch = pytest.importorskip("torch")

from metabonk.bench.peers.torch_world import Cells, TorchLearner, of_torch  # noqa: E402

from metabonk.learn.dreams.world import Batch, WorldLearner  # noqa: E402
from metabonk.learn.replay import Sequences  # noqa: E402
from metabonk.models.encoders import ImageEncoder  # noqa: E402
from metabonk.models.layers import Dense  # noqa: E402
from metabonk.models.rssm import Latent  # noqa: E402
from metabonk.models.world import WorldModel, build  # noqa: E402

CELLS = gs.Dict(
    {
        "action_mask": gs.Box(0, 1, (3,), np.uint8),
        "cells": gs.Box(0, 15, (16, 16), np.uint8),
        "level": gs.Box(0, 9, (2,), np.float32),
    }
)
LAYOUT = ActionLayout.of(gs.Discrete(3))
SMALL = WorldConfig(deter=24, groups=4, classes=6, hidden=24, burn_in=2, frames=20, free_nats=0.1)
LENGTH, NUM = 7, 6


def drawn(space: gs.Dict, seed: int = 0) -> Sequences:
    """Sequences of anything, two of which begin anew halfway."""
    generator = np.random.default_rng(seed)
    shape = (LENGTH, NUM)
    seen: dict[str, Any] = {}
    for key, sub in space.spaces.items():
        assert isinstance(sub, gs.Box)
        if sub.dtype == np.uint8:
            high = int(sub.high.max()) + 1
            seen[key] = generator.integers(0, high, (*shape, *sub.shape), np.uint8)
        else:
            seen[key] = generator.standard_normal((*shape, *sub.shape)).astype(sub.dtype)
    is_first = np.zeros(shape, np.bool_)
    is_first[0, ::2] = is_first[3, :2] = True
    action = generator.integers(0, 3, (*shape, 1)).astype(np.float32)
    action[is_first] = 0.0
    reward = np.where(is_first, 0.0, generator.standard_normal(shape)).astype(np.float32)
    terminated = (generator.random(shape) < 0.2) & ~is_first
    return Sequences(seen, action, reward, terminated, is_first)


def spread(model: WorldModel) -> WorldModel:
    """Far from where weights begin, so that nothing is certain or 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def model() -> WorldModel:
    return spread(build(CELLS, LAYOUT, SMALL, seed=0))


def gradients(learner: WorldLearner, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every term of the loss, and the gradients of what both have under the same name."""
    model = learner.model
    model.zero_grad()
    terms = learner.losses(batch, learner.states(batch))
    terms["loss"].backward()
    shared = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    return terms, shared


def test_torchs_update_is_ours(model: WorldModel) -> None:
    batch = Batch.of(drawn(CELLS))
    peer = TorchLearner(of_torch(model), SMALL)
    assert not any(isinstance(part, Dense | ImageEncoder) for part in peer.model.modules())
    assert isinstance(peer.model.rssm, Cells)
    ours, mine = gradients(WorldLearner(model, SMALL), batch)
    theirs, other = gradients(peer, batch)
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=1e-4, atol=1e-5)
    both = mine.keys() & other.keys()
    assert {"rssm.rnn.weight_hh", "rssm.input.weight", "rssm.prior_out.bias"} <= both
    assert any(key.startswith("decoder.parts.cells") for key in both)
    assert any(key.startswith("reader.images.cells") for key in both)
    for key in both:
        torch.testing.assert_close(other[key], mine[key], rtol=1e-3, atol=1e-4, msg=key)


def test_it_goes_on_losing_as_ours_does(model: WorldModel) -> None:
    ours, theirs = WorldLearner(model, SMALL), TorchLearner(of_torch(model), SMALL)
    for update in range(4):
        sequences = drawn(CELLS, update)
        mine, after = ours.update(sequences)
        other, states = theirs.update(sequences)
        for key, value in other.items():
            assert value == pytest.approx(mine[key], rel=1e-3, abs=1e-4), (update, key)
        torch.testing.assert_close(states.deter, after.deter, rtol=1e-3, atol=1e-4)


def test_radars_are_torchs_too() -> None:
    assert isinstance(OBSERVATION_SPACE, gs.Dict)
    model = spread(build(OBSERVATION_SPACE, LAYOUT, SMALL, seed=0))
    peer = of_torch(model)
    assert not any(isinstance(part, Dense) for part in peer.modules())
    seen = {key: torch.from_numpy(v) for key, v in drawn(OBSERVATION_SPACE).observation.items()}
    torch.testing.assert_close(peer.embed(seen), model.embed(seen), rtol=1e-4, atol=1e-4)


@pytest.fixture
def small_problem(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "problem", lambda game: (drawn(CELLS), (model, SMALL)))
    return


def test_the_evidence_holds(small_problem: None) -> None:
    found = world.lose_alike("any")
    assert found.holds, found.note
    assert "parameters; losses of 3 updates differ by" in found.note


@pytest.mark.parametrize("wrong", ["rate", "resets", "state"])
def test_the_evidence_fails_for_other_work(
    small_problem: None, model: WorldModel, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    right = Cells.sequence

    def wrongly(self: Cells, before: Latent, *given: Any) -> Any:
        action, embed, keep, noise = given
        if wrong == "resets":
            keep = torch.ones_like(keep)
        else:
            embed = torch.zeros_like(embed)
        return right(self, before, action, embed, keep, noise)

    def lazy(game: str) -> TorchLearner:
        config = msgspec.structs.replace(SMALL, learning_rate=3e-2)
        return TorchLearner(of_torch(model), config)

    if wrong == "rate":
        monkeypatch.setattr(world, "theirs", lazy)
    else:
        monkeypatch.setattr(Cells, "sequence", wrongly)
    assert not world.lose_alike("any").holds


def test_cases_are_timed_on_one_thread_and_on_all() -> None:
    names = [case.name for case in world.cases() if not case.group]
    assert len(names) == 2 * len(world.UNITS)
    assert all("one thread" in name or "all threads" in name for name in names)

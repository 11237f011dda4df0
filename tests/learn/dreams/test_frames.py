"""learn/dreams/frames.py: a world model's dreams as frames, against copying what was seen last."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs

from metabonk.cognition.strips.predictors import measure
from metabonk.config import WorldConfig
from metabonk.errors import ConfigError
from metabonk.learn.dreams.frames import DreamFrames
from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.replay import Sequences
from metabonk.models.world import build
from metabonk.protocols import Array, Predictor
from metabonk.spaces import ActionLayout

SIDE, RATE = 16, 15.0
PICTURE = gs.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
LAYOUT = ActionLayout.of(gs.Discrete(2))
SMALL = WorldConfig(
    deter=64, groups=8, classes=8, hidden=64, learning_rate=3e-3, burn_in=2, free_nats=0.1,
    frames=64,
)  # fmt: skip


def bar(place: Array | int) -> Array:
    """A bright bar four pixels wide that has gone round to `place`, uint8 [..., H, W, 3]."""
    column = np.arange(SIDE)
    lit = (column - np.asarray(place)[..., None]) % SIDE < 4
    row = np.where(lit[..., None, :, None], 220, 30).astype(np.uint8)
    return np.broadcast_to(row, (*np.shape(place), SIDE, SIDE, 3)).copy()


def walks(length: int, num: int, seed: int) -> Sequences:
    """Bars that go right by two pixels a step, from anywhere."""
    start = np.random.default_rng(seed).integers(0, SIDE, num)
    place = (start + 2 * np.arange(length)[:, None]) % SIDE
    first = np.zeros((length, num), np.bool_)
    first[0] = True
    zeros = np.zeros((length, num), np.float32)
    return Sequences({"pixels": bar(place)}, zeros[..., None], zeros, first & False, first)


def model(space: gs.Dict | None = None) -> WorldLearner:
    space = space or gs.Dict({"pixels": PICTURE})
    return WorldLearner(build(space, LAYOUT, SMALL, seed=0), SMALL, seed=0)


def clip(frames: int = 24) -> list[Array]:
    return [bar(2 * t) for t in range(frames)]


def test_it_is_a_predictor_of_any_size_and_always_draws_the_same() -> None:
    dreams = DreamFrames(model().model, RATE)
    assert isinstance(dreams, Predictor)
    large = [np.repeat(np.repeat(frame, 5, 0), 5, 1) for frame in clip(6)]
    times = [k / RATE for k in range(6)]
    at = [times[-1] + ahead for ahead in (0.0, 0.05, 0.15)]
    drawn = dreams.predict(large, times, at)
    assert [frame.shape for frame in drawn] == [(80, 80, 3)] * 3
    assert all(frame.dtype == np.uint8 for frame in drawn)
    torch.rand(5)  # whatever else draws numbers
    for one, again in zip(drawn, dreams.predict(large, times, at), strict=True):
        assert np.array_equal(one, again)
    assert np.abs(drawn[0].astype(int) - large[-1]).mean() < 20  # of now: what was seen, resized
    with pytest.raises(ValueError, match="one or more"):
        dreams.predict([], [], [0.1])


def test_what_strips_do_not_carry_is_left_unknown() -> None:
    space = gs.Dict(
        {"pixels": PICTURE, "variables": gs.Box(-9, 9, (3,), np.float32),
         "dt": gs.Box(0, 1, (1,), np.float32)}
    )  # fmt: skip
    dreams = DreamFrames(model(space).model, RATE)
    assert len(dreams.predict(clip(4), [k / RATE for k in range(4)], [0.4])) == 1


@pytest.mark.parametrize(
    "space",
    [
        gs.Dict({"observation": gs.Box(-1, 1, (4,), np.float32)}),
        gs.Dict({"left": PICTURE, "right": PICTURE}),
        gs.Dict({"cells": gs.Box(0, 15, (16, 16), np.uint8)}),
    ],
)
def test_a_model_needs_one_picture(space: gs.Dict) -> None:
    with pytest.raises(ConfigError, match="dream needs one"):
        DreamFrames(model(space).model, RATE)


@pytest.mark.training
def test_a_model_that_learned_a_motion_beats_the_copy() -> None:
    """One that learned nothing, the control, does not."""
    before = measure(DreamFrames(model().model, RATE), "bars", [clip()], RATE, every=1)
    assert not before.good
    learner = model()
    for update in range(400):
        learner.update(walks(16, 16, update))
    after = measure(DreamFrames(learner.model, RATE), "bars", [clip()], RATE, every=1)
    assert after.good, after.gains

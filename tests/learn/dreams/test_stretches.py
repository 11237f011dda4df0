"""Stretches are cut from between resets, as long as there are any, evenly over what was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ring_world import LAYOUT, SPACE, walk

from metabonk.learn.dreams import stretches
from metabonk.learn.dreams.stretches import CONTEXT, JUDGED, Stretches, spread
from metabonk.learn.replay import Replay
from metabonk.learn.rollout import Rollout

NUM = 32
AHEAD = 5


def rollout_of(steps: int, *, every: int = 0, num: int = NUM, seed: int = 1) -> Rollout:
    """The ring's walk as a rollout: there an action is beside what it led to, here before it. An
    episode begins every so many steps, or never but at first."""
    sequences = walk(steps + 1, num, seed)
    out = Rollout.allocate(SPACE, LAYOUT, num, steps)
    out.observation["observation"][:] = sequences.observation["observation"]
    out.action[:] = sequences.action[1:]
    out.reward[:] = sequences.reward[1:]
    out.is_first[:] = sequences.is_first
    if every:
        out.is_first[::every] = True
    return out


def follows(found: Stretches) -> bool:
    """Whether every step is where its action led from the step before."""
    place = found.batch.observation["observation"].argmax(-1)
    moved = torch.tensor([0, -1, 1])[found.batch.action[1:, :, 0].long()]
    return torch.equal((place[:-1] + moved) % 4, place[1:]) and torch.equal(
        found.batch.reward[1:], (place[1:] == 0).float()
    )


def test_a_rollout_without_resets_gives_as_many_as_lie_side_by_side() -> None:
    found = stretches.of_rollout(rollout_of(30), AHEAD)
    assert found is not None
    assert found.batch.is_first.shape == (CONTEXT + AHEAD, 2 * NUM)
    assert found.context == CONTEXT
    assert not found.batch.is_first.any()
    assert follows(found)


def test_none_holds_a_reset_but_at_its_beginning() -> None:
    out = rollout_of(28)
    out.is_first[14] = True
    found = stretches.of_rollout(out, AHEAD)
    assert found is not None
    assert len(found.batch.is_first) == CONTEXT + AHEAD
    assert not found.batch.is_first[1:].any()
    begin = found.batch.is_first[0]
    assert 0 < int(begin.sum()) < len(begin)
    assert not found.batch.action[0][begin].any()  # nothing led there
    assert not found.batch.reward[0][begin].any()


@pytest.mark.parametrize(
    ("every", "length", "context"),
    [
        (14, 13, 8),  # as long as they should be
        (12, 12, 7),  # the dream keeps its length, what is watched becomes shorter
        (7, 7, 3),  # half of either
        (3, 3, 1),
        (2, 2, 1),
    ],
)
def test_short_episodes_give_short_stretches(every: int, length: int, context: int) -> None:
    found = stretches.of_rollout(rollout_of(60, every=every), AHEAD)
    assert found is not None
    assert (len(found.batch.is_first), found.context) == (length, context)
    assert not found.batch.is_first[1:].any()
    assert follows(found)


def test_a_rollout_shorter_than_a_stretch_gives_what_it_has() -> None:
    found = stretches.of_rollout(rollout_of(8), AHEAD)
    assert found is not None
    assert (len(found.batch.is_first), found.context) == (7, 3)
    assert stretches.of_rollout(rollout_of(30, every=1), AHEAD) is None
    assert stretches.of_rollout(rollout_of(2), AHEAD) is None


def test_what_went_before_the_rollout_is_not_taken() -> None:
    out = rollout_of(30)
    out.observation["observation"][:10] = np.nan
    out.first = 10
    found = stretches.of_rollout(out, AHEAD)
    assert found is not None
    assert len(found.batch.is_first) == CONTEXT + AHEAD
    assert bool(found.batch.observation["observation"].isfinite().all())
    assert follows(found)


def test_there_are_no_more_than_can_be_judged() -> None:
    found = stretches.of_rollout(rollout_of(200, num=64), AHEAD)
    assert found is not None
    assert found.batch.is_first.shape[1] == JUDGED


@pytest.mark.parametrize(("every", "length"), [(0, CONTEXT + AHEAD), (6, 6), (1, 0)])
def test_a_replay_gives_all_there_could_be(every: int, length: int, tmp_path: Path) -> None:
    """They overlap, as held-out episodes are few."""
    replay = Replay(tmp_path, 1000, 1)
    assert stretches.of_replay(replay, AHEAD) is None
    replay.add(rollout_of(31, every=every, num=1))
    found = stretches.of_replay(replay, AHEAD)
    assert (found is None) == (length == 0)
    if found is not None:
        steps = len(replay)
        count = steps - length if not every else len(range(every, steps - length + 1, every))
        assert found.batch.is_first.shape == (length, count)
        assert follows(found)


def test_indices_are_spread_evenly() -> None:
    assert spread(3, 8).tolist() == [0, 1, 2]
    assert spread(8, 4).tolist() == [0, 2, 4, 6]
    assert spread(10, 4).tolist() == [0, 2, 5, 7]
    assert spread(0, 4).tolist() == []

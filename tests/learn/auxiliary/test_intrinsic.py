"""Reward for surprise: as the model's error is, nothing for resets, carried from rollout to
rollout."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from ring_world import LAYOUT, SPACE, trained, walk

from metabonk.learn.auxiliary.intrinsic import LEAST_DEVIATION, Moments, Surprise
from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.rollout import Rollout

NUM, STEPS = 16, 12


@pytest.fixture(scope="module")
def world() -> WorldLearner:
    learner = trained(300)
    learner.config = msgspec.structs.replace(learner.config, intrinsic=0.5)
    return learner


def rollouts(count: int) -> list[Rollout]:
    """One walk on the ring, cut into rollouts; the first observation of each is the last one's."""
    sequences = walk(count * STEPS + 1, NUM, seed=3)
    found = []
    for number in range(count):
        start = number * STEPS
        out = Rollout.allocate(SPACE, LAYOUT, NUM, STEPS)
        ahead = slice(start, start + STEPS + 1)
        out.observation["observation"][:] = sequences.observation["observation"][ahead]
        out.is_first[:] = sequences.is_first[ahead]
        out.action[:] = sequences.action[start + 1 : start + STEPS + 1]
        out.reward[:] = sequences.reward[start + 1 : start + STEPS + 1]
        found.append(out)
    return found


def surprise_of(world: WorldLearner) -> Surprise:
    return Surprise(world, NUM, LAYOUT.columns, seed=0)


def test_what_cannot_be_expected_surprises_and_what_can_does_not(world: WorldLearner) -> None:
    """In the middle of a known walk somebody is suddenly elsewhere."""
    (out,) = rollouts(1)
    jump = np.roll(out.observation["observation"][7], 2, axis=-1)
    out.observation["observation"][7, 3] = jump[3]
    bonus, told = surprise_of(world).reward(out)
    assert bonus.shape == out.reward.shape
    assert bonus.dtype == np.float32
    others = np.delete(bonus[6], 3)
    assert bonus[6, 3] > 20.0 * float(others.max())
    assert told["wm_surprise"] > 0.0
    assert told["intrinsic_reward"] == pytest.approx(float(bonus.mean()))


def test_a_step_that_only_resets_earns_nothing(world: WorldLearner) -> None:
    (out,) = rollouts(1)
    out.is_first[5, 2] = True
    bonus, _ = surprise_of(world).reward(out)
    assert bonus[4, 2] == 0.0
    assert float(bonus[4].sum()) > 0.0


def test_what_happens_between_two_rollouts_counts_once(world: WorldLearner) -> None:
    """Somebody is elsewhere in the last observation of one, and goes on from there in the next."""
    first, second = rollouts(2)
    for places in (first.observation["observation"][-1:], second.observation["observation"]):
        places[:, 3] = np.roll(places[:, 3], 2, axis=-1)
    follower = surprise_of(world)
    before, _ = follower.reward(first)
    after, _ = follower.reward(second)
    assert before[-1, 3] > 20.0 * float(np.delete(before[-1], 3).max())
    assert after[0, 3] < 0.1 * before[-1, 3]


def test_the_weight_is_for_one_deviation_of_what_was_seen(world: WorldLearner) -> None:
    follower = surprise_of(world)
    bonus, _ = follower.reward(rollouts(1)[0])
    error = bonus / 0.5 * max(follower.moments.deviation, LEAST_DEVIATION)
    assert follower.moments.count == error.size
    assert follower.moments.mean == pytest.approx(float(error.mean()), rel=1e-4)
    follower.weight = 1.0
    twice, _ = follower.reward(rollouts(2)[1])
    follower = surprise_of(world)
    follower.reward(rollouts(1)[0])
    once, _ = follower.reward(rollouts(2)[1])
    np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-5)


def test_moments_are_those_of_all_numbers_together() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(3.0, 2.0, 1000).astype(np.float32)
    moments = Moments()
    assert moments.deviation == 0.0
    for lot in np.array_split(values, 7):
        moments.add(lot)
    moments.add(values[:0])
    assert moments.mean == pytest.approx(float(values.astype(np.float64).mean()))
    assert moments.deviation == pytest.approx(float(values.astype(np.float64).std()))


def test_a_resumed_follower_goes_on_bit_for_bit(world: WorldLearner) -> None:
    first, second = rollouts(2)
    one = surprise_of(world)
    one.reward(first)
    two = surprise_of(world)
    details = msgspec.json.decode(msgspec.json.encode(one.details()))
    two.load({k: v.copy() for k, v in one.state().items()}, details)
    np.testing.assert_array_equal(one.reward(second)[0], two.reward(second)[0])
    three = surprise_of(world)
    three.load({}, {})  # of a run that had none
    assert three.moments.count == 0
    assert torch.equal(three._latent.deter, world.model.init(NUM).deter)

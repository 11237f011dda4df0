"""Advantages against a loop over single trajectories that knows nothing of batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.learn.returns import ReturnScale, advantages, explained_variance

GAMMA, LAMBDA = 0.9, 0.8


def make(seed: int, steps: int, envs: int):
    """Random flags that follow NEXT_STEP: the step after an ending resets."""
    r = np.random.default_rng(seed)
    reward = r.normal(size=(steps, envs)).astype(np.float32)
    value = r.normal(size=(steps + 1, envs)).astype(np.float32)
    terminated, truncated, is_reset = (np.zeros((steps, envs), bool) for _ in range(3))
    ended = r.random(envs) < 0.2
    for t in range(steps):
        is_reset[t] = ended
        terminated[t] = ~ended & (r.random(envs) < 0.15)
        truncated[t] = ~ended & (r.random(envs) < 0.15)
        reward[t, ended] = 0
        ended = terminated[t] | truncated[t]
    return reward, value, terminated, truncated, is_reset


def naive(reward, value, terminated, truncated, is_reset, gamma: float, lam: float):
    """The sum over k of (gamma lambda)^k delta, restarted for each step of each environment."""
    out = np.zeros_like(reward, np.float64)
    steps, envs = reward.shape
    for e in range(envs):
        for t in range(steps):
            if is_reset[t, e]:
                continue
            weight = 1.0
            for k in range(t, steps):
                follow = 0.0 if terminated[k, e] else gamma * float(value[k + 1, e])
                out[t, e] += weight * (float(reward[k, e]) + follow - float(value[k, e]))
                if terminated[k, e] or truncated[k, e]:
                    break
                weight *= gamma * lam
    return out


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4))
def test_equals_the_naive_sum(seed: int, steps: int, envs: int) -> None:
    batch = make(seed, steps, envs)
    found = advantages(*batch, gamma=GAMMA, gae_lambda=LAMBDA)
    np.testing.assert_allclose(found, naive(*batch, GAMMA, LAMBDA), atol=1e-5)


def test_a_discount_for_every_step() -> None:
    """Given as an array it is that step's own; equal entries are the one number."""
    batch = make(5, 9, 3)
    even = np.full(batch[0].shape, np.float32(GAMMA))
    np.testing.assert_array_equal(
        advantages(*batch, gamma=even, gae_lambda=LAMBDA),
        advantages(*batch, gamma=GAMMA, gae_lambda=LAMBDA),
    )
    reward, value = np.zeros((3, 1), np.float32), np.zeros((4, 1), np.float32)
    reward[2] = 1.0
    never = np.zeros((3, 1), bool)
    gamma = np.array([[0.5], [1.0], [0.25]], np.float32)
    found = advantages(reward, value, never, never, never, gamma=gamma, gae_lambda=1.0)
    np.testing.assert_allclose(found[:, 0], [0.5, 1.0, 1.0])


def test_truncation_adds_the_value_of_the_final_observation_and_termination_does_not() -> None:
    reward = np.array([[1.0], [0.0], [0.0]], np.float32)
    value = np.array([[0.5], [10.0], [7.0], [0.0]], np.float32)
    ended = np.array([[True], [False], [False]])
    never = np.zeros_like(ended)
    resets = np.array([[False], [True], [False]])
    cut = advantages(reward, value, never, ended, resets, gamma=GAMMA, gae_lambda=LAMBDA)
    over = advantages(reward, value, ended, never, resets, gamma=GAMMA, gae_lambda=LAMBDA)
    assert cut[0, 0] == pytest.approx(1.0 + GAMMA * 10.0 - 0.5)
    assert over[0, 0] == pytest.approx(1.0 - 0.5)
    assert cut[1, 0] == over[1, 0] == 0.0


def test_inputs_are_not_changed() -> None:
    batch = make(0, 9, 3)
    copies = [b.copy() for b in batch]
    advantages(*batch, gamma=GAMMA, gae_lambda=LAMBDA)
    assert all(np.array_equal(a, b) for a, b in zip(batch, copies, strict=True))


def test_return_scale_is_the_deviation_of_the_discounted_sums() -> None:
    reward, _, terminated, truncated, is_reset = make(3, 400, 8)
    ended = terminated | truncated
    scale = ReturnScale(8)
    parts = np.split(np.arange(400), 8)
    for rows in parts:
        factor = scale.update(reward[rows], ended[rows], is_reset[rows], GAMMA)
    sums, running = [], np.zeros(8)
    for t in range(400):
        running = running * GAMMA + reward[t]
        sums.append(running[~is_reset[t]].copy())
        running[ended[t]] = 0.0
    assert factor == pytest.approx(1.0 / np.concatenate(sums).std(), rel=1e-3)
    other = ReturnScale(8)
    other.load({k: v.copy() for k, v in scale.state().items()})
    again = [s.update(reward, ended, is_reset, GAMMA) for s in (scale, other)]
    assert again[0] == again[1]


def test_rewards_that_never_vary_are_left_alone() -> None:
    zero = np.zeros((5, 2), np.float32)
    flags = np.zeros((5, 2), bool)
    assert ReturnScale(2).update(zero, flags, flags, GAMMA) == 1.0


def test_explained_variance() -> None:
    target = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    assert explained_variance(target, target) == pytest.approx(1.0)
    assert explained_variance(np.zeros_like(target), target) == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(-target, target) == pytest.approx(-3.0, rel=1e-3)
    assert explained_variance(target, np.ones_like(target)) == 0.0

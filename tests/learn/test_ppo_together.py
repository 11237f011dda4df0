"""Several learners of PPO that average their gradients: one learner, as far as results tell."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from learners import ENVS, make, updated, weights

from metabonk.learn.ppo import PPO
from metabonk.learn.returns import ReturnScale
from metabonk.learn.rollout import Rollout
from metabonk.learn.teachers import Teacher


class Meeting:
    """Learners in threads of one process that wait for each other to average what they have."""

    def __init__(self, learners: int) -> None:
        self.barrier = threading.Barrier(learners, timeout=60)
        self.here: list[torch.Tensor] = []
        self.lock = threading.Lock()

    def average(self, tensor: torch.Tensor) -> None:
        with self.lock:
            self.here.append(tensor)
        self.barrier.wait()
        mean = torch.stack(self.here).mean(0)
        if self.barrier.wait() == 0:
            self.here.clear()
        self.barrier.wait()
        tensor.copy_(mean)


def halves(rollout: bytes, cut: int) -> list[Rollout]:
    """The rollout of environments before and from `cut` on."""
    parts = []
    for which in (slice(0, cut), slice(cut, None)):
        whole = Rollout.from_bytes(rollout)
        names = [f.name for f in dataclasses.fields(whole)]
        arrays = {
            n: getattr(whole, n)[:, which].copy()
            for n in names
            if isinstance(getattr(whole, n), np.ndarray)
        }
        seen = {key: array[:, which].copy() for key, array in whole.observation.items()}
        parts.append(dataclasses.replace(whole, observation=seen, **arrays))
    return parts


def both(learners: list[PPO], rollouts: list[Rollout], updates: int = 1) -> list[dict[str, float]]:
    """Updates learners that average with each other, each from its own rollout."""
    meeting = Meeting(len(learners))

    def learn(learner: PPO, rollout: Rollout) -> dict[str, float]:
        learner.average = meeting.average
        try:
            return [learner.update(rollout) for _ in range(updates)][-1]
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(len(learners)) as pool:
        pairs = zip(learners, rollouts, strict=True)
        return [done.result() for done in [pool.submit(learn, *pair) for pair in pairs]]


def apart(cut: int, name: str, **settings) -> list[PPO]:
    """Equal learners for the two halves of a rollout."""
    learners = [make(name, **settings)[0] for _ in range(2)]
    for learner, count in zip(learners, (cut, ENVS - cut), strict=True):
        learner.return_scale = ReturnScale(count)
    return learners


def statistics(learner: PPO) -> dict[str, torch.Tensor]:
    """What is normalised with; numbers of samples are a learner's part of all."""
    found = dict(learner.model.reader.named_buffers())
    found = {k: v for k, v in found.items() if k.endswith(("mean", "inverse"))}
    return found | {"returns": torch.tensor(learner.return_scale.deviation)}


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
@pytest.mark.parametrize("cut", [4, 3])
def test_two_learners_that_average_equal_one_with_all_of_their_rollouts(
    name: str, cut: int, rollout: bytes
) -> None:
    """Rollouts of other sizes count by their steps; nothing drifts apart over updates."""
    settings = {"minibatches": 1, "epochs": 3, "target_kl": 0.01, "learning_rate": 3e-3}
    one, _ = make(name, **settings)
    for _ in range(3):
        one.update(Rollout.from_bytes(rollout))
    two = apart(cut, name, **settings)
    both(two, halves(rollout, cut), updates=3)
    assert torch.equal(weights(two[0]), weights(two[1]))
    torch.testing.assert_close(weights(two[0]), weights(one), rtol=1e-3, atol=2e-5)
    expected, found, other = statistics(one), statistics(two[0]), statistics(two[1])
    assert len(expected) == 3
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(found[key], other[key]), key


def test_learners_stop_early_together(rollout: bytes) -> None:
    """One has moved past the target and the other has not: what counts is all of them."""
    settings = {"minibatches": 1, "epochs": 2, "learning_rate": 3e-3}
    moved = [m["kl"] for m in both(apart(3, "mlp", **settings), halves(rollout, 3))]
    # The first epoch's divergence is 0; the mean over both epochs is half of the second one's.
    target = 2.0 * (0.6 * np.mean(moved) + 0.4 * min(moved))
    assert 2.0 * min(moved) < target < 2.0 * np.mean(moved)
    two = apart(3, "mlp", **settings | {"epochs": 5, "target_kl": target})
    assert [m["epochs"] for m in both(two, halves(rollout, 3))] == [2, 2]
    assert torch.equal(weights(two[0]), weights(two[1]))


def test_learners_imitate_together(rollout: bytes) -> None:
    """One alone has a teacher that asks for passes of its own: both go through them, and stay
    equal."""

    def taught(passes: int) -> torch.Tensor:
        two, parts = apart(4, "mlp", epochs=1), halves(rollout, 4)
        head = two[0].model.head
        wanted = torch.linspace(-1.0, 1.0, head.outputs).expand(parts[0].horizon, 4, -1)
        teacher = Teacher(wanted, head.log_std.detach(), 1.0, passes=passes)
        two[0].update = lambda seen: PPO.update(two[0], seen, 1.0, (teacher,))  # type: ignore[method-assign]
        both(two, parts)
        assert torch.equal(weights(two[0]), weights(two[1]))
        return weights(two[0])

    assert not torch.equal(taught(4), taught(0))


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_a_learner_without_steps_goes_along(name: str, rollout: bytes) -> None:
    two = apart(4, name)
    before = weights(two[0])
    parts = halves(rollout, 4)
    parts[1].is_first[1:] = True
    both(two, parts)
    assert torch.equal(weights(two[0]), weights(two[1]))
    assert not torch.equal(weights(two[0]), before)
    assert not torch.equal(weights(two[0]), updated(rollout, name))

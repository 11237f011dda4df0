"""Evaluation: a policy beside its baselines, on the same episodes.

Knows BatchGame and the Policy protocol; does not know networks or how a policy was made. Policies
play the same seeds, so that what a level gives or takes cancels out in the difference; its interval
is a bootstrap over episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from metabonk.errors import GameError
from metabonk.protocols import Array, BatchGame, Policy

EVALUATION_KEY = 0x45564131  # separates evaluation seeds from those of training
RESAMPLES = 10_000
MAX_STEPS = 200_000
Doubles = npt.NDArray[np.float64]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A policy against one baseline: both means and the paired difference with its interval."""

    mean: float
    difference: float
    ci95: tuple[float, float]

    @property
    def better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.ci95[0] > 0.0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation found.

    player: who of the run was evaluated. against: by name of the baseline, and of the run's other
    player, the `rival`, where there is one; that is no baseline. returns: of each episode.
    baseline_returns: of everybody in `against`, in the same order of episodes. info: mean of what
    else the game counts (`score`, `length`, ...).
    best: index of the episode with the highest return. seed and envs: what made the episodes.
    """

    return_mean: float
    episodes: int
    envs: int
    seed: int
    sampled: bool
    returns: list[float]
    best: int
    against: dict[str, Comparison] = {}
    baseline_returns: dict[str, list[float]] = {}
    info: dict[str, float] = {}
    player: str = "policy"
    rival: str = ""

    @property
    def strongest(self) -> Comparison | None:
        """The comparison with the baseline that returns most."""
        outside = [against for name, against in self.against.items() if name != self.rival]
        return max(outside, key=lambda c: c.mean, default=None)

    @property
    def means(self) -> dict[str, float]:
        """Of the run's players by name; of one only where there is no other."""
        found = {self.player: self.return_mean}
        return found | {self.rival: self.against[self.rival].mean} if self.rival else found

    def summary(self) -> dict[str, Any]:
        """Means, and the interval of the paired difference from the strongest baseline. Of a run
        with two players who was evaluated, and what either returns."""
        random, scripted = self.against.get("random"), self.against.get("scripted")
        both = {f"{name}_mean": mean for name, mean in self.means.items()}
        return {
            **({"player": self.player, **both} if self.rival else {}),
            "return_mean": self.return_mean,
            "random_mean": random.mean if random else None,
            "scripted_mean": scripted.mean if scripted else None,
            "difference_ci95": self.strongest.ci95 if self.strongest else None,
            "episodes": self.episodes,
        }


def seeds(seed: int, count: int) -> list[int]:
    """Seeds of `count` environments, 31 bits, apart from those that training starts with."""
    state = np.random.SeedSequence([EVALUATION_KEY, seed]).generate_state(count, np.uint32)
    return [int(s) >> 1 for s in state]


def play(
    game: BatchGame, policy: Policy, episodes: int, seed: int, max_steps: int = MAX_STEPS
) -> dict[str, Doubles]:
    """Plays `episodes` episodes, the same ones for every policy, as many per environment.

    Returns per episode `return`, `length` and what else the game counts, ordered by environment and
    then in time; the number is rounded up to a multiple of `game.num_envs`. Raises GameError if an
    episode has not ended after `max_steps` steps.
    """
    num = game.num_envs
    each = -(-episodes // num)
    observation = {
        key: np.zeros((num, *(sub.shape or ())), sub.dtype)
        for key, sub in game.observation_space.spaces.items()
    }
    reward = np.zeros(num, np.float32)
    terminated, truncated, is_reset = (np.zeros(num, np.bool_) for _ in range(3))
    is_first = np.ones(num, np.bool_)
    done = np.zeros(num, np.int64)
    found: dict[str, Doubles] = {}
    game.reset_into(observation, seeds(seed, num))
    state = policy.reset(num)
    for _ in range(max_steps):
        rows, state = policy.act(observation, state, is_first)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        is_first[:] = is_reset
        ended = (terminated | truncated) & (done < each)
        if not ended.any():
            continue
        for key, values in game.episode_info().items():
            table = found.setdefault(key, np.zeros((num, each)))
            table[ended, done[ended]] = values[ended]
        done += ended
        if (done == each).all():
            return {key: table.reshape(-1) for key, table in found.items()}
    raise GameError(
        f"{game.name}: an evaluation episode has not ended after {max_steps} steps; "
        "give the level an end, or evaluate with a larger max_steps"
    )


def evaluate(
    game: BatchGame,
    policy: Policy,
    *,
    episodes: int,
    seed: int,
    baselines: Mapping[str, Policy],
    sampled: bool = True,
    player: str = "policy",
    rival: tuple[str, Policy] | None = None,
) -> Evaluation:
    """Plays `policy` and each baseline on the same episodes and compares them in pairs.

    baselines should always hold `random`, and `scripted` where there is one. rival: the run's other
    player by name. sampled and player: only noted.
    """
    table = play(game, policy, episodes, seed)
    ours = table["return"]
    others = [*baselines.items(), *([rival] if rival else [])]
    theirs = {name: play(game, other, episodes, seed)["return"] for name, other in others}
    return Evaluation(
        return_mean=float(ours.mean()),
        episodes=len(ours),
        envs=game.num_envs,
        seed=seed,
        sampled=sampled,
        returns=ours.tolist(),
        best=int(ours.argmax()),
        against={name: compare(ours, other) for name, other in theirs.items()},
        baseline_returns={name: other.tolist() for name, other in theirs.items()},
        info={key: float(values.mean()) for key, values in table.items() if key != "return"},
        player=player,
        rival=rival[0] if rival else "",
    )


def compare(ours: Array, theirs: Array) -> Comparison:
    """Paired comparison of two arrays of returns [E]."""
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    return Comparison(
        mean=float(np.mean(theirs)),
        difference=float(difference.mean()),
        ci95=bootstrap_ci95(difference),
    )


def bootstrap_ci95(values: Doubles, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979), the same for the same values."""
    generator = np.random.Generator(np.random.Philox(key=[seed, len(values)]))
    chosen = generator.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[chosen].mean(1), [2.5, 97.5])
    return float(low), float(high)

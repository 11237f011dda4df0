"""Evaluation: a policy beside its baselines, on the same episodes.

Knows BatchGame and the Policy protocol; does not know networks or how a policy was made. Policies
play the same seeds, so that what a level gives or takes cancels out in the difference; its interval
is a bootstrap over episodes, of few of them no narrower than Student's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from metabonk.errors import GameError
from metabonk.learn.student import quantile
from metabonk.protocols import Array, BatchGame, BoolArray, Policy

EVALUATION_KEY = 0x45564131  # separates evaluation seeds from those of training
RESAMPLES = 10_000
MAX_STEPS = 200_000
CRASHES = "crashes"  # what games count that lose processes
UNPLAYED = "unplayed"  # decisions that were no number
FEW = 30  # episodes below which a bootstrap alone is too sure of itself
ALIKE = 6  # of fewer differences, all have the same sign by chance more than once in 20 times
Doubles = npt.NDArray[np.float64]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A policy against one baseline: both means and the paired difference with its interval, None
    where there were too few episodes for one."""

    mean: float
    difference: float
    ci95: tuple[float, float] | None

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the interval; infinite where there is none."""
        return self.ci95 or (-math.inf, math.inf)

    @property
    def better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.bounds[0] > 0.0

    @property
    def worse(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.bounds[1] < 0.0


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation found.

    player: who of the run was evaluated. against: by name of the baseline, and of the run's other
    player, the `rival`, where there is one; that is no baseline. returns: of each episode.
    baseline_returns: of everybody in `against`, in the same order of episodes. info: mean of what
    else the game counts (`score`, `length`, ...). crashes: episodes of anybody that the game broke
    off and that were played anew, none of which counts. unplayed: decisions of anybody that were
    no number, in whose place as little as can be was done.
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
    crashes: int = 0
    unplayed: int = 0

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
            **({"crashes": self.crashes} if self.crashes else {}),
            **({"unplayed": self.unplayed} if self.unplayed else {}),
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
    then in time; the number is rounded up to a multiple of `game.num_envs`. An episode that ended
    because the game lost its process says nothing of a policy: the next one is played in its place,
    and `crashes` is how many before an episode were lost so. What is decided and is no number is
    not played: as little as can be is done instead, and `unplayed` is how often. Raises GameError
    if an episode has not ended after `max_steps` steps, or if as many were lost as asked for.
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
    tables = _Tables(num, each)
    game.reset_into(observation, seeds(seed, num))
    fragile = CRASHES in game.episode_info()
    if fragile:
        tables.begin(is_first, game.episode_info())
    state, neutral = policy.reset(num), game.action_layout.neutral()
    for _ in range(max_steps):
        rows, state = policy.act(observation, state, is_first)
        known = np.isfinite(rows)
        if not known.all():
            rows = np.where(known, rows, neutral)
            tables.unplayed += ~known.all(-1)
        game.step_into(rows, observation, reward, terminated, truncated, is_reset)
        is_first[:] = is_reset
        if fragile and is_reset.any():
            tables.begin(is_reset, game.episode_info())
        ended = terminated | truncated
        if not ended.any():
            continue
        tables.note(ended, game.episode_info())
        if tables.lost >= num * each:
            raise GameError(
                f"{game.name}: {tables.lost} episodes broke off by a crash while {num * each} were "
                "asked for: `metabonk doctor` says what the game needs"
            )
        if tables.full:
            return {key: table.reshape(-1) for key, table in tables.found.items()}
    raise GameError(
        f"{game.name}: an evaluation episode has not ended after {max_steps} steps; "
        "give the level an end, or evaluate with a larger max_steps"
    )


class _Tables:
    """What `num` environments' episodes came to, `each` per environment. found: by what is counted,
    float64 [num, each]. lost: episodes that a crash ended. unplayed: of the episodes at hand, how
    many decisions were no number [num]."""

    def __init__(self, num: int, each: int) -> None:
        self._shape = num, each
        self._done = np.zeros(num, np.int64)
        self._crashes = np.zeros(num, np.int64)  # when the episode at hand began
        self._broken = np.zeros(num, np.int64)  # episodes since the last whole one
        self.found: dict[str, Doubles] = {}
        self.lost = 0
        self.unplayed = np.zeros(num, np.int64)

    def begin(self, which: BoolArray, info: Mapping[str, Array]) -> None:
        """Episodes began [num]; what crashed before them is not theirs."""
        self._crashes[which] = info[CRASHES][which]

    def note(self, ended: BoolArray, info: Mapping[str, Array]) -> None:
        """Episodes ended [num] with these counts."""
        counts = ended & (self._done < self._shape[1])
        if CRASHES in info:
            broken = counts & (info[CRASHES] > self._crashes)
            self._broken += broken
            self.lost += int(broken.sum())
            counts &= ~broken
            info = {**info, CRASHES: self._broken.copy()}
            self._broken[counts] = 0
        info = {**info, UNPLAYED: self.unplayed.copy()}
        self.unplayed[ended] = 0
        for key, values in info.items():
            table = self.found.setdefault(key, np.zeros(self._shape))
            table[counts, self._done[counts]] = values[counts]
        self._done += counts

    @property
    def full(self) -> bool:
        return bool((self._done == self._shape[1]).all())


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
    tables = {name: play(game, other, episodes, seed) for name, other in others}
    theirs = {name: played["return"] for name, played in tables.items()}
    lost = {
        name: int(sum(p[name].sum() for p in (table, *tables.values()) if name in p))
        for name in (CRASHES, UNPLAYED)
    }
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
        info={k: float(v.mean()) for k, v in table.items() if k not in ("return", UNPLAYED)},
        player=player,
        rival=rival[0] if rival else "",
        crashes=lost[CRASHES],
        unplayed=lost[UNPLAYED],
    )


def compare(ours: Array, theirs: Array) -> Comparison:
    """Paired comparison of two arrays of returns [E]."""
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    return Comparison(
        mean=float(np.mean(theirs)),
        difference=float(difference.mean()),
        ci95=interval95(difference),
    )


def interval95(values: Doubles) -> tuple[float, float] | None:
    """Of the mean of values [E]: a bootstrap's, and of fewer than FEW what that and Student's t
    (1908) hold together, as the one allows for skew and the other for a deviation that few values
    hardly know. None for a single value, and for fewer than ALIKE that all differ from 0 by the
    same: their spread is not known."""
    count = len(values)
    alike = values[0] != 0.0 and np.ptp(values) <= 1e-9 * abs(values[0])
    if count < 2 or (count < ALIKE and alike):
        return None
    low, high = bootstrap_ci95(values)
    if count >= FEW:
        return low, high
    half = quantile(count - 1) * float(values.std(ddof=1)) / math.sqrt(count)
    mean = float(values.mean())
    return min(low, mean - half), max(high, mean + half)


def bootstrap_ci95(values: Doubles, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean (Efron 1979), the same for the same values."""
    generator = np.random.Generator(np.random.Philox(key=[seed, len(values)]))
    chosen = generator.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[chosen].mean(1), [2.5, 97.5])
    return float(low), float(high)

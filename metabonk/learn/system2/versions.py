"""Distilled strategies on disk, and what they are worth beside whom they learned from.

Knows artifacts, logs, the dual controller and evaluations; does not know how a strategy learns
(distil.py). A strategy is judged twice: by how often it says what the log says, on episodes that
it never saw, and by what an agent returns that follows it, on the same episodes as one that follows
the rules and one that follows nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends import features
from metabonk.cognition.backends.choice import EMBEDDED, MODEL, family
from metabonk.cognition.backends.policy import KIND, WEIGHTS, StrategyNetwork
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log.export import Plan
from metabonk.cognition.log.rows import Log, Row
from metabonk.config import DistilConfig
from metabonk.errors import ConfigError
from metabonk.games import arena
from metabonk.games.arena import level_of
from metabonk.games.scripted import Habits, ScriptedPolicy
from metabonk.learn.evaluate import Evaluation, evaluate
from metabonk.learn.system2.distil import Distiller, Judged, Lessons, Progress, lessons
from metabonk.play.dual import Dual, DualSettings, states_of
from metabonk.protocols import Policy

STOOD_IN = "of the rules, beside a model's"
NOT_ASKED_FOR = "of backends that were not asked for"
SIDE_BY_SIDE = 16  # arenas of an evaluation
_TIMED = 200  # decisions whose time is taken
Motor = Callable[[Any], Policy]


class FollowNetwork:
    """A distilled strategy as the dual controller's planner."""

    def __init__(self, network: StrategyNetwork) -> None:
        self._network = network

    def plan(self, packed: bytes, in_force: v.Directive | None) -> v.Directive | None:
        return self._network.decide(features.of(packed, in_force))[0]


class FollowRules:
    """The embedded strategist as the dual controller's planner."""

    def __init__(self) -> None:
        self._strategist = Strategist()

    def plan(self, packed: bytes, in_force: v.Directive | None) -> v.Directive | None:
        return self._strategist.decide(packed, in_force).directive


@dataclass(frozen=True)
class Distilled:
    """strategy: what was written. decisions: that it learned from and was judged by; teachers: by
    the backend that made them. left_out: rows that taught nothing, by reason. judged: None where no
    episode was held out. evaluations: by level. latency: seconds of one decision, the median
    here."""

    strategy: Artifact
    decisions: int
    teachers: Mapping[str, int]
    left_out: Mapping[str, int]
    losses: Mapping[str, float]
    judged: Judged | None
    evaluations: Mapping[str, Evaluation]
    latency: float


def distil(
    folders: Sequence[Path],
    out: Path,
    config: DistilConfig,
    *,
    seed: int = 0,
    backends: tuple[str, ...] = (),
    with_rules: bool = False,
    levels: tuple[str, ...] = ("default",),
    episodes: int = 0,
    progress: Progress | None = None,
) -> Distilled:
    """Learns a strategy from decision logs, together, and writes it to `out`.

    backends: only what these decided (see Row.is_of). Without any all teach, but not the rules
    where a model decided for the same agent in the same epoch: there they stood in for it.
    with_rules: they, too.
    episodes: per level, to measure it in; 0: do not. Raises FileExistsError, ConfigError where
    there is nothing to learn from or a log is named twice, DivergedError.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already: choose another directory with --out")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError("a log is named twice: name each one once")
    data, digest = _read(folders, Plan(seed=seed), config.most_rows, backends, with_rules)
    distiller = Distiller(data, config, seed=seed)
    losses = distiller.train(progress)
    network, judged = distiller.module.network(), distiller.judge()
    evaluations = {
        level: measure(network, level, episodes=episodes, seed=seed) for level in levels if episodes
    }
    latency = time_decision(network, folders[0])
    left_out, teachers = dict(data.left_out), dict(sorted(data.teachers.items()))
    details = {
        "features": features.VERSION,
        "distil": msgspec.to_builtins(config),
        "decisions": len(data),
        "backends": list(backends),
        "teachers": teachers,
        "left_out": left_out,
        "judged": None if judged is None else dataclasses.asdict(judged),
    }
    saved = artifact.write(
        out,
        kind=KIND,
        seed=seed,
        files={WEIGHTS: network.weights},
        data=digest,
        metrics=_metrics(judged, evaluations),
        details=details,
    )
    return Distilled(saved, len(data), teachers, left_out, losses, judged, evaluations, latency)


def _read(
    folders: Sequence[Path], plan: Plan, most: int, backends: Sequence[str], with_rules: bool
) -> tuple[Lessons, str]:
    """What logs teach, together, and the digest of their rows."""
    passed: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(Log(folder)) for folder in folders]
        for log in logs:  # its digest is of the rows that are learned from
            stack.enter_context(log.still())
        _check_teachers(logs, backends)
        teach = (row for log in logs for row in _teaching(log, backends, with_rules, passed))
        try:
            data = lessons(teach, plan, most)
        except ConfigError as error:
            raise ConfigError(f"{error}{_passed_over(passed)}") from error
        digest = _together([log.digest() for log in logs])
    return dataclasses.replace(data, left_out=data.left_out + passed), digest


def _passed_over(passed: Counter[str]) -> str:
    """What could have taught and may not, with the remedy, to stand behind an error."""
    told = "".join(f"; {count:,} decisions were left out: {why}" for why, count in passed.items())
    return told + ("; --with-rules lets them teach" if STOOD_IN in passed else "")


def _check_teachers(logs: Sequence[Log], backends: Sequence[str]) -> None:
    """Raises ConfigError where none of the backends that are asked for decided anything."""
    there = {name for log in logs for *_, name in log.strategists()}
    if there and backends and not any({name, family(name)} & set(backends) for name in there):
        raise ConfigError(
            f"backend: {', '.join(backends)} decided nothing that has an outcome in the log; name "
            f"some of those who did: {', '.join(sorted(there))}"
        )


def _teaching(
    log: Log, backends: Sequence[str], with_rules: bool, passed: Counter[str]
) -> Iterator[Row]:
    """The rows of a log that may teach. passed: counts the directives that may not, by reason."""
    led = {(agent, epoch) for agent, epoch, name in log.strategists() if family(name) == MODEL}
    alone = not backends and not with_rules
    for row in log.rows():
        if row.directive is None:  # `lessons` counts those
            yield row
        elif backends and not row.is_of(backends):
            passed[NOT_ASKED_FOR] += 1
        elif alone and row.backend == EMBEDDED and (row.agent, row.epoch) in led:
            passed[STOOD_IN] += 1
        else:
            yield row


def measure(
    network: StrategyNetwork,
    level: str,
    *,
    episodes: int,
    seed: int = 0,
    every: float = 2.0,
    motor: Motor | None = None,
) -> Evaluation:
    """What agents return on a level of the arena that follow the strategy, the rules (`rules`) or
    nobody (`alone`), with the same System 1 and on the same episodes."""
    made = level_of(level)
    game = arena.make("", min(SIDE_BY_SIDE, episodes), level=made)
    settings = DualSettings(every=every)

    def alone() -> Policy:
        if motor is not None:
            return motor(game)
        return ScriptedPolicy(Habits(size=made.terrain.size))

    def with_planner(planner: Any) -> Policy:
        return Dual(alone(), planner, states_of(game), level=made.pack(), settings=settings)

    try:
        return evaluate(
            game,
            with_planner(FollowNetwork(network)),
            episodes=episodes,
            seed=seed,
            baselines={"rules": with_planner(FollowRules()), "alone": alone()},
        )
    finally:
        game.close()


def time_decision(network: StrategyNetwork, folder: Path, count: int = _TIMED) -> float:
    """Seconds of one decision, features included: the median over states of a log."""
    with Log(folder) as log:
        states = [row.packed for row, _ in zip(log.rows(), range(count), strict=False)]
    taken = []
    for packed in states:
        if not packed:
            continue
        began = time.perf_counter()
        network.decide(features.of(packed))
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) if taken else float("nan")


def _together(digests: Sequence[str]) -> str:
    """One digest of several logs; of one log its own."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _metrics(judged: Judged | None, evaluations: Mapping[str, Evaluation]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    if judged is not None:
        majority = {"majority": judged.majority}
        found["agreement"] = Measured(value=judged.agreement, baselines=majority)
        found["divergence"] = Measured(value=judged.divergence)
    for level, evaluation in evaluations.items():
        others = {name: other.mean for name, other in evaluation.against.items()}
        found[f"return_{level}"] = Measured(value=evaluation.return_mean, baselines=others)
    return found

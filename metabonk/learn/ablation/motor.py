"""Ablations of a motor: what its judges are good for, found by not listening to them.

Knows motors, games and evaluations; nothing is trained. Under every seed the motor plays the same
episodes from the same noise: intact, once more as the control, and

- judges, zero: the first candidate is done, whatever the Q functions say,
- judges, shuffle: they judge what another environment sees,
- doubt, zero: only their mean counts, not how far they differ,
- doubt, shuffle: how far they differ is said of other candidates.

Behaviour is compared decision by decision: the share in which another candidate would be done.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.learn import assess, presets
from metabonk.learn.ablation import seeds as kept_seeds
from metabonk.learn.ablation.effects import (
    CONTROL,
    INTACT,
    Ablation,
    Mode,
    Trial,
    effects_of,
    findings_of,
)
from metabonk.learn.ablation.study import FOLDER, KIND, PICTURE, RESULT, picture
from metabonk.learn.evaluate import play
from metabonk.learn.motors import versions as motors
from metabonk.models.ensemble import lower_bound
from metabonk.models.motor import MOTOR_STREAM, Motor
from metabonk.protocols import BatchGame, BoolArray, FloatArray, Observation

Way = tuple[str, Mode]
WAYS: tuple[Way, ...] = (
    (INTACT, "again"),
    (CONTROL, "again"),
    ("judges", "zero"),
    ("judges", "shuffle"),
    ("doubt", "zero"),
    ("doubt", "shuffle"),
)
Progress = Callable[[int, int, str], None]


class Judged:
    """The motor as a Policy that listens to its judges in one of WAYS. others: of its decisions,
    those in which the intact one would have done another candidate."""

    def __init__(self, motor: Motor, way: Way, seed: int) -> None:
        self.motor, self.way, self.seed = motor, way, seed
        self.decisions = self.others = 0

    @property
    def moved(self) -> float:
        """Share of decisions that are others than the intact one's."""
        return self.others / max(1, self.decisions)

    def reset(self, num_envs: int) -> int:
        """Decisions taken so far, which is all the state there is."""
        return 0

    @torch.no_grad()
    def act(
        self, observation: Observation, state: int, is_first: BoolArray
    ) -> tuple[FloatArray, int]:
        """Action rows float32 [N, columns] and the next state."""
        motor, num, count = self.motor, len(is_first), self.motor.config.candidates
        philox = np.random.Philox(key=[self.seed, MOTOR_STREAM], counter=[0, 0, 0, state])
        generator = np.random.Generator(philox)
        shape = (num, count, motor.points.width)
        noise = torch.from_numpy(generator.standard_normal(shape, np.float32))
        seen = {key: torch.from_numpy(np.asarray(value)) for key, value in observation.items()}
        mask = seen.get("action_mask")
        parts = motor.parts(seen)
        points = motor.candidates(parts, noise)
        rows, done = motor.points.settle(points, None if mask is None else mask[:, None])
        mean, std = self._judged(parts, done)
        intact = lower_bound(mean, std, motor.config.beta).argmax(1)
        order = torch.from_numpy(generator.permutation(num))
        turn = torch.from_numpy(generator.permuted(np.tile(np.arange(count), (num, 1)), axis=1))
        chosen = self._chosen(parts, done, order, mean, std.gather(1, turn))
        chosen = intact if chosen is None else chosen
        self.decisions += num
        self.others += int((chosen != intact).sum())
        row = rows.gather(1, chosen[:, None, None].expand(-1, 1, rows.shape[2]))[:, 0]
        return row.numpy(), state + 1

    def _chosen(
        self, parts: list[Tensor], done: Tensor, order: Tensor, mean: Tensor, mixed: Tensor
    ) -> Tensor | None:
        """Which candidate [N]; None for the intact one's. order [N] mixes environments, mixed
        [N, candidates] are the deviations of others."""
        beta = self.motor.config.beta
        if self.way == ("judges", "zero"):
            return torch.zeros(len(mean), dtype=torch.long)
        if self.way == ("judges", "shuffle"):
            return lower_bound(*self._judged([p[order] for p in parts], done), beta).argmax(1)
        if self.way == ("doubt", "zero"):
            return mean.argmax(1)
        if self.way == ("doubt", "shuffle"):
            return lower_bound(mean, mixed, beta).argmax(1)
        return None

    def _judged(self, parts: list[Tensor], done: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of all Q functions for points [N, candidates, width], where what is
        seen is `parts`."""
        num, count = done.shape[:2]
        each = [part[:, None].expand(-1, count, -1).flatten(0, 1) for part in parts]
        mean, std = self.motor.ensemble.agreed(self.motor.judged(each, done.flatten(0, 1)))
        return mean.view(num, count), std.view(num, count)


def ablate_motor(
    run: Path,
    version: Path | None = None,
    *,
    seeds: int = 5,
    episodes: int = 0,
    parts: Sequence[str] = (),
    again: bool = False,
    progress: Progress | None = None,
) -> Artifact:
    """Ablates a run's motor, the newest unless a version's directory is given, and keeps what was
    found in `<run>/ablations`. Arguments as those of `study.ablate`; what was cut short goes on.

    Raises ConfigError for a part that a motor does not have, CheckpointError without a motor.
    """
    if seeds < 2:
        raise ConfigError(f"seeds: {seeds}; an interval needs at least 2")
    known = dict.fromkeys(part for part, _ in WAYS if part not in (INTACT, CONTROL))
    if unknown := [part for part in parts if part not in known]:
        raise ConfigError(f"part {unknown[0]!r}: a motor has {', '.join(known)}")
    config = presets.begun(run, environ={})
    episodes = episodes or config.run.eval_episodes
    ways = [way for way in WAYS if way[0] in (INTACT, CONTROL, *(parts or known))]
    game = assess.repeatable(config.game, assess.at_once(config.game, episodes))
    try:
        path = version or motors.newest(run)
        motor, found = motors.load(path, game.observation_space, game.action_layout)
        key = hashlib.sha256(msgspec.json.encode([found.hash, episodes, ways])).hexdigest()[:8]
        where = run / FOLDER / f"motor-{path.name}-{key}-{seeds}"
        if where.is_dir() and not again:
            return artifact.load(where, kind=KIND)
        partial = run / FOLDER / f".motor-{path.name}-{key}"
        table = _Table(game, motor, ways, episodes)
        trials = list(_trials(table, range(1, seeds + 1), partial, progress))
    finally:
        game.close()
    result = _result(trials, path, found, config, episodes)
    written = artifact.write(
        where,
        kind=KIND,
        seed=config.run.seed,
        files={RESULT: msgspec.json.encode(result), PICTURE: picture(result)},
        parents=(found.hash,),
        details={"inert": result.inert, "seeds": result.seeds},
        replace=True,
    )
    shutil.rmtree(partial, ignore_errors=True)
    return written


class _Table(NamedTuple):
    """Where a motor plays, and in which ways."""

    game: BatchGame
    motor: Motor
    ways: Sequence[Way]
    episodes: int

    def trials(self, seed: int, begin: Callable[[str, int], None]) -> list[Trial]:
        """All of one seed: the same episodes from the same noise."""
        found: list[Trial] = []
        for part, mode in self.ways:
            begin(f"seed {seed}: {part}, {mode}", len(found))
            policy = Judged(self.motor, (part, mode), seed)
            returns = play(self.game, policy, self.episodes, 0)["return"]
            mean = float(returns.mean())
            found.append(
                Trial(seed=seed, part=part, mode=mode, return_mean=mean, moved=policy.moved)
            )
        return found


def _trials(
    table: _Table, seeds: Sequence[int], partial: Path, progress: Progress | None
) -> Iterator[Trial]:
    """Of every seed all trials; a seed that was finished before an interruption is read back."""
    total = len(seeds) * len(table.ways)
    for number, seed in enumerate(seeds):
        kept = kept_seeds.kept(partial, seed)
        if kept is None:
            done = number * len(table.ways)

            def begin(name: str, at: int, done: int = done) -> None:
                if progress is not None:
                    progress(done + at, total, name)

            kept = kept_seeds.Seed(table.trials(seed, begin), {})
            kept_seeds.keep(partial, seed, kept)
        yield from kept.trials


def _result(
    trials: list[Trial], path: Path, found: Artifact, config: Config, episodes: int
) -> Ablation:
    """What the trials say of the motor."""
    effects = effects_of(trials)
    intact = [t for t in trials if t.part == INTACT]
    control = [t for t in trials if t.part == CONTROL]
    pairs = zip(intact, control, strict=True)
    return Ablation(
        run=str(path),
        checkpoint=found.hash,
        game=config.game.name,
        step=0,
        steps=0,
        episodes=episodes,
        from_start=False,
        seeds=[t.seed for t in intact],
        intact=[t.return_mean for t in intact],
        chance=0.0,
        repeats=all(a.return_mean == b.return_mean for a, b in pairs),
        effects=effects,
        findings=findings_of(effects, 0.0),
        trials=trials,
        unit="of decisions",
    )

"""Ablations of a run: what each auxiliary part is good for, found by taking it away.

Knows checkpoints, trainers and the parts that learn beside the policy; does not know how a part
learns, or how results are shown. From one checkpoint the run goes on for so many steps, again and
again under the same seeds: intact; intact once more, which is the control; and with one part

- zero: taken out of what reaches the policy,
- freeze: kept as it is, it learns nothing more,
- shuffle: fed or taught in the wrong order, so that it is as loud and knows nothing.

Whoever serves when a training is over, the policy or a dreamer that leads, is compared with who
serves for the intact one of its seed, and it is he who plays. The run itself stays as it was:
trainings read its replay through links and write elsewhere.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.errors import ConfigError, CorruptError
from metabonk.games import from_config
from metabonk.learn import assess, checkpoint, faults, presets
from metabonk.learn.ablation import behaviour
from metabonk.learn.ablation import seeds as kept_seeds
from metabonk.learn.ablation.effects import (
    CONTROL,
    DONE,
    INTACT,
    Ablation,
    Mode,
    Trial,
    chance_of,
    effects_of,
    findings_of,
)
from metabonk.learn.ablation.interventions import PARTS, Part
from metabonk.learn.auxiliary import world as beside
from metabonk.learn.checkpoint import Snapshot
from metabonk.learn.evaluate import play
from metabonk.learn.players import Players, Who
from metabonk.learn.rollout import Rollout
from metabonk.learn.scratch import scratch
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Array, BatchGame

FOLDER = "ablations"
SCRATCH = ".trial-"
KIND = "ablation"
RESULT, PICTURE = "ablation.json", "effects.png"
ROLLOUTS = 20  # of a trial, unless steps are given
MEASURED = 3  # what is measured, and how: results of another number are of something else
Progress = Callable[[int, int, str], None]
Begins = Callable[[int, int], None]


def ablate(
    run: Path,
    *,
    seeds: int = 5,
    steps: int = 0,
    episodes: int = 0,
    parts: Sequence[str] = (),
    from_start: bool = False,
    again: bool = False,
    known: Sequence[Part] | None = None,
    begins: Begins | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Ablates a run directory's parts and keeps what was found in `<run>/ablations`.

    steps: of every training, of all environments, in whole rollouts; 0: of twenty of them.
    episodes: of every evaluation; 0: as the run was configured. parts: names, none for all that the
    run has.
    from_start: train from nothing instead of from the newest checkpoint. again: also what was
    measured before; an ablation that was cut short goes on. known: the parts there are.
    begins: called before the first with the number of trainings and the steps of each. progress:
    called with trainings done, of how many, and the one that begins.

    Raises ConfigError for a run without parts or one that it does not have, CheckpointError for one
    without a usable checkpoint.
    """
    if seeds < 2:
        raise ConfigError(f"seeds: {seeds}; an interval needs at least 2")
    found = faults.usable(run)
    config = presets.begun(run, environ={})
    episodes = episodes or config.run.eval_episodes
    with (
        scratch(run / FOLDER, SCRATCH) as room,
        contextlib.closing(
            _Bench(run, room, config, checkpoint.read(found), episodes, from_start)
        ) as bench,
    ):
        bench.choose(parts, PARTS if known is None else known)
        bench.steps = (-(-steps // bench.rollout) or ROLLOUTS) * bench.rollout
        asked = [
            MEASURED,
            found.hash,
            bench.steps,
            episodes,
            from_start,
            [p.name for p in bench.parts],
        ]
        key = hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:8]
        where = run / FOLDER / f"{found.card.details['step']:012d}-{key}-{seeds}"
        if where.is_dir() and not again:
            return artifact.load(where, kind=KIND)
        partial = run / FOLDER / f".{key}"
        if begins is not None:
            begins(seeds * bench.trainings, bench.steps)
        trials = list(_trials(bench, range(1, seeds + 1), partial, progress))
        result = _result(bench, found, trials)
        written = artifact.write(
            where,
            kind=KIND,
            seed=config.run.seed,
            files={RESULT: msgspec.json.encode(result), PICTURE: picture(result)},
            parents=(found.hash,),
            details={"inert": result.inert, "steps": bench.steps, "seeds": result.seeds},
            replace=True,
        )
        shutil.rmtree(partial, ignore_errors=True)
        return written


def read(found: Artifact) -> Ablation:
    """What an ablation found. Raises CorruptError if the file is damaged."""
    try:
        return msgspec.json.decode(found.read(RESULT), type=Ablation)
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{found.path / RESULT}: {error}; ablate the run again") from error


def _trials(
    bench: _Bench, seeds: Sequence[int], partial: Path, progress: Progress | None
) -> Iterator[Trial]:
    """Of every seed all trials; a seed that was finished before an interruption is read back."""
    total = len(seeds) * bench.trainings
    for number, seed in enumerate(seeds):
        kept = kept_seeds.kept(partial, seed)
        if kept is not None:
            bench.follow(kept.players, kept.trials[0].serves)
            yield from kept.trials
            continue
        done = number * bench.trainings

        def begin(name: str, at: int, done: int = done) -> None:
            if progress is not None:
                progress(done + at, total, name)

        mine, players = bench.trials(seed, begin)
        kept_seeds.keep(partial, seed, kept_seeds.Seed(mine, behaviour.weights(players)))
        yield from mine


def _result(bench: _Bench, found: Artifact, trials: list[Trial]) -> Ablation:
    effects = effects_of(trials)
    intact = [t for t in trials if t.part == INTACT]
    chance = chance_of(trials)
    return Ablation(
        run=str(bench.run),
        checkpoint=found.hash,
        game=bench.config.game.name,
        step=int(found.card.details["step"]),
        steps=bench.steps,
        episodes=bench.episodes,
        from_start=bench.from_start,
        seeds=[t.seed for t in intact],
        intact=[t.return_mean for t in intact],
        chance=chance,
        repeats=all(t.moved == 0.0 for t in trials if t.part == CONTROL),
        effects=effects,
        findings=findings_of(effects, chance),
        trials=trials,
    )


def picture(result: Ablation) -> bytes:
    """What each thing that was done cost or gained, as PNG."""
    from metabonk.learn.report import figures  # matplotlib takes a second to import

    rows = [
        figures.Interval(
            f"{effect.part}, {DONE[effect.mode]}",
            effect.difference,
            *effect.ci95,
            faint=effect.part == CONTROL,
        )
        for effect in result.effects
    ]
    return figures.png(figures.intervals(rows, "return, difference from the intact training"))


class _Bench:
    """Where trials run: two games that every one of them uses anew, and a room for replays."""

    def __init__(
        self,
        run: Path,
        room: Path,
        config: Config,
        saved: Snapshot,
        episodes: int,
        from_start: bool,
    ) -> None:
        self.run, self.room, self.config, self.saved = run, room, config, saved
        self.episodes, self.from_start = episodes, from_start
        self.steps = 0
        self.parts: list[Part] = []
        self.replay = room / "replay"
        _hold(run / beside.FOLDER, self.replay, [] if from_start else _named(saved))
        self.game: BatchGame = from_config(config.game)
        self.judging: BatchGame | None = None
        # Who came out of the intact training of the seed before: how far chance alone leads.
        self._before: Players | None = None

    @property
    def rollout(self) -> int:
        """Environment steps of one."""
        return self.game.num_envs * self.config.ppo.horizon

    @property
    def trainings(self) -> int:
        """Of one seed."""
        return 2 + sum(len(part.modes) for part in self.parts)

    def choose(self, names: Sequence[str], known: Sequence[Part]) -> None:
        """Takes the parts of these names, all that the run has without names."""
        with self._trainer(self.config.run.seed) as trainer:
            there = {part.name: part for part in known if part.there(trainer)}
        if not there:
            raise ConfigError(
                f"{self.run} has nothing that learns beside its policy: train one with "
                "--set dream.enabled=1, efe.enabled=1 or world.intrinsic=0.1"
            )
        if unknown := [name for name in names if name not in there]:
            raise ConfigError(f"part {unknown[0]!r}: the run has {', '.join(there)}")
        self.parts = [there[name] for name in names] if names else list(there.values())

    def follow(self, weights: Mapping[str, Array], serves: Who) -> None:
        """Takes who came out of a seed that was measured before for the seed before."""
        with self._trainer(self.config.run.seed) as trainer:
            self._before = behaviour.load(copy.deepcopy(trainer.players), weights, serves)

    def trials(self, seed: int, begin: Callable[[str, int], None]) -> tuple[list[Trial], Players]:
        """All of one seed, and who came out of its intact training."""
        begin(f"seed {seed}: intact", 0)
        intact, seen = self._train(seed, None)
        chance = 0.0 if self._before is None else behaviour.apart(intact, self._before, seen)
        self._before = intact
        trials = [self._trial(seed, INTACT, "again", intact, chance)]
        begin(f"seed {seed}: intact once more", 1)
        same, _ = self._train(seed, None)
        moved = behaviour.apart(intact, same, seen)
        trials.append(self._trial(seed, CONTROL, "again", same, moved))
        for part in self.parts:
            for mode, change in part.modes.items():
                begin(f"seed {seed}: {part.name}, {mode}", len(trials))
                other, _ = self._train(seed, change)
                moved = behaviour.apart(intact, other, seen)
                trials.append(self._trial(seed, part.name, mode, other, moved))
        return trials, intact

    def _trial(self, seed: int, part: str, mode: Mode, players: Players, moved: float) -> Trial:
        run = self.config.run
        if self.judging is None:
            count = assess.at_once(self.config.game, self.episodes)
            self.judging = assess.repeatable(self.config.game, count)
        playing = players.playing(sampled=run.eval_sampled, seed=0)
        returns = play(self.judging, playing, self.episodes, 0)["return"]
        return Trial(
            seed=seed,
            part=part,
            mode=mode,
            return_mean=float(returns.mean()),
            moved=moved,
            serves=players.serves,
        )

    def _train(
        self, seed: int, change: Callable[[Trainer], None] | None
    ) -> tuple[Players, Rollout]:
        """Who comes out, and the last rollout that was learned from."""
        with self._trainer(seed) as trainer:
            if self.from_start:
                trainer.planned = self.steps
                trainer.dream_on()
                trainer.start()
            else:
                trainer.restore(self.saved)
                trainer.planned = 0  # rates are those of the run's beginning, not those of its end
            if change is not None:
                change(trainer)
            until = trainer.steps + self.steps
            while trainer.steps < until:
                trainer.iterate()
            return copy.deepcopy(trainer.players), copy.deepcopy(trainer.collector.rollout)

    def _trainer(self, seed: int) -> _Scratch:
        return _Scratch(self, seed)

    def close(self) -> None:
        self.game.close()
        if self.judging is not None:
            self.judging.close()


class _Scratch:
    """A trainer that has the run's replay and a directory of its own, for as long as it lasts."""

    def __init__(self, bench: _Bench, seed: int) -> None:
        self.bench, self.seed = bench, seed
        self.here = bench.room / "training"

    def __enter__(self) -> Trainer:
        bench, here = self.bench, self.here
        shutil.copytree(bench.replay, here / beside.FOLDER, copy_function=_link)
        config = msgspec.json.decode(msgspec.json.encode(bench.config), type=Config)
        config.run.seed = self.seed
        return Trainer(bench.game, config, directory=here, planned=bench.steps)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.here, ignore_errors=True)


def _named(saved: Snapshot) -> list[str]:
    """Rollouts of the replay that a checkpoint names."""
    return [str(entry["name"]) for entry in saved.details.get("world", {}).get("replay", [])]


def _hold(source: Path, target: Path, names: Sequence[str]) -> None:
    """Keeps rollouts of a replay whatever becomes of it: a run that is training forgets them. What
    is not there any more is missed by whoever restores the checkpoint."""
    target.mkdir()
    for name in names:
        try:
            shutil.copytree(source / name, target / name, copy_function=_link)
        except (FileNotFoundError, shutil.Error):  # the second of a folder that goes meanwhile
            if (source / name).exists():
                raise


def _link(source: str, target: str) -> str:
    """Files of a replay never change: a second name for one costs nothing. Where the disk has no
    such names, a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

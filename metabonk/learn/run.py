"""The train stage: a run directory from its configuration to its report.

Knows run directories, clocks, checkpoints, evaluations and sinks. Does not know how a network
learns (trainer.py) nor how a report looks (report.py).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from metabonk import files
from metabonk.artifact import Artifact, sweep
from metabonk.config import Config, settings, to_toml
from metabonk.errors import (
    CompileError,
    ConfigError,
    DivergedError,
    MetabonkError,
    MissingExtraError,
)
from metabonk.games import from_config
from metabonk.learn import assess, backends, checkpoint, faults, presets, run_metrics, threads
from metabonk.learn.assess import Assessor
from metabonk.learn.auxiliary.parts import parts
from metabonk.learn.auxiliary.world import WorldTraining
from metabonk.learn.evaluate import CRASHES, Evaluation
from metabonk.learn.motors.training import MotorTraining
from metabonk.learn.record import Recording
from metabonk.learn.report.publish import LOST, NO_DREAMS, NO_MOTOR, SLOW, RunResult, notes, publish
from metabonk.learn.trainer import Trainer
from metabonk.metrics import JsonLinesSink, Registry, Sink, TensorBoardSink, declare, declared
from metabonk.ops.fallbacks import Watch
from metabonk.protocols import BatchGame
from metabonk.stage import Context, Stage

CONFIG, METRICS = "config.toml", "metrics.jsonl"
# Compiling a network takes seconds; runs below both of these would not get them back.
LONG_MINUTES, LONG_STEPS = 1.0, 500_000
_NO_PILOT = (
    "cpqe.enabled: the policy is no pilot, of whose play alone motors are learned: set "
    "model.name=pilot, or learn one from recordings with `metabonk pretrain cpqe`"
)
PLANNING = 0.05  # part of the minutes after which the run's steps are estimated first
# What may change when a run is continued; all else makes it another run.
FLEXIBLE = frozenset(
    {
        "native",
        "game.threads",
        "run.directory",
        "run.minutes",
        "run.steps",
        "run.checkpoint_every",
        "run.keep_checkpoints",
        "run.eval_every",
        "run.eval_episodes",
        "run.eval_sampled",
        "run.video",
        "run.acting",
        "run.torch_threads",
    }
)

run_metrics.declare_all()


class Interrupted(MetabonkError):
    """The user stopped a run; it was saved."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        super().__init__(f"stopped and saved; go on with: {result.resume_command}")


def train(config: Config, *, resume: bool = False, sinks: Sequence[Sink] = ()) -> RunResult:
    """Trains as configured and returns when the run is done or was interrupted (Ctrl-C).

    The run lives in `config.run.directory`. resume: go on with what is there. sinks: see every
    record besides the run's own files; closed at the end. Raises ResumeError if the directory
    holds other work, CheckpointError if the newest checkpoint is damaged. Of a new run that cannot
    begin, as for a game that there is not, nothing is left.
    """
    directory = Path(config.run.directory or default_directory(config.game.name))
    empty = not directory.exists() or not any(directory.iterdir())
    # Of a run that was killed before it had its settings there is nothing to go on with.
    resume = resume or not (directory / CONFIG).exists()
    results: list[RunResult] = []

    def body(context: Context[Config]) -> Artifact:
        try:
            opened = Session(context, sinks)
        except MetabonkError:  # a name or a size that cannot be: the place stays free for another
            if empty:
                shutil.rmtree(directory)
            raise
        with contextlib.closing(opened) as session:
            results.append(session.run())
            return results[-1].checkpoint

    defaults = {setting.key: setting.default for setting in settings().values()}
    stage = Stage("train", body, FLEXIBLE, worth=defaults | presets.BEFORE)
    try:
        done = stage.run(directory, config, seed=config.run.seed, resume=resume)
    except Interrupted as stop:
        return stop.result
    return results[-1] if results else finished(directory, done)


def finished(directory: Path, done: Artifact) -> RunResult:
    """The result of a run that is complete on disk."""
    details = done.card.details
    evaluation = Assessor.latest(directory)
    steps = int(details["step"])
    said = notes(directory, steps)
    return RunResult(directory, done, steps, details["seconds"], evaluation, notes=said)


def default_directory(game: str) -> Path:
    """runs/<game>-<date>-<time>."""
    return Path("runs") / f"{game.replace('/', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"


def crashes_of(game: BatchGame) -> int:
    """How often a process of the game died so far; 0 for games that have none."""
    return int(np.sum(game.episode_info().get(CRASHES, 0)))


class Session:
    """One process's part of a run."""

    def __init__(self, context: Context[Config], sinks: Sequence[Sink]) -> None:
        self.directory, self.config = context.directory, context.config
        run = self.config.run
        self.steps, self.minutes = presets.budget(self.config.game.name, run.steps, run.minutes)
        beside = parts(self.config)
        self.profile = dict.fromkeys(("env", "policy", "update", *beside, "other"), 0.0)
        self.seconds = 0.0  # of training, earlier processes included
        self.planned_at = 0.0  # of them, those after which the steps were estimated last
        self.parents = tuple(i.hash for i in context.inputs)
        self.stopped = False
        self.fallbacks = Watch()
        files.replace(self.directory / CONFIG, to_toml(self.config).encode())
        sweep(self.directory / checkpoint.FOLDER)
        resuming = context.resumed and bool(checkpoint.listed(self.directory))
        if run.torch_threads:  # before there is a network: what it begins with rounds by them too
            torch.set_num_threads(run.torch_threads)
        with contextlib.ExitStack() as opened:  # closed again if the run cannot go on
            self._open(sinks, opened)
            if not run.torch_threads and not resuming:  # else the checkpoint says how many
                threads.choose(self.trainer)
            if resuming:
                self._resume()
            else:
                self._begin()
            self.crashes = crashes_of(self.game)
            self._opened = opened.pop_all()

    def _open(self, sinks: Sequence[Sink], opened: contextlib.ExitStack) -> None:
        """Everything that has to be closed, and what needs it."""
        self.registry = Registry([JsonLinesSink(self.directory / METRICS), *sinks])
        opened.callback(self.registry.close)
        with contextlib.suppress(MissingExtraError):  # an optional view of the same numbers
            self.registry.add(TensorBoardSink(self.directory / "tensorboard"))
        torch.manual_seed(self.config.run.seed)  # for whatever a network may draw from torch itself
        self.game = from_config(self.config.game)
        opened.callback(self.game.close)
        self.trainer = Trainer(self.game, self.config, directory=self.directory, planned=self.steps)
        self.assessor = Assessor(self.directory, self.config)
        opened.callback(self.assessor.close)
        record = self.config.run.record
        self.recording = Recording(self.directory, self.trainer) if record else None

    def _keepers(self) -> list[WorldTraining | MotorTraining]:
        """Who keeps rollouts on disk, which checkpoints name."""
        parts = (self.trainer.world, self.trainer.motor)
        return [part for part in parts if part is not None]

    def _choose_acting(self) -> None:
        """As the configuration says, or by measurement if the run is long enough to gain by it."""
        asked = self.config.run.acting
        if asked != "auto":
            self.trainer.act_as(asked)
        elif self.minutes >= LONG_MINUTES or self.steps >= LONG_STEPS:
            seconds, why = {}, ""
            try:
                seconds = self.trainer.act_quickly()
            except CompileError as error:  # torch goes on, and the run's events say why
                why = str(error)
            chosen = self.trainer.collector.acting.name
            self.registry.event("acting", step=0, chosen=chosen, seconds=seconds, why=why)

    def _begin(self) -> None:
        self.registry.cut_back(-1)
        self._choose_acting()
        begun = self.trainer.dream_on()
        if begun is not None:
            self.parents = (*self.parents, begun.hash)
        for part in self._keepers():  # of an attempt that was killed before it saved
            part.begin()
        if self.recording is not None:
            self.recording.cut(0)
        self.trainer.start()
        self.registry.event(
            "started",
            step=0,
            game=self.game.name,
            seed=self.config.run.seed,
            backends=backends.here(self.trainer.collector.acting.name),
            dreams="" if begun is None else begun.hash,
        )
        if self.trainer.dreams is not None:
            self.registry.event("dreams", step=0, when=self.trainer.dreams.due(self.steps))

    def _resume(self) -> None:
        found = faults.usable(self.directory)
        saved = checkpoint.read(found)
        self.trainer.restore(saved)
        if self.steps:
            self.trainer.planned = self.steps
        self.seconds = float(saved.details["seconds"])
        self.planned_at = float(saved.details.get("planned_at", 0.0))
        self.profile = dict(saved.details["profile"])
        self.parents = (found.hash,)
        self.registry.cut_back(saved.step)
        if not self.steps and self.minutes != saved.details.get("minutes", self.minutes):
            # Schedules were made for a run of another length.
            self.trainer.planned, self.planned_at = 0, 0.0
            self._plan()
        if self.recording is not None:
            self.recording.cut(int(saved.details["recorded"]), restarted=self.trainer.restarted)
        self.registry.event(
            "resumed",
            step=saved.step,
            checkpoint=found.hash,
            restarted=self.trainer.restarted,
            differs=self.trainer.differs,
        )

    def run(self) -> RunResult:
        """Trains until the budget is spent, then evaluates and reports."""
        with self._catch_interrupt():
            self._train()
        saved = self.save()
        if self.stopped:
            self.registry.event("interrupted", checkpoint=saved.hash)
            raise Interrupted(self._result(saved, None))
        if silent := self.trainer.imagination.silent():
            self.registry.event(NO_DREAMS, step=self.trainer.steps, reason=silent)
        self._distil(saved)
        evaluation = self.evaluate(saved)
        self._tell_fallbacks()
        result = self._result(saved, evaluation)
        return publish(result, self.config, self.profile, self.registry)

    def _distil(self, saved: Artifact) -> None:
        """A motor from what was played last, where one is asked for. Learning one may fail: what
        the run itself learned is evaluated and reported all the same."""
        if self.trainer.motor is None:
            if self.config.cpqe.enabled:
                self.registry.event(NO_MOTOR, step=self.trainer.steps, reason=_NO_PILOT)
            return
        began = time.monotonic()
        try:
            motor = self.trainer.motor.distil(saved, self._tell_phase)
        except (ConfigError, DivergedError) as error:  # nothing to learn from, or it diverged
            self.registry.event(NO_MOTOR, step=self.trainer.steps, reason=str(error))
            return
        self.registry.event(
            "motor",
            path=str(motor.path),
            hash=motor.hash,
            steps=motor.card.details["steps"],
            seconds=round(time.monotonic() - began, 3),
        )

    def _tell_phase(self, phase: str, done: int, updates: int, losses: Mapping[str, float]) -> None:
        """How far the motor is: an event when a phase begins and one when it has ended."""
        if done in (1, updates):
            self.registry.event(
                "motor_phase", step=self.trainer.steps, phase=phase, done=done, updates=updates,
                losses=dict(losses),
            )  # fmt: skip

    def _tell_losses(self) -> None:
        """An event if processes of the game died since the last one."""
        died = crashes_of(self.game)
        if died > self.crashes:
            self.registry.event(LOST, step=self.trainer.steps, count=died - self.crashes)
            self.crashes = died

    def _tell_fallbacks(self) -> None:
        """An event if operations ran on torch's definition since the last one."""
        if calls := self.fallbacks.news():
            self.registry.event(SLOW, step=self.trainer.steps, calls=calls)

    def _result(self, saved: Artifact, evaluation: Evaluation | None) -> RunResult:
        return RunResult(
            self.directory, saved, self.trainer.steps, self.seconds, evaluation, self.stopped
        )

    def _train(self) -> None:
        run = self.config.run
        saved_at = evaluated_at = time.monotonic()
        while not self.stopped and not self._spent():
            began = time.monotonic()
            watch = self.recording.append if self.recording is not None else None
            try:
                metrics = self.trainer.iterate(watch)
            except DivergedError as error:
                self.registry.event("diverged", step=self.trainer.steps, message=str(error))
                raise
            now = time.monotonic()
            self.seconds += now - began
            self._plan()
            self._log(metrics)
            self._tell_losses()
            if now - saved_at >= run.checkpoint_every:
                self.save()
                saved_at = time.monotonic()
            if run.eval_every and now - evaluated_at >= run.eval_every:
                self.evaluate(self.save())
                evaluated_at = saved_at = time.monotonic()

    def _spent(self) -> bool:
        over = bool(self.minutes) and self.seconds >= 60.0 * self.minutes
        # A rollout that would pass the bound is not begun: N steps means at most N.
        collector = self.trainer.collector
        rollout = self.game.num_envs * (self.trainer.ppo.config.horizon + collector.cold)
        full = bool(self.steps) and self.trainer.steps + rollout > self.steps
        return over or (full and self.trainer.steps > 0)

    def _plan(self) -> None:
        """Turns minutes into steps once the speed is known, so that schedules count steps. It looks
        again each time the run is twice as old: of a run that became quicker, a rate that reaches
        nothing too early wastes the rest."""
        due = 2.0 * self.planned_at if self.planned_at else 60.0 * PLANNING * self.minutes
        if self.steps or self.seconds < due:
            return
        self.planned_at = self.seconds
        self.trainer.planned = int(self.trainer.steps * 60.0 * self.minutes / self.seconds)
        self.registry.event("planned", step=self.trainer.steps, steps=self.trainer.planned)

    def _log(self, metrics: dict[str, float]) -> None:
        for key in metrics.keys() - declared().keys():  # what only this game counts
            name = key.removeprefix("episode_")
            declare(key, "", f"Mean {name} of the episodes that ended")
        for activity in self.profile:
            self.profile[activity] += metrics.get(f"seconds_{activity}", 0.0)
        self.profile["other"] = self.seconds - sum(
            v for k, v in self.profile.items() if k != "other"
        )
        left, minutes = self._left(), self.seconds / 60.0
        self.registry.log(self.trainer.steps, **metrics, seconds_left=left, minutes=minutes)

    def _left(self) -> float:
        """Seconds until the run ends, by the bound that it reaches first."""
        left = [60.0 * self.minutes - self.seconds] if self.minutes else []
        if self.steps:
            left.append(self.seconds * (self.steps / max(self.trainer.steps, 1) - 1.0))
        return max(0.0, min(left, default=0.0))

    def save(self) -> Artifact:
        """Writes a checkpoint whose parent is the one before."""
        self._tell_fallbacks()  # before it: whoever resumes from it has counted these
        for part in self._keepers():
            part.flush()
        snapshot = self.trainer.snapshot()
        snapshot.details |= {"seconds": self.seconds, "profile": self.profile}
        snapshot.details |= {"minutes": self.minutes, "planned_at": self.planned_at}
        snapshot.details["recorded"] = self.recording.flush() if self.recording else 0
        saved = checkpoint.save(
            self.directory, snapshot, parents=self.parents, keep=self.config.run.keep_checkpoints
        )
        if saved.hash not in self.parents:
            self.parents = (saved.hash,)
        assess.prune(self.directory)
        kept = [int(path.name) for path in checkpoint.listed(self.directory)]
        for part in self._keepers():
            part.saved(snapshot.step, kept)
        serves = {k: v for k, v in snapshot.details.items() if k == "serves"}
        self.registry.event("checkpoint", step=snapshot.step, hash=saved.hash, **serves)
        return saved

    def evaluate(self, saved: Artifact) -> Evaluation:
        """Measures whoever serves now, beside its baselines, and keeps the result."""
        evaluation = assess.read(self.assessor.assess(self.trainer.players, saved))
        assess.prune(self.directory)
        summary = evaluation.summary()
        self.registry.event("evaluation", step=self.trainer.steps, **summary)
        means = {
            f"eval_{k}": v for k, v in summary.items() if k.endswith("_mean") and v is not None
        }
        self.registry.log(self.trainer.steps, **means)
        return evaluation

    @contextlib.contextmanager
    def _catch_interrupt(self) -> Iterator[None]:
        """The first Ctrl-C ends the loop after the update at hand, a second one at once."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            if self.stopped:
                raise KeyboardInterrupt
            self.stopped = True

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not the main thread: whoever owns it handles Ctrl-C
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def close(self) -> None:
        """Releases the games and closes the sinks."""
        self._opened.close()

"""Runs say what befell them: films that failed, rounding, processes that died, more minutes."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from run_metrics import events, numbers
from tiny_dreams import dreaming
from tiny_games import Walk

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.errors import (
    CheckpointError,
    ConfigError,
    DivergedError,
    GameError,
    MetabonkError,
)
from metabonk.learn import assess, checkpoint, run
from metabonk.learn.assess import Assessor
from metabonk.learn.dreams import versions as dreams
from metabonk.learn.dreams.trust import Trust
from metabonk.learn.dreams.world import WorldLearner
from metabonk.learn.motors.cpqe import CpqeLearner, Progress
from metabonk.learn.report import publish
from metabonk.learn.trainer import Trainer
from metabonk.metrics import Record, Registry
from metabonk.protocols import Array


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings of a run of this process in `tmp_path`, 48 steps per rollout."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from run_tiny import configure, make_game

    for module in (run, assess):
        monkeypatch.setattr(module, "from_config", make_game)
    return configure(str(tmp_path), 48)


def test_a_film_that_fails_leaves_the_report_and_says_why(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise GameError("the picture is torn")

    monkeypatch.setattr(publish, "film", broken)
    tiny.run.video = True
    result = run.train(tiny)
    (note,) = result.notes
    assert "filming failed: GameError: the picture is torn" in note
    assert "the picture is torn" in (tmp_path / "report.html").read_text()
    assert run.train(tiny, resume=True).notes == result.notes  # nothing to do: said again
    monkeypatch.setattr(publish, "film", lambda *_: None)
    tiny.run.steps *= 2
    assert run.train(tiny, resume=True).notes == ()
    assert "the picture is torn" not in (tmp_path / "report.html").read_text()


def test_measuring_again_leaves_what_the_run_reports(tiny: Config, tmp_path: Path) -> None:
    tiny.run.eval_every, tiny.run.steps = 1e-6, 48 * 6
    result = run.train(tiny)
    assert result.evaluation is not None
    kept = [path.name for path in checkpoint.listed(tmp_path)]
    own = [path.name for path in assess.own_evaluations(tmp_path)]
    assert own == kept  # the evaluations of checkpoints that were pruned are gone
    asked = assess.assess_run(tmp_path, episodes=6, seed=7, sampled=False)
    assert asked.path.name == f"{kept[-1]}-seed7-6-greedy"
    assert assess.read(asked).episodes == 6
    same = assess.assess_run(tmp_path)
    assert same.path.name == f"{kept[-1]}-seed0-12-sampled"
    assert assess.read(same).returns == result.evaluation.returns
    found = Assessor.latest(tmp_path)
    assert found is not None
    assert found.returns == result.evaluation.returns
    assert run.train(tiny, resume=True).evaluation == found
    # Measured before; and again only when asked to.
    written = (asked.path / "card.json").stat().st_mtime_ns
    for again, rewritten in ((False, False), (True, True)):
        other = assess.assess_run(tmp_path, episodes=6, seed=7, sampled=False, again=again)
        assert other.path == asked.path
        assert ((other.path / "card.json").stat().st_mtime_ns != written) is rewritten


def test_evaluations_go_with_their_checkpoints(tiny: Config, tmp_path: Path) -> None:
    run.train(tiny)
    assess.assess_run(tmp_path, episodes=6, seed=7)
    assert len(list((tmp_path / "evaluations").glob("[0-9]*"))) == 2
    tiny.run.steps, tiny.run.keep_checkpoints = 96, 1
    run.train(tiny, resume=True)
    (left,) = (tmp_path / "evaluations").glob("[0-9]*")
    assert left.name == checkpoint.listed(tmp_path)[-1].name == f"{96:012d}"


def test_the_newest_own_evaluation_outlives_its_checkpoint(tmp_path: Path) -> None:
    for path in (
        *("checkpoints/000000000002", "checkpoints/000000000003"),
        *("evaluations/000000000000", "evaluations/000000000001", "evaluations/000000000004"),
        "evaluations/000000000001-seed1-8-greedy",
        "evaluations/000000000003-seed1-8-greedy",
    ):
        (tmp_path / path).mkdir(parents=True)
    assess.prune(tmp_path)
    left = sorted(path.name for path in (tmp_path / "evaluations").iterdir())
    assert left == ["000000000001", "000000000003-seed1-8-greedy"]


def test_rounding_that_differs_is_told(tiny: Config, tmp_path: Path) -> None:
    run.train(tiny)
    tiny.run.steps, tiny.run.torch_threads = 96, 2
    result = run.train(tiny, resume=True)
    torch.set_num_threads(1)
    (event,) = events(tmp_path, "resumed")
    (difference,) = event.values["differs"]
    assert difference.startswith("threads of the network: was 1, now 2")
    assert [difference in note for note in result.notes] == [True]
    assert difference in (tmp_path / "report.html").read_text()


def test_a_resume_that_fails_closes_what_it_opened(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []

    class Sink:
        def write(self, record: Record) -> None: ...

        def close(self) -> None:
            closed.append(self)

    monkeypatch.setattr(Walk, "close", lambda game: closed.append(game))
    run.train(tiny)
    closed.clear()
    with (checkpoint.listed(tmp_path)[-1] / "state.safetensors").open("r+b") as file:
        file.write(b"damage")
    tiny.run.steps, sink = 96, Sink()
    handles = len(os.listdir("/proc/self/fd"))
    with pytest.raises(CheckpointError, match="damaged"):
        run.train(tiny, resume=True, sinks=[sink])
    assert [type(each) for each in closed] == [Walk, Sink]
    assert len(os.listdir("/proc/self/fd")) == handles


def test_more_minutes_are_learned_in(tiny: Config, tmp_path: Path) -> None:
    """Schedules follow the new length: the rate that had fallen to nothing is a rate again."""
    config = tiny
    config.run.steps = 0
    config.run.checkpoint_every, config.run.minutes = 60.0, 0.01
    run.train(config)
    first = events(tmp_path, "planned")[-1]
    # Of what it took, which on a busy machine is more than it was given.
    config.run.minutes = 4.0 * checkpoint.latest(tmp_path).card.details["seconds"] / 60.0
    run.train(config, resume=True)
    ends = [r.step for r in events(tmp_path, "checkpoint")]
    after = [v for step, v in numbers(tmp_path) if step > ends[0]]
    rates = [v["learning_rate"] for v in after if "learning_rate" in v]
    assert max(rates) > 0.3 * config.ppo.learning_rate
    assert events(tmp_path, "planned")[-1].values["steps"] > first.values["steps"]


def test_a_run_that_becomes_quicker_is_planned_anew() -> None:
    """Else its rate would be nothing long before its time is over."""
    session = object.__new__(run.Session)
    session.steps, session.minutes, session.planned_at = 0, 1.0, 0.0
    session.registry, session.trainer = Registry(), SimpleNamespace(steps=0, planned=0)  # type: ignore[assignment]
    planned = []
    for session.seconds, session.trainer.steps in (
        (2.9, 290), (3.0, 300), (5.9, 1000), (6.0, 1200), (11.0, 2200), (12.0, 4800), (59.0, 9000)
    ):  # fmt: skip
        session._plan()
        planned.append(session.trainer.planned)
        assert session._left() == pytest.approx(60.0 - session.seconds)
    assert planned == [0, 6000, 6000, 12000, 12000, 24000, 9152]
    session.steps = 18_000
    session._plan()
    assert session.trainer.planned == 9152  # steps that were asked for are no estimate
    assert session._left() == pytest.approx(1.0)
    session.minutes = 0.0
    assert session._left() == pytest.approx(59.0)


class Mortal(Walk):
    """A game that loses a process in the second rollout, and one as it is evaluated."""

    def __init__(self, num_envs: int, dies_at: int) -> None:
        super().__init__(num_envs)
        self.steps, self.dies_at = 0, dies_at

    def step_into(self, actions: Array, observation: Any, *flags: Any) -> None:
        super().step_into(actions, observation, *flags)
        self.steps += 1
        if self.steps == self.dies_at:
            flags[2][0] = not flags[1][0]
            self.state["ended"][0] = True

    def episode_info(self) -> dict[str, Array]:
        died = np.zeros(self.num_envs, np.int64)
        died[0] = self.steps >= self.dies_at
        return {**super().episode_info(), "crashes": died}


def test_processes_that_died_are_told(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(_: object, num_envs: int | None = None, **__: object) -> Mortal:
        return Mortal(num_envs or 6, 11 if num_envs is None else 3)

    for module in (run, assess):
        monkeypatch.setattr(module, "from_config", make)
    tiny.run.steps = 48 * 4
    result = run.train(tiny)
    (event,) = events(tmp_path, publish.LOST)
    assert (event.step, event.values) == (48 * 2, {"count": 1})
    learned, evaluated = result.notes
    assert "process died once while it learned" in learned
    assert evaluated.startswith("1 episode of the evaluation broke off")
    assert result.evaluation is not None
    assert result.evaluation.crashes == 1
    assert "broke off" in (tmp_path / "report.html").read_text()
    assert run.train(tiny, resume=True).notes == result.notes
    for module in (run, assess):  # the control
        monkeypatch.setattr(module, "from_config", lambda *_, **__: Mortal(6, 10**9))
    tiny.run.directory = str(tmp_path / "sound")
    assert run.train(tiny).notes == ()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dream__warm_up": 100}, r"18 updates of dream.warm_up = 100, and its trust horizon is 2; "
         r"train longer, or lower dream.warm_up or raise world.ratio\.$"),
        ({"dream__horizon": 0}, "and its trust horizon is 0; train longer, or set dream.horizon"),
        ({"efe__enabled": True, "dream__enabled": False, "dream__warm_up": 100}, "reached nobody"),
        ({"world__sequence": 90}, r"never learned.*48 steps of each .*sequence = 90 needs 91"),
        ({"world__batch": 99}, r"never learned.*288 steps were .* takes world.batch .* = 792;"),
        ({}, ""),
        ({"dream__enabled": False}, ""),  # nobody dreams
    ],
)  # fmt: skip
def test_a_run_too_short_to_dream_says_so(
    tiny: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    told: str,
) -> None:
    """Else a reader takes it for what dreams are worth."""
    monkeypatch.setattr(Trust, "note", lambda *_: None)  # nothing is ever trusted
    config = dreaming(tmp_path / "run", run__steps=48 * 6, **settings)
    result = run.train(config)
    assert [bool(re.search(told, note)) for note in result.notes] == ([True] if told else [])
    assert all(note in (tmp_path / "run" / "report.html").read_text() for note in result.notes)
    assert run.train(config, resume=True).notes == result.notes  # said again
    if "reached nobody" in told:  # a longer run that came to it says nothing any more
        config.run.steps, config.dream.warm_up = 48 * 36, 100
        assert run.train(config, resume=True).notes == ()


@pytest.mark.parametrize("error", [DivergedError("3 in a row"), ConfigError("none of 12")])
def test_a_run_whose_motor_fails_has_its_report(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: MetabonkError
) -> None:
    def failing(learner: object, progress: Progress) -> dict[str, float]:
        for done in range(1, 4):
            progress("teacher", done, 40, {"cpqe_teacher_loss": 1.0})
        raise error

    monkeypatch.setattr(CpqeLearner, "train", failing)
    tiny.cpqe.enabled = True
    result = run.train(tiny)
    (failed,) = events(tmp_path, publish.NO_MOTOR)
    assert failed.values == {"reason": str(error)}
    (phase,) = events(tmp_path, "motor_phase")  # what is said in between is no news
    assert [phase.values[name] for name in ("phase", "done", "updates")] == ["teacher", 1, 40]
    assert not events(tmp_path, "motor")
    assert result.evaluation is not None
    assert (tmp_path / "report.json").exists()
    assert result.notes == (f"There is no motor of this run: {error}",)
    assert str(error) in (tmp_path / "report.html").read_text()


def test_a_run_without_a_pilot_has_no_motor_and_says_so(tiny: Config, tmp_path: Path) -> None:
    """Whoever always sets the variable trains other policies as well."""
    tiny.cpqe.enabled, tiny.model.name = True, "mlp"
    result = run.train(tiny)
    assert "There is no motor of this run: cpqe.enabled: the policy is no pilot" in result.notes[0]
    assert not (tmp_path / "motors").exists()


def test_a_motor_that_breaks_otherwise_is_not_passed_over(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("a mistake of ours")

    monkeypatch.setattr(CpqeLearner, "train", broken)
    tiny.cpqe.enabled = True
    with pytest.raises(IndexError, match="a mistake of ours"):
        run.train(tiny)
    assert checkpoint.latest(tmp_path).card.details["step"] == 48  # nothing is lost


def test_every_kept_checkpoint_has_its_rollouts(tiny: Config, tmp_path: Path) -> None:
    """Also where one is saved and then saved again to be evaluated."""
    config = dreaming(
        tmp_path / "run",
        run__steps=48 * 8,
        run__checkpoint_every=1e-6,
        run__eval_every=1e-6,
        run__keep_checkpoints=3,
        world__replay=48 * 2,
    )
    run.train(config)
    kept = checkpoint.listed(tmp_path / "run")
    assert [int(path.name) for path in kept] == [48 * 6, 48 * 7, 48 * 8]
    named = [entry["name"] for path in kept for entry in replay_of(path)]
    there = [path.name for path in (tmp_path / "run" / "replay").iterdir()]
    assert sorted(set(named)) == sorted(there)
    for path in kept[1:]:
        shutil.rmtree(path)
    config.run.steps = 48 * 9
    assert run.train(config, resume=True).steps == 48 * 9


def replay_of(path: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = artifact.load(path).card.details["world"]["replay"]
    return found


def test_a_checkpoints_rollouts_are_on_the_disk_before_it(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[str] = set()
    fsync, save, saved = os.fsync, checkpoint.save, []

    def watched(fd: int) -> None:
        flushed.add(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def saving(directory: Path, snapshot: checkpoint.Snapshot, **more: Any) -> Artifact:
        for entry in snapshot.details["world"]["replay"]:
            folder = directory / "replay" / entry["name"]
            saved.append(folder)
            assert {str(folder), *map(str, folder.iterdir())} <= flushed
        return save(directory, snapshot, **more)

    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(checkpoint, "save", saving)
    run.train(dreaming(tmp_path / "run", run__steps=48 * 4))
    assert len(saved) == 4


def test_the_last_update_of_all_is_told_if_it_was_skipped(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count of the run is no mean over a rollout's updates."""
    losses = WorldLearner.losses

    def slipping(learner: WorldLearner, *given: Any) -> dict[str, torch.Tensor]:
        found = losses(learner, *given)
        return {k: v * np.nan for k, v in found.items()} if learner.updates == 17 else found

    monkeypatch.setattr(WorldLearner, "losses", slipping)
    (note,) = run.train(dreaming(tmp_path / "run", run__steps=48 * 6)).notes
    assert "(wm 1)" in note


def test_a_run_that_learned_nothing_beyond_what_it_began_with_says_so(
    tiny: Config, tmp_path: Path
) -> None:
    config = dreaming(tmp_path / "run", run__steps=48 * 6, world__sequence=90)
    made = Trainer(Walk(6), config, directory=tmp_path / "before")
    assert made.world is not None
    assert made.dreams is not None
    networks = made.world.learner.model, made.dreams.learner.dreamer
    config.world.start = str(dreams.save(tmp_path, *networks, config, updates=500).path)
    result = run.train(config)
    (note,) = result.notes
    assert "never learned" in note
    config.run.steps = 48 * 7
    (note,) = run.train(config, resume=True).notes
    assert "56 steps of each game were played" in note
    # The control: one that learned by itself.
    config = dreaming(tmp_path / "other", run__steps=48 * 6, world__start=config.world.start)
    assert run.train(config).notes == ()

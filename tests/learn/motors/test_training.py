"""METABONK_TRAIN_CPQE: a motor from a run's own newest rollouts, resumed like all else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_dreams import dreaming, tiny
from tiny_games import Walk

from metabonk.config import Config, load
from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn import assess, checkpoint, run
from metabonk.learn.motors import versions as motors
from metabonk.learn.motors.training import FOLDER, MotorTraining
from metabonk.learn.trainer import Trainer
from metabonk.learn.transitions import from_replay, from_rollout
from metabonk.metrics import read_records


def with_motor(config: Config) -> Config:
    config.cpqe.enabled = True
    config.cpqe.hidden, config.cpqe.layers, config.cpqe.batch = 16, 1, 32
    config.cpqe.teacher_updates = config.cpqe.student_updates = config.cpqe.q_updates = 8
    return config


def trainer_of(config: Config, directory: Path) -> Trainer:
    made = Trainer(Walk(config.game.envs), config, directory=directory)
    made.start()
    return made


def test_what_is_kept_is_what_was_played(tmp_path: Path) -> None:
    """One rollout out of replay has the transitions that the rollout itself has, but for the step
    whose outcome only the next rollout holds."""
    trainer = trainer_of(with_motor(tiny(tmp_path)), tmp_path)
    assert trainer.motor is not None
    trainer.iterate()
    rollout = trainer.collector.rollout
    whole = from_rollout(rollout, trainer.game.action_layout)
    kept = from_replay(trainer.motor.replay, trainer.game.action_layout, 10_000)
    assert len(whole) - len(kept) == trainer.game.num_envs
    assert set(map(bytes, told(kept))) <= set(map(bytes, told(whole)))
    trainer.iterate()
    longer = from_replay(trainer.motor.replay, trainer.game.action_layout, 10_000)
    assert len(longer) > 2 * len(kept)
    few = from_replay(trainer.motor.replay, trainer.game.action_layout, 4 * trainer.game.num_envs)
    assert len(few) <= 3 * trainer.game.num_envs


def told(data: object) -> np.ndarray:
    """Every decision with its outcome: what was seen, done, earned, and seen then."""
    rows = data.decisions  # type: ignore[attr-defined]
    seen = data.observation["observation"]  # type: ignore[attr-defined]
    after = data.after[rows]  # type: ignore[attr-defined]
    then = np.where((after >= 0)[:, None], seen[after], 0.0)
    columns = (seen[rows], data.action[rows], data.reward[rows][:, None], then)  # type: ignore[attr-defined]
    return np.concatenate(columns, 1).astype(np.float32)


def test_a_run_ends_with_a_motor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(game: object, num_envs: int | None = None, **_: object) -> Walk:
        return Walk(num_envs or 6)

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    config = with_motor(tiny(tmp_path / "run"))
    result = run.train(config)
    (event,) = [r for r in read_records(tmp_path / "run" / "metrics.jsonl") if r.event == "motor"]
    game = Walk(1)
    _, found = motors.load(
        motors.newest(tmp_path / "run"), game.observation_space, game.action_layout
    )
    assert found.hash == event.values["hash"]
    assert found.card.parents == (result.checkpoint.hash,)
    assert found.card.details["steps"] == event.values["steps"] > 400
    # The control: a run that was not asked for one has none.
    plain = run.train(tiny(tmp_path / "plain"))
    assert not motors.listed(plain.directory)


def test_a_motor_that_diverges_at_a_runs_end_is_told_with_the_runs_own_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(game: object, num_envs: int | None = None, **_: object) -> Walk:
        return Walk(num_envs or 6)

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    config = with_motor(tiny(tmp_path / "run"))
    config.cpqe.learning_rate = 1e30
    (note,) = run.train(config).notes
    assert "cpqe: 3 updates in a row were not finite" in note
    assert f"their batches are in {tmp_path / 'run' / 'faults'}" in note
    assert f"{tmp_path / 'run'} has no motor that is usable: learn one anew" in note
    assert len(list((tmp_path / "run" / "faults").glob("cpqe-*"))) == 3
    assert not (tmp_path / "run" / "motors").exists()


def test_a_world_models_rollouts_are_not_kept_twice(tmp_path: Path) -> None:
    trainer = trainer_of(with_motor(dreaming(tmp_path)), tmp_path)
    trainer.iterate()
    assert trainer.motor is not None
    assert trainer.world is not None
    assert trainer.motor.replay is trainer.world.replay
    assert len(trainer.motor.replay) == 48
    assert not (tmp_path / FOLDER).exists()
    assert trainer.motor.details() == {"shared": True}


def test_kept_rollouts_come_back_with_a_checkpoint(tmp_path: Path) -> None:
    config = with_motor(tiny(tmp_path))
    one = trainer_of(config, tmp_path / "a")
    one.iterate()
    saved = one.snapshot()
    shutil.copytree(tmp_path / "a" / FOLDER, tmp_path / "b" / FOLDER)
    two = Trainer(Walk(config.game.envs), config, directory=tmp_path / "b")
    two.restore(saved)
    one.iterate()
    two.iterate()
    assert one.motor is not None
    assert two.motor is not None
    layout = one.game.action_layout
    digests = [from_replay(t.motor.replay, layout, 10_000).digest() for t in (one, two)]
    assert digests[0] == digests[1]
    first = checkpoint.save(tmp_path, saved)
    weights = [t.motor.distil(first).read(motors.WEIGHTS) for t in (one, two)]
    assert weights[0] == weights[1]


def test_what_cannot_have_a_motor_is_said(tmp_path: Path) -> None:
    plain = trainer_of(tiny(tmp_path / "plain"), tmp_path / "plain")
    plain.iterate()
    saved = plain.snapshot()
    asked = with_motor(tiny(tmp_path))
    late = Trainer(Walk(asked.game.envs), asked, directory=tmp_path)
    with pytest.raises(CheckpointError, match="kept no rollouts for a motor"):
        late.restore(saved)
    with pytest.raises(ConfigError, match="no episodes were given"):
        MotorTraining(Walk(2), asked, tmp_path / "none", None).distil(
            checkpoint.save(tmp_path, saved)
        )


def test_the_variable_switches_it_on() -> None:
    assert load(environ={"METABONK_TRAIN_CPQE": "1"}).cpqe.enabled
    assert not load(environ={}).cpqe.enabled

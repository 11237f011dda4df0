"""What is not finite changes nothing, is counted and kept; the third in a row ends the run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from safetensors import safe_open
from tiny_dreams import dreaming, tiny
from tiny_games import Walk

from metabonk import machine
from metabonk.config import Config
from metabonk.errors import CheckpointError, DivergedError
from metabonk.learn import assess, checkpoint, faults, run
from metabonk.learn.ablation.study import ablate
from metabonk.learn.faults import MOST_KEPT, Faults, unsound
from metabonk.learn.teachers import Teacher
from metabonk.learn.trainer import Trainer
from metabonk.metrics import read_records
from metabonk.protocols import Array, FloatArray, Observation
from metabonk.spaces import ActionLayout

NATIVE = pytest.mark.skipif(not machine.core_built(), reason="the native core is not built")


class Slipping(Walk):
    """Shows something that is no number in one environment at some of its steps."""

    slips: frozenset[int] = frozenset()
    shown = float("nan")

    def __init__(self, num_envs: int, space: gs.Space[Any] | None = None) -> None:
        super().__init__(num_envs, space)
        self.state["steps"] = np.zeros(1, np.int64)

    def step_into(self, actions: Array, observation: Observation, *flags: Array) -> None:
        super().step_into(actions, observation, *flags)  # type: ignore[arg-type]
        self.state["steps"] += 1
        if int(self.state["steps"][0]) in self.slips:
            observation["observation"][2, 1] = self.shown


class Steered(Slipping):
    """Goes as far as it is told, as games do that clip what they are told; what is no number stays
    one, and takes the place along with it for ever."""

    length = 10_000

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs, gs.Box(-1.0, 1.0, (1,), np.float32))

    def earn(self, actions: FloatArray) -> FloatArray:
        return super().earn(np.clip(actions, -1.0, 1.0))


def trainer_of(config: Config, directory: Path, *slips: int) -> Trainer:
    game = Slipping(config.game.envs)
    game.slips = frozenset(slips)
    made = Trainer(game, config, directory=directory)
    made.start()
    return made


def weights(trainer: Trainer) -> list[torch.Tensor]:
    assert trainer.world is not None
    assert trainer.dreams is not None
    modules = (trainer.model, trainer.world.learner.model, trainer.dreams.learner.dreamer)
    return [v.clone() for module in modules for v in module.state_dict().values()]


@pytest.mark.parametrize("shown", [float("nan"), float("inf")])
def test_a_rollout_with_a_slip_teaches_nothing_and_is_kept(tmp_path: Path, shown: float) -> None:
    trainer = trainer_of(dreaming(tmp_path), tmp_path, 20)
    trainer.game.shown = shown  # type: ignore[attr-defined]
    for _ in range(2):
        trainer.iterate()
    before = weights(trainer)
    metrics = trainer.iterate()
    assert metrics["ppo_skipped"] == 1
    assert np.isnan(metrics["loss_policy"])
    assert "wm_recon" not in metrics
    assert all(torch.equal(a, b) for a, b in zip(before, weights(trainer), strict=True))
    (kept,) = trainer.ppo.faults.kept()
    with safe_open(kept, framework="numpy") as file:
        assert file.metadata()["part"] == "ppo"
        assert "observation.observation" in file.metadata()["what"]
        assert not np.isfinite(file.get_tensor("observation.observation")).all()
    assert np.isfinite(trainer.collector.rollout.state[-1]).all()
    after = trainer.iterate()
    assert after["ppo_skipped"] == 1
    assert trainer.ppo.faults.in_a_row == 0
    assert np.isfinite(after["loss_policy"])
    assert np.isfinite(after["wm_recon"])
    learned = weights(trainer)
    assert any(not torch.equal(a, b) for a, b in zip(before, learned, strict=True))
    assert all(bool(torch.isfinite(w.float()).all()) for w in learned)


@pytest.mark.parametrize("acting", ["torch", pytest.param("compiled", marks=NATIVE)])
@pytest.mark.parametrize(("name", "share"), [("mlp", 0.0), ("pilot", 0.0), ("pilot", 0.9)])
def test_a_slip_is_not_played_on(tmp_path: Path, name: str, share: float, acting: str) -> None:
    """Of what is steered by numbers: an action that is none would spoil the game for good. One
    rollout is lost to it, whoever plays there."""
    config = dreaming(tmp_path, model__name=name, dream__share=share)
    game = Steered(config.game.envs)
    game.slips = frozenset([18, 20])
    trainer = Trainer(game, config, directory=tmp_path)
    trainer.act_as(acting)
    trainer.start()
    for rollout in range(6):
        metrics = trainer.iterate()
        assert metrics["ppo_skipped"] == (rollout >= 2)
        assert np.isfinite(trainer.collector.rollout.action).all()
        assert np.isfinite(metrics["loss_policy"]) == (rollout != 2)
    assert np.isfinite(game.state["place"]).all()
    assert trainer.collector.rollout.others == round(share * 6)


def test_what_is_played_instead_is_in_the_games_range(tmp_path: Path) -> None:
    low, high = np.array([-1, 2, -9, -np.inf], np.float32), np.array([1, 3, -4, np.inf], np.float32)
    space = gs.Dict(a=gs.Box(low, high), b=gs.Discrete(3))
    assert ActionLayout.of(space).neutral().tolist() == [0.0, 2.0, -4.0, 0.0, 0.0]


def test_what_was_decided_by_no_numbers_is_not_learned_from(tmp_path: Path) -> None:
    """Also where all that was seen and believed is one: only the row itself was not."""
    config = tiny(tmp_path, model__name="mlp")
    trainer = Trainer(Steered(config.game.envs), config, directory=tmp_path)
    trainer.start()
    with torch.no_grad():
        trainer.model.head.linear.bias.fill_(torch.nan)
    rollout = trainer.collector.collect()
    assert np.isfinite(rollout.action).all()
    assert np.isfinite(rollout.value).all()
    assert trainer.ppo.unsound(rollout) == "log_prob"


# Of rollouts of 8 steps, after one with the burn-in before it, the step that fills the last slot of
# the third; the next one begins with what that shows.
@pytest.mark.parametrize(
    ("burn_in", "slip", "lost"), [(0, 24, 2), (3, 27, 2), (3, 26, 1), (3, 25, 1), (7, 31, 2)]
)
@pytest.mark.parametrize("name", ["pilot", "mamba"])
def test_a_slip_costs_the_rollouts_that_saw_it(
    tmp_path: Path, name: str, burn_in: int, slip: int, lost: int
) -> None:
    """Not those after them: neither a state that it led to nor a slot of it is warmed up from."""
    config = tiny(tmp_path, model__name=name, ppo__burn_in=burn_in)
    trainer = trainer_of(config, tmp_path, slip)
    for rollout in range(7):
        metrics = trainer.iterate()
        assert metrics["ppo_skipped"] == min(max(0, rollout - 1), lost)
        assert trainer.collector.rollout.first == (
            0 if rollout == 0 or 2 < rollout <= 2 + lost else burn_in
        )
        if rollout == 2:
            saved, other = trainer.snapshot(), trainer_of(config, tmp_path / "b", slip)
            other.restore(saved)
    for _ in range(4):
        found = other.iterate()
    assert trainer.ppo.faults.in_a_row == 0
    assert np.isfinite(metrics["loss_policy"])
    assert found["loss_policy"] == metrics["loss_policy"]


def test_a_run_that_warms_up_anew_keeps_to_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(game: object, num_envs: int | None = None, **_: object) -> Slipping:
        made = Slipping(num_envs or 6)
        made.slips = frozenset([80]) if num_envs is None else frozenset()
        return made

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    # 11 steps of six games, then 8 each time, and 11 again after the slip in the tenth rollout.
    config = tiny(tmp_path / "run", ppo__burn_in=3, run__steps=6 * (11 + 9 * 8 + 10))
    assert run.train(config).steps == 6 * (11 + 9 * 8)


def test_replay_begins_anew_after_what_was_left_out(tmp_path: Path) -> None:
    """Nothing of the gap is told as if it had led to what comes after it."""
    trainer = trainer_of(dreaming(tmp_path), tmp_path, 12)
    for _ in range(3):
        trainer.iterate()
    assert trainer.world is not None
    replay, num = trainer.world.replay, trainer.game.num_envs
    assert replay.listing()[-1]["name"] == "rollout-00000001"  # two of three
    everywhere = np.arange(num)
    over = replay.at(np.full(num, 4), everywhere, 8)
    assert over.is_first[4].all()
    assert not over.action[4].any()
    # The control: where nothing was left out, time runs on.
    trainer.iterate()
    assert not replay.at(np.full(num, 12), everywhere, 8).is_first[4].all()


def test_a_gap_and_the_counts_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    config = dreaming(tmp_path)
    trainer = trainer_of(config, tmp_path / "a", 20)
    for _ in range(3):
        trainer.iterate()
    saved = trainer.snapshot()
    shutil.copytree(tmp_path / "a" / "replay", tmp_path / "b" / "replay")
    again = Trainer(Slipping(config.game.envs), config, directory=tmp_path / "b")
    again.restore(saved)
    assert again.ppo.faults.details() == {"skipped": 1, "in_a_row": 1}
    assert again.world is not None
    assert again.world.replay.gap
    assert trainer.iterate()["loss_policy"] == again.iterate()["loss_policy"]


def test_the_third_in_a_row_ends_the_run_with_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(game: object, num_envs: int | None = None, **_: object) -> Slipping:
        made = Slipping(num_envs or 6)
        made.slips = frozenset(range(33, 200))
        return made

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    config = tiny(tmp_path / "run", run__checkpoint_every=1e-6)
    with pytest.raises(DivergedError, match="3 updates in a row") as stopped:
        run.train(config)
    records = list(read_records(tmp_path / "run" / "metrics.jsonl"))
    assert [r for r in records if r.event == "diverged"]
    good = faults.last_good(tmp_path / "run")
    assert good is not None
    assert str(good) in str(stopped.value)
    assert f"--resume --run {tmp_path / 'run'}" in str(stopped.value)
    assert len(list((tmp_path / "run" / "faults").iterdir())) == 3


def test_a_run_that_went_on_says_what_it_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(game: object, num_envs: int | None = None, **_: object) -> Slipping:
        made = Slipping(num_envs or 6)
        made.slips = frozenset([20]) if num_envs is None else frozenset()
        return made

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    (note,) = run.train(tiny(tmp_path / "run")).notes
    assert "(ppo 1)" in note
    assert str(tmp_path / "run" / "faults") in note


def test_a_checkpoint_that_is_not_good_is_not_named(tmp_path: Path) -> None:
    trainer = trainer_of(tiny(tmp_path), tmp_path)
    trainer.iterate()
    first = checkpoint.save(tmp_path, trainer.snapshot())
    trainer.iterate()
    second = checkpoint.save(tmp_path, trainer.snapshot())
    assert faults.last_good(tmp_path) == second.path
    trainer.iterate()
    spoiled = trainer.snapshot()
    next(weight for weight in spoiled.weights.values() if weight.size).flat[0] = np.nan
    checkpoint.save(tmp_path, spoiled)
    assert faults.last_good(tmp_path) == second.path
    (second.path / "weights.safetensors").write_bytes(b"nothing")
    assert faults.last_good(tmp_path) == first.path
    assert faults.last_good(tmp_path / "nowhere") is None


@pytest.mark.parametrize("start", ["world.weights.", "dreams.weights.", "world.optimizer."])
def test_a_checkpoint_whose_world_is_not_good_is_not_named(tmp_path: Path, start: str) -> None:
    """What learns beside the policy is no weight of its network, and as much of a run as that."""
    trainer = trainer_of(dreaming(tmp_path), tmp_path)
    trainer.iterate()
    first = checkpoint.save(tmp_path, trainer.snapshot())
    trainer.iterate()
    slipped = trainer.snapshot()
    slipped.state["collector.observation.observation"].flat[0] = np.nan  # the next rollout's matter
    second = checkpoint.save(tmp_path, slipped)
    assert faults.last_good(tmp_path) == second.path
    trainer.iterate()
    spoiled = trainer.snapshot()
    floats = [k for k, v in spoiled.state.items() if k.startswith(start) and v.dtype.kind == "f"]
    spoiled.state[floats[-1]].flat[0] = np.inf
    third = checkpoint.save(tmp_path, spoiled)
    assert faults.last_good(tmp_path) == second.path != first.path
    assert faults.spoiled(third) == f"{floats[-1]} in state.safetensors"


def spoil_newest(directory: Path) -> Path:
    """Makes the newest checkpoint one whose network holds numbers that are none."""
    found = checkpoint.latest(directory)
    spoiled = checkpoint.read(found)
    next(weight for weight in spoiled.weights.values() if weight.size).flat[0] = np.inf
    return checkpoint.save(directory, spoiled).path


def test_what_is_not_finite_is_neither_ablated_nor_played(tmp_path: Path) -> None:
    trainer = trainer_of(tiny(tmp_path), tmp_path)
    trainer.iterate()
    checkpoint.save(tmp_path, trainer.snapshot())
    game = trainer.game
    assert assess.load_model(tmp_path, game, tiny(tmp_path))[0] is not None
    spoil_newest(tmp_path)
    told = r"in weights\.safetensors is not finite; no checkpoint is usable"
    with pytest.raises(CheckpointError, match=told):
        assess.load_model(tmp_path, game, tiny(tmp_path))
    with pytest.raises(CheckpointError, match=told):
        ablate(tmp_path, seeds=2)


def test_a_run_goes_on_from_what_it_names_when_the_newest_is_not_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice is followed to the letter: what it says to remove is what stands in the way."""

    def make(game: object, num_envs: int | None = None, **_: object) -> Slipping:
        return Slipping(num_envs or 6)

    monkeypatch.setattr(run, "from_config", make)
    monkeypatch.setattr(assess, "from_config", make)
    directory = tmp_path / "run"
    run.train(tiny(directory, run__steps=48 * 3, run__checkpoint_every=1e-6))
    first, good, bad = checkpoint.listed(directory)
    assert spoil_newest(directory) == bad
    further = tiny(directory, run__steps=48 * 5)
    with pytest.raises(CheckpointError, match=r"in weights\.safetensors is not finite") as refused:
        run.train(further, resume=True)
    counted = Faults("world", directory)
    for update in range(2):
        counted.failed("it", {}, update)
    with pytest.raises(DivergedError) as stopped:
        counted.failed("it", {}, 2)
    for text in (str(refused.value), str(stopped.value)):
        assert f"the last good checkpoint is {good}: remove {bad} and go on from it with" in text
    shutil.rmtree(bad)
    assert run.train(further, resume=True).steps == 48 * 5
    records = list(read_records(directory / "metrics.jsonl"))
    assert [r.step for r in records if r.event == "resumed"] == [int(good.name)]
    assert first.name < good.name < bad.name


def test_a_gradient_that_is_not_finite_moves_nothing(tmp_path: Path) -> None:
    trainer = trainer_of(tiny(tmp_path, ppo__minibatches=1, ppo__epochs=1), tmp_path)
    rollout = trainer.collector.collect()
    head = trainer.model.head
    nothing = torch.full((rollout.horizon, rollout.num_envs, head.outputs), float("nan"))
    teacher = Teacher(nothing, head.log_std.detach().clone(), 1.0)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    for _ in range(2):
        trainer.ppo.update(rollout, teachers=[teacher])
    same = zip(before, trainer.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    with safe_open(trainer.ppo.faults.kept()[0], framework="numpy") as file:
        assert {"0.advantage", "0.observation.observation"} <= set(file.keys())
    with pytest.raises(DivergedError, match="the gradient"):
        trainer.ppo.update(rollout, teachers=[teacher])
    trainer.ppo.update(rollout)  # the learner itself is as good as it was
    moved = zip(before, trainer.model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved)


def test_learners_that_average_skip_together(tmp_path: Path) -> None:
    trainer = trainer_of(tiny(tmp_path), tmp_path)
    rollout = trainer.collector.collect()
    before = [p.detach().clone() for p in trainer.model.parameters()]

    def other_slipped(tensor: torch.Tensor) -> None:
        if tensor.numel() == 1 and tensor.dtype == torch.float64:
            tensor.fill_(0.5)

    trainer.ppo.average = other_slipped
    assert trainer.ppo.update(rollout)["ppo_skipped"] == 1
    same = zip(before, trainer.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_what_is_kept_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MOST_BYTES", 100)
    found = Faults("part", tmp_path)
    for update in range(MOST_KEPT + 4):
        found.failed("it", {"small": np.zeros(10, np.float32), "wide": np.zeros(99)}, update)
        found.passed()
    assert len(found.kept()) == MOST_KEPT
    assert found.kept()[-1].name == f"part-{MOST_KEPT + 4:06d}.safetensors"
    with safe_open(found.kept()[-1], framework="numpy") as file:
        assert list(file.keys()) == ["small"]
        assert file.metadata()["left_out"] == '["wide"]'


def test_a_run_that_counts_from_a_lower_number_again_keeps_its_batches(tmp_path: Path) -> None:
    before = Faults("part", tmp_path)
    before.load({"skipped": 100})
    again = Faults("part", tmp_path)
    for found in (before, again):
        for update in range(MOST_KEPT):
            found.failed("it", {"small": np.zeros(10, np.float32)}, update)
            found.passed()
            os.utime(found.kept()[-1], (update, 1e9 * (found is again) + update))
    assert [path.stem for path in again.kept()] == [
        f"part-{number:06d}" for number in range(1, MOST_KEPT + 1)
    ]


def test_a_full_disk_costs_the_batch_only(tmp_path: Path) -> None:
    (tmp_path / faults.FOLDER).write_text("in the way")
    found = Faults("part", tmp_path)
    found.failed("it", {"a": np.zeros(1)}, 0)
    assert (found.skipped, found.unsaved) == (1, 1)


def test_unsound_names_the_array_and_minds_no_large_sums() -> None:
    huge = np.full(9, 1.5e308)
    fine = {"whole": np.arange(3), "flag": np.ones(2, np.bool_), "huge": huge}
    assert unsound(fine) == ""
    assert unsound({**fine, "bad": np.array([1.0, np.nan], np.float32)}) == "bad"
    assert unsound({"ends": np.array([np.inf, -np.inf])}) == "ends"

"""Checkpoints: exact, atomic, and refused when damaged."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from tiny_games import Memory, Walk

from metabonk import artifact, machine
from metabonk.config import Config
from metabonk.errors import CheckpointError, ConfigError
from metabonk.games import make as make_game
from metabonk.learn import checkpoint
from metabonk.learn.trainer import Trainer, parse_fixed
from metabonk.protocols import BatchGame
from metabonk.spaces import ActionLayout


def make(envs: int = 6, game: Callable[[int], BatchGame] = Walk, **ppo) -> Trainer:
    config = Config()
    config.model.hidden = 8
    config.ppo.horizon, config.ppo.burn_in, config.ppo.sequence = 8, 2, 4
    for key, value in ppo.items():
        setattr(config.ppo, key, value)
    return Trainer(game(envs), config, planned=5_000)


def goes_on(make: Callable[[], Trainer], directory: Path) -> None:
    """Asserts that a trainer which is made anew and restored goes on as the one that was saved."""
    trainer = make()
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    saved = checkpoint.save(directory, trainer.snapshot())
    for _ in range(3):
        expected = trainer.iterate()
    other = make()
    other.restore(checkpoint.read(artifact.load(saved.path)))
    assert not other.restarted
    for _ in range(3):
        found = other.iterate()
    a, b = trainer.snapshot(), other.snapshot()
    assert a.details == b.details
    for name in ("weights", "optimizer", "state"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")
    timed = ("seconds", "steps_per_second")
    assert {k: v for k, v in found.items() if not k.startswith(timed)} == {
        k: v for k, v in expected.items() if not k.startswith(timed)
    }


def test_a_restored_trainer_goes_on_bit_for_bit(tmp_path: Path) -> None:
    goes_on(make, tmp_path)


@pytest.mark.parametrize("name", ["arena", "grid64/push_blocks", "doom/defend_the_center"])
def test_games_with_snapshots_go_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Arena and grid64 by their clones, Doom by the actions of its episodes played again."""
    if name.startswith("doom/"):
        pytest.importorskip("vizdoom")
    elif not machine.core_built():
        pytest.skip("the native core is not built")
    games: list[BatchGame] = []

    def open_game(num_envs: int) -> BatchGame:
        games.append(make_game(name, num_envs))
        return games[-1]

    try:
        goes_on(lambda: make(2, open_game), tmp_path)
    finally:
        for game in games:
            game.close()


def with_world(directory: Path, dreams: bool = False) -> Trainer:
    config = Config()
    config.dream.enabled, config.efe.enabled, config.dream.share = dreams, False, 0.0
    config.dream.hidden, config.dream.warm_up, config.dream.longest = 8, 1, 4
    config.dream.horizon = 4
    config.model.hidden, config.ppo.horizon = 8, 16
    world = config.world
    world.enabled = True
    world.deter, world.groups, world.classes, world.hidden = 8, 2, 4, 8
    world.batch, world.sequence, world.burn_in = 4, 18, 2
    return Trainer(Walk(6), config, directory=directory, planned=5_000)


@pytest.mark.parametrize("dreams", [False, True])
def test_a_world_model_goes_on_bit_for_bit_too(dreams: bool, tmp_path: Path) -> None:
    """The other process had played on after the checkpoint, and is made to have not."""
    trainer = with_world(tmp_path, dreams)
    trainer.start()
    seen = [trainer.iterate() for _ in range(3)]
    assert ["wm_recon" in metrics for metrics in seen] == [False, True, True]
    saved = checkpoint.save(tmp_path, trainer.snapshot())
    for _ in range(3):
        expected = trainer.iterate()
    other = with_world(tmp_path, dreams)
    other.restore(checkpoint.read(artifact.load(saved.path)))
    for _ in range(3):
        found = other.iterate()
    names = [key for key in expected if key.startswith(("wm_", "dream_", "distill", "loss"))]
    assert len(names) == (21 if dreams else 8)
    assert [found[key] for key in names] == [expected[key] for key in names]
    a, b = trainer.snapshot(), other.snapshot()
    assert a.details == b.details
    for key, array in a.state.items():
        np.testing.assert_array_equal(b.state[key], array, err_msg=key)


def test_a_world_model_leaves_the_policy_alone(tmp_path: Path) -> None:
    """It learns beside the policy: until something uses it, the policy is the same without it."""
    config = Config()
    config.model.hidden, config.ppo.horizon = 8, 16
    alone = Trainer(Walk(6), config, planned=5_000)
    beside = with_world(tmp_path)
    for trainer in (alone, beside):
        trainer.start()
        for _ in range(3):
            trainer.iterate()
    a, b = alone.snapshot(), beside.snapshot()
    for key, array in a.weights.items():
        np.testing.assert_array_equal(b.weights[key], array, err_msg=key)


def test_dreams_draw_the_policy_towards_them(tmp_path: Path) -> None:
    """Followed closely, the policy comes nearer to the dreamer than it was."""
    trainer = with_world(tmp_path, dreams=True)
    assert trainer.dreams is not None
    trainer.dreams.config.distill_coef = 100.0
    trainer.dreams.config.learning_rate = 1e-9  # a dreamer that stands still
    with torch.no_grad():
        head = trainer.dreams.learner.dreamer.head.linear
        head.bias.copy_(torch.linspace(-1.0, 1.0, len(head.bias)))
    trainer.start()
    seen = [trainer.iterate() for _ in range(12)]
    assert "distill_kl" not in seen[0]  # asleep
    assert seen[-1]["distill_kl"] < 0.2 * seen[2]["distill_kl"]


def test_a_checkpoint_without_a_world_model_is_refused_by_a_run_with_one(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    config = Config()
    config.model.hidden = 8
    config.world.enabled = True
    other = Trainer(Walk(6), config, directory=tmp_path)
    with pytest.raises(CheckpointError, match="the checkpoint has no world model"):
        other.restore(saved)


def test_a_world_model_needs_a_directory() -> None:
    config = Config()
    config.world.enabled = True
    with pytest.raises(ConfigError, match="a directory is needed"):
        Trainer(Walk(6), config)


def test_hyperparameters_set_during_the_run_come_back(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    trainer.iterate()
    trainer.ppo.set_hyperparameters(clip=0.07, horizon=12, noise_memory=0.5)
    trainer.iterate()
    saved = checkpoint.save(tmp_path, trainer.snapshot())
    other = make()
    other.restore(checkpoint.read(saved))
    assert other.ppo.config.clip == 0.07
    assert other.collector.rollout.horizon == 12
    assert other.ppo.config.noise_memory == 0.5
    expected, found = trainer.iterate(), other.iterate()
    assert expected["loss_policy"] == found["loss_policy"]


def test_a_game_without_snapshots_begins_new_episodes_and_says_so(tmp_path: Path) -> None:
    class Opaque(Walk):
        snapshots = False

    trainer = make(game=Opaque)
    trainer.start()
    trainer.iterate()
    saved = checkpoint.save(tmp_path, trainer.snapshot())
    seeds = trainer.game.state["seed"].copy()
    other = make(game=Opaque)
    other.restore(checkpoint.read(saved))
    assert other.restarted
    assert other.steps == trainer.steps
    other.iterate()
    assert other.collector.rollout.is_first[0].all()
    assert not np.array_equal(other.game.state["seed"], seeds)


def test_lineage_and_pruning(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    parents: tuple[str, ...] = ("ancestor",)
    for _ in range(4):
        trainer.iterate()
        saved = checkpoint.save(tmp_path, trainer.snapshot(), parents=parents, keep=2)
        assert saved.card.parents == parents
        parents = (saved.hash,)
    assert len(checkpoint.listed(tmp_path)) == 2
    assert checkpoint.latest(tmp_path).path == saved.path
    assert saved.path.name == f"{trainer.steps:012d}"


def two_checkpoints(run: Path) -> list[Path]:
    trainer = make()
    trainer.start()
    for _ in range(2):
        trainer.iterate()
        checkpoint.save(run, trainer.snapshot())
    return checkpoint.listed(run)


@pytest.mark.parametrize("name", ["weights", "optimizer", "state", "card"])
def test_damage_is_refused_and_the_checkpoint_before_is_named(tmp_path: Path, name: str) -> None:
    old, new = two_checkpoints(tmp_path)
    file = new / (f"{name}.safetensors" if name != "card" else "card.json")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.latest(tmp_path)
    assert str(old) in str(caught.value)
    assert str(file) in str(caught.value)
    (old / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no earlier checkpoint is usable"):
        checkpoint.latest(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make()
    trainer.start()
    trainer.iterate()
    first = checkpoint.save(tmp_path, trainer.snapshot())
    trainer.iterate()

    def full(path: Path, data: bytes) -> None:
        if path.name.startswith("state"):
            raise OSError(errno.ENOSPC, "no space left on device", str(path))
        path.write_bytes(data)
        return real(path, data)

    real = artifact._write_file
    monkeypatch.setattr(artifact, "_write_file", full)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(tmp_path, trainer.snapshot())
    monkeypatch.undo()
    assert checkpoint.latest(tmp_path).hash == first.hash
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [first.path.name]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    anew = r"or start a new run \(--run DIR\)$"
    told = rf"6 x tiny-walk, not of 7 x tiny-walk: set game\.envs=6, {anew}"
    with pytest.raises(CheckpointError, match=told):
        make(envs=7).restore(saved)
    saved.details["game"] = "arena"
    with pytest.raises(CheckpointError, match=r": set game\.envs=6 and game\.name=arena, or start"):
        make(envs=7).restore(saved)
    saved.details["game"] = "tiny-walk"

    class Other(Memory):
        name = "tiny-walk"

    remedy = rf": set game\.name and .* as they were when it learned, {anew}"
    with pytest.raises(
        CheckpointError, match=rf"^learned in tiny-walk: observation 'obs.*{remedy}"
    ):
        make(game=Other).restore(saved)
    less = gs.Dict({"other": gs.Box(0, 1, (1,), np.float32)})
    with pytest.raises(CheckpointError, match=rf"this game has none{remedy}"):
        checkpoint.check_description(saved.details, less, trainer.game.action_layout)
    space, other = trainer.game.observation_space, ActionLayout.of(gs.Discrete(7))
    with pytest.raises(CheckpointError, match=rf"the actions were .* this game has .*{remedy}"):
        checkpoint.check_description(saved.details, space, other)
    bigger = make()
    with pytest.raises(CheckpointError, match=r"(?s)another network.*model\.\*.*--run DIR"):
        checkpoint.load_weights(bigger.model, {**saved.weights, "extra": np.zeros(3)})


def test_no_file_of_a_checkpoint_is_a_pickle(tmp_path: Path) -> None:
    _, new = two_checkpoints(tmp_path)
    kinds = {"card.json", "weights.safetensors", "optimizer.safetensors", "state.safetensors"}
    assert {p.name for p in new.iterdir()} == kinds


def test_fixed_branches_are_read_from_text() -> None:
    assert parse_fixed("click=-1, jump=0") == {"click": -1.0, "jump": 0.0}
    assert parse_fixed("") == {}
    for text in ("click", "click=high"):
        with pytest.raises(ValueError, match="click"):
            parse_fixed(text)

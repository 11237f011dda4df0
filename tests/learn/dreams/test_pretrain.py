"""A world model and a dreamer from recordings alone, and runs that begin with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from dreamers import dreamer_of, earned
from ended import over_and_gone
from gymnasium import spaces as gs
from ring_world import LAYOUT, SMALL, SPACE, walk
from tiny_dreams import dreaming
from tiny_games import Walk

from metabonk import artifact
from metabonk.config import Config
from metabonk.data.episode import EpisodeWriter, Header
from metabonk.errors import CheckpointError, ConfigError, CorruptError, DivergedError
from metabonk.learn.dreams import recorded
from metabonk.learn.dreams import versions as dreams
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.pretrain import Pretrained, _Learning, pretrain_dream
from metabonk.learn.dreams.world import Batch, WorldLearner
from metabonk.learn.trainer import Trainer, parse_fixed
from metabonk.models import world as worlds
from metabonk.models.rssm import RssmStates
from metabonk.spaces import ActionLayout

LENGTH = 40
# Two columns that may be steered, and buttons that may be fixed.
TWO = ActionLayout.of(
    gs.Dict(
        {
            "move": gs.Discrete(3),
            "jump": gs.Discrete(2),
            "action": gs.Box(-1.0, 1.0, (2,), np.float32),
        }
    )
)


def record(directory: Path, *, shuffled: bool = False, num: int = 24, length: int = LENGTH) -> Path:
    """Walks on the ring as episodes, one of each environment."""
    played = walk(length + 1, num, seed=77)
    action = played.action
    if shuffled:
        action = np.random.default_rng(0).permuted(action, axis=1)
    header = Header.of(LAYOUT, source="ring", seed=0, actor="test", num_envs=num)
    no, yes = np.zeros(num, np.bool_), np.ones(num, np.bool_)
    with EpisodeWriter(directory, header) as writer:
        for t in range(length + 1):
            last = t == length
            writer.append_step(
                {"observation": played.observation["observation"][t]},
                np.zeros((num, 1), np.float32) if last else action[t + 1],
                np.zeros((num, 1), np.float32),
                np.zeros(num, np.float32) if last else played.reward[t + 1],
                no,
                yes if t == length - 1 else no,
                yes if last else no,
            )
    return directory


def small(**more: object) -> Config:
    config = Config()
    config.world = SMALL.__class__(
        **{f: getattr(SMALL, f) for f in SMALL.__struct_fields__} | {"sequence": 16}
    )
    config.dream.hidden, config.dream.longest, config.dream.learning_rate = 32, 5, 2e-3
    config.dream.warm_up, config.dream.gamma = 150, 0.9
    for key, value in more.items():
        section, name = key.split("__")
        setattr(getattr(config, section), name, value)
    return config


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    place = tmp_path_factory.mktemp("pretrained")
    return pretrain_dream(place / "out", small(), [record(place / "e")], updates=400)


def test_it_foresees_what_it_never_saw_and_dreams_of_it(learned: Pretrained) -> None:
    seen = learned.foresight
    assert seen.error[-1] < 0.5 * min(seen.persistence[-1], seen.mean[-1])
    assert seen.trust == 5
    assert seen.reward_auc > 0.95
    assert learned.metrics["dream_return"] > 0.0
    assert (learned.episodes, learned.left_out, learned.stopped) == (24, {}, False)
    assert learned.steps == 24 * (LENGTH + 1)
    card = learned.found.card
    assert card.metrics["open_loop_error"].baselines.keys() == {"persistence", "mean"}
    assert card.metrics["open_loop_error"].value == pytest.approx(float(seen.error[-1]))
    assert card.details["trust"] == 5
    assert not list(learned.found.path.parent.parent.glob(".replay-*"))  # cleared away


def test_what_was_learned_offline_earns_in_the_game(learned: Pretrained) -> None:
    """Nobody played the ring meanwhile; who learned nothing earns a quarter."""
    world = WorldLearner(worlds.build(SPACE, LAYOUT, small().world, seed=9), small().world)
    dreamer = DreamLearner(world.model, dreamer_of(world.model, seed=9), small().dream)
    before = earned(world.model, dreamer.dreamer)
    dreams.begin(small(world__start=str(learned.found.path)), world, dreamer)
    assert before < 0.5
    assert earned(world.model, dreamer.dreamer) > 0.75
    assert world.updates == learned.updates == 400


def test_shuffled_actions_teach_nothing(tmp_path: Path) -> None:
    """The control: recordings in which actions mean nothing; no dream of it can be trusted."""
    source = record(tmp_path / "e", shuffled=True)
    found = pretrain_dream(tmp_path / "out", small(), [source], updates=250)
    assert found.foresight.error[-1] > 0.8 * found.foresight.mean[-1]
    assert found.foresight.trust == 0
    assert "dream_return" not in found.metrics


def test_the_same_again_is_the_same_and_a_version_of_its_own(tmp_path: Path) -> None:
    source = record(tmp_path / "e")
    one, two = (
        pretrain_dream(tmp_path / "out", small(dream__horizon=2), [source], updates=4)
        for _ in range(2)
    )
    assert [p.name for p in dreams.listed(tmp_path / "out")] == ["000001", "000002"]
    for name in (dreams.WORLD, dreams.DREAMER):
        assert one.found.read(name) == two.found.read(name)
    assert one.found.card.data == two.found.card.data != ""
    assert dreams.find(tmp_path / "out") == two.found.path
    assert dreams.find(tmp_path / "out" / "dreams") == two.found.path


def test_it_ends_early_when_told_and_goes_on_from_there(tmp_path: Path) -> None:
    source, out = record(tmp_path / "e"), tmp_path / "out"
    told: list[int] = []

    def progress(done: int, total: int, metrics: dict[str, float]) -> bool:
        told.append(done)
        assert total == 9
        return done < 3

    first = pretrain_dream(out, small(), [source], updates=9, progress=progress)
    assert (told, first.stopped, first.updates) == ([1, 2, 3], True, 3)
    config = small(world__start=str(out), dream__horizon=1)
    more = pretrain_dream(out, config, [source], updates=2)
    assert (more.updates, more.stopped) == (5, False)
    assert more.found.card.parents == (first.found.hash,)


def test_too_little_is_said(tmp_path: Path) -> None:
    short = record(tmp_path / "short", num=2, length=6)
    with pytest.raises(ConfigError, match=r"world\.sequence = 16: the recordings have 7 steps"):
        pretrain_dream(tmp_path / "out", small(), [short], updates=2)
    many = record(tmp_path / "many", num=12, length=1)
    with pytest.raises(ConfigError, match=r"no two steps .* record longer episodes or set dream"):
        pretrain_dream(tmp_path / "out", small(), [many], updates=2)
    found = pretrain_dream(tmp_path / "out", small(dream__horizon=2), [many], updates=2)
    assert found.foresight.sequences == 0  # not measured, and said so
    assert found.found.card.details["trust"] is None
    with pytest.raises(ConfigError, match="neither episodes nor"):
        pretrain_dream(tmp_path / "out", small(), [tmp_path / "out" / "none"], updates=2)


def test_short_episodes_are_judged_over_what_there_is_of_them(tmp_path: Path) -> None:
    many = record(tmp_path / "many", num=12, length=6)
    found = pretrain_dream(tmp_path / "out", small(), [many], updates=2)
    assert found.foresight.sequences > 0
    assert len(found.foresight.error) == 3  # of six steps one is nobody's, two are watched
    assert found.found.card.details["trust"] == found.foresight.trust


def test_a_horizon_that_was_asked_for_wins_over_the_longest(tmp_path: Path) -> None:
    told: list[float] = []

    def progress(done: int, total: int, metrics: dict[str, float]) -> bool:
        told.append(metrics["horizon"])
        return True

    config = small(dream__horizon=9, dream__longest=4, dream__warm_up=0)
    pretrain_dream(tmp_path, config, [record(tmp_path / "e")], updates=1, progress=progress)
    assert told == [9.0]


@pytest.mark.parametrize("name", ["dreams", "others"])
def test_versions_are_found_by_their_folder_whatever_its_name(name: str, tmp_path: Path) -> None:
    """The default one has the name of the folder in it."""
    config = small()
    world = worlds.build(SPACE, LAYOUT, config.world, seed=0)
    out = tmp_path / name
    made = [dreams.save(out, world, dreamer_of(world), config, updates=i).path for i in (1, 2)]
    assert made[0].parent == out / "dreams"
    for place in (out, out / "dreams", made[1]):
        assert dreams.find(place) == made[1]
    assert dreams.find(made[0]) == made[0]
    with pytest.raises(CheckpointError, match="metabonk pretrain dream"):
        dreams.find(tmp_path / "dreams" / "dreams" / "dreams")


def test_a_run_begins_with_what_was_learned(tmp_path: Path) -> None:
    config = dreaming(tmp_path)
    teacher = Trainer(Walk(config.game.envs), config, directory=tmp_path / "a")
    assert teacher.world is not None
    assert teacher.dreams is not None
    world, dreamer = teacher.world.learner.model, teacher.dreams.learner.dreamer
    with torch.no_grad():
        for parameter in (*world.parameters(), *dreamer.parameters()):
            parameter.add_(0.1)
    path = dreams.save(tmp_path, world, dreamer, config, updates=123).path
    config.world.start = str(path)
    run = Trainer(Walk(config.game.envs), config, directory=tmp_path / "b")
    assert run.world is not None
    assert run.dreams is not None
    pairs = [(run.world.learner.model, world), (run.dreams.learner.dreamer, dreamer)]
    assert not any(same(a, b) for a, b in pairs)
    begun = run.dream_on()
    assert begun is not None
    assert all(same(a, b) for a, b in pairs)
    assert run.world.learner.updates == 123
    run.start()
    run.iterate()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("dream__hidden", 24, "dream.hidden = 16, not 24: go on with --set dream.hidden=16"),
        ("model__steer", "action", "model.steer = '', not 'action': go on with --set model.steer="),
        ("model__fixed", "jump=0", "model.fixed = 'move=0', not 'jump=0'"),
    ],
)
def test_a_dreamer_of_another_kind_is_refused_before_anything_is_taken(
    tmp_path: Path, key: str, value: object, told: str
) -> None:
    config = dreaming(tmp_path, model__fixed="move=0" if key == "model__fixed" else "")
    world = worlds.build(SPACE, TWO, config.world, seed=1)
    dreamer = dreams.make_dreamer(
        world, config.dream, config.model, parse_fixed(config.model.fixed), 1
    )
    path = dreams.save(tmp_path, world, dreamer, config, updates=7).path
    other = dreaming(tmp_path, world__start=str(path), **{key: value})
    learner = WorldLearner(worlds.build(SPACE, TWO, other.world, seed=2), other.world)
    fixed = parse_fixed(other.model.fixed)
    made = dreams.make_dreamer(learner.model, other.dream, other.model, fixed, 2)
    before = {k: v.clone() for k, v in learner.model.state_dict().items()}
    with pytest.raises(CheckpointError, match=told):
        dreams.begin(other, learner, DreamLearner(learner.model, made, other.dream))
    assert all(torch.equal(before[k], v) for k, v in learner.model.state_dict().items())
    assert learner.updates == 0
    assert dreams.begin(other, learner, None).path == path  # its world model fits
    assert same(learner.model, world)


def test_what_was_learned_before_it_diverged_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped updates change nothing, so that there is a version of all before them."""
    source, out = record(tmp_path / "e"), tmp_path / "out"
    states, spoiled = WorldLearner.states, [6]

    def slipping(learner: WorldLearner, batch: Batch) -> RssmStates:
        found = states(learner, batch)
        return (
            found._replace(deter=found.deter * np.nan) if learner.updates >= spoiled[0] else found
        )

    monkeypatch.setattr(WorldLearner, "states", slipping)
    first = out / "dreams" / "000001"
    told = f"batches are in {out / 'faults'}; lower world.learning_rate .* is kept in {first}$"
    with pytest.raises(DivergedError, match=told):
        pretrain_dream(out, small(dream__horizon=2), [source], updates=20)
    spoiled[0] = 0
    with pytest.raises(DivergedError, match=f"the last good version is {first}$"):
        pretrain_dream(out, small(dream__horizon=2), [source], updates=20)
    with pytest.raises(DivergedError, match=f"{tmp_path / 'other'} has no version that is usable$"):
        pretrain_dream(tmp_path / "other", small(dream__horizon=2), [source], updates=20)
    assert dreams.listed(out) == [first]
    monkeypatch.undo()
    plain = pretrain_dream(tmp_path / "plain", small(dream__horizon=2), [source], updates=6)
    ours, theirs = (d.tensors(dreams.WORLD) for d in (artifact.load(first), plain.found))
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)


def test_what_it_began_with_is_no_work_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That diverges at once: there is nothing to keep, and the version before is named."""
    source, out = record(tmp_path / "e"), tmp_path / "out"
    first = pretrain_dream(out, small(dream__horizon=2), [source], updates=4).found.path
    states = WorldLearner.states

    def spoiled(learner: WorldLearner, batch: Batch) -> RssmStates:
        found = states(learner, batch)
        return found._replace(deter=found.deter * np.nan)

    monkeypatch.setattr(WorldLearner, "states", spoiled)
    config = small(dream__horizon=2, world__start=str(out))
    with pytest.raises(DivergedError, match=f"the last good version is {first}$"):
        pretrain_dream(out, config, [source], updates=20)
    assert dreams.listed(out) == [first]


def test_a_seed_means_the_same_networks_on_any_number_of_threads(tmp_path: Path) -> None:
    data = recorded.read([record(tmp_path / "e")], tmp_path / "r")

    def weights(count: int) -> list[torch.Tensor]:
        torch.set_num_threads(count)
        made = _Learning(small(dream__horizon=2), data, tmp_path)
        networks = (made.world.model, made.dreamer.dreamer)
        return [v for network in networks for v in network.state_dict().values()]

    before = torch.get_num_threads()
    pairs = zip(weights(1), weights(2), strict=True)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_what_a_killed_one_left_is_cleared_away(tmp_path: Path) -> None:
    """And not what others work in, who may be at it in the same place."""
    left, others = (tmp_path / f".replay-{pid}" for pid in (over_and_gone(), os.getppid()))
    for folder in (left, others):
        (folder / "learned" / "rollout-00000000").mkdir(parents=True)
    pretrain_dream(tmp_path, small(dream__horizon=2), [record(tmp_path / "e")], updates=1)
    assert list(tmp_path.glob(".replay-*")) == [others]


def test_older_episodes_than_it_takes_are_told(tmp_path: Path) -> None:
    config = small(dream__horizon=2, world__replay=10 * LENGTH)
    found = pretrain_dream(tmp_path, config, [record(tmp_path / "e")], updates=1)
    assert found.episodes == 10
    ((reason, count),) = found.left_out.items()
    assert (count, reason.split("=")[-1]) == (14 * LENGTH, str(24 * LENGTH))


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return all(torch.equal(a[key], b[key]) for key in a)


def test_other_games_sizes_and_damage_are_refused(learned: Pretrained, tmp_path: Path) -> None:
    path = learned.found.path
    sizes = {name: getattr(small().world, name) for name in dreams.SIZES}
    dreams.read(path, SPACE, LAYOUT, sizes)
    with pytest.raises(CheckpointError, match=r"--set world\.deter=48"):
        dreams.read(path, SPACE, LAYOUT, {**sizes, "deter": 64})
    game = Walk(2)
    with pytest.raises(CheckpointError, match="observation 'observation' was"):
        dreams.read(path, game.observation_space, game.action_layout, sizes)
    with pytest.raises(CheckpointError, match="metabonk pretrain dream"):
        dreams.find(tmp_path)
    copied = tmp_path / "copied"
    copied.mkdir()
    for file in path.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    weights = bytearray((copied / dreams.WORLD).read_bytes())
    weights[-3] ^= 1
    (copied / dreams.WORLD).write_bytes(weights)
    with pytest.raises(CorruptError, match="damaged"):
        dreams.read(copied, SPACE, LAYOUT, sizes)
    card = json.loads((copied / "card.json").read_text())
    assert card["details"]["world"]["deter"] == 48


def test_a_run_tells_its_own_dreams(tmp_path: Path) -> None:
    from metabonk.learn import checkpoint

    config = dreaming(tmp_path)
    trainer = Trainer(Walk(config.game.envs), config, directory=tmp_path)
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    checkpoint.save(tmp_path, trainer.snapshot())
    game = Walk(1)
    found = dreams.of_run(tmp_path, game.observation_space, game.action_layout, config)
    assert trainer.world is not None
    assert trainer.dreams is not None
    assert same(found.world, trainer.world.learner.model)
    assert found.dreamer is not None
    assert same(found.dreamer, trainer.dreams.learner.dreamer)
    assert found.updates == trainer.world.learner.updates > 0
    config.world.enabled = config.dream.enabled = False
    plain = Trainer(Walk(config.game.envs), config, directory=tmp_path)
    plain.start()
    plain.iterate()
    checkpoint.save(tmp_path / "plain", plain.snapshot())
    with pytest.raises(CheckpointError, match="learned no world model"):
        dreams.of_run(tmp_path / "plain", game.observation_space, game.action_layout, config)


@pytest.mark.parametrize(("burn_in", "further"), [(3, ""), (8, " --set world.burn_in=0")])
def test_too_few_steps_are_told_with_settings_that_work(
    tmp_path: Path, burn_in: int, further: str
) -> None:
    source = record(tmp_path / "e", num=1, length=11)
    config = small(world__burn_in=burn_in, dream__horizon=2)
    with pytest.raises(ConfigError, match=f"--set world.sequence=5{further}$"):
        pretrain_dream(tmp_path / "out", config, [source], updates=1)
    config.world.sequence, config.world.burn_in = 5, 0 if further else burn_in
    assert pretrain_dream(tmp_path / "out", config, [source], updates=1).updates == 1

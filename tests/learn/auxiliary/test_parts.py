"""Everything beside the policy at once: it reaches the policy, is timed, and resumes exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from beside_settings import settings
from gymnasium import spaces as gs
from tiny_dreams import dreaming
from tiny_games import Walk

from metabonk import artifact
from metabonk.config import Config
from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn import checkpoint
from metabonk.learn.auxiliary.parts import parts
from metabonk.learn.dreams.contest import Contest
from metabonk.learn.trainer import Trainer

TIMED = ("seconds", "steps_per_second")


def made(directory: Path, config: Config) -> Trainer:
    return Trainer(Walk(6), config, directory=directory, planned=5_000)


def weights(trainer: Trainer) -> dict[str, np.ndarray]:
    return trainer.snapshot().weights


@pytest.mark.parametrize(("share", "leads"), [(0.0, False), (0.5, False), (0.5, True)])
def test_a_run_with_everything_on_goes_on_bit_for_bit(
    share: float, leads: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The other process had played on after the checkpoint, and is made to have not. Where the
    dreamer plays, it is saved with some of its games under way."""
    config = settings(dream=1, efe=1, intrinsic=0.2, share=share)
    trainer = made(tmp_path, config)
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    assert trainer.dreams is not None
    if leads:
        trainer.dreams.contest.load({"policy": [0.0, 1.0, 2.0, 1.0], "dreamer": [90.0, 91.0] * 4})
        monkeypatch.setattr(Contest, "note", lambda *_: None)  # and goes on to lead
    saved = checkpoint.save(tmp_path, trainer.snapshot())
    for _ in range(3):
        expected = trainer.iterate()
    other = made(tmp_path, config)
    other.restore(checkpoint.read(artifact.load(saved.path)))
    for _ in range(3):
        found = other.iterate()

    def plain(metrics: dict[str, float]) -> dict[str, float]:
        return {k: v for k, v in metrics.items() if not k.startswith(TIMED)}

    assert plain(found) == plain(expected)
    told = {"efe_policy_loss", "efe_kl", "wm_kl", "intrinsic_reward", "dream_return"}
    assert told | ({"dream_lead", "dream_lead_low"} if share else set()) <= found.keys()
    assert ("distill_kl" in found) == (leads or not share)
    a, b = trainer.snapshot(), other.snapshot()
    assert a.details == b.details
    assert a.details["dreams"]["contest"] == trainer.dreams.contest.details()
    assert a.details.get("serves") == (None if not share else "dreamer" if leads else "policy")
    for name in ("weights", "optimizer", "state"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(theirs[key], ours[key], err_msg=f"{name} {key}")


@pytest.mark.parametrize("part", ["dream", "efe", "intrinsic"])
def test_each_part_changes_the_policy(part: str, tmp_path: Path) -> None:
    """And the world model alone, which only they read, does not."""
    alone = settings()
    alone.world.enabled = True
    trainers = [
        made(tmp_path / "with", settings(**{part: 0.5})),
        made(tmp_path / "without", alone),
        Trainer(Walk(6), settings(), planned=5_000),
    ]
    for trainer in trainers:
        # Whatever was earned: a dreamer proves itself in longer trainings only.
        trainer.imagination.teaches = lambda _, teacher: teacher._replace(proven=False)
        trainer.start()
        for _ in range(4):
            trainer.iterate()
    taught, beside, nothing = (weights(trainer) for trainer in trainers)
    assert all(np.array_equal(beside[key], nothing[key]) for key in nothing)
    assert not all(np.array_equal(taught[key], nothing[key]) for key in nothing)


def test_the_policy_comes_nearer_to_active_inference(tmp_path: Path) -> None:
    """Followed closely, by an actor that stands still."""
    config = settings(efe=1)
    config.efe.distill_coef, config.dream.learning_rate = 100.0, 1e-9
    trainer = made(tmp_path, config)
    active = trainer.imagination.active
    assert active is not None
    with torch.no_grad():
        bias = active.learner.dreamer.head.linear.bias
        bias.copy_(torch.linspace(-1.0, 1.0, len(bias)))
    trainer.start()
    seen = [trainer.iterate() for _ in range(12)]
    assert "efe_kl" not in seen[0]  # asleep
    assert "distill_kl" not in seen[-1]
    assert seen[-1]["efe_kl"] < 0.2 * seen[2]["efe_kl"]


def test_two_teachers_are_both_heard(tmp_path: Path) -> None:
    config = settings(dream=1, efe=1)
    trainer = made(tmp_path, config)
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    rollout = trainer.collector.collect(trainer.ppo.version)
    lesson = trainer.imagination.learn(rollout, trainer.ppo.beyond)
    assert [teacher.name for teacher in lesson.teachers] == ["distill_kl", "efe_kl"]
    assert [t.weight for t in lesson.teachers] == [
        config.dream.distill_coef,
        config.efe.distill_coef,
    ]
    before = weights(trainer)
    metrics = trainer.ppo.update(rollout, 1.0, lesson.teachers)
    assert metrics["distill_kl"] > 0.0
    assert metrics["efe_kl"] > 0.0
    assert any(not np.array_equal(before[key], value) for key, value in weights(trainer).items())


def test_active_inference_need_not_prove_itself_unless_it_is_told_to(tmp_path: Path) -> None:
    """Where no step earned more than another nothing can be proven, and exploring is called for."""
    for proven in (False, True):
        config = settings(efe=1)
        config.efe.proven, config.efe.distill_coef = proven, 1.0
        trainer = made(tmp_path / str(proven), config)
        trainer.start()
        for _ in range(3):
            trainer.iterate()
        rollout = trainer.collector.collect(trainer.ppo.version)
        teachers = trainer.imagination.learn(rollout, trainer.ppo.beyond).teachers
        rollout.reward[:] = 0.0
        rollout.value[:] = 0.0
        told = trainer.ppo.update(rollout, 1.0, teachers)
        (heard,) = trainer.ppo._teachers
        assert heard.weight == (0.0 if proven else 1.0)
        assert ("efe_kl_promise" in told) == proven


def test_the_order_of_teachers_does_not_matter(tmp_path: Path) -> None:
    """Each is weighed by itself: swapped, the divergences stay with their names."""
    found = []
    for turn in (1, -1):
        trainer = made(tmp_path / str(turn), settings(dream=1, efe=1))
        trainer.start()
        for _ in range(3):
            trainer.iterate()
        rollout = trainer.collector.collect(trainer.ppo.version)
        teachers = trainer.imagination.learn(rollout, trainer.ppo.beyond).teachers
        strange = teachers[1]._replace(parameters=teachers[1].parameters + 1.0, weight=0.3)
        metrics = trainer.ppo.update(rollout, 1.0, (teachers[0], strange)[::turn])
        found.append((metrics["distill_kl"], metrics["efe_kl"]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-7)


def test_surprise_is_paid_to_the_policy_alone(tmp_path: Path) -> None:
    """Neither replay nor what is told of episodes takes it for the game's reward."""
    trainer = made(tmp_path, settings(intrinsic=1.0))
    trainer.start()
    for _ in range(2):
        trainer.iterate()
    rollout = trainer.collector.collect(trainer.ppo.version)
    own = rollout.reward.copy()
    lesson = trainer.imagination.learn(rollout, trainer.ppo.beyond)
    assert lesson.bonus is not None
    assert float(np.abs(lesson.bonus).sum()) > 0.0
    np.testing.assert_array_equal(rollout.reward, own)
    np.testing.assert_array_equal(lesson.rewarded(rollout).reward, own + lesson.bonus)
    assert trainer.world is not None
    kept = trainer.world.replay._chunks[-1].arrays["reward"]
    np.testing.assert_array_equal(kept, own)


def test_whoever_replaces_what_is_drawn_from_replay_is_heard(tmp_path: Path) -> None:
    """Controls do, as by shuffling actions."""
    trainer = made(tmp_path, settings(efe=1))
    assert trainer.world is not None
    replay, drawn = trainer.world.replay, []
    before = replay.draw

    def watched(*asked):  # type: ignore[no-untyped-def]
        drawn.append(asked)
        return before(*asked)

    replay.draw = watched  # type: ignore[method-assign]
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    assert len(drawn) == trainer.world.learner.updates > 0


def test_every_part_is_timed_and_named() -> None:
    assert parts(settings()) == ()
    assert parts(settings(intrinsic=0.1)) == ("world",)
    assert parts(settings(dream=1)) == ("world", "dream")
    assert parts(settings(dream=1, efe=1)) == ("world", "dream", "efe")


def test_who_dreams_is_on_where_there_is_a_world_model() -> None:
    """And nowhere else: a world model has to be asked for."""
    config = Config()
    assert config.dream.enabled
    assert config.efe.enabled
    assert parts(config) == ()
    config.world.enabled = True
    assert parts(config) == ("world", "dream", "efe")
    config.efe.enabled = False
    assert parts(config) == ("world", "dream")


def test_a_dreamer_that_reaches_nobody_is_refused(tmp_path: Path) -> None:
    config = settings(dream=1)
    config.dream.distill_coef = 0.0
    with pytest.raises(ConfigError, match=r"dream\.share, dream\.distill_coef: both are 0"):
        made(tmp_path, config)
    config.dream.share = 0.5
    assert made(tmp_path, config).players.rival == "dreamer"


def test_passes_of_a_teacher_come_nearer_to_it(tmp_path: Path) -> None:
    """Unless it is not heeded: then there are none."""

    def taught(passes: int, coef: float = 1.0) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        trainer = made(tmp_path / f"{passes}-{coef}", settings(dream=1, efe=1))
        trainer.start()
        for _ in range(3):
            trainer.iterate()
        rollout = trainer.collector.collect(trainer.ppo.version)
        first, second = trainer.imagination.learn(rollout, trainer.ppo.beyond).teachers
        strange = first._replace(
            parameters=first.parameters + torch.linspace(-1.0, 1.0, 2),
            weight=coef, proven=False, passes=passes,
        )  # fmt: skip
        second = second._replace(weight=0.0)
        trainer.ppo.set_hyperparameters(epochs=1, learning_rate=1e-3)
        trainer.ppo.update(rollout, 1.0, (strange, second))
        after = weights(trainer)
        return trainer.ppo.update(rollout, 1.0, (strange, second)), after

    (without, _), (told, _) = taught(0), taught(30)
    assert told["distill_kl"] < 0.5 * without["distill_kl"]
    unheard = {passes: taught(passes, coef=0.0)[1] for passes in (0, 30)}
    assert all(np.array_equal(unheard[0][key], unheard[30][key]) for key in unheard[0])


def test_times_of_the_parts_are_told(tmp_path: Path) -> None:
    trainer = made(tmp_path, settings(dream=1, efe=1))
    trainer.start()
    for _ in range(3):
        metrics = trainer.iterate()
    assert all(metrics[f"seconds_{part}"] > 0.0 for part in ("world", "dream", "efe", "update"))


def test_a_checkpoint_without_active_inference_is_refused_by_a_run_with_it(tmp_path: Path) -> None:
    trainer = made(tmp_path, settings(dream=1))
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    other = made(tmp_path, settings(dream=1, efe=1))
    with pytest.raises(CheckpointError, match="the checkpoint has no active inference"):
        other.restore(saved)


@pytest.mark.parametrize(
    ("section", "name", "now"),
    [
        ("world", "deter", 12),
        ("world", "classes", 0),
        ("dream", "hidden", 9),
        ("efe", "members", 3),
    ],
)
def test_a_checkpoint_of_another_size_is_refused(
    section: str, name: str, now: int, tmp_path: Path
) -> None:
    trainer = made(tmp_path, settings(dream=1, efe=1))
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    config = settings(dream=1, efe=1)
    was = getattr(getattr(config, section), name)
    setattr(getattr(config, section), name, now)
    with pytest.raises(CheckpointError, match=f"--set {section}.{name}={was}, or start a new run"):
        made(tmp_path, config).restore(saved)


def test_a_checkpoint_of_other_actions_is_refused(tmp_path: Path) -> None:
    """And whatever was there before stays: the trainer goes on as it was."""
    trainer = made(tmp_path, settings(dream=1, efe=1))
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    game = Walk(6, gs.Discrete(3))
    other = Trainer(game, settings(dream=1, efe=1), directory=tmp_path / "other", planned=5_000)
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"the actions were .* this game has"):
        other.restore(saved)
    assert all(np.array_equal(array, weights(other)[key]) for key, array in before.items())
    other.start()
    other.iterate()


def test_what_cannot_be_followed_is_forgotten_by_all(tmp_path: Path) -> None:
    trainer = made(tmp_path, settings(dream=1, efe=1, intrinsic=0.1))
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    trainer.imagination.forget()
    beside = trainer.imagination
    assert beside.dreams is not None
    assert beside.active is not None
    assert beside.surprise is not None
    assert trainer.world is not None
    assert trainer.world.replay.gap
    for follower in (beside.dreams, beside.active, beside.surprise):  # all start from nothing
        assert float(follower._latent.deter.abs().max()) == 0.0
        assert float(np.abs(follower._action).max()) == 0.0


def test_a_replay_that_forgets_too_soon_is_refused_with_one_that_does_not(tmp_path: Path) -> None:
    """What it asks for is enough for the model to learn, and a step less is not."""
    config = dreaming(tmp_path, world__sequence=16, world__replay=48, ppo__horizon=8)
    told = (
        r"world\.replay = 48: of 6 games .* ppo\.horizon = 8 that keeps 8 steps each, and "
        r"world\.sequence = 16 needs 17, .* set world\.replay=102 or more"
    )
    with pytest.raises(ConfigError, match=told):
        Trainer(Walk(6), config, directory=tmp_path / "a")
    config.world.replay = 96  # 16 of each
    with pytest.raises(ConfigError, match="that keeps 16 steps each"):
        Trainer(Walk(6), config, directory=tmp_path / "b")
    config.world.replay = 102
    trainer = Trainer(Walk(6), config, directory=tmp_path / "c")
    trainer.start()
    found = [trainer.iterate() for _ in range(4)]
    assert ["wm_recon" in metrics for metrics in found] == [False, False, True, True]

"""A dreamer plays games of its own, and the policy learns from the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_dreams import dreaming
from tiny_games import Walk

from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.learn.collector import DREAMER
from metabonk.learn.dreams.acting import games_of
from metabonk.learn.rollout import Rollout
from metabonk.learn.trainer import Trainer
from metabonk.models.dreamer import DreamerPolicy
from metabonk.models.heads import ActionHead


def trainer_of(config: Config, directory: Path) -> Trainer:
    made = Trainer(Walk(config.game.envs), config, directory=directory)
    made.start()
    return made


def apart(directory: Path, **more: object) -> Config:
    return dreaming(directory, **{"dream__distill_coef": 0.0, "dream__share": 0.5, **more})


def always(head: ActionHead, choice: int) -> None:
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(-50.0)
        head.linear.bias[choice] = 50.0


@pytest.mark.parametrize("acting", ["torch", "compiled"])
def test_each_plays_its_own_games(tmp_path: Path, acting: str) -> None:
    trainer = trainer_of(apart(tmp_path), tmp_path)
    trainer.act_as(acting)
    assert trainer.dreams is not None
    always(trainer.model.head, 0)
    always(trainer.dreams.learner.dreamer.head, 1)
    rollout = trainer.collector.collect()
    assert rollout.others == 3
    assert rollout.own == slice(0, 3)
    assert not rollout.action[:, :3].any()
    assert (rollout.action[:, 3:] == 1).all()
    np.testing.assert_allclose(rollout.log_prob, 0.0, atol=1e-5)


def test_who_only_teaches_or_sleeps_does_not_play(tmp_path: Path) -> None:
    teaching = trainer_of(dreaming(tmp_path / "a"), tmp_path / "a")
    assert teaching.collector.collect().others == 0
    both = dreaming(tmp_path / "c", dream__share=0.5)
    assert trainer_of(both, tmp_path / "c").collector.collect().others == 3
    asleep = trainer_of(apart(tmp_path / "b", dream__warm_up=10_000), tmp_path / "b")
    assert asleep.collector.collect().others == 0


def test_who_fell_asleep_leads_nobody(tmp_path: Path) -> None:
    """What it returned was in a world model that it no longer has."""
    trainer = trainer_of(dreaming(tmp_path, dream__share=0.5), tmp_path)
    dreams = trainer.dreams
    assert dreams is not None
    dreams.contest.policy, dreams.contest.dreamer = [1.0, 2.0] * 4, [7.0, 8.0] * 4
    features = torch.zeros(1, 6, dreams.world.model.rssm.features)
    assert (trainer.players.serves, dreams.teach(features) is None) == ("dreamer", False)
    dreams.config.horizon = 0  # as far as it is trusted, and it is not
    assert dreams.contest.led
    assert (trainer.players.serves, dreams.teach(features) is None) == ("policy", True)
    assert trainer.snapshot().details["serves"] == "policy"


def test_the_policy_learns_from_its_own_games_only(tmp_path: Path) -> None:
    trainer = trainer_of(apart(tmp_path), tmp_path)
    rollout = trainer.collector.collect()
    assert rollout.others == 3
    learned = [_learned(tmp_path / str(env), rollout, env) for env in (None, 4, 1)]
    assert torch.equal(learned[0], learned[1])
    assert not torch.equal(learned[0], learned[2])  # the control: one of its own games


def _learned(directory: Path, rollout: Rollout, env: int | None) -> torch.Tensor:
    """The weights after an update in which environment `env` had earned more."""
    ppo = trainer_of(apart(directory), directory).ppo
    changed = Rollout.from_bytes(rollout.to_bytes())
    if env is not None:
        changed.reward[:, env] += 5.0
    ppo.update(changed)
    return ppo.optimizer.flat.detach()


def test_what_it_does_is_what_its_dreams_would_teach(tmp_path: Path) -> None:
    """Step by step while playing, and all at once afterwards, it follows the same states."""
    trainer = trainer_of(apart(tmp_path), tmp_path)
    trainer.iterate()
    assert trainer.dreams is not None
    world = trainer.dreams.world.model
    with torch.no_grad():  # without chance in its states, so that both ways must agree
        world.rssm.unimix = 0.0
        world.rssm.post_out.weight.mul_(1e6)
    latent, before = trainer.dreams._latent, trainer.dreams._action.copy()
    rollout = trainer.collector.collect()
    seen = {k: torch.from_numpy(v[:-1]) for k, v in rollout.observation.items()}
    rows = torch.from_numpy(np.concatenate([before[None], rollout.action[:-1]]))
    is_first = torch.from_numpy(rollout.is_first[:-1])
    states = world.sequence(latent, rows, seen, is_first, world.rssm.noise(*is_first.shape))
    features = torch.cat([states.deter, states.stoch], -1).detach()
    dreamer = trainer.dreams.learner.dreamer
    parameters = dreamer.parameters_of(features.flatten(0, 1))
    done = torch.from_numpy(rollout.action).flatten(0, 1)
    expected = dreamer.head.log_prob(parameters, None, done)[0].view(is_first.shape)
    found = rollout.log_prob.sum(-1)
    np.testing.assert_allclose(found[:, 3:], expected[:, 3:].detach(), atol=1e-4)
    assert np.abs(found[:, :3] - expected[:, :3].detach().numpy()).max() > 1e-3


def test_its_returns_are_told_apart(tmp_path: Path) -> None:
    trainer = trainer_of(apart(tmp_path), tmp_path)
    both: dict[str, float] = {}
    counted = 0.0
    for _ in range(3):  # 24 steps, two episodes of each game
        found = trainer.iterate()
        both |= found
        counted += found["episodes"]
    assert {"return_mean", "dreamer_return_mean"} <= both.keys()
    assert counted < 2 * trainer.game.num_envs
    plain = trainer_of(dreaming(tmp_path / "plain"), tmp_path / "plain")
    assert all("dreamer_return_mean" not in plain.iterate() for _ in range(3))


def test_what_both_played_of_an_episode_tells_of_neither(tmp_path: Path) -> None:
    """The dreamer wakes in the middle of episodes, and falls asleep again: going up alone returns
    1.4 or 1.5, going down alone as much less than nothing, and both something between."""
    trainer = trainer_of(apart(tmp_path, dream__warm_up=10_000), tmp_path)
    assert trainer.dreams is not None
    always(trainer.model.head, 0)
    always(trainer.dreams.learner.dreamer.head, 1)
    told: dict[str, list[float]] = {"return": [], DREAMER: []}
    ended = 0
    for warm_up in (10_000, 0, 0, 10_000, 10_000):
        trainer.dreams.config.warm_up = warm_up
        rollout = trainer.collector.collect()
        assert rollout.others == (0 if warm_up else 3)
        ended += int((rollout.terminated | rollout.truncated).sum())
        for key, values in told.items():
            values += rollout.episodes.get(key, [])
    assert told["return"]
    assert {round(value, 3) for value in told["return"]} <= {-1.4, -1.5}
    assert told[DREAMER]
    assert {round(value, 3) for value in told[DREAMER]} <= {1.4, 1.5}
    left_out = ended - len(told["return"]) - len(told[DREAMER])
    assert left_out >= 3  # else nothing was shared here, and this shows nothing


def test_who_plays_what_is_saved_with_the_games(tmp_path: Path) -> None:
    """An episode that changed hands before a checkpoint is still nobody's after it."""
    trainer = trainer_of(apart(tmp_path, dream__warm_up=10_000), tmp_path / "a")
    assert trainer.dreams is not None
    trainer.collector.collect()
    trainer.dreams.config.warm_up = 0
    trainer.collector.collect()
    trainer.collector.hands[1, 4] = True
    other = trainer_of(apart(tmp_path), tmp_path / "b")
    other.restore(trainer.snapshot())
    np.testing.assert_array_equal(other.collector.hands, trainer.collector.hands)
    assert other.collector.hands[0].tolist() == [False] * 3 + [True] * 3
    older = trainer.snapshot()
    del older.state["collector.hands"]
    other.restore(older)
    assert not other.collector.hands.any()


def test_a_resumed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = apart(tmp_path)
    one = trainer_of(config, tmp_path / "a")
    for _ in range(3):
        one.iterate()
    saved = one.snapshot()
    shutil.copytree(tmp_path / "a" / "replay", tmp_path / "b" / "replay")
    two = Trainer(Walk(config.game.envs), config, directory=tmp_path / "b")
    two.restore(saved)
    for _ in range(2):
        ours, theirs = one.iterate(), two.iterate()
        timed = [k for k in ours if "second" in k]
        assert {k: v for k, v in ours.items() if k not in timed} == pytest.approx(
            {k: v for k, v in theirs.items() if k not in timed}, rel=0, abs=0, nan_ok=True
        )
        np.testing.assert_array_equal(one.collector.rollout.action, two.collector.rollout.action)


def test_a_share_leaves_somebody_for_each() -> None:
    assert games_of(0.25, 64) == 16
    assert games_of(0.01, 64) == 1
    assert games_of(0.99, 4) == 3
    with pytest.raises(ConfigError, match=r"game\.envs is 1: play 2 or more"):
        games_of(0.5, 1)


def test_a_dreamer_is_a_policy_of_its_own(tmp_path: Path) -> None:
    """It acts alike for the same seed, and its likeliest action is that of its head."""
    trainer = trainer_of(apart(tmp_path), tmp_path)
    assert trainer.dreams is not None
    dreams = trainer.dreams
    rows = []
    for sampled in (True, True, False):
        policy = DreamerPolicy(dreams.world.model, dreams.learner.dreamer, sampled=sampled, seed=3)
        state = policy.reset(6)
        seen = {"observation": np.ones((6, 3), np.float32)}
        first = np.ones(6, np.bool_)
        for _ in range(2):
            row, state = policy.act(seen, state, first)
        assert state.step == 2
        rows.append(row)
    np.testing.assert_array_equal(rows[0], rows[1])
    parameters = dreams.learner.dreamer.parameters_of(state.latent.features)
    likeliest = dreams.learner.dreamer.head.mode(parameters.detach(), None)
    np.testing.assert_array_equal(rows[2], likeliest)

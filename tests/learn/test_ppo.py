"""PPO: its loss against the formula, what is masked, what can be set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from learners import ENVS, make, updated, weights
from tiny_games import Elapsed

from metabonk.config import ModelConfig, PPOConfig
from metabonk.errors import ConfigError
from metabonk.learn import minibatch
from metabonk.learn.collector import Collector
from metabonk.learn.ppo import PPO
from metabonk.learn.rollout import Rollout
from metabonk.models.policy import build


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_a_learning_rate_of_zero_changes_nothing(name: str) -> None:
    learner, collector = make(name)
    before = weights(learner)
    metrics = learner.update(collector.collect(), remaining=0.0)
    assert metrics["learning_rate"] == 0.0
    assert torch.equal(weights(learner), before)
    learner.update(collector.collect())
    assert not torch.equal(weights(learner), before)


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_the_first_gradient_is_that_of_the_formula(name: str) -> None:
    """One minibatch with everything in it, against a loss written out with autograd."""
    learner, collector = make(
        name,
        normalize=False,
        minibatches=1,
        epochs=1,
        max_grad_norm=1e9,
        value_clip=0.1,
        clip=0.05,
        normalize_rewards=False,
    )
    rollout = collector.collect()
    # Another policy than the one that acted, so that ratios differ from 1 and some are clipped.
    with torch.no_grad():
        learner.optimizer.flat.add_(0.05 * torch.randn(learner.optimizer.flat.shape))
    found: list[torch.Tensor] = []
    learner.average = lambda t: found.append(t.clone())
    start = learner.optimizer.flat.detach().clone()
    learner.update(rollout)
    with torch.no_grad():
        learner.optimizer.flat.copy_(start)
    learner.optimizer.zero()
    config, t = learner.config, rollout.tensors()
    targets, _ = learner._targets(rollout)
    seen = {"observation": t["observation.observation"][:-1]}
    out = learner.model.sequence(seen, t["state"][0], t["is_first"][:-1])
    flat = out.parameters.flatten(0, 1)
    log_prob, entropy = learner.model.head.log_prob(flat, None, t["action"].flatten(0, 1))
    advantage, returns = (torch.from_numpy(a) for a in (targets.advantage, targets.returns))
    ratio = (log_prob.view(16, ENVS) - t["log_prob"].sum(-1)).exp()
    policy = -torch.minimum(
        ratio * advantage, ratio.clamp(1 - config.clip, 1 + config.clip) * advantage
    )
    old = t["value"][:-1]
    clipped = old + (out.value - old).clamp(-0.1, 0.1)
    value = 0.5 * torch.maximum((out.value - returns) ** 2, (clipped - returns) ** 2)
    valid = torch.from_numpy(targets.valid)
    assert not valid.all()
    assert ((ratio - 1).abs() > config.clip).any()
    loss = (policy + config.value_coef * value)[valid].mean()
    loss = loss - config.entropy_coef * entropy.view(16, ENVS)[valid].mean()
    loss.backward()
    (gradient,) = [t for t in found if t.shape == learner.optimizer.gradient.shape]
    torch.testing.assert_close(gradient, learner.optimizer.gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_what_games_bring_beyond_the_expected_is_told_in_their_units(normalize: bool) -> None:
    """The sum of temporal-difference errors, of the critic's values in the game's units."""
    learner, collector = make(normalize_rewards=normalize)
    learner.update(collector.collect())
    rollout = collector.collect()
    assert rollout.is_first[1:].any()
    factor = learner.return_scale.factor
    assert (factor != 1.0) == normalize
    value, expected = rollout.value.astype(np.float64) / factor, np.zeros(ENVS)
    for t in range(rollout.horizon):
        going = ~rollout.terminated[t]
        error = rollout.reward[t] + learner.config.gamma * going * value[t + 1] - value[t]
        expected += np.where(rollout.is_first[t + 1], 0.0, error)
    np.testing.assert_allclose(learner.beyond(rollout), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_reset_steps_teach_nothing(name: str, rollout: bytes) -> None:
    changed = Rollout.from_bytes(rollout)
    resets = changed.is_first[1:]
    assert resets.any()
    before = updated(rollout, name)
    changed.log_prob[resets] += 3.0
    changed.reward[resets] = 100.0
    torch.testing.assert_close(updated(changed.to_bytes(), name), before, atol=0, rtol=0)
    changed.reward[~resets] += np.linspace(0, 1, (~resets).sum(), dtype="f4")
    assert not torch.equal(updated(changed.to_bytes(), name), before)


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_pieces_add_up_to_the_minibatch(
    name: str, rollout: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = updated(rollout, name)
    monkeypatch.setattr(minibatch, "PIECE", 20)
    torch.testing.assert_close(updated(rollout, name), whole, atol=1e-6, rtol=1e-4)


EFFECTS = {
    "gamma": 0.5,
    "gae_lambda": 0.1,
    "clip": 0.001,
    "value_clip": 0.001,
    "value_coef": 0.0,
    "entropy_coef": 0.5,
    "max_grad_norm": 1e-3,
    "epochs": 1,
    "minibatches": 3,
    "learning_rate": 1e-4,
    "normalize_rewards": False,
    "normalize_advantages": False,
    "sequence": 4,
    "target_kl": 1e-9,
}


@pytest.mark.parametrize(("name", "value"), EFFECTS.items())
def test_a_hyperparameter_set_between_updates_takes_effect(
    name: str, value: float, rollout: bytes
) -> None:
    def third(**late) -> torch.Tensor:
        learner, _ = make(epochs=4, learning_rate=3e-3)
        data = Rollout.from_bytes(rollout)
        learner.update(data)
        learner.set_hyperparameters(**late)
        assert all(learner.hyperparameters[k] == v for k, v in late.items())
        learner.update(data)
        return weights(learner)

    assert torch.equal(third(), third())
    assert not torch.equal(third(**{name: value}), third()), name


def timed(**settings) -> tuple[PPO, Rollout]:
    """A rollout of a game that tells the time, some steps of which take none."""
    game = Elapsed(ENVS)
    shape = ModelConfig(name="pilot", hidden=8)
    model = build(game.observation_space, game.action_layout, shape, seed=0)
    config = PPOConfig(horizon=16, normalize_advantages=False, normalize_rewards=False, **settings)
    collector = Collector(game, model, horizon=16)
    collector.start(range(ENVS))
    rollout = collector.collect()
    rollout.observation["dt"][::3] = 0.0
    return PPO(model, config, num_envs=ENVS), rollout


def test_discounting_follows_the_time_that_passed() -> None:
    learner, rollout = timed(gamma=0.9, gae_lambda=0.0)
    reset, over = rollout.is_first[1:], rollout.terminated
    gamma = 0.9 ** (rollout.observation["dt"][1:, :, 0] * 15.0)
    expected = rollout.reward + gamma * rollout.value[1:] * ~over - rollout.value[:-1]
    found = learner._targets(rollout)[0].advantage
    np.testing.assert_allclose(found[~reset], expected[~reset], atol=1e-5)
    learner.set_hyperparameters(discount_time=False)
    expected = rollout.reward + 0.9 * rollout.value[1:] * ~over - rollout.value[:-1]
    found = learner._targets(rollout)[0].advantage
    np.testing.assert_allclose(found[~reset], expected[~reset], atol=1e-5)


def test_decisions_in_which_no_time_passes_cost_what_is_set() -> None:
    learner, rollout = timed(gae_lambda=0.0)
    before = learner._targets(rollout)[0].advantage
    learner.set_hyperparameters(idle_cost=0.5)
    change = learner._targets(rollout)[0].advantage - before
    idle = (rollout.observation["dt"][1:, :, 0] == 0) & ~rollout.is_first[1:]
    assert idle.any()
    assert not idle.all()
    np.testing.assert_allclose(change, np.where(idle, -0.5, 0.0), atol=1e-6)


def test_anneal_multiplies_the_learning_rate(rollout: bytes) -> None:
    learner, _ = make(learning_rate=1e-3)
    data = Rollout.from_bytes(rollout)
    assert learner.update(data, remaining=0.25)["learning_rate"] == pytest.approx(2.5e-4)
    learner.set_hyperparameters(anneal=False)
    assert learner.update(data, remaining=0.25)["learning_rate"] == pytest.approx(1e-3)


def test_the_discount_lengthens_towards_the_end() -> None:
    learner, rollout = timed(gamma=0.9, gamma_end=0.999, gae_lambda=0.0, discount_time=False)
    seen = [learner.update(rollout, remaining=r)["gamma"] for r in (1.0, 0.5, 0.0)]
    assert seen == pytest.approx([0.9, 0.99, 0.999])
    late, early = (learner._targets(rollout, r)[0].advantage for r in (0.0, 1.0))
    ahead = rollout.value[1:] * ~rollout.terminated * ~rollout.is_first[1:]
    np.testing.assert_allclose(late - early, 0.099 * ahead, atol=1e-5)
    learner.set_hyperparameters(gamma_end=0.0)
    assert learner.update(rollout, remaining=0.0)["gamma"] == pytest.approx(0.9)


def test_a_value_out_of_range_is_refused_and_changes_nothing() -> None:
    learner, _ = make()
    with pytest.raises(ConfigError, match="gamma"):
        learner.set_hyperparameters(gamma=1.5)
    with pytest.raises(ConfigError, match="gama"):
        learner.set_hyperparameters(gama=0.5)
    assert learner.config.gamma == 0.99


def test_burn_in_matters() -> None:
    """With it, sequences start from a state that the weights of today made."""
    _, collector = make(burn_in=4, sequence=8)
    collector.collect()
    data = collector.collect().to_bytes()
    same = Rollout.from_bytes(data)
    before = updated(data, burn_in=4, sequence=8)
    # Observations before the first sequence change nothing unless the state is warmed over them.
    same.observation["observation"][:4] += 1.0
    same.is_first[:5] = False
    other = Rollout.from_bytes(data)
    other.is_first[:5] = False
    warmed = updated(same.to_bytes(), burn_in=4, sequence=8)
    assert not torch.equal(warmed, updated(other.to_bytes(), burn_in=4, sequence=8))
    assert before.shape == warmed.shape
    # The warm-up itself is not learned from: its rewards and log-probabilities do not count.
    quiet = Rollout.from_bytes(data)
    quiet.reward[:4] = 50.0
    quiet.log_prob[:4] = -9.0
    assert torch.equal(updated(quiet.to_bytes(), burn_in=4, sequence=8), before)


def test_sequences_cover_every_step_once_with_the_state_they_started_from() -> None:
    learner, collector = make(burn_in=3, sequence=4)
    rollout = collector.collect()
    targets, _ = learner._targets(rollout)
    steps = np.arange(16 * ENVS, dtype=np.float32).reshape(16, ENVS)
    targets.value = steps
    seen: list[float] = []
    shuffle = np.random.default_rng(0)
    for batch in minibatch.sequences(rollout, targets, 3, 4, shuffle):
        for made in batch.pieces:
            piece = made()
            ids = piece.value.view(4, -1)
            seen += ids.flatten().tolist()
            for m in range(ids.shape[1]):
                t, env = divmod(int(ids[0, m]), ENVS)
                assert (ids[:, m] == ids[0, m] + ENVS * torch.arange(4)).all()
                np.testing.assert_array_equal(piece.state[m], rollout.state[t, env])
                expected = rollout.observation["observation"][t + 3 : t + 7, env]
                np.testing.assert_array_equal(piece.observation["observation"][:, m], expected)
                np.testing.assert_array_equal(
                    piece.warm_up[0]["observation"][:, m],
                    rollout.observation["observation"][t : t + 3, env],
                )
    assert sorted(seen) == steps.flatten().tolist()


def test_a_sequence_that_does_not_divide_the_horizon_is_refused(rollout: bytes) -> None:
    with pytest.raises(ConfigError, match="must divide"):
        updated(rollout, sequence=5)


def test_gradients_pass_through_one_hook(rollout: bytes) -> None:
    """Nothing else moves the weights, and the hook sees the whole gradient."""
    learner, _ = make(max_grad_norm=1e9)
    size = sum(p.numel() for p in learner.model.parameters())
    seen: list[int] = []

    def silence(tensor: torch.Tensor) -> None:
        if tensor.numel() == size:
            seen.append(size)
            tensor.zero_()

    learner.average = silence
    before = weights(learner)
    learner.update(Rollout.from_bytes(rollout))
    assert torch.equal(weights(learner), before)
    assert seen == [size] * 4


@pytest.mark.parametrize("name", ["mlp", "pilot", "mamba"])
def test_a_rollout_of_nothing_but_resets_teaches_nothing(name: str, rollout: bytes) -> None:
    learner, _ = make(name, target_kl=0.01)
    learner.update(Rollout.from_bytes(rollout))
    before = weights(learner)
    idle = Rollout.from_bytes(rollout)
    idle.is_first[1:] = True
    metrics = learner.update(idle)
    assert torch.equal(weights(learner), before)
    assert np.isnan(metrics["loss_policy"])
    assert metrics["explained_variance"] == 0.0
    assert learner.version == 2


def test_metrics_say_what_happened(rollout: bytes) -> None:
    learner, _ = make(epochs=3, learning_rate=3e-3)
    metrics = learner.update(Rollout.from_bytes(rollout))
    assert metrics["epochs"] == 3
    assert metrics["kl"] > 0
    assert 0 < metrics["entropy"] <= np.log(2) + 1e-6
    assert 0 <= metrics["clip_fraction"] <= 1
    assert metrics["gradient_norm"] > 0
    assert learner.version == 1
    learner.set_hyperparameters(target_kl=1e-12)
    assert learner.update(Rollout.from_bytes(rollout))["epochs"] == 1

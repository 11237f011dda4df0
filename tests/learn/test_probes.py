"""Five one-step probe environments: a learner that fails one of them is broken in a known place."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_games as tiny
import torch

from metabonk.config import ModelConfig, PPOConfig
from metabonk.learn import ppo as ppo_module
from metabonk.learn.collector import Collector
from metabonk.learn.ppo import PPO
from metabonk.models.policy import ActorCritic, build

GAMMA = 0.8


def learn(game: tiny.TinyGame, name: str = "mlp", updates: int = 60) -> ActorCritic:
    config = PPOConfig(
        learning_rate=5e-3,
        gamma=GAMMA,
        horizon=15,
        epochs=4,
        minibatches=2,
        entropy_coef=0.0,
        normalize_rewards=False,
    )
    model = build(
        game.observation_space,
        game.action_layout,
        ModelConfig(name=name, hidden=16, layers=1),
        seed=0,
    )
    learner = PPO(model, config, num_envs=game.num_envs)
    collector = Collector(game, model, horizon=config.horizon)
    collector.start(range(game.num_envs))
    for done in range(updates):
        # The rate falls, or values would still swing by a tenth where they are looked at.
        learner.update(collector.collect(learner.version), 1.0 - done / updates)
    return model


def judge(model: ActorCritic, *rows: float) -> tuple[list[float], list[float]]:
    """Values of observations and the probability of choice 1 in each."""
    seen = {"observation": torch.tensor(rows)[:, None]}
    with torch.no_grad():
        first = torch.ones(len(rows), dtype=torch.bool)
        out = model.step(seen, model.initial_state(len(rows)), first)
    return out.value.tolist(), out.parameters.softmax(-1)[:, 1].tolist()


def constant(model: ActorCritic) -> bool:
    (value,), _ = judge(model, 0.0)
    return abs(value - 1.0) < 0.05


def seen(model: ActorCritic) -> bool:
    (low, high), _ = judge(model, -1.0, 1.0)
    return abs(low + 1.0) < 0.1 and abs(high - 1.0) < 0.1


def two_steps(model: ActorCritic) -> bool:
    seen = torch.tensor([[[0.0]], [[1.0]]])  # one after the other: the pilot sees both
    first = torch.tensor([[True], [False]])
    with torch.no_grad():
        out = model.sequence({"observation": seen}, model.initial_state(1), first)
    early, late = out.value[:, 0].tolist()
    return abs(early - GAMMA) < 0.1 and abs(late - 1.0) < 0.1


def acted(model: ActorCritic) -> bool:
    (value,), (right,) = judge(model, 0.0)
    return right > 0.95 and value > 0.8


def seen_and_acted(model: ActorCritic) -> bool:
    _, (low, high) = judge(model, -1.0, 1.0)
    return low < 0.05 and high > 0.95


LONG_MAMBA = pytest.param("mamba", marks=pytest.mark.long)
PROBES = [
    (tiny.Constant, constant),
    (tiny.Seen, seen),
    (tiny.TwoSteps, two_steps),
    (tiny.Acted, acted),
    (tiny.SeenAndActed, seen_and_acted),
]


@pytest.mark.parametrize("network", ["mlp", "pilot", "mamba"])
@pytest.mark.parametrize(("game", "passed"), PROBES)
def test_probe(game: type[tiny.TinyGame], passed, network: str) -> None:
    assert passed(learn(game(32), network))


@pytest.mark.parametrize("network", ["mlp", "pilot"])
@pytest.mark.parametrize(("game", "passed"), PROBES)
def test_a_flipped_advantage_fails_every_probe(
    game: type[tiny.TinyGame], passed, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ppo_module.advantages
    monkeypatch.setattr(ppo_module, "advantages", lambda *a, **k: np.negative(right(*a, **k)))
    assert not passed(learn(game(32), network))


def success(game: tiny.TinyGame, model: ActorCritic) -> float:
    """Mean return in fresh episodes."""
    collector = Collector(game, model, horizon=60, seed=7)
    collector.start(range(1000, 1000 + game.num_envs))
    return float(np.mean(collector.collect().episodes["return"]))


@pytest.mark.parametrize("network", ["pilot", LONG_MAMBA])
def test_the_true_time_step_is_what_recurrent_cells_need(network: str) -> None:
    """Told a constant step, the same network on the same game is no better than chance."""
    informed = learn(tiny.Elapsed(64), network, updates=150)
    assert success(tiny.Elapsed(64), informed) > 0.8
    assert success(tiny.Elapsed(64, told=0.1), informed) < 0.4
    deceived = learn(tiny.Elapsed(64, told=0.1), network, updates=150)
    assert success(tiny.Elapsed(64, told=0.1), deceived) < 0.4


@pytest.mark.parametrize("network", ["pilot", LONG_MAMBA])
def test_memory_needs_the_recurrent_state(network: str) -> None:
    """What is seen once has to be carried: a network without state cannot."""
    carried, plain = (learn(tiny.Memory(64), name, updates=120) for name in (network, "mlp"))
    assert success(tiny.Memory(64), carried) > 0.9
    assert abs(success(tiny.Memory(64), plain)) < 0.3

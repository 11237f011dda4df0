"""bench/peers/sb3.py: Stable-Baselines3 follows the recipe's loss, not its own names for it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from metabonk.bench.peers.sb3 import StableBaselines3
from metabonk.bench.training import Recipe

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3", reason="the extra `bench` has it")
RECIPE = Recipe(epochs=1, num_envs=4, horizon=4, minibatches=1, hidden=8, max_grad_norm=1e9)


def critic_steps(recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """What one update of one minibatch adds to the critic's last weights, and what the recipe's
    loss asks for: plain gradient descent on value_coef / 2 of the mean squared error."""
    peer = StableBaselines3(recipe)
    policy = peer.model.policy
    policy.optimizer = torch.optim.SGD(policy.parameters(), lr=recipe.learning_rate)
    before = policy.value_net.weight.detach().clone()
    try:
        peer.iterate()
        buffer = peer.model.rollout_buffer
        seen = torch.as_tensor(buffer.observations).flatten(0, -2)
        returns = torch.as_tensor(buffer.returns).flatten()
    finally:
        peer.close()
    stepped = policy.value_net.weight.detach() - before
    with torch.no_grad():  # by what it was; what feeds it has changed as little
        hidden = policy.mlp_extractor.forward_critic(seen)
        error = hidden @ before[0] + policy.value_net.bias - returns
        wanted = -recipe.learning_rate * recipe.value_coef * (error[:, None] * hidden).mean(0)
    return stepped[0].numpy(), wanted.numpy()


@pytest.mark.parametrize("value_coef", [0.5, 2.0])
def test_its_critic_steps_as_the_recipe_says(value_coef: float) -> None:
    recipe = dataclasses.replace(RECIPE, value_coef=value_coef, learning_rate=1e-4)
    stepped, wanted = critic_steps(recipe)
    np.testing.assert_allclose(stepped, wanted, rtol=0.02)

"""Exploration in dreams: what is tried is wider, what is learned from it stays the actor's."""

from __future__ import annotations

import msgspec
import pytest
import torch
from dreamers import HORIZON, SMALL, dreamer_of, earned, seen_states
from gymnasium import spaces as gs
from ring_world import LAYOUT, walk, world_of

from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.models.dreamer import Dreamer, dream
from metabonk.models.heads import ActionHead
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.spaces import ActionLayout

BOTH = ActionLayout.of(
    gs.Dict({"turn": gs.Box(-2.0, 2.0, (2,)), "press": gs.Discrete(4)}), masked=("press",)
)


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return world_of()


@pytest.fixture
def head() -> ActionHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = ActionHead(3, BOTH)
        torch.nn.init.normal_(made.linear.weight, std=1.0)
    return made


def test_weighted_by_its_odds_what_was_tried_has_the_actors_mean(head: ActionHead) -> None:
    """Ratios have mean 1 and give expectations under the actor; without them they are others."""
    num, generator = 200_000, torch.Generator().manual_seed(0)
    features = torch.tensor([[0.5, -1.0, 2.0]])
    mask = torch.tensor([[1, 1, 0, 1]], dtype=torch.uint8).expand(num, -1)
    parameters = head(features).detach().expand(num, -1)
    explored, log_std = head.explored(parameters, mask, 0.5)
    rows, each = torch.empty(num, BOTH.columns), torch.empty(num, 2)
    uniform = torch.rand(num, head.categorical, generator=generator)
    normal = torch.randn(num, head.continuous, generator=generator)
    head.sample(explored, mask, uniform, normal, rows, each, log_std)
    with torch.no_grad():
        log_prob, _ = head.log_prob(parameters, mask, rows)
        ratio = (log_prob - each.sum(-1)).exp()
        probability = torch.softmax(parameters[0, 2:].masked_fill(mask[0] == 0, -1e9), 0)
        mean = head.mode(parameters[:1], mask[:1])[0, 1:]
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(ratio.max()) < 2.0 * (1.0 + 0.25 / 0.36)
    assert not bool((rows[:, 0] == 2).any())
    for choice in (0, 1, 3):
        weighted = float((ratio * (rows[:, 0] == choice)).mean())
        assert weighted == pytest.approx(float(probability[choice]), abs=0.02)
    square = float((ratio * (rows[:, 1] - mean[0]).square()).mean())
    alone = float((rows[:, 1] - mean[0]).square().mean())
    actual = float((2.0 * head.log_std[0].exp()).square())
    assert square == pytest.approx(actual, rel=0.05)
    assert alone == pytest.approx(actual + 1.0, rel=0.05)  # 0.5 of a half range of 2, squared


def test_no_noise_is_no_change(world: WorldModel) -> None:
    start = seen_states(world, walk(8, 16, seed=1))
    found = []
    for noise in (0.0, 1e-9):
        generator = torch.Generator().manual_seed(0)
        found.append(dream(world, dreamer_of(world), start, 4, generator, noise))
    assert torch.equal(found[0].rows, found[1].rows)
    torch.testing.assert_close(found[0].log_prob, found[1].log_prob, atol=1e-5, rtol=0)


def test_a_dreamer_that_explores_still_learns(world: WorldModel) -> None:
    """Half of all choices at random, and what is learned earns as much."""
    config = msgspec.structs.replace(SMALL, action_noise=0.5)
    learner = DreamLearner(world, dreamer_of(world), config, seed=0)
    for update in range(200):
        learner.update(seen_states(world, walk(8, 16, seed=20_000 + update)), HORIZON)
    assert earned(world, learner.dreamer) > 0.8


def test_the_critic_of_one_that_explores_is_the_actors(world: WorldModel) -> None:
    """Half of all choices at random earn clearly less, and what it expects goes beyond that."""
    config = msgspec.structs.replace(SMALL, action_noise=0.5)
    learner = DreamLearner(world, dreamer_of(world), config, seed=0)
    for update in range(600):
        learner.update(seen_states(world, walk(8, 16, seed=20_000 + update)), HORIZON)
    start = seen_states(world, walk(8, 16, seed=1))
    with torch.no_grad():
        expected = float(learner.dreamer.value(start.features).mean())
    alone, explored = (_returned(world, learner.dreamer, start, noise) for noise in (0.0, 0.5))
    assert explored < 0.7 * alone
    assert expected > 1.1 * explored


def _returned(world: WorldModel, dreamer: Dreamer, start: Latent, noise: float) -> float:
    """The mean discounted return of long dreams."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        dreamed = dream(world, dreamer, start, 40, generator, noise)
        reward, going = world.outcome(dreamed.features[1:])
        discount = (SMALL.gamma * going).cumprod(0)
        weight = torch.cat([torch.ones_like(discount[:1]), discount[:-1]])
        return float((weight * reward).sum(0).mean())


def test_choices_are_spread_by_the_noise(world: WorldModel) -> None:
    dreamer = dreamer_of(world)
    with torch.no_grad():
        dreamer.head.linear.weight.zero_()
        dreamer.head.linear.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    start = seen_states(world, walk(16, 64, seed=1))
    counts = []
    for noise in (0.0, 0.3):
        rows = dream(world, dreamer, start, 2, torch.Generator().manual_seed(0), noise).rows
        counts.append(float((rows != 0).float().mean()))
    assert counts[0] == 0.0
    assert counts[1] == pytest.approx(0.3 * 2 / 3, abs=0.04)
    assert LAYOUT.branches[0].size == 3

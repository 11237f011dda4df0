"""Dreams teach what a world model knows, and nothing where it knows nothing."""

from __future__ import annotations

import msgspec
import pytest
import torch
from dreamers import HORIZON, SMALL, dreamer_of, earned, seen_states
from ring_world import trained, walk

from metabonk.config import DreamConfig
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.optimizer import FlatAdam
from metabonk.models.dreamer import dream
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel


def dreamt(world: WorldModel, updates: int, config: DreamConfig = SMALL) -> DreamLearner:
    learner = DreamLearner(world, dreamer_of(world), config, seed=0)
    for update in range(updates):
        learner.update(seen_states(world, walk(8, 16, seed=20_000 + update)), HORIZON)
    return learner


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return trained(250).model


def test_what_is_learned_in_dreams_earns_in_the_game(world: WorldModel) -> None:
    """Going to place 0 and staying there earns at least 10 of 12; standing still a quarter."""
    before = earned(world, dreamer_of(world))
    assert before < 0.5
    assert earned(world, dreamt(world, 200).dreamer) > 0.8


def test_shuffled_actions_teach_nothing(world: WorldModel) -> None:
    """The control: a world model that does not know what actions do."""
    blind = trained(250, shuffled=True).model
    assert earned(blind, dreamt(blind, 200).dreamer) < 0.6


def test_the_world_model_stays_as_it_is(world: WorldModel) -> None:
    before = [p.detach().clone() for p in world.state_dict().values()]
    dreamt(world, 3)
    after = world.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_resumed_learner_goes_on_bit_for_bit(world: WorldModel) -> None:
    states = seen_states(world, walk(8, 16, seed=1))
    one = dreamt(world, 4)
    two = DreamLearner(world, dreamer_of(world, seed=9), SMALL, seed=0)
    two.dreamer.load_state_dict(one.dreamer.state_dict())
    two.load(one.state(), one.details())
    assert one.update(states, HORIZON) == two.update(states, HORIZON)
    for a, b in zip(one.dreamer.parameters(), two.dreamer.parameters(), strict=True):
        assert torch.equal(a, b)


def test_an_update_that_is_skipped_leaves_the_spread_as_well(
    world: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that was skipped before any other is not the first that was measured."""
    states = seen_states(world, walk(8, 16, seed=1))
    learner = DreamLearner(world, dreamer_of(world), SMALL)
    measured: list[float] = []
    for skipped in (True, False, True, False):
        before = [learner.spread, *map(torch.clone, learner.dreamer.state_dict().values())]
        with monkeypatch.context() as patch:
            if skipped:
                patch.setattr(FlatAdam, "clip", lambda *_: float("inf"))
            measured.append(learner.update(states, HORIZON)["dream_spread"])
        after = [learner.spread, *learner.dreamer.state_dict().values()]
        pairs = zip(before[1:], after[1:], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == skipped
        assert (before[0] == after[0]) == skipped
    assert measured[0] == 0.0 < measured[1] == measured[2]
    assert measured[3] == pytest.approx(measured[1], rel=0.05)  # a hundredth of it was replaced


def test_starts_are_as_many_as_asked_and_none_twice(world: WorldModel) -> None:
    states = seen_states(world, walk(8, 16, seed=1))
    learner = DreamLearner(world, dreamer_of(world), msgspec.structs.replace(SMALL, starts=5))
    seen: list[Latent] = []
    original = dream

    def watched(w, d, start, *rest):  # type: ignore[no-untyped-def]
        seen.append(start)
        return original(w, d, start, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metabonk.learn.dreams.dreamer.dream", watched)
        learner.update(states, HORIZON)
    assert len(seen[0].deter) == 5
    assert len(seen[0].deter.unique(dim=0)) == 5  # type: ignore[no-untyped-call]
    assert learner.update(world.init(0), HORIZON) == {}


def test_ends_of_episodes_end_what_is_worth_dreaming_of(world: WorldModel) -> None:
    """Where the world model is sure that episodes end, later rewards weigh nothing."""
    learner = DreamLearner(world, dreamer_of(world), SMALL)
    dreamed = dream(world, learner.dreamer, world.init(4), 5)
    whole, _, weight = learner._returns(dreamed)
    with torch.no_grad():
        last = world.going[-1]
        bias = last.bias.clone()
        last.bias.fill_(-1e4)
        cut, _, nothing = learner._returns(dreamed)
        last.bias.copy_(bias)
    reward = world.outcome(dreamed.features[1:])[0]
    torch.testing.assert_close(cut, reward)
    assert not torch.allclose(whole, reward)
    assert bool((weight[1:] > 0.5 * 0.9**5).all())
    assert float(nothing.max()) == 0.0  # nor does what is dreamed from where one ended

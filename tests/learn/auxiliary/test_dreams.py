"""Dreams beside a policy: judged on what was not learned from, and as long as they may be."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ring_world import LAYOUT, SPACE, trained, walk

from metabonk.config import Config, load
from metabonk.errors import ConfigError
from metabonk.learn.auxiliary.dreams import DreamTraining
from metabonk.learn.collector import DREAMER
from metabonk.learn.dreams.stretches import CONTEXT
from metabonk.learn.presets import BUDGETS, preset
from metabonk.learn.rollout import Rollout
from metabonk.models.dreamer import Dream
from metabonk.models.rssm import Latent


class Ring:
    """What a game says of itself."""

    num_envs, observation_space, action_layout = 32, SPACE, LAYOUT


def rollout_of(steps: int, seed: int, every: int = 0) -> Rollout:
    """The ring's walk as a rollout: there an action is beside what it led to, here before it. An
    episode begins every so many steps, or never but at first."""
    sequences = walk(steps + 1, Ring.num_envs, seed)
    out = Rollout.allocate(SPACE, LAYOUT, Ring.num_envs, steps)
    out.observation["observation"][:] = sequences.observation["observation"]
    out.action[:] = sequences.action[1:]
    out.reward[:] = sequences.reward[1:]
    out.is_first[:] = sequences.is_first
    if every:
        out.is_first[::every] = True
    return out


@pytest.mark.parametrize(("knows", "most"), [(False, 2), (True, 5)])
def test_trust_is_how_far_the_model_beats_persistence(knows: bool, most: int) -> None:
    """A model that learned the ring is trusted as far as it may dream, a new one hardly."""
    config = Config()
    config.dream.longest, config.dream.hidden = 5, 8
    dreams = DreamTraining(Ring(), config, trained(250 if knows else 1), {})  # type: ignore[arg-type]
    config.dream.warm_up = 0
    assert not dreams.awake  # before anybody looked
    seen = dreams.judge(rollout_of(CONTEXT + 5 + 2, seed=7))
    assert seen["wm_trust"] == dreams.trust.steps
    assert seen["wm_unjudged"] == 0.0
    assert dreams.trust.steps == most if knows else dreams.trust.steps <= most
    assert dreams.horizon == (most if knows else round(dreams.trust.steps))
    # Who expects the mean has half of persistence's error on this ring, whatever it knows.
    assert (seen["wm_ahead"] < 0.3) == knows
    assert dreams.awake == knows  # what cannot be trusted for a step teaches nothing
    config.dream.horizon = 3
    assert dreams.awake
    config.dream.warm_up = 10_000
    assert not dreams.awake


def test_short_episodes_are_judged_over_what_there_is_of_them() -> None:
    config = Config()
    config.dream.hidden = 8
    dreams = DreamTraining(Ring(), config, trained(250), {})  # type: ignore[arg-type]
    seen = dreams.judge(rollout_of(40, seed=7, every=8))
    assert seen["wm_trust"] == dreams.horizon == 4  # half of eight steps is watched
    assert dreams.trust.judged == 1


def test_a_rollout_that_cannot_be_judged_is_counted_and_wakes_nobody() -> None:
    """And said once; a horizon that was asked for needs no judging."""
    config = Config()
    config.dream.hidden, config.dream.warm_up = 8, 0
    dreams = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
    nothing = rollout_of(30, seed=7, every=1)
    with pytest.warns(UserWarning, match=r"without a reset; .* set dream\.horizon"):
        assert dreams.judge(nothing) == {"wm_unjudged": 1.0}
    assert not dreams.awake
    assert dreams.teach(torch.zeros(3, Ring.num_envs, dreams.world.model.rssm.features)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dreams.judge(nothing) == {"wm_unjudged": 2.0}
        config.dream.horizon = 3
        asked = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
        assert asked.judge(nothing) == {"wm_unjudged": 1.0}
    assert asked.awake
    config.dream.horizon = 0
    other = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
    other.load(dreams.state(), dreams.details())
    assert (other.trust.unjudged, other.awake) == (2, False)


def test_dreams_start_after_the_burn_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn from the middle of episodes begins with states that know nothing of them."""
    config = Config()
    config.dream.hidden, config.dream.horizon, config.dream.warm_up = 8, 2, 0
    world = trained(1)
    dreams = DreamTraining(Ring(), config, world, {})  # type: ignore[arg-type]
    started: list[int] = []
    update = dreams.learner.update

    def watched(seen: Latent, horizon: int) -> dict[str, float]:
        started.append(len(seen.deter))
        return update(seen, horizon)

    monkeypatch.setattr(dreams.learner, "update", watched)
    drawn = walk(16, 4, seed=5)
    for middle, wanted in ((False, 16 * 4), (True, (16 - world.config.burn_in) * 4)):
        drawn.is_first[0] = not middle
        _, states = world.update(drawn)
        assert dreams.dream(states, drawn)["dream_horizon"] == 2.0
        assert started.pop() == wanted


def test_a_horizon_that_was_asked_for_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over how far the model is trusted at most, too: so many steps are dreamed."""
    config = Config()
    config.dream.hidden, config.dream.horizon, config.dream.longest = 8, 9, 4
    config.dream.warm_up, config.dream.starts = 0, 4
    world = trained(1)
    dreams = DreamTraining(Ring(), config, world, {})  # type: ignore[arg-type]
    lengths: list[int] = []
    returns = dreams.learner._returns

    def watched(
        dreamed: Dream, odds: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        lengths.append(len(dreamed.rows))
        return returns(dreamed, odds)

    monkeypatch.setattr(dreams.learner, "_returns", watched)
    drawn = walk(16, 4, seed=5)
    told = dreams.dream(world.update(drawn)[1], drawn)
    assert (told["dream_horizon"], lengths) == (9.0, [9])


def test_who_plays_teaches_while_it_leads() -> None:
    """And then without proof by single steps; who does not play has to give that."""
    config = Config()
    config.dream.hidden, config.dream.horizon, config.dream.warm_up = 8, 2, 0
    features = torch.zeros(3, Ring.num_envs, trained(1).model.rssm.features)
    for share, passes in ((0.25, 16), (0.0, 0)):
        config.dream.share = share
        dreams = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
        assert dreams.games == (8 if share else 0)
        heard = dreams.teach(features)
        assert (heard is None) == bool(share)
        dreams.contest.load({"policy": [0.0] * 4, "dreamer": [1.0] * 4})
        heard = dreams.teach(features)
        assert heard is not None
        assert (heard.proven, heard.passes) == (not share, passes)
        dreams.contest.load({"policy": [1.0] * 4, "dreamer": [0.0] * 4})
        assert (dreams.teach(features) is None) == bool(share)


def test_one_game_alone_is_the_policys() -> None:
    """Unless a dreamer that does not teach has nothing else."""
    config = Config()
    config.dream.hidden = 8
    lone = Ring()
    lone.num_envs = 1
    world = trained(1)
    assert DreamTraining(lone, config, world, {}).games == 0  # type: ignore[arg-type]
    config.dream.distill_coef = 0.0
    with pytest.raises(ConfigError, match=r"game\.envs is 1: play 2 or more"):
        DreamTraining(lone, config, world, {})  # type: ignore[arg-type]


def test_a_contest_is_noted_where_there_is_one() -> None:
    config = Config()
    config.dream.hidden = 8
    out = rollout_of(2, seed=1)
    out.episodes = {"return": [1.0, 2.0, 1.0, 2.0], DREAMER: [7.0, 8.0, 7.0, 8.0]}
    dreams = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
    nothing = np.zeros(out.num_envs, np.float32)
    told = dreams.compete(out, nothing)
    assert told["dream_lead"] == 6.0
    assert 4.0 < told["dream_lead_low"] < 6.0
    assert dreams.contest.led
    out.episodes = {}
    assert dreams.compete(out, nothing) == told
    config.dream.share = 0.0
    silent = DreamTraining(Ring(), config, trained(1), {})  # type: ignore[arg-type]
    out.episodes = {"return": [1.0] * 4, DREAMER: [7.0] * 4}
    assert silent.compete(out, nothing) == {}
    assert silent.contest.policy == []


@pytest.mark.parametrize("game", BUDGETS)
def test_who_asks_for_dreams_gets_some(game: str) -> None:
    """Within the first tenth of what a run of that game takes, unless told otherwise."""
    config = load(presets=preset, flags={"game.name": game, "dream.enabled": True}, environ={})
    world, (steps, _) = config.world, BUDGETS[game]
    assert world.enabled
    assert config.dream.warm_up * world.batch * world.sequence / world.ratio <= 0.1 * steps


def test_when_dreams_begin_is_told() -> None:
    """16 sequences of 64 steps are an update, and every step is replayed once."""
    config = Config()
    config.dream.hidden, config.dream.warm_up = 8, 101
    world = trained(1)
    world.config.batch, world.config.sequence, world.config.ratio = 16, 64, 1.0
    dreams = DreamTraining(Ring(), config, world, {})  # type: ignore[arg-type]
    right = ", where the world model is seen to be right"
    assert dreams.due(0) == dreams.due(102_401) == f"dreams begin after 102,400 steps{right}"
    assert dreams.due(51_200) == (
        "nothing will be dreamed: dreams begin after 102,400 steps and the run has 51,200; "
        "train longer, or set world.ratio = 20"
    )
    world.config.ratio = 20.0
    assert dreams.due(51_200) == f"dreams begin after 5,120 steps{right}"
    config.dream.horizon, config.dream.warm_up = 3, 0
    assert dreams.due(51_200) == "dreams begin"

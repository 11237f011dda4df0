"""The scripted policy beats the random one by a paired test, and plays as its docstring says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces as gs

from metabonk import observations
from metabonk.games import content, make, scripted
from metabonk.games.level import Level
from metabonk.observations import OFFER_FEATURES, PICKUP_FEATURES, observe
from metabonk.protocols import Policy
from metabonk.records import (
    ACTION_LAYOUT,
    Entity,
    FieldGroup,
    GameState,
    Offer,
    OfferKind,
    Pickup,
    PickupKind,
    StatChange,
    Widget,
)
from metabonk.spaces import ActionLayout

MOVE, SLIDE, INTERACT, ABILITY, CHOICE = slice(0, 2), 5, 6, 8, 9


def play(policy: Any, seeds: list[int], decisions: int = 2750) -> Any:
    """Return of each seed's first episode."""
    game = make("arena", len(seeds), threads=2)
    observation = {
        key: np.zeros((len(seeds), *space.shape), space.dtype)
        for key, space in game.observation_space.spaces.items()
    }
    reward = np.zeros(len(seeds), np.float32)
    terminated, truncated, is_reset = np.zeros((3, len(seeds)), np.bool_)
    game.reset_into(observation, seeds)
    state = policy.reset(len(seeds))
    first, over = np.ones(len(seeds), np.bool_), np.zeros(len(seeds), np.bool_)
    returns = np.zeros(len(seeds))
    for _ in range(decisions):
        actions, state = policy.act(observation, state, first)
        game.step_into(actions, observation, reward, terminated, truncated, is_reset)
        returns += np.where(over, 0.0, reward)
        over |= terminated | truncated
        first = is_reset.copy()
        if over.all():
            break
    return returns


SEEDS = list(range(5000, 5016))


@pytest.fixture(scope="module")
def random_returns() -> Any:
    return play(scripted.RandomPolicy(1), SEEDS)


def test_scripted_beats_random_by_the_paired_test(random_returns: Any) -> None:
    better = play(scripted.ScriptedPolicy(), SEEDS) - random_returns
    error = 2.13 * better.std(ddof=1) / np.sqrt(len(better))  # t, 15 degrees of freedom, 95 %
    assert better.mean() - error > 5.0, better


def test_a_motionless_policy_does_not_beat_random_like_that(random_returns: Any) -> None:
    class Still:
        policy = scripted.ScriptedPolicy()

        def reset(self, num_envs: int) -> None:
            return None

        def act(self, observation: Any, state: None, is_first: Any) -> Any:
            rows, _ = self.policy.act(observation, self.policy.reset(len(is_first)), is_first)
            rows[:, :9] = 0.0
            return rows, None

    better = play(Still(), SEEDS) - random_returns
    assert better.mean() < 5.0


def state_with(**fields: Any) -> GameState:
    return GameState(
        **{
            "fields": FieldGroup.EVERYTHING,
            "position": (48.0, 48.0, 0.0),
            "health": 60.0,
            "max_health": 100.0,
            "xp_next": 10.0,
            "level": 1,
            "playing": True,
            "grounded": True,
            "tier": 1,
            "character": 1,
            **fields,
        }
    )


def act(*states: GameState) -> Any:
    each = [observe(state) for state in states]
    batch = {key: np.stack([one[key] for one in each]) for key in each[0]}
    policy = scripted.ScriptedPolicy()
    rows, _ = policy.act(batch, policy.reset(len(states)), np.ones(len(states), np.bool_))
    return rows


def enemy(x: float, y: float, kind: int = 0, index: int = 1) -> Entity:
    return Entity(id=index, kind=kind, position=(x, y, 0.0), health=10.0, max_health=10.0)


@pytest.mark.parametrize("angle", np.arange(8) * np.pi / 4 + 0.1)
@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_it_goes_away_from_enemies_that_are_too_near(angle: float, yaw: float) -> None:
    away = (np.cos(angle), np.sin(angle))
    crowd = [enemy(48 + away[0] + 0.1 * i, 48 + away[1], 2, i + 1) for i in range(4)]
    row = act(state_with(entities=crowd, yaw=yaw))[0]
    right, forward = row[MOVE]
    east = forward * np.cos(yaw) + right * np.sin(yaw)
    north = forward * np.sin(yaw) - right * np.cos(yaw)
    assert east * away[0] + north * away[1] < -0.5
    assert row[SLIDE] == 1.0
    assert row[ABILITY] == 1.0


def test_it_collects_when_it_is_safe() -> None:
    orbs = [Pickup(id=1, kind=PickupKind.XP, position=(48.0, 54.0, 0.0), value=2.0)]
    row = act(state_with(pickups=orbs, yaw=np.pi / 2))[0]
    assert row[1] > 0.9
    assert row[SLIDE] == 0.0


def test_it_wants_a_heart_when_it_is_hurt_only() -> None:
    pickups = [
        Pickup(id=1, kind=PickupKind.XP, position=(48.0, 52.0, 0.0), value=2.0),
        Pickup(id=2, kind=PickupKind.HEAL, position=(48.0, 44.0, 0.0), value=20.0),
    ]
    hurt, whole = act(
        state_with(pickups=pickups, yaw=np.pi / 2, health=10.0),
        state_with(pickups=pickups, yaw=np.pi / 2, health=100.0),
    )
    assert hurt[1] < -0.9
    assert whole[1] > 0.9


def test_it_goes_to_chests_that_it_can_pay() -> None:
    chest = [Pickup(id=1, kind=PickupKind.CHEST, position=(54.0, 48.0, 0.0), value=25.0)]
    rich, poor = act(state_with(pickups=chest, gold=30.0), state_with(pickups=chest, gold=10.0))
    assert rich[1] > 0.9
    assert rich[INTERACT] == 1.0
    assert abs(poor[1]) < 0.9


def test_it_turns_at_the_edge() -> None:
    row = act(state_with(position=(94.0, 48.0, 0.0), entities=[enemy(90.0, 48.0)]))[0]
    assert row[1] <= 0.3


def test_features_are_read_in_the_units_they_are_written_in() -> None:
    orb = Pickup(id=1, kind=PickupKind.XP, position=(52.0, 48.0, 0.0), value=3.0)
    seen = observe(state_with(velocity=(0.0, 5.0, 0.0), yaw=np.pi / 2, gold=50.0, pickups=[orb]))
    state = dict(zip(observations.STATE_FEATURES, seen["state"].tolist(), strict=True))
    pickup = seen["pickups"][0].tolist()
    assert state["velocity_forward"] * observations.SPEED == pytest.approx(5.0)
    assert state["x"] * observations.MAP_METRES == pytest.approx(48.0)
    gold = state["gold"]
    assert observations.GOLD_SCALE * gold / (1.0 - gold) == pytest.approx(50.0, rel=1e-5)
    assert pickup[0] * observations.METRES == pytest.approx(4.0, rel=1e-5)
    value = pickup[PICKUP_FEATURES.index("value")]
    assert observations.VALUE_SCALE * value / (1.0 - value) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.parametrize(("speed", "jumps"), [(1.7, True), (1.9, False)])
def test_it_jumps_where_it_is_slower_than_three_tenths_of_its_walk(
    speed: float, jumps: bool
) -> None:
    goal = [Pickup(id=1, kind=PickupKind.XP, position=(48.0, 60.0, 0.0), value=2.0)]
    seen = observe(state_with(pickups=goal, yaw=np.pi / 2, velocity=(0.0, speed, 0.0)))
    batch = {key: array[None] for key, array in seen.items()}
    policy = scripted.ScriptedPolicy()
    _, memory = policy.act(batch, policy.reset(1), np.ones(1, np.bool_))
    memory[:, 2] = 0  # buttons released
    rows, _ = policy.act(batch, memory, np.zeros(1, np.bool_))
    assert bool(rows[0, 4]) is jumps


def test_the_arena_it_expects_is_the_default_level() -> None:
    assert scripted.Habits().size == Level().terrain.size


def menu(offers: list[Offer]) -> GameState:
    widgets = [
        Widget(0.1, 0.1 * i, 0.9, 0.1 * i + 0.05, True, i + 1, offer.text)
        for i, offer in enumerate(offers)
    ]
    return state_with(menu="LevelUp", offers=offers, widgets=widgets)


def tome(name: str, rarity: int) -> Offer:
    known = content.load()
    index = list(known.tome).index(name)
    scale = list(known.rarity.values())[rarity].scale
    change = known.tome[name].changes[0]
    stat = list(known.stat).index(change.stat)
    changes = [StatChange(stat, bool(change.multiply), scale * (change.add or change.multiply))]
    return Offer(OfferKind.TOME, rarity, index, 1, changes, name)


def test_it_takes_the_offer_that_is_worth_most() -> None:
    first, second = act(
        menu([tome("thorns", 0), tome("haste", 0), tome("flight", 0)]),
        menu([tome("haste", 0), tome("flight", 0), tome("haste", 4)]),
    )
    assert first[CHOICE] == 2
    assert second[CHOICE] == 3
    assert not first[:CHOICE].any()


def test_a_disabled_offer_is_not_taken() -> None:
    state = menu([tome("haste", 4), tome("thorns", 0)])
    state.widgets[0].enabled = False
    assert act(state)[0, CHOICE] == 2
    state.widgets[1].enabled = False
    assert act(state)[0, CHOICE] == 0


def test_rows_do_not_depend_on_the_batch() -> None:
    states = [
        state_with(entities=[enemy(50.0, 48.0)]),
        menu([tome("haste", 0), tome("power", 2)]),
        state_with(pickups=[Pickup(id=1, kind=PickupKind.XP, position=(50.0, 50.0, 0.0), value=1)]),
    ]
    together = act(*states)
    for row, state in zip(together, states, strict=True):
        np.testing.assert_array_equal(row, act(state)[0])


def test_random_actions_are_allowed_and_repeat() -> None:
    each = [observe(menu([tome("haste", 0)])), observe(state_with())]
    batch = {key: np.stack([one[key] for one in each] * 200) for key in each[0]}
    first = np.zeros(400, np.bool_)
    policy = scripted.RandomPolicy(7)
    rows, _ = policy.act(batch, policy.reset(400), first)
    again, _ = policy.act(batch, policy.reset(400), first)
    np.testing.assert_array_equal(rows, again)
    other, _ = scripted.RandomPolicy(8).act(batch, scripted.RandomPolicy(8).reset(400), first)
    assert (rows != other).any()
    assert rows.shape == (400, ACTION_LAYOUT.columns)
    assert not rows[0::2, 4:9].any()  # in a menu no button is allowed
    assert 0.3 < rows[1::2, 4:9].mean() < 0.7
    assert set(rows[0::2, CHOICE]) == {0.0, 1.0}
    assert not rows[1::2, CHOICE].any()
    assert np.abs(rows[:, :4]).max() <= 1.0
    assert rows[:, 10:].max() < 0.0


def test_random_play_fits_any_layout() -> None:
    space = gs.Dict(
        {
            "turn": gs.Box(np.array([-2.0, 0.0], np.float32), np.array([-1.0, 0.5], np.float32)),
            "push": gs.Box(-np.inf, np.inf, (1,), np.float32),
            "key": gs.Discrete(4, start=3),
        }
    )
    layout = ActionLayout.of(space, masked=("key",))
    policy = scripted.RandomPolicy(3, layout)
    mask = np.tile(np.array([1, 0, 1, 1], np.uint8), (2000, 1))
    first = np.zeros(2000, np.bool_)
    rows, _ = policy.act({"action_mask": mask}, policy.reset(2000), first)
    column = {b.name: rows[:, b.column : b.column + b.width] for b in layout.branches}
    assert (column["turn"] >= (-2.0, 0.0)).all()
    assert (column["turn"] <= (-1.0, 0.5)).all()
    assert column["push"].std() == pytest.approx(1.0, rel=0.1)
    values, counts = np.unique(column["key"], return_counts=True)
    assert values.tolist() == [0.0, 2.0, 3.0]
    assert (np.abs(counts / 2000 - 1 / 3) < 0.05).all()
    free, _ = policy.act({}, policy.reset(2000), first)
    assert set(free[:, -1]) | set(free[:, 0]) >= {0.0, 1.0, 2.0, 3.0}


def test_both_are_policies() -> None:
    assert isinstance(scripted.ScriptedPolicy(), Policy)
    assert isinstance(scripted.RandomPolicy(), Policy)


def test_every_stat_has_a_worth() -> None:
    known = content.load()
    assert set(scripted._WORTH) == set(known.stat)
    assert set(scripted._UNIT) <= set(known.stat)
    assert "is_tome" in OFFER_FEATURES

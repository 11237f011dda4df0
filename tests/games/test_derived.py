"""games/derived.py: rewards worked out from states are the arena's own, where states tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

import itertools

from metabonk import games
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.derived import Derived, End, end_of, in_run
from metabonk.games.level import Reward
from metabonk.games.scripted import ScriptedPolicy
from metabonk.games.source import Flags
from metabonk.records import (
    GAME_STATE,
    Entity,
    EntityFlag,
    FieldGroup,
    GameState,
    Pickup,
    PickupKind,
)

ZERO = dict.fromkeys(Reward.__struct_fields__, 0.0)
V1 = FieldGroup.PLAYER | FieldGroup.ENTITIES | FieldGroup.MENU | FieldGroup.OFFERS


def packed(state: GameState) -> np.void:
    return np.frombuffer(state.pack(), GAME_STATE)[0]


def run_of(**terms: float) -> list[tuple[np.void, float, bool]]:
    """States, the arena's rewards and ends of 1,500 decisions that a script makes."""
    level: dict[str, Any] = {
        "time": {"duration": 90.0, "boss_at": 30.0, "skip_min": 4, "skip_max": 4},
        "enemies": {"damage": 2.0},
        "reward": {**ZERO, **terms},
    }
    game = games.make("arena", 1, level=level)
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    policy = ScriptedPolicy()
    game.reset_into(observation, [4])
    memory, first = policy.reset(1), np.ones(1, np.bool_)
    seen = [(packed(game.game_state(0)), 0.0, True)]
    for _ in range(1500):
        rows, memory = policy.act(observation, memory, first)
        game.step_into(rows, observation, *flags.arrays())
        first = flags.is_reset.copy()
        seen.append((packed(game.game_state(0)), float(flags.reward[0]), bool(first[0])))
    return seen


@pytest.mark.parametrize(
    "terms",
    [{"alive": 1.0}, {"kill": 1.0}, {"level": 1.0}, {"death": -3.0, "victory": 5.0}, {"xp": 1.0}],
)
def test_terms_that_states_tell_are_the_arenas_own(terms: dict[str, float]) -> None:
    derived = Derived(Reward(**{**ZERO, **terms}))
    seen = run_of(**terms)
    ours = theirs = 0.0
    ends = 0
    for (before, _, _), (now, reward, first) in itertools.pairwise(seen):
        if first:
            continue
        end = end_of(before, now)
        ends += end is not End.NO
        got = derived.reward(before, now, end)
        # Experience is a float32 sum there and a float32 difference here.
        assert got == pytest.approx(reward, abs=2e-3 if "xp" in terms else 1e-4)
        ours, theirs = ours + got, theirs + reward
    assert ends >= 1
    assert abs(theirs) > 0.5
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_damage_is_the_fall_of_health() -> None:
    seen = run_of(damage_taken=-1.0)
    derived = Derived(Reward(**{**ZERO, "damage_taken": -1.0}))
    pairs = [(a[0], b) for a, b in itertools.pairwise(seen) if not b[2]]
    ours = sum(derived.reward(a, b[0], end_of(a, b[0])) for a, b in pairs)
    theirs = sum(b[1] for _, b in pairs)
    assert theirs < -50
    # Healing within a decision hides some of it.
    assert ours == pytest.approx(theirs, rel=0.1)


def test_over_v1_a_state_has_no_kills_and_levels_are_menus() -> None:
    derived = Derived(Reward(**{**ZERO, "kill": 1.0, "level": 1.0, "boss": 1.0, "chest": 1.0}))
    quiet = packed(GameState(fields=V1, playing=True, health=9.0, kills=3))
    menu = packed(GameState(fields=V1, playing=True, health=9.0, kills=5, menu="LevelUp"))
    assert derived.reward(quiet, menu, End.NO) == 1.0
    assert derived.reward(menu, menu, End.NO) == 0.0
    assert derived.reward(menu, quiet, End.NO) == 0.0


def test_bosses_and_chests_that_are_gone() -> None:
    derived = Derived(Reward(**{**ZERO, "boss": 1.0, "chest": 10.0}))
    boss = Entity(id=7, flags=EntityFlag.BOSS, health=5.0)
    bolt = Entity(id=8, flags=EntityFlag.BOSS | EntityFlag.PROJECTILE)
    chest, orb = Pickup(id=1, kind=PickupKind.CHEST), Pickup(id=2, kind=PickupKind.XP)
    everything = {"fields": FieldGroup.EVERYTHING, "playing": True, "health": 1.0}
    before = packed(GameState(**everything, entities=[boss, bolt], pickups=[chest, orb]))
    after = packed(GameState(**everything))
    assert derived.reward(before, after, End.NO) == 11.0
    assert derived.reward(after, before, End.NO) == 0.0
    assert derived.reward(before, after, End.DIED) == 10.0
    masked = packed(GameState(fields=V1, playing=True, health=1.0))
    assert derived.reward(before, masked, End.NO) == 0.0


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ({"playing": True}, End.NO),
        ({"playing": True, "menu": "LevelUp"}, End.NO),
        ({"playing": False, "menu": "LevelUp"}, End.NO),  # as v1 plugins may say it
        ({"playing": False, "menu": "Pause"}, End.NO),
        ({"playing": False, "menu": "Death", "health": 0.0}, End.DIED),
        ({"playing": False, "menu": "Death"}, End.LEFT),  # its time was up
        ({"playing": False, "menu": "None", "health": 0.0}, End.DIED),
        ({"playing": False, "menu": "Victory"}, End.WON),
        ({"playing": False, "menu": "MainMenu"}, End.LEFT),
        ({"playing": True, "time": 1.0}, End.LEFT),  # another run
        ({"playing": True, "time": 9.9}, End.NO),
    ],
)
def test_how_a_run_ends(now: dict[str, Any], end: End) -> None:
    before = packed(GameState(fields=V1, playing=True, health=5.0, time=10.0))
    after = packed(GameState(**{"fields": V1, "health": 5.0, "time": 10.1, **now}))
    assert end_of(before, after) is end
    assert in_run(after) == (end is End.NO or "time" in now)


def test_what_nothing_carries_must_weigh_nothing() -> None:
    with pytest.raises(ConfigError, match="damage_dealt"):
        Derived(Reward(**{**ZERO, "damage_dealt": 0.1}))
    nothing = packed(GameState(fields=V1, playing=True, health=float("nan")))
    assert Derived(Reward()).reward(nothing, nothing, End.NO) == 0.0

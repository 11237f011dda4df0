"""agent/tally.py: what is urgent, and what came of a decision, over deaths and new runs."""

from __future__ import annotations

import math

import pytest

from metabonk.cognition.agent.tally import (
    Ending,
    Sight,
    Tally,
    Totals,
    Triggers,
    Window,
    record_of,
)
from metabonk.cognition.protocol.wire import RequestId
from metabonk.records import Entity, EntityFlag, FieldGroup, GameState

S = 1_000_000_000


def state(**fields: object) -> GameState:
    made = GameState(fields=FieldGroup.EVERYTHING, health=100.0, max_health=100.0, playing=True)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def sight(
    at: float, reward: float = 0.0, run: int = 0, end: Ending = "", **fields: object
) -> Sight:
    return Sight(state(**fields).pack(), round(at * S), None, reward, run, end=end)


def triggered(triggers: Triggers, **fields: object) -> list[str]:
    return list(triggers.update(record_of(state(**fields).pack())))


def test_low_health_is_news_once_and_again_after_recovery() -> None:
    triggers = Triggers()
    assert triggered(triggers, health=31.0) == []
    assert triggered(triggers, health=29.0) == ["health"]
    assert triggered(triggers, health=10.0) == []
    assert triggered(triggers, health=35.0) == []  # wavering about the bound is no news
    assert triggered(triggers, health=29.0) == []
    assert triggered(triggers, health=60.0) == []
    assert triggered(triggers, health=20.0) == ["health"]
    # A state that carries no health says nothing about it.
    assert triggered(Triggers(), health=0.0, max_health=0.0) == []
    assert triggered(Triggers(), health=0.0, fields=FieldGroup.MENU) == []


def test_a_boss_and_a_menu_are_news_when_they_appear() -> None:
    triggers = Triggers()
    boss = Entity(id=7, flags=EntityFlag.BOSS)
    shot = Entity(id=8, flags=EntityFlag.BOSS | EntityFlag.PROJECTILE)
    assert triggered(triggers, entities=[Entity(id=1), shot]) == []
    assert triggered(triggers, entities=[Entity(id=1), boss]) == ["boss"]
    assert triggered(triggers, entities=[boss], menu="LevelUp") == ["menu"]
    assert triggered(triggers, entities=[boss], menu="LevelUp") == []
    assert triggered(triggers, entities=[], menu="Chest") == ["menu"]
    assert triggered(triggers, entities=[boss], health=5.0) == ["health", "boss"]
    assert triggered(triggers, menu="Gameplay") == []


def test_sums_go_over_levels_and_runs() -> None:
    tally = Tally()
    tally.update(sight(0, 0.0, kills=4, xp=5.0, xp_next=10.0, level=1))
    tally.update(sight(1, 2.0, kills=6, xp=8.0, xp_next=10.0, level=1))
    tally.update(sight(2, 3.0, kills=6, xp=1.0, xp_next=20.0, level=2))  # 2 to the level, then 1
    assert (tally.totals.kills, tally.totals.xp, tally.totals.reward) == (2, 6.0, 3.0)
    tally.update(sight(3, 1.5, run=1, kills=1, xp=0.0, level=0))
    assert tally.totals.kills == 3
    tally.update(sight(4, 1.5, run=1, kills=1))
    assert tally.totals.kills == 3
    with pytest.raises(ValueError, match="3 bytes"):
        tally.update(Sight(b"123", 5 * S))
    assert tally.totals.at_ns == 4 * S  # bad input changes nothing


def window(since: Totals, seconds: float = 4.0) -> Window:
    return Window(RequestId("omega-0", 1, 2), since, since.at_ns + round(seconds * S))


def test_an_outcome_is_what_happened_in_the_seconds_after() -> None:
    tally = Tally()
    tally.update(sight(10, 5.0, kills=3, health=80.0))
    opened = window(tally.totals)
    opened.applied, opened.status, opened.age_ms = True, "ok", 12.5
    tally.update(sight(12, 7.0, kills=4, health=70.0))
    assert not opened.over(tally.totals)
    tally.update(sight(14, 9.5, kills=6, health=65.0, xp=3.0))
    assert opened.over(tally.totals)
    outcome = opened.outcome(tally.totals)
    assert (outcome.reward, outcome.health_change, outcome.kills) == (4.5, -15.0, 3)
    assert (outcome.xp, outcome.alive, outcome.seconds) == (3.0, True, 4.0)
    assert (outcome.applied, outcome.status, outcome.age_ms) == (True, "ok", 12.5)


def test_death_ends_an_outcome_early() -> None:
    tally = Tally()
    tally.update(sight(10, health=20.0))
    opened = window(tally.totals)
    tally.update(sight(11, -10.0, health=0.0))
    assert opened.over(tally.totals)
    outcome = opened.outcome(tally.totals)
    assert not outcome.alive
    assert (outcome.health_change, outcome.seconds, outcome.reward) == (-20.0, 1.0, -10.0)
    assert outcome.status == "lost"  # nothing was heard of that request


def test_an_end_that_is_no_death_costs_no_health() -> None:
    """A run whose time is up, that was won, or that is gone without a word of its end."""
    for end in ("won", "left"):
        tally = Tally()
        tally.update(sight(10, health=20.0))
        opened = window(tally.totals)
        tally.update(sight(10.5, health=15.0, end=end))
        assert opened.over(tally.totals)
        assert opened.outcome(tally.totals).alive
        assert opened.outcome(tally.totals).health_change == -5.0
    tally = Tally()
    tally.update(sight(10, health=20.0))
    opened = window(tally.totals)
    tally.update(sight(10.2, health=12.0))
    tally.update(sight(10.5, run=1, health=100.0))
    assert opened.over(tally.totals)
    assert opened.outcome(tally.totals).alive
    assert opened.outcome(tally.totals).health_change == -8.0


def test_a_window_behind_an_end_is_not_over_by_it() -> None:
    tally = Tally()
    tally.update(sight(10, health=20.0))
    tally.update(sight(11, health=0.0))
    opened = window(tally.totals)
    tally.update(sight(12, health=0.0))
    assert not opened.over(tally.totals)
    tally.update(sight(13, run=1, health=100.0))
    assert opened.over(tally.totals)
    assert not opened.outcome(tally.totals).alive


def test_numbers_that_are_none_reach_no_outcome() -> None:
    tally = Tally()
    tally.update(sight(0))
    opened = window(tally.totals)
    tally.update(sight(9, math.nan, health=math.inf))
    outcome = opened.outcome(tally.totals)
    assert all(map(math.isfinite, (outcome.reward, outcome.health_change, outcome.xp)))

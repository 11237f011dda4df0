"""agent/in_force.py: what holds until when, and when the local strategist may speak."""

from __future__ import annotations

import time

from metabonk.cognition.agent.decision import ClientCounts
from metabonk.cognition.agent.in_force import FRESH, InForce
from metabonk.cognition.agent.tally import Sight
from metabonk.cognition.vocabulary import Directive, Hold, Priority, Verb

S = 1_000_000_000
RETREAT = Directive(Verb.RETREAT, Hold(), 2.0)
EXPLORE = Directive(Verb.EXPLORE, Hold(), 0.5)


def test_a_directive_holds_until_its_moment() -> None:
    held = InForce(ClientCounts(), None, None, 2.0)
    assert held.current() is None
    assert held.put(RETREAT, 5 * S)
    assert held.current(5 * S - 1) == RETREAT
    assert held.current(5 * S) is None
    assert held.current() is None, "by this moment's clock"
    held.put(RETREAT, time.monotonic_ns() + 3600 * S)
    assert held.current() == RETREAT


def test_what_the_game_does_not_take_changes_nothing() -> None:
    given: list[tuple[Directive, int]] = []

    def apply(directive: Directive, until_ns: int) -> bool:
        given.append((directive, until_ns))
        return directive is RETREAT

    held = InForce(ClientCounts(), apply, None, 2.0)
    assert held.put(RETREAT, 9 * S)
    assert not held.put(EXPLORE, 10 * S)
    assert held.current(8 * S) == RETREAT
    assert given == [(RETREAT, 9 * S), (EXPLORE, 10 * S)]


def test_the_local_strategist_speaks_when_nothing_holds_and_it_is_time() -> None:
    asked: list[int] = []

    def local(sight: Sight) -> Directive:
        asked.append(sight.captured_ns)
        return EXPLORE

    counts = ClientCounts()
    held = InForce(counts, None, local, 2.0)
    held.act_locally(None, 100 * S)
    held.act_locally(Sight(b"", 100 * S), 100 * S + FRESH + 1)
    assert asked == [], "nothing is seen, or nothing that is fresh"
    for now in range(100 * S, 102 * S, S // 10):
        held.act_locally(Sight(b"", now), now)
    assert [at / S for at in asked] == [100.0, 100.5, 101.0, 101.5]
    assert counts.local == 4
    assert (spoken := held.current(101 * S + S // 2)) is not None
    assert (spoken.action, spoken.priority) == (EXPLORE.action, Priority.LOW), "it yields"
    held.put(RETREAT, 110 * S)
    held.act_locally(Sight(b"", 109 * S), 109 * S)
    assert len(asked) == 4, "the server has spoken"


def test_where_a_run_begins_nothing_is_in_force_and_the_strategist_may_speak() -> None:
    counts = ClientCounts()
    held = InForce(counts, None, lambda sight: EXPLORE, 2.0)
    held.act_locally(Sight(b"", 100 * S), 100 * S)
    held.put(RETREAT, 110 * S)
    held.begin()
    assert held.current(101 * S) is None
    held.act_locally(Sight(b"", 100 * S), 100 * S + 1)
    assert counts.local == 2
    assert held.current(100 * S + 2) is not None


def test_a_strategist_without_an_idea_is_asked_once_in_a_period() -> None:
    asked: list[int] = []

    def local(sight: Sight) -> None:
        asked.append(sight.captured_ns)

    counts = ClientCounts()
    held = InForce(counts, None, local, 2.0)
    for now in range(100 * S, 105 * S, S // 4):
        held.act_locally(Sight(b"", now), now)
    assert [at / S for at in asked] == [100.0, 102.0, 104.0]
    assert (counts.local, held.current(100 * S)) == (0, None)

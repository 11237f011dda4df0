"""cognition/agent/wishes.py: places in the period, and what was missed while nobody was there."""

from __future__ import annotations

import pytest

from metabonk.cognition.agent.wishes import NS, SPREAD, Wishes

START = 1_000 * NS


def times(wishes: Wishes, begin: int, seconds: float) -> list[int]:
    """When regular wishes come up, looked for every millisecond and granted at once."""
    found = []
    for now in range(begin, begin + round(seconds * NS), NS // 1000):
        if wishes.newest(now):
            found.append(now)
            wishes.take()
    return found


def test_a_place_that_was_missed_comes_up_at_once() -> None:
    wishes = Wishes(2.0)
    wishes.begin(0.5, START)  # places at 1001, 1003, ...
    assert [t / NS for t in times(wishes, START, 2.0)] == [1001.0]
    back = START + 4 * NS + NS // 2  # the server was away when 1003 came
    wishes.begin(0.5, back)
    first, second, third = times(wishes, back, 5.0)
    assert back <= first <= back + SPREAD
    assert second / NS == 1007.0, "1005 would come half a second after it"
    assert (third - second) / NS == 2.0


def test_a_second_welcome_does_not_put_off_what_was_missed() -> None:
    """Who said Hello again while a server was still loading is welcomed twice."""
    wishes = Wishes(2.0)
    wishes.begin(0.5, START)
    back = START + 4 * NS + NS // 2
    for again in (back, back + NS // 100):
        wishes.begin(0.5, again)
    first, second = times(wishes, back + NS // 100, 4.0)
    assert first <= back + NS // 100 + SPREAD
    assert second / NS == 1007.0


def test_nothing_was_missed_by_who_comes_back_in_time_or_was_never_there() -> None:
    wishes = Wishes(2.0)
    wishes.begin(0.5, START)
    assert wishes.next_ns == START + NS
    wishes.begin(0.25, START + NS // 10)  # another seat, before anything was due
    assert wishes.next_ns == START + NS // 2
    assert [t / NS for t in times(wishes, START + NS // 10, 3.0)] == [1000.5, 1002.5]


@pytest.mark.parametrize("every", [0.05, 0.5, 2.0])
def test_agents_that_come_back_together_do_not_ask_together(every: float) -> None:
    back = START + 10 * NS
    found = []
    for seat in range(16):
        wishes = Wishes(every)
        wishes.begin(0.0, START)
        wishes.begin(seat / 16, back)
        found.append(wishes.next_ns)
    spread = min(SPREAD, round(every * NS))
    assert len(set(found)) == 16
    assert all(back <= at < back + spread for at in found)


def test_a_missed_place_costs_no_more_than_one_wish() -> None:
    wishes = Wishes(0.5)
    wishes.begin(0.0, START)
    back = START + 100 * NS
    wishes.begin(0.0, back)
    assert len(times(wishes, back, 10.0)) <= 21
    assert wishes.replaced == 0


def test_the_more_urgent_wish_stays() -> None:
    wishes = Wishes(2.0)
    wishes.add("health")
    wishes.add("period")
    wishes.add("menu", "menu")
    assert wishes.take() == ("health", "strategy")
    wishes.add("period")
    wishes.add("boss")
    assert wishes.take() == ("boss", "strategy")
    assert wishes.replaced == 3
    with pytest.raises(LookupError):
        wishes.take()

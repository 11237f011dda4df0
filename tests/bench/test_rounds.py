"""bench/rounds.py, and budgets: what is measured once, what was not measured at all."""

from __future__ import annotations

import math
import subprocess
from typing import Any

import pytest
from metabonk.bench import case as case_module
from metabonk.bench import gates, rounds, suites
from metabonk.bench.case import Case, measure
from metabonk.bench.gates import Gate
from metabonk.bench.meter import Reading
from metabonk.bench.rounds import Round, Shared
from metabonk.bench.versus import AbsentError, Contender

from metabonk.errors import ConfigError, LinkError

GATES = {"s": {"c": {"peer": Gate(goal=1.2)}}}


class Counting:
    """Rounds whose figures say which one it is."""

    opened = closed = measures = 0

    def __init__(self) -> None:
        Counting.opened += 1

    def prepare(self) -> None:
        """Nothing to warm up."""

    def measured(self) -> Round:
        Counting.measures += 1
        return Round({"a": Counting.measures, "b": 10.0 * Counting.measures})

    def close(self) -> None:
        Counting.closed += 1


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_KEPT", {})
    Counting.opened = Counting.closed = Counting.measures = 0


def figures(key: str, figure: str, count: int) -> list[float]:
    shared = Shared(key, Counting, figure, 3)
    try:
        shared.prepare()
        return [shared.measure() for _ in range(count)]
    finally:
        shared.close()


def test_a_round_is_measured_once_whatever_is_read_of_it() -> None:
    assert figures("k", "a", 3) == [1.0, 2.0, 3.0]
    assert figures("k", "b", 3) == [10.0, 20.0, 30.0], "the same rounds"
    assert (Counting.opened, Counting.measures, Counting.closed) == (1, 3, 1)
    assert figures("other", "a", 1) == [4.0], "another key's are others"


def test_what_was_cut_off_is_measured_by_who_comes_next() -> None:
    assert figures("k", "a", 1) == [1.0]
    assert figures("k", "b", 3) == [10.0, 20.0, 30.0]
    assert Counting.measures == 3


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def case(clock: Clock, seconds: float, **settings: Any) -> Case:
    """Ours is twice as good, and a round takes so many seconds of a clock."""

    def slow() -> float:
        clock.now += seconds
        return 2.0

    ours = Contender("ours", lambda: Reading(slow, warm=0))
    peer = Contender("peer", lambda: Reading(lambda: 1.0))
    return Case("s", "c", "x", ours, (peer,), rounds=5, **settings)


def test_a_case_that_was_cut_off_is_not_met_however_good_it_looks() -> None:
    clock = Clock()
    (row,) = gates.rows(measure(case(clock, 10.0, budget=25.0), clock=clock), GATES)
    assert (row.ratio, row.met, row.skipped) == (2.0, None, False)
    assert row.unmeasured == "3 of 5 rounds within its 25 s"
    assert row.note == f"not measured: {row.unmeasured}"
    (row,) = gates.rows(measure(case(clock, 10.0, budget=50.0), clock=clock), GATES)
    assert (row.met, row.unmeasured) == (True, ""), "five rounds, with nothing to spare"


def test_a_start_that_takes_all_the_time_leaves_no_figure() -> None:
    clock = Clock()

    def slow() -> Reading:
        clock.now += 100.0
        return Reading(lambda: 2.0)

    made = case(clock, 1.0, budget=60.0)
    made = Case("s", "c", "x", Contender("ours", slow), made.peers, rounds=5, budget=60.0)
    (row,) = gates.rows(measure(made, clock=clock), GATES)
    assert (row.ratio, row.met) == (None, None)
    assert row.unmeasured == "0 of 5 rounds within its 60 s"


def test_who_is_absent_is_skipped_also_where_there_was_no_time() -> None:
    clock = Clock()

    def absent() -> Reading:
        raise AbsentError("install it")

    made = case(clock, 10.0, budget=25.0)
    both = (*made.peers, Contender("other", absent))
    made = Case("s", "c", "x", made.ours, both, rounds=5, budget=25.0)
    first, second = gates.rows(measure(made, clock=clock), GATES)
    assert (first.skipped, bool(first.unmeasured)) == (False, True)
    assert (second.skipped, second.unmeasured, second.note) == (True, "", "skipped: install it")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Three cases of ten seconds a round; the second one breaks."""
    clock = Clock()

    def broken() -> float:
        raise LinkError("nobody answered")

    one, three = case(clock, 10.0, group="first"), case(clock, 10.0, group="c")
    two = Case(
        "s", "broken", "x", Contender("ours", lambda: Reading(broken, warm=0)), one.peers, rounds=5
    )
    made = {"c": one, "broken": two, "third": three}
    named = [
        Case(c.suite, n, c.unit, c.ours, c.peers, rounds=5, group=c.group) for n, c in made.items()
    ]
    monkeypatch.setattr(suites, "cases", lambda names=(): named)
    table = {"s": {name: {"peer": Gate(1.2)} for name in made}}
    monkeypatch.setattr(gates, "load", lambda: table)
    return clock


@pytest.mark.parametrize(
    ("error", "said_why"),
    [
        (LinkError("nobody answered"), "nobody answered"),
        (TimeoutError("too late"), "too late"),
        (EOFError(), "EOFError"),
        (subprocess.TimeoutExpired("play", 5.0), "Command 'play' timed out after 5.0 seconds"),
    ],
)
def test_whatever_breaks_a_case_is_said(
    monkeypatch: pytest.MonkeyPatch, many: Clock, error: Exception, said_why: str
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(case_module, "measure", breaks)
    found = [row for rows in suites.each() for row in rows]
    assert [row.unmeasured for row in found] == [f"it broke: {said_why}"] * 3
    monkeypatch.setattr(case_module, "measure", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a fault of ours is none of the case's
        next(suites.each())


def test_a_case_that_breaks_takes_nothing_from_the_others(many: Clock) -> None:
    said: list[str] = []
    found = [row for rows in suites.each(clock=many, told=said.append) for row in rows]
    assert [(row.name, row.met) for row in found] == [
        ("c", True),
        ("broken", None),
        ("third", True),
    ]
    assert found[1].unmeasured == "it broke: nobody answered"
    assert said[:2] == ["1 of 3, s: c: starting", "1 of 3, s: c: round 1 of 5"]
    assert said[-1] == "3 of 3, s: third: round 5 of 5"


def test_no_case_begins_when_the_time_is_over(many: Clock) -> None:
    each = suites.each(seconds=45.0, clock=many)
    assert next(each)[0].met is True, "rows come one case after the other"
    assert many.now == 50.0
    late = [row for rows in each for row in rows]
    assert many.now == 50.0, "nothing more was measured"
    assert [(row.name, row.met, row.ratio) for row in late] == [
        ("broken", None, None), ("third", None, None),
    ]  # fmt: skip
    assert {row.unmeasured for row in late} == {"the 0.75 minutes were over"}


def test_cases_are_chosen_by_group_or_by_a_word_of_their_names(many: Clock) -> None:
    def names(*only: str) -> list[str]:
        return [case.name for case in suites.chosen((), only)]

    assert names() == ["c", "broken", "third"]
    assert names("first") == ["c"]
    assert names("HIRD", "first") == ["c", "third"]
    assert names("c") == ["third"], "a group's name is no word of other names"
    with pytest.raises(ConfigError, match="--only fist: no case; groups are first, c; "):
        names("first", "fist")


def test_without_a_budget_all_rounds_are_run() -> None:
    clock = Clock()
    made = case(clock, 1e6)
    assert made.budget == math.inf
    assert "unmeasured" not in measure(made, clock=clock)

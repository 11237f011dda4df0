"""retention.py: what goes from a journal that is full or old, what stays, and that nobody waits."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from journals import Told, decision, outcome, rows
from peers import until

from metabonk.cognition.log import journal as j
from metabonk.cognition.log import retention as r
from metabonk.cognition.log.journal_file import open_writable
from metabonk.cognition.log.retention import Keep, Retention
from metabonk.errors import ConfigError

NOW = 2e9  # long after every row that is not said to be young
STATE = b"s" * 1000


def fill(folder: Path, count: int, *, undecided: tuple[int, ...] = (), agents: int = 1) -> None:
    """Decisions 0 to `count` of agents in turn, each with its outcome but for the undecided."""
    told = Told()
    with j.Journal(folder) as book:
        for n in range(count):
            book.record(decision(n, agent=f"a{n % agents}", state=STATE), told)
        for n in set(range(count)) - set(undecided):
            book.outcome(outcome(n, agent=f"a{n % agents}"), told)


class Clock:
    """Seconds since 1970, and of a clock that always goes on."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.passed = 0.0

    def time(self) -> float:
        return self.now

    def ticks(self) -> float:
        return self.passed


@contextlib.contextmanager
def keeping(folder: Path, keep: Keep, clock: Clock | None = None) -> Iterator[Retention]:
    clock = clock or Clock()
    with contextlib.closing(open_writable(folder / j.FILE, False)) as connection:
        yield Retention(connection, keep, clock=clock.time, ticks=clock.ticks)


def sweep(found: Retention, most: int = 16) -> int:
    """Steps until there is nothing more to do; how many."""
    found.look()
    steps = 0
    while found.due:
        found.step(most)
        steps += 1
        assert steps < 10_000, "it never ends"
    return steps


def left(folder: Path, table: str = "decisions") -> list[int]:
    return [row[0] for row in rows(folder, f"SELECT sequence FROM {table} ORDER BY sequence")]


def test_the_oldest_go_until_the_limit_holds(tmp_path: Path) -> None:
    fill(tmp_path, 1000)
    with keeping(tmp_path, Keep()) as found:
        assert sweep(found) == 0, "no limit, nothing to do"
        whole = found.size
        assert whole > 1000 * len(STATE)
    with keeping(tmp_path, Keep(size=whole // 2)) as found:
        sweep(found)
        assert whole // 4 < found.size <= whole // 2
        stay = left(tmp_path)
        assert found.removed == 1000 - len(stay) > 300
    assert stay == list(range(1000 - len(stay), 1000)), "the newest, without a gap"
    assert left(tmp_path, "outcomes") == stay, "with what came of them, and no more"


def test_a_step_is_short(tmp_path: Path) -> None:
    fill(tmp_path, 200)
    with keeping(tmp_path, Keep(size=1)) as found:
        found.look()
        before = found.removed
        for _ in range(5):
            found.step(10)
            assert found.removed - before <= 10
            before = found.removed
        assert found.removed == 50


@pytest.mark.parametrize("keep", [Keep(size=1), Keep(days=1.0)])
def test_what_waits_for_its_outcome_stays_within_its_time(tmp_path: Path, keep: Keep) -> None:
    fill(tmp_path, 40, undecided=(3, 20, 39))
    young = decision(0).at + r.OUTCOME_SECONDS - 1.0
    clock = Clock(young if keep.size else NOW)
    if keep.days:  # all of them are old enough, three have just been decided
        with sqlite3.connect(tmp_path / j.FILE) as connection:
            at = NOW - r.OUTCOME_SECONDS + 1.0
            connection.execute("UPDATE decisions SET at=? WHERE sequence IN (3, 20, 39)", (at,))
            connection.execute("UPDATE decisions SET at=1e9 WHERE sequence NOT IN (3, 20, 39)")
        keep = Keep(days=1.0 / 24.0)  # of an hour, which is less than outcomes may take
    with keeping(tmp_path, keep, clock) as found:
        sweep(found)
        assert left(tmp_path) == [3, 20, 39]
        assert not found.due, "it does not try again and again"
        clock.now += 60.0  # their time is over
        clock.passed += r.ROUND_SECONDS  # and they are looked at again
        sweep(found)
    assert left(tmp_path) == [39], "the newest of its agent stays"


def test_the_newest_of_every_agent_stays_so_that_numbers_go_on(tmp_path: Path) -> None:
    fill(tmp_path, 90, agents=3)
    with keeping(tmp_path, Keep(size=1)) as found:
        sweep(found)
    assert left(tmp_path) == [87, 88, 89]
    with j.Journal(tmp_path) as book:
        assert [book.newest(f"a{n}") for n in range(3)] == [(1, 87), (1, 88), (1, 89)]
        told = Told()
        book.record(decision(4, agent="a0", epoch=2), told)
        told.wait(1)
    with keeping(tmp_path, Keep(size=1)) as found:
        sweep(found)
    with j.Journal(tmp_path) as book:
        assert book.newest("a0") == (2, 4), "a later epoch is newer than any number"


def test_days_are_counted_from_the_decision(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    clock = Clock(decision(60).at + 2.0 * 86_400.0)
    with keeping(tmp_path, Keep(days=2.0), clock) as found:
        sweep(found)
        assert left(tmp_path) == list(range(60, 100))
        assert found.oldest == decision(60).at
        clock.now += 30.0
        clock.passed += r.LOOK_SECONDS
        sweep(found)
    assert left(tmp_path) == list(range(90, 100))


@pytest.mark.parametrize("keep", ["days", "size"])
def test_an_agent_that_left_for_good_is_not_looked_at_again_and_again(
    tmp_path: Path, keep: str
) -> None:
    """Its newest row stays for ever: it is not how far the journal goes back, nor work to do."""
    told = Told()
    with j.Journal(tmp_path) as book:
        book.record(decision(0, agent="gone", state=STATE), told)
        told.wait(1)
    fill(tmp_path, 100)
    clock = Clock(decision(60).at + 86_400.0)
    with keeping(tmp_path, Keep()) as found:
        whole = found.size
    limits = Keep(days=1.0) if keep == "days" else Keep(size=whole * 2 // 3)
    with keeping(tmp_path, limits, clock) as found:
        assert found.oldest == decision(0).at
        assert sweep(found) > 0
        stay = left(tmp_path)
        assert stay[0] == 0, "the row of who left"
        assert found.oldest == decision(stay[1]).at
        for _ in range(10):
            clock.passed += r.LOOK_SECONDS
            found.look()
            assert not found.due
            assert found.oldest == decision(stay[1]).at
        if keep == "size":  # nothing has to go: nothing is looked at again, an hour later either
            clock.passed += r.ROUND_SECONDS
            for _ in range(3):
                clock.passed += r.LOOK_SECONDS
                assert sweep(found) == 0
                assert found.oldest == decision(stay[1]).at
        if keep == "days":  # what grows old goes, and what had to stay is looked at once an hour
            clock.now += 30.0
            sweep(found)
            assert left(tmp_path) == [0, *range(90, 100)]
            clock.passed += r.ROUND_SECONDS
            assert sweep(found) > 0
            assert sweep(found) == 0


def test_what_had_to_stay_goes_in_time_also_where_nothing_new_comes(tmp_path: Path) -> None:
    fill(tmp_path, 40, undecided=(3, 20))
    with sqlite3.connect(tmp_path / j.FILE) as connection:
        connection.execute("UPDATE decisions SET at=?", (NOW - 2.0 * 3600.0,))
        connection.execute("UPDATE decisions SET at=? WHERE sequence=39", (NOW,))
    clock = Clock()
    with keeping(tmp_path, Keep(days=1.0 / 24.0), clock) as found:
        sweep(found)
        assert left(tmp_path) == [3, 20, 39]
        clock.now += 1.5 * 3600.0  # nobody waits for their outcomes any more
        clock.passed += 1.5 * 3600.0
        sweep(found)
    assert left(tmp_path) == [39]


def test_where_there_was_room_for_hours_what_had_to_stay_goes_when_it_is_short(
    tmp_path: Path,
) -> None:
    """And is not what tells how far back it goes, while outcomes are looked at first."""
    told = Told()
    with j.Journal(tmp_path) as book:
        book.record(decision(0, agent="gone", state=STATE), told)
        book.record(decision(1, agent="back", state=STATE), told)
        told.wait(2)
    fill(tmp_path, 100)
    with keeping(tmp_path, Keep()) as found:
        limit = found.size * 2 // 3
    clock = Clock()
    with keeping(tmp_path, Keep(size=limit), clock) as found:
        sweep(found)
        stay = left(tmp_path)
        assert stay[:2] == [0, 1]
        clock.passed += 5.0 * r.ROUND_SECONDS
        assert sweep(found) == 0
        with j.Journal(tmp_path) as book:
            book.record(decision(500, agent="back", state=STATE), told)
            for n in range(100, 200):
                book.record(decision(n, state=STATE), told)
                book.outcome(outcome(n), told)
            told.wait(203)
        clock.passed += r.LOOK_SECONDS
        found.look()
        assert found.due
        for _ in range(3):
            found.step(10)  # of outcomes
            assert found.oldest == decision(stay[2]).at
        sweep(found)
        assert left(tmp_path)[0] == 0
        assert 1 not in left(tmp_path)
        assert found.size <= limit


def test_outcomes_without_a_decision_go_after_their_time(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    told = Told()
    with j.Journal(tmp_path) as book:
        for n in (100, 101):
            book.outcome(outcome(n), told)
        told.wait(2)
    with sqlite3.connect(tmp_path / j.FILE) as connection:
        young = NOW - r.OUTCOME_SECONDS + 1.0
        connection.execute("UPDATE outcomes SET at=1e9")
        connection.execute("UPDATE outcomes SET at=? WHERE sequence=101", (young,))
    clock = Clock()
    with keeping(tmp_path, Keep(size=1), clock) as found:
        clock.passed = r.ROUND_SECONDS
        sweep(found, 2)
    assert left(tmp_path, "outcomes") == [4, 101], "the newest decision's, and the young one"


def test_a_step_that_fails_removes_nothing_and_is_tried_again(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    clock = Clock()
    with keeping(tmp_path, Keep(size=1), clock) as found:
        found._connection.execute(
            "CREATE TEMP TRIGGER no BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        found.look()
        with pytest.raises(sqlite3.Error, match="no"):
            found.step()
        assert (found.removed, found.due, len(left(tmp_path))) == (0, False, 50)
        assert len(left(tmp_path, "outcomes")) == 50, "half of a pair is never removed"
        assert found.wait() == r.PAUSE_SECONDS
        found._connection.execute("DROP TRIGGER no")
        clock.passed += r.PAUSE_SECONDS
        sweep(found)
    assert left(tmp_path) == [49]


def test_a_row_that_is_damaged_stops_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    with sqlite3.connect(tmp_path / j.FILE) as connection:
        connection.execute("UPDATE decisions SET at='long ago' WHERE sequence=7")
        connection.execute("UPDATE decisions SET agent=CAST(x'fffe' AS TEXT) WHERE sequence=8")
    with keeping(tmp_path, Keep(size=1)) as found:
        sweep(found)
    assert len(rows(tmp_path, "SELECT rowid FROM decisions")) == 2  # the newest of two names


@pytest.mark.parametrize(("name", "keep"), [("size", {"size": -1}), ("days", {"days": -0.5})])
def test_limits_that_cannot_be(name: str, keep: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{name}: .*wanted 0"):
        Keep(**keep)  # type: ignore[arg-type]


def test_a_journal_keeps_within_its_limit_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(r, "LOOK_SECONDS", 0.01)
    limit, count = 400_000, 1500
    told = Told()
    with j.Journal(tmp_path, keep=Keep(size=limit)) as book:
        for n in range(count):
            book.record(decision(n, state=STATE), told)
            book.outcome(outcome(n), told)
        assert told.wait(2 * count) == [True] * (2 * count)
        until(lambda: 0 < book.retention.size <= limit)
        until(lambda: not book.retention.due)
        assert book.counts["decisions"] == count
        assert book.counts["removed"] == book.retention.removed > count / 3
        said = book.figures()
        assert said["limit_bytes"] == limit
        assert said["bytes"] == book.retention.size
        assert said["oldest_seconds"] > 1e8, "decisions of long ago"
        stay = count - book.counts["removed"]
    assert left(tmp_path) == list(range(count - stay, count))
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def test_decisions_have_their_turn_between_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is to remove: at most one step lies before a decision that came."""
    fill(tmp_path, 400)
    stepped, go = threading.Event(), threading.Event()
    steps: list[int] = []
    step = Retention.step

    def slow(found: Retention, most: int = r.STEP) -> None:
        steps.append(most)
        stepped.set()
        assert go.wait(30.0)
        step(found, 1)

    monkeypatch.setattr(Retention, "step", slow)
    monkeypatch.setattr(r, "LOOK_SECONDS", 0.01)
    with j.Journal(tmp_path, keep=Keep(size=1)) as book:
        told = Told()
        assert stepped.wait(30.0)  # in the middle of a step
        before: list[int] = []

        def written(safe: bool) -> None:
            before.append(len(steps))
            told(safe)

        for n in range(1000, 1003):
            book.record(decision(n), written)
        go.set()
        assert told.wait(3) == [True] * 3
        assert before == [1, 1, 1], "written before the second step"
        until(lambda: len(steps) > 3)
        assert min(steps) >= r.STEP


def test_a_fault_in_removing_is_shown_and_costs_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 20)

    def fails(found: Retention, most: int = r.STEP) -> None:
        found._rest()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Retention, "step", fails)
    monkeypatch.setattr(r, "LOOK_SECONDS", 0.01)
    with j.Journal(tmp_path, keep=Keep(size=1)) as book:
        until(lambda: book.counts["failures"] == 1)
        assert "disk I/O error" in book.problem
        told = Told()
        book.record(decision(30), told)
        assert told.wait(1) == [True]
        assert book.problem == ""

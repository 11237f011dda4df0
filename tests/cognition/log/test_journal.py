"""The journal: once per request, joined with its outcome, whatever is killed, full or torn."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from journals import Told, decision, outcome, rows
from peers import HANG, crowd

from metabonk.cognition import situation
from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol.wire import RequestId
from metabonk.errors import CorruptError, LinkError


@pytest.fixture
def book(tmp_path: Path) -> Iterator[j.Journal]:
    with j.Journal(tmp_path / "cognitive") as made:
        yield made


def test_a_decision_is_there_when_it_is_told(book: j.Journal) -> None:
    told = Told()
    book.record(decision(3, question="menu", cause="boss", episode=9, goal="win"), told)
    assert told.wait(1) == [True]
    found = rows(
        book.folder,
        "SELECT agent, epoch, sequence, status, question, cause, episode, goal, answer, protocol"
        " FROM decisions",
    )
    answer = '{"action":"retreat","target":"hold","seconds":2.0,"priority":"high"}'
    assert found == [("a", 1, 3, "ok", "menu", "boss", 9, "win", answer, 2)]
    reply = book.reply(RequestId("a", 1, 3))
    assert reply is not None
    assert reply.replayed
    reply.replayed = False
    assert reply == decision(3).reply
    assert book.reply(RequestId("a", 1, 4)) is None


def test_one_id_is_one_row_and_the_first_counts(book: j.Journal) -> None:
    told = Told()
    book.record(decision(1), told)
    again = decision(1)
    again.reply.status, again.reply.answer = "stale", {}
    book.record(again, told)
    for reward in (1.0, 2.0):
        book.outcome(outcome(1, reward=reward), told)
    assert told.wait(4) == [True] * 4
    assert rows(book.folder, "SELECT status, reward FROM joined") == [("ok", 1.0)]
    assert book.counts["decisions"] == book.counts["outcomes"] == book.counts["again"] == 1


def test_who_sends_an_outcome_again_hears_that_it_was_there(book: j.Journal) -> None:
    """Of one transaction and of several, beside others that are new."""
    told, new, again = Told(), Told(), Told()
    book.outcome(outcome(1), new, again)
    new.wait(1)
    for n in (1, 2, 1, 2, 3):
        book.outcome(outcome(n), new, again)
        book.record(decision(n), told)
    assert told.wait(5) == [True] * 5
    assert (new.safe, again.safe) == ([True] * 3, [True] * 3)
    assert (book.counts["outcomes"], book.counts["decisions"], book.counts["again"]) == (3, 3, 2)


def test_outcomes_of_what_was_never_decided_are_kept_and_not_joined(book: j.Journal) -> None:
    told = Told()
    book.outcome(outcome(8), told)
    book.record(decision(9), told)
    told.wait(2)
    assert rows(book.folder, "SELECT sequence FROM outcomes") == [(8,)]
    assert rows(book.folder, "SELECT * FROM joined") == []


def test_the_newest_of_an_agent_survives(tmp_path: Path) -> None:
    told = Told()
    with j.Journal(tmp_path) as book:
        assert book.newest("a") == (-1, -1)
        for epoch, sequence in ((5, 2), (5, 9), (4, 100)):
            book.record(decision(sequence, epoch=epoch), told)
        told.wait(3)
    with j.Journal(tmp_path) as book:
        assert book.newest("a") == (5, 9)
        assert book.newest("b") == (-1, -1)


def test_many_threads_of_rows_all_arrive(book: j.Journal) -> None:
    told = Told()
    for n in range(2000):
        book.record(decision(n, agent=f"a{n % 16}"), told)
    assert all(told.wait(2000))
    assert rows(book.folder, "SELECT count(*) FROM decisions") == [(2000,)]


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    told = Told()
    book = j.Journal(tmp_path)
    for n in range(500):
        book.record(decision(n), told)
    book.close()
    book.close()
    assert len(told.safe) == 500
    assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(500,)]


WRITER = """
import sys, threading
sys.path[:0] = sys.argv[2:]
from journals import decision
from metabonk.cognition.log.journal import Journal
with Journal(sys.argv[1]) as book:
    for n in range(1_000_000):
        told = threading.Event()
        book.record(decision(n), lambda safe: told.set())
        told.wait()
        print(n, flush=True)
"""


def test_nothing_that_was_told_is_lost_by_a_kill(tmp_path: Path) -> None:
    furthest = -1  # a later writer, with the same rows, may be killed sooner
    for _ in range(3):
        here = str(Path(__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), here], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        last = -1
        for line in process.stdout:
            last = int(line)
            if last == 150:
                break
        process.send_signal(signal.SIGKILL)
        last = max([last, *(int(line) for line in process.stdout if line.endswith("\n"))])
        process.wait()
        found = {row[0] for row in rows(tmp_path, "SELECT sequence FROM decisions")}
        assert set(range(last + 1)) <= found
        furthest = max(furthest, last)
        assert len(found) <= furthest + 2, "at most the one that was on its way"
        with j.Journal(tmp_path) as book:
            assert book.newest("a")[1] == max(found)
            assert book._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def limit(book: j.Journal, pages: int) -> None:
    """A disk with room for so many pages more than are used: SQLite's own SQLITE_FULL."""
    used = book._writer.execute("PRAGMA page_count").fetchone()[0]
    book._writer.execute(f"PRAGMA max_page_count={used + pages}")


def fill(book: j.Journal) -> int:
    """Records until the disk is full; how many were safe."""
    for n in range(10_000):
        told = Told()
        book.record(decision(n), told)
        if not told.wait(1)[0]:
            return n
    raise AssertionError("the disk never was full")


def test_a_full_disk_loses_no_decision_and_takes_no_outcome(tmp_path: Path) -> None:
    with j.Journal(tmp_path) as book:
        limit(book, 8)
        safe = fill(book)
        assert book.problem.endswith("database or disk is full")
        assert book.waiting == 1
        told = Told()
        for n in range(safe + 1, safe + 40):
            book.record(decision(n), told)
        book.outcome(outcome(0), told)
        assert told.wait(40) == [False] * 40
        book.outcome(outcome(0), told, lambda safe: pytest.fail("it is not there"))
        assert told.wait(41)[-1] is False
        assert (book.counts["outcomes"], book.counts["decisions"]) == (0, safe)
        assert book.waiting == 40
        assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(safe,)]
        assert book.counts["failures"] >= 2

        book._writer.execute("PRAGMA max_page_count=1000000")  # there is room again
        deadline = time.monotonic() + HANG
        while book.waiting and time.monotonic() < deadline:
            time.sleep(0.01)
        assert book.problem == ""
        assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(safe + 40,)]
        assert rows(tmp_path, "SELECT count(*) FROM outcomes") == [(0,)]
        again = Told()
        book.outcome(outcome(0), again)
        assert again.wait(1) == [True]
        assert book.counts["lost"] == 0


def test_what_waits_is_written_with_the_next_row(tmp_path: Path) -> None:
    with j.Journal(tmp_path) as book:
        limit(book, 4)
        safe = fill(book)
        book._writer.execute("PRAGMA max_page_count=1000000")
        told = Told()
        book.record(decision(safe + 1), told)
        assert told.wait(1) == [True]
        assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(safe + 2,)]


def test_the_backlog_is_bounded_and_says_what_it_lost(tmp_path: Path) -> None:
    with j.Journal(tmp_path, backlog_bytes=10_000) as book:
        limit(book, 4)
        safe = fill(book)
        told = Told()
        for n in range(safe + 1, safe + 50):
            book.record(decision(n), told)
        told.wait(49)
        assert book.waiting <= 10
        assert book.counts["lost"] == 50 - book.waiting
        book._writer.execute("PRAGMA max_page_count=1000000")


def test_closing_gives_the_backlog_a_last_chance(tmp_path: Path) -> None:
    book = j.Journal(tmp_path)
    limit(book, 4)
    safe = fill(book)
    book._writer.execute("PRAGMA max_page_count=1000000")
    book.close()
    assert rows(tmp_path, "SELECT count(*) FROM decisions") == [(safe + 1,)]


def test_a_row_that_cannot_be_packed_is_kept_without(tmp_path: Path) -> None:
    def pack(_: j.Decision) -> tuple[bytes, bytes]:
        raise CorruptError("state: none")

    told = Told()
    with j.Journal(tmp_path, pack=pack) as book:
        book.record(decision(1, state=b"x"), told)
        assert told.wait(1) == [True]
        assert book.counts["unpacked"] == 1
    assert rows(tmp_path, "SELECT state, frames FROM decisions") == [(b"", b"")]


def test_while_the_disk_hangs_pictures_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    """Rows wait all the same: what was decided is worth more than what was seen."""
    jpegs = [(b"x" * 4_000, 0.0, False)]
    going = threading.Event()

    def pack(given: j.Decision) -> tuple[bytes, bytes]:
        going.wait(HANG)
        return b"", b"".join(jpeg for jpeg, _, _ in given.frames)

    told = Told()
    with j.Journal(tmp_path, pack=pack, backlog_bytes=10_000) as book:
        for n in range(20):
            book.record(decision(n, frames=list(jpegs)), told)
        assert book.counts["unpictured"] == 18
        going.set()
        assert told.wait(20) == [True] * 20
        book.record(decision(20, frames=list(jpegs)), told)
        told.wait(21)
        assert book.counts["unpictured"] == 18, "there is room again"
    kept = rows(tmp_path, "SELECT length(frames) FROM decisions ORDER BY sequence")
    assert kept == [(4_000,)] * 2 + [(0,)] * 18 + [(4_000,)]


def test_words_are_cut_by_their_bytes_and_goals_are_whole(tmp_path: Path) -> None:
    """What was asked follows from the goal to its end; only who speaks no protocol has a longer
    one."""
    given = decision(1, goal="火" * 500)
    given.reply.reasoning, given.reply.reason = "火" * 500, "é" * 500
    told = Told()
    with j.Journal(tmp_path) as book:
        book.record(given, told)
        book.record(decision(2, goal="é" * 501), told)
        told.wait(2)
    (first, second) = rows(tmp_path, "SELECT goal, reasoning, reason FROM decisions")
    assert first == ("火" * 500, "火" * 100, "é" * 150)
    assert second[0] == "é" * 500


@pytest.mark.parametrize(("power_safe", "level"), [(False, 1), (True, 2)])
def test_power_cuts_are_waited_for_if_asked(tmp_path: Path, power_safe: bool, level: int) -> None:
    with j.Journal(tmp_path, power_safe=power_safe) as book:
        assert book._writer.execute("PRAGMA synchronous").fetchone() == (level,)
        assert book._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_one_process_writes_a_journal(book: j.Journal) -> None:
    with pytest.raises(LinkError, match="another process writes this journal"):
        j.Journal(book.folder)
    told = Told()
    book.record(decision(1), told)
    assert told.wait(1) == [True], "the one that was there goes on"


def test_a_reader_never_disturbs_the_writer(book: j.Journal) -> None:
    told = Told()
    book.record(decision(1), told)
    told.wait(1)
    with contextlib.closing(j.open_readonly(book.folder)) as reader:
        cursor = reader.execute("SELECT * FROM decisions")
        assert cursor.fetchone()["agent"] == "a"
        book.record(decision(2), told)
        assert told.wait(2) == [True, True]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM decisions")


@pytest.mark.parametrize(
    "content", [b"not a database, and long enough to look like one" * 40, b"\x00" * 4096]
)
def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / j.FILE).write_bytes(content)
    with pytest.raises(CorruptError, match="move it away"):
        j.Journal(tmp_path)
    assert (tmp_path / j.FILE).read_bytes() == content
    with pytest.raises(CorruptError):
        j.open_readonly(tmp_path)


def test_another_databases_file_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / j.FILE)) as other:
        other.execute("CREATE TABLE mine(x)")
    with pytest.raises(CorruptError, match="not a journal of decisions"):
        j.Journal(tmp_path)


def test_a_newer_versions_journal_is_left_alone(tmp_path: Path) -> None:
    j.Journal(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / j.FILE)) as other:
        other.execute("PRAGMA user_version=99")
    with pytest.raises(CorruptError, match="version 99"):
        j.Journal(tmp_path)
    with pytest.raises(FileNotFoundError, match="no journal here"):
        j.open_readonly(tmp_path / "elsewhere")


@pytest.mark.parametrize(("goal", "more"), [("", 0), ("g" * 500, 800), ("\U00010348" * 500, 2500)])
def test_a_decision_takes_at_most_two_kilobytes_and_its_goal(
    tmp_path: Path, goal: str, more: int
) -> None:
    """With the fullest state, nine frames, reasons and outcome; v1's own log took 714 kB."""

    def pack(d: j.Decision) -> tuple[bytes, bytes]:
        hashes = [[os.urandom(16), -0.06 * n, n > 5] for n in range(9)]
        return situation.shrink(d.state), msgspec.msgpack.encode(hashes)

    told, count = Told(), 200
    with j.Journal(tmp_path, pack=pack) as book:
        for n in range(count):
            verbs = ("move", "attack", "defend", "retreat", "collect", "explore", "interact")
            row = decision(
                n, agent="omega-15", epoch=time.time_ns(), state=crowd(n).pack(), model="m" * 30,
                in_force=decision(0).reply.answer, probabilities=dict.fromkeys(verbs, 0.1429),
                goal=goal,
            )  # fmt: skip
            row.reply.reasoning = "".join(chr(97 + (n * i) % 26) for i in range(2000))
            row.reply.stages = dict.fromkeys(("queue", "backend", "vision", "decode"), 123.456)
            book.record(row, told)
            book.outcome(outcome(n, agent="omega-15", epoch=row.reply.id.epoch), told)
        told.wait(2 * count)
    size = (tmp_path / j.FILE).stat().st_size
    assert size / count <= 2048 + more, f"{size / count:.0f} bytes"
    assert rows(tmp_path, "SELECT DISTINCT goal FROM decisions") == [(goal,)]

"""Broker: a disk that is full or hangs costs the log, and no decision."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from tables import Table, at_table, request

from metabonk.cognition.broker import answering
from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol import wire as w


def full(journal: j.Journal) -> None:
    used = journal._writer.execute("PRAGMA page_count").fetchone()[0]
    journal._writer.execute(f"PRAGMA max_page_count={used}")


def test_a_full_disk_stops_the_log_and_not_the_decisions(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        full(t.journal)
        unrecorded = []
        for n in range(200):
            t.say(request(n))
            (reply,) = await t.replies()
            assert reply.status == "ok"
            if not reply.recorded:
                unrecorded.append(n)
        assert len(unrecorded) > 50
        page = t.broker.metrics()
        assert f"metabonk_cognition_unrecorded {t.journal.waiting}" in page
        assert "metabonk_cognition_journal_failing 1" in page
        t.say(request(199))
        assert (await t.replies())[0].replayed, "still decided once"
        t.say(w.Outcome(id=request(199).id, applied=True, seconds=1.0))
        await t.until(lambda: t.broker.measures.events["outcomes_refused"] == 1)
        assert not t.door.take(), "no acknowledgement: the agent keeps it"

        t.journal._writer.execute("PRAGMA max_page_count=1000000")
        await t.until(lambda: not t.journal.waiting)
        t.say(w.Outcome(id=request(199).id, applied=True, seconds=1.0))
        assert await t.replies() == [w.Ack(id=request(199).id, of="outcome")]
        assert t.rows("SELECT count(*) FROM decisions") == [(200,)]
        assert t.rows("SELECT sequence FROM joined") == [(199,)]
        assert "metabonk_cognition_journal_failing 0" in t.broker.metrics()

    at_table(tmp_path, body)


def test_what_comes_late_does_not_add_to_what_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old numbers end at once, each with a row: as many as anybody cares to send."""
    monkeypatch.setattr(answering, "BEHIND", 20)

    async def body(t: Table) -> None:
        t.hello()
        with contextlib.closing(sqlite3.connect(t.journal.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            t.say(request(1000))
            await t.until(lambda: len(t.broker.answering._writing) == 1 and not t.journal.behind)
            for n in range(200):
                t.say(request(n))
            assert t.journal.behind == 21
            assert len(t.broker.answering._writing) == 22
            refused = t.door.take()
            assert len(refused) == 200 - 21
            assert {(r.code, r.recorded) for r in refused} == {("full", False)}
            other.execute("ROLLBACK")
        await t.until(lambda: not t.broker.answering._writing)
        t.door.take()
        t.say(request(500))
        assert [(r.code, r.recorded) for r in await t.replies()] == [("superseded", True)]

    at_table(tmp_path, body)


def test_a_disk_that_hangs_delays_no_reply(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        with contextlib.closing(sqlite3.connect(t.journal.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # holds the writer up for as long as it likes
            t.say(request(0, frames=[w.FrameInfo(1)]), frames=1)

            def told() -> bool:
                t.broker.tick()
                return bool(t.door.out)

            await t.until(told)
            (reply,) = await t.replies()
            assert (reply.status, reply.recorded) == ("ok", False)
            assert t.backend.asked[0].frames  # type: ignore[attr-defined]
            ((waits, _),) = t.broker.answering._writing.values()
            assert waits.question.frames == (), "memory is for what comes, not for what was"
            other.execute("ROLLBACK")
        await t.until(lambda: t.rows("SELECT status FROM decisions") == [("ok",)])
        await asyncio.sleep(0.01)
        assert not t.door.take(), "it was told once"

    at_table(tmp_path, body)

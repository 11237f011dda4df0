"""The broker without sockets: which message may do what, and how each request ends exactly once."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from peers import ANSWER, JPEG, STATE, Scripted
from tables import Table, at_table, request

from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.broker import answering
from metabonk.cognition.broker.broker import RECENT
from metabonk.cognition.monitor import monitor
from metabonk.cognition.protocol import wire as w


def test_a_question_is_answered_and_its_outcome_joined(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        welcome = t.hello(clock=w.boot_id())
        assert isinstance(welcome, w.Welcome)
        assert (welcome.backend, welcome.next_sequence, welcome.phase) == ("scripted", 0, 0.0)
        now = time.monotonic_ns()
        infos = [
            w.FrameInfo(now - 60_000_000),
            w.FrameInfo(now),
            w.FrameInfo(now + 50_000_000, True),
        ]
        asked = request(
            0, captured_ns=now, frames=infos, trigger="boss", goal="live", expected_ms=300.0,
            in_force={**v.spell(v.SAFE), "note": "x" * 9_000}, episode=3,
        )  # fmt: skip
        t.say(asked, frames=3)
        (reply,) = await t.replies()
        assert (reply.id, reply.status, reply.recorded) == (asked.id, "ok", True)
        assert v.read(reply.answer) == ANSWER.directive
        assert reply.confidence == 0.5
        assert {"queue", "backend"} <= set(reply.stages)
        (question,) = t.backend.asked
        assert question.packed == STATE
        assert [(f.jpeg, round(f.time, 3), f.predicted) for f in question.frames] == [
            (JPEG, -0.06, False), (JPEG, 0.0, False), (JPEG, 0.05, True),
        ]  # fmt: skip
        assert (question.in_force, question.critical, question.goal) == (v.SAFE, True, "live")
        assert question.latency == 0.3
        t.say(w.Outcome(id=asked.id, applied=True, seconds=4.0, reward=2.5, age_ms=90.0))
        assert await t.replies() == [w.Ack(id=asked.id, of="outcome")]
        assert t.rows("SELECT status, cause, episode, reward, age_ms FROM joined") == [
            ("ok", "boss", 3, 2.5, 90.0)
        ]
        ((taken, held),) = t.rows("SELECT server_ms, in_force FROM decisions")
        assert json.loads(held) == v.spell(v.SAFE), "no more than it is"
        assert 0.0 < taken <= reply.server_ms

    at_table(tmp_path, body)


def test_an_outcome_that_comes_again_is_acknowledged_again_and_counted_once(
    tmp_path: Path,
) -> None:
    """Agents send it until they hear of it; how old directives were is not told by who waited."""

    async def body(t: Table) -> None:
        t.hello()
        t.say(request(0))
        await t.replies()
        for _ in range(3):
            t.say(w.Outcome(id=request(0).id, applied=True, seconds=4.0, age_ms=90.0))
        assert await t.replies(3) == [w.Ack(id=request(0).id, of="outcome")] * 3
        page = t.broker.metrics().splitlines()
        assert "metabonk_cognition_outcomes_total 1" in page
        assert f"{monitor.LIMIT} 16" in page
        assert "metabonk_cognition_age_seconds_count 1" in page

    at_table(tmp_path, body)


@pytest.mark.parametrize(
    ("sees", "log", "kept"), [(True, False, 2), (False, True, 2), (False, False, 0)]
)
def test_pictures_that_nobody_wants_are_looked_at_and_go(
    tmp_path: Path, sees: bool, log: bool, kept: int
) -> None:
    """They are checked as all are; a copy is made for who looks at them, or keeps them."""

    async def body(t: Table) -> None:
        t.backend.sees = sees  # type: ignore[attr-defined]
        t.hello(log=log)
        asked = request(0, frames=[w.FrameInfo(1), w.FrameInfo(2)])
        t.say(asked, frames=2)
        (reply,) = await t.replies()
        assert reply.status == "ok"
        (question,) = t.backend.asked
        assert [f.jpeg for f in question.frames] == [JPEG] * kept
        asked.id = request(1).id
        t.broker.handle(b"1", [*(bytes(p) for p in w.encode(asked, [JPEG] * 2)[:2]), JPEG[:-2]])
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("error", "jpeg")

    at_table(tmp_path, body)


@pytest.mark.parametrize("checks", [False, True])
def test_an_answer_is_held_against_its_question_once(
    tmp_path: Path, checks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, unless the backend says that it was: a chain does so after each of its own."""
    seen: list[Any] = []
    monkeypatch.setattr(
        answering, "check", lambda answer, question: seen.append(question) or answer
    )

    async def body(t: Table) -> None:
        t.backend.checks = checks  # type: ignore[attr-defined]
        t.hello()
        t.say(request(0))
        assert (await t.replies())[0].status == "ok"
        assert len(seen) == (not checks)

    at_table(tmp_path, body)
    assert Chain([Scripted()]).checks


def test_a_decision_is_written_down_before_it_is_told(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        seen: list[int] = []
        send = t.door.send

        def look(route: bytes, parts: list[Any]) -> Any:
            if isinstance(w.decode_answer(parts), w.Reply):
                seen.append(t.rows("SELECT count(*) FROM decisions")[0][0])
            return send(route, parts)

        t.door.send = look  # type: ignore[method-assign]
        for n in range(20):
            t.say(request(n))
            await t.replies()
        assert seen == list(range(1, 21))

    at_table(tmp_path, body)


def test_an_id_that_comes_again_is_decided_once(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        t.hello()
        t.say(request(0))
        await t.until(lambda: t.backend.running == 1)
        t.say(request(0))
        t.say(w.Query(id=request(0).id))
        assert await t.replies(2) == [w.Ack(id=request(0).id, of="pending")] * 2
        t.backend.release()
        (first,) = await t.replies()
        assert not first.replayed
        t.say(request(0))
        t.say(w.Query(id=request(0).id))
        for again in await t.replies(2):
            assert again.replayed
            again.replayed = False
            assert again == first
        assert len(t.backend.asked) == 1
        assert t.rows("SELECT count(*) FROM decisions") == [(1,)]

    at_table(tmp_path, body)


def test_old_replies_come_from_the_journal_also_after_a_restart(tmp_path: Path) -> None:
    async def first(t: Table) -> None:
        t.hello()
        for n in range(RECENT + 5):
            t.say(request(n))
            await t.replies()
        t.say(w.Query(id=request(0).id))
        (reply,) = await t.replies()
        assert (reply.replayed, reply.status, reply.id.sequence) == (True, "ok", 0)

    async def second(t: Table) -> None:
        assert t.hello().next_sequence == RECENT + 5
        t.say(w.Query(id=request(2).id))
        t.say(request(3))
        two, three = await t.replies(2)
        assert (two.replayed, two.id.sequence) == (True, 2)
        assert (three.replayed, three.id.sequence) == (True, 3)
        assert v.read(three.answer) == ANSWER.directive
        assert not t.backend.asked

    at_table(tmp_path, first)
    at_table(tmp_path, second)


def test_what_never_arrived_is_said_to_be_unknown(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(w.Query(id=request(0).id))
        (reply,) = await t.replies()
        assert (reply.status, reply.code, reply.id) == ("error", "unknown", request(0).id)
        t.say(request(0))
        assert (await t.replies())[0].status == "ok"

    at_table(tmp_path, body)


def test_what_comes_out_of_order_is_not_decided_on_old_news(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(request(5))
        assert (await t.replies())[0].status == "ok"
        t.say(request(4))
        (late,) = await t.replies()
        assert (late.status, late.code, late.answer) == ("rejected", "superseded", {})
        assert [q.agent for q in t.backend.asked] == ["a"]
        assert t.rows("SELECT sequence, status FROM decisions ORDER BY 1") == [
            (4, "rejected"), (5, "ok"),
        ]  # fmt: skip

    at_table(tmp_path, body)


def test_the_newest_question_takes_the_place_of_the_one_that_waits(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        t.hello()
        for n in range(5):
            t.say(request(n))
        given_up = await t.replies(3)
        assert [(r.id.sequence, r.code) for r in given_up] == [(n, "superseded") for n in (1, 2, 3)]
        t.backend.release()
        assert (await t.replies())[0].id.sequence == 0
        await t.until(lambda: t.backend.running == 1)
        t.backend.release()
        (newest,) = await t.replies()
        assert (newest.id.sequence, newest.status) == (4, "ok")
        assert len(t.backend.asked) == 2

    at_table(tmp_path, body)


@pytest.mark.parametrize("started", [True, False])
def test_what_is_urgent_does_not_wait_for_its_own_agents_calmer_question(
    tmp_path: Path, started: bool
) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(request(0))
        if started:
            await t.until(lambda: t.backend.running == 1)
        t.say(request(1, trigger="health"))
        (overtaken,) = await t.replies()
        assert (overtaken.id.sequence, overtaken.status, overtaken.code) == (
            0, "rejected", "superseded",
        )  # fmt: skip
        assert t.backend.cancelled == int(started)
        await t.until(lambda: t.backend.running == 1)
        assert t.broker.answering.scheduler.window.size == 1, "which is no sign of overload"
        t.say(request(2, trigger="boss"))
        await asyncio.sleep(0.01)
        assert t.backend.running == 1, "what is urgent is not overtaken"
        t.backend.release()
        assert [r.status for r in await t.replies()] == ["ok"]

    at_table(tmp_path, body, Scripted(held=True))


def test_a_name_cannot_be_taken_over(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        taken = t.hello(epoch=9, route=b"2", secret=b"x" * 16)
        assert (taken.status, taken.code) == ("error", "taken")
        t.say(request(0), route=b"2")
        t.say(w.Outcome(id=request(0).id, applied=True, seconds=1.0), route=b"2")
        t.say(w.Query(id=request(0).id), route=b"2")
        t.say(w.Bye(agent="a", epoch=5), route=b"2")
        refused = await t.replies(4, b"2")
        assert [r.code for r in refused] == ["unbound"] * 4
        t.say(request(0))
        (mine,) = await t.replies(1, b"1")
        assert mine.status == "ok"
        assert not t.door.take(b"2"), "replies go to the name's connection alone"

    at_table(tmp_path, body)


def test_a_reply_follows_its_agent_to_another_connection(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        t.hello()
        t.say(request(0))
        await t.until(lambda: t.backend.running == 1)
        t.door.gone.add(b"1")
        assert t.hello(route=b"2").next_sequence == 1
        t.backend.release()
        (reply,) = await t.replies(1, b"2")
        assert reply.status == "ok"

    at_table(tmp_path, body)


def test_a_new_start_of_an_agent_ends_what_the_old_one_asked(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        t.hello()
        t.say(request(0))
        await t.until(lambda: t.backend.running == 1)
        t.say(request(1))
        t.door.gone.add(b"1")
        assert isinstance(t.hello(epoch=6, route=b"2", secret=b"n" * 16), w.Welcome)
        t.backend.release()
        await t.until(lambda: t.rows("SELECT count(*) FROM decisions") == [(2,)])
        assert t.rows("SELECT sequence, status, code FROM decisions ORDER BY 1") == [
            (0, "ok", ""), (1, "rejected", "epoch"),
        ]  # fmt: skip
        assert not t.door.take(b"2"), "the new start hears nothing of the old one's"
        t.say(request(7, epoch=5), route=b"2")
        assert (await t.replies(1, b"2"))[0].code == "epoch"
        assert t.hello(epoch=4, route=b"3").code == "epoch"

    at_table(tmp_path, body)


def test_validity_counts_from_the_capture_not_from_the_arrival(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello(clock=w.boot_id())
        old = request(0, seconds=2.0)
        old.captured_ns -= 3_000_000_000  # it lay three seconds in a socket's buffer
        old.deadline_ns -= 3_000_000_000
        t.say(old)
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("rejected", "late")
        assert not t.backend.asked

    async def far(t: Table) -> None:
        assert not t.hello(clock="another machine's").shared_clock
        asked = request(0, seconds=2.0, captured_ns=1, deadline_ns=2)
        t.say(asked)
        assert (await t.replies())[0].status == "ok", "its clock means nothing here"

    at_table(tmp_path / "near", body)
    at_table(tmp_path / "far", far)


def test_an_answer_that_comes_too_late_is_aborted_and_not_given(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        t.hello()
        t.say(request(0, seconds=0.7))
        (reply,) = await t.replies()
        assert (reply.status, reply.code, reply.answer) == ("stale", "late", {})
        assert t.backend.cancelled == 1
        assert t.backend.running == 0

    at_table(tmp_path, body)


def test_what_waits_is_refused_when_its_time_is_over(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.held = True
        for n in range(3):
            t.hello(f"a{n}", route=b"%d" % n)
        t.say(request(0, "a0"), route=b"0")
        t.say(request(0, "a1", seconds=0.05), route=b"1")
        await t.until(lambda: bool(t.broker.tick()) or bool(t.door.out))
        (reply,) = await t.replies(1, b"1")
        assert (reply.status, reply.code) == ("rejected", "late")
        assert len(t.backend.asked) == 1

    at_table(tmp_path, body, Scripted(limit=1, held=True))

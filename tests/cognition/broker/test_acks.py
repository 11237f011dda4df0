"""broker/acks.py: an acknowledgement goes with the reply that its agent waits for, or soon."""

from __future__ import annotations

from pathlib import Path

from peers import Scripted
from tables import Table, at_table, request

from metabonk.cognition.agent.outbox import FIRST
from metabonk.cognition.agent.wishes import NS
from metabonk.cognition.broker.acks import PATIENCE, Acks
from metabonk.cognition.broker.broker import TICK
from metabonk.cognition.protocol import wire as w


def outcome(sequence: int, agent: str = "a") -> w.Outcome:
    return w.Outcome(id=w.RequestId(agent, 5, sequence), applied=True, seconds=1.0)


def test_what_no_reply_comes_for_goes_by_itself() -> None:
    assert 2 * (PATIENCE + TICK) <= FIRST / NS, "long before its agent sends the outcome again"
    acks, id = Acks(), outcome(1).id
    assert not acks.hold(id, 0.0), "nobody waits for a reply: at once"
    acks.asked("a")
    acks.asked("a")
    assert acks.hold(id, 1.0)
    assert not acks.hold(outcome(1, "b").id, 1.0), "another agent's reply is no concern of its"
    assert acks.answered("a") == [id]
    assert acks.hold(id, 2.0), "one more is owed"
    assert acks.hold(outcome(2).id, 2.0 + PATIENCE / 2)
    assert list(acks.due(2.0 + 0.9 * PATIENCE)) == []
    assert list(acks.due(2.0 + PATIENCE)) == [id, outcome(2).id]
    assert list(acks.due(1e9)) == []
    assert acks.answered("a") == []
    assert not acks.hold(id, 3.0)
    acks.asked("a")
    assert acks.hold(id, 4.0)
    acks.forget("a")
    assert list(acks.due(1e9)) == [], "an agent that comes anew sends it again"
    assert not acks.hold(id, 5.0)


def test_an_agent_is_woken_once_by_its_reply_and_what_came_with_its_request(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(request(0))
        await t.replies()
        t.backend.held = True
        t.say(request(1))
        await t.until(lambda: t.backend.running == 1)
        t.say(outcome(0))
        await t.until(lambda: t.journal.counts["outcomes"] == 1)
        await t.until(lambda: bool(t.broker._acks._held))
        assert t.door.out == [], "it is written down and waits"
        t.backend.release()
        reply, ack = await t.replies(2)
        assert isinstance(reply, w.Reply)
        assert ack == w.Ack(id=outcome(0).id, of="outcome")

    at_table(tmp_path, body, Scripted())


def test_a_slow_backend_does_not_have_outcomes_sent_again(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.backend.held = True
        t.say(request(0))
        t.say(outcome(7))
        await t.until(lambda: bool(t.broker.tick()) or bool(t.door.out))
        assert await t.replies() == [w.Ack(id=outcome(7).id, of="outcome")]
        assert t.backend.running == 1

    at_table(tmp_path, body, Scripted())


def test_who_comes_anew_or_is_gone_is_told_of_nothing_older(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.backend.held = True
        t.say(request(0))
        t.say(outcome(7))
        await t.until(lambda: bool(t.broker._acks._held))
        t.hello(epoch=6, route=b"1")
        assert not t.broker._acks._held
        t.backend.release()
        t.say(outcome(7))
        assert await t.replies(2) is not None  # the old request's end, and the acknowledgement

    at_table(tmp_path, body, Scripted())

"""Who is gone leaves nothing behind: not under its own name, and not under one it had before."""

from __future__ import annotations

import time
from pathlib import Path

from peers import Scripted
from tables import Table, at_table, request

from metabonk.cognition.protocol import wire as w

NAMES = 30


def kept(t: Table) -> set[str]:
    """Every agent of whom the broker keeps something."""
    broker = t.broker
    return {
        *broker._recent, *broker.answering.scheduler._lanes, *broker.pictures._readers,
        *broker._answered_v1._told, *(one.agent for one in broker.names.agents()),
    }  # fmt: skip


def test_a_connection_of_many_names_is_kept_under_the_last_one(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        for n in range(NAMES):
            t.hello(f"a{n}")
            t.say(request(0, f"a{n}"))
            (reply,) = await t.replies()
            assert reply.status == "ok"
        assert set(t.broker._recent) == {f"a{NAMES - 1}"}
        assert kept(t) == {f"a{NAMES - 1}"}
        t.hello("a3")  # what it was told before is in the journal
        t.say(w.Query(id=request(0, "a3").id))
        (again,) = await t.replies()
        assert (again.replayed, again.status) == (True, "ok")

    at_table(tmp_path, body, agents=4)


def test_what_waited_under_the_old_name_ends_and_what_is_answered_leaves_no_turn(
    tmp_path: Path,
) -> None:
    async def body(t: Table) -> None:
        for n in range(3):
            t.hello(f"a{n}")
            t.say(request(0, f"a{n}"))
            if not n:
                await t.until(lambda: t.backend.running == 1)
        replies = await t.replies(1)  # of the one that waited; the first one is being answered
        assert [(r.id.agent, r.code) for r in replies] == [("a1", "unbound")]
        t.backend.release()
        (first,) = await t.replies()
        assert (first.id.agent, first.status) == ("a0", "ok")
        await t.until(lambda: t.backend.running == 1)
        t.backend.release()
        (last,) = await t.replies()
        assert (last.id.agent, last.status) == ("a2", "ok")
        assert kept(t) == {"a2"}

    at_table(tmp_path, body, Scripted(limit=1, held=True), agents=4)


def test_who_goes_while_it_is_answered_leaves_no_turn(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello("a")
        t.say(request(0))
        await t.until(lambda: t.backend.running == 1)
        t.say(w.Bye(agent="a", epoch=5))
        t.backend.release()
        await t.replies(2)
        assert kept(t) == set()

    at_table(tmp_path, body, Scripted(held=True))


def test_whose_place_is_taken_leaves_nothing(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello("old", route=b"1")
        t.say(request(0, "old"), b"1")
        await t.replies(route=b"1")
        t.door.gone.add(b"1")
        time.sleep(0.002)  # longer than the lease
        t.hello("new", route=b"2")
        assert kept(t) == {"new"}

    at_table(tmp_path, body, agents=1, lease=0.001)


def test_of_version_1_silence_alone_says_who_is_gone(tmp_path: Path) -> None:
    """It has no message that means nothing, by which one could look."""

    async def body(t: Table) -> None:
        asks = b'{"agent_id": "old", "frames": [], "state": {}}'
        t.broker.handle(b"1", [asks])
        assert t.hello("old", epoch=2**62, route=b"2").code == "taken"
        time.sleep(0.25)  # longer than the lease
        assert isinstance(t.hello("old", epoch=2**62, route=b"2"), w.Welcome)

    at_table(tmp_path, body, lease=0.2)

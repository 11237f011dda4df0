"""Broker with keys: a route is whose key it was that said Hello there, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peers import Scripted
from tables import SECRET, Table, at_table, request

from metabonk.cognition.broker.names import LEASE
from metabonk.cognition.protocol import wire as w
from metabonk.cognition.protocol.keys import Allowed

KEYS = Allowed({"mine": ["a"], "other": ["b*"]})


def v1(t: Table, key: str, **words: Any) -> dict[str, Any]:
    """What version 1's agent `a` says at route 1; the last thing that was said to it."""
    text = json.dumps({"agent_id": "a", **words}).encode()
    t.broker.handle(b"1", [text], key)
    return json.loads(bytes(t.door.out[-1][1][-1])) if t.door.out else {}


def test_another_key_at_the_same_route_is_not_who_was_there(tmp_path: Path) -> None:
    """ZeroMQ's peers choose their own identities, and who is gone leaves his to anybody."""

    async def body(t: Table) -> None:
        t.say(w.Hello(agent="a", epoch=5, secret=SECRET), key="mine")
        t.say(request(0), key="mine")
        welcome, reply = await t.replies(2)
        assert (welcome.agent, reply.status) == ("a", "ok")
        for said in (
            w.Query(id=request(0).id), request(1), w.Bye(agent="a", epoch=5),
            w.Outcome(id=request(0).id, applied=True, seconds=1.0, reward=-1e6),
        ):  # fmt: skip
            t.say(said, key="other")
            assert [r.code for r in await t.replies()] == ["unbound"]
        assert len(t.broker.names) == 0
        assert t.rows("SELECT count(*) FROM outcomes") == [(0,)]
        assert len(t.backend.asked) == 1
        t.say(w.Hello(agent="a", epoch=5, secret=SECRET), route=b"2", key="mine")
        assert (await t.replies())[0].next_sequence == 1, "and its owner has its name again"

    at_table(tmp_path, body, allowed=KEYS)


def test_another_key_at_version_1s_route_is_not_who_was_there(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        v1(t, "mine", frames=[], state={})
        await t.until(lambda: bool(t.door.out))
        first = json.loads(bytes(t.door.out.pop()[1][-1]))
        assert first["status"] == "ok"
        came = {"reward": -1e6}
        for words in ({"outcome": came, "decision_id": first["timestamp"]}, {"state": {}}):
            assert v1(t, "other", **words)["error"] is True
            assert "this key may not use the name" in v1(t, "other", **words)["reasoning"]
        assert t.rows("SELECT count(*) FROM outcomes") == [(0,)]
        assert len(t.backend.asked) == 1

    at_table(tmp_path, body, allowed=KEYS)


@pytest.mark.parametrize("old", [False, True])
def test_an_answer_is_not_told_to_who_came_to_its_route_with_another_key(
    tmp_path: Path, old: bool
) -> None:
    async def body(t: Table) -> None:
        if old:
            v1(t, "mine", frames=[], state={})
        else:
            t.say(w.Hello(agent="a", epoch=5, secret=SECRET), key="mine")
            t.say(request(0), key="mine")
        await t.until(lambda: t.backend.running == 1)
        t.say(w.Query(id=request(7).id), key="other")
        assert (await t.replies())[-1].code == "unbound"
        t.backend.release()
        await t.until(lambda: t.rows("SELECT count(*) FROM decisions") == [(1,)])
        await t.until(lambda: not t.broker.answering._writing)
        assert t.door.out == []

    at_table(tmp_path, body, Scripted(held=True), allowed=KEYS)


def test_with_keys_a_chosen_identity_is_no_sign_of_life(tmp_path: Path) -> None:
    """Whoever has it now and says nothing would keep the name from its owner for ever."""
    now = [0.0]

    def hello(t: Table, route: bytes, epoch: int) -> None:
        t.say(w.Hello(agent="a", epoch=epoch, secret=bytes([epoch]) * 16), route, key="mine")

    async def body(t: Table) -> None:
        for route in (b"chosen", b"\0\1\2\3\4"):
            hello(t, route, 5)
            hello(t, b"\0back", 6)
            taken = (await t.replies(2))[-1]
            assert taken.code == "taken", "it has just been heard"
            now[0] += LEASE + 1.0
            hello(t, b"\0back", 6)
            (found,) = await t.replies()
            if route == b"chosen":
                assert isinstance(found, w.Welcome)
                t.say(w.Bye(agent="a", epoch=6), b"\0back", key="mine")
                await t.replies()
            else:
                assert found.code == "taken", "the ROUTER gave it, and it lives"

    at_table(tmp_path, body, allowed=KEYS, clock=lambda: now[0])

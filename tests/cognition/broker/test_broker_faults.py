"""The broker where something is wrong: no answer, bad input, floods, the end."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peers import ANSWER, HANG, JPEG, STATE, Scripted
from tables import SECRET, Table, at_table, request

from metabonk.cognition import vocabulary as v
from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol import wire as w
from metabonk.cognition.protocol.keys import Allowed
from metabonk.cognition.question import Answer, Failure, Press, Undecided
from metabonk.cognition.vocabulary import Directive, Entity, Verb
from metabonk.records import GameState, Widget


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Failure.UNREACHABLE, "error", "backend"),
        (Failure.REFUSED, "error", "backend"),
        (Failure.GARBAGE, "error", "backend"),
        (Failure.LATE, "stale", "late"),
    ],
)
def test_a_backend_without_an_answer(
    tmp_path: Path, failure: Failure, status: str, code: str
) -> None:
    async def body(t: Table) -> None:
        t.backend.answer = Undecided(failure, "it said no", "scripted")
        t.hello()
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.status, reply.code, reply.answer) == (status, code, {})
        assert "it said no" in reply.reason
        t.backend.answer = ANSWER
        t.say(request(1))
        assert (await t.replies())[0].status == "ok"

    at_table(tmp_path, body)


@pytest.mark.parametrize(
    "answer",
    [
        Answer("m", Directive(Verb.ATTACK, Entity(77))),  # nobody of this name is there
        Answer("m", Directive(Verb.CLICK, v.Widget(3))),  # nor such a widget
        Answer("m"),  # nothing at all
        Answer("m", press=Press("noop")),  # a menu's, without a menu
    ],
    ids=["entity", "widget", "empty", "press"],
)
def test_garbage_is_never_an_answer(tmp_path: Path, answer: Answer) -> None:
    """v1 let a regular expression decide, which takes anything with braces."""

    async def body(t: Table) -> None:
        t.backend.answer = answer
        t.hello()
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.status, reply.code, reply.answer) == ("error", "backend", {})
        assert "garbage" in reply.reason

    at_table(tmp_path, body)


def test_a_fault_in_a_backend_is_counted_and_ends_nothing_else(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.answer = ZeroDivisionError("a bug")
        t.hello()
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("error", "backend")
        assert "ZeroDivisionError" in reply.reason
        assert "metabonk_cognition_backend_faults_total 1" in t.broker.metrics()
        t.backend.answer = replace(ANSWER, confidence=float("nan"))
        t.say(request(1))
        (reply,) = await t.replies()
        assert (reply.status, reply.confidence, reply.recorded) == ("ok", 0.0, True)

    at_table(tmp_path, body)


def test_words_that_are_no_text_are_answered_all_the_same(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        odd = "half a \ud83d, and a \x00"
        t.backend.answer = replace(ANSWER, reasoning=odd * 100, model=odd, goal=odd, path=(odd,))
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.status, reply.recorded) == ("fallback", True)
        assert reply.reasoning.startswith("half a ?, and a")
        v1 = json.dumps({"agent_id": "old", "frames": [], "state": {}}).encode()
        t.broker.handle(b"v1", [v1])
        await t.until(lambda: bool(t.door.out))
        assert json.loads(bytes(t.door.out.pop()[1][0]))["status"] == "fallback"
        t.backend.answer = Undecided(Failure.REFUSED, odd)
        t.say(request(1))
        (reply,) = await t.replies()
        assert (reply.status, reply.recorded) == ("error", True)

    at_table(tmp_path, body)


def test_a_fallbacks_answer_is_not_counted_as_a_decision(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.answer = replace(ANSWER, path=("openai: late: 2 s",))
        t.hello()
        t.say(request(0))
        (reply,) = await t.replies()
        assert reply.status == "fallback"
        assert v.read(reply.answer) == ANSWER.directive
        assert "openai: late" in reply.reason
        line = 'metabonk_cognition_replies_total{agent="a",status="fallback"} 1'
        assert line in t.broker.metrics()

    at_table(tmp_path, body)


def test_menus_are_answered_by_presses(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.answer = Answer("m", press=Press("click", 1, text="Play"))
        t.hello()
        menu = GameState(menu="Main", widgets=[Widget(0.1, 0.1, 0.3, 0.2, True, 0, "Play")])
        t.say(request(0, question="menu", state=menu.pack(), goal="play"))
        (reply,) = await t.replies()
        assert reply.status == "ok", reply.reason
        assert reply.answer["kind"] == "click"
        assert reply.answer["choice"] == 1

    at_table(tmp_path, body)


def test_sixteen_agents_are_with_the_backend_at_once(tmp_path: Path) -> None:
    """v1 asked its model inside its only loop: batches of one, and deaf meanwhile."""

    async def body(t: Table) -> None:
        agents = [f"a{n}" for n in range(16)]
        for n, agent in enumerate(agents):
            t.hello(agent, route=b"%d" % n)
        t.broker.answering.scheduler.window.size = 16
        for n, agent in enumerate(agents):
            t.say(request(0, agent), route=b"%d" % n)
        await t.until(lambda: t.backend.running == 16)
        t.say(w.Query(id=request(0, "a3").id), route=b"3")
        assert await t.replies(1, b"3") == [w.Ack(id=request(0, "a3").id, of="pending")]
        t.backend.release(16)
        assert {r.status for r in await t.replies(16)} == {"ok"}

    at_table(tmp_path, body, Scripted(held=True))


def test_a_backend_says_how_much_it_takes_at_once(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        for n in range(40):
            t.hello(f"a{n}", route=b"%d" % n)
        for turn in range(30):
            for n in range(40):
                t.say(request(turn, f"a{n}"), route=b"%d" % n)
            await asyncio.sleep(0)
            t.backend.release(3)
            await asyncio.sleep(0.001)
        assert t.backend.most_running <= 3

    at_table(tmp_path, body, Scripted(limit=3, held=True), agents=64)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b""], "malformed"),
        ([b"\xc1junk"], "malformed"),
        ([b"\x81\xa1v\x07"], "version"),
        ([b"x" * 40_000], "too_large"),
        ([bytes(w.encode(w.Query(id=w.RequestId("a", 5, 0)))[0]), b"extra"], "malformed"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_to_its_sender(
    tmp_path: Path, parts: list[bytes], code: str
) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.broker.handle(b"1", parts)
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("error", code)
        assert reply.reason
        t.say(request(0))
        assert (await t.replies())[0].status == "ok", "and nothing is lost by it"

    at_table(tmp_path, body)


def test_a_bad_frame_or_state_costs_its_request_alone(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        asked = request(0, frames=[w.FrameInfo(1)])
        t.broker.handle(b"1", [bytes(w.encode(asked, [JPEG])[0]), JPEG[:-2]])
        asked.frames, asked.state = [], GameState(health=float("nan")).pack()
        t.say(asked)
        asked.state, asked.in_force = STATE, {"action": "dance"}
        t.say(asked)
        found = await t.replies(3)
        assert [r.code for r in found] == ["jpeg", "malformed", "malformed"]
        assert {r.id for r in found} == {asked.id}
        asked.in_force = None
        t.say(asked)
        assert (await t.replies())[0].status == "ok"

    at_table(tmp_path, body)


def test_requests_need_a_hello_first(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.code, reply.id) == ("unbound", request(0).id)
        assert t.hello("a").next_sequence == 0
        t.say(request(0, "b"))
        assert (await t.replies())[0].code == "unbound"

    at_table(tmp_path, body)


def test_bye_frees_the_name(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(w.Bye(agent="a", epoch=5))
        assert await t.replies() == [w.Ack(id=None, of="bye")]
        assert isinstance(t.hello(epoch=6, route=b"2", secret=b"n" * 16), w.Welcome)

    at_table(tmp_path, body)


def test_more_agents_than_there_may_be_are_told(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        for n in range(4):
            assert isinstance(t.hello(f"a{n}", route=b"%d" % n), w.Welcome)
        assert t.hello("z", route=b"9").code == "full"
        t.say(request(0, "a0"), route=b"0")
        assert (await t.replies())[0].status == "ok"

    at_table(tmp_path, body, agents=4)


def test_keys_are_bound_to_names(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        said = w.Hello(agent="a", epoch=5, secret=SECRET)
        for key in ("", "other"):
            t.say(said, key=key)
            assert (await t.replies())[0].code == "denied"
        t.say(said, key="mine")
        assert isinstance((await t.replies())[0], w.Welcome)
        v1 = json.dumps({"agent_id": "a", "frames": [], "state": {}}).encode()
        t.broker.handle(b"7", [v1], "other")
        route, (text,) = t.door.out[-1]
        assert (route, json.loads(bytes(text))["error"]) == (b"7", True)

    at_table(tmp_path, body, allowed=Allowed({"mine": ["a"], "other": ["b*"]}))


def test_an_agent_that_does_not_read_delays_nobody_and_can_ask_again(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello("slow", route=b"s")
        t.hello("quick", route=b"q")
        t.door.full.add(b"s")
        t.say(request(0, "slow"), route=b"s")
        t.say(request(0, "quick"), route=b"q")
        assert (await t.replies(1, b"q"))[0].status == "ok"
        await t.until(lambda: t.broker.measures.events["unsent"] == 1)
        t.door.full.clear()
        t.say(w.Query(id=request(0, "slow").id), route=b"s")
        (reply,) = await t.replies(1, b"s")
        assert (reply.status, reply.replayed) == ("ok", True)
        assert len(t.backend.asked) == 2

    at_table(tmp_path, body)


def test_draining_ends_everything_and_takes_nothing_new(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        for n in range(3):
            t.hello(f"a{n}", route=b"%d" % n)
            t.say(request(0, f"a{n}"), route=b"%d" % n)
        await t.until(lambda: t.backend.running == 1)
        draining = asyncio.create_task(t.broker.drain(HANG))
        await asyncio.sleep(0)
        t.say(request(1, "a0"), route=b"0")
        given_up = await t.replies(3)
        assert {(r.status, r.code) for r in given_up} == {("rejected", "draining")}
        assert "metabonk_cognition_draining 1" in t.broker.metrics()
        t.backend.release()
        (reply,) = await t.replies()
        assert (reply.status, reply.id.agent) == ("ok", "a0")
        await draining
        assert t.rows("SELECT count(*) FROM decisions") == [(4,)]

    at_table(tmp_path, body, Scripted(limit=1, held=True))


def test_draining_waits_only_so_long(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.say(request(0))
        await t.until(lambda: t.backend.running == 1)
        await t.broker.drain(0.01)
        (reply,) = await t.replies()
        assert (reply.status, reply.code) == ("rejected", "draining")
        assert t.backend.cancelled == 1

    at_table(tmp_path, body, Scripted(held=True))


def test_version_1_is_answered_as_it_asks(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        words = {
            "agent_id": "old-1", "frames": [base64.b64encode(JPEG).decode()] * 9,
            "state": {"health": 0.2, "position": [1.0, 2.0]}, "timestamp": 1.0,
        }  # fmt: skip
        text = json.dumps(words).encode()
        for parts in ([text], [b"", text]):
            t.broker.handle(b"v1", parts)
            await t.until(lambda: bool(t.door.out))
            _, sent = t.door.out.pop()
            assert len(sent) == len(parts)
            answer = json.loads(bytes(sent[-1]))
            assert answer["agent_id"] == "old-1"
            assert answer["directive"]["action"] == "retreat"
            assert answer["directive"]["duration_seconds"] == 2.0
        assert [len(q.frames) for q in t.backend.asked] == [8, 8], "the repeated frame is left out"
        assert t.rows("SELECT agent, sequence, protocol FROM decisions ORDER BY 2") == [
            ("old-1", 0, 1), ("old-1", 1, 1),
        ]  # fmt: skip
        t.hello("old-1", route=b"thief", secret=b"x" * 16)
        t.broker.handle(b"thief", [text])
        await t.until(lambda: bool(t.door.out))
        assert json.loads(bytes(t.door.out.pop()[1][0]))["error"] is True

    at_table(tmp_path, body)


def test_a_flood_of_requests_keeps_memory_bounded(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.hello()
        t.broker.answering.journal = _Behind(t.journal)  # type: ignore[assignment]
        t.say(request(0))
        (reply,) = await t.replies()
        assert (reply.status, reply.code, reply.recorded) == ("rejected", "full", False)

    at_table(tmp_path, body)


class _Behind:
    """A journal whose thread cannot keep up."""

    behind = 1_000_000

    def __init__(self, journal: j.Journal) -> None:
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

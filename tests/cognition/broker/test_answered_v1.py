"""Outcomes of version 1: joined to the decision whose reply they name, once, or refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from journals import Told, decision
from peers import ANSWER
from tables import Table, at_table

from metabonk.cognition import vocabulary as v
from metabonk.cognition.broker.answered_v1 import PER_AGENT, AnsweredV1
from metabonk.cognition.broker.names import LEASE
from metabonk.cognition.log.journal import Journal
from metabonk.cognition.protocol.legacy import Came
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId, WireError
from metabonk.cognition.question import Answer
from metabonk.records import GameState

STATE = {"health": 0.5, "position": [1.0, 2.0], "enemies_nearby": 2, "level": 3}
JOINED = "SELECT agent, sequence, reward, health_change, kills, alive, applied, status FROM joined"


def say(t: Table, agent: str = "old", route: bytes = b"9", **words: Any) -> None:
    t.broker.handle(route, [json.dumps({"agent_id": agent, **words}).encode()])


async def heard(t: Table) -> dict[str, Any]:
    """The next reply, in version 1's words."""
    await t.until(lambda: bool(t.door.out))
    ((_, (text,)),) = t.door.out
    t.door.out.clear()
    words: dict[str, Any] = json.loads(bytes(text))
    return words


async def ask(t: Table, **words: Any) -> dict[str, Any]:
    say(t, frames=[], state=STATE, **words)
    return await heard(t)


def test_an_outcome_names_its_decision_by_the_replys_timestamp(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        first, second = await ask(t), await ask(t)
        assert first["timestamp"] < second["timestamp"]
        came = {"reward": 2.5, "damage_taken": 7.0, "kills": 3, "alive": False, "success": True}
        say(t, decision_id=first["timestamp"], outcome=came)
        await t.until(lambda: bool(t.rows(JOINED)))
        assert t.rows(JOINED) == [("old", 0, 2.5, -7.0, 3, 0, 1, "ok")]
        assert t.door.out == [], "version 1 has no word for an acknowledgement"
        ((seconds,),) = t.rows("SELECT seconds FROM joined")
        assert 0.0 <= seconds < 60.0
        await t.until(lambda: t.broker.measures.events["outcomes"] == 1)

    at_table(tmp_path, body)


def test_the_last_point_of_health_is_not_all_of_it(tmp_path: Path) -> None:
    """Whose health was 64 counts in points; 1 is then a hundredth, and of another one all."""

    async def body(t: Table) -> None:
        for agent, health in (("points", 64.0), ("points", 1.0), ("share", 1.0)):
            say(t, agent, agent.encode(), frames=[], state={"health": health})
            await heard(t)
        most = [GameState.unpack(q.packed).max_health for q in t.backend.asked]
        assert most == [100.0, 100.0, 1.0]

    at_table(tmp_path, body)


def test_an_outcome_may_come_with_the_next_request(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        await ask(t)
        reply = await ask(t, outcome={"reward": -1.0, "health_change": 2.0, "applied": False})
        assert reply["status"] == "ok"
        await t.until(lambda: bool(t.rows(JOINED)))
        assert t.rows(JOINED) == [("old", 0, -1.0, 2.0, 0, 1, 0, "ok")]
        assert t.rows("SELECT count(*) FROM decisions") == [(2,)]

    at_table(tmp_path, body)


def test_an_outcome_of_nothing_is_told_and_costs_no_request(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        say(t, outcome={"reward": 1.0})
        assert (await heard(t))["error"] is True, "before any decision"
        first = await ask(t)
        for _ in range(2):
            say(t, decision_id=first["timestamp"], outcome={"reward": 1.0})
        refused = await heard(t)
        assert "once" in refused["reasoning"]
        assert refused["directive"] == {}
        say(t, decision_id=12.5, outcome={"reward": 1.0})
        assert "decision 12.5 of old" in (await heard(t))["reasoning"]
        again = await ask(t, decision_id=12.5, outcome={"reward": 1.0})
        assert again["status"] == "ok"
        events = t.broker.measures.events
        assert (events["outcomes_v1_refused"], events["outcomes_refused"]) == (4, 0)
        assert len(t.rows(JOINED)) == 1

    at_table(tmp_path, body)


def test_who_asks_less_often_than_names_are_kept_tells_what_came_all_the_same(
    tmp_path: Path,
) -> None:
    """Its name is free meanwhile; the connection that asked is the one that tells."""
    now = [1000.0]

    async def body(t: Table) -> None:
        first = await ask(t)
        now[0] += 3.0 * LEASE
        t.broker.tick()
        assert len(t.broker.names) == 0
        say(t, route=b"8", outcome={"reward": 99.0})
        assert (await heard(t))["error"] is True, "another connection did not ask"
        now[0] += 3.0 * LEASE
        t.broker.tick()
        second = await ask(t, outcome={"reward": 1.5})
        assert second["status"] == "ok"
        await t.until(lambda: bool(t.rows(JOINED)))
        ((reward, seconds),) = t.rows("SELECT reward, seconds FROM joined")
        assert (reward, seconds) == (1.5, pytest.approx(6.0 * LEASE))
        say(t, decision_id=first["timestamp"], outcome={"reward": 2.0})
        assert "once" in (await heard(t))["reasoning"]
        say(t, decision_id=second["timestamp"], outcome={"reward": 2.0})
        await t.until(lambda: len(t.rows(JOINED)) == 2)

    at_table(tmp_path, body, clock=lambda: now[0])


def test_a_clock_that_was_set_back_locks_no_agent_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 1 says no epoch; the server's clock gives it one, which must not be an earlier one,
    whether the name is recorded, was freed or is held by a connection that is gone."""

    async def body(t: Table) -> None:
        assert (await ask(t))["status"] == "ok"
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
        say(t, "other", frames=[], state=STATE)  # the same connection under another name
        await heard(t)
        assert (await ask(t))["status"] == "ok"
        epochs = [row[0] for row in t.rows("SELECT epoch FROM decisions WHERE agent='old'")]
        assert epochs == sorted(set(epochs))
        assert len(epochs) == 2

    at_table(tmp_path, body)

    async def again(t: Table) -> None:
        assert (await ask(t))["status"] == "ok"
        say(t, "far", route=b"7", frames=[], state=STATE)
        assert (await heard(t))["status"] == "ok", "after the last start that there can be"
        assert t.rows("SELECT sequence FROM decisions WHERE agent='far'") == [(3,), (4,)]

    told = Told()
    with Journal(tmp_path) as book:
        book.record(decision(3, agent="far", epoch=2**63 - 1), told)
        told.wait(1)
    at_table(tmp_path, again)


def test_nobody_tells_of_anothers_decisions(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        first = await ask(t)
        say(t, route=b"8", decision_id=first["timestamp"], outcome={"reward": 99.0})
        assert "another connection has this name" in (await heard(t))["reasoning"]
        say(t, "new", b"8", decision_id=first["timestamp"], outcome={"reward": 99.0})
        assert (await heard(t))["error"] is True
        assert t.rows(JOINED) == []

    at_table(tmp_path, body)


@pytest.mark.parametrize(
    "outcome",
    [
        {}, {"success": True}, {"reward": "much"}, {"reward": 1.0, "kills": -1}, [1.0], "good",
        {"reward": 1.0, "alive": 3},
        {"reward": 1.0, "health_change": 1.7e308, "damage_taken": -1.7e308},
    ],
)  # fmt: skip
def test_what_is_no_outcome_is_told(tmp_path: Path, outcome: Any) -> None:
    async def body(t: Table) -> None:
        first = await ask(t)
        say(t, decision_id=first["timestamp"], outcome=outcome)
        refused = await heard(t)
        assert refused["error"] is True
        assert "outcome" in refused["reasoning"]
        say(t, decision_id=first["timestamp"], outcome={"reward": 1.0})
        await t.until(lambda: bool(t.rows(JOINED)))

    at_table(tmp_path, body)


def test_a_decision_that_v1_has_no_words_for_was_not_followed(tmp_path: Path) -> None:
    async def body(t: Table) -> None:
        t.backend.answer = Answer("scripted", v.Directive(v.Verb.EXPLORE))
        reply = await ask(t)
        assert (reply["status"], reply["directive"]) == ("ok", {})
        say(t, outcome={"reward": 1.0})
        await t.until(lambda: bool(t.rows(JOINED)))
        assert t.rows("SELECT applied FROM joined") == [(0,)]
        t.backend.answer = ANSWER

    at_table(tmp_path, body)


def reply(sequence: int, agent: str = "a") -> Reply:
    return Reply(id=RequestId(agent, 1, sequence), status="ok", answer=v.spell(v.SAFE))


ASKER = (b"9", "")
CAME = Came(None, 1.0, 0.0, 0, 0.0, True, None)


def test_the_last_few_are_remembered() -> None:
    told = AnsweredV1(most=2)
    for n in range(PER_AGENT + 3):
        told.add(reply(n), 100.0 + n, 5.0 + n, directive=True, asker=ASKER)
    with pytest.raises(WireError, match="wanted the timestamp of one of its last 8 replies"):
        told.outcome("a", CAME._replace(decision=102.0), ASKER, 50.0)
    for stranger in ((b"8", ""), (b"9", "key")):
        with pytest.raises(WireError, match="no decision of a waits"):
            told.outcome("a", CAME, stranger, 50.0)
    found = [told.outcome("a", CAME, ASKER, 50.0) for _ in range(PER_AGENT)]
    assert [one.id.sequence for one in found] == list(range(PER_AGENT + 2, 2, -1))
    assert isinstance(found[0], Outcome)
    assert (found[0].seconds, found[0].status, found[0].applied) == (50.0 - 15.0, "ok", True)
    with pytest.raises(WireError, match="no decision of a waits"):
        told.outcome("a", CAME, ASKER, 50.0)
    for agent in "bcd":
        told.add(reply(0, agent), 1.0, 1.0, directive=False, asker=ASKER)
    with pytest.raises(WireError) as caught:
        told.outcome("b", CAME, ASKER, 50.0)
    assert caught.value.code == "unknown"
    assert not told.outcome("d", CAME, ASKER, 50.0).applied
    told.add(reply(1, "c"), 2.0, 2.0, directive=True, asker=(b"8", ""))
    assert told.outcome("c", CAME, (b"8", ""), 50.0).id.sequence == 1
    for asker in (ASKER, (b"8", "")):  # what the one before was told went with it
        with pytest.raises(WireError):
            told.outcome("c", CAME, asker, 50.0)

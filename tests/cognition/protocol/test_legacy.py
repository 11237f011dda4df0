"""Version 1 of the protocol: what deployed agents send, and none of its known faults."""

from __future__ import annotations

import base64
import json

import pytest
from peers import JPEG, jpeg

from metabonk.cognition import vocabulary as v
from metabonk.cognition.protocol import legacy
from metabonk.cognition.protocol.state_v1 import Said
from metabonk.cognition.protocol.wire import LIMITS, Reply, RequestId, WireError
from metabonk.cognition.question import Answer
from metabonk.records import Entity, FieldGroup, GameState, Pickup

SHADES = [jpeg(10 * n) for n in range(9)]
HERE = GameState(
    fields=FieldGroup.EVERYTHING, position=(2.0, 3.0, 0.0),
    entities=[Entity(id=7, position=(12.0, 3.0, 0.0)), Entity(id=8, position=(2.0, 103.0, 0.0))],
    pickups=[Pickup(id=5, position=(0.0, -1.0, 0.0))],
)  # fmt: skip


def message(**changes: object) -> bytes:
    words = {
        "agent_id": "omega-0", "state": {"health": 0.4, "position": [1.0, 2.0]},
        "frames": [base64.b64encode(JPEG).decode()] * 2, "timestamp": 1.5,
    }  # fmt: skip
    return json.dumps(words | changes).encode()


@pytest.mark.parametrize(
    ("parts", "ours"),
    [
        ([message()], True),
        ([b"", message()], True),
        ([b"  \n" + message()], True),
        ([b"{bad"], True),
        ([b"x", message()], False),
        ([message(), b""], False),
        ([b""], False),
        ([b"\x81\xa1v\x02"], False),
        ([], False),
    ],
)
def test_v1_is_told_from_v2(parts: list[bytes], ours: bool) -> None:
    assert legacy.is_v1(parts) == ours


def test_one_part_and_two_are_both_taken() -> None:
    """v1's client sends one part where v1's server waited for three."""
    bare = legacy.read([message()], LIMITS)
    enveloped = legacy.read([b"", message()], LIMITS)
    assert not bare.enveloped
    assert enveloped.enveloped
    assert bare[:4] == enveloped[:4]
    assert bare.agent == "omega-0"
    assert bare.frames == [JPEG, JPEG]
    assert bare.said.state.health == pytest.approx(0.4)


def test_the_answer_has_the_questions_parts() -> None:
    """An empty part before the answer left v1's client waiting for ever."""
    reply = Reply(id=RequestId("a", 1, 1), status="ok", answer=v.spell(v.SAFE))
    assert len(legacy.write("a", reply, Said(HERE), None, enveloped=False)) == 1
    empty, text = legacy.write("a", reply, Said(HERE), None, enveloped=True)
    assert empty == b""
    assert json.loads(bytes(text))["agent_id"] == "a"


def test_a_strip_that_repeats_the_current_frame_is_put_in_order() -> None:
    """v1's strip comes as t−4 … t, three predictions, t again."""
    frames, offsets = legacy.in_order([*SHADES[:5], *SHADES[5:8], SHADES[4]])
    assert frames == SHADES[:8]
    assert [predicted for _, predicted in offsets] == [False] * 5 + [True] * 3
    assert [round(ns / 1e6) for ns, _ in offsets] == [-67, -50, -33, -17, 0, 17, 33, 50]


def test_a_strip_as_it_was_meant_stays() -> None:
    frames, offsets = legacy.in_order(SHADES)
    assert frames == SHADES
    assert [predicted for _, predicted in offsets] == [False] * 6 + [True] * 3
    assert offsets[5] == (0, False)
    for count in range(9):
        frames, offsets = legacy.in_order(SHADES[:count])
        assert frames == SHADES[:count]
        assert all(not predicted for _, predicted in offsets)
        assert not count or offsets[-1] == (0, False)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([b"{"], "malformed"),
        ([b"{}"], "malformed"),
        ([message(agent_id="")], "malformed"),
        ([message(agent_id="a/b")], "malformed"),
        ([message(agent_id=7)], "malformed"),
        ([message(frames=["!!"])], "malformed"),
        ([message(frames=["QUJD"])], "jpeg"),
        ([message(frames=[base64.b64encode(JPEG[:-9]).decode()])], "jpeg"),
        ([message(frames=[base64.b64encode(JPEG).decode()] * 10)], "malformed"),
        ([message(frames=["A" * 2_000_000])], "too_large"),
        ([message(state={"health": float("nan")})], "malformed"),
        ([message(state={"a": [[[[[[[[[[1]]]]]]]]]]})], "malformed"),
        ([b'{"agent_id": "a", "state": ' + b"[" * 100_000], "malformed"),
        ([b'{"agent_id": "a", "state": {"x": "' + b"y" * (7 << 20) + b'"}}'], "too_large"),
        ([b'{"agent_id": "\xff\xfe"}'], "malformed"),
        ([message(outcome={"success": True})], "malformed"),
        ([message(outcome={"reward": float("inf")})], "malformed"),
        ([message(outcome={"reward": 1.0}, decision_id="first")], "malformed"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_told(parts: list[bytes], code: str) -> None:
    with pytest.raises(WireError) as caught:
        legacy.read(parts, LIMITS)
    assert caught.value.code == code


OUTCOME = {"reward": 1.5, "damage_taken": 4.0, "success": True}


def test_what_came_is_told_alone_or_beside_a_question() -> None:
    """In the words of version 1's own log, which never crossed its wire."""
    alone = json.dumps({"agent_id": "a", "decision_id": 12.5, "outcome": OUTCOME}).encode()
    told = legacy.read([alone], LIMITS)
    assert told.came == legacy.Came(12.5, 1.5, -4.0, 0, 0.0, True, None)
    assert not told.asks
    beside = legacy.read([message(outcome=OUTCOME)], LIMITS)
    assert beside.asks
    assert beside.came is not None
    assert beside.came.decision is None
    plain = legacy.read([message()], LIMITS)
    assert (plain.came, plain.asks) == (None, True)
    assert legacy.read([b'{"agent_id": "a"}'], LIMITS).asks, "as ever"


def words_of(directive: v.Directive, state: GameState = HERE) -> dict:
    return legacy.directive_of(directive, state)


def test_a_directive_in_v1s_words() -> None:
    attack = v.Directive(v.Verb.ATTACK, v.Entity(8), 4.0, v.Priority.CRITICAL)
    assert words_of(attack) == {
        "action": "attack", "target": [2.0, 103.0], "duration_seconds": 4.0,
        "priority": "critical",
    }  # fmt: skip
    north = v.Directive(v.Verb.MOVE, v.Compass(4))
    assert words_of(north)["target"] == [2.0, 13.0]
    assert words_of(v.Directive(v.Verb.INTERACT, v.Pickup(5)))["target"] == [0.0, -1.0]
    assert words_of(v.Directive(v.Verb.ATTACK))["target"] == [12.0, 3.0], "the nearest"
    assert words_of(v.Directive(v.Verb.DEFEND))["target"] == [2.0, 3.0]
    assert words_of(v.Directive(v.Verb.DEFEND))["priority"] == "medium"


def test_retreat_is_away_from_what_threatens_and_never_to_the_origin() -> None:
    assert words_of(v.Directive(v.Verb.RETREAT))["target"] == [-8.0, 3.0]
    assert words_of(v.Directive(v.Verb.RETREAT, v.Entity(8)))["target"] == [2.0, -7.0]
    unknown = words_of(v.Directive(v.Verb.RETREAT), GameState())
    assert unknown["action"] == "retreat"
    assert "target" not in unknown


def test_what_v1_cannot_say_is_left_out() -> None:
    assert words_of(v.Directive(v.Verb.CLICK, v.Widget(1))) == {}
    assert words_of(v.Directive(v.Verb.ATTACK, v.Entity(99))) == {}
    assert words_of(v.Directive(v.Verb.MOVE, v.Compass(1)), GameState()) == {}
    assert words_of(v.Directive(v.Verb.EXPLORE)) == {}, "which v1 does when it is told nothing"
    nowhere = GameState(fields=FieldGroup.PLAYER, health=0.2, max_health=1.0)
    for order in (v.Directive(v.Verb.ATTACK), v.Directive(v.Verb.MOVE, v.Compass(1))):
        assert legacy.directive_of(order, nowhere, placed=False) == {}, "round (0, 0) nobody is"
        assert legacy.directive_of(order, nowhere)["target"], "the control"
    verbs = {"move", "attack", "defend", "retreat", "collect"}
    assert set(legacy.VERBS.values()) == verbs
    assert set(v.Verb) - set(legacy.VERBS) == {v.Verb.CLICK}


@pytest.mark.parametrize("status", ["stale", "rejected", "error"])
def test_an_error_carries_no_directive(status: str) -> None:
    """v1's own answer to an error was "retreat to (0, 0)", which agents followed."""
    reply = Reply(id=RequestId("a", 1, 1), status=status, code="late", reason="too late")  # type: ignore[arg-type]
    (text,) = legacy.write("a", reply, Said(HERE), None, enveloped=False)
    words = json.loads(bytes(text))
    assert words["directive"] == {}
    assert words["error"] is True
    assert words["status"] == status
    assert words["reasoning"] == "too late"


def test_the_answer_has_every_field_of_v1() -> None:
    answer = Answer("rules", v.SAFE, goal="survive", strategy="kite", confidence=0.5)
    reply = Reply(
        id=RequestId("a", 1, 1), status="fallback", answer=v.spell(v.SAFE), confidence=0.5,
        reasoning="many", server_ms=3.5,
    )  # fmt: skip
    (text,) = legacy.write("a", reply, Said(HERE), answer, enveloped=False)
    words = json.loads(bytes(text))
    assert words["timestamp"] > 1e9
    assert {k: words[k] for k in ("agent_id", "goal", "strategy", "confidence", "reasoning")} == {
        "agent_id": "a", "goal": "survive", "strategy": "kite", "confidence": 0.5,
        "reasoning": "many",
    }  # fmt: skip
    assert words["inference_time_ms"] == 3.5
    assert set(words["directive"]) == {"action", "target", "duration_seconds", "priority"}

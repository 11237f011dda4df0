"""cognition/agent/decision.py, and what a dialogue believes: which replies are put in force, for
how long, and that nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import RETREAT, S, Talk

from metabonk.cognition.agent.decision import read_press
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import Ack, Reply, Welcome
from metabonk.cognition.vocabulary import Directive, Hold, Verb
from metabonk.errors import CorruptError


def test_a_reply_is_applied_until_its_validity_from_the_capture_is_over() -> None:
    talk = Talk(patience=4.0)
    talk.bind()
    id = talk.ask()
    asked_at = talk.now
    talk.pass_(0.4)
    (decision,) = talk.reply(id, backend="rules", confidence=0.9, server_ms=3.0)
    assert decision.status == "ok"
    assert decision.directive == Directive(Verb.RETREAT, Hold(), 2.0)
    assert decision.until_ns == asked_at + 2 * S  # from the capture, not from the arrival
    assert decision.received_ns - decision.captured_ns == round(0.4 * S)
    id = talk.ask()
    talk.pass_(2.01)  # before the deadline, but the two seconds are over
    (decision,) = talk.reply(id)
    assert (decision.status, decision.directive, decision.until_ns > 0) == ("stale", None, True)
    assert talk.dialogue.counts.stale == 1


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"action": "dance", "target": "hold"},
        {"action": "retreat", "target": "compass:16"},
        {"action": "retreat", "target": [0, 0]},
        {"action": "retreat", "target": "hold", "seconds": 3.0},
        {"action": "retreat", "target": "hold", "seconds": 1.0, "priority": "urgent"},
    ],
)
def test_answers_outside_the_vocabulary_are_errors(answer: dict[str, Any]) -> None:
    talk = Talk()
    talk.bind()
    (decision,) = talk.reply(talk.ask(), answer=answer)
    assert (decision.status, decision.directive) == ("error", None)
    assert decision.reason
    assert talk.dialogue.counts.error == 1


@pytest.mark.parametrize("status", ["stale", "rejected", "error"])
def test_a_reply_without_an_answer_puts_nothing_in_force(status: Any) -> None:
    talk = Talk()
    talk.bind()
    (decision,) = talk.reply(talk.ask(), status=status, code="late")  # the answer is ignored
    assert (decision.status, decision.directive, decision.press) == (status, None, None)


def test_a_fallback_is_applied_and_not_counted_as_a_decision() -> None:
    talk = Talk()
    talk.bind()
    (decision,) = talk.reply(talk.ask(), status="fallback", backend="rules")
    assert decision.directive is not None
    assert (talk.dialogue.counts.ok, talk.dialogue.counts.fallback) == (0, 1)


def test_unreadable_messages_change_nothing() -> None:
    talk = Talk()
    talk.bind()
    id = talk.ask()
    good = wire.encode(Reply(id=id, status="ok", answer=RETREAT))[0]
    for parts in ([], [b""], [b"\x00" * 50], [bytes(good)[:-3]], [good, good], [b"{}"],
                  [b"\x81\xa4kind\xa6wizard"], [b"x" * 70_000]):  # fmt: skip
        assert talk.dialogue.take(parts, talk.now) == []
    assert talk.dialogue.counts.unreadable == 8
    assert len(talk.reply(id)) == 1


@settings(max_examples=150)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_no_bytes_break_the_client(seed: int, changes: list[tuple[int, int]]) -> None:
    """Replies with any bytes changed are taken or counted; nothing is raised, nothing unknown is
    put in force."""
    talk = Talk()
    talk.bind()
    id = talk.ask()
    messages = (
        Reply(id=id, status="ok", answer=RETREAT, stages={"queue": 0.5}, reasoning="x" * 40),
        Welcome(agent="omega-0", epoch=7, session="s", phase=0.3),
        Ack(id=id, of="pending"),
    )
    data = bytearray(wire.encode(messages[seed % 3])[0])
    for at, value in changes:
        data[at % len(data)] = value
    for decision in talk.dialogue.take([bytes(data)], talk.now):
        assert decision.id == id
        assert decision.directive is None or isinstance(decision.directive, Directive)
    assert len(talk.dialogue.take([bytes(data)] * 2, talk.now)) == 0
    talk.sent()


def test_presses_are_checked() -> None:
    assert read_press({"kind": "click", "choice": 3, "text": "Play"}).choice == 3
    assert read_press({"kind": "noop"}).kind == "noop"
    assert read_press({"kind": "click_xy", "x": 0.5, "y": 1.0}).y == 1.0
    for wrong in ({"kind": "drag"}, {"kind": "click", "choice": 0}, {"kind": "click", "choice": 33},
                  {"kind": "click_xy", "x": 1.5, "y": 0.0}, {"kind": "click", "choice": "1"},
                  {"kind": "click_xy", "x": float("nan"), "y": 0.0}, {}):  # fmt: skip
        with pytest.raises(CorruptError):
            read_press(wrong)

"""cognition/agent/decision.py, and what a dialogue believes: which replies are put in force, for
how long, and that nothing else is."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from talk import RETREAT, S, Talk

from metabonk.cognition.agent.decision import read_press
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import Ack, Reply, Welcome
from metabonk.cognition.vocabulary import WIDGETS, Directive, Hold, Verb
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


MENU: dict[str, Any] = {"kind": "click", "choice": 2, "x": 0.5, "y": 0.25, "text": "Play"}
NOOP: dict[str, Any] = {"kind": "noop", "choice": 0.0, "x": 0.5, "y": 0.5}
NAN, INFINITE = float("nan"), float("inf")


@settings(max_examples=150)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_no_bytes_break_the_client(seed: int, changes: list[tuple[int, int]]) -> None:
    """Replies with any bytes changed are taken or counted; nothing is raised, nothing unknown is
    put in force."""
    talk = Talk()
    talk.bind()
    talk.dialogue.wishes.add("menu", "menu" if seed % 5 > 2 else "strategy")
    id = talk.ask_blind()
    messages = (
        Reply(id=id, status="ok", answer=RETREAT, stages={"queue": 0.5}, reasoning="x" * 40),
        Welcome(agent="omega-0", epoch=7, session="s", phase=0.3),
        Ack(id=id, of="pending"),
        Reply(id=id, status="ok", answer=MENU, stages={"queue": 0.5}),
        Reply(id=id, status="ok", answer=NOOP),
    )
    data = bytearray(wire.encode(messages[seed % 5])[0])
    for at, value in changes:
        data[at % len(data)] = value
    for decision in talk.dialogue.take([bytes(data)], talk.now):
        assert decision.id == id
        assert decision.directive is None or isinstance(decision.directive, Directive)
        assert decision.press is None or 0 <= decision.press.choice <= WIDGETS
    assert len(talk.dialogue.take([bytes(data)] * 2, talk.now)) == 0
    talk.sent()


Leaf = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
)
Anything = st.recursive(Leaf, lambda some: st.lists(some, max_size=3))


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["noop", "click", "click_xy"]) | Anything},
        optional=dict.fromkeys(("choice", "x", "y", "text"), Anything),
    )
)
@example({"kind": "noop", "choice": NAN})
@example({"kind": "click_xy", "choice": INFINITE, "x": 0.5, "y": 0.5})
def test_no_answer_about_a_menu_breaks_the_client(answer: dict[str, Any]) -> None:
    """Whatever a server says of a menu ends its request: as a press of sound numbers, or as an
    error that says which one is not."""
    talk = Talk()
    talk.bind()
    talk.dialogue.wishes.add("menu", "menu")
    (decision,) = talk.reply(talk.ask_blind(), answer=answer)
    if decision.press is None:
        assert (decision.status, decision.code) == ("error", "malformed")
        assert decision.reason.startswith("press.")
    else:
        press = decision.press
        assert isinstance(press.choice, int)
        assert 0 <= press.choice <= WIDGETS
        assert all(isinstance(v, float) and isfinite(v) for v in (press.x, press.y))


def test_presses_are_checked() -> None:
    assert read_press({"kind": "click", "choice": 3, "text": "Play"}).choice == 3
    assert read_press({"kind": "noop"}).kind == "noop"
    assert read_press({"kind": "click_xy", "x": 0.5, "y": 1.0}).y == 1.0
    assert read_press({"kind": "click", "choice": 1, "x": 1.02, "y": 0.5}).x == 1.02  # half outside


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "kind"),
        ({"kind": "drag"}, "kind"),
        ({"kind": ["click"]}, "kind"),
        ({"kind": "click", "choice": 0}, "choice: 0; wanted 1 to 32"),
        ({"kind": "click", "choice": 33}, "choice: 33"),
        ({"kind": "click", "choice": "1"}, "choice: '1'"),
        ({"kind": "click", "choice": True}, "choice: True"),
        ({"kind": "click", "choice": NAN}, "choice: nan"),
        ({"kind": "click", "choice": 1, "y": INFINITE}, "x, press.y: 0, inf"),
        ({"kind": "noop", "choice": NAN}, "choice: nan; wanted 0 to 32"),
        ({"kind": "noop", "choice": -INFINITE}, "choice: -inf"),
        ({"kind": "noop", "x": NAN}, "x, press.y: nan"),
        ({"kind": "click_xy", "choice": INFINITE, "x": 0.5, "y": 0.5}, "choice: inf"),
        ({"kind": "click_xy", "choice": 1.5, "x": 0.5, "y": 0.5}, "choice: 1.5"),
        ({"kind": "click_xy", "x": 1.5, "y": 0.0}, "x, press.y: 1.5, 0.0; wanted 0 to 1"),
        ({"kind": "click_xy", "x": NAN, "y": 0.0}, "x, press.y: nan"),
        ({"kind": "click_xy", "x": [0.5], "y": 0.0}, "x, press.y: list"),
    ],
)
def test_presses_that_are_none_say_why(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(CorruptError, match=r"press\." + re.escape(field)):
        read_press(wrong)

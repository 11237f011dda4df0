"""cognition/agent/dialogue_v1.py, verbs_v1.py: deployed servers, whose replies name no request."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.dialogue_v1 import OWED, DialogueV1
from metabonk.cognition.agent.tally import record_of
from metabonk.cognition.protocol import verbs_v1
from metabonk.cognition.vocabulary import (
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Verb,
    Widget,
)
from metabonk.errors import CorruptError
from metabonk.records import Entity as Enemy
from metabonk.records import FieldGroup, GameState
from metabonk.records import Pickup as Lying
from metabonk.records import Widget as Button

S = 1_000_000_000
START = 1_000 * S
STATE = GameState(
    fields=FieldGroup.EVERYTHING, position=(10.0, 20.0, 0.0), health=30.0, max_health=120.0,
    level=4, entities=[Enemy(id=7, position=(14.0, 20.0, 0.0))],
    pickups=[Lying(id=9, position=(10.0, 25.0, 0.0))],
    widgets=[Button(0.1, 0.1, 0.3, 0.2, text="Play"), Button(0.1, 0.3, 0.3, 0.4, text="Quit")],
)  # fmt: skip


class Talk:
    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.dialogue = DialogueV1("omega-3", **settings)
        self.dialogue.connected(self.now)

    def pass_(self, seconds: float) -> None:
        self.now += round(seconds * S)

    def ask(self, jpegs: int = 3) -> dict[str, Any]:
        self.dialogue.wishes.add("period")
        assert self.dialogue.wanted(self.now)
        frames = [b"jpeg %d" % k for k in range(jpegs)]
        _, parts = self.dialogue.request(self.now, self.now, STATE.pack(), [], frames)
        assert parts[0] == b""  # a deployed server reads three parts: identity, empty, JSON
        asked: dict[str, Any] = json.loads(bytes(parts[1]))
        return asked

    def reply(self, enveloped: bool = True, **fields: Any) -> list[Decision]:
        directive = {"action": "retreat", "target": [10.0, 30.0], "duration_seconds": 2.0,
                     "priority": "high"}  # fmt: skip
        text = json.dumps({"agent_id": "omega-3", "directive": directive, **fields}).encode()
        return self.dialogue.take([b"", text] if enveloped else [text], self.now)


def test_a_request_is_the_json_that_deployed_servers_read() -> None:
    asked = Talk().ask(3)
    assert set(asked) == {"agent_id", "frames", "state", "timestamp"}
    assert asked["agent_id"] == "omega-3"
    assert [base64.b64decode(frame) for frame in asked["frames"]] == [
        b"jpeg 0", b"jpeg 1", b"jpeg 2"
    ]  # fmt: skip
    assert asked["state"] == {
        "health": 0.25, "position": [10.0, 20.0], "enemies_nearby": 1, "level": 4
    }  # fmt: skip
    assert len(Talk().ask(12)["frames"]) == 9


@pytest.mark.parametrize("enveloped", [True, False])
def test_replies_are_read_with_and_without_an_envelope(enveloped: bool) -> None:
    talk = Talk()
    talk.ask()
    talk.pass_(0.4)
    (decision,) = talk.reply(enveloped, confidence=0.8, reasoning="surrounded")
    assert decision.status == "ok"
    assert decision.directive == Directive(Verb.RETREAT, Compass(4), 2.0, Priority.HIGH)
    assert decision.until_ns == START + 2 * S
    assert (decision.confidence, decision.reasoning) == (0.8, "surrounded")


def test_an_empty_part_alone_is_no_reply() -> None:
    talk = Talk()
    talk.ask()
    assert talk.dialogue.take([b""], talk.now) == []
    assert talk.dialogue.under_way == 1
    assert talk.reply()[0].status == "ok"


def test_a_late_reply_is_never_taken_for_a_newer_requests() -> None:
    talk = Talk(patience=1.0)
    talk.ask()
    talk.pass_(1.1)
    (lost,) = talk.dialogue.expired(talk.now)
    assert lost.status == "lost"
    talk.dialogue.wishes.add("health")
    assert talk.dialogue.wanted(talk.now) is None  # the server still owes an answer
    assert talk.reply() == []
    assert talk.dialogue.counts.late == 1
    talk.ask()
    assert talk.reply()[0].status == "ok"
    assert talk.reply() == []  # and one that nobody asked for


def test_a_run_that_is_over_ends_its_request_and_the_reply_is_still_owed() -> None:
    talk = Talk(patience=1.0)
    assert talk.dialogue.part(talk.now) == []
    talk.ask()
    (stale,) = talk.dialogue.part(talk.now)
    assert (stale.status, stale.reason) == ("stale", "its run is over")
    assert talk.dialogue.part(talk.now) == []
    talk.pass_(1.1)
    assert talk.dialogue.expired(talk.now) == []  # it has ended, once
    talk.dialogue.wishes.add("health")
    assert talk.dialogue.wanted(talk.now) is None
    assert talk.reply() == []
    talk.ask()
    assert talk.reply()[0].status == "ok"
    counts = talk.dialogue.counts
    assert (counts.stale, counts.late, counts.lost) == (1, 1, 0)


def test_a_server_that_owes_too_long_gets_another_connection() -> None:
    talk = Talk(patience=1.0)
    talk.ask()
    talk.pass_(1.1)
    talk.dialogue.expired(talk.now)
    assert not talk.dialogue.renew
    talk.pass_(OWED)
    talk.dialogue.expired(talk.now)
    assert talk.dialogue.renew
    talk.dialogue.disconnected()
    assert not talk.dialogue.renew
    talk.dialogue.expired(talk.now)
    talk.dialogue.connected(talk.now)
    talk.ask()
    assert talk.reply()[0].status == "ok"


def test_a_connection_that_ends_takes_its_request_along() -> None:
    talk = Talk()
    talk.ask()
    talk.dialogue.disconnected()
    assert [d.status for d in talk.dialogue.expired(talk.now)] == ["lost"]
    assert talk.dialogue.expired(talk.now) == []
    talk.dialogue.connected(talk.now)
    talk.ask()


@pytest.mark.parametrize(
    "fields",
    [
        {"directive": {"target": [1, 2]}},
        {"directive": {"action": "dance"}},
        {"directive": {"action": "move", "target": "north"}},
        {"directive": {"action": "move", "target": [1e9, 0]}},
        {"directive": {"action": "move", "target": [10**400, 0]}},
        {"directive": {"action": "move", "target": [1, 2], "duration_seconds": -1}},
        {"directive": {"action": "move", "target": [1, 2], "duration_seconds": 10**400}},
        {"directive": {"action": "move", "target": [1, 2], "duration_seconds": 3601}},
        {"directive": {"action": "move", "target": [1, 2], "priority": 7}},
        {"directive": [1, 2]},
        {"error": True},
        {"status": "error"},
    ],
)
def test_garbage_puts_nothing_in_force(fields: dict[str, Any]) -> None:
    talk = Talk()
    talk.ask()
    (decision,) = talk.reply(**fields)
    assert (decision.status, decision.directive) == ("error", None)


@pytest.mark.parametrize("parts", [[b"", b"", b"{}"], [b"x", b"{}"], [b"no json"], [b"[" * 9000],
                                   [b"{" + b" " * 70_000 + b"}"]])  # fmt: skip
def test_what_is_no_reply_is_an_error(parts: list[bytes]) -> None:
    talk = Talk()
    talk.ask()
    (decision,) = talk.dialogue.take(parts, talk.now)
    assert decision.status == "error"
    assert talk.dialogue.counts.unreadable == 1


def test_an_empty_directive_asks_for_nothing() -> None:
    talk = Talk()
    talk.ask()
    (decision,) = talk.reply(directive={})
    assert (decision.status, decision.directive) == ("ok", None)


def test_validity_counts_from_the_capture() -> None:
    talk = Talk()
    talk.ask()
    talk.pass_(2.1)
    (decision,) = talk.reply()
    assert (decision.status, decision.directive) == ("stale", None)


def read(action: str, target: Any = None, **fields: Any) -> Directive:
    value = {"action": action, "target": target, **fields}
    return verbs_v1.read(value, record_of(STATE.pack()))


def test_all_three_verb_sets_mean_ours() -> None:
    assert read("move", [20.0, 20.0]).target == Compass(0)
    assert read("approach", [13.0, 21.0]) == Directive(Verb.MOVE, Entity(7), 4.0)
    assert read("attack", [14.5, 20.0]).target == Entity(7)
    assert read("attack", [10.0, 10.0]).target == Compass(12)
    assert read("collect", [10.0, 24.0]).target == Pickup(9)
    assert read("interact", [10.0, 24.0]).target == Pickup(9)
    assert read("interact", [50.0, 24.0]).target == Hold()
    assert read("explore", [0.0, 20.0]).target == Compass(8)
    assert read("defend", [10.0, 24.0]).target == Pickup(9)
    assert read("idle") == Directive(Verb.HOLD, Hold(), 4.0)
    assert read("click", [0.2, 0.35]).target == Widget(2)
    with pytest.raises(CorruptError, match="the place of a widget"):
        read("click", [0.9, 0.9])
    assert {read(verb, [0.2, 0.15]).action for verb in verbs_v1.VERBS} == set(
        verbs_v1.VERBS.values()
    )


def test_where_the_agent_is_is_no_direction() -> None:
    """A server that says "fight where you are" writes the agent's own place, which lies nowhere."""
    assert read("attack", [10.0, 20.0]).target == Hold()
    assert read("retreat", [10.0004, 19.9996]).target == Hold()
    assert read("move", [10.0, 20.0]).action is Verb.HOLD
    assert read("attack", [10.1, 20.0]).target != Hold(), "ten centimetres away is a place"


def test_the_origin_is_no_target() -> None:
    assert read("retreat", [0, 0]) == Directive(Verb.RETREAT, Hold(), 4.0)
    assert read("retreat", [0.0, 0.0, 0.0]).target == Hold()
    assert read("move", [0, 0]).action is Verb.HOLD  # nowhere to go


@pytest.mark.parametrize(
    ("duration", "seconds"), [(0.1, 0.5), (1, 1.0), (3.0, 4.0), (2.7, 2.0), (600, 4.0)]
)
def test_durations_become_the_nearest_validity(duration: float, seconds: float) -> None:
    assert read("retreat", None, duration_seconds=duration).seconds == seconds
    assert read("retreat").seconds == 4.0  # five, where none is said


@pytest.mark.parametrize(
    "wrong",
    [0, -1.0, 3600.5, True, "2", None, float("nan"), float("inf"), 10**400, -(10**400)],
    ids=lambda wrong: str(wrong)[:8],
)
def test_durations_that_are_none_say_what_was_wanted(wrong: Any) -> None:
    """A whole number of JSON may be longer than any float: it is compared before it is one."""
    with pytest.raises(CorruptError, match=r"^duration_seconds: .* more than 0, at most 3600 s$"):
        read("retreat", None, duration_seconds=wrong)


def test_priorities_have_their_names() -> None:
    found = [read("retreat", None, priority=p).priority for p in ("low", "medium", "HIGH")]
    assert found == [Priority.LOW, Priority.NORMAL, Priority.HIGH]

"""cognition/agent/dialogue.py: what an agent says when, by a clock that the test moves; what it
believes is test_decision.py's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from talk import S, Talk, read

from metabonk.cognition import vocabulary
from metabonk.cognition.agent import outbox
from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.dialogue import QUERY_LEAST
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import (
    Ack,
    Bye,
    Hello,
    Outcome,
    Query,
    Reply,
    Request,
    RequestId,
    Welcome,
)
from metabonk.cognition.vocabulary import Directive, Hold, Verb


def test_a_name_is_bound_before_anything_is_asked() -> None:
    talk = Talk()
    assert talk.sent() == []  # no connection yet
    talk.dialogue.wishes.add("health")
    assert talk.dialogue.wanted(talk.now) is None
    talk.dialogue.connected(talk.now)
    (hello,) = talk.sent()
    assert (hello.agent, hello.epoch, hello.secret) == ("omega-0", 7, b"s" * 16)
    assert talk.sent() == []
    talk.pass_(1.1)
    assert [type(m) for m in talk.sent()] == [Hello]  # again, until somebody answers
    talk.hear(Welcome(agent="another", epoch=7, session="s", phase=0.0))
    talk.hear(Welcome(agent="omega-0", epoch=6, session="s", phase=0.0))
    assert not talk.dialogue.bound  # not for us
    for wrong in ({"phase": float("nan")}, {"phase": float("inf")}, {"next_sequence": 2**63},
                  {"next_sequence": -1}):  # fmt: skip
        fields = {"agent": "omega-0", "epoch": 7, "session": "s", "phase": 0.0, **wrong}
        talk.hear(Welcome(**fields))
        assert not talk.dialogue.bound
    talk.hear(Welcome(agent="omega-0", epoch=7, session="s", phase=0.0))
    assert talk.dialogue.wanted(talk.now) == "health"


def test_a_refused_name_says_why_and_is_tried_again() -> None:
    talk = Talk()
    talk.dialogue.connected(talk.now)
    talk.sent()
    talk.hear(Reply(id=None, status="error", code="taken", reason="omega-0: another has it"))
    assert talk.dialogue.why == "taken: omega-0: another has it"
    talk.pass_(1.5)
    assert talk.sent() == []
    talk.pass_(2.0)
    assert [type(m) for m in talk.sent()] == [Hello]
    talk.hear(Welcome(agent="omega-0", epoch=7, session="s", phase=0.0))
    assert talk.dialogue.why == ""


def test_regular_requests_keep_their_place_in_the_period() -> None:
    talks = []
    for phase in (0.0, 0.25, 0.5):
        talk = Talk(every=2.0)
        talk.bind(phase)
        times = []
        for _ in range(1000):
            talk.pass_(0.01)
            if talk.dialogue.wanted(talk.now):
                talk.reply(talk.ask_blind())
                times.append(talk.now / S)
        talks.append(times)
        assert len(times) == 5
    for later, phase in zip(talks[1:], (0.25, 0.5), strict=True):
        assert later[0] % 2.0 - talks[0][0] % 2.0 == pytest.approx(2.0 * phase, abs=0.02)


def test_nobody_is_woken_for_a_wish_that_has_to_wait() -> None:
    """The place in the period that goes by while a reply is owed is asked for when it has come."""
    talk = Talk(every=0.1)
    talk.bind()
    id = talk.ask()
    asks = talk.dialogue.next_ns(talk.now)
    assert asks == talk.now + QUERY_LEAST, "only to ask for the reply"
    talk.pass_(0.2)
    assert talk.dialogue.next_ns(talk.now) == asks
    talk.reply(id)
    assert talk.dialogue.wanted(talk.now) == "period"
    talk.reply(talk.ask_blind())
    assert talk.dialogue.next_ns(talk.now) <= talk.now + S // 10


def test_one_request_is_under_way_and_an_urgent_one_may_follow() -> None:
    talk = Talk()
    talk.bind()
    first = talk.ask()
    talk.dialogue.wishes.add("period")
    assert talk.dialogue.wanted(talk.now) is None
    second = talk.ask("health")
    assert second.sequence == first.sequence + 1
    talk.dialogue.wishes.add("boss")
    assert talk.dialogue.wanted(talk.now) is None  # two are enough
    assert talk.dialogue.under_way == 2
    (decision,) = talk.reply(second)
    assert decision.status == "ok"
    assert talk.dialogue.wanted(talk.now) == "boss"  # what waited is asked with newer eyes
    # The older reply comes after the newer one was applied.
    (decision,) = talk.reply(first)
    assert (decision.status, decision.directive) == ("stale", None)


def test_a_request_without_a_reply_is_given_up_at_its_deadline() -> None:
    talk = Talk(patience=1.0)
    talk.bind()
    id = talk.ask()
    talk.pass_(0.99)
    assert talk.dialogue.expired(talk.now) == []
    talk.pass_(0.02)
    (decision,) = talk.dialogue.expired(talk.now)
    assert (decision.id, decision.status, decision.directive) == (id, "lost", None)
    assert talk.reply(id) == []  # too late for anything
    assert talk.dialogue.counts.late == 1
    assert talk.dialogue.under_way == 0


def test_what_gets_no_reply_is_asked_for_by_a_header() -> None:
    talk = Talk()
    talk.bind()
    id = talk.ask()
    assert talk.sent() == []
    talk.pass_(0.3)
    (query,) = talk.sent()
    assert isinstance(query, Query)
    assert query.id == id
    assert talk.sent() == []
    talk.hear(Ack(id=id, of="pending"))  # it arrived: wait
    talk.pass_(0.2)
    assert talk.sent() == []
    talk.pass_(0.2)
    assert [type(m) for m in talk.sent()] == [Query]


def test_what_never_arrived_is_sent_anew_and_decided_once() -> None:
    talk = Talk()
    talk.bind()
    id = talk.ask()
    talk.pass_(0.3)
    talk.sent()
    for again in (1, 2):
        assert talk.reply(id, status="error", code="unknown", answer={}) == []
        (request,) = talk.sent()
        assert isinstance(request, Request)
        assert request.id == id
        assert request.left_ms == pytest.approx(4000 - (talk.now - request.captured_ns) / 1e6)
        assert talk.dialogue.counts.sent_again == again
        talk.pass_(0.3)
        talk.sent()
    (decision,) = talk.reply(id, status="error", code="unknown", answer={})
    assert (decision.status, decision.code) == ("error", "unknown")
    assert talk.dialogue.counts.requests == 1


def test_a_broker_that_began_anew_is_told_everything_again() -> None:
    talk = Talk()
    talk.bind()
    id = talk.ask()
    talk.dialogue.report(Outcome(id=id, applied=False, seconds=1.0), talk.now)
    talk.dialogue.hurry(talk.now)
    assert [type(m) for m in talk.sent()] == [Outcome]
    talk.dialogue.disconnected()
    assert talk.sent() == []
    assert talk.dialogue.wanted(talk.now) is None
    talk.pass_(0.1)
    talk.bind(session="s2")
    assert sorted(type(m).__name__ for m in talk.sent()) == ["Outcome", "Query"]
    assert len(talk.reply(id, replayed=True)) == 1  # the journal knew it
    # A broker that lost sight of us says `unbound`: the name is bound again, nothing is given up.
    second = talk.ask()
    assert talk.reply(second, status="error", code="unbound", answer={}) == []
    assert not talk.dialogue.bound
    assert [type(m) for m in talk.sent()] == [Hello]
    assert talk.dialogue.under_way == 1


def test_sequences_go_on_where_the_broker_has_them() -> None:
    talk = Talk()
    talk.bind(next_sequence=41)
    assert talk.ask().sequence == 41
    assert talk.reply(RequestId("omega-0", 7, 40)) == []
    assert talk.reply(RequestId("omega-0", 6, 41)) == []  # of an earlier start
    assert talk.reply(RequestId("omega-1", 7, 41)) == []  # another's
    assert talk.dialogue.counts.late == 3
    assert talk.dialogue.under_way == 1


def test_a_draining_broker_is_left_alone_for_a_second() -> None:
    talk = Talk()
    talk.bind()
    talk.reply(talk.ask(), status="rejected", code="draining", answer={})
    assert not talk.dialogue.bound
    assert talk.sent() == []
    talk.pass_(1.1)
    assert [type(m) for m in talk.sent()] == [Hello]


@pytest.mark.parametrize(("every", "at"), [(1.5, 1.5), (3600.0, 2.0)])
def test_an_outcome_goes_with_the_next_request(every: float, at: float) -> None:
    """One message more in a parcel that goes anyway, and at most two seconds late."""
    talk = Talk(every=every)
    talk.now = round(2 * every) * S  # a place in the period, and the next one `every` later
    talk.bind()
    talk.dialogue.report(
        Outcome(id=RequestId("omega-0", 7, 1), applied=True, seconds=4.0), talk.now
    )
    begin, asked = talk.now, False
    while True:
        if talk.dialogue.wanted(talk.now):
            talk.ask_blind()
            asked = True
        if found := talk.sent():
            break
        talk.pass_(0.01)
        assert talk.now < begin + 10 * S
    assert [type(one) for one in found] == [Outcome]
    assert (talk.now - begin) / S == pytest.approx(at, abs=0.02)
    assert asked == (every <= 2.0), "in the same turn"


def test_an_outcome_waits_for_a_request_that_has_to_wait() -> None:
    """While a reply is owed nothing regular is asked: at its place in the period an outcome alone
    would wake both ends once more."""
    talk = Talk(every=0.5)
    talk.bind()
    first = talk.ask()
    outcome = Outcome(id=RequestId("omega-0", 7, 1), applied=True, seconds=4.0)
    talk.dialogue.report(outcome, talk.now)
    for _ in range(12):  # past two places in the period; what it asks for meanwhile is a Query
        talk.pass_(0.1)
        assert talk.dialogue.wanted(talk.now) is None
        assert Outcome not in {type(m) for m in talk.sent()}
    talk.reply(first)
    assert talk.dialogue.wanted(talk.now) == "period"
    talk.ask_blind()
    assert [type(m) for m in talk.sent()] == [Outcome]
    talk.pass_(0.2)
    talk.dialogue.wishes.add("health")
    assert talk.dialogue.wanted(talk.now)
    talk.ask_blind()
    assert Outcome not in {type(m) for m in talk.sent()}, "once sent it keeps its own times"


def test_at_the_end_outcomes_wait_for_no_request() -> None:
    talk = Talk()
    talk.bind()
    for sequence in range(3):
        id = RequestId("omega-0", 7, sequence)
        talk.dialogue.report(Outcome(id=id, applied=True, seconds=4.0), talk.now)
    assert talk.sent() == []
    talk.dialogue.hurry(talk.now)
    assert {one.id.sequence for one in talk.sent()} == {0, 1, 2}


def test_outcomes_are_sent_until_they_are_acknowledged() -> None:
    talk = Talk()
    talk.bind()
    outcome = Outcome(id=RequestId("omega-0", 7, 1), applied=True, seconds=4.0, reward=1.5)
    talk.dialogue.report(outcome, talk.now)
    talk.dialogue.hurry(talk.now)
    pauses, last = [], talk.now
    for _ in range(3000):
        if talk.sent():
            pauses.append((talk.now - last) / S)
            last = talk.now
        talk.pass_(0.01)
    assert pauses[:4] == pytest.approx([0.0, 0.5, 1.0, 2.0], abs=0.02)
    assert max(pauses) <= 8.02
    talk.hear(Ack(id=outcome.id, of="outcome"))
    talk.hear(Ack(id=outcome.id, of="outcome"))
    assert talk.dialogue.waiting_outcomes == 0
    assert talk.dialogue.counts.acknowledged == 1
    talk.pass_(60)
    assert talk.sent() == []


def test_outcomes_are_bounded_and_what_is_dropped_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MOST", 5)
    talk = Talk()
    for sequence in range(8):
        id = RequestId("omega-0", 7, sequence)
        talk.dialogue.report(Outcome(id=id, applied=False, seconds=1.0), talk.now)
    assert talk.dialogue.waiting_outcomes == 5
    assert talk.dialogue.counts.dropped == 3
    talk.bind()  # another connection hears all at once
    assert {m.id.sequence for m in talk.sent()} == {3, 4, 5, 6, 7}
    # One that the broker refuses for good is not sent for ever.
    talk.reply(RequestId("omega-0", 7, 3), status="error", code="malformed", answer={})
    assert talk.dialogue.waiting_outcomes == 4


def test_what_is_in_force_and_how_long_answers_take_is_told() -> None:
    talk = Talk()
    talk.bind()
    id = talk.ask()
    talk.pass_(0.5)
    talk.reply(id)
    held = Directive(Verb.EXPLORE, Hold(), 4.0)
    talk.dialogue.wishes.add("boss")
    _, parts = talk.dialogue.request(talk.now, talk.now, b"", [], [], in_force=held, goal="survive")
    request, _ = wire.decode(parts)
    assert isinstance(request, Request)
    assert (request.trigger, request.critical, request.goal) == ("boss", True, "survive")
    assert vocabulary.read(request.in_force) == held
    assert request.expected_ms == pytest.approx(500.0)
    assert request.deadline_ns == talk.now + 4 * S


def test_each_kind_of_question_tells_its_own_goal() -> None:
    talk = Talk()
    talk.bind()
    for trigger, question, goal in (("period", "strategy", "survive"), ("menu", "menu", "start")):
        talk.dialogue.wishes.add(trigger, question)  # type: ignore[arg-type]
        _, parts = talk.dialogue.request(
            talk.now, talk.now, b"", [], [], goal="survive", menu_goal="start"
        )
        request, _ = wire.decode(parts)
        assert isinstance(request, Request)
        assert (request.question, request.goal) == (question, goal)


def test_who_leaves_says_so() -> None:
    talk = Talk()
    assert talk.dialogue.goodbye() is None
    talk.bind()
    parts = talk.dialogue.goodbye()
    assert parts is not None
    assert isinstance(read(parts), Bye)


Step = st.sampled_from(
    ["wish", "urgent", "answer", "late", "lose", "cut", "again", "garbage", "part"]
)


@settings(max_examples=80)
@given(st.lists(st.tuples(Step, st.floats(0.001, 1.5)), max_size=60))
def test_every_request_ends_once_and_nothing_old_is_applied(
    steps: list[tuple[str, float]],
) -> None:
    """Whatever the network does: one end per request, sequences that are applied only rise."""
    talk = Talk(patience=2.0)
    talk.bind()
    asked: list[RequestId] = []
    ended: list[Decision] = []
    for step, seconds in steps:
        talk.pass_(seconds)
        ended += talk.dialogue.expired(talk.now)
        if step in ("wish", "urgent"):
            talk.dialogue.wishes.add("period" if step == "wish" else "health")
        if talk.dialogue.wanted(talk.now):
            asked.append(talk.ask_blind())
        if step in ("answer", "late") and asked:
            ended += talk.reply(asked[-1 if step == "answer" else 0])
        if step == "lose" and asked:
            ended += talk.reply(asked[-1], status="error", code="unknown", answer={})
        if step == "cut":
            talk.dialogue.disconnected()
        if step == "again":
            talk.bind(session=str(talk.now))
        if step == "garbage":
            talk.dialogue.take([b"\xc1"], talk.now)
        if step == "part":
            ended += talk.dialogue.part(talk.now)
            assert talk.dialogue.under_way == 0
        talk.sent()
        assert talk.dialogue.under_way <= 2
    talk.pass_(10.0)
    ended += talk.dialogue.expired(talk.now)
    assert sorted(d.id for d in ended) == sorted(asked)
    applied = [d.id.sequence for d in ended if d.directive is not None]
    assert applied == sorted(set(applied))
    counts = talk.dialogue.counts
    ends = counts.ok + counts.fallback + counts.stale + counts.rejected + counts.error + counts.lost
    assert ends == counts.requests == len(asked)

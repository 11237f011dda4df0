"""bench/swarm: what a soak finds wrong is wrong, and what it finds right is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from metabonk.bench.swarm import ledger, verdict
from metabonk.bench.swarm.ledger import (
    Acknowledged,
    Answered,
    Applied,
    Asked,
    Began,
    Cut,
    Ended,
    Entry,
    Welcomed,
)
from metabonk.bench.swarm.verdict import Decision, Noted, judge

from metabonk.errors import CorruptError

MS = 1_000_000
S = 1000 * MS


class Story:
    """Two agents that ask four times each, are answered, follow and are acknowledged; nothing is
    wrong. Tests break one thing each."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.decisions: list[Decision] = []
        self.outcomes: list[Noted] = []
        for agent in ("omega-0", "omega-1"):
            self.entries.append(Began(0, agent, 7, 100))
            for sequence in range(4):
                id, at = f"{agent}/7/{sequence}", sequence * S
                self.entries += [
                    Asked(at, id, at - 5 * MS, at + 500 * MS),
                    Answered(at + 100 * MS, id, "ok", f"digest-{id}"),
                    Applied(at + 110 * MS, id),
                    Acknowledged(at + 900 * MS, id),
                ]
                self.decisions.append(Decision(id, "ok", f"digest-{id}"))
                self.outcomes.append(Noted(id, applied=True))
            self.entries.append(Ended(9 * S, agent, 7, 600, 3, (2000, 30_000, 90_000)))

    def judged(self, *kills: int) -> verdict.Verdict:
        return judge(self.entries, self.decisions, self.outcomes, kills)

    def drop(self, kind: type[Entry], id: str) -> Entry:
        found = next(e for e in self.entries if isinstance(e, kind) and getattr(e, "id", "") == id)
        self.entries.remove(found)
        return found

    def retell(self, kind: type[Entry], id: str, *others: Entry) -> None:
        self.drop(kind, id)
        self.entries.extend(others)


FIRST = "omega-0/7/0"
SECOND = "omega-0/7/1"


def test_nothing_is_wrong_where_nothing_is() -> None:
    found = Story().judged()
    assert found.passed
    assert found.fault_counts == {}
    assert (found.agents, found.requests) == (2, 8)
    assert found.counts == {
        "ok": 8, "applied": 8, "repeated_replies": 0, "acknowledged": 8, "cut": 0, "remade": 0,
    }  # fmt: skip
    assert found.blocked_us == (2.0, 30.0, 90.0)
    assert found.late_ticks == pytest.approx(6 / 1200)
    assert found.recovered_within(0.99) is None


def lose_an_outcome(s: Story) -> None:
    s.outcomes.remove(Noted(FIRST, applied=True))


def write_an_outcome_twice(s: Story) -> None:
    s.outcomes.append(Noted(FIRST, applied=True))


def write_a_decision_twice(s: Story) -> None:
    s.decisions.append(Decision(FIRST, "ok", f"digest-{FIRST}"))


def forget_a_decision(s: Story) -> None:
    s.decisions = [row for row in s.decisions if row.id != FIRST]


def decide_after_all(s: Story) -> None:
    """What was followed is in the journal as refused."""
    s.decisions = [Decision(FIRST, "stale") if r.id == FIRST else r for r in s.decisions]


def change_the_answer(s: Story) -> None:
    s.decisions = [Decision(FIRST, "ok", "another") if r.id == FIRST else r for r in s.decisions]


def answer_in_two_ways(s: Story) -> None:
    s.entries.append(Answered(300 * MS, FIRST, "ok", "another"))


def end_in_two_ways(s: Story) -> None:
    s.entries.append(Answered(300 * MS, FIRST, "rejected"))


def not_follow(s: Story) -> None:
    s.drop(Applied, FIRST)
    s.outcomes = [Noted(FIRST, applied=False) if r.id == FIRST else r for r in s.outcomes]


def tell_before_writing(s: Story) -> None:
    """It came too late to be followed, and the server was killed before it was written down."""
    not_follow(s)
    forget_a_decision(s)


def refuse_before_writing(s: Story) -> None:
    not_follow(s)
    forget_a_decision(s)
    s.retell(Answered, FIRST, Answered(50 * MS, FIRST, "rejected"))


def write_another_end(s: Story) -> None:
    not_follow(s)
    s.retell(Answered, FIRST, Answered(50 * MS, FIRST, "rejected"))


def write_no_answer(s: Story) -> None:
    s.decisions = [Decision(FIRST, "ok") if r.id == FIRST else r for r in s.decisions]


def follow_twice(s: Story) -> None:
    s.entries.append(Applied(200 * MS, FIRST))


def follow_after_the_deadline(s: Story) -> None:
    s.retell(Applied, FIRST, Applied(501 * MS, FIRST))


def follow_after_a_newer_one(s: Story) -> None:
    s.retell(Asked, FIRST, Asked(0, FIRST, 0, 60 * S))
    s.retell(Applied, FIRST, Applied(S + 200 * MS, FIRST))


def follow_an_earlier_start(s: Story) -> None:
    id = "omega-0/6/99"
    s.entries += [Asked(0, id, 0, 60 * S), Applied(5 * S, id)]
    s.decisions.append(Decision(id, "ok"))
    s.outcomes.append(Noted(id, applied=True))


def follow_what_was_never_asked(s: Story) -> None:
    s.entries.append(Applied(5 * S, "omega-0/7/77"))


def decide_what_was_never_asked(s: Story) -> None:
    s.decisions.append(Decision("omega-9/1/1", "ok"))


def note_what_was_never_asked(s: Story) -> None:
    s.outcomes.append(Noted("omega-9/1/1", applied=False))


def deny_having_followed(s: Story) -> None:
    s.outcomes = [Noted(FIRST, applied=False) if r.id == FIRST else r for r in s.outcomes]


def claim_to_have_followed(s: Story) -> None:
    s.drop(Applied, FIRST)


def give_an_id_twice(s: Story) -> None:
    s.entries.append(Asked(2 * S, FIRST, 2 * S, 3 * S))


@pytest.mark.parametrize(
    ("break_it", "kind", "id"),
    [
        (lose_an_outcome, "lost", FIRST),
        (write_an_outcome_twice, "duplicated", FIRST),
        (write_a_decision_twice, "duplicated", FIRST),
        (forget_a_decision, "unwritten", FIRST),
        (decide_after_all, "unwritten", FIRST),
        (change_the_answer, "changed", FIRST),
        (answer_in_two_ways, "changed", FIRST),
        (end_in_two_ways, "changed", FIRST),
        (tell_before_writing, "unwritten", FIRST),
        (refuse_before_writing, "unwritten", FIRST),
        (write_another_end, "changed", FIRST),
        (write_no_answer, "changed", FIRST),
        (follow_twice, "duplicated", FIRST),
        (follow_after_the_deadline, "stale", FIRST),
        (follow_after_a_newer_one, "stale", FIRST),
        (follow_an_earlier_start, "stale", "omega-0/6/99"),
        (follow_what_was_never_asked, "unknown", "omega-0/7/77"),
        (decide_what_was_never_asked, "unasked", "omega-9/1/1"),
        (note_what_was_never_asked, "unasked", "omega-9/1/1"),
        (deny_having_followed, "contradicted", FIRST),
        (claim_to_have_followed, "contradicted", FIRST),
        (give_an_id_twice, "duplicated", FIRST),
    ],
)
def test_every_fault_is_found(break_it: Callable[[Story], None], kind: str, id: str) -> None:
    story = Story()
    break_it(story)
    found = story.judged()
    assert not found.passed
    assert found.fault_counts.get(kind), found.fault_counts
    assert id in [fault.id for fault in found.faults if fault.kind == kind]


def test_refused_and_repeated_is_not_wrong() -> None:
    """Requests that end without an answer have an outcome too, and replies may come again."""
    story = Story()
    story.drop(Applied, FIRST)
    story.retell(Answered, FIRST, Answered(50 * MS, FIRST, "stale"))
    story.decisions = [Decision(FIRST, "stale") if r.id == FIRST else r for r in story.decisions]
    story.outcomes = [Noted(FIRST, applied=False) if r.id == FIRST else r for r in story.outcomes]
    story.entries.append(Answered(S + 300 * MS, SECOND, "ok", f"digest-{SECOND}"))
    found = story.judged()
    assert found.passed, found.faults
    assert found.counts["stale"] == 1
    assert found.counts["repeated_replies"] == 1


def test_what_is_told_not_to_be_written_down_yet_may_be_missing_or_end_anew() -> None:
    """A disk that hangs delays no reply; a kill may then take what was not written."""
    story = Story()
    not_follow(story)
    forget_a_decision(story)
    story.retell(Answered, FIRST, Answered(50 * MS, FIRST, "rejected", recorded=False))
    assert story.judged().passed
    story.entries.append(Answered(300 * MS, FIRST, "stale"))
    story.decisions.append(Decision(FIRST, "stale"))
    assert story.judged().passed, story.judged().faults


def test_what_is_cut_and_made_anew_is_counted() -> None:
    story = Story()
    story.entries += [Cut(S, "omega-0"), Cut(2 * S, "omega-1"), Began(3 * S, "omega-1", 8, 100)]
    assert story.judged().counts["cut"] == 2
    assert story.judged().counts["remade"] == 1


def test_a_soak_in_which_nothing_happened_does_not_pass() -> None:
    assert not judge([], [], []).passed
    story = Story()
    story.entries = [e for e in story.entries if not isinstance(e, Applied)]
    story.outcomes = [Noted(row.id, applied=False) for row in story.outcomes]
    found = story.judged()
    assert found.fault_counts == {}
    assert not found.passed  # nobody followed anything


def test_all_faults_are_counted_and_some_are_listed() -> None:
    story = Story()
    many = [Noted(f"ghost/1/{n}", applied=False) for n in range(100)]
    story.outcomes += many
    found = story.judged()
    assert found.fault_counts == {"unasked": 100}
    assert len(found.faults) == verdict.MOST_SHOWN


def test_recovery_is_how_long_an_agent_goes_without_what_is_due() -> None:
    id = "omega-0/7/{}".format
    began = [Began(0, "omega-0", 7, 1, every_ns=5 * S)]
    asked = [
        Asked(0, id(0), 0, 5 * S),  # in flight at the first kill, answered by who came after
        Asked(10 * S, id(1), 0, 11 * S),
        Asked(20 * S, id(2), 0, 21 * S),  # asked while nobody was there, given up
        Asked(27 * S, id(3), 0, 28 * S),
    ]
    refused = Answered(10 * S + 100 * MS, id(1), "rejected")
    answered = {
        id(0): [Answered(3 * S, id(0), "ok")],
        id(1): [refused, Answered(10 * S + 300 * MS, id(1), "ok")],
        id(3): [Answered(27 * S + 500 * MS, id(3), "fallback")],
    }

    welcomed = [Welcomed(1 * MS, "omega-0", "first"), Welcomed(2 * S, "omega-0", "second")]

    def after(*kills: int) -> list[float]:
        found = verdict.recoveries(began, asked, answered, kills, welcomed=welcomed)
        assert all(one.answered and one.agent == "omega-0" for one in found)
        return [one.seconds for one in found]

    assert after(1 * S) == [2.0]  # it waited for its answer
    assert after(4 * S) == [pytest.approx(5.3)]  # due at 5 s, could ask at 10 s only
    assert after(12 * S) == [pytest.approx(12.5)]  # due at 15 s; what it asked then got nothing
    assert after(20 * S + 500 * MS) == [pytest.approx(7.0)]  # in flight
    assert after(30 * S) == []  # it asked nothing after that: nothing was due
    assert after() == []
    anew = [*began, Began(26 * S, "omega-0", 8, 1, every_ns=5 * S)]
    (found,) = verdict.recoveries(anew, asked, answered, [12 * S])
    assert found.seconds == pytest.approx(1.5)
    slow = [Began(0, "omega-0", 7, 1, every_ns=5 * S, slow=True)]
    assert verdict.recoveries(slow, asked, answered, [1 * S]) == []


def test_an_answer_that_was_on_its_way_at_the_kill_is_nobodys_return() -> None:
    """It is an answer: the next one is due a period later, and from then the agent goes without."""
    kill, id = 10 * S, "omega-0/7/{}".format
    began = [Began(0, "omega-0", 7, 1, every_ns=S // 2)]
    asked = [
        Asked(kill - 50 * MS, id(1), 0, kill + S),
        Asked(kill + 500 * MS, id(2), 0, kill + 1500 * MS),
        Asked(kill + 9 * S, id(9), 0, kill + 10 * S),
    ]
    answered = {
        id(1): [Answered(kill + MS // 5, id(1), "ok")],
        id(9): [Answered(kill + 9 * S, id(9), "ok")],
    }

    def after(*welcomed: Welcomed) -> float:
        (found,) = verdict.recoveries(began, asked, answered, [kill], welcomed=welcomed)
        assert found.answered
        return found.seconds

    old = Welcomed(S, "omega-0", "old")
    assert after(old) == pytest.approx(9.0 - 0.45)
    assert after(old, Welcomed(kill + MS // 10, "omega-0", "old")) == pytest.approx(8.55)
    assert after(old, Welcomed(kill + MS // 10, "omega-0", "new")) == pytest.approx(0.0002)
    assert after(old, Welcomed(kill + MS // 10, "omega-1", "new")) == pytest.approx(8.55)
    del answered[id(1)]
    assert after(old) == pytest.approx(9.0), "in flight"


def test_an_agent_that_never_gets_an_answer_again_counts_until_its_end() -> None:
    story = Story()
    every = [
        msgspec.structs.replace(e, every_ns=S) if isinstance(e, Began) else e for e in story.entries
    ]
    until = [
        msgspec.structs.replace(e, asked_until_ns=8 * S) if isinstance(e, Ended) else e
        for e in every
    ]

    def after(entries: list[Entry], *kills: int) -> tuple[list[float], dict[str, float]]:
        found = judge(entries, story.decisions, story.outcomes, kills)
        assert found.fault_counts == {}
        return sorted(found.recovery), found.silent

    # Both were answered last at 3.1 s, and asked last at 3 s, one a second.
    assert after(until, 2 * S + 500 * MS)[1] == {}
    both = {"omega-0": 4.0, "omega-1": 4.0}
    assert after(until, 3 * S + 500 * MS) == ([4.0, 4.0], both)
    assert after(until, 6 * S) == ([2.0, 2.0], {"omega-0": 2.0, "omega-1": 2.0})
    assert after(until, 3 * S + 500 * MS, 6 * S)[1] == both  # the longest of each
    assert after(until, 8 * S + 1) == ([], {})  # nobody asked any more
    assert after(every, 6 * S)[1] == {"omega-0": 3.0, "omega-1": 3.0}  # until its last word
    gone = [e for e in every if not isinstance(e, Ended)]
    assert after(gone, 2 * S + 500 * MS)[1] == {}
    mute = [*until, Began(0, "omega-2", 7, 1, every_ns=S), Ended(9 * S, "omega-2", 7)]
    assert after(mute, S)[1] == {"omega-2": 8.0}  # it never even got to ask
    slow = [*until, Began(0, "omega-2", 7, 1, every_ns=S, slow=True), Ended(9 * S, "omega-2", 7)]
    assert after(slow, S)[1] == {}


def model_story() -> list[Entry]:
    """The model's answers until 2 s, the rules' for it at 3 s."""
    return [
        msgspec.structs.replace(e, backend="openai" if e.at_ns < 3 * S else "rules")
        if isinstance(e, Answered)
        else e
        for e in Story().entries
    ]


def test_the_model_is_back_with_an_answer_to_what_was_asked_after_its_kill() -> None:
    def back(entries: list[Entry], *kills: int) -> float | None:
        return judge(entries, [], [], [], kills, "openai").model_back

    entries = model_story()
    assert back(entries) is None
    assert back(entries, S + 500 * MS) == pytest.approx(0.6)
    assert back(entries, 0, S + 500 * MS) == pytest.approx(0.6)  # the last counts
    assert back(entries, 2 * S + 50 * MS) is None, "what was asked before the kill does not count"
    assert back(entries, 2 * S + 500 * MS) is None, "nor does what the rules said"
    late = [
        msgspec.structs.replace(e, status="fallback") if isinstance(e, Answered) else e
        for e in entries
    ]
    assert back(late, S + 500 * MS) is None


def test_a_soak_goes_on_until_all_are_back() -> None:
    entries, both = model_story(), ["omega-0", "omega-1"]

    def back(agents: list[str], kills: list[int], model: list[int]) -> bool:
        return verdict.all_back(entries, agents, kills, model, "openai")

    assert back(both, [], [])
    assert back(both, [2 * S + 500 * MS], [S + 500 * MS])
    assert not back(both, [4 * S], [])  # nobody was answered since
    assert not back(both, [3 * S + 50 * MS], [])  # nor to what was asked since
    assert not back([*both, "omega-2"], [], [])  # one never was
    assert not back(both, [], [2 * S + 500 * MS])  # the rules answer still


def test_a_name_is_only_stolen_from_who_lives() -> None:
    id = "omega-0/7/1"
    entries: list[Entry] = [
        Began(0, "omega-0", 7, 1),
        Answered(9 * S, id, "ok"),
        Cut(20 * S, "omega-0"),
        Answered(30 * S, id, "ok"),
        Ended(31 * S, "omega-0", 7),
    ]
    assert verdict.usurped(10 * S, "omega-0", entries, [])
    assert not verdict.usurped(1 * S, "omega-0", entries, [])  # not answered yet
    assert not verdict.usurped(15 * S, "omega-0", entries, [])  # nor lately
    assert not verdict.usurped(21 * S, "omega-0", entries, [])
    assert not verdict.usurped(32 * S, "omega-0", entries, [])
    assert not verdict.usurped(10 * S, "omega-0", entries, [9 * S + 1])  # killed since
    assert verdict.usurped(10 * S, "omega-0", entries, [8 * S, 11 * S])
    assert not verdict.usurped(10 * S, "omega-1", entries, [])


def test_a_ledger_is_read_back_without_its_torn_end(tmp_path: Path) -> None:
    written = Story().entries
    book = ledger.Ledger(tmp_path / "agents/omega-0.jsonl")
    for entry in written:
        book.add(entry)
    book.close()
    book.close()
    path = tmp_path / "agents/omega-0.jsonl"
    path.write_bytes(path.read_bytes() + b'{"type":"applied","at_n')
    assert list(ledger.read(tmp_path / "agents")) == written
    assert list(ledger.read(tmp_path / "agents", "omega-1")) == []
    path.write_bytes(b'{"type":"elsewhere"}\n' + path.read_bytes())
    with pytest.raises(CorruptError, match=r"omega-0.jsonl, line 1"):
        list(ledger.read(tmp_path / "agents"))


def test_an_id_is_taken_apart_whatever_the_agent_is_called() -> None:
    assert verdict.split("team/omega-0/17/3") == ("team/omega-0", 17, 3)

"""What a soak came to: agents' ledgers held against the broker's journal.

Knows both as plain rows and what must hold between them; starts nothing and reads no files. Every
way in which something can be lost, doubled or followed too late is a fault with the request's id,
so that a soak that fails says where to look. Times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from .ledger import Answered, Asked, Began, Cut, Ended, Entry, Seen, Welcomed, split

DECISIONS = ("ok", "fallback")
GAP_NS = 3_000_000_000  # an agent that was answered so lately is there
MOST_SHOWN = 20  # faults of one kind that a report lists; all are counted


class Decision(msgspec.Struct, frozen=True):
    """One row of the journal's decisions. answer: a digest of it, as ledgers have it."""

    id: str
    status: str
    answer: str = ""


class Noted(msgspec.Struct, frozen=True):
    """One row of the journal's outcomes."""

    id: str
    applied: bool


class Fault(msgspec.Struct, frozen=True):
    """Something that must never happen. kind: lost, duplicated, stale, unwritten, changed, unasked,
    contradicted or unknown."""

    kind: str
    id: str
    why: str


class Verdict(msgspec.Struct, kw_only=True):
    """What happened and what was wrong.

    counts: requests by what became of them, connections that were cut, clients made anew. faults:
    the first of each kind; fault_counts: how many. recovery: seconds that agents went without an
    answer that was due after a kill of the broker; one per agent and kill. silent: of these the
    longest of each agent that had none until its end. model_back: seconds from the last kill of the
    model server to an answer of it; None without a kill, and without such an answer. blocked_us:
    how long clients held the game's thread per tick: worst agents' median, 99th percentile and
    most. late_ticks: share of the game's ticks.
    """

    agents: int = 0
    requests: int = 0
    counts: dict[str, int] = {}
    fault_counts: dict[str, int] = {}
    faults: list[Fault] = []
    recovery: list[float] = []
    silent: dict[str, float] = {}
    model_back: float | None = None
    blocked_us: tuple[float, float, float] = (0.0, 0.0, 0.0)
    late_ticks: float = 0.0
    ticks: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong, and there was anything that could have been."""
        return not self.fault_counts and self.requests > 0 and self.counts.get("applied", 0) > 0

    def recovered_within(self, share: float) -> float | None:
        """The seconds within which `share` of the recoveries were over; None where there were
        none."""
        return float(np.quantile(self.recovery, share)) if self.recovery else None


def judge(
    entries: Iterable[Entry],
    decisions: Iterable[Decision],
    outcomes: Iterable[Noted],
    kills: Sequence[int] = (),
    model_kills: Sequence[int] = (),
    model: str = "",
) -> Verdict:
    """Holds the ledgers' entries against the journal's rows.

    kills, model_kills: when the broker was killed, and the model server. model: the backend whose
    answers are the model server's.
    """
    seen = Seen(entries)
    faults = [
        *_outcome_faults(seen, outcomes),
        *_decision_faults(seen, decisions),
        *_stale_faults(seen),
    ]
    by_kind = Counter(fault.kind for fault in faults)
    shown: Counter[str] = Counter()
    listed = []
    for fault in faults:
        shown[fault.kind] += 1
        if shown[fault.kind] <= MOST_SHOWN:
            listed.append(fault)
    ticks = sum(end.ticks for end in seen.ended)
    found = recoveries(
        seen.began.values(), seen.asked.values(), seen.answered, kills, seen.ended, seen.welcomed
    )
    silent = sorted((one.agent, one.seconds) for one in found if not one.answered)
    return Verdict(
        agents=len(seen.began),
        requests=len(seen.asked),
        counts=_counts(seen),
        fault_counts=dict(by_kind),
        faults=listed,
        recovery=[one.seconds for one in found],
        silent=dict(silent),  # the longest, which comes last
        model_back=came_back(seen.asked, seen.answered, model_kills, model),
        blocked_us=_worst(seen.ended),
        late_ticks=sum(end.late for end in seen.ended) / ticks if ticks else 0.0,
        ticks=ticks,
    )


def _outcome_faults(seen: Seen, outcomes: Iterable[Noted]) -> Iterable[Fault]:
    """Every request has exactly one outcome, which says what the agent did."""
    rows: dict[str, list[Noted]] = defaultdict(list)
    for row in outcomes:
        rows[row.id].append(row)
    followed = {entry.id for entry in seen.applied}
    for id in seen.asked:
        if id not in rows:
            said = "was acknowledged" if id in seen.acknowledged else "was never acknowledged"
            yield Fault("lost", id, f"its outcome is not in the journal, and {said}")
    for id, found in rows.items():
        if id not in seen.asked:
            yield Fault("unasked", id, "the journal has an outcome of what nobody asked")
            continue
        if len(found) > 1:
            yield Fault("duplicated", id, f"the journal has {len(found)} outcomes of it")
        if any(row.applied != (id in followed) for row in found):
            did = "followed it" if id in followed else "did not follow it"
            yield Fault("contradicted", id, f"the agent {did}, its outcome says otherwise")
    for id in seen.asked_twice:
        yield Fault("duplicated", id, "two requests have this id")


def _decision_faults(seen: Seen, decisions: Iterable[Decision]) -> Iterable[Fault]:
    """What was followed is written down once, as it was followed; what was told to be written down
    is, as it was told."""
    rows: dict[str, list[Decision]] = defaultdict(list)
    for row in decisions:
        rows[row.id].append(row)
    for id, found in rows.items():
        if len(found) > 1:
            yield Fault("duplicated", id, f"the journal has {len(found)} decisions of it")
        if id not in seen.asked:
            yield Fault("unasked", id, "the journal has a decision that nobody asked for")
    for entry in seen.applied:
        found = [row for row in rows.get(entry.id, ()) if row.status in DECISIONS]
        if not found:
            yield Fault("unwritten", entry.id, "it was followed and is not in the journal")
    followed = {entry.id for entry in seen.applied}
    for id, replies in seen.answered.items():
        found = rows.get(id, [])
        if found or id not in followed:  # else it was just said
            yield from _told_faults(id, replies, found)


def _told_faults(id: str, replies: Sequence[Answered], rows: Sequence[Decision]) -> Iterable[Fault]:
    """The replies to one request against each other, and against its rows."""
    answers = {reply.answer for reply in replies if reply.answer}
    told = {reply.status for reply in replies if reply.recorded}
    written = {row.answer for row in rows if row.answer}
    statuses = {row.status for row in rows}
    if len(answers) > 1:
        yield Fault("changed", id, f"it was answered in {len(answers)} different ways")
    elif len(told) > 1:
        yield Fault("changed", id, f"it was told to have ended as {' and '.join(sorted(told))}")
    elif told and not rows:
        yield Fault("unwritten", id, "its reply said that the journal has it, which has not")
    elif told and told != statuses:
        said, kept = *told, " and ".join(sorted(statuses))
        yield Fault("changed", id, f"the agent was told {said}, the journal has {kept}")
    elif answers and (written or told) and answers != written:
        yield Fault("changed", id, "the journal has another answer than the agent got")


def _stale_faults(seen: Seen) -> Iterable[Fault]:
    """Nothing is followed twice, after its deadline, or after something newer."""
    times = Counter(entry.id for entry in seen.applied)
    for id, count in times.items():
        if count > 1:
            yield Fault("duplicated", id, f"it was followed {count} times")
    newest: dict[str, tuple[int, int]] = {}
    for entry in seen.applied:
        request = seen.asked.get(entry.id)
        if request is None:
            yield Fault("unknown", entry.id, "the agent followed what it never asked for")
            continue
        if entry.at_ns > request.deadline_ns:
            late = (entry.at_ns - request.deadline_ns) / 1e6
            yield Fault("stale", entry.id, f"it was followed {late:.1f} ms after its deadline")
        agent, epoch, sequence = split(entry.id)
        if (epoch, sequence) < newest.get(agent, (-1, -1)):
            yield Fault("stale", entry.id, "it was followed after a newer one of its agent")
        newest[agent] = max(newest.get(agent, (-1, -1)), (epoch, sequence))


def usurped(at_ns: int, agent: str, entries: Iterable[Entry], kills: Sequence[int]) -> bool:
    """Whether a name that was given to somebody else at `at_ns` was its agent's then.

    It was if the agent had been answered shortly before, and since then had neither begun, ended
    nor cut its connection, and the broker had not been killed.
    """
    gaps, replies = [-1, *(kill for kill in kills if kill <= at_ns)], []
    for entry in entries:
        if entry.at_ns > at_ns:
            continue
        if isinstance(entry, Began | Ended | Cut) and entry.agent == agent:
            gaps.append(entry.at_ns)
        elif isinstance(entry, Answered) and split(entry.id)[0] == agent:
            replies.append(entry.at_ns)
    return any(reply > max(gaps) and at_ns - reply <= GAP_NS for reply in replies)


class Recovery(NamedTuple):
    """How long an agent went without after a kill: until a decision came, or until its end."""

    agent: str
    seconds: float
    answered: bool


def recoveries(
    began: Iterable[Began],
    asked: Iterable[Asked],
    answered: Mapping[str, Sequence[Answered]],
    kills: Sequence[int],
    ended: Iterable[Ended] = (),
    welcomed: Iterable[Welcomed] = (),
) -> list[Recovery]:
    """Seconds without an answer after each kill, for each agent, until its next decision.

    A decision is of who came after the kill if its request was asked since, or a Welcome of another
    session came before it. One that was on its way already is an answer, after which the next is
    due as after any other, and nobody's return.

    They count from the kill where a request was under way, else from when the agent's next one was
    due: one period after its last one, however long it then could not ask. A client that was made
    anew meanwhile counts from its start, and agents that look away on purpose do not count. Where
    no decision came they count until the agent stopped asking.
    """
    starts: dict[str, list[Began]] = defaultdict(list)
    for begin in began:
        starts[begin.agent].append(begin)
    spans: dict[str, list[_Span]] = defaultdict(list)
    last: dict[str, int] = defaultdict(int)  # when it surely still asked
    for request in asked:
        agent = split(request.id)[0]
        replies = [r.at_ns for r in answered.get(request.id, ()) if r.status in DECISIONS]
        spans[agent].append(_Span(request.at_ns, request.deadline_ns, replies))
        last[agent] = max(last[agent], request.at_ns)
    for end in ended:
        last[end.agent] = max(last[end.agent], end.asked_until_ns or end.at_ns)
    sessions: dict[str, list[Welcomed]] = defaultdict(list)
    for welcome in welcomed:
        sessions[welcome.agent].append(welcome)
    found = []
    for kill in kills:
        for agent, clients in starts.items():
            if any(client.slow for client in clients):
                continue
            anew_ns = _welcomed_anew(kill, sessions[agent])
            before = [one.until(kill, anew_ns) for one in spans[agent] if one.asked_ns <= kill]
            back = [at for one in spans[agent] for at in one.back(kill, anew_ns)]
            after = min(back, default=None)
            if after is None:
                left = last[agent] - _due(kill, before, clients)
                if left > 0:  # else it had ended before anything was due
                    found.append(Recovery(agent, left / 1e9, answered=False))
            elif before:
                anew = [c.at_ns for c in clients if kill < c.at_ns <= after]
                due = max([_due(kill, before, clients), *anew])
                found.append(Recovery(agent, max(after - due, 0) / 1e9, answered=True))
    return found


class _Span(NamedTuple):
    """One request: when it was asked, its deadline, and its decisions."""

    asked_ns: int
    deadline_ns: int
    decided_ns: list[int]

    def back(self, kill: int, anew_ns: float) -> list[int]:
        """Its decisions by who came after a kill. anew_ns: when the agent was welcomed since."""
        if self.asked_ns > kill:
            return self.decided_ns
        return [at for at in self.decided_ns if at > kill and at >= anew_ns]

    def until(self, kill: int, anew_ns: float) -> tuple[int, int]:
        """When it was asked, and until when it was under way: what was on its way at the kill was
        not."""
        ends = [min(at, kill) if at < anew_ns else at for at in self.decided_ns]
        return self.asked_ns, min([*ends, self.deadline_ns])


def _welcomed_anew(kill: int, welcomed: Sequence[Welcomed]) -> float:
    """When an agent was first welcomed by another start of the broker than those before a kill."""
    known = {one.session for one in welcomed if one.at_ns <= kill}
    since = [one.at_ns for one in welcomed if one.at_ns > kill and one.session not in known]
    return min(since, default=math.inf)


def _due(kill: int, before: Sequence[tuple[int, int]], clients: Sequence[Began]) -> int:
    """When an agent began to go without. before: what it had asked until then."""
    if not before:
        return max(kill, min(client.at_ns for client in clients))
    last_asked, last_ended = max(before)
    every = max(client.every_ns for client in clients)
    return kill if last_ended > kill else max(kill, last_asked + every)


def came_back(
    asked: Mapping[str, Asked],
    answered: Mapping[str, Sequence[Answered]],
    kills: Sequence[int],
    model: str,
) -> float | None:
    """Seconds from the last kill to the first answer of the backend `model` to what was asked since
    then: what was asked before may have been answered before, too. None without one."""
    if not kills:
        return None
    kill = max(kills)
    since = [
        reply.at_ns
        for id, request in asked.items()
        if request.at_ns > kill
        for reply in answered.get(id, ())
        if reply.status == "ok" and reply.backend == model
    ]
    return (min(since) - kill) / 1e9 if since else None


def all_back(
    entries: Iterable[Entry],
    agents: Iterable[str],
    kills: Sequence[int],
    model_kills: Sequence[int],
    model: str,
) -> bool:
    """Whether each of the agents had a decision of what it asked since the last kill, and the model
    gave one."""
    seen, kill = Seen(entries), max(kills, default=0)
    back = {
        split(id)[0]
        for id, replies in seen.answered.items()
        if id in seen.asked
        and seen.asked[id].at_ns >= kill
        and any(reply.status in DECISIONS for reply in replies)
    }
    answers = came_back(seen.asked, seen.answered, model_kills, model) is not None
    return back.issuperset(agents) and (answers or not model_kills)


def _counts(seen: Seen) -> dict[str, int]:
    statuses: Counter[str] = Counter()
    for id in seen.asked:
        replies = seen.answered.get(id)
        statuses[replies[0].status if replies else "unanswered"] += 1
    repeated = sum(len(replies) - 1 for replies in seen.answered.values())
    return {
        **dict(sorted(statuses.items())),
        "applied": len(seen.applied),
        "repeated_replies": repeated,
        "acknowledged": len(seen.acknowledged),
        "cut": seen.cuts,
        "remade": len(seen.began) - len({agent for agent, _ in seen.began}),
    }


def _worst(ended: Sequence[Ended]) -> tuple[float, float, float]:
    if not ended:
        return 0.0, 0.0, 0.0
    columns = zip(*(end.blocked_ns for end in ended), strict=True)
    median, high, most = (max(column) / 1e3 for column in columns)
    return median, high, most

"""Proof of the loop's timing: what N ticks took, against a thread that did nothing but wake.

Knows the times of ticks and what a missed deadline is; does not know how a loop is set up.

A tick's deadline is the next tick's planned start: it is missed when the action leaves later, or
never since a newer one overtook it. Actions leave when the socket or the memory of the game has
taken them. A tick that was skipped altogether is missed too. Misses are excused where the reference
thread (same processor, same priority) was itself more than a millisecond late after the same tick:
that was the machine. Unless the loop's own thread computed for half a period or more: until it
sleeps, a reference of its priority cannot wake, and what makes that late is the loop. Unless the
loop handed the action over in time: who sends it is another thread, of which the reference knows
nothing. And unless the two threads were not granted the same: then it knows nothing of the loop.
Figures are exact, of every tick, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from metabonk.play.ledger import Gate
from metabonk.play.loop import Live, PythonDecider

Array = npt.NDArray[Any]

EXCUSE_SECONDS = 1e-3
P99_ARENA = 2e-3  # capture to action of one agent; frames over the ring, none decoded
P99_FURTHER = 0.25e-3  # for each further agent: they decide one after the other
BUSY_SHARE = 0.5  # of a period: the reference wakes in the middle of it
DECIDED_SHARE = 0.99  # of the ticks, of every agent: a loop that only holds keeps time, too
WARM_UP = 60  # ticks at the beginning, while the loop finds the game's phase; not counted
BINS = (  # upper ends of the bins that people see, seconds
    1e-6, 2e-6, 5e-6, 10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3,
    1 / 60, 50e-3, 100e-3,
)  # fmt: skip


UNLIKE = (  # why nothing is excused
    "the reference thread was not held on the loop's processor with its priority, and excuses "
    "nothing: give --cpu a processor that this program may use"
)

# Which of the numbers that games count (live_games.py) are drops, and what each is of.
GAME_DROPS = {
    "skipped": "ticks that the game skipped",
    "unshown": "captures whose frame the ring had no room for",
    "states_skipped": "states that a newer one overtook on the link",
    "frames_skipped": "frames that a newer one overtook on the link",
    "frames_refused": "frames that were malformed or too large",
    "rows_cut": "rows of states that have no room here: offers beyond 8, enemies beyond 256",
    "frames_overtaken": "frames that a newer one overtook before they were decoded",
    "frames_unusable": "frames that could not be read",
    "rings_refused": "frame rings that cannot be seen from here",
    "actions_skipped": "actions that another took the place of",
    "actions_unsent": "actions that no game was there for",
    "inputs_lost": "parts of actions that the link cannot say",
    "lost": "resets that the game overwrote",
}


class Spread(msgspec.Struct, frozen=True):
    """A distribution in seconds: quantiles, the largest, and how many fell into each bin of BINS
    (the last one: beyond)."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0
    bins: tuple[int, ...] = ()


class Agent(msgspec.Struct, frozen=True):
    """One agent's ticks. latency: from the capture until the action left, of ticks that answered a
    new moment. work: from this agent's turn until its action was handed over. missed: deadlines,
    among them `skipped` ticks; sent_late: those that the loop kept with a millisecond left, and the
    thread that sends did not; busy: those of the others in which the loop itself computed for
    BUSY_SHARE of a period; excused: those of the rest in which the reference thread was late too.
    lost: captures that no tick saw."""

    ticks: int
    missed: int
    skipped: int
    sent_late: int
    busy: int
    excused: int
    decided: int
    held: int
    safe: int
    lost: int
    faults: int
    latency: Spread
    work: Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof found. ticks: planned, of each agent, after the warm-up. lateness: of the wakes.
    reference: of the reference thread's wakes; reference_missed: those later than a period.
    max_p99: what no agent's latency may exceed in 99 of 100 ticks, seconds; 0: no bound. drops:
    everything that was dropped anywhere, by name. granted: to the loop's thread; alike: whether the
    reference thread was granted the same processor and priority, without which it excuses nothing.
    failures: why it did not pass, for people; passed: there are none."""

    hz: float
    ticks: int
    agents: list[Agent]
    lateness: Spread
    reference: Spread
    reference_missed: int
    latency: Spread
    max_p99: float
    missed: int
    excused: int
    drops: dict[str, int]
    loads: dict[str, int]
    granted: dict[str, Any]
    reference_granted: dict[str, Any]
    alike: bool
    failures: tuple[str, ...]
    passed: bool


def default_p99(game: str, agents: int, hz: float) -> float:
    """What capture to action may take in 99 of 100 ticks where nobody says otherwise, seconds. Of
    the arena 2 ms and 0.25 ms for each further agent; of games in other processes, whose captures
    come over links and may be JPEG, a period: an answer leaves before the next capture does."""
    return P99_ARENA + P99_FURTHER * (agents - 1) if game == "arena" else 1.0 / hz


def examine(live: Live, loads: Mapping[str, int], max_p99: float = 0.0) -> Report:
    """The report of a stopped loop that had a reference thread and remembered all its ticks, and
    whose game is stopped, so that it is known when the last action left. max_p99: bound of every
    agent's latency, seconds; 0: none."""
    whole = [live.times(i) for i in range(len(live.seats))]
    times = [_warm(rows) for rows in whole]
    planned = int(live.loop.ticks) - WARM_UP
    if planned < 1 or any(len(rows) == 0 for rows in times):
        raise ValueError(f"a proof takes more than {WARM_UP} ticks: the rest finds the phase")
    reference = live.loop.reference(WARM_UP, planned)
    late = np.asarray(reference["late"], np.int64)
    busy = _computed(whole[0], planned) >= BUSY_SHARE * 1e9 / live.settings.hz
    granted, beside = dict(live.loop.granted()), dict(reference["granted"])
    alike = granted["cpu"] >= 0 and all(granted[k] == beside[k] for k in ("cpu", "priority"))
    excusing = (late > EXCUSE_SECONDS * 1e9) & ~busy & alike
    agents = [
        _agent(rows, excusing, busy, counts)
        for rows, counts in zip(times, _counts(live), strict=True)
    ]
    reference_missed = int((late > 1e9 / live.settings.hz).sum())
    wakes = times[0]
    failures = [*_late(agents, alike, reference_missed if loads else None), *_slow(agents, max_p99)]
    failures += _undecided(agents)
    return Report(
        hz=live.settings.hz,
        ticks=planned,
        agents=agents,
        lateness=spread(wakes["woke"] - wakes["planned"]),
        reference=spread(late[late >= 0]),
        reference_missed=reference_missed,
        latency=spread(np.concatenate([_latency(rows) for rows in times])),
        max_p99=max_p99,
        missed=sum(agent.missed for agent in agents),
        excused=sum(agent.excused for agent in agents),
        drops=drops(live),
        loads=dict(loads),
        granted=granted,
        reference_granted=beside,
        alike=alike,
        failures=tuple(failures),
        passed=not failures,
    )


def spread(nanoseconds: Array) -> Spread:
    """The distribution of times in nanoseconds [N]."""
    if len(nanoseconds) == 0:
        return Spread(bins=(0,) * (len(BINS) + 1))
    seconds = np.sort(nanoseconds.astype(np.float64)) * 1e-9
    ends = np.searchsorted(seconds, BINS, side="right")
    counts = np.diff(np.concatenate([[0], ends, [len(seconds)]]))
    p50, p99, p999 = np.quantile(seconds, (0.5, 0.99, 0.999), method="higher")
    return Spread(
        len(seconds),
        float(p50),
        float(p99),
        float(p999),
        float(seconds[-1]),
        tuple(int(count) for count in counts),
    )


def drops(live: Live) -> dict[str, int]:
    """Everything that was dropped on the way, by name."""
    counts = live.counts()
    found = {
        "captures that no tick saw": sum(a["lost"] for a in counts["agents"]),
        "ticks that the ledger lost": sum(a["untold"] for a in counts["agents"]),
        "actions that the game refused": sum(a["refused"] for a in counts["agents"]),
    }
    game = counts["game"]
    found |= {told: int(game[name]) for name, told in GAME_DROPS.items() if name in game}
    unseen = [d.native.unseen for d in live.deciders if isinstance(d, PythonDecider)]
    if unseen:
        found["moments that a policy in Python was too slow for"] = sum(unseen)
    journals = {"ledger": counts.get("ledger"), "recording": counts.get("recording")}
    for name, journal in {**journals, "inputs": counts["game"].get("inputs")}.items():
        if journal is not None:
            found[f"records of the {name} that the disk lost"] = int(journal["dropped"])
    return found


def _counts(live: Live) -> list[dict[str, int]]:
    return [dict(seat.counts()) for seat in live.seats]


def _computed(times: Array, ticks: int) -> Array:
    """What the loop's thread computed around each tick [ticks] after the warm-up, nanoseconds: in
    its turn or in the one before, which may have run into it; a skipped one had that alone."""
    wanted = WARM_UP + np.arange(ticks)
    turn = np.searchsorted(times["tick"].astype(np.int64), wanted, side="right") - 1
    cpu = np.concatenate([[0, 0], times["cpu"]])  # before the first turn: nothing
    around: Array = np.maximum(cpu[turn + 2], cpu[turn + 1])
    return around


def _late(agents: Sequence[Agent], alike: bool, allowed: int | None) -> list[str]:
    """What missed deadlines keep a proof from passing. allowed: misses of each agent, of a proof
    under load; of threads that were not alike there are none."""
    missed = sum(agent.missed for agent in agents)
    unexcused, busy = missed - sum(a.excused for a in agents), sum(a.busy for a in agents)
    sent_late = sum(a.sent_late for a in agents)
    found = []
    if unexcused:
        told = [f"{unexcused:,} deadlines were missed without excuse"]
        if busy:
            told.append(
                f"{busy:,} of them while the loop itself computed for half a period or more"
            )
        if sent_late:
            told.append(
                f"{sent_late:,} of them by the thread that sends to the game, which had a "
                "millisecond left or more"
            )
        if not alike:
            told.append(f"for {UNLIKE}")
        found.append(", ".join(told))
    allowed = allowed if allowed is None or alike else 0
    if allowed is not None and missed > allowed * len(agents):
        found.append(
            f"{missed:,} deadlines were missed under load; the reference thread, in the place of "
            f"every agent, missed {allowed * len(agents):,}"
        )
    return found


def _slow(agents: Sequence[Agent], max_p99: float) -> list[str]:
    """What latencies keep a proof from passing."""
    slowest = max(range(len(agents)), key=lambda i: agents[i].latency.p99)
    p99 = agents[slowest].latency.p99
    if not 0.0 < max_p99 < p99:
        return []
    return [
        f"agent {slowest} took {1e3 * p99:.3f} ms from capture to action (p99), at most "
        f"{1e3 * max_p99:g} may be: --max-p99 sets the bound, 0 lifts it"
    ]


def _undecided(agents: Sequence[Agent]) -> list[str]:
    """What keeps a proof from passing that kept time without deciding."""
    found = []
    least = min(range(len(agents)), key=lambda i: agents[i].decided / agents[i].ticks)
    worst = agents[least]
    if worst.decided < DECIDED_SHARE * worst.ticks:
        found.append(
            f"agent {least} decided in {worst.decided:,} of {worst.ticks:,} ticks, it takes "
            f"{DECIDED_SHARE:.0%}: {worst.held:,} were held and {worst.safe:,} safe, for the game "
            "showed nothing new or the policy had no answer"
        )
    faults = sum(agent.faults for agent in agents)
    if faults:
        found.append(f"the policy refused {faults:,} moments: is it one of this game?")
    return found


def _agent(rows: Array, excusing: Array, busy: Array, counts: Mapping[str, int]) -> Agent:
    """excusing: whether a miss of the loop's in each tick would be the machine's."""
    place = rows["tick"].astype(np.int64) - WARM_UP
    handed_late = np.ones(len(busy), np.bool_)  # a tick that is not there was skipped
    sent_late = np.zeros(len(busy), np.bool_)
    missed = (rows["acted"] > rows["next"]) | (rows["sent"] > rows["next"]) | (rows["sent"] <= 0)
    in_time = rows["acted"] + EXCUSE_SECONDS * 1e9 <= rows["next"]
    sent_late[place], handed_late[place] = missed & in_time, missed & ~in_time
    decided = _decided(rows)
    return Agent(
        ticks=len(busy),
        missed=int((handed_late | sent_late).sum()),
        skipped=len(busy) - len(rows),
        sent_late=int(sent_late.sum()),
        busy=int((handed_late & busy).sum()),
        excused=int((handed_late & excusing).sum()),
        decided=len(decided),
        held=int(((rows["gate"] & Gate.HELD) != 0).sum()),
        safe=int(((rows["gate"] & Gate.SAFE) != 0).sum()),
        lost=int(counts["lost"]),
        faults=int(((rows["gate"] & Gate.FAULT) != 0).sum()),
        latency=spread(_latency(rows)),
        work=spread(rows["acted"] - rows["began"]),
    )


def _latency(rows: Array) -> Array:
    """From capture until the action left, of the decided ticks whose action did."""
    left = _decided(rows)
    left = left[left["sent"] > 0]
    taken: Array = left["sent"] - left["capture"]
    return taken


def _warm(times: Array) -> Array:
    rows: Array = times[times["tick"] >= WARM_UP]
    return rows


def _decided(rows: Array) -> Array:
    chosen: Array = rows[(rows["gate"] & Gate.DECIDED) != 0]
    return chosen

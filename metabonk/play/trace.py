"""Traces: the slowest ticks as a timeline that ui.perfetto.dev and chrome://tracing open.

Knows the Trace Event format (JSON, complete events `X`, instants `i`, counters `C`, metadata `M`;
times in microseconds) and the times of ticks; does not know how they were measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from metabonk.play.ledger import Gate

Array = npt.NDArray[Any]

SLOWEST = 64
NEIGHBOURS = 2  # ticks before and after each, so that a stall's beginning and end can be seen
_PROCESS, _LOOP, _REFERENCE, _GAME = 1, 1, 200, 300
_PARTS = (  # of a tick: name, from, to
    ("late", "planned", "woke"),
    ("other agents", "woke", "began"),
    ("find the moment", "began", "found"),
    ("observe", "found", "seen"),
    ("decide", "seen", "decided"),
    ("act", "decided", "acted"),
    ("send", "acted", "sent"),
)


def slowest(times: Array, count: int = SLOWEST) -> Array:
    """Rows (of TIMES [T]) of the ticks whose action never left or left latest after their planned
    start, with their neighbours, in order."""
    never = np.iinfo(np.int64).max
    after = np.where(times["sent"] > 0, left(times) - times["planned"], never)
    worst = np.argsort(after, kind="stable")[::-1][:count]
    around = worst[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)[None]
    rows = np.unique(np.clip(around, 0, len(times) - 1))
    chosen: Array = times[rows]
    return chosen


def left(times: Array) -> Array:
    """When the actions of TIMES [T] left; of those that never did, when they were handed over."""
    when: Array = np.maximum(times["acted"], times["sent"])
    return when


def perfetto(times: Sequence[Array], late: Array, first: int) -> bytes:
    """The trace of agents' slowest ticks. times: TIMES [T] per agent. late: of the reference
    thread after each tick from `first` on, nanoseconds, -1 where it is not known."""
    events: list[dict[str, Any]] = list(_names(len(times)))
    for agent, rows in enumerate(times):
        events.extend(_agent(agent, slowest(rows)))
    if len(times) > 0:
        events.extend(_reference(slowest(times[0]), late, first))
    trace = {"displayTimeUnit": "ns", "traceEvents": events}
    return msgspec.json.encode(trace)


def _names(agents: int) -> Iterator[dict[str, Any]]:
    threads = [(_LOOP + i, f"loop, agent {i}") for i in range(agents)]
    threads += [(_REFERENCE, "reference thread"), (_GAME, "game: captures")]
    yield _event("process_name", "M", 0, args={"name": "metabonk play"})
    for thread, name in threads:
        yield _event("thread_name", "M", thread, args={"name": name})


def _agent(agent: int, rows: Array) -> Iterator[dict[str, Any]]:
    for row in rows:
        planned, acted = int(row["planned"]), int(left(row))
        gates = [gate.name for gate in Gate if int(row["gate"]) & gate]
        args = {
            "tick": int(row["tick"]),
            "sequence": int(row["sequence"]),
            "gates": gates,
            "after planned start, us": (acted - planned) / 1e3,
        }
        if int(row["capture"]) and int(row["sent"]) > 0:
            args["capture to action, us"] = (acted - int(row["capture"])) / 1e3
        never = int(row["sent"]) <= 0
        if never:
            args["sent"] = "never"
        missed = never or acted > int(row["next"])
        name = "missed tick" if missed else "tick"
        yield _event(name, "X", _LOOP + agent, planned, acted - planned, args)
        for part, begin, end in _PARTS:
            length = int(row[end]) - int(row[begin])
            if length > 0:
                yield _event(part, "X", _LOOP + agent, int(row[begin]), length)
        if int(row["capture"]) and agent == 0:
            ready = max(int(row["ready"]) - int(row["capture"]), 0)
            yield _event("capture", "X", _GAME, int(row["capture"]), ready)


def _reference(rows: Array, late: Array, first: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        place = int(row["tick"]) - first
        if 0 <= place < len(late) and late[place] >= 0:
            half = (int(row["next"]) - int(row["planned"])) // 2
            yield _event("wake late", "X", _REFERENCE, int(row["planned"]) + half, int(late[place]))


def _event(
    name: str,
    phase: str,
    thread: int,
    start: int = 0,
    length: int = 0,
    args: dict[str, Any] | None = None,
) -> dict[str, Any]:
    event: dict[str, Any] = {"name": name, "ph": phase, "pid": _PROCESS, "tid": thread}
    if phase != "M":
        event |= {"cat": "tick", "ts": start / 1e3}
    if phase == "X":
        event["dur"] = length / 1e3
    return event if args is None else event | {"args": args}

"""Latency by stage in suite `cognition`: from a frame to its directive, beside a budget of 387 ms.

Real clients ask a real broker about a stretch of the arena that goes by at 60 frames a second; a
model answers that takes a set time, which is taken out of what is compared: what remains is ours.
Both ways of showing pictures are measured: JPEGs over the wire, and shared memory, where the client
copies and the server codes. `age` is how old the frame was when it went, beyond its coding: a
question waits for the game's next frame. send is told from receive by the journal, which keeps when
every decision was made; both include reading and writing the message.

A model server answers whole: what of its time is vision, reasoning or decoding cannot be seen from
outside. Only of one that answers one question at a time can it be told by the difference of
requests, and the table says so of the others.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from metabonk.errors import LinkError

from .case import Case, Evidence
from .cognition_direct import MODEL_SECONDS
from .cognition_playing import Playing, Scene
from .meter import Reading
from .versus import AbsentError, Contender

COUNTS = (1, 2, 4, 8, 12, 16)
BUDGET = {
    "capture": 5.0, "encode": 10.0, "send": 1.0, "vision": 100.0, "reasoning": 250.0,
    "decode": 20.0, "receive": 1.0,
}  # fmt: skip
MODEL = ("vision", "reasoning", "decode")
BUDGET_MS = sum(BUDGET.values())
MODEL_BUDGET_MS = sum(BUDGET[name] for name in MODEL)
COLUMNS = ("capture", "age", "encode", "send", "server", "receive")
FRAME_RATE = 60.0
ROUND_SECONDS = 5.0
ROUNDS = 2
STRIPS_PER_SECOND = 16.0  # of all agents at most
LEAST_EVERY = 0.25  # seconds between an agent's requests
LATE_SECONDS = 5.0  # for the journal's last rows
CLOCKS_APART_NS = 100_000  # by which the two clocks may move against each other in a round

Form = Literal["shared memory", "JPEGs"]
FORMS: tuple[Form, ...] = ("shared memory", "JPEGs")


@dataclass(frozen=True)
class Stages:
    """Medians of a round in milliseconds: of each stage by name, of the model's answer, and of all
    without the model. parts: of the model's time where they can be told. fallbacks: answers of the
    rules in the model's place, of this round and those before it; they are in no figure."""

    who: str
    figures: dict[str, float]
    model: float
    ours: float
    parts: dict[str, float] = field(default_factory=dict)
    fallbacks: int = 0

    @property
    def whole(self) -> float:
        """With a model that takes what the budget has for it."""
        return self.ours + MODEL_BUDGET_MS


_SEEN: dict[str, Stages] = {}  # of this process, by who was measured


def cases() -> list[Case]:
    return [*(_stages(count, form) for form in FORMS for count in COUNTS), _table()]


def _stages(count: int, form: Form) -> Case:
    allowed = BUDGET_MS - MODEL_BUDGET_MS
    return Case(
        "cognition",
        f"from a frame to its directive without the model's time, {count} agents, {form}, p50",
        "ms",
        Contender("metabonk", functools.partial(Staged, count, form)),
        (Contender(f"{allowed:g} ms of {BUDGET_MS:g}", lambda: Reading(lambda: allowed)),),
        better="lower",
        rounds=ROUNDS,
        evidence=lambda ours, peer: shown([_SEEN[who(count, form)]]),
    )


def _table() -> Case:
    return Case(
        "cognition",
        "latency by stage, the slowest of 1 to 16 agents, with the budget's model",
        "ms",
        Contender("metabonk", All),
        (Contender(f"{BUDGET_MS:g} ms", lambda: Reading(lambda: BUDGET_MS)),),
        better="lower",
        rounds=1,
        evidence=lambda ours, peer: shown(ours.rows),  # type: ignore[attr-defined]
    )


def shown(rows: Sequence[Stages]) -> Evidence:
    """The rows as a table; they are no measurement where the rules answered for the model, whose
    time is what is taken out."""
    return Evidence(not any(row.fallbacks for row in rows), "\n" + table(rows))


def who(count: int, form: Form, *, real: bool = False) -> str:
    """A row's name."""
    return f"{count}, {form}{', a real model' if real else ''}"


class Staged(Playing):
    """Milliseconds from a frame until its directive is in force, less the model's: a round's
    median. real: a real model server answers, and not the stand-in."""

    def __init__(self, count: int, form: Form, *, real: bool = False) -> None:
        self._who = who(count, form, real=real)
        self._parts: dict[str, float] = {}
        words: Sequence[str] = ()
        if real:
            from .cognition_model import real as served
            from .cognition_model import server_stages

            server = served()
            self._parts = asyncio.run(server_stages(server))
            words = ["--backend", "openai", "--url", server.url, "--model", server.model]
        super().__init__(
            count, latency=None if real else MODEL_SECONDS, words=words,
            every=max(LEAST_EVERY, count / STRIPS_PER_SECOND), handles=form == "shared memory",
            rate=FRAME_RATE,
        )  # fmt: skip
        self._capture = 0.0
        self._fallbacks = 0

    def prepare(self) -> None:
        self._capture = capture_milliseconds(self.scene)
        time.sleep(ROUND_SECONDS / 2)

    def measure(self) -> float:
        before = [_seen(client) for client in self.clients]
        began = time.time()
        apart = _clocks_apart()
        time.sleep(ROUND_SECONDS)
        found = []
        for client, (newest, encode_s, requests) in zip(self.clients, before, strict=True):
            _, encoded, asked = _seen(client)
            encode = (encoded - encode_s) * 1e3 / max(asked - requests, 1)
            since = [d for d in list(client.decisions) if d.id.sequence > newest]
            self._fallbacks += sum(d.status == "fallback" for d in since)
            found += [(decision, encode) for decision in since if of_model(decision)]
        if not found:
            raise LinkError("no directive of the model came of any client")
        arrived = self._arrivals(began, apart, {key_of(d.id) for d, _ in found})
        if abs(_clocks_apart() - apart) > CLOCKS_APART_NS:
            raise LinkError("the clock was set during a round: measure it again")
        stages = [stages_of(d, encode, self._capture, arrived[key_of(d.id)]) for d, encode in found]
        made = summary(self._who, stages, self._parts)
        _SEEN[self._who] = made = replace(made, fallbacks=self._fallbacks)
        return made.ours

    def _arrivals(self, since: float, apart: int, ids: set[tuple[str, int, int]]) -> dict[Any, int]:
        """When requests arrived at the broker, monotonic nanoseconds, by its journal. apart: the
        wall clock less the monotonic one."""
        from metabonk.cognition.log.journal_file import open_readonly

        found: dict[Any, int] = {}
        end = time.monotonic() + LATE_SECONDS
        while not ids <= found.keys():
            if time.monotonic() > end:
                raise LinkError(f"the journal has {len(ids & found.keys())} of {len(ids)} rows")
            journal = open_readonly(self.swarm.journal)
            try:
                rows = journal.execute(
                    "SELECT agent, epoch, sequence, at, server_ms FROM decisions WHERE at >= ?",
                    (since - LATE_SECONDS,),
                ).fetchall()
            finally:
                journal.close()
            found = {
                (agent, epoch, sequence): round((at - server_ms / 1e3) * 1e9) - apart
                for agent, epoch, sequence, at, server_ms in rows
            }
        return found


def _seen(client: Any) -> tuple[int, float, int]:
    """The newest decision's number, seconds of coding, requests."""
    newest = max((d.id.sequence for d in list(client.decisions)), default=0)
    counts = client.counts()
    return newest, counts["encode_s"], counts["requests"]


def of_model(decision: Any) -> bool:
    """Whether a client's decision is a directive that the model gave, and its time is known."""
    return decision.status == "ok" and decision.directive is not None and "wait" in decision.stages


def key_of(id: Any) -> tuple[str, int, int]:
    return id.agent, id.epoch, id.sequence


def _clocks_apart() -> int:
    """The wall clock less the monotonic one, nanoseconds; of several looks the quickest."""
    looks = []
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        looks.append((after - before, wall - (before + after) // 2))
    return min(looks)[1]


def capture_milliseconds(scene: Scene) -> float:
    """What taking a frame up costs: the median of many."""
    from metabonk.cognition.strips.strip import StripRing

    ring, found = StripRing(), []
    for number in range(120):
        pixels = scene.look().pixels
        before = time.perf_counter_ns()
        ring.add(pixels, number * 16_666_667 + 1)
        found.append((time.perf_counter_ns() - before) / 1e6)
    return float(np.median(found))


def stages_of(decision: Any, encode: float, capture: float, arrived_ns: int) -> dict[str, float]:
    """Where a decision's time went, milliseconds; `all` is from the frame to the directive.

    encode: of the client, per request. capture: of a frame. arrived_ns: when the request came to
    the broker.
    """
    model = float(decision.stages.get("wait", 0.0))
    there = float(decision.stages.get("encode", 0.0))  # coded by the server, of shared pixels
    sent, received = decision.sent_ns, decision.received_ns
    return {
        "capture": capture,
        "age": max((sent - decision.captured_ns) / 1e6 - encode, 0.0),
        "encode": encode + there,
        "send": (arrived_ns - sent) / 1e6,
        "server": max(decision.server_ms - model - there, 0.0),
        "model": model,
        "receive": (received - arrived_ns) / 1e6 - decision.server_ms,
        "all": capture + (received - decision.captured_ns) / 1e6,
    }


def summary(who: str, found: Sequence[dict[str, float]], parts: dict[str, float]) -> Stages:
    """The medians of many decisions."""
    figures = {name: float(np.median([one[name] for one in found])) for name in COLUMNS}
    model = float(np.median([one["model"] for one in found]))
    ours = float(np.median([one["all"] - one["model"] for one in found]))
    return Stages(who, figures, model, ours, parts)


class All:
    """The whole of the slowest row, with the model's share of the budget. Rows that were measured
    in this process are not measured again."""

    def __init__(self) -> None:
        self.rows: list[Stages] = []

    def prepare(self) -> None:
        """Every row prepares itself."""

    def measure(self) -> float:
        self.rows = [_row(count, form) for form in FORMS for count in COUNTS]
        slowest = max(row.whole for row in self.rows)
        try:
            self.rows.append(_row(1, "JPEGs", real=True))
        except AbsentError as error:
            self.rows.append(Stages(f"a real model: {error}", {}, 0.0, 0.0))
        return slowest

    def close(self) -> None:
        """Holds nothing."""


def _row(count: int, form: Form, *, real: bool = False) -> Stages:
    name = who(count, form, real=real)
    if name not in _SEEN:
        meter = Staged(count, form, real=real)
        try:
            meter.prepare()
            meter.measure()
        finally:
            meter.close()
    return _SEEN[name]


WIDTH = 8


def table(rows: Sequence[Stages]) -> str:
    """Rows under the budget, in columns; milliseconds. The last column is what all takes with a
    model that takes what the budget has for it."""
    wide = max(len(name) for name in ("agents, pictures by", *(row.who for row in rows)))
    plan = ", ".join(f"{name} {BUDGET[name]:g}" for name in MODEL)
    heads = [f"{name:>{WIDTH}}" for name in COLUMNS]
    lines = ["".join([f"{'agents, pictures by':{wide}}", *heads, f"{'whole':>{WIDTH}}  model"])]
    asked = [f"{BUDGET[name]:{WIDTH}.1f}" if name in BUDGET else f"{'-':>{WIDTH}}"
             for name in COLUMNS]  # fmt: skip
    lines.append("".join([f"{'budget':{wide}}", *asked, f"{BUDGET_MS:{WIDTH}.1f}  {plan}"]))
    for row in rows:
        if not row.figures:
            lines.append(row.who)
            continue
        cells = [f"{row.figures[name]:{WIDTH}.1f}" for name in COLUMNS]
        whole = f"{row.whole:{WIDTH}.1f}  {told_of_model(row)}"
        lines.append("".join([f"{row.who:{wide}}", *cells, whole]))
    return "\n".join(lines)


def told_of_model(row: Stages) -> str:
    """What is known of the model's own time."""
    left = f"; {row.fallbacks} answers of the rules left out" if row.fallbacks else ""
    if not row.parts:
        return f"{row.model:.1f}, answered whole: its parts cannot be told{left}"
    parts = ", ".join(f"{name} {value:.1f}" for name, value in row.parts.items())
    return f"{row.model:.1f}, scored; of a chat with nine pictures {parts}{left}"

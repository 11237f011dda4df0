"""A soak as a picture: every request at its time, how long it took and how it ended, and the kills.

Knows matplotlib and rows of (time, latency, status); does not know processes or judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metabonk.errors import MissingExtraError

from .ledger import Answered, Asked, Entry

# How a request ended -> its colour. Order is the legend's.
COLOURS = {
    "ok": "#1f6feb", "fallback": "#b7791f", "stale": "#8a94a0", "rejected": "#8250df",
    "error": "#cf222e", "unanswered": "#1c2126",
}  # fmt: skip
_INK, _SOFT, _LINE = "#1c2126", "#69727c", "#dfe3e8"


class Dot(NamedTuple):
    """One request. at: seconds since the first one. ms: from asking to the reply, or to the
    deadline of one that got none."""

    at: float
    ms: float
    status: str


def dots(entries: Iterable[Entry]) -> tuple[int, list[Dot]]:
    """When the first request was asked (CLOCK_MONOTONIC nanoseconds), and all of them."""
    asked: dict[str, Asked] = {}
    replies: dict[str, Answered] = {}
    for entry in entries:
        if isinstance(entry, Asked):
            asked[entry.id] = entry
        elif isinstance(entry, Answered):
            replies.setdefault(entry.id, entry)
    first = min((entry.at_ns for entry in asked.values()), default=0)
    found = []
    for id, request in asked.items():
        reply = replies.get(id)
        end = request.deadline_ns if reply is None else reply.at_ns
        status = "unanswered" if reply is None else reply.status
        found.append(Dot((request.at_ns - first) / 1e9, (end - request.at_ns) / 1e6, status))
    return first, found


def draw(
    path: Path,
    entries: Iterable[Entry],
    broker_kills: Sequence[int],
    model_kills: Sequence[int],
) -> None:
    """Writes the picture. Raises MissingExtraError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "a soak's picture") from error
    first, found = dots(entries)
    figure = Figure(figsize=(10.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    for kills, style, name in (
        (broker_kills, "-", "server killed"), (model_kills, ":", "model server killed"),
    ):  # fmt: skip
        for number, kill in enumerate(kills):
            label = name if number == 0 else None
            axes.axvline((kill - first) / 1e9, color=_SOFT, lw=0.8, ls=style, label=label)
    for status, colour in COLOURS.items():
        here = [dot for dot in found if dot.status == status]
        if here:
            label = f"{status} ({len(here):,})"
            axes.scatter([d.at for d in here], [max(d.ms, 0.1) for d in here], s=5, lw=0,
                         color=colour, label=label)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("seconds", color=_SOFT)
    axes.set_ylabel("from asking to the reply, ms", color=_SOFT)
    axes.tick_params(colors=_SOFT)
    axes.grid(axis="y", color=_LINE, lw=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, labelcolor=_INK)
    figure.savefig(path)

"""Rows of what was measured, as a table and as files; and which kernels have not met a GPU yet.

bench/results/<device>-<date>.json holds one run. bench/pending.json names the cases that no result
holds: a case leaves it when a result says that it was right. Knows plain data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

COLUMNS = (
    *("case", "error", "floor us", "bound", "warm us", "x floor", "cold us"),
    *("best peer", "x", "cold x"),
)


@dataclass
class Row:
    """One case. error: in units of its tolerance, None where it was not run. Seconds: floor, warm,
    cold, and of every peer warm and cold. note: why something is missing."""

    op: str
    case: str
    error: float | None = None
    floor: float | None = None
    bound: str = ""
    bound_measured: bool = False
    warm: float | None = None
    cold: float | None = None
    spread: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    cold_peers: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def right(self) -> bool:
        return self.error is not None and self.error <= 1.0

    @property
    def best_peer(self) -> tuple[str, float] | None:
        return min(self.peers.items(), key=lambda item: item[1]) if self.peers else None

    @property
    def best_cold_peer(self) -> float | None:
        return min(self.cold_peers.values(), default=None)


def table(rows: Iterable[Row]) -> str:
    """Aligned text; times in microseconds, a floor from papers in parentheses; x: how many times as
    long the best peer takes, warm and cold."""
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    lines = []
    for first, *others in cells:
        aligned = [first.ljust(widths[0])]
        aligned += [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    if row.error is None:
        return (row.case, row.note, *("",) * (len(COLUMNS) - 2))
    best = row.best_peer
    floor = _micro(row.floor)
    return (
        row.case,
        f"{row.error:.2g}" + ("" if row.right else " WRONG"),
        floor if row.bound_measured or not floor else f"({floor})",
        row.bound,
        _micro(row.warm),
        _ratio(row.warm, row.floor),
        _micro(row.cold),
        best[0] if best else "",
        _ratio(best[1], row.warm) if best else "",
        _ratio(row.best_cold_peer, row.cold),
    )


def _micro(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:.2f}"


def _ratio(a: float | None, b: float | None) -> str:
    return "" if not a or not b else f"{a / b:.2f}"


def write(
    folder: Path, device: Mapping[str, Any], date: str, floors: Mapping[str, float],
    rows: Sequence[Row], notes: Sequence[str],
) -> Path:  # fmt: skip
    """bench/results/<device>-<date>.json; date: as 2026-01-31."""
    name = re.sub(r"[^a-z0-9]+", "-", str(device["name"]).lower()).strip("-")
    path = folder / f"{name}-{date}.json"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "date": date,
        "device": dict(device),
        "floors": dict(floors),
        "notes": list(notes),
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def met(folder: Path) -> set[str]:
    """Cases that some result in the folder says were right."""
    names = set()
    for path in sorted(folder.glob("*.json")):
        for row in json.loads(path.read_text())["rows"]:
            if row["error"] is not None and row["error"] <= 1.0:
                names.add(row["case"])
    return names


def pending(cases: Iterable[tuple[str, str]], met_already: set[str]) -> dict[str, list[str]]:
    """Cases (op, name) that no result holds, by op: the content of bench/pending.json."""
    found: dict[str, list[str]] = {}
    for op, name in cases:
        if name not in met_already:
            found.setdefault(op, []).append(name)
    return {op: sorted(names) for op, names in sorted(found.items())}


def write_pending(path: Path, content: Mapping[str, Sequence[str]]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")

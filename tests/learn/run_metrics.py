"""What a run wrote down, for tests that compare runs."""

from __future__ import annotations

from pathlib import Path

from metabonk.metrics import Record, read_records

TIMED = ("seconds", "minutes", "steps_per_second")


def numbers(directory: Path) -> list[tuple[int, dict[str, float]]]:
    """Measurements without what depends on the clock."""
    return [
        (r.step, {k: v for k, v in r.values.items() if not k.startswith(TIMED)})
        for r in read_records(directory / "metrics.jsonl")
        if not r.event
    ]


def events(directory: Path, kind: str) -> list[Record]:
    return [r for r in read_records(directory / "metrics.jsonl") if r.event == kind]

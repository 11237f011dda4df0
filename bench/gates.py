"""Gates: goals for ratios. Knows `gates.toml` and what `case.measure` stored; measures nothing.

A verdict follows from the stored ratio and its interval alone, so that whoever measured (the
command line, pytest, a file of last week's) comes to the same one.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from metabonk.errors import ConfigError

FILE = Path(__file__).with_name("gates.toml")


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """goal: the ratio that must be reached; aim: the one that is hoped for, 0 for none."""

    goal: float
    aim: float = 0.0


class Row(msgspec.Struct, frozen=True):
    """One comparison as it is printed and written.

    ours, peer: medians in `unit`, None where nothing was measured. ratio: above 1 for better than
    the peer; low, high: its 95 % interval. goal: None where nothing is demanded. met: None where
    nothing is demanded or nothing could be measured. note: figures that belong to it, or why it
    was skipped. unmeasured: why it was not measured though it could have been: never met.
    """

    suite: str
    name: str
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    ratio: float | None
    goal: float | None
    met: bool | None
    low: float | None = None
    high: float | None = None
    skipped: bool = False
    note: str = ""
    machine: dict[str, Any] = {}
    unmeasured: str = ""


Gates = Mapping[str, Mapping[str, Mapping[str, Gate]]]


@functools.cache
def load(path: Path = FILE) -> Gates:
    """suite -> case -> peer -> gate. Raises ConfigError for a file that is none."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(tables, dict[str, dict[str, dict[str, Gate]]])
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: not a table of gates: {error}") from error


def rows(info: Mapping[str, Any], gates: Gates | None = None) -> list[Row]:
    """The verdicts on one case, one row per peer."""
    table = (load() if gates is None else gates).get(info["suite"], {}).get(info["name"], {})
    return [_row(info, peer, found, table.get(peer)) for peer, found in info["peers"].items()]


def _row(info: Mapping[str, Any], peer: str, found: Mapping[str, Any], gate: Gate | None) -> Row:
    goal = gate.goal if gate else None
    ratio = found.get("ratio")
    skipped = "skipped" in found
    unmeasured = "" if skipped else info.get("unmeasured", "")
    met: bool | None = None
    if goal is not None and ratio is not None and not unmeasured:
        met = math.isfinite(ratio) and ratio >= goal and found.get("holds", True)
    return Row(
        suite=info["suite"],
        name=info["name"],
        ours=info["ours"],
        peer=found.get("value"),
        peer_name=peer,
        unit=info["unit"],
        ratio=ratio,
        goal=goal,
        met=met,
        low=found.get("low"),
        high=found.get("high"),
        skipped=skipped,
        note=f"not measured: {unmeasured}" if unmeasured else _note(found, gate),
        machine=dict(info["machine"]),
        unmeasured=unmeasured,
    )


def _note(found: Mapping[str, Any], gate: Gate | None) -> str:
    if "skipped" in found:
        return f"skipped: {found['skipped']}"
    parts = [found["note"]] if found.get("note") else []
    if gate and found["low"] < gate.goal <= found["high"]:
        parts.append("the goal is inside the interval: run it again on a quieter machine")
    if gate and gate.aim:
        reached = "reached" if found["ratio"] >= gate.aim else "not reached"
        parts.append(f"aim {gate.aim:g} {reached}")
    return "; ".join(parts)

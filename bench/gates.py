"""Gates: goals for ratios. Knows `gates.toml` and what `case.measure` stored; measures nothing.

A verdict follows from the stored ratio and its interval alone, so that whoever measured (the
command line, pytest, a file of last week's) comes to the same one.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from metabonk.errors import ConfigError

FILE = Path(__file__).with_name("gates.toml")
# What a processor has beyond AVX-512, of which goals of operations speak.
FULL = ("vnni", "bf16", "amx")


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """goal: the ratio that must be reached; aim: the one that is hoped for, 0 for none."""

    goal: float
    aim: float = 0.0


class Row(msgspec.Struct, frozen=True):
    """One comparison as it is printed and written.

    ours, peer: medians in `unit`, None where nothing was measured. ratio: above 1 for better than
    the peer; low, high: its 95 % interval. goal: None where nothing is demanded, of operations on
    lesser processors too. met: None where nothing is demanded or nothing could be measured. note:
    figures that belong to it, or why it was skipped. unmeasured: why it was not measured though it
    could have been: never met. spared: why its goal is not held against this machine.
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
    spared: str = ""


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


class Verdict(msgspec.Struct, frozen=True):
    """What rows come to where goals are demanded, whoever measured them.

    gated: how many goals there are. missed, unmeasured: rows that do not meet theirs. unjudged:
    rows whose goal nothing was compared with, unmeasured ones among them. silent: suites that have
    goals of which none was judged, for the rows of others are no figure of theirs. spared: rows
    whose goals are for other processors.
    """

    gated: int
    missed: list[Row]
    unmeasured: list[Row]
    unjudged: list[Row]
    silent: list[str]
    spared: list[Row]

    @property
    def passes(self) -> bool:
        """Whether every suite that has goals here was judged by one, and none was missed."""
        held = not (self.missed or self.unmeasured or self.silent)
        return held and bool(self.gated or self.spared)


def verdict(rows: Sequence[Row]) -> Verdict:
    """The verdict on the rows of one case or of many, of whatever suites."""
    gated = [row for row in rows if row.goal is not None]
    judged = {row.suite for row in gated if row.met is not None}
    return Verdict(
        gated=len(gated),
        missed=[row for row in gated if row.met is False],
        unmeasured=[row for row in gated if row.unmeasured],
        unjudged=[row for row in gated if row.met is None],
        silent=[suite for suite in dict.fromkeys(r.suite for r in gated) if suite not in judged],
        spared=[row for row in rows if row.spared],
    )


def _row(info: Mapping[str, Any], peer: str, found: Mapping[str, Any], gate: Gate | None) -> Row:
    lesser = lesser_processor(info) if gate else ""
    gate = None if lesser else gate
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
        note=f"not measured: {unmeasured}" if unmeasured else _note(found, gate, lesser),
        machine=dict(info["machine"]),
        unmeasured=unmeasured,
        spared=lesser,
    )


def lesser_processor(info: Mapping[str, Any]) -> str:
    """Why goals of operations are not held against a processor, or "": they are ratios on one with
    AVX-512 and VNNI. A result that does not say what it was measured on is held against them."""
    extension = info["machine"].get("extension")
    if info["suite"] != "ops" or extension is None or extension in FULL:
        return ""
    return f"not gated: goals are for AVX-512 with VNNI, this ran on {info['machine'].get('tier')}"


def _note(found: Mapping[str, Any], gate: Gate | None, lesser: str = "") -> str:
    if "skipped" in found:
        return f"skipped: {found['skipped']}"
    parts = [found["note"]] if found.get("note") else []
    parts += [lesser] if lesser else []
    if gate and found["low"] < gate.goal <= found["high"]:
        parts.append("the goal is inside the interval: run it again on a quieter machine")
    if gate and gate.aim:
        reached = "reached" if found["ratio"] >= gate.aim else "not reached"
        parts.append(f"aim {gate.aim:g} {reached}")
    return "; ".join(parts)

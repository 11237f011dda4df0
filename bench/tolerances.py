"""Tolerances: how far an op may be from its formula in float64, and the worst that was seen.

The table is `tolerances.toml`: op -> unit, what is allowed, and the worst value per backend or
instruction set. Tests of ops hold against it; `pytest tests/ops --record-tolerances` writes what
they saw, `metabonk bench --tolerances` prints it. Knows the file; computes nothing.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from metabonk.errors import ConfigError

FILE = Path(__file__).with_name("tolerances.toml")


class Tolerance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """unit: of all numbers, and over what. worst: by backend or instruction set."""

    unit: str
    allowed: float
    worst: dict[str, float] = {}


Table = Mapping[str, Tolerance]


@functools.cache
def load(path: Path = FILE) -> Table:
    """op -> tolerance. Raises ConfigError for a file that is none."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, Tolerance])
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: not a table of tolerances: {error}") from error


def recorded(table: Table, seen: Mapping[tuple[str, str], float]) -> dict[str, Tolerance]:
    """The table with what was seen in the place of what was recorded, rounded up to three digits;
    instruction sets that were not run keep their numbers. seen: (op, way) -> worst value."""
    found = {
        name: msgspec.structs.replace(row, worst=dict(row.worst)) for name, row in table.items()
    }
    for (name, way), value in seen.items():
        found[name].worst[way] = _rounded_up(value)
    return found


def save(table: Table, path: Path = FILE) -> None:
    """Writes a table under the comment that the file begins with."""
    comment = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    lines = [*comment]
    for name, row in table.items():
        lines += ["", f'["{name}"]', f'unit = "{row.unit}"', f"allowed = {row.allowed:g}"]
        worst = ", ".join(f'"{way}" = {value:g}' for way, value in row.worst.items())
        lines.append(f"worst = {{ {worst} }}" if worst else "worst = {}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def ways(table: Table) -> list[str]:
    """All backends and instruction sets of a table, in the order in which they first appear."""
    return list(dict.fromkeys(way for row in table.values() for way in row.worst))


def cells(table: Table) -> Iterator[tuple[str, ...]]:
    """One row of text per op, for printing: op, allowed, the worst on each of `ways`."""
    for name, row in table.items():
        worst = (row.worst.get(way) for way in ways(table))
        yield name, _short(row.allowed), *("" if w is None else _short(w) for w in worst)


def units(table: Table) -> dict[str, list[str]]:
    """What the numbers are in, and of which ops."""
    found: dict[str, list[str]] = {}
    for name, row in table.items():
        found.setdefault(row.unit, []).append(name)
    return found


def _short(value: float) -> str:
    return f"{value:.2g}".replace("e-0", "e-")


def _rounded_up(value: float) -> float:
    if value == 0.0 or not math.isfinite(value):
        return value
    digit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / digit * (1.0 - 1e-9)) * digit:.3g}")

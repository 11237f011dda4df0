"""The broker's books as rows that a verdict is made of: its journal, read after the fact.

Knows the journal's tables and how an answer becomes a digest, the same on both sides; judges
nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from metabonk.cognition.log.journal import FILE, open_readonly
from metabonk.errors import CorruptError

from .verdict import Decision, Noted

_ENCODER = msgspec.json.Encoder(order="sorted")


def digest(answer: Mapping[str, Any]) -> str:
    """What tells two answers apart; empty for none. The order of keys does not matter."""
    return hashlib.sha256(_ENCODER.encode(answer)).hexdigest()[:16] if answer else ""


def decisions(folder: Path) -> Iterator[Decision]:
    """Every row of the journal's decisions. Raises CorruptError, FileNotFoundError."""
    connection = open_readonly(folder)
    try:
        query = "SELECT agent, epoch, sequence, status, answer FROM decisions"
        for agent, epoch, sequence, status, answer in connection.execute(query):
            id = f"{agent}/{epoch}/{sequence}"
            try:
                told = msgspec.json.decode(answer, type=dict[str, Any]) if answer else {}
            except msgspec.DecodeError as error:
                raise CorruptError(f"{folder}: the answer to {id} is no JSON ({error})") from error
            yield Decision(id, status, digest(told))
    finally:
        connection.close()


def outcomes(folder: Path) -> Iterator[Noted]:
    """Every row of the journal's outcomes. Raises CorruptError, FileNotFoundError."""
    connection = open_readonly(folder)
    try:
        query = "SELECT agent, epoch, sequence, applied FROM outcomes"
        for agent, epoch, sequence, applied in connection.execute(query):
            yield Noted(f"{agent}/{epoch}/{sequence}", bool(applied))
    finally:
        connection.close()


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes of the journal's file (without pictures, which are stored apart) and its decisions."""
    connection = open_readonly(folder)
    try:
        count = int(connection.execute("SELECT count(*) FROM decisions").fetchone()[0])
    finally:
        connection.close()
    return sum(path.stat().st_size for path in folder.glob(f"{FILE}*")), count

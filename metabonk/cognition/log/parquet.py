"""Decisions as Parquet tables, a row each, with what came of them. Needs the extra `data`.

Knows the columns and pyarrow; does not know where rows come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from metabonk.cognition import vocabulary as v
from metabonk.cognition.log.jsonlines import SPLITS, spell_press
from metabonk.cognition.log.rows import Row
from metabonk.cognition.question import Frame
from metabonk.errors import MissingExtraError

_GROUP = 512  # rows of a row group

# Parquet: name -> (type as pyarrow names it, value).
COLUMNS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "agent": ("string", lambda r: r.agent),
    "epoch": ("int64", lambda r: r.epoch),
    "sequence": ("int64", lambda r: r.sequence),
    "episode": ("int64", lambda r: r.episode),
    "at": ("float64", lambda r: r.at),
    "question": ("string", lambda r: r.question),
    "cause": ("string", lambda r: r.cause),
    "goal": ("string", lambda r: r.goal),
    "status": ("string", lambda r: r.status),
    "backend": ("string", lambda r: r.backend),
    "model": ("string", lambda r: r.model),
    "mode": ("string", lambda r: r.mode),
    "action": ("string", lambda r: r.directive.action.value if r.directive else None),
    "target": ("string", lambda r: v.spell_target(r.directive.target) if r.directive else None),
    "seconds": ("float32", lambda r: r.directive.seconds if r.directive else None),
    "priority": ("string", lambda r: r.directive.priority.name.lower() if r.directive else None),
    "press": ("string", lambda r: _json(spell_press(r.press)) if r.press else None),
    "in_force": ("string", lambda r: _json(v.spell(r.in_force)) if r.in_force else None),
    "confidence": ("float32", lambda r: r.confidence),
    "probabilities": ("string", lambda r: _json(dict(r.probabilities))),
    "reasoning": ("string", lambda r: r.reasoning),
    "server_ms": ("float32", lambda r: r.server_ms),
    "state": ("binary", lambda r: r.packed),
    "health": ("float32", lambda r: r.state.health if r.packed else None),
    "max_health": ("float32", lambda r: r.state.max_health if r.packed else None),
    "enemies_nearby": ("int32", lambda r: r.near),
    "applied": ("bool_", lambda r: r.came.applied),
    "outcome_seconds": ("float32", lambda r: r.came.seconds),
    "reward": ("float32", lambda r: r.came.reward),
    "health_change": ("float32", lambda r: r.came.health_change),
    "kills": ("int32", lambda r: r.came.kills),
    "xp": ("float32", lambda r: r.came.xp),
    "alive": ("bool_", lambda r: r.came.alive),
    "age_ms": ("float32", lambda r: r.came.age_ms),
}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load_pyarrow() -> tuple[ModuleType, ModuleType]:
    """pyarrow and its Parquet module. Raises MissingExtraError."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "data", "Parquet export") from error
    return pyarrow, pyarrow.parquet


class Parquet:
    """A table per split, in groups of rows; states are compressed by Parquet."""

    def __init__(self, folder: Path) -> None:
        self._arrow, parquet = load_pyarrow()
        frame = self._arrow.struct(
            [("bytes", self._arrow.binary()), ("time", self._arrow.float32()),
             ("predicted", self._arrow.bool_())]
        )  # fmt: skip
        fields = [(name, getattr(self._arrow, kind)()) for name, (kind, _) in COLUMNS.items()]
        self._schema = self._arrow.schema([*fields, ("frames", self._arrow.list_(frame))])
        self._writers = {
            split: parquet.ParquetWriter(
                folder / f"{split}.parquet", self._schema, compression="zstd"
            )
            for split in SPLITS
        }
        self._waiting: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}

    def add(self, row: Row, split: str, pictures: Sequence[Frame]) -> None:
        values = {name: read(row) for name, (_, read) in COLUMNS.items()}
        values["frames"] = [
            {"bytes": f.jpeg, "time": f.time, "predicted": f.predicted} for f in pictures
        ]
        self._waiting[split].append(values)
        if len(self._waiting[split]) >= _GROUP:
            self._flush(split)

    def close(self) -> None:
        for split, writer in self._writers.items():
            self._flush(split)
            writer.close()

    def _flush(self, split: str) -> None:
        rows, self._waiting[split] = self._waiting[split], []
        if rows:
            table = self._arrow.Table.from_pylist(rows, schema=self._schema)
            self._writers[split].write_table(table)

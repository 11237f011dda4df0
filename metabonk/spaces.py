"""Spaces as flat rows: how any Gymnasium action space becomes columns and branches.

Knows Gymnasium's spaces and numpy. Does not know games, networks or transports.

An action of one environment is one row of float32 columns, whatever its space: that row is what
batches step with, what episodes record and what the wire carries. A policy sees the same row as
branches: one `continuous` branch over all bounded real columns and one `categorical` branch per
discrete choice, each with its own log-probability; their sum is the action's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.errors import ConfigError

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Branch:
    """One independent part of an action.

    kind: `continuous` (a diagonal Gaussian over `width` columns) or `categorical`.
    columns: first column in the row and how many (`width`); 1 for categorical.
    size: number of choices of a categorical branch, 0 for continuous ones.
    start: value of choice 0 (Gymnasium's `Discrete.start`).
    mask: slice of the observation `action_mask` that allows its choices, or None.
    low, high: bounds of continuous columns, float32 [width]; infinite where unbounded.
    """

    name: str
    kind: Literal["continuous", "categorical"]
    column: int
    width: int
    size: int = 0
    start: int = 0
    mask: tuple[int, int] | None = None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class ActionLayout:
    """The columns and branches of an action space. `columns` is the width of a row."""

    columns: int
    branches: tuple[Branch, ...]
    space: gs.Space[Any]

    @classmethod
    def of(cls, space: gs.Space[Any], masked: tuple[str, ...] = ()) -> ActionLayout:
        """Lays out `space`; branches named in `masked` take consecutive slices of `action_mask`.

        Raises ConfigError for a space that has no flat row (text, graphs, sequences).
        """
        branches: list[Branch] = []
        column = _append(space, "action", 0, branches)
        offset = 0
        for index, branch in enumerate(branches):
            if branch.kind == "categorical" and branch.name.split(".")[0] in masked:
                span = (offset, offset + branch.size)
                branches[index] = Branch(**{**branch.__dict__, "mask": span})
                offset += branch.size
        return cls(column, tuple(branches), space)

    def neutral(self) -> FloatArray:
        """The row [columns] that does the least: 0, or the bound that is nearest to it."""
        row = np.zeros(self.columns, np.float32)
        for branch in self.branches:
            if branch.kind == "continuous":
                row[branch.column : branch.column + branch.width] = np.clip(
                    0.0, branch.low, branch.high
                )
        return row

    def encode(self, action: Any) -> FloatArray:
        """One action of `space` as a row, float32 [columns]."""
        row = np.zeros(self.columns, np.float32)
        _encode(self.space, action, row, 0)
        return row

    def decode(self, row: FloatArray) -> Any:
        """The action of `space` that a row [columns] stands for; inverse of `encode`."""
        return _decode(self.space, row, 0)[0]

    def to_json(self) -> list[dict[str, Any]]:
        """Branches as plain data, for cards and episode headers."""
        return [
            {k: list(v) if isinstance(v, tuple) else v for k, v in b.__dict__.items()}
            for b in self.branches
        ]


def _append(space: gs.Space[Any], name: str, column: int, out: list[Branch]) -> int:
    if isinstance(space, gs.Discrete):
        out.append(Branch(name, "categorical", column, 1, int(space.n), int(space.start)))
        return column + 1
    if isinstance(space, gs.MultiDiscrete):
        for i, n in enumerate(space.nvec.ravel()):
            start = int(np.ravel(space.start)[i])
            out.append(Branch(f"{name}.{i}", "categorical", column + i, 1, int(n), start))
        return column + int(space.nvec.size)
    if isinstance(space, gs.MultiBinary):
        count = int(np.prod(space.shape))
        out.extend(Branch(f"{name}.{i}", "categorical", column + i, 1, 2) for i in range(count))
        return column + count
    if isinstance(space, gs.Box):
        width = int(np.prod(space.shape))
        low = tuple(float(v) for v in np.ravel(space.low))
        high = tuple(float(v) for v in np.ravel(space.high))
        out.append(Branch(name, "continuous", column, width, low=low, high=high))
        return column + width
    if isinstance(space, gs.Dict):
        for key, sub in space.spaces.items():
            column = _append(sub, key if name == "action" else f"{name}.{key}", column, out)
        return column
    if isinstance(space, gs.Tuple):
        for i, sub in enumerate(space.spaces):
            column = _append(sub, f"{name}.{i}", column, out)
        return column
    raise ConfigError(f"action space {space!r} has no flat row: use Discrete, Box, Dict or Tuple")


def _encode(space: gs.Space[Any], action: Any, row: FloatArray, column: int) -> int:
    if isinstance(space, gs.Discrete):
        row[column] = int(action) - int(space.start)
        return column + 1
    if isinstance(space, gs.MultiDiscrete):
        values = np.ravel(action) - np.ravel(space.start)
        row[column : column + values.size] = values
        return column + int(values.size)
    if isinstance(space, gs.MultiBinary | gs.Box):
        values = np.ravel(action)
        row[column : column + values.size] = values
        return column + int(values.size)
    subs = space.spaces.items() if isinstance(space, gs.Dict) else enumerate(space.spaces)  # type: ignore[attr-defined]
    for key, sub in subs:
        column = _encode(sub, action[key], row, column)
    return column


def _decode(space: gs.Space[Any], row: FloatArray, column: int) -> tuple[Any, int]:
    if isinstance(space, gs.Discrete):
        return int(row[column]) + int(space.start), column + 1
    if isinstance(space, gs.MultiDiscrete):
        end = column + int(space.nvec.size)
        values = row[column:end].astype(space.dtype) + np.ravel(space.start)
        return values.astype(space.dtype).reshape(space.shape), end
    if isinstance(space, gs.MultiBinary | gs.Box):
        end = column + int(np.prod(space.shape))
        return row[column:end].astype(space.dtype).reshape(space.shape), end
    if isinstance(space, gs.Dict):
        out: dict[str, Any] = {}
        for key, sub in space.spaces.items():
            out[key], column = _decode(sub, row, column)
        return out, column
    items: list[Any] = []
    for sub in space.spaces:  # type: ignore[attr-defined]
        item, column = _decode(sub, row, column)
        items.append(item)
    return tuple(items), column

"""Views: numbers in memory as axes, and what can be done to axes without touching a number.

Knows sizes and strides; no instructions, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np


class Type(IntEnum):
    """Of numbers: float32, int32, and bytes, which are also truth values."""

    F32 = 0
    I32 = 1
    U8 = 2


DTYPES: dict[Type, np.dtype[Any]] = {
    Type.F32: np.dtype(np.float32),
    Type.I32: np.dtype(np.int32),
    Type.U8: np.dtype(np.uint8),
}


@dataclass(frozen=True)
class Storage:
    """Memory that views look at. kind: `arena`, `input` or `tensor`."""

    kind: str
    number: int
    type: Type
    sizes: tuple[int, ...]
    name: str = ""

    @property
    def count(self) -> int:
        return int(np.prod(self.sizes, dtype=np.int64))


def dense_strides(sizes: Sequence[int]) -> tuple[int, ...]:
    """Strides of rows without gaps."""
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True)
class View:
    """Numbers of a storage: element (i, j, ...) stands at offset + i strides[0] + ..."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def type(self) -> Type:
        return self.storage.type

    @property
    def count(self) -> int:
        return int(np.prod(self.sizes, dtype=np.int64))

    @property
    def is_dense(self) -> bool:
        wanted = dense_strides(self.sizes)
        return all(
            size == 1 or s == w for size, s, w in zip(self.sizes, self.strides, wanted, strict=True)
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its storage, in order."""
        return self.offset == 0 and self.count == self.storage.count and self.is_dense

    @property
    def order(self) -> tuple[int, ...] | None:
        """Its axes as they lie in memory, the outermost first, if it is all of its storage; else
        None."""
        axes = sorted(range(len(self.sizes)), key=lambda a: -self.strides[a])
        fits = self.offset == 0 and self.count == self.storage.count
        return tuple(axes) if fits and self.permute(axes).is_dense else None

    def permute(self, axes: Sequence[int]) -> View:
        return replace(
            self,
            sizes=tuple(self.sizes[a] for a in axes),
            strides=tuple(self.strides[a] for a in axes),
        )

    def insert(self, axis: int, size: int = 1) -> View:
        """A new axis, along which everything is repeated."""
        sizes, strides = list(self.sizes), list(self.strides)
        sizes.insert(axis, size)
        strides.insert(axis, 0)
        return replace(self, sizes=tuple(sizes), strides=tuple(strides))

    def select(self, axis: int, index: int) -> View:
        """One place of an axis, which is gone then."""
        index += self.sizes[axis] if index < 0 else 0
        sizes, strides = list(self.sizes), list(self.strides)
        del sizes[axis]
        offset = self.offset + index * strides.pop(axis)
        return replace(self, offset=offset, sizes=tuple(sizes), strides=tuple(strides))

    def narrow(self, axis: int, start: int, stop: int, step: int = 1) -> View:
        """Places start, start + step, ... before stop of an axis."""
        sizes, strides = list(self.sizes), list(self.strides)
        sizes[axis] = max(0, -(-(stop - start) // step))
        offset = self.offset + start * strides[axis]
        strides[axis] *= step
        return replace(self, offset=offset, sizes=tuple(sizes), strides=tuple(strides))

    def expand(self, sizes: Sequence[int]) -> View:
        """Repeated to `sizes`, aligned at the last axis; -1 keeps a size."""
        view = self
        while len(view.sizes) < len(sizes):
            view = view.insert(0)
        pairs = zip(view.sizes, view.strides, sizes, strict=True)
        strides = tuple(0 if had == 1 and want != 1 else stride for had, stride, want in pairs)
        wanted = tuple(h if w == -1 else w for h, w in zip(view.sizes, sizes, strict=True))
        return replace(view, sizes=wanted, strides=strides)

    def reshape(self, sizes: Sequence[int]) -> View | None:
        """The same numbers as other axes; None if that takes a copy."""
        sizes = tuple(sizes)
        if self.is_dense:
            return replace(self, sizes=sizes, strides=dense_strides(sizes))
        # Every run of old axes that lie behind each other may be cut anew.
        old = [(n, s) for n, s in zip(self.sizes, self.strides, strict=True) if n != 1]
        strides: list[int] = []
        want = list(sizes)
        while want:
            size = want.pop(0)
            if size == 1:
                strides.append(0)
                continue
            if not old:
                return None
            n, s = old.pop(0)
            while n < size or n % size:
                if not old or s != old[0][0] * old[0][1]:
                    return None
                n, s = n * old[0][0], old[0][1]
                old.pop(0)
            strides.append(s * (n // size))
            if n // size > 1:
                old.insert(0, (n // size, s))
        return replace(self, sizes=sizes, strides=tuple(strides))


def whole(storage: Storage) -> View:
    """All of a storage."""
    return View(storage, 0, storage.sizes, dense_strides(storage.sizes))

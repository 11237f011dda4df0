"""Programs: a network as instructions over numbers in memory, as csrc/nn/program.h reads them.

Knows the format and where things lie in memory; does not know torch, networks or what is computed.
A `Builder` takes instructions one after the other, each result in memory of its own; `finish` drops
what nobody reads, lets memory be used again once its last reader is through, and writes the words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = 0x4D42505247
VERSION = 1
RANK_MAX = 6
LINE = 64  # bytes of a cache line, on which memory begins

Array = npt.NDArray[Any]
Words = npt.NDArray[np.int64]
Source = Callable[[], Array]


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


class Opcode(IntEnum):
    COPY = 0
    UNARY = 1
    BINARY = 2
    WHERE = 3
    REDUCE = 4
    SCAN = 5
    SOFTMAX = 6
    GATHER = 7
    SCATTER_ADD = 8
    LINEAR = 9
    CFC = 10
    RADAR = 11
    CONVOLVE = 12


class Unary(IntEnum):
    AFFINE = 0
    CLAMP = 1
    NEGATE = 2
    ABS = 3
    NOT = 4
    EXP = 5
    LOG = 6
    TANH = 7
    SIGMOID = 8
    RELU = 9
    SILU = 10
    SOFTPLUS = 11
    SQRT = 12
    RECIPROCAL = 13
    SQUARE = 14
    ROUND = 15
    FLOOR = 16
    SIN = 17
    COS = 18
    ERF = 19


class Binary(IntEnum):
    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    MINIMUM = 4
    MAXIMUM = 5
    EQUAL = 6
    LESS = 7
    LESS_EQUAL = 8
    AND = 9
    OR = 10


class Reduction(IntEnum):
    SUM = 0
    MAX = 1
    MIN = 2
    ARGMAX = 3
    ANY = 4


class Activation(IntEnum):
    NONE = 0
    TANH = 1
    RELU = 2
    SILU = 3


ACTIVATIONS = {
    Unary.TANH: Activation.TANH,
    Unary.RELU: Activation.RELU,
    Unary.SILU: Activation.SILU,
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


@dataclass(frozen=True)
class Instruction:
    """views: the result first."""

    opcode: Opcode
    views: tuple[View, ...]
    integers: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()

    @property
    def result(self) -> View:
        return self.views[0]


@dataclass
class Program:
    """words: as the core reads them. tensors: what the words refer to, by name, in order. sources:
    for a program whose network is at hand, what each tensor would be made from now."""

    words: Words
    tensors: dict[str, Array]
    sources: dict[str, Source] = field(default_factory=dict)


@dataclass
class Builder:
    """Collects a program. Places of inputs and tensors follow from the order in which they come."""

    inputs: list[Storage] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    tensor_storage: list[Storage] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    outputs: dict[str, View] = field(default_factory=dict)
    states: dict[str, View] = field(default_factory=dict)
    _arenas: int = 0

    def input(self, name: str, type_: Type, sizes: Sequence[int]) -> View:
        """A named input."""
        storage = Storage("input", len(self.inputs), type_, tuple(sizes), name)
        self.inputs.append(storage)
        return whole(storage)

    def tensor(self, name: str, array: Array, source: Source | None = None) -> View:
        """A named constant; its dtype is one of DTYPES. source: gives it anew, with what its
        network holds then."""
        kind = next(t for t, dtype in DTYPES.items() if dtype == array.dtype)
        storage = Storage("tensor", len(self.tensor_storage), kind, array.shape, name)
        self.tensors[name] = np.ascontiguousarray(array)
        self.sources[name] = source or (lambda: array)
        self.tensor_storage.append(storage)
        return whole(storage)

    def number(self, name: str) -> int:
        """The place of a tensor among the tensors."""
        return next(s.number for s in self.tensor_storage if s.name == name)

    def new(self, type_: Type, sizes: Sequence[int]) -> View:
        """Fresh memory in the arena."""
        self._arenas += 1
        return whole(Storage("arena", self._arenas - 1, type_, tuple(sizes)))

    def like(self, view: View, type_: Type) -> View:
        """Fresh memory of the sizes of `view` that lies as `view` does, if that is all of its
        storage: what is done to every element then runs straight through both."""
        order = view.order
        if order is None:
            return self.new(type_, view.sizes)
        made = self.new(type_, [view.sizes[a] for a in order])
        return made.permute([order.index(a) for a in range(len(order))])

    def emit(
        self,
        opcode: Opcode,
        result: View,
        *operands: View,
        integers: Iterable[int] = (),
        numbers: Iterable[float] = (),
    ) -> View:
        """Adds an instruction, unless its result has no elements; returns its result."""
        if not result.count:
            return result
        views = (result, *operands)
        self.instructions.append(Instruction(opcode, views, tuple(integers), tuple(numbers)))
        return result

    def copy(self, source: View, into: View | None = None) -> View:
        """The numbers of `source`, row after row, or where `into` says."""
        into = self.new(source.type, source.sizes) if into is None else into
        return self.emit(Opcode.COPY, into, source)

    def dense(self, view: View) -> View:
        """`view` itself if its rows have no gaps, else a copy."""
        return view if view.is_dense else self.copy(view)

    def reshape(self, view: View, sizes: Sequence[int]) -> View:
        """The same numbers as other axes, by a copy where there is no other way."""
        found = view.reshape(sizes)
        if found is None:
            found = whole(self.copy(view).storage).reshape(sizes)
        assert found is not None  # what has no gaps can be cut anywhere
        return found

    def finish(self) -> Program:
        """The program, without what nobody reads."""
        from metabonk.play.compiler.passes import place, renumber, tidy

        instructions = tidy(self)
        self.tensor_storage, instructions = renumber(self.tensor_storage, instructions)
        offsets, size = place(self, instructions)
        words = _encode(self, instructions, offsets, size)
        names = [storage.name for storage in self.tensor_storage]
        tensors = {name: self.tensors[name] for name in names}
        return Program(words, tensors, {name: self.sources[name] for name in names})


def whole(storage: Storage) -> View:
    """All of a storage."""
    return View(storage, 0, storage.sizes, dense_strides(storage.sizes))


def _encode(
    made: Builder, instructions: Sequence[Instruction], offsets: dict[int, int], size: int
) -> Words:
    words: list[int] = [MAGIC, VERSION, size]

    def listed(items: Sequence[Any], write: Any) -> None:
        words.append(len(items))
        for item in items:
            write(item)

    def name(text: str) -> None:
        listed(text.encode("ascii"), words.append)

    def slot(storage: Storage) -> None:
        name(storage.name)
        words.extend((storage.type, len(storage.sizes), *storage.sizes))

    def view(v: View) -> None:
        base, start = 0, 0
        if v.storage.kind == "arena":
            start = offsets[v.storage.number] // DTYPES[v.type].itemsize
        else:
            base = 1 + v.storage.number + (len(made.inputs) if v.storage.kind == "tensor" else 0)
        sizes, strides = _folded(v)
        words.extend((base, v.type, start + v.offset, len(sizes), *sizes, *strides))

    def place(item: tuple[str, View]) -> None:
        name(item[0])
        view(item[1])

    def instruction(it: Instruction) -> None:
        words.append(it.opcode)
        listed(it.views, view)
        listed(it.integers, words.append)
        listed(it.numbers, lambda x: words.append(struct.unpack("<q", struct.pack("<d", x))[0]))

    listed(made.inputs, slot)
    listed(made.tensor_storage, slot)
    listed(list(made.outputs.items()), place)
    listed(list(made.states.items()), place)
    listed(instructions, instruction)
    return np.array(words, np.int64)


def _folded(view: View) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if len(view.sizes) <= RANK_MAX:
        return view.sizes, view.strides
    raise ValueError(f"a view of {len(view.sizes)} axes; programs take up to {RANK_MAX}")

"""Programs: a network as instructions over numbers in memory, as csrc/nn/program.h reads them.

Knows the format and where things lie in memory; does not know torch, networks or what is computed.
A `Builder` takes instructions one after the other, each result in memory of its own; `finish` drops
what nobody reads, lets memory be used again once its last reader is through, and writes the words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.play.compiler.views import DTYPES, Storage, Type, View, whole

MAGIC = 0x4D42505247
VERSION = 2
RANK_MAX = 6
LINE = 64  # bytes of a cache line, on which memory begins

Array = npt.NDArray[Any]
Words = npt.NDArray[np.int64]
Source = Callable[[], Array]


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
        self.tensors[name] = np.array(array, order="C")  # its own: networks go on learning
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

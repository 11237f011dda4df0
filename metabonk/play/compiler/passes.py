"""What is done to a program before it is written: fewer instructions, less memory.

Knows instructions and views only. Every pass leaves the numbers that come out as they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from metabonk.play.compiler.program import ACTIVATIONS, LINE, Instruction, Opcode, Unary
from metabonk.play.compiler.views import DTYPES, Storage, View, dense_strides

if TYPE_CHECKING:
    from metabonk.play.compiler.program import Builder


# Which integers of an instruction are numbers of tensors, -1 for none.
NAMED_TENSORS = {
    Opcode.LINEAR: (0, 1, 4, 5),
    Opcode.CONVOLVE: (0, 1, 4, 5),
    Opcode.CFC: (0, 1, 2, 3),
}
LAYERS = (Opcode.LINEAR, Opcode.CONVOLVE)  # which can apply a function to what they give


def tidy(made: Builder) -> list[Instruction]:
    """Instructions that matter, activations joined to their layers, copies spared."""
    pinned = {v.storage.number for v in (*made.outputs.values(), *made.states.values())}
    instructions = _alive(made.instructions, pinned)
    instructions = _activated(instructions, pinned)
    instructions = _spared(instructions, pinned)
    states = {v.storage.number for v in made.states.values()}
    instructions = _in_place(instructions, pinned, states)
    return _alive(instructions, pinned)


def _alive(instructions: Sequence[Instruction], pinned: set[int]) -> list[Instruction]:
    """Without those whose results nobody reads."""
    wanted = set(pinned)
    kept: list[Instruction] = []
    for it in reversed(instructions):
        if it.result.storage.number in wanted:
            kept.append(it)
            wanted |= {v.storage.number for v in it.views if v.storage.kind == "arena"}
    return kept[::-1]


def _uses(instructions: Sequence[Instruction]) -> tuple[Counter[int], Counter[int]]:
    """How often each arena storage is written and read."""
    writes: Counter[int] = Counter()
    reads: Counter[int] = Counter()
    for it in instructions:
        writes[it.result.storage.number] += 1
        reads.update(v.storage.number for v in it.views[1:] if v.storage.kind == "arena")
        if it.opcode == Opcode.SCATTER_ADD:
            reads[it.result.storage.number] += 1
    return writes, reads


def _activated(instructions: Sequence[Instruction], pinned: set[int]) -> list[Instruction]:
    """A function of all that a layer gives, and of which alone it is read, is the layer's own."""
    writes, reads = _uses(instructions)
    layer: dict[int, int] = {}  # by storage: where among `kept` the layer that fills it is
    kept: list[Instruction] = []
    for it in instructions:
        if it.opcode in LAYERS and it.integers[2] == 0 and it.result.is_whole:
            layer[it.result.storage.number] = len(kept)
        elif it.opcode == Opcode.UNARY and Unary(it.integers[0]) in ACTIVATIONS:
            x, y = it.views[1], it.result
            at = layer.get(x.storage.number) if x.storage.kind == "arena" else None
            alone = reads[x.storage.number] == writes[x.storage.number] == 1
            free = x.storage.number not in pinned
            same = x.order is not None and x.order == y.order
            if at is not None and alone and free and same:
                before = kept[at]
                sizes = before.result.sizes
                result = View(y.storage, 0, sizes, dense_strides(sizes))
                integers = list(before.integers)
                integers[2] = ACTIVATIONS[Unary(it.integers[0])]
                kept[at] = replace(
                    before, views=(result, *before.views[1:]), integers=tuple(integers)
                )
                continue
        kept.append(it)
    return kept


def _spared(instructions: Sequence[Instruction], pinned: set[int]) -> list[Instruction]:
    """Without whole copies of what is not looked at any more: the copy is the thing itself."""
    last: dict[int, int] = {}
    for i, it in enumerate(instructions):
        last.update({_arena_number(v): i for v in it.views})
    same: dict[int, Storage] = {}
    written: set[int] = set()
    kept: list[Instruction] = []
    for i, it in enumerate(instructions):
        views = tuple(
            replace(v, storage=same[_arena_number(v)]) if _arena_number(v) in same else v
            for v in it.views
        )
        y, before = it.result, it.views[-1]
        n, m = y.storage.number, _arena_number(before)
        whole = it.opcode == Opcode.COPY and y.is_whole and before.is_whole
        fits = whole and m >= 0 and y.type == before.type and n not in written
        if fits and not {n, m} & pinned and last[m] == i:
            same[n] = views[-1].storage
            continue
        written.add(n)
        kept.append(replace(it, views=views))
    return kept


def _in_place(
    instructions: Sequence[Instruction], pinned: set[int], states: set[int]
) -> list[Instruction]:
    """What is made only to be copied into a part of something else is made there at once.

    States are still written last: a step that fails before leaves them as they were.
    """
    writes, reads = _uses(instructions)
    target: dict[int, View] = {}
    hosts: set[int] = set()  # storages that others are made in
    begun: dict[int, int] = {}  # by storage: the first instruction that writes it
    for i, it in enumerate(instructions):
        begun.setdefault(it.result.storage.number, i)
    for i, it in enumerate(instructions):
        if it.opcode != Opcode.COPY or it.views[1].storage.kind != "arena":
            continue
        x, y = it.views[1], it.result
        n = x.storage.number
        single = writes[n] == 1 and reads[n] == 1 and n not in pinned and x.is_whole
        fits = single and x.type == y.type and n in begun and y.storage.number not in states
        if not fits or not _takes_any_place(instructions[begun[n]], x, y):
            continue
        # Nothing else may have been written to the target's memory in between and be read there.
        settled = y.storage.number not in target and n not in hosts
        if settled and _quiet(instructions, begun[n], i, y):
            target[n] = y
            hosts.add(y.storage.number)
    kept = []
    for it in instructions:
        if it.opcode == Opcode.COPY and _arena_number(it.views[1]) in target:
            continue
        if it.result.storage.number in target:
            it = replace(it, views=(target[it.result.storage.number], *it.views[1:]))
        kept.append(it)
    return kept


def _arena_number(view: View) -> int:
    """Number of its storage in the arena, -1 for what lies elsewhere."""
    return view.storage.number if view.storage.kind == "arena" else -1


def _takes_any_place(writer: Instruction, x: View, y: View) -> bool:
    """Whether the instruction that makes `x` can make it as `y` lies."""
    plain = writer.opcode not in (*LAYERS, Opcode.CFC, Opcode.RADAR, Opcode.SCATTER_ADD)
    return plain and writer.result.sizes == y.sizes and writer.result.is_whole


def _quiet(instructions: Sequence[Instruction], first: int, last: int, y: View) -> bool:
    """Whether no instruction from `first` up to `last` reads the memory that `y` is in, or writes
    to that part of it."""
    return all(
        v.storage != y.storage for it in instructions[first:last] for v in it.views[1:]
    ) and not any(
        it.result.storage == y.storage and _overlap(it.result, y) for it in instructions[first:last]
    )


def _overlap(a: View, b: View) -> bool:
    """Whether two views of one storage may share an element, by their first and last ones."""

    def ends(v: View) -> tuple[int, int]:
        last = sum((n - 1) * s for n, s in zip(v.sizes, v.strides, strict=True))
        return v.offset, v.offset + last

    (a0, a1), (b0, b1) = ends(a), ends(b)
    return a0 <= b1 and b0 <= a1


def renumber(
    tensors: Sequence[Storage], instructions: Sequence[Instruction]
) -> tuple[list[Storage], list[Instruction]]:
    """The tensors that are read, numbered anew, and the instructions that read them."""
    read = {v.storage.number for it in instructions for v in it.views if _is_tensor(v)}
    for it in instructions:
        read |= {it.integers[i] for i in NAMED_TENSORS.get(it.opcode, ()) if it.integers[i] >= 0}
    kept = [replace(s, number=i) for i, s in enumerate(s for s in tensors if s.number in read)]
    old = [s.number for s in tensors if s.number in read]
    new = dict(zip(old, kept, strict=True))

    def moved(it: Instruction) -> Instruction:
        views = tuple(
            replace(v, storage=new[v.storage.number]) if _is_tensor(v) else v for v in it.views
        )
        integers = list(it.integers)
        for i in NAMED_TENSORS.get(it.opcode, ()):
            if integers[i] >= 0:
                integers[i] = new[integers[i]].number
        return replace(it, views=views, integers=tuple(integers))

    return kept, [moved(it) for it in instructions]


def _is_tensor(view: View) -> bool:
    return view.storage.kind == "tensor"


def place(made: Builder, instructions: Sequence[Instruction]) -> tuple[dict[int, int], int]:
    """Offset in bytes of every arena storage, and the arena's size.

    Storages whose lives overlap do not share memory; outputs and states live for ever. The largest
    are placed first, each in the lowest gap that holds it.
    """
    lives: dict[int, list[int]] = defaultdict(lambda: [len(instructions), -1])
    sizes: dict[int, int] = {}

    def seen(view: View, at: int) -> None:
        if view.storage.kind != "arena":
            return
        life = lives[view.storage.number]
        life[0], life[1] = min(life[0], at), max(life[1], at)
        wide = view.storage.count * DTYPES[view.type].itemsize
        sizes[view.storage.number] = -(-max(wide, 1) // LINE) * LINE

    for i, it in enumerate(instructions):
        for view in it.views:
            seen(view, i)
    for view in (*made.outputs.values(), *made.states.values()):
        seen(view, -1)
        seen(view, len(instructions))
    offsets: dict[int, int] = {}
    total = 0
    for n in sorted(sizes, key=lambda n: (-sizes[n], lives[n][0])):
        busy = sorted(
            (offsets[m], offsets[m] + sizes[m])
            for m in offsets
            if lives[m][0] <= lives[n][1] and lives[n][0] <= lives[m][1]
        )
        start = 0
        for low, high in busy:
            if low - start >= sizes[n]:
                break
            start = max(start, high)
        offsets[n] = start
        total = max(total, start + sizes[n])
    return offsets, total

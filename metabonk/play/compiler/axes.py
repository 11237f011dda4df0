"""How operators that run along an axis, or look numbers up, become instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from metabonk.errors import CompileError
from metabonk.play.compiler.arithmetic import Arithmetic
from metabonk.play.compiler.elements import (
    Args,
    Kwargs,
    affine,
    aten,
    axis_of,
    dtype_of,
    sizes_of,
)
from metabonk.play.compiler.lowering import Lowering, Value, rule, type_of
from metabonk.play.compiler.program import Binary, Opcode, Reduction, Unary
from metabonk.play.compiler.views import Type, View

REDUCTIONS: dict[Any, Reduction] = {
    aten.sum.dim_IntList: Reduction.SUM,
    aten.mean.dim: Reduction.SUM,
    aten.amax.default: Reduction.MAX,
    aten.amin.default: Reduction.MIN,
    aten.argmax.default: Reduction.ARGMAX,
    aten.any.dim: Reduction.ANY,
}


def last(view: View, axes: list[int]) -> View:
    """`view` with these axes behind the others."""
    return view.permute([*(i for i in range(len(view.sizes)) if i not in axes), *axes])


def expect_reducible(node: Node, x: View) -> None:
    """Raises CompileError for what the core would refuse or, of bytes that are summed, count."""
    which, truth = REDUCTIONS[node.target], dtype_of(node.args[0]) == torch.bool
    counts = which == Reduction.SUM and truth and type_of(node) == Type.I32
    if not (counts or (truth and which == Reduction.ANY) or x.type == Type.F32):
        raise CompileError(
            f"{node.target} of {dtype_of(node.args[0])}: convert it with .float(), or compare first"
        )
    if which == Reduction.ANY and not truth:
        raise CompileError(f"{node.target} of numbers: compare them first, as in x != 0")


@rule(*REDUCTIONS, reads="dim")
def reduce(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    given = args[1] if len(args) > 1 else kwargs.get("dim")
    listed = [] if given is None else given if isinstance(given, list) else [given]
    axes = [axis_of(a, len(x.sizes)) for a in listed] or list(range(len(x.sizes)))  # none: all
    expect_reducible(node, x)
    moved = last(x, axes)
    lead = moved.sizes[: len(moved.sizes) - len(axes)]
    count = int(np.prod([x.sizes[a] for a in axes], dtype=np.int64))
    flat = low.builder.reshape(moved, (*lead, count))
    y = low.builder.new(low.result(node).type, lead)
    low.builder.emit(Opcode.REDUCE, y, flat, integers=(REDUCTIONS[node.target],))
    shaped = low.builder.reshape(y, sizes_of(node))
    if node.target == aten.mean.dim:
        return affine(low, node, shaped, 1.0 / count, 0.0)
    return shaped


@rule(aten.cumsum.default)
def cumsum(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return along(low, node, Opcode.SCAN, (), args)


@rule(aten._softmax.default)
def softmax(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return along(low, node, Opcode.SOFTMAX, (0,), args)


@rule(aten._log_softmax.default)
def log_softmax(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return along(low, node, Opcode.SOFTMAX, (1,), args)


def along(low: Lowering, node: Node, opcode: Opcode, integers: tuple[int, ...], args: Args) -> View:
    """An instruction whose result has the sizes of its operand and which runs along one axis."""
    x = low.view(args[0])
    axis = axis_of(args[1], len(x.sizes))
    y = low.result(node)
    if x.type != Type.F32 or y.type != Type.F32:
        raise CompileError(f"{node.target} of whole numbers: convert them with .float() first")
    low.builder.emit(opcode, last(y, [axis]), last(x, [axis]), integers=integers)
    return y


@rule(aten.native_layer_norm.default)
def layer_norm(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    """(x - mean) / sqrt(variance + eps) over the last axes, times weight plus bias."""
    x, shape, weight, bias, eps = args
    build, math, x = low.builder, Arithmetic(low.builder), low.view(x)
    count = int(np.prod(shape, dtype=np.int64))
    rows = build.reshape(x, (x.count // count, count))

    def mean(of: View) -> View:
        return math.affine(math.total(of), 1.0 / count).insert(1, count)

    centred = math.subtract(rows, mean(rows))
    variance = mean(math.unary(Unary.SQUARE, centred)).select(1, 0)
    root = math.unary(Unary.SQRT, math.affine(variance, 1.0, eps))
    y = math.multiply(centred, math.unary(Unary.RECIPROCAL, root).insert(1, count))
    for which, parameter in ((Binary.MULTIPLY, weight), (Binary.ADD, bias)):
        if parameter is not None:
            flat = build.reshape(low.view(parameter), (count,)).expand(rows.sizes)
            y = math.binary(which, y, flat)
    return [build.reshape(y, x.sizes), None, None]


# Looking up.


def index_view(low: Lowering, index: Value) -> View:
    view = low.view(index)
    if view.type != Type.I32:
        raise CompileError("an index of truth values has no fixed size: use where()")
    return view


@rule(aten.gather.default)
def gather(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, index = low.view(args[0]), index_view(low, args[2])
    axis = axis_of(args[1], len(x.sizes))
    for i, n in enumerate(index.sizes):
        x = x.narrow(i, 0, n) if i != axis else x
    return take(low, node, x.select(axis, 0).insert(axis, index.sizes[axis]), index, x, axis)


def take(low: Lowering, node: Node, spread: View, index: View, x: View, axis: int) -> View:
    """y = x at `index` along `axis`; spread: x at place 0, repeated to the sizes of y."""
    y = low.builder.new(x.type, sizes_of(node))
    integers = (x.sizes[axis], x.strides[axis])
    return low.builder.emit(Opcode.GATHER, y, spread, index.expand(y.sizes), integers=integers)


@rule(aten.embedding.default)
def embedding(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return rows(low, node, low.view(args[0]), 0, args[1])


@rule(aten.index_select.default)
def index_select(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    return rows(low, node, x, axis_of(args[1], len(x.sizes)), args[2])


@rule(aten.index.Tensor)
def index(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    given = [i for i, x in enumerate(args[1]) if x is not None]
    if len(given) != 1:
        raise CompileError(f"{node.target} with {len(given)} indices: only one can be compiled")
    return rows(low, node, low.view(args[0]), given[0], args[1][given[0]])


@rule(aten.flip.default)
def flip(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, axes = low.view(args[0]), args[1]
    if len(axes) != 1:
        raise CompileError(f"{node.target} of {len(axes)} axes: flip one after the other")
    axis = axis_of(axes[0], len(x.sizes))
    backwards = torch.arange(x.sizes[axis] - 1, -1, -1, dtype=torch.int32)
    return rows(low, node, x, axis, backwards)


def rows(low: Lowering, node: Node, x: View, axis: int, places: Value) -> View:
    """x[:, places, :]: the axes of `places` stand where `axis` was."""
    index = index_view(low, places)
    spread, seen = x.select(axis, 0), index
    for i, n in enumerate(index.sizes):
        spread = spread.insert(axis + i, n)
    for _ in range(len(x.sizes) - axis - 1):
        seen = seen.insert(len(seen.sizes))
    return take(low, node, spread, seen.expand(sizes_of(node)), x, axis)


@rule(aten.scatter_add.default)
def scatter_add(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    base, axis, index, source = args
    y = low.builder.copy(low.view(base), into=low.result(node))
    axis, places = axis_of(axis, len(y.sizes)), index_view(low, index)
    part, x = y, low.view(source)
    for i, n in enumerate(places.sizes):
        x = x.narrow(i, 0, n)
        part = part.narrow(i, 0, n) if i != axis else part
    spread = part.select(axis, 0).insert(axis, places.sizes[axis])
    integers = (y.sizes[axis], y.strides[axis])
    low.builder.emit(Opcode.SCATTER_ADD, spread, x, places, integers=integers)
    return y


@rule(aten.index_put.default, reads="accumulate")
def index_put(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    base, indices, source = args[:3]
    given = [i for i, x in enumerate(indices) if x is not None]
    constant = len(given) == 1 and isinstance(indices[given[0]], Tensor)
    if not constant or (len(args) > 3 and args[3]) or indices[given[0]].dim() != 1:
        raise CompileError(f"{node.target}: only one list of constant places can be compiled")
    axis, places = given[0], indices[given[0]].tolist()
    y = low.builder.copy(low.view(base), into=low.result(node))
    wide = list(y.sizes)
    wide[axis] = len(places)
    x = low.view(source).expand(wide)
    for first, count in runs(places):
        at = places[first]
        low.builder.copy(x.narrow(axis, first, first + count), into=y.narrow(axis, at, at + count))
    return y


def runs(places: list[int]) -> list[tuple[int, int]]:
    """Where runs of consecutive places begin, and how long they are."""
    found: list[tuple[int, int]] = []
    for i, place in enumerate(places):
        if found and place == places[i - 1] + 1:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((i, 1))
    return found

"""How each ATen operator becomes instructions or views. Knows nothing of policies.

Activations with parameters are in activations.py, what runs along axes in axes.py, products and our
own operators in layers.py.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from metabonk.errors import CompileError
from metabonk.play.compiler.lowering import TYPES, Lowering, Value, rule, type_of
from metabonk.play.compiler.program import Binary, Opcode, Unary
from metabonk.play.compiler.views import Type, View

aten = torch.ops.aten
Args = Sequence[Value]
Kwargs = Mapping[str, Value]

UNARY: dict[Any, Unary] = {
    aten.neg.default: Unary.NEGATE,
    aten.abs.default: Unary.ABS,
    aten.exp.default: Unary.EXP,
    aten.log.default: Unary.LOG,
    aten.tanh.default: Unary.TANH,
    aten.sigmoid.default: Unary.SIGMOID,
    aten.relu.default: Unary.RELU,
    aten.silu.default: Unary.SILU,
    aten.sqrt.default: Unary.SQRT,
    aten.reciprocal.default: Unary.RECIPROCAL,
    aten.round.default: Unary.ROUND,
    aten.floor.default: Unary.FLOOR,
    aten.sin.default: Unary.SIN,
    aten.cos.default: Unary.COS,
    aten.erf.default: Unary.ERF,
    aten.bitwise_not.default: Unary.NOT,
    aten.logical_not.default: Unary.NOT,
}
# The operator and whether its operands change places.
BINARY: dict[Any, tuple[Binary, bool]] = {
    aten.mul.Tensor: (Binary.MULTIPLY, False),
    aten.div.Tensor: (Binary.DIVIDE, False),
    aten.minimum.default: (Binary.MINIMUM, False),
    aten.maximum.default: (Binary.MAXIMUM, False),
    aten.eq.Tensor: (Binary.EQUAL, False),
    aten.eq.Scalar: (Binary.EQUAL, False),
    aten.lt.Tensor: (Binary.LESS, False),
    aten.lt.Scalar: (Binary.LESS, False),
    aten.gt.Tensor: (Binary.LESS, True),
    aten.gt.Scalar: (Binary.LESS, True),
    aten.le.Tensor: (Binary.LESS_EQUAL, False),
    aten.le.Scalar: (Binary.LESS_EQUAL, False),
    aten.ge.Tensor: (Binary.LESS_EQUAL, True),
    aten.ge.Scalar: (Binary.LESS_EQUAL, True),
    aten.bitwise_and.Tensor: (Binary.AND, False),
    aten.logical_and.default: (Binary.AND, False),
    aten.bitwise_or.Tensor: (Binary.OR, False),
    aten.logical_or.default: (Binary.OR, False),
}


def sizes_of(node: Node) -> tuple[int, ...]:
    """Sizes of what a node gives."""
    return tuple(int(n) for n in node.meta["val"].shape)


def dtype_of(node: Any) -> torch.dtype:
    """What torch takes the result of a node for."""
    found: torch.dtype = node.meta["val"].dtype
    return found


def axis_of(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


# Views.


@rule(aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default, aten.clone.default)
def same(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return args[0]  # nothing in an exported graph writes to what it was given


@rule(aten._assert_tensor_metadata.default)
def nothing(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return None


@rule(
    aten.view.default,
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.unsqueeze.default,
    aten.squeeze.dims,
    aten.squeeze.dim,
)
def reshape(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return low.builder.reshape(low.view(args[0]), sizes_of(node))


@rule(aten.view.dtype)
def reinterpret(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    if TYPES.get(args[1]) != x.type:
        raise CompileError(
            f"{node.target} of {x.type.name} as {args[1]}: only bytes as truth values"
        )
    return x


@rule(aten.permute.default)
def permute(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    return x.permute([axis_of(a, len(x.sizes)) for a in args[1]])


@rule(aten.select.int)
def select(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    return x.select(axis_of(args[1], len(x.sizes)), args[2])


def bounds(start: int | None, stop: int | None, size: int) -> tuple[int, int]:
    """What start and stop of a slice mean on an axis."""
    first, last, _ = slice(start, stop).indices(size)
    return first, max(first, last)


@rule(aten.slice.Tensor, reads="dim start end step")
def narrow(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, axis, start, stop, step = (*args, *(None,) * 4)[:5]
    view = low.view(x)
    axis = axis_of(axis or 0, len(view.sizes))
    first, last = bounds(start, stop, view.sizes[axis])
    return view.narrow(axis, first, last, step or 1)


@rule(aten.expand.default)
def expand(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return low.view(args[0]).expand(sizes_of(node))


@rule(aten.split_with_sizes.default, reads="dim")
def split(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, lengths = low.view(args[0]), args[1]
    axis = axis_of(args[2] if len(args) > 2 else 0, len(x.sizes))
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return [x.narrow(axis, s, s + n) for s, n in zip(starts, lengths, strict=True)]


@rule(operator.getitem)
def item(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return args[0][args[1]]


@rule(aten.full_like.default, aten.zeros_like.default, aten.ones_like.default)
def filled(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    meta = node.meta["val"]
    value = args[1] if len(args) > 1 else float(node.target == aten.ones_like.default)
    return torch.full(tuple(meta.shape), value, dtype=meta.dtype)


# Copies.


@rule(aten.copy.default)
def copy(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[1]).expand(sizes_of(node))
    return x if x.type == type_of(node) else low.builder.copy(x, into=low.result(node))


@rule(aten._to_copy.default)
def convert(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x = low.view(args[0])
    y = low.result(node)
    if dtype_of(node) == torch.bool and x.type != Type.U8:
        # True is every number but 0: a copy would cut what follows the point, and the upper bits.
        zero = torch.zeros((), dtype=torch.float32 if x.type == Type.F32 else torch.int32)
        return function(low, node, Unary.NOT, pair(low, node, Binary.EQUAL, x, zero))
    if x.type == Type.U8 and y.type != Type.U8 and dtype_of(node.args[0]) == torch.bool:
        # A truth value may be any byte: it is 1 as a number whichever it is.
        yes, no = (low.view(torch.full((), v, dtype=node.meta["val"].dtype)) for v in (1, 0))
        branches = yes.expand(y.sizes), no.expand(y.sizes)
        return low.builder.emit(Opcode.WHERE, y, x, *branches)
    return x if x.type == y.type else low.builder.copy(x, into=low.builder.like(x, y.type))


@rule(aten.cat.default, reads="dim")
def cat(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    y = low.result(node)
    axis = axis_of(args[1] if len(args) > 1 else 0, len(y.sizes))
    start = 0
    for part in args[0]:
        x = low.view(part)
        if x.count:
            low.builder.copy(x, into=y.narrow(axis, start, start + x.sizes[axis]))
        start += x.sizes[axis]
    return y


@rule(aten.slice_scatter.default, reads="dim start end step")
def slice_scatter(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    base, part, axis, start, stop, step = (*args, *(None,) * 4)[:6]
    y = low.builder.copy(low.view(base), into=low.result(node))
    axis = axis_of(axis or 0, len(y.sizes))
    first, last = bounds(start, stop, y.sizes[axis])
    low.builder.copy(low.view(part), into=y.narrow(axis, first, last, step or 1))
    return y


@rule(aten.select_scatter.default)
def select_scatter(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    base, part, axis, index = args
    y = low.builder.copy(low.view(base), into=low.result(node))
    low.builder.copy(low.view(part), into=y.select(axis_of(axis, len(y.sizes)), index))
    return y


@rule(aten.constant_pad_nd.default, reads="value")
def pad(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, amounts = low.view(args[0]), args[1]
    if min(amounts) < 0:
        raise CompileError(f"{node.target} by {list(amounts)}: cut with a slice what is too much")
    y = low.result(node)
    fill = torch.full((), float(args[2] if len(args) > 2 else 0.0))
    low.builder.copy(low.view(fill).expand(y.sizes), into=y)
    inside, rank = y, len(y.sizes)
    for i in range(len(amounts) // 2):
        axis, before = rank - 1 - i, amounts[2 * i]
        inside = inside.narrow(axis, before, before + x.sizes[axis])
    low.builder.copy(x, into=inside)
    return y


@rule(aten.repeat.default)
def repeat(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, wanted = low.view(args[0]), sizes_of(node)
    if any(
        x.sizes[len(x.sizes) - len(wanted) + i] != 1 and times != 1
        for i, times in enumerate(args[1])
        if len(x.sizes) - len(wanted) + i >= 0
    ):
        raise CompileError(f"{node.target}: only axes of one place can be repeated")
    return x.expand(wanted)


# Functions of elements.


def unary(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return function(low, node, UNARY[node.target], args[0])


def function(
    low: Lowering, node: Node, which: Unary, x: Value, numbers: tuple[float, float] = (0.0, 0.0)
) -> View:
    """y = which(x), of the node's sizes."""
    operand = low.view(x).expand(sizes_of(node))
    type_ = type_of(node)
    if which == Unary.NOT:
        expect_truth(node, operand)
    elif type_ != Type.F32:
        raise CompileError(f"{node.target} of whole numbers: convert them with .float() first")
    elif operand.type != Type.F32:  # torch converts too
        operand = low.builder.copy(operand, into=low.builder.like(operand, Type.F32))
    y = low.builder.like(operand, type_)
    return low.builder.emit(Opcode.UNARY, y, operand, integers=(which,), numbers=numbers)


for target in UNARY:
    rule(target)(unary)


def affine(low: Lowering, node: Node, x: Value, p: float, q: float) -> View:
    """p x + q."""
    return function(low, node, Unary.AFFINE, x, (p, q))


def expect_truth(node: Node, *operands: View) -> None:
    """Raises CompileError for numbers where the core knows truth values only: of numbers torch
    takes the bits one by one, or what is not 0 for true."""
    for operand in operands:
        if operand.type != Type.U8 or dtype_of(node) != torch.bool:
            raise CompileError(f"{node.target} of numbers: compare them first, as in x != 0")


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_float(value: Value) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point()
    return isinstance(value, float) or (isinstance(value, View) and value.type == Type.F32)


@rule(*BINARY)
def binary(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    which, turned = BINARY[node.target]
    a, b = args[:2]
    if is_number(b) and is_float(a) and which == Binary.MULTIPLY:
        return affine(low, node, a, float(b), 0.0)
    if is_number(b) and is_float(a) and which == Binary.DIVIDE and b != 0:
        return affine(low, node, a, 1.0 / float(b), 0.0)
    return pair(low, node, which, *((b, a) if turned else (a, b)))


def pair(low: Lowering, node: Node, which: Binary, a: Value, b: Value) -> View:
    """y = which(a, b), each repeated to the node's sizes and of one type."""
    sizes = sizes_of(node)
    floats = is_float(a) or is_float(b) or which == Binary.DIVIDE  # torch's gives fractions
    logic = which >= Binary.AND
    if logic:
        expect_truth(node, low.view(a), low.view(b))

    def operand(value: Value) -> View:
        if is_number(value):
            value = torch.tensor(float(value)) if floats else torch.tensor(int(value))
        view = low.view(value)
        wanted = Type.U8 if logic else Type.F32 if floats else Type.I32
        if view.type != wanted:
            view = low.builder.copy(view, into=low.builder.new(wanted, view.sizes))
        return view.expand(sizes)

    first, second = operand(a), operand(b)
    y = low.builder.like(first if first.order else second, low.result(node).type)
    return low.builder.emit(Opcode.BINARY, y, first, second, integers=(which,))


@rule(aten.add.Tensor, aten.sub.Tensor, reads="alpha")
def add(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    a, b = args[:2]
    sign = 1.0 if node.target == aten.add.Tensor else -1.0
    alpha = kwargs.get("alpha", 1)
    if is_number(b) and is_float(a):
        return affine(low, node, a, 1.0, sign * float(b) * float(alpha))
    if alpha != 1:
        raise CompileError(f"{node.target} with alpha {alpha}: write the product out")
    return pair(low, node, Binary.ADD if sign > 0 else Binary.SUBTRACT, a, b)


@rule(aten.ne.Scalar, aten.ne.Tensor)
def differs(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return function(low, node, Unary.NOT, pair(low, node, Binary.EQUAL, args[0], args[1]))


@rule(aten.clamp.default, reads="min max")
def clamp(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, least, most = (*args, None, None)[:3]
    least, most = kwargs.get("min", least), kwargs.get("max", most)
    limits = (-float("inf") if least is None else least, float("inf") if most is None else most)
    return function(low, node, Unary.CLAMP, x, limits)


@rule(aten.pow.Tensor_Scalar)
def power(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    if args[1] == 2:
        return function(low, node, Unary.SQUARE, args[0])
    if args[1] == 0.5:
        return function(low, node, Unary.SQRT, args[0])
    raise CompileError(f"{node.target} to the power {args[1]}: only 2 and 0.5")


@rule(aten.rsqrt.default)
def rsqrt(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    root = function(low, node, Unary.SQRT, args[0])
    return function(low, node, Unary.RECIPROCAL, root)


@rule(aten.where.self)
def where(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    y = low.result(node)
    condition, *branches = (low.view(x).expand(y.sizes) for x in args)
    branches = [
        b if b.type == y.type else low.builder.copy(b, into=low.builder.new(y.type, y.sizes))
        for b in branches
    ]
    return low.builder.emit(Opcode.WHERE, y, condition, *branches)

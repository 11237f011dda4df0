"""How products and our own operators become instructions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

import metabonk.ops.cfc_cell
import metabonk.ops.dense
import metabonk.ops.radar  # noqa: F401 - these define the operators below
from metabonk.errors import CompileError
from metabonk.play.compiler.arithmetic import Arithmetic
from metabonk.play.compiler.elements import Args, Kwargs, aten, sizes_of
from metabonk.play.compiler.lowering import Lowering, Value, parameter_name, rule, to_array
from metabonk.play.compiler.program import Binary, Opcode, Unary
from metabonk.play.compiler.views import Type, View
from metabonk.play.compiler.weights import linear_tensors

ours = torch.ops.metabonk
LECUN_SCALE, LECUN_SLOPE = 1.7159, 0.666


def constant(node: Node, value: Value) -> Tensor:
    """Weights; raises CompileError for what is only known when the program runs."""
    if isinstance(value, Tensor):
        return value
    raise CompileError(f"{node.target}: its weights depend on the observation")


@rule(aten.addmm.default)
def addmm(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    bias, x, weight = args[:3]
    y = low.result(node)
    if isinstance(bias, View) or tuple(bias.shape) != y.sizes[1:]:  # a sum that goes on: bias + x W
        product = product_of(low, node, x, weight)
        operand = low.view(bias).expand(y.sizes)
        return low.builder.emit(Opcode.BINARY, y, operand, product, integers=(Binary.ADD,))
    return low.linear(
        low.view(x), low.derive(torch.t, constant(node, weight)), bias, parameter_name(node)
    )


@rule(aten.mm.default)
def mm(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    return product_of(low, node, *args[:2])


def product_of(low: Lowering, node: Node, x: Value, weight: Value) -> View:
    return low.linear(
        low.view(x), low.derive(torch.t, constant(node, weight)), None, parameter_name(node)
    )


@rule(aten.bmm.default)
def bmm(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    """Several layers side by side, [M, B, inputs] -> [M, B, outputs], each with its own weights."""
    x, weight = low.view(args[0]), constant(node, args[1])
    y = low.result(node)
    for member in range(y.sizes[0]):
        own = low.derive(lambda w, m=member: w[m].t(), weight)
        name = f"{parameter_name(node)}.{member}"
        product = low.linear(x.select(0, member), own, None, name)
        low.builder.copy(product, into=y.select(0, member))
    return y


@rule(aten.linear.default, reads="bias")
def linear(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, weight, bias = (*args, kwargs.get("bias"))[:3]
    bias = None if bias is None else constant(node, bias)
    return low.linear(low.view(x), constant(node, weight), bias, parameter_name(node))


@rule(aten.convolution.default)
def convolution(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if transposed or groups != 1 or len(stride) != 2 or any(padding) or set(dilation) != {1}:
        raise CompileError(
            f"{node.target}: only two dimensions without padding, dilation or groups"
        )
    weight = constant(node, weight)
    bias = None if bias is None else constant(node, bias)
    outputs, channels, high, wide = weight.shape
    batch, _, rows, columns = sizes_of(node)
    n, c, h, w = low.view(x).strides
    # Every place that the kernel is put to, with all that it sees there, is a row of a product.
    seen = View(
        low.view(x).storage,
        low.view(x).offset,
        (batch, rows, columns, high, wide, channels),
        (n, h * stride[0], w * stride[1], h, w, c),
    )
    flat = low.derive(lambda w: w.permute(0, 2, 3, 1).reshape(outputs, -1), weight)
    runs = channels == 1 or c == 1
    if runs and (wide == 1 or w == channels):
        return convolved(low, node, seen, flat, bias).permute((0, 3, 1, 2))
    patches = low.builder.reshape(seen, (batch * rows * columns, high * wide * channels))
    y = low.linear(patches, flat, bias, parameter_name(node))
    return low.builder.reshape(y, (batch, rows, columns, outputs)).permute((0, 3, 1, 2))


def convolved(low: Lowering, node: Node, seen: View, weight: Tensor, bias: Value) -> View:
    """`seen` [B, rows, columns, high, wide, channels], whose last two axes lie in one piece, times
    weight [outputs, high wide channels]: [B, rows, columns, outputs], without patches in memory."""
    build, (batch, rows, columns, high, wide, channels) = low.builder, seen.sizes
    x = View(
        seen.storage,
        seen.offset,
        (batch, rows, columns, high, wide * channels),
        (*seen.strides[:4], 1),
    )
    name = low.unused(parameter_name(node))
    sources = low.source(weight), None if bias is None else low.source(bias)
    integers = linear_tensors(build, low.precision, name, *sources)
    y = build.new(Type.F32, (batch, rows, columns, len(weight)))
    return build.emit(Opcode.CONVOLVE, y, x, integers=integers)


@rule(ours.dense.default)
def dense(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    bias, inputs, weights = args[:3]
    x = Arithmetic(low.builder).joined([low.view(part) for part in inputs])
    whole = low.derive(torch.cat, [constant(node, weight) for weight in weights], 1)
    y = low.linear(x, whole, constant(node, bias), parameter_name(node))
    return low.builder.emit(
        Opcode.UNARY, low.result(node), y, integers=(Unary.TANH,), numbers=(0, 0)
    )


@rule(ours.radar.default)
def radar(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    rows, mask, rings, reach = args[:4]
    operands = (low.builder.dense(low.view(rows)), low.builder.dense(low.view(mask)))
    numbers = (reach, *rings)
    return low.builder.emit(Opcode.RADAR, low.result(node), *operands, numbers=numbers)


@rule(ours.cfc_scan.default)
def cfc_scan(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, h, dt, keep, *weights = args[:8]
    steps = low.view(x).sizes[0]
    if steps != 1:
        raise CompileError(f"cfc_scan over {steps} steps: a policy takes one at a time")
    out = cfc(low, node, low.view(x).select(0, 0), h, dt, keep, weights)
    return [out.insert(0), None, None]


@rule(ours.cfc_cell.default)
def cfc_cell(low: Lowering, node: Node, args: Args, kwargs: Kwargs) -> Value:
    x, h, dt, keep, *weights = args[:8]
    return [cfc(low, node, low.view(x), h, dt, keep, weights), None, None]


def cfc(
    low: Lowering, node: Node, x: View, h: Value, dt: Value, keep: Value, weights: Args
) -> View:
    """One step: an instruction of its own in float32, two layers and what joins them otherwise."""
    build, batch, hidden = low.builder, x.sizes[0], low.view(h).sizes[1]
    extra = [None if v is None else build.reshape(low.view(v), (batch,)) for v in (dt, keep)]
    w_in, b_in, w_heads, b_heads = (constant(node, w) for w in weights)
    if not low.precision.exact:
        return cfc_parts(low, node, x, low.view(h), extra, (w_in, b_in, w_heads, b_heads))
    name = parameter_name(node)
    places = [
        build.tensor(f"{name}.{key}", to_array(w), low.source(w)).storage.number
        for key, w in zip(
            ("w_in", "b_in", "w_heads", "b_heads"), (w_in, b_in, w_heads, b_heads), strict=True
        )
    ]
    flags = [int(v is not None) for v in extra]
    operands = [build.dense(x), build.dense(low.view(h)), *(v for v in extra if v is not None)]
    y = build.new(Type.F32, (batch, hidden))
    return build.emit(Opcode.CFC, y, *operands, integers=(*places, *flags))


def cfc_parts(
    low: Lowering,
    node: Node,
    x: View,
    h: View,
    extra: list[View | None],
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> View:
    """The formula of metabonk.ops.cfc_scan over layers in few bits."""
    math, (batch, hidden) = Arithmetic(low.builder), h.sizes
    dt, keep = (None if v is None else v.insert(1).expand((batch, hidden)) for v in extra)
    before = h if keep is None else math.multiply(keep, h)
    name, (w_in, b_in, w_heads, b_heads) = parameter_name(node), weights
    w_in, b_in = (low.derive(torch.mul, w, LECUN_SLOPE) for w in (w_in, b_in))
    z = low.linear(math.joined([x, before]), w_in, b_in, f"{name}.in")
    z = math.affine(math.unary(Unary.TANH, z), LECUN_SCALE)
    heads = low.linear(z, w_heads, b_heads, f"{name}.heads")
    f1, f2, a, s = (heads.narrow(1, i * hidden, (i + 1) * hidden) for i in range(4))
    timed = a if dt is None else math.multiply(a, dt)
    t = math.unary(Unary.SIGMOID, math.add(timed, s))
    first, second = math.unary(Unary.TANH, f1), math.unary(Unary.TANH, f2)
    # (1 - t) f1 + t f2
    return math.add(first, math.multiply(t, math.subtract(second, first)))

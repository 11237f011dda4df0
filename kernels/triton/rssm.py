"""Layers of recurrent state-space models: a linear layer that gathers one-hot inputs, and a GRU.

    layer   y = act(k (x W^T + sum_g T[g, index_g]) + b)
    gru     h := k h
            r = sigmoid(W_r x + b_r + U_r h + c_r),  z = sigmoid(W_z x + b_z + U_z h + c_z)
            n = tanh(W_n x + b_n + r (U_n h + c_n)),  h' = (1 - z) n + z h

(Hafner et al. 2019 and 2021; Cho et al. 2014, gates in torch.nn.GRUCell's order.) k is 0 for rows
that forget, b a number per output, or per row and output where part of the sum was made before. A
latent state of 32 classes out of 32 is 32 rows of T instead of a product with 1,024 mostly zero
inputs. Weights in float32 are multiplied by three products of tf32, weights in bf16 by one of bf16,
to which x is rounded then; sums are float32. Knows layers; what chains them is rssm_scan.py.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import elu, sigmoid, silu, tanh
from .kernel import Kernel, blocks, tile_for


@triton.jit
def _load(left, weight, there, unit, units, column, width, stride):
    """A tile of the inputs, in the weights' dtype, and one of the weights."""
    within = column < width
    a = tl.load(left + column[None, :], there & within[None, :], 0.0)
    mask = (unit < units)[None, :] & within[:, None]
    b = tl.load(weight + unit[None, :] * stride + column[:, None], mask, 0.0)
    return a.to(weight.dtype.element_ty), b


@triton.jit
def _layer(
    x, weight, index, table, bias, keep, y, rows, inputs, stride, outputs, groups, classes,
    ACTIVATION: tl.constexpr, DENSE: tl.constexpr, ADDED: tl.constexpr, KEEPS: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """DENSE: whether there is an x. ADDED: whether bias is [rows, outputs]. stride: between the
    weight's rows, so that it may be a part of a wider matrix."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    there, own = (row < rows)[:, None], output < outputs
    wide = row[:, None].to(tl.int64)
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    if DENSE:
        for first in range(0, inputs, INPUTS):
            column = first + tl.arange(0, INPUTS)
            a, b = _load(x + wide * inputs, weight, there, output, outputs, column, inputs, stride)
            total = tl.dot(a, b, total, input_precision=PRECISION)
    for group in range(0, groups):
        class_ = tl.load(index + row.to(tl.int64) * groups + group, row < rows, 0)
        place = (group * classes + class_)[:, None].to(tl.int64) * outputs + output[None, :]
        total += tl.load(table + place, there & own[None, :], 0.0).to(tl.float32)
    if KEEPS:
        total *= tl.load(keep + row, row < rows, 0.0)[:, None]
    if ADDED:
        total += tl.load(bias + wide * outputs + output[None, :], there & own[None, :], 0.0)
    else:
        total += tl.load(bias + output, own, 0.0)[None, :]
    if ACTIVATION == "elu":
        total = elu(total)
    elif ACTIVATION == "silu":
        total = silu(total)
    elif ACTIVATION == "tanh":
        total = tanh(total)
    tl.store(y + wide * outputs + output[None, :], total, there & own[None, :])


@triton.jit
def _three(
    left, weight, first_total, second_total, third_total, factor, there, unit, hidden, inputs,
    INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Products of one input with the three gates' weights, each [hidden, inputs]."""
    for first in range(0, inputs, INPUTS):
        column = first + tl.arange(0, INPUTS)
        a, b = _load(left, weight, there, unit, hidden, column, inputs, inputs)
        a = (a * factor).to(a.dtype)
        mask = (unit < hidden)[None, :] & (column < inputs)[:, None]
        place = weight + unit[None, :] * inputs + column[:, None]
        first_total = tl.dot(a, b, first_total, input_precision=PRECISION)
        b = tl.load(place + hidden * inputs, mask, 0.0)
        second_total = tl.dot(a, b, second_total, input_precision=PRECISION)
        b = tl.load(place + 2 * hidden * inputs, mask, 0.0)
        third_total = tl.dot(a, b, third_total, input_precision=PRECISION)
    return first_total, second_total, third_total


@triton.jit
def _bias(bias, unit, own, ROWS: tl.constexpr, UNITS: tl.constexpr):
    return tl.zeros((ROWS, UNITS), tl.float32) + tl.load(bias + unit, own, 0.0)[None, :]


@triton.jit
def _gru(
    x, h, keep, w_x, w_h, b_x, b_h, out, gates, rows, inputs, hidden, KEEPS: tl.constexpr,
    SAVING: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, INPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, own = (row < rows)[:, None], unit < hidden
    wide = row[:, None].to(tl.int64)
    one = tl.full((ROWS, 1), 1.0, tl.float32)
    factor = one
    if KEEPS:
        factor = tl.load(keep + row, row < rows, 0.0)[:, None]
    reset = _bias(b_x, unit, own, ROWS, UNITS) + _bias(b_h, unit, own, ROWS, UNITS)
    update = _bias(b_x + hidden, unit, own, ROWS, UNITS)
    update += _bias(b_h + hidden, unit, own, ROWS, UNITS)
    new = _bias(b_x + 2 * hidden, unit, own, ROWS, UNITS)
    old = _bias(b_h + 2 * hidden, unit, own, ROWS, UNITS)
    reset, update, new = _three(
        x + wide * inputs, w_x, reset, update, new, one, there, unit, hidden, inputs, INPUTS,
        PRECISION,
    )  # fmt: skip
    reset, update, old = _three(
        h + wide * hidden, w_h, reset, update, old, factor, there, unit, hidden, hidden, INPUTS,
        PRECISION,
    )  # fmt: skip
    reset, update = sigmoid(reset), sigmoid(update)
    new = tanh(new + reset * old)
    inside = there & own[None, :]
    place = wide * hidden + unit[None, :]
    before = tl.load(h + place, inside, 0.0) * factor
    tl.store(out + place, new + update * (before - new), inside)
    if SAVING:
        to = gates + wide * 4 * hidden + unit[None, :]
        tl.store(to, reset, inside)
        tl.store(to + hidden, update, inside)
        tl.store(to + 2 * hidden, new, inside)
        tl.store(to + 3 * hidden, old, inside)


def _layer_types(weight: str) -> dict[str, str]:
    pointers = {"x": "*fp32", "weight": weight, "index": "*i32", "table": weight}
    pointers |= dict.fromkeys(("bias", "keep", "y"), "*fp32")
    widths = dict.fromkeys(("inputs", "stride", "outputs"), "i32:16")
    return pointers | {"rows": "i32"} | widths | {"groups": "i32", "classes": "i32:16"}


def _gru_types(weight: str) -> dict[str, str]:
    pointers = {"x": "*fp32", "h": "*fp32", "keep": "*fp32", "w_x": weight, "w_h": weight}
    pointers |= dict.fromkeys(("b_x", "b_h", "out", "gates"), "*fp32")
    return pointers | {"rows": "i32", "inputs": "i32:16", "hidden": "i32:16"}


LAYERS = {
    torch.float32: Kernel("rssm_layer", _layer, _layer_types("*fp32")),
    torch.bfloat16: Kernel("rssm_layer_bf16", _layer, _layer_types("*bf16")),
}
GRUS = {
    torch.float32: Kernel("gru", _gru, _gru_types("*fp32")),
    torch.bfloat16: Kernel("gru_bf16", _gru, _gru_types("*bf16")),
}
KERNELS = {k.name: k for kernels in (LAYERS, GRUS) for k in kernels.values()}


def layer(
    x: Tensor | None,
    weight: Tensor | None,
    index: Tensor | None,
    table: Tensor | None,
    bias: Tensor,
    activation: str,
    keep: Tensor | None = None,
    tile: Tile | None = None,
) -> Tensor:
    """y [rows, outputs] float32.

    x [rows, inputs] float32 with weight [outputs, inputs], whose rows may lie apart; index [rows,
    groups] int32 with table [groups, classes, outputs]; either pair or both. bias [outputs] or
    [rows, outputs] and keep [rows] float32; weight and table float32 or bf16; activation "elu",
    "silu", "tanh" or "".
    """
    first = x if x is not None else index
    some = weight if weight is not None else table
    if first is None or some is None:
        raise ValueError("layer: neither x and weight nor index and table; wanted either or both")
    rows, outputs = len(first), bias.shape[-1]
    kernel = LAYERS[some.dtype]
    tile = tile or tile_for(kernel, bias.device, rows=rows)
    y = bias.new_empty(rows, outputs)
    groups, classes = (0, 0) if table is None else table.shape[:2]
    if rows:
        kernel(
            (blocks(rows, tile.constants["ROWS"]), blocks(outputs, tile.constants["OUTPUTS"])),
            tile,
            y if x is None else x,
            some,
            y if index is None else index,
            some if table is None else table,
            bias,
            y if keep is None else keep,
            y,
            rows,
            0 if x is None else x.shape[1],
            0 if weight is None else weight.stride(0),
            outputs,
            groups,
            classes,
            ACTIVATION=activation,
            DENSE=x is not None,
            ADDED=bias.dim() == 2,
            KEEPS=keep is not None,
        )
    return y


def gru(
    x: Tensor,
    h: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    b_x: Tensor,
    b_h: Tensor,
    keep: Tensor | None = None,
    out: Tensor | None = None,
    gates: Tensor | None = None,
    tile: Tile | None = None,
) -> Tensor:
    """The next h [rows, hidden], in `out` where that is given.

    x [rows, inputs], h [rows, hidden], biases [3 hidden], keep [rows] float32; w_x [3 hidden,
    inputs], w_h [3 hidden, hidden] float32 or bf16. gates [rows, 4 hidden]: filled with r, z, n and
    what r multiplies.
    """
    rows, inputs = x.shape
    hidden = h.shape[1]
    kernel = GRUS[w_x.dtype]
    tile = tile or tile_for(kernel, x.device, rows=rows)
    if out is None:
        out = h.new_empty(rows, hidden)
    if rows:
        kernel(
            (blocks(rows, tile.constants["ROWS"]), blocks(hidden, tile.constants["UNITS"])),
            tile,
            x,
            h,
            h if keep is None else keep,
            w_x,
            w_h,
            b_x,
            b_h,
            out,
            out if gates is None else gates,
            rows,
            inputs,
            hidden,
            KEEPS=keep is not None,
            SAVING=gates is not None,
        )
    return out

"""Layers of recurrent state-space models: a linear layer that gathers one-hot inputs, and a GRU.

    layer   y = act(x W^T + sum_g T[g, index_g] + b)
    gru     r = sigmoid(W_r x + b_r + U_r h + c_r),  z = sigmoid(W_z x + b_z + U_z h + c_z)
            n = tanh(W_n x + b_n + r (U_n h + c_n)),  h' = (1 - z) n + z h

(Hafner et al. 2019 and 2021; Cho et al. 2014, gates in torch.nn.GRUCell's order.) A latent state of
32 classes out of 32 is 32 rows of T instead of a product with 1,024 mostly zero inputs. Weights in
float32 are multiplied by three products of tf32, weights in bf16 by one of bf16, to which x is
rounded then; sums are float32. Each is one launch, so a step of prior and posterior is one launch
per dependent layer, and `sample.categorical` behind the logits. Knows layers, not models.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import sigmoid, silu, tanh
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
    x, weight, index, table, bias, y, rows, inputs, outputs, groups, classes,
    ACTIVATION: tl.constexpr, DENSE: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """DENSE: whether there is an x at all."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    there, own = (row < rows)[:, None], output < outputs
    wide = row[:, None].to(tl.int64)
    total = tl.zeros((ROWS, OUTPUTS), tl.float32) + tl.load(bias + output, own, 0.0)[None, :]
    if DENSE:
        for first in range(0, inputs, INPUTS):
            column = first + tl.arange(0, INPUTS)
            a, b = _load(x + wide * inputs, weight, there, output, outputs, column, inputs, inputs)
            total = tl.dot(a, b, total, input_precision=PRECISION)
    for group in range(0, groups):
        class_ = tl.load(index + row.to(tl.int64) * groups + group, row < rows, 0)
        place = (group * classes + class_)[:, None].to(tl.int64) * outputs + output[None, :]
        total += tl.load(table + place, there & own[None, :], 0.0).to(tl.float32)
    if ACTIVATION == "silu":
        total = silu(total)
    elif ACTIVATION == "tanh":
        total = tanh(total)
    tl.store(y + wide * outputs + output[None, :], total, there & own[None, :])


@triton.jit
def _gru(
    x, h, w_x, w_h, b_x, b_h, out, rows, inputs, hidden, ROWS: tl.constexpr, UNITS: tl.constexpr,
    INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    there, own = (row < rows)[:, None], unit < hidden
    wide = row[:, None].to(tl.int64)
    reset = tl.zeros((ROWS, UNITS), tl.float32)
    reset += (tl.load(b_x + unit, own, 0.0) + tl.load(b_h + unit, own, 0.0))[None, :]
    update = tl.zeros((ROWS, UNITS), tl.float32)
    update += (tl.load(b_x + hidden + unit, own, 0.0) + tl.load(b_h + hidden + unit, own, 0.0))[
        None, :
    ]
    new = tl.zeros((ROWS, UNITS), tl.float32) + tl.load(b_x + 2 * hidden + unit, own, 0.0)[None, :]
    old = tl.zeros((ROWS, UNITS), tl.float32) + tl.load(b_h + 2 * hidden + unit, own, 0.0)[None, :]
    for first in range(0, inputs, INPUTS):
        column = first + tl.arange(0, INPUTS)
        a, b = _load(x + wide * inputs, w_x, there, unit, hidden, column, inputs, inputs)
        mask = own[None, :] & (column < inputs)[:, None]
        place = w_x + unit[None, :] * inputs + column[:, None]
        reset = tl.dot(a, b, reset, input_precision=PRECISION)
        b = tl.load(place + hidden * inputs, mask, 0.0)
        update = tl.dot(a, b, update, input_precision=PRECISION)
        b = tl.load(place + 2 * hidden * inputs, mask, 0.0)
        new = tl.dot(a, b, new, input_precision=PRECISION)
    for first in range(0, hidden, INPUTS):
        column = first + tl.arange(0, INPUTS)
        a, b = _load(h + wide * hidden, w_h, there, unit, hidden, column, hidden, hidden)
        mask = own[None, :] & (column < hidden)[:, None]
        place = w_h + unit[None, :] * hidden + column[:, None]
        reset = tl.dot(a, b, reset, input_precision=PRECISION)
        b = tl.load(place + hidden * hidden, mask, 0.0)
        update = tl.dot(a, b, update, input_precision=PRECISION)
        b = tl.load(place + 2 * hidden * hidden, mask, 0.0)
        old = tl.dot(a, b, old, input_precision=PRECISION)
    gate = sigmoid(update)
    fresh = tanh(new + sigmoid(reset) * old)
    place = wide * hidden + unit[None, :]
    before = tl.load(h + place, there & own[None, :], 0.0)
    tl.store(out + place, fresh + gate * (before - fresh), there & own[None, :])


def _layer_types(weight: str) -> dict[str, str]:
    pointers = {"x": "*fp32", "weight": weight, "index": "*i64", "table": weight}
    sizes = {"rows": "i32", "inputs": "i32:16", "outputs": "i32:16", "groups": "i32"}
    return pointers | {"bias": "*fp32", "y": "*fp32"} | sizes | {"classes": "i32:16"}


def _gru_types(weight: str) -> dict[str, str]:
    pointers = {"x": "*fp32", "h": "*fp32", "w_x": weight, "w_h": weight}
    pointers |= {"b_x": "*fp32", "b_h": "*fp32", "out": "*fp32"}
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
    tile: Tile | None = None,
) -> Tensor:
    """x [rows, inputs] float32 with weight [outputs, inputs], index [rows, groups] int64 with table
    [groups, classes, outputs], either pair or both; bias [outputs] float32; activation "silu",
    "tanh" or "". weight and table float32 or bf16. y [rows, outputs] float32."""
    first = x if x is not None else index
    some = weight if weight is not None else table
    if first is None or some is None:
        raise ValueError("layer: neither x and weight nor index and table; wanted either or both")
    rows, outputs = len(first), len(bias)
    kernel = LAYERS[some.dtype]
    tile = tile or tile_for(kernel, bias.device, rows=rows)
    y = bias.new_empty(rows, outputs)
    groups, classes = (0, 0) if table is None else table.shape[:2]
    if rows:
        kernel(
            (blocks(rows, tile.constants["ROWS"]), blocks(outputs, tile.constants["OUTPUTS"])),
            tile,
            y if x is None else x,
            some if weight is None else weight,
            y if index is None else index,
            some if table is None else table,
            bias,
            y,
            rows,
            0 if x is None else x.shape[1],
            outputs,
            groups,
            classes,
            ACTIVATION=activation,
            DENSE=x is not None,
        )
    return y


def gru(
    x: Tensor,
    h: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    b_x: Tensor,
    b_h: Tensor,
    tile: Tile | None = None,
) -> Tensor:
    """x [rows, inputs], h [rows, hidden], biases [3 hidden] float32; w_x [3 hidden, inputs], w_h
    [3 hidden, hidden] float32 or bf16. The next h."""
    rows, inputs = x.shape
    hidden = h.shape[1]
    kernel = GRUS[w_x.dtype]
    tile = tile or tile_for(kernel, x.device, rows=rows)
    out = torch.empty_like(h)
    if rows:
        grid = (blocks(rows, tile.constants["ROWS"]), blocks(hidden, tile.constants["UNITS"]))
        kernel(grid, tile, x, h, w_x, w_h, b_x, b_h, out, rows, inputs, hidden)
    return out

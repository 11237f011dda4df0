"""The closed-form continuous-time cell: one step over many blocks, or all steps in one program.

    z  = 1.7159 tanh(0.666 (W [x, keep h] + b))          `_backbone`
    f1, f2, a, s = V z + c,  t = sigmoid(a dt + s)
    h' = (1 - t) tanh(f1) + t tanh(f2)                    `_heads`

A step is two launches, one per layer, each spread over units and rows. `scan` gives every program a
few rows for all steps, where there are rows enough to fill the device that way: then nothing but
the carried state passes between steps, through the cache, and a launch costs once. Products in
float32 by three of tf32 (or as the tile says). Shapes and names: `metabonk.ops.cfc_scan`, whose
gradient reads what `saving` keeps.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .elementary import sigmoid, tanh
from .kernel import Kernel, blocks, multiprocessors, tile_for


@triton.jit
def _product(
    total, left, weight, factor, there, unit, units, inputs, stride, INPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """total [ROWS, UNITS] + factor left weight^T; left: pointers to rows [ROWS, 1], `weight` to a
    matrix of `units` rows, `stride` apart."""
    for first in range(0, inputs, INPUTS):
        column = first + tl.arange(0, INPUTS)
        within = column < inputs
        a = tl.load(left + column[None, :], there & within[None, :], 0.0)
        b = tl.load(
            weight + unit[None, :] * stride + column[:, None],
            (unit < units)[None, :] & within[:, None],
            0.0,
        )
        total = tl.dot(a * factor, b, total, input_precision=PRECISION)
    return total


@triton.jit
def _backbone_tile(
    x, h, keep, w_in, b_in, z, row, unit, rows, inputs, hidden, units, KEEPS: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    there = (row < rows)[:, None]
    wide = row[:, None].to(tl.int64)
    factor = tl.full((ROWS, 1), 1.0, tl.float32)
    if KEEPS:
        factor = tl.load(keep + row, row < rows, 0.0)[:, None]
    total = tl.zeros((ROWS, UNITS), tl.float32) + tl.load(b_in + unit, unit < units, 0.0)[None, :]
    one = tl.full((ROWS, 1), 1.0, tl.float32)
    both = inputs + hidden
    total = _product(
        total, x + wide * inputs, w_in, one, there, unit, units, inputs, both, INPUTS, PRECISION
    )
    total = _product(
        total, h + wide * hidden, w_in + inputs, factor, there, unit, units, hidden, both, INPUTS,
        PRECISION,
    )  # fmt: skip
    to = z + wide * units + unit[None, :]
    tl.store(to, 1.7159 * tanh(0.666 * total), there & (unit < units)[None, :])


@triton.jit
def _heads_tile(
    z, dt, w_heads, b_heads, out, heads, row, unit, rows, hidden, units, TIMED: tl.constexpr,
    SAVING: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, INPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    there, own = (row < rows)[:, None], unit < hidden
    wide = row[:, None].to(tl.int64)
    f1 = tl.zeros((ROWS, UNITS), tl.float32) + tl.load(b_heads + unit, own, 0.0)[None, :]
    f2 = tl.zeros((ROWS, UNITS), tl.float32) + tl.load(b_heads + hidden + unit, own, 0.0)[None, :]
    rate = tl.zeros((ROWS, UNITS), tl.float32)
    rate += tl.load(b_heads + 2 * hidden + unit, own, 0.0)[None, :]
    gate = tl.zeros((ROWS, UNITS), tl.float32)
    gate += tl.load(b_heads + 3 * hidden + unit, own, 0.0)[None, :]
    size = hidden * units  # of one head's weights
    for first in range(0, units, INPUTS):
        column = first + tl.arange(0, INPUTS)
        within = column < units
        a = tl.load(z + wide * units + column[None, :], there & within[None, :], 0.0)
        b = w_heads + unit[None, :] * units + column[:, None]
        mask = own[None, :] & within[:, None]
        f1 = tl.dot(a, tl.load(b, mask, 0.0), f1, input_precision=PRECISION)
        f2 = tl.dot(a, tl.load(b + size, mask, 0.0), f2, input_precision=PRECISION)
        rate = tl.dot(a, tl.load(b + 2 * size, mask, 0.0), rate, input_precision=PRECISION)
        gate = tl.dot(a, tl.load(b + 3 * size, mask, 0.0), gate, input_precision=PRECISION)
    f1, f2 = tanh(f1), tanh(f2)
    time = tl.full((ROWS, 1), 1.0, tl.float32)
    if TIMED:
        time = tl.load(dt + row, row < rows, 0.0)[:, None]
    gate = sigmoid(rate * time + gate)
    inside = there & own[None, :]
    tl.store(out + wide * hidden + unit[None, :], f1 + gate * (f2 - f1), inside)
    if SAVING:
        to = heads + wide * 4 * hidden + unit[None, :]
        tl.store(to, f1, inside)
        tl.store(to + hidden, f2, inside)
        tl.store(to + 2 * hidden, rate, inside)
        tl.store(to + 3 * hidden, gate, inside)


@triton.jit
def _backbone(
    x, h, keep, w_in, b_in, z, rows, inputs, hidden, units, KEEPS: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    _backbone_tile(
        x, h, keep, w_in, b_in, z, row, unit, rows, inputs, hidden, units, KEEPS, ROWS, UNITS,
        INPUTS, PRECISION,
    )  # fmt: skip


@triton.jit
def _heads(
    z, dt, w_heads, b_heads, out, heads, rows, hidden, units, TIMED: tl.constexpr,
    SAVING: tl.constexpr, ROWS: tl.constexpr, UNITS: tl.constexpr, INPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    _heads_tile(
        z, dt, w_heads, b_heads, out, heads, row, unit, rows, hidden, units, TIMED, SAVING, ROWS,
        UNITS, INPUTS, PRECISION,
    )  # fmt: skip


@triton.jit
def _scan(
    x, h, dt, keep, w_in, b_in, w_heads, b_heads, out, z, heads, steps, rows, inputs, hidden,
    units, KEEPS: tl.constexpr, TIMED: tl.constexpr, SAVING: tl.constexpr, ROWS: tl.constexpr,
    UNITS: tl.constexpr, INPUTS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """z holds one step where nothing is saved. State and z pass from thread to thread through
    memory that only this program writes, with a barrier after each layer."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    before = h
    for _ in range(0, steps):
        for first in range(0, units, UNITS):
            unit = first + tl.arange(0, UNITS)
            _backbone_tile(
                x, before, keep, w_in, b_in, z, row, unit, rows, inputs, hidden, units, KEEPS,
                ROWS, UNITS, INPUTS, PRECISION,
            )  # fmt: skip
        tl.debug_barrier()
        for first in range(0, hidden, UNITS):
            unit = first + tl.arange(0, UNITS)
            _heads_tile(
                z, dt, w_heads, b_heads, out, heads, row, unit, rows, hidden, units, TIMED,
                SAVING, ROWS, UNITS, INPUTS, PRECISION,
            )  # fmt: skip
        tl.debug_barrier()
        before = out
        x += tl.cast(rows, tl.int64) * inputs
        out += tl.cast(rows, tl.int64) * hidden
        if KEEPS:
            keep += rows
        if TIMED:
            dt += rows
        if SAVING:
            z += tl.cast(rows, tl.int64) * units
            heads += tl.cast(rows, tl.int64) * 4 * hidden


def _types(pointers: str, counts: str, widths: str) -> dict[str, str]:
    """widths: sizes that are multiples of 16 in networks worth the name, so that loads are wide."""
    types = dict.fromkeys(pointers.split(), "*fp32") | dict.fromkeys(counts.split(), "i32")
    return types | dict.fromkeys(widths.split(), "i32:16")


BACKBONE = Kernel(
    "cfc_backbone", _backbone, _types("x h keep w_in b_in z", "rows", "inputs hidden units")
)
HEADS = Kernel(
    "cfc_heads", _heads, _types("z dt w_heads b_heads out heads", "rows", "hidden units")
)
SCAN = Kernel(
    "cfc_scan",
    _scan,
    _types(
        "x h dt keep w_in b_in w_heads b_heads out z heads", "steps rows", "inputs hidden units"
    ),
)
KERNELS = {kernel.name: kernel for kernel in (BACKBONE, HEADS, SCAN)}


def _step(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    out: Tensor,
    z: Tensor,
    heads: Tensor | None,
) -> None:
    w_in, b_in, w_heads, b_heads = weights
    (rows, inputs), hidden, units = x.shape, h.shape[1], len(b_in)
    tile = tile_for(BACKBONE, x.device, rows=rows)
    sizes = tile.constants["ROWS"], tile.constants["UNITS"]
    BACKBONE(
        (blocks(rows, sizes[0]), blocks(units, sizes[1])),
        tile,
        x,
        h,
        x if keep is None else keep,
        w_in,
        b_in,
        z,
        rows,
        inputs,
        hidden,
        units,
        KEEPS=keep is not None,
    )
    tile = tile_for(HEADS, x.device, rows=rows)
    sizes = tile.constants["ROWS"], tile.constants["UNITS"]
    HEADS(
        (blocks(rows, sizes[0]), blocks(hidden, sizes[1])),
        tile,
        z,
        x if dt is None else dt,
        w_heads,
        b_heads,
        out,
        out if heads is None else heads,
        rows,
        hidden,
        units,
        TIMED=dt is not None,
        SAVING=heads is not None,
    )


def scan(
    x: Tensor,
    h: Tensor,
    dt: Tensor | None,
    keep: Tensor | None,
    w_in: Tensor,
    b_in: Tensor,
    w_heads: Tensor,
    b_heads: Tensor,
    saving: bool,
    whole: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """All steps; float32, contiguous. out [T, B, hidden], z [T, B, units], heads [T, B, 4 hidden];
    the last two without elements unless `saving`.

    whole: all steps in one launch; None: where the rows fill half of the device that way.
    """
    steps, rows, inputs = x.shape
    hidden, units = h.shape[1], len(b_in)
    out = x.new_empty(steps, rows, hidden)
    z = x.new_empty(steps if saving else 1, rows, units)
    heads = x.new_empty(steps, rows, 4 * hidden) if saving else x.new_empty(0)
    tile = tile_for(SCAN, x.device, rows=rows)
    programs = blocks(rows, tile.constants["ROWS"])
    if whole is None:
        whole = steps > 1 and 2 * programs >= multiprocessors(x.device)
    if whole:
        SCAN(
            (programs,),
            tile,
            x,
            h,
            x if dt is None else dt,
            x if keep is None else keep,
            w_in,
            b_in,
            w_heads,
            b_heads,
            out,
            z,
            heads if saving else out,
            steps,
            rows,
            inputs,
            hidden,
            units,
            KEEPS=keep is not None,
            TIMED=dt is not None,
            SAVING=saving,
        )
    else:
        weights = w_in, b_in, w_heads, b_heads
        for i in range(steps):
            _step(
                x[i],
                h if i == 0 else out[i - 1],
                None if dt is None else dt[i],
                None if keep is None else keep[i],
                weights,
                out[i],
                z[i if saving else 0],
                heads[i] if saving else None,
            )
    return out, (z if saving else x.new_empty(0)), heads

"""Rows of float32 to codes of few bits with a scale per row, as products of few bits want them.

    int8   code = round(x 127 / largest),  scale = largest / 127       the bits of ops.qlinear
    e4m3   code = e4m3(x / scale),         scale = largest / 448
    bf16   code = bf16(x)
    nvfp4  scale_b = e4m3(largest_b / (6 t)) per block of 16,  t = largest / (6 448) per row,
           code = e2m1(x / (scale_b t)), two per byte, the even one low

Rows below 2^-100 count as zero (int8, e4m3, nvfp4); a row that holds NaN or infinity gets a NaN for
a scale. Codes of a row are padded with zeros to `stride`, so that products need no masks. Knows
numbers, not what multiplies them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import from_e4m3, round_even, to_bf16, to_e2m1, to_e4m3
from .kernel import Kernel, blocks, tile_for

LINE = 128  # codes of a row are padded to a multiple of it
TINY = tl.constexpr(2.0**-100)


@triton.jit
def _largest(x, start, there, inputs, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Of |x| in each row, NaN or infinity where the row holds one."""
    largest = tl.zeros((ROWS,), tl.int32)
    for first in range(0, inputs, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        value = tl.load(x + start + column[None, :], there & (column < inputs)[None, :], 0.0)
        bits = value.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # these order as |x| does
        largest = tl.maximum(largest, tl.max(bits, 1))
    return largest.to(tl.float32, bitcast=True)


@triton.jit
def _row_scale(largest, most: tl.constexpr):
    """The scale of a row, and what its numbers are multiplied with."""
    small = largest < TINY
    scale = tl.div_rn(largest, tl.full(largest.shape, most, tl.float32))
    scale = tl.where(largest < float("inf"), scale, float("nan"))
    into = tl.div_rn(tl.full(largest.shape, most, tl.float32), tl.where(small, 1.0, largest))
    return tl.where(small, 0.0, scale), tl.where(small, 0.0, into)


@triton.jit
def _rows(
    x, codes, scales, rows, inputs, stride, FORMAT: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = (row < rows)[:, None]
    start = row[:, None].to(tl.int64) * inputs
    to = codes + row[:, None].to(tl.int64) * stride
    if FORMAT != "bf16":
        largest = _largest(x, start, there, inputs, ROWS, COLUMNS)
        scale, into = _row_scale(largest, 127.0 if FORMAT == "int8" else 448.0)
        tl.store(scales + row, scale, row < rows)
        finite = (largest < float("inf"))[:, None]
    for first in range(0, stride, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        value = tl.load(x + start + column[None, :], there & (column < inputs)[None, :], 0.0)
        if FORMAT == "int8":
            code = round_even(tl.where(finite, value * into[:, None], 0.0)).to(tl.int8)
        elif FORMAT == "e4m3":
            value = tl.where(finite & (scale > 0.0)[:, None], value, 0.0)
            divisor = tl.where(scale > 0.0, scale, 1.0)[:, None]
            code = to_e4m3(tl.div_rn(value, tl.broadcast_to(divisor, value.shape))).to(tl.uint8)
        else:
            code = to_bf16(value).to(tl.bfloat16)
        tl.store(to + column[None, :], code, there & (column < stride)[None, :])


@triton.jit
def _blocks(
    x, codes, scales, row_scales, rows, inputs, stride, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """NVFP4. codes [rows, stride / 2], scales [rows, stride / 16] e4m3, row_scales [rows]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = (row < rows)[:, None]
    start = row[:, None].to(tl.int64) * inputs
    largest = _largest(x, start, there, inputs, ROWS, COLUMNS)
    scale, _ = _row_scale(largest, 2688.0)
    tl.store(row_scales + row, scale, row < rows)
    usable = (scale > 0.0)[:, None]
    divisor = tl.where(usable, scale[:, None], 1.0)
    for first in range(0, stride, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        value = tl.load(x + start + column[None, :], there & (column < inputs)[None, :], 0.0)
        value = tl.where(usable, value, 0.0)
        grouped = tl.reshape(value, (ROWS, COLUMNS // 16, 16))
        most = tl.max(tl.abs(grouped), 2)
        block = to_e4m3(tl.div_rn(tl.div_rn(most, tl.full(most.shape, 6.0, tl.float32)), divisor))
        whole = from_e4m3(block) * divisor
        whole = tl.where(whole > 0.0, whole, float("inf"))  # what a scale of zero covers is zero
        code = to_e2m1(tl.div_rn(grouped, tl.broadcast_to(whole[:, :, None], grouped.shape)))
        low, high = tl.split(tl.reshape(code, (ROWS, COLUMNS // 2, 2)))
        byte = first // 2 + tl.arange(0, COLUMNS // 2)
        to = codes + row[:, None].to(tl.int64) * (stride // 2) + byte[None, :]
        tl.store(to, (low | (high << 4)).to(tl.uint8), there & (byte < stride // 2)[None, :])
        number = first // 16 + tl.arange(0, COLUMNS // 16)
        to = scales + row[:, None].to(tl.int64) * (stride // 16) + number[None, :]
        tl.store(to, block.to(tl.uint8), there & (number < stride // 16)[None, :])


_TYPES = {
    "x": "*fp32",
    "codes": "*i8",
    "scales": "*fp32",
    "rows": "i32",
    "inputs": "i32:16",
    "stride": "i32:16",
}
ROWS_INT8 = Kernel("quantize_int8", _rows, _TYPES)
ROWS_E4M3 = Kernel("quantize_e4m3", _rows, _TYPES | {"codes": "*u8"})
ROWS_BF16 = Kernel("quantize_bf16", _rows, _TYPES | {"codes": "*bf16"})
ROWS_NVFP4 = Kernel(
    "quantize_nvfp4",
    _blocks,
    {
        "x": "*fp32",
        "codes": "*u8",
        "scales": "*u8",
        "row_scales": "*fp32",
        "rows": "i32",
        "inputs": "i32:16",
        "stride": "i32:16",
    },
)
KERNELS = {kernel.name: kernel for kernel in (ROWS_INT8, ROWS_E4M3, ROWS_BF16, ROWS_NVFP4)}
_BY_FORMAT = {"int8": ROWS_INT8, "e4m3": ROWS_E4M3, "bf16": ROWS_BF16}
_DTYPE = {"int8": torch.int8, "e4m3": torch.uint8, "bf16": torch.bfloat16}


class Rows(NamedTuple):
    """codes [rows, stride] (nvfp4: [rows, stride / 2] bytes); scales [rows] float32, without
    elements for bf16; blocks: nvfp4's e4m3 scales [rows, stride / 16] uint8, else None."""

    codes: Tensor
    scales: Tensor
    blocks: Tensor | None


def stride_of(inputs: int) -> int:
    """Codes that a row of this many takes up in memory."""
    return blocks(inputs, LINE) * LINE


def quantize_rows(x: Tensor, format: str, tile: Tile | None = None) -> Rows:
    """x [rows, inputs] float32; format "int8", "e4m3", "bf16" or "nvfp4"."""
    rows, inputs = x.shape
    stride = stride_of(inputs)
    if format == "nvfp4":
        codes = x.new_empty(rows, stride // 2, dtype=torch.uint8)
        scales = x.new_empty(rows, stride // 16, dtype=torch.uint8)
        whole = x.new_empty(rows)
        tile = tile or tile_for(ROWS_NVFP4, x.device)
        grid = (blocks(rows, tile.constants["ROWS"]),)
        if rows:
            ROWS_NVFP4(grid, tile, x, codes, scales, whole, rows, inputs, stride)
        return Rows(codes, whole, scales)
    kernel = _BY_FORMAT[format]
    tile = tile or tile_for(kernel, x.device)
    codes = x.new_empty(rows, stride, dtype=_DTYPE[format])
    scales = x.new_empty(0 if format == "bf16" else rows)
    if rows:
        grid = (blocks(rows, tile.constants["ROWS"]),)
        kernel(grid, tile, x, codes, scales, rows, inputs, stride, FORMAT=format)
    return Rows(codes, scales, None)

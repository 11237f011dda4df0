"""Products of many rows with weights in few bits: y = x W^T + b, [rows, outputs] float32.

    int8       codes of both in int8, sums exact in int32, y = sum (s_row s_output) + b
    fp8        codes of both in e4m3, scales as above; e4m3 tensor cores
    nvfp4      both in e2m1 with e4m3 scales per 16 inputs; tensor cores of Blackwell only
    decoded    x in bf16; codes of fp8, mxfp8, nvfp4, int4 and bf16 become bf16 (int4: float32, for
               tf32 cores), exactly, on their way to the tensor cores

For 64 rows and more; below, weights stream through the CUDA kernels instead. Rows of codes are
padded with zeros to a multiple of 128 (quantize.py), so that no load along the inputs needs a mask.
`decoded` computes the transpose, because tensor cores take their first operand from registers, in
which codes are decoded. Knows codes and scales; not where they come from.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import from_e2m1, power_of_two
from .kernel import Kernel, blocks, tile_for
from .quantize import Rows

GROUP = tl.constexpr(8)  # tiles of rows that share weights in the cache


@triton.jit
def _place(rows, outputs, ROWS: tl.constexpr, OUTPUTS: tl.constexpr):
    """Which tile a program computes: neighbours share weights."""
    program = tl.program_id(0)
    high, wide = tl.cdiv(rows, ROWS), tl.cdiv(outputs, OUTPUTS)
    group = program // (GROUP * wide)
    first = group * GROUP
    size = tl.minimum(high - first, GROUP)
    within = program - group * GROUP * wide
    return first + within % size, within // size


@triton.jit
def _store(total, y, bias, row, output, rows, outputs, BIASED: tl.constexpr):
    if BIASED:
        total += tl.load(bias + output, output < outputs, 0.0)[None, :]
    to = y + row[:, None].to(tl.int64) * outputs + output[None, :]
    tl.store(to, total, (row < rows)[:, None] & (output < outputs)[None, :])


@triton.jit
def _codes(
    x, x_scale, weight, weight_scale, bias, y, rows, outputs, stride, BIASED: tl.constexpr,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """int8 and fp8: a scale per row and per output."""
    high, wide = _place(rows, outputs, ROWS, OUTPUTS)
    row = high * ROWS + tl.arange(0, ROWS)
    output = wide * OUTPUTS + tl.arange(0, OUTPUTS)
    column = tl.arange(0, INPUTS)
    # What lies beyond the edge is read from row 0 and not stored.
    left = x + tl.where(row < rows, row, 0)[:, None].to(tl.int64) * stride + column[None, :]
    right = weight + tl.where(output < outputs, output, 0)[None, :].to(tl.int64) * stride
    right += column[:, None]
    WHOLE: tl.constexpr = x.dtype.element_ty == tl.int8
    total = tl.zeros((ROWS, OUTPUTS), tl.int32 if WHOLE else tl.float32)
    for _ in range(0, stride, INPUTS):
        if WHOLE:
            total = tl.dot(tl.load(left), tl.load(right), total, out_dtype=tl.int32)
        else:
            # Hopper's e4m3 sums keep 14 bits: after this many inputs they go to full float32.
            total = tl.dot(tl.load(left), tl.load(right), total, max_num_imprecise_acc=INPUTS)
        left += INPUTS
        right += INPUTS
    scale = tl.load(x_scale + row, row < rows, 0.0)[:, None]
    scale = scale * tl.load(weight_scale + output, output < outputs, 0.0)[None, :]
    _store(total.to(tl.float32) * scale, y, bias, row, output, rows, outputs, BIASED)


@triton.jit
def _nvfp4(
    x, x_blocks, x_scale, weight, weight_blocks, weight_scale, bias, y, rows, outputs, stride,
    BIASED: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """Both sides in e2m1; weight_scale is one number."""
    high, wide = _place(rows, outputs, ROWS, OUTPUTS)
    row = high * ROWS + tl.arange(0, ROWS)
    output = wide * OUTPUTS + tl.arange(0, OUTPUTS)
    own_row = tl.where(row < rows, row, 0)[:, None].to(tl.int64)
    own_output = tl.where(output < outputs, output, 0)[:, None].to(tl.int64)
    byte, block = tl.arange(0, INPUTS // 2)[None, :], tl.arange(0, INPUTS // 16)[None, :]
    left, left_scale = x + own_row * (stride // 2) + byte, x_blocks + own_row * (stride // 16)
    right = weight + own_output * (stride // 2) + byte
    right_scale = weight_blocks + own_output * (stride // 16) + block
    left_scale += block
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for _ in range(0, stride, INPUTS):
        total = tl.dot_scaled(
            tl.load(left), tl.load(left_scale), "e2m1",
            tl.trans(tl.load(right)), tl.load(right_scale), "e2m1", total,
        )  # fmt: skip
        left += INPUTS // 2
        right += INPUTS // 2
        left_scale += INPUTS // 16
        right_scale += INPUTS // 16
    scale = tl.load(x_scale + row, row < rows, 0.0)[:, None] * tl.load(weight_scale)
    _store(total * scale, y, bias, row, output, rows, outputs, BIASED)


@triton.jit
def _halves(byte, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr):
    """int32 codes [OUTPUTS, INPUTS] of bytes [OUTPUTS, INPUTS / 2], the lower half first."""
    byte = byte.to(tl.int32)
    return tl.reshape(tl.join(byte & 15, byte >> 4), (OUTPUTS, INPUTS))


@triton.jit
def _per_block(value, scale, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, BLOCK: tl.constexpr):
    """value [OUTPUTS, INPUTS] times scale [OUTPUTS, INPUTS / BLOCK]."""
    grouped = tl.reshape(value, (OUTPUTS, INPUTS // BLOCK, BLOCK)) * scale[:, :, None]
    return tl.reshape(grouped, (OUTPUTS, INPUTS))


@triton.jit
def _decoded(
    x, weight, weight_blocks, weight_scale, bias, y, rows, outputs, stride, FORMAT: tl.constexpr,
    BIASED: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """weight_blocks: scales per block of mxfp8, nvfp4 and int4; weight_scale: [outputs] of fp8,
    one number of nvfp4."""
    high, wide = _place(rows, outputs, ROWS, OUTPUTS)
    row = high * ROWS + tl.arange(0, ROWS)
    output = wide * OUTPUTS + tl.arange(0, OUTPUTS)
    own_output = tl.where(output < outputs, output, 0)[:, None].to(tl.int64)
    PER_BYTE: tl.constexpr = 2 if (FORMAT == "nvfp4" or FORMAT == "int4") else 1
    BLOCK: tl.constexpr = 16 if FORMAT == "nvfp4" else 32
    SCALED: tl.constexpr = FORMAT == "nvfp4" or FORMAT == "int4" or FORMAT == "mxfp8"
    code = weight + own_output * (stride // PER_BYTE) + tl.arange(0, INPUTS // PER_BYTE)[None, :]
    scale = weight_blocks + own_output * (stride // BLOCK) + tl.arange(0, INPUTS // BLOCK)[None, :]
    right = x + tl.where(row < rows, row, 0)[None, :].to(tl.int64) * stride
    right += tl.arange(0, INPUTS)[:, None]
    total = tl.zeros((OUTPUTS, ROWS), tl.float32)
    for _ in range(0, stride, INPUTS):
        if FORMAT == "bf16":
            left = tl.load(code)
        elif FORMAT == "fp8":
            left = tl.load(code).to(tl.bfloat16)
        elif FORMAT == "mxfp8":
            power = power_of_two(tl.maximum(tl.load(scale).to(tl.int32) - 127, -126))
            value = tl.load(code).to(tl.float32)
            left = _per_block(value, power, OUTPUTS, INPUTS, BLOCK).to(tl.bfloat16)
        elif FORMAT == "nvfp4":
            value = from_e2m1(_halves(tl.load(code), OUTPUTS, INPUTS))
            factor = tl.load(scale).to(tl.float32)
            left = _per_block(value, factor, OUTPUTS, INPUTS, BLOCK).to(tl.bfloat16)
        else:  # int4: 3 bits of code times 8 of scale are the 11 that tf32 keeps
            value = ((_halves(tl.load(code), OUTPUTS, INPUTS) ^ 8) - 8).to(tl.float32)
            factor = tl.load(scale).to(tl.float32)
            left = _per_block(value, factor, OUTPUTS, INPUTS, BLOCK)
        if FORMAT == "int4":
            total = tl.dot(left, tl.load(right).to(tl.float32), total, input_precision="tf32")
        else:
            total = tl.dot(left, tl.load(right), total)
        code += INPUTS // PER_BYTE
        right += INPUTS
        if SCALED:
            scale += INPUTS // BLOCK
    if FORMAT == "fp8":
        total *= tl.load(weight_scale + output, output < outputs, 0.0)[:, None]
    elif FORMAT == "nvfp4":
        total *= tl.load(weight_scale)
    _store(tl.trans(total), y, bias, row, output, rows, outputs, BIASED)


_SIZES = {"rows": "i32", "outputs": "i32", "stride": "i32:16"}


def _code_types(dtype: str) -> dict[str, str]:
    pointers = {"x": dtype, "x_scale": "*fp32", "weight": dtype, "weight_scale": "*fp32"}
    return pointers | {"bias": "*fp32", "y": "*fp32"} | _SIZES


def _decoded_types(code: str, block: str) -> dict[str, str]:
    pointers = {"x": "*bf16", "weight": code, "weight_blocks": block, "weight_scale": "*fp32"}
    return pointers | {"bias": "*fp32", "y": "*fp32"} | _SIZES


# Without contraction of the last product and sum int8 has the bits of every other backend.
INT8 = Kernel("int8_linear", _codes, _code_types("*i8"), {"enable_fp_fusion": False})
FP8 = Kernel("fp8_linear", _codes, _code_types("*fp8e4nv"))
NVFP4 = Kernel(
    "nvfp4_linear",
    _nvfp4,
    {
        "x": "*u8",
        "x_blocks": "*fp8e4nv",
        "x_scale": "*fp32",
        "weight": "*u8",
        "weight_blocks": "*fp8e4nv",
        "weight_scale": "*fp32",
        "bias": "*fp32",
        "y": "*fp32",
        **_SIZES,
    },
)
DECODED = {
    "bf16": Kernel("bf16_decoded", _decoded, _decoded_types("*bf16", "*fp32")),
    "fp8": Kernel("fp8_decoded", _decoded, _decoded_types("*fp8e4nv", "*fp32")),
    "mxfp8": Kernel("mxfp8_decoded", _decoded, _decoded_types("*fp8e4nv", "*u8")),
    "nvfp4": Kernel("nvfp4_decoded", _decoded, _decoded_types("*u8", "*fp8e4nv")),
    "int4": Kernel("int4_decoded", _decoded, _decoded_types("*u8", "*bf16")),
}
KERNELS = {kernel.name: kernel for kernel in (INT8, FP8, NVFP4, *DECODED.values())}


def _grid(tile: Tile, rows: int, outputs: int) -> tuple[int]:
    return (blocks(rows, tile.constants["ROWS"]) * blocks(outputs, tile.constants["OUTPUTS"]),)


def coded(
    x: Rows, weight: Tensor, scale: Tensor, bias: Tensor | None, tile: Tile | None = None
) -> Tensor:
    """x in int8 or e4m3 codes; weight [outputs, stride] of the same dtype, scale [outputs]."""
    rows, outputs, stride = len(x.codes), len(weight), weight.shape[1]
    kernel = INT8 if weight.dtype == torch.int8 else FP8
    tile = tile or tile_for(kernel, weight.device, rows=rows)
    y = scale.new_empty(rows, outputs)
    given = x.codes if kernel is INT8 else x.codes.view(torch.float8_e4m3fn)
    codes = weight if kernel is INT8 else weight.view(torch.float8_e4m3fn)
    if rows:
        kernel(
            _grid(tile, rows, outputs),
            tile,
            given,
            x.scales,
            codes,
            scale,
            scale if bias is None else bias,
            y,
            rows,
            outputs,
            stride,
            BIASED=bias is not None,
        )
    return y


def nvfp4(
    x: Rows,
    weight: Tensor,
    weight_blocks: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    tile: Tile | None = None,
) -> Tensor:
    """Both sides in NVFP4: x of `quantize_rows`, weight [outputs, stride / 2] bytes, weight_blocks
    [outputs, stride / 16] e4m3 in uint8, weight_scale [1]."""
    rows, outputs, stride = len(x.codes), len(weight), 2 * weight.shape[1]
    if x.blocks is None:
        raise ValueError("nvfp4: x has no scales of blocks; wanted rows quantised to nvfp4")
    tile = tile or tile_for(NVFP4, weight.device, rows=rows)
    y = weight_scale.new_empty(rows, outputs)
    if rows:
        NVFP4(
            _grid(tile, rows, outputs),
            tile,
            x.codes,
            x.blocks.view(torch.float8_e4m3fn),
            x.scales,
            weight,
            weight_blocks.view(torch.float8_e4m3fn),
            weight_scale,
            weight_scale if bias is None else bias,
            y,
            rows,
            outputs,
            stride,
            BIASED=bias is not None,
        )
    return y


def decoded(
    x: Tensor,
    format: str,
    weight: Tensor,
    scales: Tensor,
    tensor_scale: Tensor,
    bias: Tensor | None,
    tile: Tile | None = None,
) -> Tensor:
    """x [rows, stride] bf16; weight and scales as `metabonk.ops.qweight` has them, rows of codes
    padded to `stride`, bf16's and int4's scales' uint16 as bf16; tensor_scale [1] of nvfp4."""
    rows, stride = x.shape
    outputs = len(weight)
    kernel = DECODED[format]
    tile = tile or tile_for(kernel, weight.device, rows=rows)
    y = torch.empty(rows, outputs, dtype=torch.float32, device=x.device)
    if format in ("fp8", "mxfp8"):
        weight = weight.view(torch.float8_e4m3fn)
    whole = {"fp8": scales, "nvfp4": tensor_scale}.get(format, y)
    per_block = y if format in ("bf16", "fp8") else scales
    if format == "nvfp4":
        per_block = scales.view(torch.float8_e4m3fn)
    if rows:
        kernel(
            _grid(tile, rows, outputs),
            tile,
            x,
            weight,
            per_block,
            whole,
            y if bias is None else bias,
            y,
            rows,
            outputs,
            stride,
            FORMAT=format,
            BIASED=bias is not None,
        )
    return y

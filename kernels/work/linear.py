"""Linear layers over weights in few bits, as token models and policies have them."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..architectures import BF16, FP4, FP8, INT8, TF32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import linear
from ..triton.quantize import quantize_rows, stride_of
from . import quantize

SIZES = ((64, 960, 2560), (1024, 960, 2560), (4096, 2560, 2560))
SMALL = ((70, 96, 40), (3, 200, 17))
# Format of rows, format of weights; the unit that multiplies.
PAIRS = (
    ("int8", "int8", INT8),
    ("e4m3", "fp8", FP8),
    ("nvfp4", "nvfp4", FP4),
    ("bf16", "bf16", BF16),
    ("bf16", "fp8", BF16),
    ("bf16", "mxfp8", BF16),
    ("bf16", "nvfp4", BF16),
    ("bf16", "int4", TF32),
)
BITS = {"int8": 8, "fp8": 8, "mxfp8": 8.25, "nvfp4": 4.5, "int4": 4.5, "bf16": 16}
# Sums in float32, in blocks of any order. Hopper's e4m3 products keep fewer bits inside a block.
TOLERANCE = {"int8": 1e-6, "e4m3": 1e-3, "nvfp4": 1e-5, "bf16": 1e-5}


def cases() -> list[Case]:
    return [_case(*pair, *size, small=size in SMALL) for pair in PAIRS for size in SIZES + SMALL]


def cost(rows: int, inputs: int, outputs: int, weight: str, unit: str) -> Cost:
    """Rows in float32 and weights read, float32 written: quantised on the way."""
    read = 4 * rows * inputs + int(outputs * inputs * BITS[weight] / 8) + 4 * outputs
    return Cost(read, 4 * rows * outputs, {unit: 2 * rows * inputs * outputs}, nodes=2)


def _case(
    rounding: str, weight: str, unit: str, rows: int, inputs: int, outputs: int, small: bool
) -> Case:
    return Case(
        "qlinear",
        f"linear {rounding} x {weight} {rows}x{inputs}x{outputs}",
        functools.partial(_make, weight, rows, inputs, outputs),
        functools.partial(_run, rounding, weight),
        functools.partial(reference, rounding, weight),
        cost(rows, inputs, outputs, weight, unit),
        TOLERANCE[rounding],
        small,
        minimum={"e4m3": 89, "nvfp4": 100}.get(rounding, 80),
        facts={"rows": rounding, "weights": weight},
    )


def _make(
    weight: str, rows: int, inputs: int, outputs: int, device: torch.device | str, seed: int
) -> Inputs:
    numbers = generator(seed)
    stride = stride_of(inputs)
    x = torch.randn(rows, inputs, generator=numbers)
    codes = torch.randint(0, 256, (outputs, stride), generator=numbers, dtype=torch.uint8)
    if weight == "bf16":
        codes = torch.randn(outputs, stride, generator=numbers).bfloat16()
    elif weight == "int8":
        codes = codes.view(torch.int8).clamp(-127, 127)
    elif weight in ("fp8", "mxfp8"):
        codes = torch.where(codes & 0x7F == 0x7F, 0, codes)  # no NaN
    per_byte = 2 if weight in ("nvfp4", "int4") else 1
    codes = codes[:, : stride // per_byte].contiguous()
    if weight == "int4":
        codes = torch.where(codes & 0x0F == 8, codes ^ 8, codes)  # codes are -7..7
        codes = torch.where(codes & 0xF0 == 0x80, codes ^ 0x80, codes)
    codes[:, -(-inputs // per_byte) :] = 0
    if per_byte == 2 and inputs % 2:
        codes[:, inputs // 2] &= 15
    uniform = torch.rand(outputs, stride // (16 if weight == "nvfp4" else 32), generator=numbers)
    scales = {
        "nvfp4": (64 + 300 * uniform).to(torch.float8_e4m3fn).view(torch.uint8),
        "mxfp8": (120 + 10 * uniform).to(torch.uint8),
        "int4": (0.01 + uniform).bfloat16(),
    }.get(weight, 0.5 + torch.rand(outputs, generator=numbers))
    given = {"x": x, "codes": codes, "scales": scales, "bias": torch.randn(outputs)}
    given["tensor_scale"] = torch.tensor([0.01])
    return {name: t.to(device) for name, t in given.items()}


def _run(rounding: str, weight: str, inputs: Inputs) -> tuple[Tensor, ...]:
    codes, scales, bias = inputs["codes"], inputs["scales"], inputs["bias"]
    rows = quantize_rows(inputs["x"], rounding)
    if rounding == "nvfp4":
        return (linear.nvfp4(rows, codes, scales, inputs["tensor_scale"], bias),)
    if rounding == "bf16":
        whole = inputs["tensor_scale"]
        return (linear.decoded(rows.codes, weight, codes, scales, whole, bias),)
    return (linear.coded(rows, codes, scales, bias),)


def dequantize(weight: str, inputs: Inputs) -> Tensor:
    """[outputs, stride] float64."""
    codes, scales = inputs["codes"].cpu(), inputs["scales"].cpu()
    if weight == "bf16":
        return codes.double()
    if weight == "int8":
        return codes.double() * scales.double()[:, None]
    if weight == "fp8":
        return quantize.e4m3(codes) * scales.double()[:, None]
    if weight == "mxfp8":
        powers = 2.0 ** (scales.double() - 127)
        return quantize.e4m3(codes) * powers.repeat_interleave(32, -1)
    if weight == "nvfp4":
        whole = inputs["tensor_scale"].cpu().double()
        blocks = quantize.e4m3(scales).repeat_interleave(16, -1)
        return quantize.e2m1(codes) * blocks * whole
    halves = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).long()
    return ((halves ^ 8) - 8).double() * scales.double().repeat_interleave(32, -1)


def reference(rounding: str, weight: str, inputs: Inputs) -> tuple[Tensor, ...]:
    """The product of the rounded rows and the decoded weights, and the bias."""
    (x,) = quantize.reference(rounding, inputs)
    return (x @ dequantize(weight, inputs).t() + inputs["bias"].cpu().double(),)

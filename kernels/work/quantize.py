"""Rows of activations to int8, e4m3, bf16 and NVFP4."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..architectures import FP32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton.quantize import quantize_rows, stride_of

SIZES = ((1024, 2560),)
SMALL = ((5, 37), (3, 1500))
TINY = 2.0**-100
# What differs may differ by rounding only, which no code survives: see `numbers`.
TOLERANCE = 1e-6
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)


def cases() -> list[Case]:
    return [
        _case(format, *size, small=size in SMALL)
        for format in ("int8", "e4m3", "bf16", "nvfp4")
        for size in SIZES + SMALL
    ]


def _case(format: str, rows: int, inputs: int, small: bool) -> Case:
    bits = {"int8": 8, "e4m3": 8, "bf16": 16, "nvfp4": 4.5}[format]
    scales = 0 if format == "bf16" else 4 * rows
    written = int(rows * stride_of(inputs) * bits / 8) + scales
    cost = Cost(4 * rows * inputs, written, {FP32: 4 * rows * inputs})
    return Case(
        "qlinear",
        f"quantize {format} {rows}x{inputs}",
        functools.partial(_make, rows, inputs),
        functools.partial(_run, format),
        functools.partial(reference, format),
        cost,
        TOLERANCE,
        small,
        judge=functools.partial(_judge, format),
        facts={"rows": format},
    )


def _make(rows: int, inputs: int, device: torch.device | str, seed: int) -> Inputs:
    x = torch.randn(rows, inputs, generator=generator(seed))
    x *= torch.logspace(-3, 3, rows)[:, None]
    x[0] = 0.0
    return {"x": x.to(device)}


def _run(format: str, inputs: Inputs) -> tuple[Tensor, ...]:
    """Codes, scales and, of NVFP4, the blocks' scales: nothing that a graph could not hold."""
    return tuple(part for part in quantize_rows(inputs["x"], format) if part is not None)


def _judge(format: str, inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Of what the codes stand for, the norm of the error over the norm, in tolerances."""
    codes, scales, *others = found
    got = numbers(format, codes, scales, others[0] if others else None)
    if got.shape != wanted[0].shape:
        return float("inf")
    size = float(wanted[0].norm()) or 1.0
    ratio = float((got - wanted[0]).norm()) / size / TOLERANCE
    return ratio if ratio == ratio else float("inf")


def numbers(format: str, codes: Tensor, scales: Tensor, blocks: Tensor | None) -> Tensor:
    """What codes and scales stand for, float64 on the processor, padding included."""
    codes, scales = codes.cpu(), scales.cpu().double()
    if format == "bf16":
        return codes.double()
    if format == "int8":
        return codes.double() * scales[:, None]
    if format == "e4m3":
        return codes.view(torch.float8_e4m3fn).double() * scales[:, None]
    assert blocks is not None
    return e2m1(codes) * e4m3(blocks.cpu()).repeat_interleave(16, -1) * scales[:, None]


def e4m3(codes: Tensor) -> Tensor:
    return codes.view(torch.float8_e4m3fn).double()


def e2m1(codes: Tensor) -> Tensor:
    """[rows, n] bytes -> [rows, 2 n] float64."""
    halves = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).long()
    return E2M1[halves & 7] * torch.where(halves > 7, -1.0, 1.0)


def reference(format: str, inputs: Inputs) -> tuple[Tensor, ...]:
    """The rounded rows in float64, padded with zeros."""
    x = inputs["x"].cpu()
    padded = torch.zeros(len(x), stride_of(x.shape[1]), dtype=torch.float32)
    padded[:, : x.shape[1]] = x
    return (rounded(format, padded),)


def rounded(format: str, x: Tensor) -> Tensor:
    """float32 [rows, n] -> float64; scales and what numbers are divided by are float32 as in the
    definition, so that ties fall as there."""
    if format == "bf16":
        return x.bfloat16().double()
    largest = x.abs().amax(-1, keepdim=True)
    most = {"int8": 127.0, "e4m3": 448.0, "nvfp4": 2688.0}[format]
    safe = largest.masked_fill(largest < TINY, 1.0)
    scale = (largest / most).masked_fill(largest < TINY, 0.0)
    if format == "int8":
        return (x * (most / safe)).round().double() * scale.double()
    if format == "e4m3":
        codes = (x / scale.masked_fill(scale == 0, 1.0)).clamp(-448, 448)
        codes = codes.masked_fill(scale == 0, 0.0).to(torch.float8_e4m3fn)
        return codes.double() * scale.double()
    divisor = scale.masked_fill(scale == 0, 1.0)[..., None]
    grouped = x.unflatten(-1, (-1, 16))
    block = (grouped.abs().amax(-1, keepdim=True) / 6.0 / divisor).clamp(max=448.0)
    block = block.to(torch.float8_e4m3fn).float()
    whole = (block * divisor).masked_fill(block == 0, torch.inf)
    size = (grouped / whole).abs().clamp(max=6.0)
    # To nearest, ties to the even code: half a unit of the size's own binade.
    unit = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    near = (size / unit).round() * unit * grouped.sign()
    return (near.double() * block.double() * scale.double()[..., None]).flatten(-2)

"""Linear layers over weights in few bits, and rows brought to few bits, as plain torch has them.

    whole     float32 weights and rows: the layer before anything was quantised
    stored    weights stay in their format and are decoded on the way, rows are rounded as the
              kernel rounds them; products in the format where torch has them (what one compiles)
    library   products of cuBLASLt over weights kept in bf16, int8 or e4m3

Knows the cases' inputs: codes, scales, `tensor_scale` or `whole`, x, bias. Products in bf16 and
e4m3 round their results to bf16.
"""

from __future__ import annotations

from typing import Any

import torch
from metabonk.kernels.cases import Case, Inputs
from metabonk.kernels.triton.quantize import stride_of
from torch import Tensor
from torch.nn import functional

from .plain import Plain

TINY = 2.0**-100  # rows whose largest is smaller count as zero
E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
INT_ROWS = 32  # torch._int_mm of a GPU takes more than sixteen rows
PER_BYTE = {"nvfp4": 2, "int4": 2}
BLOCK = {"nvfp4": 16, "mxfp8": 32, "int4": 32}  # inputs that share a scale
# What bytes stand for, where that is not their type.
CODES = {"bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn, "mxfp8": torch.float8_e4m3fn}
SCALES = {"int4": torch.bfloat16, "nvfp4": torch.float8_e4m3fn}


def decode(weights: str, codes: Tensor, scales: Tensor, whole: Tensor, values: Tensor) -> Tensor:
    """float32 [outputs, columns of the codes]; codes and scales in the types that they stand for,
    codes of whole blocks. values: [16] float32, what e2m1 codes stand for."""
    if weights == "bf16":
        return codes.float()
    if weights in ("int8", "fp8"):
        return codes.float() * scales[:, None]
    if weights == "mxfp8":
        return _blocks(codes.float(), torch.exp2(scales.float() - 127.0))
    halves = torch.stack([codes & 15, codes >> 4], -1).flatten(-2).int()
    if weights == "int4":
        return _blocks((halves ^ 8) - 8, scales.float())
    return _blocks(values[halves], scales.float()) * whole


def _blocks(numbers: Tensor, scales: Tensor) -> Tensor:
    """numbers [outputs, n] times scales [outputs, blocks], each of as many neighbours."""
    return (numbers.unflatten(1, (scales.shape[1], -1)) * scales[..., None]).flatten(1)


def rounded(rows: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """x [rows, inputs] -> codes of int8 or e4m3 and scales [rows, 1]; bf16 has scales of 1."""
    if rows == "bf16":
        return x.bfloat16(), torch.ones_like(x[:, :1])
    largest = x.abs().amax(-1, keepdim=True)
    if rows == "int8":
        return (x * (127.0 / largest.clamp(min=TINY))).round().to(torch.int8), largest / 127.0
    scale = largest / 448.0
    codes = (x / scale.clamp(min=TINY)).clamp(-448.0, 448.0).to(torch.float8_e4m3fn)
    return codes, scale


def whole(case: Case, given: Inputs) -> Plain:
    """float32, decoded beforehand."""
    weight = _decoded(case, given)
    inputs = {"x": given["x"], "weight": weight, "bias": given["bias"]}
    return Plain(inputs, _whole)


def _whole(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    return (functional.linear(x, weight, bias),)


def stored(case: Case, given: Inputs) -> Plain:
    """Few bits in memory, decoded in every run."""
    inputs = _stored(case, given)
    rows, weights = case.facts["rows"], case.facts["weights"]
    if (rows, weights) == ("int8", "int8"):
        return Plain(_product(inputs), _int8)
    if (rows, weights) == ("e4m3", "fp8"):
        return Plain(_product(inputs), _fp8)

    def step(
        x: Tensor, codes: Tensor, scales: Tensor, whole: Tensor, values: Tensor, bias: Tensor
    ) -> tuple[Tensor, ...]:
        weight = decode(weights, codes, scales, whole, values)[:, : x.shape[1]]
        return (functional.linear(x.bfloat16(), weight.bfloat16()).float() + bias,)

    return Plain(inputs, step)


def library(case: Case, given: Inputs, format: str) -> Plain | None:
    """cuBLASLt's product in `format`, "bf16", "int8" or "fp8"; None for weights that are not in it,
    which bf16 holds always."""
    if format != "bf16" and format != case.facts["weights"]:
        return None
    if format == "bf16":
        weight = _decoded(case, given).bfloat16()
        return Plain({"x": given["x"], "weight": weight, "bias": given["bias"].bfloat16()}, _bf16)
    inputs = _product(_stored(case, given))
    if format == "int8":
        return Plain(inputs, _int8)
    x = inputs["x"]
    lacking = x.is_cuda and torch.cuda.get_device_capability(x.device) < (8, 9)
    return None if lacking else Plain(inputs, _fp8)


def _bf16(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    return (functional.linear(x.bfloat16(), weight, bias),)


def _int8(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    count = len(x)
    rows, scale = rounded("int8", x)
    if count < INT_ROWS:
        rows = functional.pad(rows, (0, 0, 0, INT_ROWS - count))
    sums = torch._int_mm(rows, codes.t())[:count]
    return (sums.float() * (scale * scales) + bias,)


def _fp8(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    rows, scale = rounded("e4m3", x)
    found = torch._scaled_mm(rows, codes.t(), scale, scales[None], out_dtype=torch.bfloat16)
    return (found.float() + bias,)


def _values(x: Tensor) -> Tensor:
    return torch.tensor([*E2M1, *(-v for v in E2M1)], device=x.device)


def _stored(case: Case, given: Inputs) -> dict[str, Any]:
    """The arguments of `stored`'s step: codes and scales in the types that they stand for, of whole
    blocks, and without the padding of rows that kernels of ours want."""
    whole = given["tensor_scale"] if "tensor_scale" in given else given["whole"]
    x, weights = given["x"], case.facts["weights"]
    inputs = {"x": x, "bias": given["bias"], "whole": whole, "values": _values(x)}
    block = BLOCK.get(weights, 1)
    blocks = -(-x.shape[1] // block)
    wanted = {"codes": blocks * block // PER_BYTE.get(weights, 1), "scales": blocks}
    for part, types in (("codes", CODES), ("scales", SCALES)):
        dtype, found = types.get(weights), given[part]
        if found.dim() == 2:
            short = max(0, wanted[part] - found.shape[1])
            found = functional.pad(found[:, : wanted[part]], (0, short)).contiguous()
        inputs[part] = found if dtype is None else found.view(dtype)
    return inputs


def _product(inputs: dict[str, Any]) -> dict[str, Any]:
    """Of codes that are multiplied as they are."""
    return {name: inputs[name] for name in ("x", "codes", "scales", "bias")}


def _decoded(case: Case, given: Inputs) -> Tensor:
    parts = _stored(case, given)
    names = "codes", "scales", "whole", "values"
    weight = decode(case.facts["weights"], *(parts[name] for name in names))
    return weight[:, : given["x"].shape[1]].contiguous()


def rows(case: Case, given: Inputs) -> Plain:
    """Rows to codes and scales, laid out as the kernel's."""
    format = case.facts["rows"]

    def step(x: Tensor) -> tuple[Tensor, ...]:
        wide = functional.pad(x, (0, stride_of(x.shape[1]) - x.shape[1]))
        if format == "nvfp4":
            return _nvfp4(wide)
        codes, scale = rounded(format, wide)
        return codes, scale[:0, 0] if format == "bf16" else scale[:, 0]

    return Plain({"x": given["x"]}, step)


def _nvfp4(x: Tensor) -> tuple[Tensor, ...]:
    """codes [rows, n / 2] bytes, scales of rows [rows], of blocks [rows, n / 16] e4m3."""
    largest = x.abs().amax(-1, keepdim=True)
    scale = (largest / 2688.0).masked_fill(largest < TINY, 0.0)
    divisor = scale.masked_fill(scale == 0.0, 1.0)[..., None]
    grouped = x.unflatten(-1, (-1, 16))
    block = (grouped.abs().amax(-1, keepdim=True) / 6.0 / divisor).clamp(max=448.0)
    block = block.to(torch.float8_e4m3fn)
    number = block.float()
    divided = grouped / (number * divisor).masked_fill(number == 0.0, torch.inf)
    size = divided.abs().clamp(max=6.0)
    unit = torch.where(size < 2.0, 0.5, torch.where(size < 4.0, 1.0, 2.0))
    near = (size / unit).round() * unit  # to nearest, ties to the even code
    code = torch.where(near < 2.0, near * 2.0, torch.where(near < 4.0, near + 2.0, near / 2 + 4))
    sign = torch.where(divided < 0.0, 8, 0)
    halves = (code.to(torch.int32) + sign).flatten(-2).to(torch.uint8).unflatten(-1, (-1, 2))
    codes = halves[..., 0] | (halves[..., 1] << 4)
    return codes, scale[:, 0], block[..., 0].view(torch.uint8)

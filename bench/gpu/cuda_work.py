"""Cases of the CUDA kernels, as metabonk.kernels.cases has them of Triton's.

Products of bf16 are held against references that take the inputs as the kernel does, so that the
tolerance is that of float32 sums, but for the recurrent kernels, whose states are rounded anew in
every step.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from metabonk.kernels.architectures import BF16, FP4, INT8
from metabonk.kernels.cases import Case, Inputs, generator
from metabonk.kernels.cost import Cost
from torch import Tensor

from metabonk.ops import cfc_scan, qlinear, qweight
from metabonk.ops.qweight import FORMATS, QuantizedWeight, WeightFormat

CFC_NAMES = "x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads"
# steps, rows, inputs, hidden, backbone
CFC_SIZES = ((1, 16, 256, 256, 128), (1, 256, 256, 256, 128), (256, 16, 256, 256, 128))
CFC_SMALL = ((3, 5, 7, 9, 11), (2, 17, 24, 40, 72))
# rows, inputs, outputs
LINEAR_SIZES = ((1, 960, 2560), (16, 960, 2560))
LINEAR_SMALL = ((3, 30, 9), (17, 96, 24))
FP4_SIZES = ((1, 960, 2560), (16, 960, 2560), (16, 4096, 4096))
FP4_SMALL = ((3, 128, 130),)
LINEAR_FORMATS: tuple[WeightFormat, ...] = ("int8", "bf16", "fp8", "nvfp4", "mxfp8")


def cases(cuda: Any) -> list[Case]:
    """cuda: metabonk._cuda."""
    found = [_cfc(cuda, *s, small=s in CFC_SMALL) for s in CFC_SIZES + CFC_SMALL]
    for format in LINEAR_FORMATS:
        found += [
            _linear(cuda, format, *s, small=s in LINEAR_SMALL) for s in LINEAR_SIZES + LINEAR_SMALL
        ]
    return found + [_fp4(cuda, *s, small=s in FP4_SMALL) for s in FP4_SIZES + FP4_SMALL]


def stream(tensor: Tensor) -> int:
    return int(torch.cuda.current_stream(tensor.device).cuda_stream)


def _cfc(
    cuda: Any, steps: int, rows: int, inputs: int, hidden: int, backbone: int, small: bool
) -> Case:
    products = backbone * (inputs + hidden) + 4 * hidden * backbone
    return Case(
        "cfc_scan",
        f"cuda cfc {steps}x{rows} {inputs}-{backbone}-{hidden}",
        functools.partial(_make_cfc, steps, rows, inputs, hidden, backbone),
        functools.partial(_run_cfc, cuda),
        _cfc_reference,
        Cost(
            2 * products + 4 * (rows * hidden + steps * rows * (inputs + 2)),
            4 * steps * rows * hidden,
            {BF16: 2 * steps * rows * products},
        ),
        0.01,
        small,
    )


def _make_cfc(
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    backbone: int,
    device: torch.device | str,
    seed: int,
) -> Inputs:
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    width = inputs + hidden
    given = {
        "x": randn(steps, rows, inputs),
        "h": randn(rows, hidden).tanh(),
        "dt": 0.2 + 2 * torch.rand(steps, rows, 1, generator=numbers),
        "keep": (torch.rand(steps, rows, 1, generator=numbers) < 0.9).float(),
        "w_in": (randn(backbone, width) / width**0.5).bfloat16(),
        "b_in": randn(backbone) / 5,
        "w_heads": (randn(4 * hidden, backbone) / backbone**0.5).bfloat16(),
        "b_heads": randn(4 * hidden) / 5,
    }
    return {name: t.to(device) for name, t in given.items()}


def _run_cfc(cuda: Any, given: Inputs) -> tuple[Tensor, ...]:
    x, h, dt, keep, w_in, b_in, w_heads, b_heads = (given[name] for name in CFC_NAMES)
    out = x.new_empty(*x.shape[:2], h.shape[1])
    cuda.cfc(
        (*x.shape, h.shape[1], len(b_in)),
        tuple(t.data_ptr() for t in (x, h, dt, keep)),
        tuple(t.data_ptr() for t in (w_in, b_in, w_heads, b_heads)),
        True,
        (out.data_ptr(), 0, 0),
        stream(x),
    )
    return (out,)


def _cfc_reference(given: Inputs) -> tuple[Tensor, ...]:
    return (cfc_scan.reference(*(given[name].cpu().double() for name in CFC_NAMES)),)


def _make_linear(
    format: WeightFormat,
    rows: int,
    inputs: int,
    outputs: int,
    device: torch.device | str,
    seed: int,
) -> Inputs:
    randn = functools.partial(torch.randn, generator=generator(seed))
    stored = qweight.quantize(randn(outputs, inputs).numpy(), format)
    arrays = {"codes": stored.codes, "scales": stored.scales, "whole": stored.tensor_scale}
    given = {name: torch.from_numpy(array) for name, array in arrays.items()}
    given |= {"x": randn(rows, inputs), "bias": randn(outputs)}
    return {"stored": stored, **{name: t.to(device) for name, t in given.items()}}


def _pointers(given: Inputs) -> tuple[int, ...]:
    """Codes, scales, the matrix's scale; 0 for what a format has not."""
    arrays = (given[name] for name in ("codes", "scales", "whole"))
    return tuple(t.data_ptr() if t.numel() else 0 for t in arrays)


def _linear(
    cuda: Any, format: WeightFormat, rows: int, inputs: int, outputs: int, small: bool
) -> Case:
    def run(given: Inputs) -> tuple[Tensor, ...]:
        x, bias = given["x"], given["bias"]
        y = x.new_empty(rows, outputs)
        sizes = rows, inputs, outputs, inputs
        index = FORMATS.index(format)
        cuda.linear(
            index, sizes, x.data_ptr(), _pointers(given), bias.data_ptr(), y.data_ptr(), stream(x)
        )
        return (y,)

    bits = {"int8": 8.0, "bf16": 16.0, "fp8": 8.0, "nvfp4": 4.5, "mxfp8": 8.25}[format]
    return Case(
        "qlinear",
        f"cuda linear {format} {rows}x{inputs}x{outputs}",
        functools.partial(_make_linear, format, rows, inputs, outputs),
        run,
        functools.partial(_linear_reference, format),
        Cost(
            int(outputs * inputs * bits / 8) + 4 * rows * inputs + 4 * outputs,
            4 * rows * outputs,
            {INT8 if format == "int8" else BF16: 2 * rows * inputs * outputs},
        ),
        1e-5,
        small,
        facts={"rows": "int8" if format == "int8" else "bf16", "weights": format},
    )


def _linear_reference(format: WeightFormat, given: Inputs) -> tuple[Tensor, ...]:
    codes, scale = qlinear.round_rows(given["x"].cpu(), format)
    stored: QuantizedWeight = given["stored"]
    weight = torch.from_numpy(stored.dequantize()).double()
    return ((codes.double() * scale.double()) @ weight.t() + given["bias"].cpu().double(),)


def _fp4(cuda: Any, rows: int, inputs: int, outputs: int, small: bool) -> Case:
    def make(device: torch.device | str, seed: int) -> Inputs:
        made = dict(_make_linear("nvfp4", rows, inputs, outputs, device, seed))
        size = cuda.linear_fp4_scratch(inputs)
        return made | {"scratch": torch.empty(size, dtype=torch.uint8, device=device)}

    def run(given: Inputs) -> tuple[Tensor, ...]:
        x = given["x"]
        y = x.new_empty(rows, outputs)
        others = given["bias"], y, given["scratch"]
        cuda.linear_fp4(
            (rows, inputs, outputs),
            x.data_ptr(),
            _pointers(given),
            *(t.data_ptr() for t in others),
            stream(x),
        )
        return (y,)

    return Case(
        "qlinear",
        f"cuda linear nvfp4 by nvfp4 {rows}x{inputs}x{outputs}",
        make,
        run,
        _fp4_reference,
        Cost(
            outputs * inputs * 9 // 16 + 4 * rows * inputs + 4 * outputs,
            4 * rows * outputs,
            {FP4: 2 * rows * inputs * outputs},
            nodes=2,
        ),
        1e-5,
        small,
        minimum=100,
        facts={"rows": "nvfp4", "weights": "nvfp4"},
    )


def _fp4_reference(given: Inputs) -> tuple[Tensor, ...]:
    rows = [qweight.quantize(row[None].numpy(), "nvfp4") for row in given["x"].cpu().contiguous()]
    x = torch.cat([torch.from_numpy(row.dequantize()) for row in rows]).double()
    weight = torch.from_numpy(given["stored"].dequantize()).double()
    return (x @ weight.t() + given["bias"].cpu().double(),)

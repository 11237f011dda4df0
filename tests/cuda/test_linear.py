"""The CUDA linear layer of few rows against the op's formula, on the emulated device.

Weights are quantised by `metabonk.ops.qweight`; int8 must give the bits of the op's `torch`
backend, the other formats its numbers within the rounding of float32 sums.
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
import pytest
import torch
from emulated_device import AMPERE, HOPPER, Emulated, Guarded, address, aligned

from metabonk.ops import qlinear, qweight
from metabonk.ops.qweight import FORMATS, QuantizedWeight, WeightFormat

Floats = npt.NDArray[np.float32]
HERE: tuple[WeightFormat, ...] = ("int8", "bf16", "fp8", "nvfp4", "mxfp8")
TOLERANCE = 2e-6  # of the sum of the products' sizes


class Linear(ctypes.Structure):
    """MetabonkCudaLinear of kernels/cuda/api.h."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("rows", "inputs", "outputs", "stride", "format")),
        *((n, ctypes.c_void_p) for n in ("x", "codes", "scales", "tensor_scale", "bias", "y")),
    ]


def layer(format: WeightFormat, outputs: int, inputs: int) -> tuple[QuantizedWeight, Floats]:
    random = np.random.default_rng([outputs, inputs])
    weight = random.standard_normal((outputs, inputs)).astype(np.float32)
    weight *= np.exp(random.uniform(-3, 3, (outputs, 1))).astype(np.float32)
    return qweight.quantize(weight, format), aligned(
        random.standard_normal(outputs).astype(np.float32)
    )


def rows_of(count: int, inputs: int) -> Floats:
    random = np.random.default_rng([7, count, inputs])
    x = random.standard_normal((count, inputs)) * np.exp(random.uniform(-4, 4, (count, 1)))
    return aligned(x.astype(np.float32))


def run(
    emulated: Emulated,
    x: Floats,
    weight: QuantizedWeight,
    bias: Floats | None,
    device: tuple[int, int, int, int] = HOPPER,
    seed: int = 0,
) -> Floats:
    y = Guarded((len(x), weight.outputs))
    held = [aligned(a) for a in (weight.codes, weight.scales, weight.tensor_scale)]
    structure = Linear(
        *(len(x), weight.inputs, weight.outputs, weight.inputs, FORMATS.index(weight.format)),
        *map(address, (x, *held, bias, y.array)),
    )
    assert emulated.call("metabonk_cuda_linear", structure, device, seed) == 0
    y.check()
    return y.array


def check(found: Floats, x: Floats, weight: QuantizedWeight, bias: Floats | None) -> None:
    tensors = torch.from_numpy(x), None if bias is None else torch.from_numpy(bias)
    if weight.format == "int8":
        packed = qlinear.pack(weight)
        wanted = qlinear.qlinear(tensors[0], packed, tensors[1], backend="torch").numpy()
        assert np.array_equal(found, wanted, equal_nan=True)
        return
    codes, scale = qlinear.round_rows(tensors[0], weight.format)
    rounded = (codes * scale).double().numpy()
    stored = weight.dequantize().astype(np.float64)
    wanted = rounded @ stored.T + (0.0 if bias is None else bias)
    size = np.abs(rounded) @ np.abs(stored).T + (0.0 if bias is None else np.abs(bias))
    assert (np.abs(found - wanted) <= TOLERANCE * size).all()


SIZES = [(1, 1, 1), (3, 30, 9), (16, 64, 40), (5, 160, 72), (16, 960, 200), (17, 96, 24)]


@pytest.mark.parametrize("device", [HOPPER, AMPERE], ids=["sm_90", "sm_80"])
@pytest.mark.parametrize("format", HERE)
def test_equals_the_formula(
    emulated: Emulated, format: WeightFormat, device: tuple[int, int, int, int]
) -> None:
    for i, (rows, inputs, outputs) in enumerate(SIZES):
        weight, bias = layer(format, outputs, inputs)
        x = rows_of(rows, inputs)
        given = bias if i % 2 else None
        check(run(emulated, x, weight, given, device, seed=i), x, weight, given)


@pytest.mark.parametrize("format", HERE)
def test_few_multiprocessors_take_many_tiles_each(emulated: Emulated, format: WeightFormat) -> None:
    weight, bias = layer(format, 300, 272)
    x = rows_of(4, 272)
    check(run(emulated, x, weight, bias, (9, 0, 8, 227 * 1024)), x, weight, bias)


@pytest.mark.parametrize("format", HERE)
def test_every_code_and_every_scale(emulated: Emulated, format: WeightFormat) -> None:
    """One row of x for each input: the result is the dequantised matrix itself."""
    random = np.random.default_rng(3)
    weight, _ = layer(format, 48, 32)
    codes = random.integers(0, 256, weight.codes.shape).astype(np.uint8)
    if format in ("fp8", "mxfp8"):
        codes[codes & 0x7F == 0x7F] = 0  # NaN, which packing refuses
    if format in ("bf16", "int8"):
        codes = weight.codes
    scales = weight.scales
    if format == "nvfp4":
        scales = (np.arange(96) * 127 // 96).astype(np.uint8).reshape(48, 2)
    if format == "mxfp8":
        scales = np.linspace(16, 240, 48).astype(np.uint8).reshape(48, 1)
    stored = QuantizedWeight(format, 32, codes, scales, weight.tensor_scale)
    found = run(emulated, aligned(np.eye(32, dtype=np.float32)), stored, None)
    wanted = stored.dequantize().T
    if format == "nvfp4":  # code x (scale x t) and (code x scale) x t differ by rounding
        assert np.allclose(found, wanted, rtol=3e-7, atol=0)
    elif format == "int8":
        assert np.allclose(found, wanted, rtol=1e-6, atol=0)
    else:
        assert np.array_equal(found, wanted)


def test_rows_without_numbers_give_none(emulated: Emulated) -> None:
    for format in HERE:
        weight, bias = layer(format, 16, 80)
        x = rows_of(6, 80)
        x[1, 70], x[2, 3], x[3], x[4] = np.nan, np.inf, 0.0, 1e-35
        found = run(emulated, x, weight, bias)
        assert not np.isfinite(found[1:3]).any()
        check(found[[0, 3, 4, 5]], np.ascontiguousarray(x[[0, 3, 4, 5]]), weight, bias)


def test_the_order_of_threads_does_not_matter(emulated: Emulated) -> None:
    for format in HERE:
        weight, bias = layer(format, 72, 300)
        x = rows_of(9, 300)
        first = run(emulated, x, weight, bias)
        for seed in range(1, 4):
            assert np.array_equal(run(emulated, x, weight, bias, seed=seed), first)


def test_sizes_and_formats_out_of_bounds_are_refused(emulated: Emulated) -> None:
    for sizes in [
        (0, 1, 1, 1),
        (65, 1, 1, 1),
        (1, 0, 1, 1),
        (1, 1 << 17, 1, 1 << 17),
        (1, 2, 1, 1),
    ]:
        assert emulated.call("metabonk_cuda_linear", Linear(*sizes, 0)) == -1
    assert emulated.call("metabonk_cuda_linear", Linear(1, 1, 1, 1, 1)) == -1  # int4
    assert emulated.call("metabonk_cuda_linear", Linear(1, 64, 64, 64, 3), (8, 0, 108, 1024)) == -2

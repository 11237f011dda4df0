"""nvfp4 by nvfp4: the CUDA layer against both sides' dequantised numbers, on the emulated device.

Both ways to multiply, tensor memory (sm_100) and warps (sm_120), must agree with float64 products
of what `metabonk.ops.qweight` makes of the weights and of every row of x.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from emulated_device import BLACKWELL, GEFORCE, HOPPER, Emulated, Guarded, address, aligned

from metabonk.ops import qweight
from metabonk.ops.qweight import QuantizedWeight

Floats = npt.NDArray[np.float32]
TOLERANCE = 2e-6  # of the sum of the products' sizes
DEVICES = pytest.mark.parametrize("device", [BLACKWELL, GEFORCE], ids=["sm_100", "sm_120"])


class LinearFp4(ctypes.Structure):
    """MetabonkCudaLinearFp4 of kernels/cuda/api.h."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("rows", "inputs", "outputs")),
        *(
            (name, ctypes.c_void_p)
            for name in ("x", "codes", "scales", "tensor_scale", "bias", "y", "scratch")
        ),
    ]


def case(rows: int, inputs: int, outputs: int) -> tuple[Floats, QuantizedWeight, Floats]:
    random = np.random.default_rng([rows, inputs, outputs])
    weight = random.standard_normal((outputs, inputs)) * np.exp(random.uniform(-3, 3, (outputs, 1)))
    x = random.standard_normal((rows, inputs)) * np.exp(random.uniform(-4, 4, (rows, 1)))
    bias = random.standard_normal(outputs).astype(np.float32)
    stored = qweight.quantize(np.ascontiguousarray(weight, np.float32), "nvfp4")
    return aligned(x.astype(np.float32)), stored, aligned(bias)


def run(
    emulated: Emulated,
    x: Floats,
    weight: QuantizedWeight,
    bias: Floats | None,
    device: tuple[int, int, int, int],
    seed: int = 0,
) -> Floats:
    y = Guarded((len(x), weight.outputs))
    scratch = Guarded((emulated.size("metabonk_cuda_linear_fp4_scratch", weight.inputs),), np.uint8)
    held = [aligned(a) for a in (weight.codes, weight.scales, weight.tensor_scale)]
    structure = LinearFp4(
        *(len(x), weight.inputs, weight.outputs),
        *map(address, (x, *held, bias, y.array, scratch.array)),
    )
    assert emulated.call("metabonk_cuda_linear_fp4", structure, device, seed) == 0
    y.check()
    scratch.check()
    return y.array


def both_sides(x: Floats, weight: QuantizedWeight) -> tuple[Any, Any]:
    """What the product is of, in float64."""
    rows = [qweight.quantize(np.ascontiguousarray(row[None]), "nvfp4").dequantize() for row in x]
    return np.concatenate(rows).astype(np.float64), weight.dequantize().astype(np.float64)


SIZES = [(1, 64, 1), (3, 128, 130), (16, 512, 128), (7, 640, 72), (16, 1088, 260)]


@DEVICES
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_product_of_what_was_rounded(
    emulated: Emulated, size: tuple[int, int, int], device: tuple[int, int, int, int]
) -> None:
    x, weight, bias = case(*size)
    given = bias if size[0] > 1 else None
    a, b = both_sides(x, weight)
    wanted, scale = a @ b.T, np.abs(a) @ np.abs(b).T
    if given is not None:
        wanted, scale = wanted + given, scale + np.abs(given)
    found = run(emulated, x, weight, given, device, seed=size[2])
    assert (np.abs(found - wanted) <= TOLERANCE * scale).all()


@DEVICES
def test_every_code_stands_for_itself(
    emulated: Emulated, device: tuple[int, int, int, int]
) -> None:
    """One input per row: every weight's value comes out alone."""
    random = np.random.default_rng(5)
    codes = random.integers(0, 256, (128, 32)).astype(np.uint8)
    scales = random.integers(1, 127, (128, 4)).astype(np.uint8)
    weight = QuantizedWeight("nvfp4", 64, codes, scales, np.array([1.0], np.float32))
    for first in range(0, 64, 16):
        x = aligned(6.0 * np.eye(64, dtype=np.float32)[first : first + 16])
        found = run(emulated, x, weight, None, device)
        assert np.allclose(found, 6.0 * weight.dequantize().T[first : first + 16], rtol=1e-6)


@DEVICES
def test_rows_of_zeros_and_without_numbers(
    emulated: Emulated, device: tuple[int, int, int, int]
) -> None:
    x, weight, bias = case(4, 128, 64)
    x[0], x[1, 5], x[2, 9] = 0.0, np.nan, np.inf
    found = run(emulated, x, weight, bias, device)
    assert np.array_equal(found[0], bias)
    assert not np.isfinite(found[1:3]).any()
    assert np.isfinite(found[3]).all()


@DEVICES
def test_the_order_of_threads_does_not_matter(
    emulated: Emulated, device: tuple[int, int, int, int]
) -> None:
    x, weight, bias = case(5, 576, 140)
    first = run(emulated, x, weight, bias, device)
    for seed in range(1, 4):
        assert np.array_equal(run(emulated, x, weight, bias, device, seed), first)


def test_what_cannot_be_multiplied_is_refused(emulated: Emulated) -> None:
    for sizes in [(0, 64, 1), (17, 64, 1), (1, 63, 1), (1, 96, 1), (1, 1 << 17, 1), (1, 64, 0)]:
        assert emulated.call("metabonk_cuda_linear_fp4", LinearFp4(*sizes), BLACKWELL) == -1
    structure = LinearFp4(1, 64, 8)
    assert emulated.call("metabonk_cuda_linear_fp4", structure, HOPPER) == -3
    structure = LinearFp4(1, 1 << 16, 8)
    assert emulated.call("metabonk_cuda_linear_fp4", structure, GEFORCE) == -2

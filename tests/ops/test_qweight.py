"""Weights in few bits: the formulas of every format in numpy, there and back, what each costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from metabonk.ops import qweight
from metabonk.ops.formats import decode, encode
from metabonk.ops.qweight import FORMATS, QuantizedWeight, WeightFormat

Floats = npt.NDArray[np.float32]
SHAPES = [(1, 1), (3, 5), (16, 16), (17, 33), (64, 64), (70, 100)]
# Relative error of standard normal weights, and the bits it is had for: (most, bits of 256 inputs).
COST = {
    "int8": (7e-3, 8.125),
    "int4": (1.0e-1, 4.5),
    "bf16": (1.8e-3, 16.0),
    "fp8": (2.8e-2, 8.125),
    "nvfp4": (1.05e-1, 4.5),
    "mxfp8": (2.9e-2, 8.25),
}


def normal(outputs: int, inputs: int) -> Floats:
    rng = np.random.default_rng(outputs * 1000 + inputs)
    return rng.standard_normal((outputs, inputs)).astype(np.float32)


def halves(codes: npt.NDArray[np.uint8], inputs: int) -> npt.NDArray[np.uint8]:
    """Two codes per byte, the even one low -> one per byte."""
    both = np.stack([codes & 15, codes >> 4], -1).reshape(len(codes), -1)
    return both[:, :inputs]


def blocks(weight: Floats, size: int) -> Floats:
    """[outputs, blocks, size], zeros where there is nothing."""
    pad = -weight.shape[1] % size
    return np.pad(weight, ((0, 0), (0, pad))).reshape(len(weight), -1, size)


def by_formula(weight: Floats, format: WeightFormat) -> Floats:
    """What the weights become, written once more in numpy, in float32."""
    largest = np.abs(weight).max(1, keepdims=True)
    inputs = weight.shape[1]
    if format == "int8":
        scale = largest / np.float32(127)
        return np.round(weight / scale).clip(-127, 127) * scale
    if format == "fp8":
        scale = largest / np.float32(448)
        return decode(encode(weight / scale, "e4m3"), "e4m3") * scale
    if format == "bf16":
        return decode(encode(weight, "bf16"), "bf16")
    cut = blocks(weight, 16 if format == "nvfp4" else 32)
    top = np.abs(cut).max(-1, keepdims=True)
    if format == "int4":
        scale = decode(encode(top / np.float32(7), "bf16"), "bf16")
        out = np.round(cut / scale).clip(-7, 7) * scale
    elif format == "mxfp8":
        scale = decode(encode(top / np.float32(448), "e8m0", "up"), "e8m0")
        out = decode(encode(cut / scale, "e4m3"), "e4m3") * scale
    else:
        tensor = np.abs(weight).max() / np.float32(6 * 448)
        scale = decode(encode(top / np.float32(6) / tensor, "e4m3"), "e4m3") * tensor
        out = decode(encode(cut / scale, "e2m1"), "e2m1") * scale
    return out.reshape(len(weight), -1)[:, :inputs]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_become_what_the_formula_says(format: WeightFormat, shape: tuple[int, int]) -> None:
    weight = normal(*shape)
    found = qweight.quantize(weight, format)
    with np.errstate(invalid="ignore", divide="ignore"):  # blocks of padding
        assert np.array_equal(found.dequantize(), by_formula(weight, format))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_weights_come_back_bit_for_bit(format: WeightFormat, shape: tuple[int, int]) -> None:
    weight = qweight.quantize(normal(*shape), format)
    panels = weight.pack()
    assert panels.ctypes.data % 64 == 0
    back = qweight.unpack(panels, format, *shape)
    for name in ("codes", "scales", "tensor_scale"):
        assert np.array_equal(getattr(back, name), getattr(weight, name)), name


@pytest.mark.parametrize("format", FORMATS)
def test_quantising_what_is_quantised_changes_nothing(format: WeightFormat) -> None:
    """The largest of a block stays the largest, so that scales stay; mxfp8's may halve."""
    once = qweight.quantize(normal(20, 64), format).dequantize()
    again = qweight.quantize(once, format).dequantize()
    np.testing.assert_allclose(again, once, rtol=2e-7 if format != "nvfp4" else 0.07, atol=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_costs_what_is_known_of_it(format: WeightFormat) -> None:
    most, bits = COST[format]
    loss = qweight.quantize(normal(300, 256), format).loss(normal(300, 256))
    assert 0.5 * most < loss.relative <= most
    assert loss.bits == pytest.approx(bits, rel=1e-3)
    assert loss.largest > loss.relative


@pytest.mark.parametrize("format", FORMATS)
def test_codes_lie_as_the_table_says(format: WeightFormat) -> None:
    weight = normal(4, 40)
    found = qweight.quantize(weight, format)
    if format in ("int4", "nvfp4"):
        codes = halves(found.codes, 40)
        sign = np.where(codes & 8, -1, 1)
    elif format == "int8":
        sign = np.sign(found.codes)
    else:
        top = 0x8000 if format == "bf16" else 0x80
        sign = np.where(found.codes & top, -1, 1)
    large = np.abs(weight) > 0.5
    assert np.array_equal(sign[large], np.sign(weight)[large])


@pytest.mark.parametrize("format", FORMATS)
def test_zeros_stay_zeros(format: WeightFormat) -> None:
    weight = normal(5, 48)
    weight[2] = 0.0
    weight[3, 16:] = 0.0
    found = qweight.quantize(weight, format)
    out = found.dequantize()
    assert not out[2].any()
    assert not out[3, 32:].any()
    nothing = qweight.quantize(np.zeros((2, 3), np.float32), format)
    assert not nothing.dequantize().any()
    assert nothing.loss(np.zeros((2, 3), np.float32)).relative == 0.0


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("factor", [1e-33, 1e33])
def test_very_small_and_very_large_weights_cost_no_more(
    format: WeightFormat, factor: float
) -> None:
    weight = normal(8, 64) * np.float32(factor)
    assert qweight.quantize(weight, format).loss(weight).relative < COST[format][0] * 1.2


@pytest.mark.parametrize("format", FORMATS)
def test_what_would_need_a_subnormal_scale_loses_no_more_than_itself(
    format: WeightFormat,
) -> None:
    weight = normal(8, 64) * np.float32(1e-37)
    loss = qweight.quantize(weight, format).loss(weight)
    assert loss.relative <= 1.0
    assert np.isfinite(loss.largest)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(format: WeightFormat, odd: float) -> None:
    weight = normal(3, 20)
    weight[1, 19] = odd
    with pytest.raises(ValueError, match="weight: must be finite"):
        qweight.quantize(weight, format)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros((2, 3), np.float64), "weight is float64; wanted float32"),
        (np.zeros((4, 6), np.float32).T, "weight has strides"),
        (np.zeros((4, 6), np.float32)[:, ::2], "weight has strides"),
        (np.zeros(6, np.float32), r"weight is \[6\]; wanted \[outputs, inputs\]"),
        (np.zeros((0, 4), np.float32), "outputs: 1 to"),
        (np.zeros((4, 0), np.float32), "inputs: 1 to"),
        (np.zeros((1, 70000), np.float32), "inputs: 1 to 65536"),
        ([[1.0]], "weight is list"),
    ],
)
def test_what_cannot_be_weights_is_refused(weight: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        qweight.quantize(weight, "int8")


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="'int3'; there are int8, int4, bf16, fp8, nvfp4, mxfp8"):
        qweight.quantize(np.zeros((2, 2), np.float32), "int3")  # type: ignore[arg-type]


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = qweight.quantize(normal(3, 40), "nvfp4")
    arrays = {"codes": good.codes, "scales": good.scales, "tensor_scale": good.tensor_scale}
    for name, array, message in (
        ("codes", good.codes[:, :-1].copy(), r"codes is \[3, 19\]; wanted \[3, 20\]"),
        ("codes", good.codes.astype(np.int8), "codes is int8; wanted uint8"),
        ("codes", np.asfortranarray(good.codes), "codes has strides"),
        ("scales", good.scales[:, :2].copy(), r"scales is \[3, 2\]; wanted \[3, 3\]"),
        ("tensor_scale", np.empty(0, np.float32), r"tensor_scale is \[0\]; wanted \[1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            QuantizedWeight("nvfp4", 40, **{**arrays, name: array})


@pytest.mark.parametrize(("format", "name"), [("fp8", "codes"), ("mxfp8", "scales")])
def test_codes_that_are_nan_are_not_packed(format: WeightFormat, name: str) -> None:
    weight = qweight.quantize(normal(3, 40), format)
    getattr(weight, name)[-1, -1] = 0x7F if name == "codes" else 0xFF
    with pytest.raises(ValueError, match=f"{name}: must be finite"):
        weight.pack()


def test_panels_of_another_size_are_refused() -> None:
    panels = qweight.quantize(normal(3, 40), "int4").pack()
    with pytest.raises(ValueError, match=r"panels is \[\d+\]; wanted \[\d+\] for int4 of 30 x 40"):
        qweight.unpack(panels, "int4", 30, 40)
    with pytest.raises(ValueError, match="panels is int8; wanted uint8"):
        qweight.unpack(panels.view(np.int8), "int4", 3, 40)
    with pytest.raises(ValueError, match="panels has strides"):
        qweight.unpack(np.repeat(panels, 2)[::2], "int4", 3, 40)

"""Rows rounded as far as weights: the definition against weights of one row and float64, gradients,
registration and refusals. What a GPU computes is tested in tests/kernels/interpreted."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import qlinear, qweight
from metabonk.ops import qlinear_narrow as op

FORMATS = tuple(op.LEAST)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("inputs", [1, 16, 37, 200])
def test_a_row_is_rounded_as_a_weight_of_one_row(format: qweight.WeightFormat, inputs: int) -> None:
    x = randn(9, inputs) * torch.logspace(-12, 12, 9)[:, None]
    x[3] = 0.0
    found = op.round_rows(x, format)
    for row, rounded in zip(x, found, strict=True):
        wanted = qweight.quantize(row[None].numpy(), format).dequantize()[0]
        assert torch.equal(rounded, torch.from_numpy(wanted))


@pytest.mark.parametrize("format", FORMATS)
def test_is_the_product_of_what_both_were_rounded_to(format: qweight.WeightFormat) -> None:
    x, bias = randn(2, 5, 40), randn(33, seed=2)
    weight = qlinear.pack(randn(33, 40, seed=1), format)
    wanted = op.round_rows(x, format).double() @ weight.dequantize().double().t() + bias.double()
    for found in (
        op.qlinear_narrow(x, weight, bias),
        op.reference(x.double(), weight, bias.double()),
    ):
        assert float((found.double() - wanted).norm() / wanted.norm()) < 3e-7  # worst seen 1e-7
    exact = x.double() @ weight.dequantize().double().t() + bias.double()
    lost = float((wanted - exact).norm() / exact.norm())
    assert 0.001 < lost < {"fp8": 0.04, "nvfp4": 0.15}[format]  # seen 0.02, 0.07


@pytest.mark.parametrize("format", FORMATS)
def test_gradients_are_those_of_the_layer_that_rounds_nothing(
    format: qweight.WeightFormat,
) -> None:
    x, bias = randn(4, 24).requires_grad_(), randn(7).requires_grad_()
    weight, dy = qlinear.pack(randn(7, 24, seed=1), format), randn(4, 7, seed=2)
    dx, db = torch.autograd.grad(op.qlinear_narrow(x, weight, bias), (x, bias), dy)
    torch.testing.assert_close(dx, dy @ weight.dequantize())
    torch.testing.assert_close(db, dy.sum(0))


def test_registration_holds() -> None:
    weight = qlinear.pack(randn(6, 20), "nvfp4")
    for bias in (None, randn(6)):
        arguments = (randn(3, 20).requires_grad_(), weight.panels, bias, "nvfp4", 6, "auto")
        torch.library.opcheck(torch.ops.metabonk.qlinear_narrow, arguments)
    layer = torch.compile(lambda x: op.qlinear_narrow(x, weight), fullgraph=True, backend="eager")
    x = randn(3, 20)
    assert torch.equal(layer(x), op.qlinear_narrow(x, weight))


def test_what_does_not_fit_is_named() -> None:
    weight = qlinear.pack(randn(6, 20), "fp8")
    cases = [
        (randn(3, 19), weight, None, r"x is torch.float32 \[3, 19\]; wanted .* \[\.\.\., 20\]"),
        (randn(3, 20).double(), weight, None, "x is torch.float64"),
        (
            randn(3, 20),
            weight,
            randn(5),
            r"bias is torch.float32 \[5\]; wanted .* \[6\]",
        ),
        (randn(3, 20), weight._replace(panels=weight.panels[:-1]), None, "weight.panels is"),
        (randn(3, 20), qlinear.pack(randn(6, 20), "int8"), None, "weight is int8; wanted fp8 or"),
    ]
    for x, packed, bias, words in cases:
        with pytest.raises(ValueError, match=words):
            op.qlinear_narrow(x, packed, bias)
    if "triton" not in op.backends():
        with pytest.raises(BackendError, match=r"no backend 'triton'; here are: torch \(triton: "):
            op.qlinear_narrow(randn(3, 20), weight, backend="triton")


def test_bad_rows_have_no_numbers_and_empty_ones_no_rows() -> None:
    for format in FORMATS:
        weight, x = qlinear.pack(randn(6, 20), format), randn(3, 20)
        x[1, 4] = float("nan")
        y = op.qlinear_narrow(x, weight)
        assert y[1].isnan().all()
        assert y[[0, 2]].isfinite().all()
        assert op.qlinear_narrow(randn(0, 20), weight).shape == (0, 6)

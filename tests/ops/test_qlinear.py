"""Linear layers over quantised weights: every backend and instruction set against the reference."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import qlinear as op
from metabonk.ops import qweight
from metabonk.ops.qlinear import Packed
from metabonk.ops.qweight import FORMATS, WeightFormat

Within = Callable[[str, str, float], None]
SHAPES = [(1, 1), (3, 5), (16, 16), (64, 64), (67, 33), (130, 100)]
ROWS = [1, 2, 3, 5, 6, 7, 64, 131]


@functools.cache
def layer(format: WeightFormat, outputs: int = 67, inputs: int = 33) -> tuple[Packed, Tensor]:
    generator = torch.Generator().manual_seed(outputs + inputs)
    weight = torch.randn(outputs, inputs, generator=generator)
    return op.pack(weight, format), torch.randn(outputs, generator=generator)


def rows(count: int, inputs: int = 33) -> Tensor:
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(count))


def error_scale(x: Tensor, weight: Packed, bias: Tensor | None) -> Tensor:
    """Of rounding in float32: eps (|x| |W|^T + |b|)."""
    sizes = x.double().abs() @ weight.dequantize().double().abs().t()
    return (sizes + (0.0 if bias is None else bias.abs())) * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("format", FORMATS)
def test_every_tier_follows_the_reference(
    way: tuple[str, str], within: Within, format: WeightFormat
) -> None:
    worst = 0.0
    for (outputs, inputs), count in itertools.product(SHAPES, ROWS):
        weight, bias = layer(format, outputs, inputs)
        x = rows(count, inputs)
        for b in (bias, None):
            y = op.qlinear(x, weight, b, backend=way[0])
            exact = op.reference(x.double(), weight, None if b is None else b.double())
            worst = max(worst, float(((y - exact).abs() / error_scale(x, weight, b)).max()))
    within(f"qlinear {format}", way[1], worst)


@pytest.mark.parametrize("format", FORMATS)
def test_the_torch_backend_is_the_same_layer(instructions: str, format: WeightFormat) -> None:
    weight, bias = layer(format)
    x = rows(20)
    native = op.qlinear(x, weight, bias, backend="native")
    plain = op.qlinear(x, weight, bias, backend="torch")
    if format == "int8":
        assert torch.equal(native, plain)
    assert ((native - plain).abs() <= 8 * error_scale(x, weight, bias)).all()


def test_int8_gives_the_same_bits_everywhere(instructions: str) -> None:
    weight, bias = layer("int8", 130, 100)
    x = rows(9, 100)
    assert torch.equal(op.qlinear(x, weight, bias, "native"), op.qlinear(x, weight, bias, "torch"))


@pytest.mark.parametrize("format", FORMATS)
def test_the_error_is_the_formats_own(format: WeightFormat) -> None:
    """Against the layer in full precision: no more than weights and inputs lose."""
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    x = rows(32, 256)
    exact = x @ weight.t()
    found = op.qlinear(x, op.pack(weight, format))
    relative = float((found - exact).norm() / exact.norm())
    loss = qweight.quantize(weight.numpy(), format).loss(weight.numpy()).relative
    rounded, scale = op.round_rows(x, format)
    inputs = float((rounded * scale - x).norm() / x.norm())
    assert 0.5 * loss < relative < 1.3 * (loss**2 + inputs**2) ** 0.5


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_gradients_are_those_of_the_reference(format: WeightFormat, backend: str) -> None:
    weight, bias = layer(format)
    dy = torch.randn(4, 5, 67, generator=torch.Generator().manual_seed(2))
    found = [rows(20).view(4, 5, 33).requires_grad_(), bias.clone().requires_grad_()]
    want = [t.detach().double().requires_grad_() for t in found]
    op.qlinear(found[0], weight, found[1], backend).backward(dy)
    op.reference(want[0], weight, want[1]).backward(dy.double())
    for mine, theirs in zip(found, want, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad.float(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_the_references_gradients_are_those_of_its_formula(format: WeightFormat) -> None:
    weight, bias = layer(format, 7, 5)
    inputs = rows(3, 5).double().requires_grad_(), bias.double().requires_grad_()
    torch.autograd.gradcheck(lambda x, b: op.reference(x, weight, b, rounded=False), inputs)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("with_bias", [True, False])
def test_opcheck(format: WeightFormat, with_bias: bool) -> None:
    weight, bias = layer(format)
    x = rows(6).requires_grad_()
    arguments = (x, weight.panels, bias if with_bias else None, format, 67, "auto")
    torch.library.opcheck(torch.ops.metabonk.qlinear.default, arguments)
    dy = torch.randn(6, 67)
    torch.library.opcheck(
        torch.ops.metabonk.qlinear_backward.default, (dy, weight.panels, format, 33)
    )


@pytest.mark.parametrize("format", ["int8", "nvfp4"])
def test_compiles_into_one_graph_with_its_gradient(format: WeightFormat) -> None:
    weight, bias = layer(format)

    def run(x: Tensor) -> Tensor:
        return op.qlinear(x.tanh(), weight, bias).square().sum()

    compiled = torch.compile(run, fullgraph=True)
    results = []
    for function in (run, compiled):
        x = rows(7).requires_grad_()
        loss = function(x)
        loss.backward()
        results.append((loss.detach(), x.grad))
    torch.testing.assert_close(results[0], results[1])


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    weight, bias = layer("int8")
    x = rows(2).requires_grad_()
    dy = torch.ones(2, 67, requires_grad=True)
    (first,) = torch.autograd.grad(op.qlinear(x, weight, bias), x, dy, create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of its own"):
        torch.autograd.grad(first.sum(), dy)


def test_leading_dimensions_and_empty_batches(instructions: str) -> None:
    weight, bias = layer("int8")
    x = rows(24)
    flat = op.qlinear(x, weight, bias)
    assert torch.equal(op.qlinear(x.view(2, 3, 4, 33), weight, bias).view(24, 67), flat)
    assert torch.equal(op.qlinear(x[3], weight, bias), flat[3])
    assert op.qlinear(x[:0], weight, bias).shape == (0, 67)
    plan = op.plan(x[:0], weight, bias)
    plan.step()
    assert plan.out.shape == (0, 67)


@pytest.mark.parametrize("format", FORMATS)
def test_threads_change_nothing(format: WeightFormat) -> None:
    weight, bias = layer(format, 600, 300)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, count in itertools.product((1, 2, 3), (40, 700)):
            torch.set_num_threads(threads)
            results.append(op.qlinear(rows(count, 300), weight, bias))
    finally:
        torch.set_num_threads(before)
    x = rows(700, 300)
    for threads in (1, 2, 3):
        plan = op.plan(x, weight, bias, threads=threads)
        assert plan.threads == threads
        plan.step()
        assert torch.equal(plan.out, results[1])
    assert op.plan(x[:1], weight, bias, threads=3).threads == 1
    with pytest.raises(ValueError, match="threads is 0"):
        op.plan(x, weight, bias, threads=0)
    for few, many in zip(results[::2], results[1::2], strict=True):
        assert torch.equal(few, results[0])
        assert torch.equal(many, results[1])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_no_number_stays_in_its_row(
    instructions: str, format: WeightFormat, odd: float
) -> None:
    weight, bias = layer(format)
    x = rows(3)
    x[1, 20] = odd
    for backend in op.backends():
        y = op.qlinear(x, weight, bias, backend)
        assert y[[0, 2]].isfinite().all()
        assert not y[1].isfinite().any()


@pytest.mark.parametrize("format", FORMATS)
def test_a_misaligned_address_of_panels_is_fine_and_of_x_is_not(
    instructions: str, format: WeightFormat
) -> None:
    weight, bias = layer(format)
    moved = torch.empty(weight.panels.numel() + 3, dtype=torch.uint8)[3:]
    moved.copy_(weight.panels)
    x = rows(5)
    elsewhere = weight._replace(panels=moved)
    assert torch.equal(op.qlinear(x, elsewhere, bias), op.qlinear(x, weight, bias))
    crooked = torch.from_numpy(np.zeros(5 * 33 * 4 + 1, np.uint8)[1:].view(np.float32))
    with pytest.raises(BackendError, match="x at an address that is not a multiple of 4"):
        op.qlinear(crooked.view(5, 33), weight, bias, "native")


def test_what_native_cannot_take_goes_to_torch() -> None:
    weight, bias = layer("int8")
    strided = torch.randn(5, 66)[:, ::2]
    with pytest.raises(BackendError, match=r"x with strides.*here are: native, torch"):
        op.qlinear(strided, weight, bias, "native")
    assert torch.equal(
        op.qlinear(strided, weight, bias), op.qlinear(strided.contiguous(), weight, bias)
    )
    with pytest.raises(BackendError, match="bias with strides"):
        op.qlinear(rows(2), weight, torch.zeros(134)[::2], "native")
    spread = torch.zeros(2 * weight.panels.numel(), dtype=torch.uint8)[::2]
    spread.copy_(weight.panels)
    with pytest.raises(BackendError, match=r"weight\.panels with strides"):
        op.qlinear(rows(2), weight._replace(panels=spread), bias, "native")
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        op.qlinear(rows(2), weight, bias, "cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 32)}, r"x is torch.float32 \[2, 32\]; wanted .* \[..., 33\]"),
        ({"x": torch.zeros(2, 33, dtype=torch.float64)}, "x is torch.float64"),
        ({"x": torch.zeros(())}, r"x is torch.float32 \[\]"),
        ({"bias": torch.zeros(66)}, r"bias is torch.float32 \[66\]; wanted torch.float32 \[67\]"),
        ({"bias": torch.zeros(67, dtype=torch.int32)}, "bias is torch.int32"),
        ({"panels": torch.zeros(3, dtype=torch.uint8)}, r"panels is torch.uint8 \[3\]; wanted"),
        ({"panels": torch.zeros(3)}, r"panels is torch.float32 \[3\]; wanted"),
    ],
)
@pytest.mark.parametrize("door", ["op", "plan"])
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str, door: str) -> None:
    weight, bias = layer("int8")
    given = {"x": rows(2), "bias": bias, "panels": weight.panels, **change}
    packed = weight._replace(panels=given["panels"])
    function: Any = op.qlinear if door == "op" else op.plan
    with pytest.raises(ValueError, match=message):
        function(given["x"], packed, given["bias"])


def test_the_raw_op_does_not_believe_sizes() -> None:
    weight, _ = layer("int8")
    with pytest.raises(ValueError, match=r"wanted torch\.uint8"):
        torch.ops.metabonk.qlinear(rows(2), weight.panels, None, "int8", 6700, "auto")
    with pytest.raises(ValueError, match="format is 'int9'"):
        torch.ops.metabonk.qlinear(rows(2), weight.panels, None, "int9", 67, "auto")


@pytest.mark.parametrize("format", FORMATS)
def test_a_plan_is_the_op(instructions: str, format: WeightFormat) -> None:
    weight, bias = layer(format)
    x, out = rows(70), torch.full((70, 67), -1.0)
    plan = op.plan(x, weight, bias, out)
    assert plan.tier == op.tier(format, 70)
    assert (out == -1.0).all()
    plan.step()
    assert torch.equal(out, op.qlinear(x, weight, bias))
    x.mul_(-0.5)
    plan.step()
    assert torch.equal(out, op.qlinear(x, weight, bias))
    other = op.pack(torch.randn(67, 33), format)
    plan.load(other)
    plan.step()
    assert torch.equal(plan.out, op.qlinear(x, other))


def test_a_step_holds_its_memory() -> None:
    weight = torch.randn(67, 33)
    x, out = rows(3), torch.zeros(3, 67)
    watched = [weakref.ref(t) for t in (x, out)]
    plan = op.plan(x, op.pack(weight, "int8"), torch.ones(67), out)
    plan.load(op.pack(weight, "int8"), torch.zeros(67))
    wanted = op.qlinear(x, op.pack(weight, "int8"))
    step = plan.step
    del plan, x, out
    gc.collect()
    step()
    held = watched[1]()
    assert held is not None
    assert torch.equal(held, wanted)
    del step, held
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


def test_what_a_plan_cannot_bind_is_refused_and_out_is_untouched() -> None:
    weight, bias = layer("int8")
    x, out = rows(2), torch.full((2, 67), -1.0)
    for arguments, message in (
        ((torch.zeros(2, 66)[:, ::2], weight, bias, out), "cannot bind x with strides"),
        ((x, weight, bias, out[:1]), r"out is torch.float32 \[1, 67\]; wanted .* \[2, 67\]"),
        ((x, weight, bias, torch.zeros(67, 2).t()), "cannot bind out with strides"),
        ((x, weight, bias, out.double()), "out is torch.float64"),
        ((x.requires_grad_(), weight, bias, out), "x requires a gradient"),
    ):
        with pytest.raises(ValueError, match=message):
            op.plan(*arguments)
    shared = torch.zeros(67)
    square = op.pack(torch.randn(67, 67), "int8")
    with pytest.raises(ValueError, match="out shares memory with x"):
        op.plan(shared, square, None, shared)
    with pytest.raises(BackendError, match="no plan of backend 'torch'"):
        op.plan(rows(2), weight, bias, out, "torch")
    assert (out == -1.0).all()
    plan = op.plan(rows(2), weight, bias, out)
    with pytest.raises(ValueError, match="weight is"):
        plan.load(op.pack(torch.randn(67, 33), "bf16"))
    with pytest.raises(ValueError, match=r"wanted torch\.uint8"):
        plan.load(weight._replace(panels=weight.panels[:-1]))


def test_pack_refuses_what_it_cannot_read() -> None:
    with pytest.raises(ValueError, match="format is None"):
        op.pack(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="weight is on meta"):
        op.pack(torch.zeros(2, 2, device="meta"), "int8")
    with pytest.raises(ValueError, match="weight has strides"):
        op.pack(torch.zeros(2, 4).t(), "int8")

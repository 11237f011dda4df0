"""The dense operation: every backend against the formula in float64, and refusals."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import dense as op

Within = Callable[[str, str, float], None]


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest) -> str:
    """Runs a test once with each backend."""
    if request.param not in op.backends():
        pytest.skip(f"{request.param} needs AVX2")
    return str(request.param)


def layer(rows: int, widths: list[int], outputs: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(rows + outputs)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs = [numbers(rows, width) for width in widths]
    weights = [numbers(outputs, width) / sum(widths) ** 0.5 for width in widths]
    return numbers(outputs), inputs, weights


def gradients(
    function: object, bias: Tensor, inputs: list[Tensor], weights: list[Tensor], dy: Tensor
) -> tuple[Tensor, list[Tensor]]:
    variables = [t.detach().clone().requires_grad_() for t in (bias, *inputs, *weights)]
    count = len(inputs)
    y = function(variables[0], variables[1 : 1 + count], variables[1 + count :])  # type: ignore[operator]
    return y, list(torch.autograd.grad(y, variables, dy.to(y.dtype)))


@pytest.mark.parametrize("rows", [32, 97, 600])
@pytest.mark.parametrize("widths", [[1], [4], [64], [3, 40], [7, 2, 90]])
@pytest.mark.parametrize("outputs", [1, 16, 67])
def test_output_and_every_gradient_follow_the_formula(
    way: tuple[str, str], within: Within, rows: int, widths: list[int], outputs: int
) -> None:
    if way[1] == "portable":
        pytest.skip("native needs AVX2")
    bias, inputs, weights = layer(rows, widths, outputs)
    dy = torch.randn(rows, outputs, generator=torch.Generator().manual_seed(1))
    exact = [t.double() for t in (bias, *inputs, *weights)]
    count = len(inputs)
    y, found = gradients(functools.partial(op.dense, backend=way[0]), bias, inputs, weights, dy)
    want_y, want = gradients(
        op.reference, exact[0], exact[1 : 1 + count], exact[1 + count :], dy.double()
    )
    within("dense", way[1], (y - want_y).abs().max().item())
    for mine, theirs in zip(found, want, strict=True):
        size = theirs.abs().max().item()
        within("dense, gradients", way[1], (mine - theirs).abs().max().item() / size)


def test_without_a_graph_the_output_is_the_same(backend: str) -> None:
    bias, inputs, weights = layer(100, [4, 9], 33)
    with torch.inference_mode():
        plain = op.dense(bias, inputs, weights, backend)
    recorded = op.dense(bias, inputs, [w.requires_grad_() for w in weights], backend)
    assert torch.equal(plain, recorded.detach())
    assert not plain.requires_grad


def test_an_input_that_wants_no_gradient_gets_none(backend: str) -> None:
    bias, inputs, weights = layer(64, [4, 5], 16)
    inputs[1].requires_grad_()
    for weight in weights:
        weight.requires_grad_()
    op.dense(bias, inputs, weights, backend).sum().backward()
    assert inputs[0].grad is None
    assert inputs[1].grad is not None
    assert weights[0].grad is not None


def test_threads_change_rounding_only() -> None:
    bias, inputs, weights = layer(2000, [64], 64)
    dy = torch.randn(2000, 64)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(gradients(op.dense, bias, inputs, weights, dy))
    finally:
        torch.set_num_threads(before)
    (one, one_gradients), (two, two_gradients), (again, again_gradients) = results
    assert torch.equal(one, two)
    assert torch.equal(two, again)
    for a, b, c in zip(one_gradients, two_gradients, again_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)
        assert torch.equal(b, c)


@pytest.mark.parametrize("what", ["few rows", "float64", "strided"])
def test_what_the_core_cannot_take_goes_to_torch(what: str) -> None:
    rows = 8 if what == "few rows" else 64
    bias, inputs, weights = layer(rows, [6], 10)
    if what == "float64":
        bias, inputs, weights = bias.double(), [inputs[0].double()], [weights[0].double()]
    if what == "strided":
        inputs = [torch.randn(64, 12)[:, ::2]]
    with pytest.raises(
        BackendError, match=r"native cannot take (bias|inputs\[0\]) .*here are: native, torch"
    ):
        op.dense(bias, inputs, weights, "native")
    out = op.dense(bias, inputs, weights)
    torch.testing.assert_close(out, op.reference(bias, inputs, weights))


def test_auto_is_the_first_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for name in ("native", "torch"):
        run = getattr(op, f"_{name}_forward")
        monkeypatch.setattr(
            op, f"_{name}_forward", lambda *a, _run=run, _name=name: used.append(_name) or _run(*a)
        )
    op.dense(*layer(64, [6], 10))
    assert used == [op.backends()[0]]


def test_below_avx2_torch_is_the_only_backend() -> None:
    tier = _core.support.active_tier()
    try:
        _core.support.cap_tier("baseline")
        assert op.backends() == ("torch",)
        bias, inputs, weights = layer(64, [6], 10)
        out = op.dense(bias, inputs, weights)
        torch.testing.assert_close(out, op.reference(bias, inputs, weights))
    finally:
        _core.support.cap_tier(tier)


def test_shapes_that_do_not_fit_are_refused() -> None:
    bias, inputs, weights = layer(64, [6, 3], 10)
    with pytest.raises(ValueError, match=r"weights\[0\] is .* \[10, 5\]; wanted .* \[10, 6\]"):
        op.dense(bias, inputs, [torch.zeros(10, 5), weights[1]])
    with pytest.raises(ValueError, match=r"inputs\[1\] is .* \[65, 3\]; wanted .* \[64, any\]"):
        op.dense(bias, [inputs[0], torch.zeros(65, 3)], weights)
    with pytest.raises(ValueError, match=r"weights\[1\] is .* \[11, 3\]; wanted .* \[10, 3\]"):
        op.dense(bias, inputs, [weights[0], torch.zeros(11, 3)])
    with pytest.raises(ValueError, match="at least one"):
        op.dense(bias, [], [])

"""CfC sequences: every backend on every tier against the formula in float64, gradients, torch's
own checks of an op, and refusals."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import cfc_scan as op

NAMES = ("x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads")
Within = Callable[[str, str, float], None]
# T, B, inputs, hidden, backbone
SHAPES = [
    (1, 1, 1, 1, 1),
    (3, 5, 3, 6, 9),
    (7, 13, 20, 33, 17),
    (2, 2, 64, 16, 64),
    (5, 100, 31, 128, 65),
    (16, 64, 128, 128, 128),
]


def sequence(
    steps: int, batch: int, inputs: int, hidden: int, backbone: int, dtype: torch.dtype
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(steps + batch)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype) * scale

    keep = (torch.rand(steps, batch, 1, generator=generator) > 0.2).to(dtype)
    return [
        normal(steps, batch, inputs),
        normal(batch, hidden, scale=0.5),
        normal(steps, batch, 1).abs(),
        keep,
        normal(backbone, inputs + hidden, scale=(inputs + hidden) ** -0.5),
        normal(backbone, scale=0.1),
        normal(4 * hidden, backbone, scale=backbone**-0.5),
        normal(4 * hidden, scale=0.1),
    ]


def small(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return sequence(3, 4, 3, 5, 6, dtype)


def with_gradients(function: object, tensors: list[Tensor], d_out: Tensor) -> list[Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = function(*leaves)  # type: ignore[operator]
    return [out.detach(), *torch.autograd.grad(out, leaves, d_out.to(out.dtype))]


@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_every_gradient_follow_the_formula(
    way: tuple[str, str], within: Within, shape: tuple[int, int, int, int, int]
) -> None:
    tensors = sequence(*shape, torch.float32)
    d_out = torch.randn(*shape[:2], shape[3], generator=torch.Generator().manual_seed(1))
    found = with_gradients(functools.partial(op.cfc_scan, backend=way[0]), tensors, d_out)
    exact = with_gradients(op.reference, [t.double() for t in tensors], d_out)
    for name, mine, theirs in zip(("out", *NAMES), found, exact, strict=True):
        size = 1.0 if name == "out" else max(theirs.abs().max().item(), 1e-3)
        what = "cfc_scan" if name == "out" else f"cfc_scan, d {name}"
        within(what, way[1], (mine - theirs).abs().max().item() / size)


@pytest.mark.parametrize("backend", op.backends())
def test_without_time_or_resets_they_are_one(instructions: str, backend: str) -> None:
    x, h, dt, keep, *weights = small()
    ones = torch.ones_like(dt)
    plain = op.cfc_scan(x, h, None, None, *weights, backend=backend)
    torch.testing.assert_close(plain, op.cfc_scan(x, h, ones, ones, *weights, backend=backend))
    assert not torch.allclose(plain, op.cfc_scan(x, h, dt, keep, *weights, backend=backend))
    leaves = [t.requires_grad_() for t in (x, h, *weights)]
    found = torch.autograd.grad(
        op.cfc_scan(x, h, None, None, *weights, backend=backend).sum(), leaves
    )
    want = torch.autograd.grad(op.reference(x, h, None, None, *weights).sum(), leaves)
    for mine, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-6, rtol=1e-5)


def test_every_gradient_of_the_torch_backend_and_of_the_formula_is_the_derivative() -> None:
    leaves = [t.requires_grad_() for t in sequence(2, 2, 2, 3, 3, torch.float64)]
    assert torch.autograd.gradcheck(op.cfc_scan, leaves)
    assert torch.autograd.gradcheck(op.reference, leaves)


@pytest.mark.parametrize("backend", op.backends())
def test_recording_changes_nothing(instructions: str, backend: str) -> None:
    tensors = sequence(4, 7, 9, 33, 20, torch.float32)
    with torch.inference_mode():
        plain = op.cfc_scan(*tensors, backend=backend)
    recorded = op.cfc_scan(*[t.clone().requires_grad_() for t in tensors], backend=backend)
    assert torch.equal(plain, recorded.detach())


def test_a_row_does_not_depend_on_its_neighbours_or_on_threads(instructions: str) -> None:
    x, h, dt, keep, *weights = sequence(3, 400, 24, 40, 48, torch.float32)
    d_out = torch.randn(3, 400, 40)
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(with_gradients(op.cfc_scan, [x, h, dt, keep, *weights], d_out))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
    for rows in (slice(0, 1), slice(95, 98), slice(399, 400)):
        alone = op.cfc_scan(
            x[:, rows].contiguous(), h[rows], dt[:, rows].contiguous(),
            keep[:, rows].contiguous(), *weights, backend="native",
        )  # fmt: skip
        assert torch.equal(alone, runs[0][0][:, rows])


def test_large_values_saturate_and_nan_stays_in_its_row(instructions: str) -> None:
    x, h, dt, keep, *weights = small()
    x[0, 0, 0], x[0, 1, 0], x[0, 2, 0] = 1e30, -1e30, torch.nan
    out = op.cfc_scan(x, h, dt * 1e4, torch.ones_like(keep), *weights, backend="native")
    want = op.reference(x, h, dt * 1e4, None, *weights)
    assert out[:, 2].isnan().all()
    rest = [0, 1, 3]
    torch.testing.assert_close(out[:, rest], want[:, rest], atol=3e-6, rtol=1e-5)
    assert out[:, rest].abs().max() <= 1.0


@pytest.mark.parametrize("saving", [False, True])
def test_torch_finds_nothing_wrong_with_the_op(saving: bool) -> None:
    tensors = [t.requires_grad_(saving) for t in small()]
    torch.library.opcheck(torch.ops.metabonk.cfc_scan.default, (*tensors, saving, "auto"))


def test_it_is_one_node_of_a_compiled_graph() -> None:
    leaves = [t.requires_grad_() for t in small()]
    compiled = torch.compile(op.cfc_scan, fullgraph=True)
    for mine, theirs in zip(
        torch.autograd.grad(compiled(*leaves).square().sum(), leaves),
        torch.autograd.grad(op.cfc_scan(*leaves).square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_what_the_core_cannot_take_goes_to_torch_or_is_refused() -> None:
    tensors = small()
    wide = torch.randn(3, 4, 6)[..., ::2]
    raw = torch.zeros(4 * tensors[0].numel() + 1, dtype=torch.uint8).numpy()
    askew = torch.frombuffer(raw, dtype=torch.float32, count=tensors[0].numel(), offset=1)
    for x in (wide, askew.view_as(tensors[0])):
        with pytest.raises(BackendError, match=r"cfc_scan: native cannot take x .*native, torch"):
            op.cfc_scan(x, *tensors[1:], backend="native")
        out = op.cfc_scan(x, *tensors[1:])
        torch.testing.assert_close(out, op.reference(x, *tensors[1:]))
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        op.cfc_scan(*tensors, backend="cuda")
    double = [t.double() for t in tensors]
    assert op.cfc_scan(*double).dtype == torch.float64
    with pytest.raises(BackendError, match=r"x of torch\.float64"):
        op.cfc_scan(*double, backend="native")


@pytest.mark.parametrize("name", NAMES)
def test_shapes_dtypes_and_ranks_that_do_not_fit_name_the_argument(name: str) -> None:
    at = NAMES.index(name)
    for wrong in (lambda t: t[..., :-1], lambda t: t[None], lambda t: t.long()):
        tensors = small()
        tensors[at] = wrong(tensors[at])
        # A narrower x, h or b_in is a right one of another width; it is its weight that is wrong.
        culprit = {"x": "(x|h|w_in)", "h": "(h|w_in)", "b_in": "(b_in|w_in)"}.get(name, name)
        with pytest.raises(ValueError, match=rf"cfc_scan: {culprit} is .*; wanted"):
            op.cfc_scan(*tensors)


def test_other_devices_and_nothing_at_all_are_refused() -> None:
    x, h, *rest = small()
    with pytest.raises(ValueError, match="h is on meta, x on cpu"):
        op.cfc_scan(x, h.to("meta"), *rest)
    with pytest.raises(ValueError, match=r"x is \[3, 0, 3\]; wanted one row or more"):
        op.cfc_scan(x[:, :0], h[:0], *rest)
    with pytest.raises(ValueError, match=r"x is \[0, 4, 3\]"):
        op.cfc_scan(x[:0], h, *rest)


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    leaves = [t.requires_grad_() for t in small()]
    out = op.cfc_scan(*leaves)
    (first,) = torch.autograd.grad(out.sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of its own"):
        torch.autograd.grad(first.sum(), leaves[0])

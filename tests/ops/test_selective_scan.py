"""The selective scan against its formula in float64, its gradients, torch's own checks, and
refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import selective_scan as op

# Steps, batch, channels, numbers per channel.
SIZES = [(1, 1, 1, 1), (5, 3, 7, 2), (9, 2, 33, 16), (3, 5, 4, 1)]
NAMES = ("x", "delta", "a", "b", "c", "h", "keep")


def problem(size: tuple[int, int, int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    steps, batch, channels, width = size
    g = torch.Generator().manual_seed(sum(size))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    keep = (torch.rand(steps, batch, 1, generator=g) > 0.3).float()
    found = [
        normal(steps, batch, channels),
        torch.rand(steps, batch, channels, generator=g),
        -2.0 * torch.rand(channels, width, generator=g),
        normal(steps, batch, width),
        normal(steps, batch, width),
        normal(batch, channels, width),
        keep,
    ]
    return [t.to(dtype) for t in found]


def with_gradients(run: Callable[..., Any], given: list[Tensor]) -> tuple[list[Tensor], ...]:
    leaves = [t.clone().requires_grad_() for t in given]
    y, last = run(*leaves)
    g = torch.Generator().manual_seed(3)
    ways = [torch.randn(out.shape, generator=g).to(out.dtype) for out in (y, last)]
    loss = (y * ways[0]).sum() + (last * ways[1]).sum()
    return [y.detach(), last.detach()], list(torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize("size", SIZES)
def test_results_and_every_gradient_follow_the_formula(size, within) -> None:
    given = problem(size)
    found, gradients = with_gradients(op.selective_scan, given)
    exact, exact_gradients = with_gradients(op.reference, [t.double() for t in given])
    for mine, theirs in zip(found, exact, strict=True):
        error = (mine - theirs).abs().max() / theirs.abs().max()
        within("selective_scan", "torch", error.item())
    for mine, theirs in zip(gradients, exact_gradients, strict=True):
        error = (mine - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3)
        within("selective_scan, gradients", "torch", error.item())


def test_the_gradient_is_the_slope() -> None:
    given = [t.requires_grad_() for t in problem((3, 2, 3, 2), torch.float64)]
    assert torch.autograd.gradcheck(op.selective_scan, given)
    assert torch.autograd.gradcheck(lambda *a: op.selective_scan(*a, None), given[:-1])


def test_one_wrong_sign_is_seen_by_the_comparison() -> None:
    """The control of the comparison above: a scan that decays the wrong way is far from it."""
    x, delta, a, *rest = problem(SIZES[1])
    right, wrong = op.selective_scan(x, delta, a, *rest), op.selective_scan(x, delta, -a, *rest)
    assert (right[0] - wrong[0]).abs().max() > 1e-2


def test_nothing_kept_is_as_keep_of_ones() -> None:
    *given, keep = problem(SIZES[1])
    ones = torch.ones_like(keep)
    for mine, theirs in zip(
        op.selective_scan(*given, None), op.selective_scan(*given, ones), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_parts_of_a_sequence_carry_the_state() -> None:
    x, delta, a, b, c, h, keep = problem(SIZES[2])
    whole, last = op.selective_scan(x, delta, a, b, c, h, keep)
    first, state = op.selective_scan(x[:4], delta[:4], a, b[:4], c[:4], h, keep[:4])
    second, state = op.selective_scan(x[4:], delta[4:], a, b[4:], c[4:], state, keep[4:])
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(state, last)


def test_what_does_not_lie_in_rows_gives_the_same() -> None:
    given = problem(SIZES[1])
    strided = [torch.stack([t, t], -1)[..., 0] for t in given]
    assert not strided[0].is_contiguous()
    for mine, theirs in zip(op.selective_scan(*strided), op.selective_scan(*given), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kept", [True, False])
def test_opcheck(kept: bool) -> None:
    given: list[Any] = [t.requires_grad_() for t in problem((4, 2, 3, 2))]
    given[-1] = given[-1] if kept else None
    torch.library.opcheck(torch.ops.metabonk.selective_scan.default, (*given, "auto"))


def test_torch_compile_keeps_one_graph() -> None:
    given = problem(SIZES[1])
    run = torch.compile(op.selective_scan, fullgraph=True, backend="aot_eager")
    found, gradients = with_gradients(run, given)
    exact, exact_gradients = with_gradients(op.selective_scan, given)
    for mine, theirs in zip((*found, *gradients), (*exact, *exact_gradients), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", NAMES[1:])
def test_another_shape_or_dtype_is_refused_by_name(name: str) -> None:
    at = NAMES.index(name)
    for wrong in (lambda t: t[:-1], lambda t: t.double()):
        given = problem(SIZES[1])
        given[at] = wrong(given[at])
        with pytest.raises(ValueError, match=f"selective_scan: {name} is .*wanted torch.float32"):
            op.selective_scan(*given)


def test_no_steps_and_whole_numbers_are_refused() -> None:
    given = problem(SIZES[1])
    for x in (given[0][:0], given[0].int(), given[0][0]):
        with pytest.raises(ValueError, match="selective_scan: x is"):
            op.selective_scan(x, *given[1:])


def test_a_backend_that_is_not_there_is_named() -> None:
    with pytest.raises(BackendError, match="no backend 'native'; here are: torch"):
        op.selective_scan(*problem(SIZES[1]), backend="native")

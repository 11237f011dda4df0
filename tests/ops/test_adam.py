"""Adam is torch's, on every instruction set, and a clipped gradient has the length it was given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import adam

Within = Callable[[str, str, float], None]
COUNT = 1037  # no multiple of any vector's width


def gradients(steps: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    # Of very different sizes, as layers have them.
    sizes = torch.logspace(-6.0, 2.0, COUNT)
    return [sizes * torch.randn(COUNT, generator=random) for _ in range(steps)]


def trained(
    backend: Any, betas: tuple[float, float] = adam.BETAS, dtype: torch.dtype = torch.float32
) -> Tensor:
    weights = torch.linspace(-1.0, 1.0, COUNT).to(dtype)
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    for count, gradient in enumerate(gradients(40), 1):
        adam.step(
            weights,
            gradient.to(dtype),
            mean,
            square,
            count=count,
            rate=1e-2 / count,
            epsilon=1e-5,
            betas=betas,
            backend=backend,
        )
    return weights


@pytest.mark.parametrize("betas", [adam.BETAS, (0.5, 0.9)])
def test_steps_are_those_of_torch(way: tuple[str, str], betas: tuple[float, float]) -> None:
    weights = torch.nn.Parameter(torch.linspace(-1.0, 1.0, COUNT))
    peer = torch.optim.Adam([weights], eps=1e-5, betas=betas)
    for count, gradient in enumerate(gradients(40), 1):
        peer.param_groups[0]["lr"] = 1e-2 / count
        weights.grad = gradient
        peer.step()
    torch.testing.assert_close(trained(way[0], betas), weights.detach(), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(trained(way[0], (0.8, 0.9)), weights.detach(), atol=1e-3)


def test_steps_are_as_near_to_float64_as_rounding_lets_them(
    way: tuple[str, str], within: Within
) -> None:
    error = trained(way[0]).double() - trained("torch", dtype=torch.float64)
    within("adam", way[1], float(error.abs().max()))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, COUNT])
def test_a_clipped_gradient_has_the_length_it_was_given(way: tuple[str, str], count: int) -> None:
    gradient = gradients(1)[0][-count:] if count else torch.zeros(0)
    before, length = gradient.clone(), float(gradient.double().norm())
    assert adam.clip(gradient, 2.0 * length + 1.0, backend=way[0]) == pytest.approx(length)
    assert torch.equal(gradient, before)
    assert adam.clip(gradient, 0.5 * length, backend=way[0]) == pytest.approx(length)
    torch.testing.assert_close(gradient, 0.5 * before, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_length_of_what_is_not_finite_is_not(way: tuple[str, str], bad: float) -> None:
    gradient = gradients(1)[0]
    gradient[1000] = bad
    assert not math.isfinite(adam.clip(gradient, 1.0, backend=way[0]))


def test_what_does_not_fit_is_named() -> None:
    four = [torch.zeros(4) for _ in range(4)]
    with pytest.raises(ValueError, match="count is 0; wanted the number of the step"):
        adam.step(*four, count=0, rate=0.1)
    with pytest.raises(ValueError, match=r"mean is torch.float32 \[3\]"):
        adam.step(four[0], four[1], torch.zeros(3), four[3], count=1, rate=0.1)
    wide = [tensor.double() for tensor in four]
    with pytest.raises(BackendError, match=r"wanted torch.float32"):
        adam.step(*wide, count=1, rate=0.1, backend="native")
    adam.step(*wide, count=1, rate=0.1)

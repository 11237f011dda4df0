"""Adam over one flat vector, and gradients clipped to a length.

    m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
    w = w - rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + epsilon)

(Kingma and Ba 2015.) All are [N], changed in place. Backends: `native` (csrc/nn/adam.h: contiguous
float32 in main memory, one thread) and `torch` (any floating dtype and device), which is also the
definition. torch.optim.Adam is of use for many tensors and many threads; for the one flat vector of
a network that plays games, nine tenths of its time is its own. Knows torch and the core; no
networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops.library import choose, expect, expect_tensors, refusal, together

Backend = Literal["auto", "native", "torch"]
BETAS = (0.9, 0.999)
MOST_STEPS = 1 << 62
SHORTEST = 1e-6  # added to a length before something is divided by it


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "torch")


@torch.no_grad()
def clip(gradient: Tensor, longest: float, *, backend: Backend = "auto") -> float:
    """Scales `gradient` [N] in place to length `longest` if it is longer; returns its length
    before, which is not finite where the gradient is not. Raises as `step` does."""
    expect_tensors("adam.clip", {"gradient": gradient})
    _expect_floating("adam.clip", "gradient", gradient)
    if not longest >= 0.0:
        raise ValueError(f"adam.clip: longest is {longest}; wanted 0 or more")
    if choose("adam.clip", backend, backends(), refusal({"gradient": gradient})) == "native":
        return _core.nn.adam_clip(gradient.data_ptr(), len(gradient), longest)
    length = float(gradient.double().norm())
    if length > longest:
        gradient.mul_(longest / (length + SHORTEST))
    return length


@torch.no_grad()
def step(
    weights: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    *,
    count: int,
    rate: float,
    epsilon: float = 1e-8,
    betas: tuple[float, float] = BETAS,
    backend: Backend = "auto",
) -> None:
    """One step, the `count`th from 1 on: changes weights, mean (m) and square (v) in place.

    Raises ValueError for shapes or dtypes that do not fit, tensors that share memory, or numbers
    that no step can be made with; BackendError if `backend` cannot take these tensors.
    """
    others = {"gradient": gradient, "mean": mean, "square": square}
    _check_numbers(count, rate, epsilon, betas)
    together("adam.step", {"weights": weights, **others})
    _expect_floating("adam.step", "weights", weights)
    for name, tensor in others.items():
        expect("adam.step", name, tensor, (len(weights),), weights.dtype)
    why_not = refusal({"weights": weights, **others})
    native = choose("adam.step", backend, backends(), why_not) == "native"
    # What lies without gaps may not overlap; what lies otherwise at least not begin together.
    _expect_apart({"weights": weights, **others}, weights.nbytes if native else 1)
    if native:
        _core.nn.adam_step(
            gradient.data_ptr(),
            mean.data_ptr(),
            square.data_ptr(),
            weights.data_ptr(),
            len(weights),
            rate,
            betas[0],
            betas[1],
            epsilon,
            count,
        )
        return
    mean.mul_(betas[0]).add_(gradient, alpha=1.0 - betas[0])
    square.mul_(betas[1]).addcmul_(gradient, gradient, value=1.0 - betas[1])
    below = square.sqrt() / math.sqrt(1.0 - betas[1] ** count) + epsilon
    weights.addcdiv_(mean, below, value=-rate / (1.0 - betas[0] ** count))


def _check_numbers(count: int, rate: float, epsilon: float, betas: tuple[float, float]) -> None:
    if not isinstance(count, int) or not 1 <= count < MOST_STEPS:
        raise ValueError(f"adam.step: count is {count}; wanted the number of the step, 1 or more")
    if not math.isfinite(rate):
        raise ValueError(f"adam.step: rate is {rate}; wanted a finite number")
    if not 0.0 <= epsilon < math.inf:
        raise ValueError(f"adam.step: epsilon is {epsilon}; wanted 0 or more")
    if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
        raise ValueError(f"adam.step: betas are {betas}; wanted two from 0 to less than 1")


def _expect_floating(op: str, name: str, tensor: Tensor) -> None:
    if tensor.dim() != 1 or not tensor.is_floating_point():
        raise ValueError(f"{op}: {name} is {tensor.dtype} {list(tensor.shape)}; wanted a float [N]")


def _expect_apart(tensors: Mapping[str, Tensor], size: int) -> None:
    """Raises ValueError where one begins less than `size` bytes after another."""
    places = sorted((tensor.data_ptr(), name) for name, tensor in tensors.items())
    for (at, name), (after, other) in pairwise(places):
        if size and after - at < size and after:
            raise ValueError(f"adam.step: {other} shares memory with {name}; wanted its own")

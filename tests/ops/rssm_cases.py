"""Problems for the tests of the RSSM's ops: models and sequences of any size from one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metabonk.ops.rssm_weights import RssmWeights

Within = Callable[[str, str, float], None]  # conftest's
NAMES = ("deter", "stoch", "action", "embed", "keep", "noise")


class Size(NamedTuple):
    steps: int
    batch: int
    action: int
    embed: int  # 0 for none
    hidden: int
    deter: int
    groups: int
    classes: int  # 0 for Gaussians


SIZES = [
    Size(1, 1, 1, 1, 1, 1, 1, 2),
    Size(3, 5, 3, 6, 9, 7, 4, 5),
    Size(2, 13, 4, 0, 33, 20, 3, 8),
    Size(5, 50, 2, 17, 31, 65, 6, 33),
    Size(3, 7, 3, 5, 9, 11, 6, 0),
    Size(2, 4, 3, 0, 8, 16, 5, 0),
    Size(8, 33, 6, 64, 96, 80, 16, 16),
]


class Problem(NamedTuple):
    """The arguments of `rssm_scan` in order."""

    deter: Tensor
    stoch: Tensor
    action: Tensor
    embed: Tensor | None
    keep: Tensor | None
    noise: Tensor
    weights: RssmWeights


def problem(size: Size, dtype: torch.dtype = torch.float32, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed + size.batch)
    steps, batch, action, embed, hidden, deter, groups, classes = size
    stoch, parameters = groups * (classes or 1), groups * (classes or 2)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator) * scale).to(dtype)

    def layer(outputs: int, inputs: int, gain: float = 1.0) -> list[Tensor]:
        return [normal(outputs, inputs, scale=gain * inputs**-0.5), normal(outputs, scale=0.1)]

    weights = layer(hidden, stoch + action)
    (w_ih, b_ih), (w_hh, b_hh) = layer(3 * deter, hidden), layer(3 * deter, deter)
    weights += [w_ih, w_hh, b_ih, b_hh, *layer(hidden, deter), *layer(parameters, hidden, 2.0)]
    if embed:
        weights += [*layer(hidden, deter + embed), *layer(parameters, hidden, 2.0)]
    draw = torch.rand if classes else torch.randn
    return Problem(
        normal(batch, deter, scale=0.5),
        normal(batch, stoch, scale=0.3),
        normal(steps, batch, action),
        normal(steps, batch, embed) if embed else None,
        (torch.rand(steps, batch, 1, generator=generator) > 0.2).to(dtype),
        draw(steps, batch, groups, generator=generator).to(dtype),
        RssmWeights(*weights),
    )


def one_step(p: Problem) -> Problem:
    """The first step of a sequence, for `rssm_step`."""
    first = [None if t is None else t[0].clone() for t in p[2:6]]
    return Problem(p.deter, p.stoch, *first, p.weights)  # type: ignore[arg-type]


def classes_of(size: Size, seed: int = 3) -> Tensor:
    """int32 [B, G]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (size.batch, size.groups)
    return torch.randint(size.classes, shape, generator=generator, dtype=torch.int32)


def same(one: Sequence[Tensor | None], two: Sequence[Tensor | None]) -> bool:
    """Whether all tensors are equal, bit for bit, or there in neither."""
    return all(
        a is b is None or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, two, strict=True)
    )


def leaves_of(p: Problem) -> list[Tensor]:
    """All that can want a gradient: deter, stoch, action, embed, weights."""
    inputs = (p.deter, p.stoch, p.action, p.embed)
    return [t for t in inputs if t is not None and t.is_floating_point()] + p.weights.given()


def leaf_names(p: Problem) -> list[str]:
    inputs = zip(NAMES, p[:4], strict=False)
    names = [n for n, t in inputs if t is not None and t.is_floating_point()]
    return names + list(p.weights._fields[: len(p.weights.given())])


def fresh(p: Problem, dtype: torch.dtype | None = None) -> Problem:
    """Copies, of another float dtype if asked, whose leaves want gradients."""

    def copy(t: Tensor | None, leaf: bool) -> Tensor | None:
        if t is None or not t.is_floating_point():
            return t
        return t.detach().to(dtype or t.dtype, copy=True).requires_grad_(leaf)

    tensors = [copy(t, i < 4) for i, t in enumerate(p[:6])]
    return Problem(*tensors, RssmWeights(*(copy(w, True) for w in p.weights)))  # type: ignore[arg-type]


def with_gradients(
    function: Callable[..., Sequence[Any]],
    p: Problem,
    dtype: torch.dtype | None = None,
    **more: Any,
) -> tuple[list[Any], list[Tensor]]:
    """What a function returns and the gradients of a fixed sum over all of its float results."""
    given = fresh(p, dtype)
    out = function(*given, **more)
    generator = torch.Generator().manual_seed(9)
    loss = torch.zeros((), dtype=given.deter.dtype)
    for result in out[:4]:
        if result is not None:
            pull = torch.randn(result.shape, generator=generator)
            loss = loss + (result * pull.to(result.dtype)).sum()
    gradients = torch.autograd.grad(loss, leaves_of(given))
    return [None if r is None else r.detach() for r in out], list(gradients)

"""Which backends the ops of an RSSM have here, and why they cannot take some tensors.

Knows the names of the arguments; no formula and no kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabonk.ops import cuda, device, rssm_cuda
from metabonk.ops.library import refusal
from metabonk.ops.rssm_weights import RssmWeights


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *cuda.backends(), *device.backends(), "torch")


def why_not_native(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
) -> str:
    """As `library.refusal` says it, or ""."""
    floats, state, kind = _named(deter, stoch, action, embed, keep, noise, weights)
    return refusal(floats) or refusal(state, kind)


def why_not_triton(
    backend: str,
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
) -> str:
    """As `device.refusal` says it, or ""."""
    floats, state, kind = _named(deter, stoch, action, embed, keep, noise, weights)
    return device.refusal(floats, backend) or device.refusal(state, backend, kind)


def why_not_cuda(
    backend: str,
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
    classes: int,
    saving: bool,
) -> str:
    """As `cuda.refusal` says it, or ""."""
    floats, state, kind = _named(deter, stoch, action, embed, keep, noise, weights)
    lie = cuda.refusal(floats, backend) or cuda.refusal(state, backend, kind)
    return lie or rssm_cuda.refusal(stoch, embed, keep, classes, saving, backend)


def _named(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: Sequence[Tensor],
) -> tuple[dict[str, Tensor | None], dict[str, Tensor | None], torch.dtype]:
    """Floats, the stochastic state, and its dtype."""
    floats = {"deter": deter, "action": action, "embed": embed, "keep": keep, "noise": noise}
    floats |= dict(zip(RssmWeights._fields, weights, strict=False))
    return floats, {"stoch": stoch}, (torch.float32 if stoch.is_floating_point() else torch.int32)

"""The `cuda` backend of an RSSM's prior: steps that nobody observes, in one launch.

Weights are rounded to bf16, once per set of weights that lie still, activations too; sums and the
deterministic state are float32 (kernels/cuda/rssm.cu). Shapes and names are `rssm_scan`'s; checks
nothing but what `refusal` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from metabonk.ops import cuda
from metabonk.ops.rssm_weights import RssmWeights


class Arranged(NamedTuple):
    """The eleven arrays in the kernel's order; versions: of the weights they were made from."""

    versions: tuple[tuple[int, int], ...]
    arrays: tuple[Tensor, ...]


_arranged: Any = WeakTensorKeyDictionary()


def refusal(
    stoch: Tensor, embed: Tensor | None, keep: Tensor | None, classes: int, saving: bool, asked: str
) -> str:
    """What the kernel does not do, or ""."""
    if asked != "cuda":
        return ""
    if embed is not None:
        return "embed, it runs the prior alone"
    if keep is not None:
        return "keep, its sequences do not begin anew"
    if not 2 <= classes <= 256 or stoch.is_floating_point():
        return "a state that is not int32 classes of 2 to 256"
    return "a call whose gradient is wanted" if saving else ""


def forward(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    noise: Tensor,
    weights: Sequence[Tensor],
    classes: int,
    unimix: float,
    out: Sequence[Tensor],
) -> None:
    """Writes deter [T, B, D], stoch [T, B, G C] as one-hot, prior [T, B, G C] and, fifth, index
    [T, B, G] of `out`."""
    states, one_hot, prior, _, index, *_ = out
    steps, rows, actions = action.shape
    hidden, groups = len(weights[1]), noise.shape[-1]
    sizes = (steps, rows, actions, hidden, deter.shape[1], hidden, groups, classes)
    arrays = arranged(RssmWeights(*weights[:10]), groups, classes)
    module = cuda.module()
    scratch = deter.new_empty(module.rssm_scratch(sizes), dtype=torch.uint8)
    with cuda.launching(deter) as stream:
        module.rssm(
            sizes,
            unimix,
            tuple(map(cuda.address, (action, deter, stoch, noise))),
            tuple(map(cuda.address, arrays)),
            tuple(map(cuda.address, (states, prior, index))),
            cuda.address(scratch),
            stream,
        )
    one_hot.zero_().view(steps, rows, groups, classes).scatter_(-1, index.long()[..., None], 1.0)


def arranged(w: RssmWeights, groups: int, classes: int) -> tuple[Tensor, ...]:
    """w_action, table, b_embed, w_x, w_h, b_x, b_h, w_prior, b_prior, w_logits, b_logits."""
    given = w.given()
    versions = tuple((t.data_ptr(), t._version) for t in given)
    known: Arranged | None = _arranged.get(w.w_in)
    if known is not None and known.versions == versions:
        return known.arrays
    table, w_action = w.w_in.detach().tensor_split([groups * classes], 1)
    arrays = (
        _bf16(w_action),
        _bf16(table.t()),
        w.b_in,
        _bf16(w.w_ih),
        _bf16(w.w_hh),
        w.b_ih,
        w.b_hh,
        _bf16(w.w_prior),
        w.b_prior,
        _bf16(w.w_prior_out),
        w.b_prior_out,
    )
    _arranged[w.w_in] = Arranged(versions, arrays)
    return arrays


def _bf16(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.bfloat16).contiguous()

"""The `cuda` backend of dreams: steps of a prior and of the actor that chooses, in one launch.

Weights are rounded to bf16, once per set of weights that lie still, activations too; sums and the
deterministic state are float32 (kernels/cuda/imagine.cu). Shapes and names are `imagine`'s; checks
nothing but what `refusal` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from metabonk.ops import cuda, rssm_cuda
from metabonk.ops.rssm_weights import RssmWeights

LAYERS_MAX = 4


class Arranged(NamedTuple):
    """The first layer's table and all layers' weights in bf16; versions: of what they were made
    from."""

    versions: tuple[tuple[int, int], ...]
    table: Tensor
    weights: tuple[Tensor, ...]


_arranged: Any = WeakTensorKeyDictionary()


def refusal(actor: Sequence[Tensor]) -> str:
    """What the kernel does not do besides what `rssm_cuda.refusal` names, or ""."""
    return f"an actor of more than {LAYERS_MAX} layers" if len(actor) > 2 * LAYERS_MAX else ""


def forward(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    actor: Sequence[Tensor],
    squashed: bool,
    classes: int,
    unimix: float,
    actor_min_std: float,
    out: Sequence[Tensor],
) -> None:
    """Writes the seven fields of Dream, stoch as one-hot, into `out`."""
    states, one_hot, prior, index, action, log_prob, policy, *_ = out
    (steps, rows, groups), hidden = noise.shape, len(weights[1])
    width = action.shape[-1]
    sizes = (steps, rows, width, hidden, deter.shape[1], hidden, groups, classes)
    model = rssm_cuda.arranged(RssmWeights(*weights[:10]), groups, classes)
    layers = arranged(actor, deter.shape[1], groups, classes)
    biases, units = actor[1::2], [len(bias) for bias in actor[1::2]]
    module = cuda.module()
    scratch = deter.new_empty(module.imagine_scratch(sizes, units), dtype=torch.uint8)
    with cuda.launching(deter) as stream:
        module.imagine(
            sizes,
            unimix,
            tuple(map(cuda.address, (None, deter, stoch, noise))),
            tuple(map(cuda.address, model)),
            tuple(map(cuda.address, (states, prior, index))),
            [
                (cuda.address(w), cuda.address(b), n)
                for w, b, n in zip(layers.weights, biases, units, strict=True)
            ],
            cuda.address(layers.table),
            squashed,
            actor_min_std,
            cuda.address(action_noise),
            tuple(map(cuda.address, (action, log_prob, policy))),
            cuda.address(scratch),
            stream,
        )
    one_hot.zero_().view(steps, rows, groups, classes).scatter_(-1, index.long()[..., None], 1.0)


def arranged(actor: Sequence[Tensor], deter: int, groups: int, classes: int) -> Arranged:
    """The actor's weights in the kernel's order. deter: width of the deterministic state."""
    weights = actor[::2]
    versions = tuple((t.data_ptr(), t._version) for t in weights)
    known: Arranged | None = _arranged.get(weights[0])
    if known is not None and known.versions == versions:
        return known
    first, state = weights[0].detach().tensor_split([deter], 1)
    table = state.t().to(torch.bfloat16).contiguous().view(groups, classes, -1)
    rounded = (first, *(w.detach() for w in weights[1:]))
    found = Arranged(versions, table, tuple(w.to(torch.bfloat16).contiguous() for w in rounded))
    _arranged[weights[0]] = found
    return found

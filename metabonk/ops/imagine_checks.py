"""What fits a dream: the arguments of `imagine`, and what its backward pass is handed.

Knows tensors and their shapes; computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabonk.ops import rssm_weights
from metabonk.ops.library import expect, expect_tensors, together
from metabonk.ops.rssm_weights import CLASSES_MAX, Distribution, RssmWeights, Sizes

LAYERS_MAX = 16
GIVEN = ("deter", "stoch", "prior", "action", "log_prob", "policy")  # what has gradients


def check(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: RssmWeights,
    actor: Sequence[Tensor],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
) -> Sizes:
    """The model's sizes, once all fit. Raises ValueError that names what does not."""
    layers = len(actor) // 2
    if not 0 < layers <= LAYERS_MAX:
        raise ValueError(f"imagine: actor has {layers} layers; wanted 1 to {LAYERS_MAX}")
    if not 0.0 <= actor_min_std < float("inf"):
        raise ValueError(f"imagine: actor_min_std is {actor_min_std}; wanted 0 or more")
    biases = {f"actor[{i}] bias": actor[2 * i + 1] for i in range(layers)}
    expect_tensors("imagine", {"noise": noise, "deter": deter, "stoch": stoch, **biases})
    if noise.dim() != 3 or not noise.is_floating_point() or 0 in noise.shape:
        raise ValueError(
            f"imagine: noise is {noise.dtype} {list(noise.shape)}; wanted a float one of [H, B, G]"
        )
    outputs = len(actor[-1]) if actor[-1].dim() else 0
    width = outputs // 2 if squashed else outputs
    if not width or (squashed and outputs % 2) or width > CLASSES_MAX:
        raise ValueError(f"imagine: actor puts out {outputs} numbers, which are no distribution")
    # An action that is never made stands for those that the actor will choose.
    stand_in = noise.new_empty(1).expand(*noise.shape[:2], width)
    lead = noise.shape[:2]
    sizes = rssm_weights.check(
        "imagine", lead, deter, stoch, stand_in, None, None, noise, weights, kind
    )
    expect("imagine", "action_noise", action_noise, (*lead, width if squashed else 1), noise.dtype)
    inputs = sizes.deter + sizes.stoch
    others: dict[str, Tensor | None] = {"noise": noise}
    for i in range(layers):
        weight, bias = actor[2 * i], actor[2 * i + 1]
        expect("imagine", f"actor[{i}] bias", bias, (-1,), noise.dtype)
        expect("imagine", f"actor[{i}] weight", weight, (len(bias), inputs), noise.dtype)
        if not len(bias):
            raise ValueError(f"imagine: actor[{i}] bias is [0]; wanted one unit or more")
        inputs = len(bias)
    together("imagine", {**others, **named(action_noise, actor)})
    return sizes


def check_saved(
    lead: tuple[int, ...],
    sizes: Sizes,
    outputs: int,
    units: int,
    saved: Sequence[Tensor],
    given: Sequence[Tensor],
) -> None:
    """Raises ValueError unless a backward pass was handed what a forward pass of these sizes made,
    and gradients that fit it, empty where there are none."""
    widths: dict[str, tuple[int, ...]] = {
        "deter": (sizes.deter,),
        "stoch": (sizes.stoch,),
        "prior": (sizes.parameters,),
        "indices": (sizes.groups if sizes.classes else 0,),
        "action": (sizes.action,),
        "log_prob": (),
        "policy": (outputs,),
        "x": (sizes.hidden,),
        "gates": (4 * sizes.deter,),
        "prior_hidden": (sizes.hidden,),
        "units": (units,),
    }
    if len(saved) != len(widths) or len(given) != len(GIVEN):
        wanted = f"wanted {len(widths)}, {len(GIVEN)}"
        raise ValueError(f"imagine: {len(saved)} saved, {len(given)} given; {wanted}")
    for (name, width), tensor in zip(widths.items(), saved, strict=True):
        dtype = torch.int32 if name == "indices" else torch.float32
        expect("imagine", f"the saved {name}", tensor, (0,) if width == (0,) else (*lead, *width),
               dtype)  # fmt: skip
    for name, tensor in zip(GIVEN, given, strict=True):
        if tensor.numel():
            shape = (*lead, *widths[name])
            expect("imagine", f"the gradient of {name}", tensor, shape, torch.float32)


def named(action_noise: Tensor, actor: Sequence[Tensor]) -> dict[str, Tensor | None]:
    """What an op of a dream takes besides what a step of the RSSM does."""
    found: dict[str, Tensor | None] = {"action_noise": action_noise}
    for i, tensor in enumerate(actor):
        found[f"actor[{i // 2}] {('weight', 'bias')[i % 2]}"] = tensor
    return found

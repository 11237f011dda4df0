"""The parameters of an RSSM as all its ops take them, what fits them, and what ops return.

Knows tensors and their shapes; computes nothing. S = groups x classes numbers of stochastic state
(Gaussian: S = groups), P = S parameters of a distribution (Gaussian: 2 S, means and then deviations
before softplus), D deterministic state, H hidden units, A action, E embedded observation.

    w_in          [H, S + A]   b_in          [H]      of [stochastic state, action]
    w_ih          [3 D, H]     b_ih          [3 D]    torch.nn.GRUCell's, gates r, z, n
    w_hh          [3 D, D]     b_hh          [3 D]
    w_prior       [H, D]       b_prior       [H]
    w_prior_out   [P, H]       b_prior_out   [P]
    w_post        [H, D + E]   b_post        [H]      of [deterministic state, embedding]
    w_post_out    [P, H]       b_post_out    [P]

All as torch.nn.Linear and torch.nn.GRUCell keep them, so that TorchRL's RSSMPrior
(action_state_projector, rnn, rnn_to_prior_projector) and RSSMPosterior (obs_rnn_to_post_projector)
carry over name by name. The last four are None for a model that never sees observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metabonk.ops.library import expect, expect_tensors, together

CLASSES_MAX = 4096


class RssmWeights(NamedTuple):
    """See the module."""

    w_in: Tensor
    b_in: Tensor
    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor
    b_hh: Tensor
    w_prior: Tensor
    b_prior: Tensor
    w_prior_out: Tensor
    b_prior_out: Tensor
    w_post: Tensor | None = None
    b_post: Tensor | None = None
    w_post_out: Tensor | None = None
    b_post_out: Tensor | None = None

    def given(self) -> list[Tensor]:
        """Those that are there."""
        return [w for w in self if w is not None]

    def prior(self) -> RssmWeights:
        """Without the posterior's."""
        return RssmWeights(*self[:10])


class RssmStates(NamedTuple):
    """After every step. deter [.., D]; stoch [.., S] float; prior, posterior: parameters of the
    distributions; indices int32 [.., G]: the classes of stoch, None for Gaussians."""

    deter: Tensor
    stoch: Tensor
    prior: Tensor
    posterior: Tensor | None
    indices: Tensor | None


class Distribution(NamedTuple):
    """How a head's numbers become a distribution.

    classes: of each categorical; 0 for Gaussians. unimix: the uniform distribution's share of a
    categorical, in [0, 1). min_std: least deviation of a Gaussian, added to the softplus.
    """

    classes: int
    unimix: float
    min_std: float


class Sizes(NamedTuple):
    """embed is 0 where there are no observations."""

    action: int
    embed: int
    hidden: int
    deter: int
    groups: int
    classes: int

    @property
    def stoch(self) -> int:
        return self.groups * (self.classes or 1)

    @property
    def parameters(self) -> int:
        return self.groups * (self.classes or 2)


def check(
    op: str,
    lead: tuple[int, ...],
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    kind: Distribution,
) -> Sizes:
    """The sizes, once all fit action [*lead, A]. Raises ValueError that names what does not."""
    check_kind(op, kind)
    expect_tensors(op, {"action": action, "deter": deter, "stoch": stoch, "embed": embed})
    wanted = "[B, A]" if op == "rssm_step" else "[T, B, A]"
    if action.dim() != wanted.count(",") + 1 or not action.is_floating_point():
        raise ValueError(
            f"{op}: action is {action.dtype} {list(action.shape)}; wanted a float one of {wanted}"
        )
    if 0 in action.shape:
        raise ValueError(f"{op}: action is {list(action.shape)}; wanted one row or more")
    dtype, batch = action.dtype, lead[-1]
    expect(op, "deter", deter, (batch, -1), dtype)
    expect(op, "noise", noise, (*lead, -1), dtype)
    if not deter.shape[1] or not noise.shape[-1]:
        raise ValueError(f"{op}: deter is {list(deter.shape)}, noise {list(noise.shape)}; no units")
    expect(op, "b_in", weights.b_in, (-1,), dtype)
    sizes = Sizes(
        action.shape[-1],
        0 if embed is None else embed.shape[-1],
        len(weights.b_in),
        deter.shape[1],
        noise.shape[-1],
        kind.classes,
    )
    if stoch.is_floating_point():
        expect(op, "stoch", stoch, (batch, sizes.stoch), dtype)
    elif not kind.classes:
        raise ValueError(f"{op}: stoch is {stoch.dtype}; wanted {dtype}: Gaussians have no classes")
    else:
        expect(op, "stoch", stoch, (batch, sizes.groups), torch.int32)
    if embed is not None:
        expect(op, "embed", embed, (*lead, -1), dtype)
    if keep is not None:
        expect(op, "keep", keep, (*lead, 1), dtype)
        if keep.requires_grad:
            raise ValueError(f"{op}: keep requires a gradient, which it has none of; detach it")
    _check_weights(op, weights, sizes, action)
    others = {"action": action, "deter": deter, "stoch": stoch, "embed": embed, "keep": keep}
    together(op, {**others, "noise": noise, **weights._asdict()})
    return sizes


def check_saved(
    op: str, lead: tuple[int, ...], sizes: Sizes, saved: Sequence[Tensor], given: Sequence[Tensor]
) -> None:
    """Raises ValueError unless a backward pass was handed what a forward pass of these sizes made,
    and gradients that fit it, empty where there are none."""
    seen, classes = sizes.embed > 0, sizes.classes > 0
    widths = {
        "deter": sizes.deter,
        "stoch": sizes.stoch,
        "prior": sizes.parameters,
        "posterior": sizes.parameters if seen else 0,
        "indices": sizes.groups if classes else 0,
        "x": sizes.hidden,
        "gates": 4 * sizes.deter,
        "prior_hidden": sizes.hidden,
        "posterior_hidden": sizes.hidden if seen else 0,
    }
    if len(saved) != len(widths) or len(given) != 4:
        raise ValueError(f"{op}: {len(saved)} saved, {len(given)} given; wanted {len(widths)}, 4")
    for (name, width), tensor in zip(widths.items(), saved, strict=True):
        dtype = torch.int32 if name == "indices" else torch.float32
        shape = (*lead, width) if width else (0,)
        expect(op, f"the saved {name}", tensor, shape, dtype)
    for (name, width), tensor in zip(widths.items(), given, strict=False):
        if tensor.numel():
            expect(op, f"the gradient of {name}", tensor, (*lead, width), torch.float32)


def check_kind(op: str, kind: Distribution) -> None:
    if kind.classes < 0 or kind.classes == 1 or kind.classes > CLASSES_MAX:
        raise ValueError(f"{op}: classes is {kind.classes}; wanted 0, or 2 to {CLASSES_MAX}")
    if not 0.0 <= kind.unimix < 1.0:
        raise ValueError(f"{op}: unimix is {kind.unimix}; wanted 0 or more and less than 1")
    if not 0.0 <= kind.min_std < float("inf"):
        raise ValueError(f"{op}: min_std is {kind.min_std}; wanted 0 or more")


def _check_weights(op: str, weights: RssmWeights, sizes: Sizes, like: Tensor) -> None:
    _, embed, hidden, deter, _, _ = sizes
    if not hidden:
        raise ValueError(f"{op}: b_in is [0]; wanted one unit or more")
    shapes: dict[str, tuple[int, ...]] = {
        "w_in": (hidden, sizes.stoch + sizes.action),
        "b_in": (hidden,),
        "w_ih": (3 * deter, hidden),
        "w_hh": (3 * deter, deter),
        "b_ih": (3 * deter,),
        "b_hh": (3 * deter,),
        "w_prior": (hidden, deter),
        "b_prior": (hidden,),
        "w_prior_out": (sizes.parameters, hidden),
        "b_prior_out": (sizes.parameters,),
    }
    if embed:
        shapes |= {"w_post": (hidden, deter + embed), "b_post": (hidden,)}
        shapes |= {"w_post_out": (sizes.parameters, hidden), "b_post_out": (sizes.parameters,)}
    for name, weight in weights._asdict().items():
        if name not in shapes:
            if weight is not None:
                raise ValueError(f"{op}: {name} is given without embed; wanted None")
        elif weight is None:
            raise ValueError(f"{op}: {name} is None; wanted {list(shapes[name])} to read embed")
        else:
            expect(op, name, weight, shapes[name], like.dtype)

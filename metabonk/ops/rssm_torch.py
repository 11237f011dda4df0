"""The formula of an RSSM as torch writes it, and the `torch` backend with its gradient.

Knows torch and the formula of `rssm_scan`, whose shapes and names it uses; checks nothing but that
indices are classes. Any device and float dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metabonk.ops import device
from metabonk.ops.rssm_weights import Distribution, RssmWeights


class Step(NamedTuple):
    """What one step computes; x, gates (r, z, n, what r multiplies) and the heads' hidden units are
    for the gradient. posterior, hidden of it and indices may be None."""

    deter: Tensor
    stoch: Tensor
    prior: Tensor
    posterior: Tensor | None
    indices: Tensor | None
    x: Tensor
    gates: Tensor
    prior_hidden: Tensor
    posterior_hidden: Tensor | None


def _by_class(t: Tensor, kind: Distribution) -> Tensor:
    """[.., G classes] -> [.., G, classes]."""
    return t.view(*t.shape[:-1], -1, kind.classes)


def distribution(out: Tensor, kind: Distribution) -> Tensor:
    """What a head puts out, [.., P], -> parameters [.., P]."""
    if not kind.classes:
        mean, raw = out.chunk(2, -1)
        return torch.cat([mean, functional.softplus(raw) + kind.min_std], -1)
    logits = _by_class(out, kind)
    log_share = logits.log_softmax(-1)
    if kind.unimix > 0.0:
        share = (1.0 - kind.unimix) * log_share.exp() + kind.unimix / kind.classes
        log_share = share.log()
    return log_share.flatten(-2)


def sample(
    parameters: Tensor, noise: Tensor, kind: Distribution, index: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """stoch [.., S], its gradient straight through, and the classes int32 [.., G].

    index: classes that are taken instead of those that `noise` picks.
    """
    if not kind.classes:
        mean, std = parameters.chunk(2, -1)
        return mean + std * noise, None
    share = _by_class(parameters, kind).exp()
    if index is None:
        cumulative = share.detach().cumsum(-1)
        # A little below the total, so that rounding cannot pass the last class.
        point = noise[..., None] * (1.0 - 2.0**-20) * cumulative[..., -1:]
        index = (cumulative <= point)[..., :-1].sum(-1).int()
    picked = one_hot(index, kind.classes, parameters.dtype)
    return picked + (share - share.detach()).flatten(-2), index


def check_classes(stoch: Tensor, classes: int) -> None:
    """Raises ValueError for what is no class. A device is asked once per call, except while a graph
    is compiled or recorded, where nothing can be asked."""
    if stoch.is_floating_point() or torch.compiler.is_compiling() or device.capturing(stoch):
        return
    if ((stoch < 0) | (stoch >= classes)).any():
        raise ValueError(f"rssm: stoch holds what is no class: wanted 0 to {classes - 1}")


def one_hot(index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """int32 [.., G] -> [.., G classes]. Raises ValueError for what is no class."""
    check_classes(index, classes)
    return functional.one_hot(index.long(), classes).flatten(-2).to(dtype)


def step(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    w: RssmWeights,
    kind: Distribution,
    index: Tensor | None = None,
) -> Step:
    """One step of rows [B, ..]; stoch [B, S] float. Differentiable."""
    if keep is not None:
        deter, stoch, action = deter * keep, stoch * keep, action * keep
    x = functional.elu(functional.linear(torch.cat([stoch, action], -1), w.w_in, w.b_in))
    from_x = functional.linear(x, w.w_ih, w.b_ih).chunk(3, -1)
    from_h = functional.linear(deter, w.w_hh, w.b_hh).chunk(3, -1)
    r, z = torch.sigmoid(from_x[0] + from_h[0]), torch.sigmoid(from_x[1] + from_h[1])
    n = torch.tanh(from_x[2] + r * from_h[2])
    after = (1.0 - z) * n + z * deter
    gates = torch.cat([r, z, n, from_h[2]], -1)
    prior_hidden = functional.elu(functional.linear(after, w.w_prior, w.b_prior))
    prior = distribution(functional.linear(prior_hidden, w.w_prior_out, w.b_prior_out), kind)
    posterior = hidden = None
    if embed is not None:
        assert w.w_post is not None
        assert w.w_post_out is not None
        hidden = functional.elu(
            functional.linear(torch.cat([after, embed], -1), w.w_post, w.b_post)
        )
        posterior = distribution(functional.linear(hidden, w.w_post_out, w.b_post_out), kind)
    drawn, picked = sample(prior if posterior is None else posterior, noise, kind, index)
    return Step(after, drawn, prior, posterior, picked, x, gates, prior_hidden, hidden)


def unroll(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    w: RssmWeights,
    kind: Distribution,
    index: Tensor | None = None,
) -> list[Step]:
    """Of [T, B, ..], one step after the other."""
    if not stoch.is_floating_point():
        stoch = one_hot(stoch, kind.classes, deter.dtype)
    steps = []
    for t in range(len(action)):
        seen, kept = (None if v is None else v[t] for v in (embed, keep))
        picked = None if index is None else index[t]
        done = step(deter, stoch, action[t], seen, kept, noise[t], w, kind, picked)
        deter, stoch = done.deter, done.stoch
        steps.append(done)
    return steps


def reference(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    weights: RssmWeights,
    *,
    classes: int,
    unimix: float = 0.01,
    min_std: float = 0.1,
    index: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """The formula over all steps: deter, stoch, prior, posterior, index; any float dtype.

    index: [T, B, G], classes that are taken instead of those that `noise` picks.
    """
    kind = Distribution(classes, unimix, min_std)
    steps = unroll(deter, stoch, action, embed, keep, noise, weights, kind, index)
    return tuple(stack(column) for column in list(zip(*steps, strict=True))[:5])  # type: ignore[return-value]


def stack(column: Sequence[Tensor | None]) -> Tensor | None:
    """Steps of [B, ..] as [T, B, ..]; None where they are none."""
    return None if column[0] is None else torch.stack(column)  # type: ignore[arg-type]


def forward(
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    w: RssmWeights,
    kind: Distribution,
) -> tuple[Tensor, ...]:
    """All nine of `Step` over [T, B, ..]; what is not there is empty."""
    columns = zip(*unroll(deter, stoch, action, embed, keep, noise, w, kind), strict=True)
    stacked = [stack(column) for column in columns]
    types = [torch.int32 if i == 4 else action.dtype for i in range(9)]
    return tuple(
        action.new_empty(0, dtype=dtype) if t is None else t
        for t, dtype in zip(stacked, types, strict=True)
    )


def slope(y: Tensor) -> Tensor:
    """Of elu where it returned y."""
    return y.clamp(max=0.0) + 1.0


def through_distribution(
    parameters: Tensor, given: Tensor, d_stoch: Tensor | None, noise: Tensor, kind: Distribution
) -> Tensor:
    """Of what a head puts out."""
    if not kind.classes:
        d_mean, d_std = torch.zeros_like(parameters).chunk(2, -1)
        if given.numel():
            d_mean, d_std = given.chunk(2, -1)
        if d_stoch is not None:
            d_mean, d_std = d_mean + d_stoch, d_std + d_stoch * noise
        std = parameters.chunk(2, -1)[1]
        return torch.cat([d_mean, d_std * -torch.expm1(kind.min_std - std)], -1)
    log_share = _by_class(parameters, kind)
    share = log_share.exp()
    p = ((share - kind.unimix / kind.classes) / (1.0 - kind.unimix)).clamp(min=0.0)
    d_share = p * (1.0 - kind.unimix)
    d = torch.zeros_like(p)
    if given.numel():  # where nothing is left of a class, its logarithm moves with its logit
        d = given.view_as(p) * torch.where(share > 0.0, d_share / share, 1.0)
    if d_stoch is not None:
        d = d + d_stoch.view_as(p) * d_share
    return (d - p * d.sum(-1, keepdim=True)).flatten(-2)


def through_gru(
    d_after: Tensor, gates: Tensor, before: Tensor, w: RssmWeights
) -> tuple[Tensor, Tensor]:
    """Of what the gates are functions of, [B, 4 D] in their order (r, z, n, what r multiplies), and
    of the state before, [B, D]."""
    r, z, n, held = gates.chunk(4, -1)
    d_n = d_after * (1.0 - z) * (1.0 - n * n)
    d_z = d_after * (before - n) * z * (1.0 - z)
    d_r = d_n * held * r * (1.0 - r)
    d_from_h = torch.cat([d_r, d_z, d_n * r], -1)
    return torch.cat([d_r, d_z, d_n, d_n * r], -1), d_after * z + d_from_h @ w.w_hh


def _rows(t: Tensor) -> Tensor:
    return t.flatten(0, 1)


def input_weights(
    d_x: Tensor, d_gates: Tensor, joined: Tensor, befores: Tensor, x: Tensor
) -> list[Tensor]:
    """Of w_in, b_in, w_ih, w_hh, b_ih and b_hh, all arguments [T, B, ..]; joined: [s, a] as the
    input layer met them, befores: h as the GRU did."""
    d_r, d_z, d_n, d_held = _rows(d_gates).chunk(4, -1)
    d_ih, d_hh = torch.cat([d_r, d_z, d_n], -1), torch.cat([d_r, d_z, d_held], -1)
    found = [_rows(d_x).t() @ _rows(joined), _rows(d_x).sum(0), d_ih.t() @ _rows(x)]
    return [*found, d_hh.t() @ _rows(befores), d_ih.sum(0), d_hh.sum(0)]


def head_weights(d_first: Tensor, read: Tensor, d_last: Tensor, units: Tensor) -> list[Tensor]:
    """Of both layers of a head, weight and bias; all arguments [T, B, ..]."""
    first, last = _rows(d_first), _rows(d_last)
    return [first.t() @ _rows(read), first.sum(0), last.t() @ _rows(units), last.sum(0)]


def backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    action: Tensor,
    embed: Tensor | None,
    keep: Tensor | None,
    noise: Tensor,
    w: RssmWeights,
    saved: Sequence[Tensor],
    kind: Distribution,
) -> tuple[Tensor, ...]:
    """Gradients of deter, stoch, action, embed (empty where there is none) and of the weights.

    given: of deter, stoch, prior, posterior, empty where nothing is. saved: what `forward` made.
    """
    out_deter, out_stoch, prior, posterior, _, x, gates, prior_hidden, post_hidden = saved
    seen = embed is not None
    numbers = stoch if stoch.is_floating_point() else one_hot(stoch, kind.classes, deter.dtype)
    kept = torch.ones_like(action[..., :1]) if keep is None else keep
    befores = torch.cat([deter[None], out_deter[:-1]]) * kept
    stochs = torch.cat([numbers[None], out_stoch[:-1]]) * kept
    width = out_deter.shape[-1]
    d_deter = given[0].clone() if given[0].numel() else torch.zeros_like(out_deter)
    d_prior_out, d_prior_hidden = torch.zeros_like(prior), torch.zeros_like(prior_hidden)
    if seen and given[2].numel():
        d_prior_out = through_distribution(prior, given[2], None, noise, kind)
        d_prior_hidden = (d_prior_out @ w.w_prior_out) * slope(prior_hidden)
        d_deter += d_prior_hidden @ w.w_prior
    inside = (posterior, given[3], w.w_post_out, post_hidden, w.w_post)
    parameters, d_parameters, w_out, hidden, w_hidden = (
        inside if seen else (prior, given[2], w.w_prior_out, prior_hidden, w.w_prior)
    )
    assert w_out is not None
    assert w_hidden is not None
    d_out, d_hidden = torch.empty_like(parameters), torch.empty_like(hidden)
    d_gates, d_x = torch.empty_like(gates), torch.empty_like(x)
    carry, carry_stoch = torch.zeros_like(deter), torch.zeros_like(numbers)
    for t in range(len(action) - 1, -1, -1):
        if given[1].numel():
            carry_stoch = carry_stoch + given[1][t]
        d_out[t] = through_distribution(
            parameters[t],
            d_parameters[t] if d_parameters.numel() else d_parameters,
            carry_stoch,
            noise[t],
            kind,
        )
        d_hidden[t] = (d_out[t] @ w_out) * slope(hidden[t])
        carry = carry + d_deter[t] + d_hidden[t] @ w_hidden[:, :width]
        d_gates[t], carry = through_gru(carry, gates[t], befores[t], w)
        d_x[t] = (d_gates[t, :, : 3 * width] @ w.w_ih) * slope(x[t])
        carry = carry * kept[t]
        carry_stoch = (d_x[t] @ w.w_in[:, : numbers.shape[1]]) * kept[t]

    joined = torch.cat([stochs, action * kept], -1)
    d_weights = input_weights(d_x, d_gates, joined, befores, x)
    if not seen:
        d_prior_out, d_prior_hidden = d_out, d_hidden
    d_weights += head_weights(d_prior_hidden, out_deter, d_prior_out, prior_hidden)
    if embed is not None:
        d_weights += head_weights(d_hidden, torch.cat([out_deter, embed], -1), d_out, post_hidden)
    d_embed = d_hidden @ w_hidden[:, width:] if seen else action.new_empty(0)
    d_numbers = carry_stoch if stoch.is_floating_point() else action.new_empty(0)
    d_action = (d_x @ w.w_in[:, numbers.shape[1] :]) * kept
    return (carry, d_numbers, d_action, d_embed, *d_weights)

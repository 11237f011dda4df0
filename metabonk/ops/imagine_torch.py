"""The formula of dreams as torch writes it, and the `torch` backend with its gradient.

Knows torch and the formula of `imagine`, whose shapes and names it uses; checks nothing but that
indices are classes. Any device and float dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metabonk.ops import rssm_torch
from metabonk.ops.rssm_weights import Distribution, RssmWeights

Layer = tuple[Tensor, Tensor]


class Dream(NamedTuple):
    """Of every step: the state after it, [H, B, ..] as in RssmStates; action [H, B, A], log_prob
    [H, B] and policy [H, B, outputs], the action's distribution, in the state before it. indices
    is None for Gaussians."""

    deter: Tensor
    stoch: Tensor
    prior: Tensor
    indices: Tensor | None
    action: Tensor
    log_prob: Tensor
    policy: Tensor


class Step(NamedTuple):
    """What one step computes: a row of Dream, and what its gradient needs. units: the hidden ones
    of all the actor's layers, side by side."""

    deter: Tensor
    stoch: Tensor
    prior: Tensor
    indices: Tensor | None
    action: Tensor
    log_prob: Tensor
    policy: Tensor
    x: Tensor
    gates: Tensor
    prior_hidden: Tensor
    units: Tensor


def _choose(
    out: Tensor, noise: Tensor, _: float, index: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    kind = Distribution(out.shape[-1], 0.0, 0.0)
    policy = rssm_torch.distribution(out, kind)
    action, picked = rssm_torch.sample(policy, noise, kind, index)
    assert picked is not None
    return action, policy.gather(-1, picked.long())[..., 0], policy


def _squash(
    out: Tensor, noise: Tensor, min_std: float, _: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    mean, raw = out.chunk(2, -1)
    std = functional.softplus(raw) + min_std
    before = mean + std * noise
    bend = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    density = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi) - bend
    return torch.tanh(before), density.sum(-1), torch.cat([mean, std], -1)


def step(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: RssmWeights,
    actor: Sequence[Layer],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
    index: Tensor | None = None,
    choice: Tensor | None = None,
) -> Step:
    """One step of rows [B, ..]; stoch [B, S] float. Differentiable."""
    out, hidden = torch.cat([deter, stoch], -1), []
    for i, (weight, bias) in enumerate(actor):
        out = functional.linear(out, weight, bias)
        if i + 1 < len(actor):
            out = functional.elu(out)
            hidden.append(out)
    act = _squash if squashed else _choose
    action, log_prob, policy = act(out, action_noise, actor_min_std, choice)
    done = rssm_torch.step(deter, stoch, action, None, None, noise, weights, kind, index)
    units = torch.cat(hidden, -1) if hidden else out[..., :0]
    state = done.deter, done.stoch, done.prior, done.indices
    return Step(*state, action, log_prob, policy, done.x, done.gates, done.prior_hidden, units)


def unroll(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: RssmWeights,
    actor: Sequence[Layer],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
    index: Tensor | None = None,
    choice: Tensor | None = None,
) -> list[Tensor | None]:
    """The eleven columns of `Step` over [H, B, ..], one step after the other."""
    if not stoch.is_floating_point():
        stoch = rssm_torch.one_hot(stoch, kind.classes, deter.dtype)
    steps = []
    for t in range(len(noise)):
        drawn, picked = (None if v is None else v[t] for v in (index, choice))
        done = step(
            deter, stoch, noise[t], action_noise[t], weights, actor, squashed, kind,
            actor_min_std, drawn, picked,
        )  # fmt: skip
        deter, stoch = done.deter, done.stoch
        steps.append(done)
    return [rssm_torch.stack(column) for column in zip(*steps, strict=True)]


def _through_action(
    policy: Tensor,
    action: Tensor,
    noise: Tensor,
    d_policy: Tensor,
    d_log_prob: Tensor,
    d_action: Tensor,
    squashed: bool,
    min_std: float,
) -> Tensor:
    """Of what the actor puts out. d_policy and d_log_prob are empty where nothing is given."""
    given = d_policy if d_policy.numel() else torch.zeros_like(policy)
    d_log = d_log_prob[..., None] if d_log_prob.numel() else torch.zeros_like(policy[..., :1])
    if not squashed:
        kind = Distribution(policy.shape[-1], 0.0, 0.0)
        # The action is one-hot: where the probability that was asked for stands.
        return rssm_torch.through_distribution(
            policy, given + d_log * action, d_action, noise, kind
        )
    d_mean, d_std = given.chunk(2, -1)
    std = policy.chunk(2, -1)[1]
    d_before = d_action * (1.0 - action * action) + 2.0 * action * d_log
    slope = -torch.expm1(min_std - std)  # of softplus: 1 - exp(-softplus)
    d_raw = (d_std + d_before * noise - d_log / std) * slope
    return torch.cat([d_mean + d_before, d_raw], -1)


class _Actor:
    """The actor's steps backwards. d_sums: of every layer [H, B, units], what reaches its sums."""

    def __init__(self, actor: Sequence[Layer], units: Tensor) -> None:
        self.actor = actor
        self.units: tuple[Tensor, ...] = ()
        if units.numel():
            ends = list(accumulate(len(bias) for _, bias in actor[:-1]))
            self.units = units.tensor_split(ends[:-1], -1)
        self.d_sums: list[list[Tensor]] = [[] for _ in actor]

    def back(self, t: int, d: Tensor) -> Tensor:
        """Of [h, s] before step t, from what the last layer put out there; the last step first."""
        for i in range(len(self.actor) - 1, -1, -1):
            self.d_sums[i].insert(0, d)
            d = d @ self.actor[i][0]
            if i:
                d = d * rssm_torch.slope(self.units[i - 1][t])
        return d

    def weights(self, read: Tensor) -> list[Tensor]:
        """Of every weight and bias; read [H, B, D + S]: what the first layer met."""
        inputs = (read, *self.units)
        found = []
        for d_steps, x in zip(self.d_sums, inputs, strict=True):
            d = torch.stack(d_steps).flatten(0, 1)
            found += [d.t() @ x.flatten(0, 1), d.sum(0)]
        return found


def backward(
    given: Sequence[Tensor],
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    w: RssmWeights,
    layers: Sequence[Layer],
    saved: Sequence[Tensor],
    squashed: bool,
    kind: Distribution,
    actor_min_std: float,
) -> list[Tensor]:
    """Gradients of deter, stoch (empty where it is classes), the prior's ten weights and the
    actor's.

    given: of deter, stoch, prior, action, log_prob, policy, empty where nothing is. saved: the
    eleven columns of `unroll`, indices empty for Gaussians.
    """
    out_deter, out_stoch, prior, _, action, _, policy, x, gates, prior_hidden, units = saved
    d_deter, d_stoch, d_prior, d_action, d_log_prob, d_policy = given
    numbers = stoch if stoch.is_floating_point() else rssm_torch.one_hot(
        stoch, kind.classes, deter.dtype
    )  # fmt: skip
    befores = torch.cat([deter[None], out_deter[:-1]])
    stochs = torch.cat([numbers[None], out_stoch[:-1]])
    width, state = deter.shape[1], numbers.shape[1]
    actor = _Actor(layers, units)
    d_out, d_hidden = torch.empty_like(prior), torch.empty_like(prior_hidden)
    d_gates, d_x = torch.empty_like(gates), torch.empty_like(x)
    carry, carry_stoch = torch.zeros_like(deter), torch.zeros_like(numbers)

    def at(t: int, d: Tensor) -> Tensor:
        return d[t] if d.numel() else d

    for t in range(len(noise) - 1, -1, -1):
        carry = carry + d_deter[t] if d_deter.numel() else carry
        carry_stoch = carry_stoch + d_stoch[t] if d_stoch.numel() else carry_stoch
        d_out[t] = rssm_torch.through_distribution(
            prior[t], at(t, d_prior), carry_stoch, noise[t], kind
        )
        d_hidden[t] = (d_out[t] @ w.w_prior_out) * rssm_torch.slope(prior_hidden[t])
        carry = carry + d_hidden[t] @ w.w_prior
        d_gates[t], carry = rssm_torch.through_gru(carry, gates[t], befores[t], w)
        d_x[t] = (d_gates[t, :, : 3 * width] @ w.w_ih) * rssm_torch.slope(x[t])
        d_joined = d_x[t] @ w.w_in
        chosen = d_joined[:, state:] + (d_action[t] if d_action.numel() else 0.0)
        d_read = actor.back(
            t,
            _through_action(
                policy[t], action[t], action_noise[t], at(t, d_policy), at(t, d_log_prob), chosen,
                squashed, actor_min_std,
            ),
        )  # fmt: skip
        carry = carry + d_read[:, :width]
        carry_stoch = d_joined[:, :state] + d_read[:, width:]

    joined = torch.cat([stochs, action], -1)
    found = rssm_torch.input_weights(d_x, d_gates, joined, befores, x)
    found += rssm_torch.head_weights(d_hidden, out_deter, d_out, prior_hidden)
    found += actor.weights(torch.cat([befores, stochs], -1))
    return [carry, carry_stoch if stoch.is_floating_point() else deter.new_empty(0), *found]


def hidden(actor: Sequence[Tensor]) -> list[int]:
    """Widths of the hidden layers, from the flat list of weights and biases."""
    return [len(bias) for bias in actor[1:-1:2]]

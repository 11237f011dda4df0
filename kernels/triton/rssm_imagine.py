"""H steps of a world model's prior under an actor: dreams, launched one layer behind the other.

A step is the actor's layers, its sample, and of the model the input layer, the GRU, two layers of
the head and its sample; no step returns to the processor. Where the state is one of classes the
first layers of both gather rows instead of multiplying. Formula, names and shapes:
`metabonk.ops.imagine`. Knows the launches of rssm.py and sample.py; checks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .rssm import gru, layer
from .rssm_scan import draw
from .sample import categorical, squashed


class _Reader:
    """A layer over [beside, s]: its weights where they read s as rows that classes pick, too."""

    def __init__(self, beside: Tensor, state: Tensor, bias: Tensor, groups: int, classes: int):
        self.beside, self.state, self.bias = beside, state, bias
        self.table = state.t().contiguous().view(groups, classes, len(bias)) if classes else None

    def read(self, x: Tensor, stoch: Tensor, activation: str) -> Tensor:
        """x [rows, ..] with s, int32 classes or numbers -> [rows, units]."""
        if not stoch.is_floating_point():
            return layer(x, self.beside, stoch, self.table, self.bias, activation)
        first = layer(x, self.beside, None, None, self.bias, "")
        return layer(stoch, self.state, None, None, first, activation)


class _Actor:
    """An actor's steps, and the memory of what they make."""

    def __init__(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        like: Tensor,
        width: int,
        groups: int,
        classes: int,
        continuous: bool,
        least: float,
        saving: bool,
    ) -> None:
        lead, outputs = like.shape[:2], len(layers[-1][1])
        weight, bias = layers[0]
        self.first = _Reader(weight[:, :width], weight[:, width:], bias, groups, classes)
        self.others = layers[1:]
        self.continuous, self.least, self.saving = continuous, least, saving
        self.policy = like.new_empty(*lead, outputs)
        self.action = like.new_empty(*lead, outputs // 2 if continuous else outputs)
        self.log_prob = like.new_empty(*lead)
        self.index = like.new_empty(*lead, dtype=torch.int32)  # of choices
        self.hidden: list[list[Tensor]] = []

    def act(self, t: int, deter: Tensor, stoch: Tensor, noise: Tensor) -> Tensor:
        """The action [rows, A] of step t in the state before it."""
        out = self.first.read(deter, stoch, "elu" if self.others else "")
        hidden = []
        for i, (weight, bias) in enumerate(self.others):
            hidden.append(out)
            last = i + 1 == len(self.others)
            out = layer(out, weight, None, None, bias, "" if last else "elu")
        if self.saving:
            self.hidden.append(hidden)
        if self.continuous:
            squashed(out, self.least, self.policy[t], noise, self.action[t], self.log_prob[t])
        else:
            uniform = noise.reshape(-1)
            categorical(out, 0.0, self.policy[t], uniform, self.index[t], self.action[t])
        return self.action[t]

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, the logarithms of their densities, policies, of all steps."""
        if not self.continuous:
            taken = self.index[..., None].long()
            self.log_prob = self.policy.gather(-1, taken)[..., 0]
        return self.action, self.log_prob, self.policy

    def units(self) -> Tensor:
        """The hidden ones of all layers, side by side, [H, B, U]; empty without any."""
        if not self.others:
            return self.policy.new_empty(0)
        return torch.stack([torch.cat(hidden, -1) for hidden in self.hidden])


def imagine(
    deter: Tensor,
    stoch: Tensor,
    noise: Tensor,
    action_noise: Tensor,
    weights: Sequence[Tensor],
    layers: Sequence[tuple[Tensor, Tensor]],
    continuous: bool,
    classes: int,
    unimix: float,
    min_std: float,
    least: float,
    saving: bool,
) -> tuple[Tensor, ...]:
    """deter, stoch, prior, index, action, log_prob and policy, and where `saving` x, gates, the
    prior's hidden units and the actor's, all [H, B, ..]; what is not there has no elements.

    layers: the actor's weights and biases. continuous: tanh of Gaussians instead of choices, with
    deviations of at least `least`. Everything float32 and contiguous but stoch, int32 where it is
    classes.
    """
    w_in, b_in, w_ih, w_hh, b_ih, b_hh, *head = weights
    (steps, rows, groups), width = noise.shape, deter.shape[1]
    state = groups * (classes or 1)
    inputs = _Reader(w_in[:, state:], w_in[:, :state], b_in, groups, classes)
    actor = _Actor(layers, noise, width, groups, classes, continuous, least, saving)
    states = noise.new_empty(steps, rows, width)
    gates = noise.new_empty(steps if saving else 0, rows, 4 * width)
    prior = noise.new_empty(steps, rows, groups * (classes or 2))
    drawn = noise.new_empty(steps, rows, state)
    index = noise.new_empty(steps if classes else 0, rows, groups, dtype=torch.int32)
    kept: list[tuple[Tensor, Tensor]] = []
    for t in range(steps):
        action = actor.act(t, deter, stoch, action_noise[t])
        x = inputs.read(action, stoch, "elu")
        held = gates[t] if saving else None
        deter = gru(x, deter, w_ih, w_hh, b_ih, b_hh, None, states[t], held)
        hidden = layer(deter, head[0], None, None, head[1], "elu")
        found = layer(hidden, head[2], None, None, head[3], "")
        picked = index[t] if classes else None
        draw(found, noise[t], classes, unimix, min_std, prior[t], picked, drawn[t])
        stoch = drawn[t] if picked is None else picked
        if saving:
            kept.append((x, hidden))
    columns = states, drawn, prior, index, *actor.columns()
    if not saving:
        return columns
    first, second = (torch.stack(column) for column in zip(*kept, strict=True))
    return *columns, first, gates, second, actor.units()

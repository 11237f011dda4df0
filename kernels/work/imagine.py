"""Dreams in float32: steps of an RSSM's prior under an actor."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..architectures import TF32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton.rssm_imagine import imagine

MIX, LEAST = 0.01, 0.1
TOLERANCE = 2e-5
EDGE = 1e-4  # by which rounding moves the edges between classes
START = "deter", "stoch", "noise", "action_noise"


class Size(NamedTuple):
    """units: of every hidden layer of the actor. classes 0: Gaussians. continuous: numbers in
    (-1, 1) instead of choices."""

    steps: int
    rows: int
    groups: int
    classes: int
    action: int
    width: int  # of the deterministic state and the hidden units
    units: tuple[int, ...]
    continuous: bool

    @property
    def state(self) -> int:
        return self.groups * (self.classes or 1)

    @property
    def parameters(self) -> int:
        return self.groups * (self.classes or 2)

    @property
    def outputs(self) -> int:
        return self.action * (2 if self.continuous else 1)


SIZES = (
    Size(15, 1024, 32, 32, 16, 512, (512, 512), False),
    Size(15, 16, 32, 32, 16, 512, (512, 512), True),
)
SMALL = (
    Size(3, 5, 2, 3, 4, 8, (6,), False),
    Size(2, 33, 3, 0, 5, 20, (), True),
    Size(2, 18, 2, 4, 3, 12, (7, 9), True),
)


def cases() -> list[Case]:
    return [_case(size, size in SMALL) for size in SIZES + SMALL]


def _case(size: Size, small: bool) -> Case:
    layers = _shapes(size) | _actor_shapes(size)
    weights = sum(high * wide for high, wide in layers.values())
    # A one-hot state picks one row per group: a sum instead of a product, in the actor as well.
    readers = layers["w_in"][0] + layers["w_actor_0"][0]
    each = weights - (readers * (size.state - size.groups) if size.classes else 0)
    values = size.steps * size.rows
    given = size.groups + (size.action if size.continuous else 1)
    made = size.width + size.state + size.parameters + size.action + 1 + size.outputs
    return Case(
        "imagine",
        f"imagine {size.steps}x{size.rows} {size.groups}x{size.classes} of {size.width} "
        f"{'squashed' if size.continuous else 'choices'} {len(size.units)} layers",
        functools.partial(make, size),
        functools.partial(_run, size),
        functools.partial(_reference, size),
        Cost(
            4 * weights + 4 * values * given + 4 * size.rows * (size.width + size.groups),
            4 * values * made,
            {TF32: 2 * values * each},
            nodes=(4 + len(size.units) + 1) * size.steps,
        ),
        TOLERANCE,
        small,
        judge=functools.partial(_judge, size),
        facts={"classes": size.classes, "squashed": size.continuous},
    )


def _shapes(size: Size) -> dict[str, tuple[int, int]]:
    """Of the model's weights, in the order of the launch."""
    width = size.width
    return {
        "w_in": (width, size.state + size.action),
        "w_ih": (3 * width, width),
        "w_hh": (3 * width, width),
        "w_prior": (width, width),
        "w_prior_out": (size.parameters, width),
    }


def _actor_shapes(size: Size) -> dict[str, tuple[int, int]]:
    widths = size.width + size.state, *size.units, size.outputs
    return {f"w_actor_{i}": (b, a) for i, (a, b) in enumerate(pairwise(widths))}


def make(size: Size, device: torch.device | str, seed: int) -> Inputs:
    """The arguments of `imagine` by name; layer i of the actor as w_actor_i and b_actor_i."""
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    rand = functools.partial(torch.rand, generator=numbers)
    lead = size.steps, size.rows
    given: dict[str, Tensor] = {
        "deter": randn(size.rows, size.width).tanh(),
        "stoch": randn(size.rows, size.groups),
        "noise": (rand if size.classes else randn)(*lead, size.groups),
        "action_noise": randn(*lead, size.action) if size.continuous else rand(*lead, 1),
    }
    if size.classes:
        picked = torch.randint(size.classes, (size.rows, size.groups), generator=numbers)
        given["stoch"] = picked.int()
    for name, (high, wide) in (_shapes(size) | _actor_shapes(size)).items():
        given[name] = randn(high, wide) / wide**0.5
        given["b" + name[1:]] = randn(high) / 4
    return {name: t.to(device) for name, t in given.items()}


def _weights(inputs: Inputs) -> list[Tensor]:
    names = "w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh", "w_prior", "b_prior"
    return [inputs[name] for name in (*names, "w_prior_out", "b_prior_out")]


def _layers(size: Size, inputs: Inputs) -> list[tuple[Tensor, Tensor]]:
    return [(inputs[f"w_actor_{i}"], inputs[f"b_actor_{i}"]) for i in range(len(size.units) + 1)]


def _run(size: Size, inputs: Inputs) -> tuple[Tensor, ...]:
    """deter, stoch, prior, index, action, log_prob and policy."""
    return imagine(
        *(inputs[name] for name in START), _weights(inputs), _layers(size, inputs),
        size.continuous, size.classes, MIX, LEAST, LEAST, False,
    )  # fmt: skip


def _reference(size: Size, inputs: Inputs) -> tuple[Tensor, ...]:
    """The same in float64, with the classes that noise picks."""
    return unroll(size, inputs, None, None)


def unroll(
    size: Size, inputs: Inputs, index: Tensor | None, choice: Tensor | None
) -> tuple[Tensor, ...]:
    """deter, stoch, prior, index, action, log_prob and policy in float64. index [H, B, G], choice
    [H, B]: classes that are taken instead of those that noise picks."""
    h, stoch, noise, action_noise = (inputs[name].cpu().double() for name in START)
    w_in, b_in, w_ih, w_hh, b_ih, b_hh, *head = (w.cpu().double() for w in _weights(inputs))
    layers = [(w.cpu().double(), b.cpu().double()) for w, b in _layers(size, inputs)]
    linear, elu = functional.linear, functional.elu
    state = one_hot(stoch, size.classes) if size.classes else stoch
    rows: list[tuple[Tensor, ...]] = []
    for t in range(size.steps):
        out = torch.cat([h, state], -1)
        for i, (weight, bias) in enumerate(layers):
            out = linear(out, weight, bias)
            out = elu(out) if i + 1 < len(layers) else out
        taken = None if choice is None else choice[t]
        action, log_prob, policy = _act(size, out, action_noise[t], taken)
        x = elu(linear(torch.cat([state, action], -1), w_in, b_in))
        r, z, n = linear(x, w_ih, b_ih).chunk(3, -1)
        r_h, z_h, n_h = linear(h, w_hh, b_hh).chunk(3, -1)
        gate = torch.sigmoid(z + z_h)
        h = (1 - gate) * torch.tanh(n + torch.sigmoid(r + r_h) * n_h) + gate * h
        out = linear(elu(linear(h, *head[:2])), *head[2:])
        picked = torch.empty(0, dtype=torch.int32)
        if size.classes:
            prior = _mixed(out, size.classes, MIX)
            picked = _pick(prior, noise[t], size.classes) if index is None else index[t].cpu()
            state = one_hot(picked, size.classes)
        else:
            mean, raw = out.chunk(2, -1)
            deviation = functional.softplus(raw) + LEAST
            prior = torch.cat([mean, deviation], -1)
            state = mean + deviation * noise[t]
        rows.append((h, state, prior, picked, action, log_prob, policy))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def _act(
    size: Size, out: Tensor, noise: Tensor, taken: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    if size.continuous:
        mean, raw = out.chunk(2, -1)
        deviation = functional.softplus(raw) + LEAST
        normal = torch.distributions.Normal(mean, deviation)
        before = mean + deviation * noise
        # log(1 - tanh^2 u) = 2 (log 2 - u - softplus(-2 u))
        bend = 2 * (
            torch.log(torch.tensor(2.0).double()) - before - functional.softplus(-2 * before)
        )
        density = (normal.log_prob(before) - bend).sum(-1)
        return torch.tanh(before), density, torch.cat([mean, deviation], -1)
    policy = out.log_softmax(-1)
    if taken is None:
        taken = _pick(policy, noise, size.action)[..., 0]
    action = functional.one_hot(taken.long(), size.action).double()
    return action, (policy * action).sum(-1), policy


def one_hot(index: Tensor, classes: int) -> Tensor:
    return functional.one_hot(index.long(), classes).flatten(-2).double()


def _mixed(out: Tensor, classes: int, mix: float) -> Tensor:
    share = out.unflatten(-1, (-1, classes)).softmax(-1)
    return ((1 - mix) * share + mix / classes).log().flatten(-2)


def _pick(parameters: Tensor, noise: Tensor, classes: int) -> Tensor:
    running = parameters.unflatten(-1, (-1, classes)).exp().cumsum(-1)
    point = noise[..., None] * (1 - 2.0**-20) * running[..., -1:]
    return (running <= point)[..., :-1].sum(-1).int()


def _beyond(parameters: Tensor, index: Tensor, noise: Tensor, classes: int) -> float:
    """How far noise lies outside the classes that were taken."""
    share = parameters.unflatten(-1, (-1, classes)).exp()
    hot = functional.one_hot(index.long(), classes)
    running = share.cumsum(-1)
    point = noise.double() * running[..., -1]
    high = (running * hot).sum(-1)
    return float(torch.maximum(point - high, high - (share * hot).sum(-1) - point).max())


def _judge(size: Size, inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Norms of errors over norms, of the tolerance, against a dream that takes the same classes; a
    class may differ from the one that noise picks by rounding of its distribution only."""
    _, stoch, _, index, action, *_ = (t.cpu() for t in found)
    choice = None if size.continuous else action.argmax(-1)
    if size.classes and bool(((index < 0) | (index >= size.classes)).any()):
        return float("inf")
    wanted = unroll(size, inputs, index if size.classes else None, choice)
    if size.classes and (
        not torch.equal(stoch.double(), one_hot(index, size.classes))
        or _beyond(wanted[2], index, inputs["noise"].cpu(), size.classes) > EDGE
    ):
        return float("inf")
    if choice is not None and (
        not torch.equal(action.double(), functional.one_hot(choice, size.action).double())
        or _beyond(wanted[6], choice[..., None], inputs["action_noise"].cpu(), size.action) > EDGE
    ):
        return float("inf")
    errors = [
        float((found[i].cpu().double() - wanted[i]).norm() / wanted[i].norm())
        for i in (0, 1, 2, 4, 5, 6)
    ]
    return max(e if e == e else float("inf") for e in errors) / TOLERANCE

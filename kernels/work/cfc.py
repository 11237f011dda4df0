"""Closed-form continuous-time cells: the policy's step and the training batch's scan."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..architectures import TF32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import cfc

# steps, rows, inputs, hidden, backbone
SIZES = ((1, 16, 256, 256, 256), (1, 1024, 256, 256, 256), (64, 1024, 256, 256, 256))
SMALL = ((1, 3, 5, 7, 9), (4, 33, 20, 40, 48))
NAMES = "x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads"


def cases() -> list[Case]:
    return [_case(*size, small=size in SMALL) for size in SIZES + SMALL]


def cost(steps: int, rows: int, inputs: int, hidden: int, units: int) -> Cost:
    """Weights once; of every step x, dt and keep read, and the state written."""
    weights = units * (inputs + hidden + 1) + 4 * hidden * (units + 1)
    products = units * (inputs + hidden) + 4 * hidden * units
    return Cost(
        4 * (weights + rows * hidden + steps * rows * (inputs + 2)),
        4 * steps * rows * hidden,
        {TF32: 2 * steps * rows * products},
    )


def _case(steps: int, rows: int, inputs: int, hidden: int, units: int, small: bool) -> Case:
    return Case(
        "cfc_scan",
        f"cfc {steps}x{rows} {inputs}-{units}-{hidden}",
        functools.partial(_make, steps, rows, inputs, hidden, units),
        lambda given: cfc.scan(*(given[name] for name in NAMES), saving=True),
        reference,
        cost(steps, rows, inputs, hidden, units),
        # Three products of tf32 keep about 21 bits; a scan carries the error on.
        2e-5,
        small,
    )


def _make(
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    units: int,
    device: torch.device | str,
    seed: int,
) -> Inputs:
    randn = functools.partial(torch.randn, generator=generator(seed))
    given = {
        "x": randn(steps, rows, inputs),
        "h": randn(rows, hidden).tanh(),
        "dt": randn(steps, rows, 1).exp(),
        "keep": (randn(steps, rows, 1) < 1).float(),
        "w_in": randn(units, inputs + hidden) / (inputs + hidden) ** 0.5,
        "b_in": randn(units) / 4,
        "w_heads": randn(4 * hidden, units) / units**0.5,
        "b_heads": randn(4 * hidden) / 4,
    }
    return {name: t.to(device) for name, t in given.items()}


def reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """out, z and heads in float64."""
    x, h, dt, keep, w_in, b_in, w_heads, b_heads = (inputs[n].cpu().double() for n in NAMES)
    out, z, heads = [], [], []
    for i in range(len(x)):
        z.append(1.7159 * torch.tanh(0.666 * (torch.cat([x[i], h * keep[i]], 1) @ w_in.t() + b_in)))
        f1, f2, a, s = (z[i] @ w_heads.t() + b_heads).chunk(4, 1)
        gate = torch.sigmoid(a * dt[i] + s)
        heads.append(torch.cat([f1.tanh(), f2.tanh(), a, gate], 1))
        h = (1 - gate) * f1.tanh() + gate * f2.tanh()
        out.append(h)
    return torch.stack(out), torch.stack(z), torch.stack(heads)

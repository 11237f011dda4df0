"""Distributions and what is drawn from them, as plain torch has them in float32.

Knows the cases' inputs and their constants.
"""

from __future__ import annotations

import math

import torch
from metabonk.kernels.cases import Case, Inputs
from metabonk.kernels.work.sample import LEAST, MIX
from torch import Tensor
from torch.nn import functional

from .plain import Plain


def sample(case: Case, given: Inputs) -> Plain:
    """Of what a head puts out: parameters and a sample."""
    step = {"categorical": _categorical, "gaussian": _gaussian, "squashed": _squashed}
    return Plain(dict(given), step[case.facts["sample"]])


def _categorical(out: Tensor, uniform: Tensor) -> tuple[Tensor, ...]:
    classes = out.shape[-1]
    share = (1.0 - MIX) * out.softmax(-1) + MIX / classes
    running = share.cumsum(-1)
    # A little below the total, so that rounding cannot pass the last class.
    point = uniform[:, None] * (1.0 - 2.0**-20) * running[:, -1:]
    index = (running <= point)[:, :-1].sum(-1)
    return share.log(), functional.one_hot(index, classes).float(), index.int()


def _gaussian(out: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    mean, raw = out.chunk(2, -1)
    deviation = functional.softplus(raw) + LEAST
    return torch.cat([mean, deviation], -1), mean + deviation * noise


def _squashed(out: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    mean, raw = out.chunk(2, -1)
    deviation = functional.softplus(raw) + LEAST
    before = mean + deviation * noise
    bend = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    density = -0.5 * noise.square() - deviation.log() - 0.5 * math.log(2.0 * math.pi) - bend
    return torch.cat([mean, deviation], -1), before.tanh(), density.sum(-1)

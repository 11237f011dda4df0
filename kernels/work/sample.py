"""Distributions and samples: the 32 x 32 latent states of a world model, actions, Gaussians."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..architectures import FP32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton.sample import categorical, gaussian, squashed

SIZES = ((1024 * 32, 32), (16 * 32, 32), (1024, 512))
SMALL = ((9, 5), (40, 32))
SQUASHED, SQUASHED_SMALL = ((1024, 16),), ((9, 5), (40, 32))  # rows, width of an action
MIX, LEAST = 0.01, 0.1


def cases() -> list[Case]:
    every = [(size, size in SMALL) for size in SIZES + SMALL]
    made = [make(*size, small) for make in (_categorical, _gaussian) for size, small in every]
    return made + [_squashed(*size, size in SQUASHED_SMALL) for size in SQUASHED + SQUASHED_SMALL]


def _categorical(rows: int, classes: int, small: bool) -> Case:
    cost = Cost(4 * rows * (classes + 1), 4 * rows * (1 + 2 * classes), {FP32: 9 * rows * classes})
    return Case(
        "rssm_step",
        f"categorical {rows}x{classes}",
        functools.partial(_make_categorical, rows, classes),
        _run_categorical,
        categorical_reference,
        cost,
        2e-6,
        small,
        judge=judge,
        facts={"sample": "categorical"},
    )


def _gaussian(rows: int, width: int, small: bool) -> Case:
    return Case(
        "rssm_step",
        f"gaussian {rows}x{width}",
        functools.partial(_make_gaussian, rows, width),
        _run_gaussian,
        gaussian_reference,
        Cost(12 * rows * width, 12 * rows * width, {FP32: 8 * rows * width}),
        1e-6,
        small,
        facts={"sample": "gaussian"},
    )


def _squashed(rows: int, width: int, small: bool) -> Case:
    return Case(
        "imagine",
        f"squashed {rows}x{width}",
        functools.partial(_make_gaussian, rows, width),
        _run_squashed,
        squashed_reference,
        Cost(12 * rows * width, 4 * rows * (3 * width + 1), {FP32: 24 * rows * width}),
        2e-6,
        small,
        facts={"sample": "squashed"},
    )


def _make_categorical(rows: int, classes: int, device: torch.device | str, seed: int) -> Inputs:
    numbers = generator(seed)
    out = 3 * torch.randn(rows, classes, generator=numbers)
    return {"out": out.to(device), "uniform": torch.rand(rows, generator=numbers).to(device)}


def _run_categorical(inputs: Inputs) -> tuple[Tensor, ...]:
    out = inputs["out"]
    index = out.new_empty(len(out), dtype=torch.int32)
    parameters, stoch = torch.empty_like(out), torch.empty_like(out)
    categorical(out, MIX, parameters, inputs["uniform"], index, stoch)
    return parameters, stoch, index


def _make_gaussian(rows: int, width: int, device: torch.device | str, seed: int) -> Inputs:
    numbers = generator(seed)
    out = 8 * torch.randn(rows, 2 * width, generator=numbers)
    return {"out": out.to(device), "noise": torch.randn(rows, width, generator=numbers).to(device)}


def _run_gaussian(inputs: Inputs) -> tuple[Tensor, ...]:
    parameters, stoch = torch.empty_like(inputs["out"]), torch.empty_like(inputs["noise"])
    gaussian(inputs["out"], LEAST, parameters, inputs["noise"], stoch)
    return parameters, stoch


def _run_squashed(inputs: Inputs) -> tuple[Tensor, ...]:
    out, noise = inputs["out"], inputs["noise"]
    parameters, action = torch.empty_like(out), torch.empty_like(noise)
    log_prob = out.new_empty(len(out))
    squashed(out, LEAST, parameters, noise, action, log_prob)
    return parameters, action, log_prob


def categorical_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """The logarithms of the mixture in float64, and the class at which its sum passes u."""
    out = inputs["out"].cpu().double()
    share = (1 - MIX) * out.softmax(-1) + MIX / out.shape[-1]
    running = share.cumsum(-1)
    point = inputs["uniform"].cpu().double()[:, None] * (1 - 2.0**-20) * running[:, -1:]
    index = (running <= point)[:, :-1].sum(-1).int()
    stoch = torch.nn.functional.one_hot(index.long(), out.shape[-1]).double()
    return share.log(), stoch, index


def gaussian_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """Mean, deviation and sample in float64."""
    mean, raw = inputs["out"].cpu().double().chunk(2, -1)
    deviation = torch.nn.functional.softplus(raw) + LEAST
    parameters = torch.cat([mean, deviation], -1)
    return parameters, mean + deviation * inputs["noise"].cpu().double()


def squashed_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    """Mean, deviation, action and the logarithm of its density in float64."""
    mean, raw = inputs["out"].cpu().double().chunk(2, -1)
    noise = inputs["noise"].cpu().double()
    deviation = torch.nn.functional.softplus(raw) + LEAST
    before = mean + deviation * noise
    # Where tanh is 1 in float64 as well, 1 - tanh^2 is 4 e^(-2 |u|) to the last digit.
    bend = torch.log(4.0 * torch.sigmoid(2.0 * before) * torch.sigmoid(-2.0 * before))
    normal = torch.distributions.Normal(mean, deviation).log_prob(before)
    return torch.cat([mean, deviation], -1), torch.tanh(before), (normal - bend).sum(-1)


def judge(inputs: Inputs, found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Parameters by their error, of 2e-6; u may be outside the chosen class by rounding only; the
    sample is that class's."""
    parameters, stoch, index = (t.cpu() for t in found)
    classes = parameters.shape[-1]
    if bool(((index < 0) | (index >= classes)).any()):
        return float("inf")
    hot = torch.nn.functional.one_hot(index.long(), classes)
    if not torch.equal(stoch, hot.to(stoch.dtype)):
        return float("inf")
    error = float((parameters.double() - wanted[0]).abs().max())
    share = wanted[0].exp()
    running = share.cumsum(-1)
    point = inputs["uniform"].cpu().double() * running[:, -1]
    high = (running * hot).sum(-1)
    outside = torch.maximum(point - high, high - (share * hot).sum(-1) - point)
    return max(error, float(outside.max())) / 2e-6

"""Advantages and lambda-returns of rollouts, and their gradients in dreams."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..architectures import FP32
from ..cases import Case, Inputs, generator
from ..cost import Cost
from ..triton import returns

SIZES = ((128, 4096), (15, 1024))
SMALL = ((1, 1), (5, 17), (70, 35))
GAMMA, LAMBDA = 0.99, 0.95


def cases() -> list[Case]:
    every = [(size, size in SMALL) for size in SIZES + SMALL]
    return [case(*size, small) for case in (_gae, _lambda) for size, small in every]


def _gae(steps: int, columns: int, small: bool) -> Case:
    count = steps * columns
    return Case(
        "gae",
        f"gae {steps}x{columns}",
        functools.partial(_make, steps, columns),
        _run_gae,
        _gae_reference,
        # Twice rewards, values and flags read, and two arrays of gradients written.
        Cost(4 * 3 * count + 3 * 2 * count, 4 * 3 * count, {FP32: 12 * count}, nodes=2),
        4e-6,
        small,
    )


def _lambda(steps: int, columns: int, small: bool) -> Case:
    count = steps * columns
    return Case(
        "lambda_returns",
        f"lambda_returns {steps}x{columns}",
        functools.partial(_make, steps, columns),
        _run_lambda,
        _lambda_reference,
        Cost(4 * 7 * count, 4 * 4 * count, {FP32: 14 * count}, nodes=2),
        4e-6,
        small,
    )


def _make(steps: int, columns: int, device: torch.device | str, seed: int) -> Inputs:
    numbers = generator(seed)
    randn = functools.partial(torch.randn, generator=numbers)
    chance = functools.partial(torch.rand, steps, columns, generator=numbers)
    given = {
        "reward": randn(steps, columns),
        "value": randn(steps + 1, columns),
        "terminated": chance() < 0.1,
        "truncated": chance() < 0.1,
        "reset": chance() < 0.1,
        "discount": 0.9 + 0.1 * chance(),
        "d_out": randn(steps, columns),
    }
    return {name: t.to(device) for name, t in given.items()}


def _flags(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    return inputs["terminated"], inputs["truncated"], inputs["reset"]


def _run_gae(inputs: Inputs) -> tuple[Tensor, ...]:
    flags, discount = _flags(inputs), inputs["discount"]
    out = returns.gae(inputs["reward"], inputs["value"], *flags, discount, 1.0, LAMBDA)
    return out, *returns.gae_gradient(inputs["d_out"], *flags, discount, 1.0, LAMBDA)


def _run_lambda(inputs: Inputs) -> tuple[Tensor, ...]:
    given = inputs["value"], inputs["discount"]
    out = returns.lambda_returns(inputs["reward"], *given, LAMBDA)
    return out, *returns.lambda_returns_gradient(inputs["d_out"], out, *given, LAMBDA)


def _leaves(inputs: Inputs, *names: str) -> list[Tensor]:
    return [inputs[name].cpu().double().requires_grad_() for name in names]


def _gae_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    reward, value, discount = _leaves(inputs, "reward", "value", "discount")
    terminated, truncated, reset = (flag.cpu() for flag in _flags(inputs))
    rows, after = [], torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        follow = torch.where(terminated[t], 0.0, discount[t] * value[t + 1])
        carry = torch.where(terminated[t] | truncated[t], 0.0, discount[t] * LAMBDA * after)
        after = torch.where(reset[t], 0.0, reward[t] + follow - value[t] + carry)
        rows.append(after)
    out = torch.stack(rows[::-1])
    gradients = torch.autograd.grad(out, (reward, value), inputs["d_out"].cpu().double())
    return out.detach(), *gradients


def _lambda_reference(inputs: Inputs) -> tuple[Tensor, ...]:
    reward, value, discount = _leaves(inputs, "reward", "value", "discount")
    rows, after = [], value[-1]
    for t in range(len(reward) - 1, -1, -1):
        after = reward[t] + discount[t] * ((1 - LAMBDA) * value[t + 1] + LAMBDA * after)
        rows.append(after)
    out = torch.stack(rows[::-1])
    wanted = torch.autograd.grad(out, (reward, value, discount), inputs["d_out"].cpu().double())
    return out.detach(), *wanted

"""What trajectories were worth and the gradients of that, as plain torch has them: a loop over
steps in float32, and autograd. Knows the cases' inputs.
"""

from __future__ import annotations

import torch
from metabonk.kernels.cases import Case, Inputs
from metabonk.kernels.work.returns import LAMBDA
from torch import Tensor

from .plain import Plain, Step


def returns(case: Case, given: Inputs) -> Plain:
    """Advantages or lambda-returns, and their gradients by autograd, step after step."""
    if case.op == "gae":
        return Plain(dict(given), _gae_step, _gae)
    return Plain(dict(given), _lambda_step, _lambda)


def _gae_step(
    after: Tensor, reward: Tensor, value: Tensor, following: Tensor, discount: Tensor,
    terminated: Tensor, ended: Tensor, reset: Tensor,
) -> Tensor:  # fmt: skip
    follow = torch.where(terminated, 0.0, discount * following)
    carry = torch.where(ended, 0.0, discount * LAMBDA * after)
    return torch.where(reset, 0.0, reward + follow - value + carry)


def _gae(step: Step, given: Inputs) -> tuple[Tensor, ...]:
    leaves = [given[name].detach().requires_grad_() for name in ("reward", "value")]
    reward, value = (t.unbind() for t in leaves)  # its gradient is one stack, not a sum of rows
    terminated, reset, discount = (given[name] for name in ("terminated", "reset", "discount"))
    ended = terminated | given["truncated"]
    rows, after = [], torch.zeros_like(reward[0], requires_grad=True)  # as all that follow it
    for t in range(len(reward) - 1, -1, -1):
        after = step(
            after, reward[t], value[t], value[t + 1], discount[t], terminated[t], ended[t], reset[t]
        )
        rows.append(after)
    out = torch.stack(rows[::-1])
    return out.detach(), *torch.autograd.grad(out, leaves, given["d_out"])


def _lambda_step(after: Tensor, reward: Tensor, following: Tensor, discount: Tensor) -> Tensor:
    return reward + discount * ((1.0 - LAMBDA) * following + LAMBDA * after)


def _lambda(step: Step, given: Inputs) -> tuple[Tensor, ...]:
    names = "reward", "value", "discount"
    leaves = [given[name].detach().requires_grad_() for name in names]
    reward, value, discount = (t.unbind() for t in leaves)
    rows, after = [], value[-1]
    for t in range(len(reward) - 1, -1, -1):
        after = step(after, reward[t], value[t + 1], discount[t])
        rows.append(after)
    out = torch.stack(rows[::-1])
    return out.detach(), *torch.autograd.grad(out, leaves, given["d_out"])

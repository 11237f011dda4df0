"""Lambda-returns over batches of trajectories (Sutton and Barto 2018, 12.1; Hafner et al. 2020).

    R_t = r_t + d_t ((1 - lambda) V_{t+1} + lambda R_{t+1}),   R_T = V_T

reward and d = discount times continuation are [T, N], value is [T + 1, N]; the result is [T, N] in
the dtype of reward.

Differentiable in reward, value and discount. Backends: `native` (csrc/nn/returns.h: float32, one
pass, the same bits on every tier), `triton` (kernels/triton/returns.py: float32 on a GPU, a scan
over tiles of steps) and `torch` (a loop over T; any floating dtype and device). Knows torch and the
core; no losses and no rollouts.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import device
from metabonk.ops.library import bind, choose, define, differentiate, differentiate_never
from metabonk.ops.returns_checks import (
    Backend,
    Plan,
    backends,
    check,
    expect_apart,
    like,
    like_gradients,
    reasons,
)


def reference(reward: Tensor, value: Tensor, discount: Tensor, lambda_: float) -> Tensor:
    """The formula as torch writes it, differentiable."""
    rows, after = [], value[-1]
    for t in range(len(reward) - 1, -1, -1):
        after = reward[t] + discount[t] * ((1.0 - lambda_) * value[t + 1] + lambda_ * after)
        rows.append(after)
    return torch.stack(rows[::-1]) if rows else torch.zeros_like(reward)


def lambda_returns(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, *, backend: Backend = "auto"
) -> Tensor:
    """Returns [T, N]; see the module. Raises as `gae` does."""
    check("lambda_returns", reward, {"value": value, "discount": discount}, {})
    return cast(Tensor, _LAMBDA(reward, value, discount, lambda_, backend))


def plan(reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, *, out: Tensor) -> Plan:
    """Binds `lambda_returns` and `out` [T, N]; raises as `plan_gae` does."""
    tensors = {"reward": reward, "value": value, "discount": discount, "out": out}
    check("lambda_returns", reward, {k: t for k, t in tensors.items() if k != "reward"}, {})
    bind("lambda_returns", tensors)
    expect_apart("lambda_returns", out, {k: t for k, t in tensors.items() if k != "out"})
    batch = _native_lambda(reward, value, discount, lambda_)
    held = tuple(tensors.values())
    return Plan("lambda_returns", _core.nn.LambdaReturnsPlan(batch, out.data_ptr(), held), held)


def _native_lambda(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float
) -> _core.nn.LambdaReturns:
    addresses = reward.data_ptr(), value.data_ptr(), discount.data_ptr()
    return _core.nn.LambdaReturns(reward.shape[0], reward.shape[1], *addresses, lambda_)


def _lambda(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, backend: str
) -> Tensor:
    why_not = reasons({"reward": reward, "value": value, "discount": discount}, {}, backend)
    chosen = choose("lambda_returns", backend, backends(), *why_not)
    if chosen == "torch":
        return reference(reward, value, discount, lambda_)
    if chosen == "triton":
        run = device.family("returns").lambda_returns
        return cast(Tensor, run(reward, value, discount, lambda_))
    check("lambda_returns", reward, {"value": value, "discount": discount}, {})
    out = torch.empty_like(reward)
    _native_lambda(reward, value, discount, lambda_).run(out.data_ptr())
    return out


def _lambda_backward(
    d_out: Tensor, out: Tensor, value: Tensor, discount: Tensor, lambda_: float, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    d_out = d_out.contiguous()  # autograd's own, often an expanded scalar
    given = {"out": out, "value": value, "discount": discount}
    check("lambda_returns", d_out, given, {}, leader="the gradient")
    why_not = reasons({"the gradient": d_out, **given}, {}, backend)
    chosen = choose("lambda_returns", backend, backends(), *why_not)
    if chosen == "triton":
        run = device.family("returns").lambda_returns_gradient
        found: tuple[Tensor, Tensor, Tensor] = run(d_out, out, value, discount, lambda_)
        return found
    d_reward, d_discount = torch.empty_like(d_out), torch.empty_like(d_out)
    d_value = d_out.new_empty(value.shape)
    if chosen == "native":
        native = _native_lambda(d_out, value, discount, lambda_)  # rewards are not read
        into = (d_reward, d_value, d_discount)
        native.gradient(out.data_ptr(), d_out.data_ptr(), *(t.data_ptr() for t in into))
        return into
    after = torch.cat([out[1:], value[-1:]])
    passed = d_value.zero_()[0].clone()
    for t in range(len(d_out)):
        d_reward[t] = d_out[t] + passed
        d_discount[t] = d_reward[t] * ((1.0 - lambda_) * value[t + 1] + lambda_ * after[t])
        passed = d_reward[t] * discount[t] * lambda_
        d_value[t + 1] = d_reward[t] * discount[t] * (1.0 - lambda_)
    d_value[-1] += passed
    return d_reward, d_value, d_discount


def _setup_lambda(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, value, discount, *ctx.rest = inputs
    ctx.save_for_backward(output, value, discount)


def _differentiate_lambda(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return *_LAMBDA_BACKWARD(d_out, *ctx.saved_tensors, *ctx.rest), None, None


_LAMBDA = define(
    "lambda_returns(Tensor reward, Tensor value, Tensor discount, float lambda_, str backend) "
    "-> Tensor",
    _lambda,
    like,
)
_LAMBDA_BACKWARD = define(
    "lambda_returns_backward(Tensor d_out, Tensor out, Tensor value, Tensor discount, "
    "float lambda_, str backend) -> (Tensor, Tensor, Tensor)",
    _lambda_backward,
    lambda d_out, *_: (*like_gradients(d_out), d_out.new_empty(d_out.shape)),
)
differentiate("lambda_returns", _setup_lambda, _differentiate_lambda)
differentiate_never("lambda_returns_backward")

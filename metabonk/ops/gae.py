"""Generalised advantages over batches of trajectories (Schulman et al. 2016).

    delta_t = r_t + gamma_t (1 - terminated_t) V_{t+1} - V_t,          0 where step t resets
    A_t     = delta_t + gamma_t lambda (1 - ended_t) A_{t+1},          0 where step t resets

reward and the flags are [T, N], value is [T + 1, N]; the result is [T, N] in the dtype of reward.
ended is terminated or truncated; is_reset marks steps that are none (an environment turned a final
observation into a first one). Flags are bool or uint8. What a flag switches off may be NaN.

Differentiable in reward and value. Backends: `native` (csrc/nn/returns.h: float32, one pass, the
same bits on every tier), `triton` (kernels/triton/returns.py: float32 on a GPU, a scan over tiles
of steps) and `torch` (a loop over T; any floating dtype and device). Knows torch and the core; no
losses and no rollouts.
"""

from __future__ import annotations

import numbers
from typing import Any, cast

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import device
from metabonk.ops.library import (
    bind,
    choose,
    define,
    differentiate,
    differentiate_never,
)
from metabonk.ops.returns_checks import (
    Backend,
    Plan,
    backends,
    check,
    expect_apart,
    flags_refusal,
    like,
    like_gradients,
    reasons,
)


def reference(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None,
    gamma: float | Tensor,
    gae_lambda: float,
) -> Tensor:
    """The formula as torch writes it, differentiable."""
    reset = torch.zeros_like(terminated).bool() if is_reset is None else is_reset.bool()
    ended = terminated.bool() | truncated.bool()
    gammas = torch.as_tensor(gamma, dtype=reward.dtype, device=reward.device).expand_as(reward)
    rows, after = [], torch.zeros_like(value[0])
    for t in range(len(reward) - 1, -1, -1):
        follow = torch.where(terminated[t].bool(), 0.0, gammas[t] * value[t + 1])
        carry = torch.where(ended[t], 0.0, gammas[t] * gae_lambda * after)
        after = torch.where(reset[t], 0.0, reward[t] + follow - value[t] + carry)
        rows.append(after)
    return torch.stack(rows[::-1]) if rows else torch.zeros_like(reward)


def gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None = None,
    *,
    gamma: float | Tensor,
    gae_lambda: float,
    backend: Backend = "auto",
) -> Tensor:
    """Advantages [T, N]; see the module. gamma: one number, or [T, N] of its own for every step
    (which gets no gradient). What a critic learns is the result + value[:-1].

    Raises ValueError for shapes or dtypes that do not fit, BackendError if `backend` cannot take
    these tensors.
    """
    even, each = _even_or_each(gamma)
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    check("gae", reward, {"value": value, "gamma": each}, flags)
    return cast(
        Tensor,
        _GAE(reward, value, terminated, truncated, is_reset, each, even, gae_lambda, backend),
    )


def plan(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None = None,
    *,
    gamma: float | Tensor,
    gae_lambda: float,
    out: Tensor,
) -> Plan:
    """Binds `gae` and `out` [T, N]: contiguous float32 and flags in main memory. Raises ValueError
    for anything else."""
    even, each = _even_or_each(gamma)
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    check("gae", reward, {"value": value, "gamma": each, "out": out}, flags)
    bind("gae", {"reward": reward, "value": value, "gamma": each, "out": out})
    if reason := flags_refusal({}, flags):
        raise ValueError(f"gae: cannot bind {reason}")
    expect_apart("gae", out, {"reward": reward, "value": value, "gamma": each, **flags})
    tensors = (reward, value, terminated, truncated, is_reset, each)
    batch = _native_gae(*tensors, even, gae_lambda)
    return Plan("gae", _core.nn.GaePlan(batch, out.data_ptr(), (*tensors, out)), tensors)


def _even_or_each(gamma: float | Tensor) -> tuple[float, Tensor | None]:
    """One discount for all steps, or those of every step. Raises TypeError for neither."""
    if isinstance(gamma, Tensor):
        return 1.0, gamma
    if not isinstance(gamma, numbers.Real):
        raise TypeError(
            f"gae: gamma is {type(gamma).__name__}; wanted a number, or a torch tensor [T, N]"
        )
    return float(gamma), None


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _native_gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None,
    each: Tensor | None,
    gamma: float,
    gae_lambda: float,
) -> _core.nn.Gae:
    return _core.nn.Gae(
        reward.shape[0],
        reward.shape[1],
        reward.data_ptr(),
        value.data_ptr(),
        terminated.data_ptr(),
        truncated.data_ptr(),
        _address(is_reset),
        _address(each),
        gamma,
        gae_lambda,
    )


def _gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None,
    each: Tensor | None,
    gamma: float,
    gae_lambda: float,
    backend: str,
) -> Tensor:
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    why_not = reasons({"reward": reward, "value": value, "gamma": each}, flags, backend)
    tensors = (reward, value, terminated, truncated, is_reset)
    chosen = choose("gae", backend, backends(), *why_not)
    if chosen == "torch":
        return reference(*tensors, gamma if each is None else each, gae_lambda)
    if chosen == "triton":
        return cast(Tensor, device.family("returns").gae(*tensors, each, gamma, gae_lambda))
    check("gae", reward, {"value": value, "gamma": each}, flags)
    out = torch.empty_like(reward)
    _native_gae(*tensors, each, gamma, gae_lambda).run(out.data_ptr())
    return out


def _gae_backward(
    d_out: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    is_reset: Tensor | None,
    each: Tensor | None,
    gamma: float,
    gae_lambda: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    d_out = d_out.contiguous()  # autograd's own, often an expanded scalar
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    check("gae", d_out, {"gamma": each}, flags, leader="the gradient")
    why_not = reasons({"the gradient": d_out, "gamma": each}, flags, backend)
    chosen = choose("gae", backend, backends(), *why_not)
    if chosen == "triton":
        given = d_out, terminated, truncated, is_reset, each, gamma, gae_lambda
        return cast(tuple[Tensor, Tensor], device.family("returns").gae_gradient(*given))
    d_reward = torch.empty_like(d_out)
    d_value = d_out.new_empty(len(d_out) + 1, d_out.shape[1])
    if chosen == "native":
        # Neither rewards nor values are read.
        native = _native_gae(d_out, d_out, terminated, truncated, is_reset, each, gamma, gae_lambda)
        native.gradient(d_out.data_ptr(), d_reward.data_ptr(), d_value.data_ptr())
        return d_reward, d_value
    reset = torch.zeros_like(terminated).bool() if is_reset is None else is_reset.bool()
    ended = terminated.bool() | truncated.bool() | reset
    gammas = d_out.new_tensor(gamma).expand_as(d_out) if each is None else each
    passed = d_value.zero_()[0].clone()
    for t in range(len(d_out)):
        d_reward[t] = torch.where(reset[t], 0.0, d_out[t] + passed)
        d_value[t] -= d_reward[t]
        d_value[t + 1] = torch.where(terminated[t].bool(), 0.0, d_reward[t] * gammas[t])
        passed = torch.where(ended[t], 0.0, gammas[t] * gae_lambda * d_reward[t])
    return d_reward, d_value


def _setup_gae(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, terminated, truncated, is_reset, each, *ctx.rest = inputs
    ctx.save_for_backward(terminated, truncated, is_reset, each)


def _differentiate_gae(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    d_reward, d_value = _GAE_BACKWARD(d_out, *ctx.saved_tensors, *ctx.rest)
    return d_reward, d_value, None, None, None, None, None, None, None


_WHEN = "Tensor terminated, Tensor truncated, Tensor? is_reset, Tensor? each, float gamma"
_GAE = define(
    f"gae(Tensor reward, Tensor value, {_WHEN}, float gae_lambda, str backend) -> Tensor",
    _gae,
    like,
)
_GAE_BACKWARD = define(
    f"gae_backward(Tensor d_out, {_WHEN}, float gae_lambda, str backend) -> (Tensor, Tensor)",
    _gae_backward,
    like_gradients,
)
differentiate("gae", _setup_gae, _differentiate_gae)
differentiate_never("gae_backward")

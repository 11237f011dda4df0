"""Returns over batches of trajectories: generalised advantages and lambda-returns.

    gae (Schulman et al. 2016):
        delta_t = r_t + gamma_t (1 - terminated_t) V_{t+1} - V_t,          0 where step t resets
        A_t     = delta_t + gamma_t lambda (1 - ended_t) A_{t+1},          0 where step t resets
    lambda_returns (Sutton and Barto 2018, 12.1; Hafner et al. 2020):
        R_t = r_t + d_t ((1 - lambda) V_{t+1} + lambda R_{t+1}),   R_T = V_T

reward, d = discount times continuation, and the flags are [T, N], value is [T + 1, N]; the results
are [T, N] in the dtype of reward. ended is terminated or truncated; is_reset marks steps that are
none (an environment turned a final observation into a first one). Flags are bool or uint8. What a
flag switches off may be NaN.

Differentiable in reward and value, and lambda_returns in discount. Backends: `native`
(csrc/nn/returns.h: float32, one pass, the same bits on every tier), `triton`
(kernels/triton/returns.py: float32 on a GPU, a scan over tiles of steps) and `torch` (a loop over
T; any floating dtype and device). Knows torch and the core; no losses and no rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

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
    overlap,
    refusal,
    together,
)
from metabonk.ops.ranges import stepping

Backend = Literal["auto", "native", "triton", "torch"]
FLAGS = (torch.bool, torch.uint8)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *device.backends(), "torch")


def gae_reference(
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


def lambda_returns_reference(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float
) -> Tensor:
    """The formula as torch writes it, differentiable."""
    rows, after = [], value[-1]
    for t in range(len(reward) - 1, -1, -1):
        after = reward[t] + discount[t] * ((1.0 - lambda_) * value[t + 1] + lambda_ * after)
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
    each = gamma if isinstance(gamma, Tensor) else None
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    _check("gae", reward, {"value": value, "gamma": each}, flags)
    even = 1.0 if isinstance(gamma, Tensor) else float(gamma)
    return cast(
        Tensor,
        _GAE(reward, value, terminated, truncated, is_reset, each, even, gae_lambda, backend),
    )


def lambda_returns(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, *, backend: Backend = "auto"
) -> Tensor:
    """Returns [T, N]; see the module. Raises as `gae` does."""
    _check("lambda_returns", reward, {"value": value, "discount": discount}, {})
    return cast(Tensor, _LAMBDA(reward, value, discount, lambda_, backend))


class Plan:
    """Returns whose memory is bound: `step()` is one native call that allocates nothing. What is
    bound stays alive, also where only `step` was taken from the plan."""

    def __init__(self, op: str, native: Any, bound: Sequence[Tensor | None]) -> None:
        self.step = stepping(op, _core.nn.returns_kernels, bound, native.step)


def plan_gae(
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
    each = gamma if isinstance(gamma, Tensor) else None
    flags = {"terminated": terminated, "truncated": truncated, "is_reset": is_reset}
    _check("gae", reward, {"value": value, "gamma": each, "out": out}, flags)
    bind("gae", {"reward": reward, "value": value, "gamma": each, "out": out})
    if reason := _refusal({}, flags):
        raise ValueError(f"gae: cannot bind {reason}")
    _apart("gae", out, {"reward": reward, "value": value, "gamma": each, **flags})
    even = 1.0 if isinstance(gamma, Tensor) else float(gamma)
    tensors = (reward, value, terminated, truncated, is_reset, each)
    batch = _native_gae(*tensors, even, gae_lambda)
    return Plan("gae", _core.nn.GaePlan(batch, out.data_ptr(), (*tensors, out)), tensors)


def plan_lambda_returns(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, *, out: Tensor
) -> Plan:
    """Binds `lambda_returns` and `out` [T, N]; raises as `plan_gae` does."""
    tensors = {"reward": reward, "value": value, "discount": discount, "out": out}
    _check("lambda_returns", reward, {k: t for k, t in tensors.items() if k != "reward"}, {})
    bind("lambda_returns", tensors)
    _apart("lambda_returns", out, {k: t for k, t in tensors.items() if k != "out"})
    batch = _native_lambda(reward, value, discount, lambda_)
    held = tuple(tensors.values())
    return Plan("lambda_returns", _core.nn.LambdaReturnsPlan(batch, out.data_ptr(), held), held)


def _check(
    op: str,
    reward: Tensor,
    others: Mapping[str, Tensor | None],
    flags: Mapping[str, Tensor | None],
    leader: str = "reward",
) -> None:
    """Raises ValueError unless all fit reward, or what is called `leader`, [T, N]."""
    if reward.dim() != 2 or not reward.is_floating_point():
        raise ValueError(
            f"{op}: {leader} is {reward.dtype} {list(reward.shape)}; wanted a floating [T, N]"
        )
    together(op, {leader: reward, **others, **flags})
    steps, columns = reward.shape
    for name, tensor in {**others, **flags}.items():
        if tensor is None:
            continue
        rows = steps + 1 if name == "value" else steps
        dtypes = FLAGS if name in flags else (reward.dtype,)
        if tensor.shape != (rows, columns) or tensor.dtype not in dtypes:
            wanted = " or ".join(str(d) for d in dtypes)
            raise ValueError(
                f"{op}: {name} is {tensor.dtype} {list(tensor.shape)}; "
                f"wanted {wanted} [{rows}, {columns}]"
            )


def _refusal(floats: Mapping[str, Tensor | None], flags: Mapping[str, Tensor | None]) -> str:
    reason = refusal(floats)
    for name, flag in flags.items():
        if not reason and flag is not None:
            reason = refusal({name: flag}, flag.dtype)
    return reason


def _apart(op: str, out: Tensor, others: Mapping[str, Tensor | None]) -> None:
    for name, tensor in others.items():
        if tensor is not None and overlap(tensor, out):
            raise ValueError(f"{op}: out shares memory with {name}; wanted memory of its own")


def _reasons(
    floats: Mapping[str, Tensor | None], flags: Mapping[str, Tensor | None], backend: str
) -> tuple[str, str]:
    """Why `native` and `triton` cannot take these."""
    on_device = device.refusal(floats, backend)
    for name, flag in flags.items():
        if not on_device and flag is not None:
            on_device = device.refusal({name: flag}, backend, flag.dtype)
    return _refusal(floats, flags), on_device


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


def _native_lambda(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float
) -> _core.nn.LambdaReturns:
    addresses = reward.data_ptr(), value.data_ptr(), discount.data_ptr()
    return _core.nn.LambdaReturns(reward.shape[0], reward.shape[1], *addresses, lambda_)


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
    reasons = _reasons({"reward": reward, "value": value, "gamma": each}, flags, backend)
    tensors = (reward, value, terminated, truncated, is_reset)
    chosen = choose("gae", backend, backends(), *reasons)
    if chosen == "torch":
        return gae_reference(*tensors, gamma if each is None else each, gae_lambda)
    if chosen == "triton":
        return cast(Tensor, device.family("returns").gae(*tensors, each, gamma, gae_lambda))
    _check("gae", reward, {"value": value, "gamma": each}, flags)
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
    _check("gae", d_out, {"gamma": each}, flags, leader="the gradient")
    reasons = _reasons({"the gradient": d_out, "gamma": each}, flags, backend)
    chosen = choose("gae", backend, backends(), *reasons)
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


def _lambda(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, backend: str
) -> Tensor:
    reasons = _reasons({"reward": reward, "value": value, "discount": discount}, {}, backend)
    chosen = choose("lambda_returns", backend, backends(), *reasons)
    if chosen == "torch":
        return lambda_returns_reference(reward, value, discount, lambda_)
    if chosen == "triton":
        run = device.family("returns").lambda_returns
        return cast(Tensor, run(reward, value, discount, lambda_))
    _check("lambda_returns", reward, {"value": value, "discount": discount}, {})
    out = torch.empty_like(reward)
    _native_lambda(reward, value, discount, lambda_).run(out.data_ptr())
    return out


def _lambda_backward(
    d_out: Tensor, out: Tensor, value: Tensor, discount: Tensor, lambda_: float, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    d_out = d_out.contiguous()  # autograd's own, often an expanded scalar
    given = {"out": out, "value": value, "discount": discount}
    _check("lambda_returns", d_out, given, {}, leader="the gradient")
    reasons = _reasons({"the gradient": d_out, **given}, {}, backend)
    chosen = choose("lambda_returns", backend, backends(), *reasons)
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


def _setup_gae(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, terminated, truncated, is_reset, each, *ctx.rest = inputs
    ctx.save_for_backward(terminated, truncated, is_reset, each)


def _differentiate_gae(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    d_reward, d_value = _GAE_BACKWARD(d_out, *ctx.saved_tensors, *ctx.rest)
    return d_reward, d_value, None, None, None, None, None, None, None


def _setup_lambda(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, value, discount, *ctx.rest = inputs
    ctx.save_for_backward(output, value, discount)


def _differentiate_lambda(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
    return *_LAMBDA_BACKWARD(d_out, *ctx.saved_tensors, *ctx.rest), None, None


def _like(tensor: Tensor, *_: object) -> Tensor:
    return tensor.new_empty(tensor.shape)


def _like_gradients(d_out: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return d_out.new_empty(d_out.shape), d_out.new_empty(d_out.shape[0] + 1, d_out.shape[1])


_WHEN = "Tensor terminated, Tensor truncated, Tensor? is_reset, Tensor? each, float gamma"
_GAE = define(
    f"gae(Tensor reward, Tensor value, {_WHEN}, float gae_lambda, str backend) -> Tensor",
    _gae,
    _like,
)
_GAE_BACKWARD = define(
    f"gae_backward(Tensor d_out, {_WHEN}, float gae_lambda, str backend) -> (Tensor, Tensor)",
    _gae_backward,
    _like_gradients,
)
differentiate("gae", _setup_gae, _differentiate_gae)
differentiate_never("gae_backward")
_LAMBDA = define(
    "lambda_returns(Tensor reward, Tensor value, Tensor discount, float lambda_, str backend) "
    "-> Tensor",
    _lambda,
    _like,
)
_LAMBDA_BACKWARD = define(
    "lambda_returns_backward(Tensor d_out, Tensor out, Tensor value, Tensor discount, "
    "float lambda_, str backend) -> (Tensor, Tensor, Tensor)",
    _lambda_backward,
    lambda d_out, *_: (*_like_gradients(d_out), d_out.new_empty(d_out.shape)),
)
differentiate("lambda_returns", _setup_lambda, _differentiate_lambda)
differentiate_never("lambda_returns_backward")

"""What advantages and lambda-returns share: which tensors fit, which backend can take them, what a
plan of either is.

Knows [T, N], flags and refusals; no formula (gae.py, lambda_returns.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from metabonk import _core
from metabonk.ops import device
from metabonk.ops.library import expect_tensors, overlap, refusal, together
from metabonk.ops.ranges import stepping

Backend = Literal["auto", "native", "triton", "torch"]
FLAGS = (torch.bool, torch.uint8)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *device.backends(), "torch")


class Plan:
    """Returns whose memory is bound: `step()` is one native call that allocates nothing. What is
    bound stays alive, also where only `step` was taken from the plan."""

    def __init__(self, op: str, native: Any, bound: Sequence[Tensor | None]) -> None:
        self.step = stepping(op, _core.nn.returns_kernels, bound, native.step)


def check(
    op: str,
    reward: Tensor,
    others: Mapping[str, Tensor | None],
    flags: Mapping[str, Tensor | None],
    leader: str = "reward",
) -> None:
    """Raises ValueError unless all fit reward, or what is called `leader`, [T, N]."""
    expect_tensors(op, {leader: reward, **others, **flags})
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


def flags_refusal(floats: Mapping[str, Tensor | None], flags: Mapping[str, Tensor | None]) -> str:
    reason = refusal(floats)
    for name, flag in flags.items():
        if not reason and flag is not None:
            reason = refusal({name: flag}, flag.dtype)
    return reason


def expect_apart(op: str, out: Tensor, others: Mapping[str, Tensor | None]) -> None:
    for name, tensor in others.items():
        if tensor is not None and overlap(tensor, out):
            raise ValueError(f"{op}: out shares memory with {name}; wanted memory of its own")


def reasons(
    floats: Mapping[str, Tensor | None], flags: Mapping[str, Tensor | None], backend: str
) -> tuple[str, str]:
    """Why `native` and `triton` cannot take these."""
    on_device = device.refusal(floats, backend)
    for name, flag in flags.items():
        if not on_device and flag is not None:
            on_device = device.refusal({name: flag}, backend, flag.dtype)
    return flags_refusal(floats, flags), on_device


def like(tensor: Tensor, *_: object) -> Tensor:
    return tensor.new_empty(tensor.shape)


def like_gradients(d_out: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return d_out.new_empty(d_out.shape), d_out.new_empty(d_out.shape[0] + 1, d_out.shape[1])

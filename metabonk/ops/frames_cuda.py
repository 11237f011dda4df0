"""The `cuda` backend of operations on frames: the bytes of `native`, made on a GPU.

Each writes into `out` and returns it; checks nothing. Taps of a resize go to the device once per
pair of sizes. Knows the module's launches and torch.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from metabonk.ops import cuda
from metabonk.ops.frames import affine


class Axis(NamedTuple):
    """Along one side: first source coordinate [target] int32, weights [target, taps] int16."""

    first: Tensor
    weights: Tensor

    @property
    def pointers(self) -> tuple[int, int]:
        return self.first.data_ptr(), self.weights.data_ptr()


@functools.lru_cache(maxsize=64)
def _axis(source: int, target: int, area: bool, device: torch.device) -> Axis:
    taps, first, weights = cuda.module().resize_axis(source, target, area)
    return Axis(
        torch.tensor(first, dtype=torch.int32, device=device),
        torch.tensor(weights, dtype=torch.int16, device=device).view(target, taps),
    )


def resize(frames: Tensor, out: Tensor, method: str) -> Tensor:
    """frames [..., H, W, C] -> out [..., height, width, C]."""
    *leading, height, width, channels = frames.shape
    to_height, to_width = out.shape[-3:-1]
    area = method == "area"
    rows = _axis(height, to_height, area, frames.device)
    columns = _axis(width, to_width, area, frames.device)
    with cuda.launching(frames) as stream:
        cuda.module().resize(
            frames.data_ptr(),
            math.prod(leading),
            (height, width, channels, to_height, to_width),
            (rows.weights.shape[1], columns.weights.shape[1]),
            rows.pointers,
            columns.pointers,
            out.data_ptr(),
            stream,
        )
    return out


def grey(frames: Tensor, out: Tensor) -> Tensor:
    """frames [..., 3] -> out [...]."""
    with cuda.launching(frames) as stream:
        cuda.module().grey(frames.data_ptr(), out.numel(), out.data_ptr(), stream)
    return out


def flip(frames: Tensor, out: Tensor, horizontal: bool, vertical: bool) -> Tensor:
    """frames [..., H, W, C] -> out, the same shape."""
    *leading, height, width, channels = frames.shape
    count, sizes = math.prod(leading), (height, width, channels)
    with cuda.launching(frames) as stream:
        cuda.module().flip(
            frames.data_ptr(), count, sizes, horizontal, vertical, out.data_ptr(), stream
        )
    return out


def normalise(
    frames: Tensor, out: Tensor, mean: list[float], std: list[float], planar: bool
) -> Tensor:
    """frames [..., H, W, C] -> out, float32, planar or not; one mean and std per channel."""
    *leading, height, width, channels = frames.shape
    scale, shift = affine(mean, std, channels)
    count, pixels = math.prod(leading), height * width
    numbers = scale.tolist(), shift.tolist()
    with cuda.launching(frames) as stream:
        cuda.module().normalise(
            frames.data_ptr(), count, pixels, *numbers, planar, out.data_ptr(), stream
        )
    return out


def rgb_to_nv12(frames: Tensor, out: Tensor, matrix: str) -> Tensor:
    """frames [..., H, W, 3] -> out [..., H * 3/2, W]."""
    return _convert("rgb_to_nv12", frames, out, frames.shape[:-1], matrix)


def nv12_to_rgb(frames: Tensor, out: Tensor, matrix: str) -> Tensor:
    """frames [..., H * 3/2, W] -> out [..., H, W, 3]."""
    return _convert("nv12_to_rgb", frames, out, out.shape[:-1], matrix)


def _convert(name: str, frames: Tensor, out: Tensor, shape: torch.Size, matrix: str) -> Tensor:
    *leading, height, width = shape
    sizes = math.prod(leading), height, width
    with cuda.launching(frames) as stream:
        getattr(cuda.module(), name)(
            frames.data_ptr(), *sizes, matrix == "bt709", out.data_ptr(), stream
        )
    return out

"""What the operations on frames compute, as numpy writes it in float64, before rounding to bytes.

The definition that `metabonk/ops/frames.py` and its kernels are tested against; shapes and formulas
are there. Knows numpy only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # kr, kb


def resize(frames: Bytes, height: int, width: int, method: str) -> Reals:
    """[..., H, W, C] -> [..., height, width, C]."""
    weights = {"area": area, "bilinear": bilinear}[method]
    rows, columns = weights(frames.shape[-3], height), weights(frames.shape[-2], width)
    found: Reals = np.einsum("hi,...ijc,wj->...hwc", rows, frames, columns, optimize=True)
    return found


def area(source: int, target: int) -> Reals:
    """[target, source]: how much of an output pixel each source pixel covers."""
    edges = np.arange(target + 1) * (source / target)
    at = np.arange(source)
    covered = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    found: Reals = np.clip(covered, 0.0, None) * (target / source)
    return found


def bilinear(source: int, target: int) -> Reals:
    """[target, source]: how near an output pixel's centre is to each source pixel's."""
    centre = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0.0, source - 1.0)
    found: Reals = np.clip(1.0 - np.abs(centre[:, None] - np.arange(source)), 0.0, None)
    return found


def grey(frames: Bytes) -> Reals:
    """[..., H, W, 3] -> [..., H, W]."""
    found: Reals = frames @ np.array([0.299, 0.587, 0.114])
    return found


def flip(frames: Bytes, horizontal: bool, vertical: bool) -> Bytes:
    """[..., H, W, C], mirrored."""
    return frames[..., :: -1 if vertical else 1, :: -1 if horizontal else 1, :]


def rgb_to_nv12(frames: Bytes, matrix: str) -> Reals:
    """[..., H, W, 3] -> [..., H * 3/2, W]."""
    kr, kb = WEIGHTS[matrix]
    *leading, rows, columns, _ = frames.shape
    luma = frames @ np.array([kr, 1.0 - kr - kb, kb])
    mean = frames.reshape(*leading, rows // 2, 2, columns // 2, 2, 3).mean((-4, -2))
    mean_luma = mean @ np.array([kr, 1.0 - kr - kb, kb])
    blue = (mean[..., 2] - mean_luma) / (2.0 - 2.0 * kb)
    red = (mean[..., 0] - mean_luma) / (2.0 - 2.0 * kr)
    chroma = 128.0 + 224.0 / 255.0 * np.stack([blue, red], -1)
    y = 16.0 + 219.0 / 255.0 * luma
    return np.concatenate([y, chroma.reshape(*leading, rows // 2, columns)], -2)


def nv12_to_rgb(frames: Bytes, matrix: str) -> Reals:
    """[..., H * 3/2, W] -> [..., H, W, 3]; not cut to 0..255."""
    kr, kb = WEIGHTS[matrix]
    rows, columns = frames.shape[-2] // 3 * 2, frames.shape[-1]
    luma = (frames[..., :rows, :] - 16.0) * (255.0 / 219.0)
    pairs = frames[..., rows:, :].reshape(*frames.shape[:-2], rows // 2, columns // 2, 2)
    chroma = (pairs.repeat(2, -3).repeat(2, -2) - 128.0) * (255.0 / 224.0)
    blue = luma + chroma[..., 0] * (2.0 - 2.0 * kb)
    red = luma + chroma[..., 1] * (2.0 - 2.0 * kr)
    green: Any = (luma - kr * red - kb * blue) / (1.0 - kr - kb)
    return np.stack([red, green, blue], -1)

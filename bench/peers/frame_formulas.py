"""Operations on frames as one writes them in torch, in float32: what torch.compile is given. Bytes
in, bytes out, channels last. Knows the formulas; imports torch when one is used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import require

SIZE = (360, 640)  # of all frames that are compared
LUMA = (0.299, 0.587, 0.114)


def bilinear(frame: Any, *, height: int, width: int) -> Any:
    torch = require("torch", "train")
    planes = frame.permute(2, 0, 1)[None].float()
    made = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear")
    return _bytes(made[0].permute(1, 2, 0))


def area(frame: Any, *, rows: Any, columns: Any) -> Any:
    """rows, columns: how much of each result a pixel covers. Torch's own "area" takes whole pixels
    only, which is another picture."""
    return _bytes(require("torch", "train").einsum("hi,ijc,wj->hwc", rows, frame.float(), columns))


def grey(frame: Any) -> Any:
    red, green, blue = frame.float().unbind(-1)
    return _bytes(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)


def flip(frame: Any) -> Any:
    return frame.flip(1)


def normalise(frame: Any, *, mean: float, std: float, planar: bool) -> Any:
    made = (frame.float() / 255.0 - mean) / std
    return made.permute(2, 0, 1).contiguous() if planar else made


def rgb_to_nv12(frame: Any, *, matrix: str) -> Any:
    torch = require("torch", "train")
    kr, kb = _weights(matrix)
    height, width, _ = frame.shape

    def luma(rgb: Any) -> Any:
        return kr * rgb[..., 0] + (1.0 - kr - kb) * rgb[..., 1] + kb * rgb[..., 2]

    real = frame.float()
    mean = real.view(height // 2, 2, width // 2, 2, 3).mean((1, 3))
    blue = (mean[..., 2] - luma(mean)) / (2.0 - 2.0 * kb)
    red = (mean[..., 0] - luma(mean)) / (2.0 - 2.0 * kr)
    chroma = 128.0 + 224.0 / 255.0 * torch.stack([blue, red], -1)
    y = 16.0 + 219.0 / 255.0 * luma(real)
    return _bytes(torch.cat([y, chroma.view(height // 2, width)]))


def nv12_to_rgb(frame: Any, *, matrix: str) -> Any:
    torch = require("torch", "train")
    kr, kb = _weights(matrix)
    height, width = frame.shape[0] // 3 * 2, frame.shape[1]
    luma = (frame[:height].float() - 16.0) * (255.0 / 219.0)
    pairs = (frame[height:].view(height // 2, width // 2, 2).float() - 128.0) * (255.0 / 224.0)
    wide = pairs.repeat_interleave(2, 0).repeat_interleave(2, 1)
    blue = luma + wide[..., 0] * (2.0 - 2.0 * kb)
    red = luma + wide[..., 1] * (2.0 - 2.0 * kr)
    green = (luma - kr * red - kb * blue) / (1.0 - kr - kb)
    return _bytes(torch.stack([red, green, blue], -1))


def formula(op: str, settings: dict[str, Any]) -> Callable[[Any], Any]:
    """Of `metabonk.ops.frames.<op>` with these settings."""
    if op != "resize":
        simple = (grey, flip, normalise, rgb_to_nv12, nv12_to_rgb)
        return functools.partial({f.__name__: f for f in simple}[op], **settings)
    height, width, method = (settings[name] for name in ("height", "width", "method"))
    if method == "bilinear":
        return functools.partial(bilinear, height=height, width=width)
    return functools.partial(area, rows=_covered(SIZE[0], height), columns=_covered(SIZE[1], width))


def _covered(source: int, target: int) -> Any:
    from metabonk.ops.frames_reference import area as weights

    return require("torch", "train").from_numpy(weights(source, target)).float()


def reference(op: str, frame: Any, settings: dict[str, Any]) -> Any:
    """What it is in float64, by the definition that our kernels are tested against."""
    from metabonk.ops import frames_reference as exact

    if op == "flip":
        return exact.flip(frame, True, False)
    if op == "normalise":
        made = (frame / 255.0 - settings["mean"]) / settings["std"]
        return np.moveaxis(made, -1, 0) if settings["planar"] else made
    made = getattr(exact, op)(frame, **settings)
    return np.floor(np.clip(made, 0.0, 255.0) + 0.5)


def _weights(matrix: str) -> tuple[float, float]:
    from metabonk.ops.frames_reference import WEIGHTS

    return WEIGHTS[matrix]


def _bytes(real: Any) -> Any:
    return (real + 0.5).floor().clamp(0.0, 255.0).byte()

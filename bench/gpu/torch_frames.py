"""Operations on frames as plain torch has them: float32, rounded to bytes where the op's are.

A byte may differ by one from the op's where a value is halfway. Knows the ops' constants and the
cases' inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from metabonk.kernels.cases import Case, Inputs
from torch import Tensor
from torch.nn import functional

from metabonk.ops.frames_reference import WEIGHTS
from metabonk.ops.frames_torch import LUMA

from .plain import Plain

MATRIX = "bt709"  # of all cases


def plain(case: Case, given: Inputs) -> Plain:
    """Of a case whose op is frames.*."""
    name = case.op.removeprefix("frames.")
    frames = given["frames"]
    if name == "normalise":
        numbers = {n: torch.tensor(case.facts[n], device=frames.device) for n in ("mean", "std")}
        return Plain({"frames": frames, **numbers}, _normalise)
    if name == "grey":
        luma = torch.tensor(LUMA, device=frames.device)
        return Plain({"frames": frames, "luma": luma}, _grey)
    if name == "resize":
        target = len(given["row_weights"]), len(given["column_weights"])
        return Plain({"frames": frames}, functools.partial(_resize, target))
    return Plain({"frames": frames}, STEPS[name])


def _rounded(real: Tensor) -> Tensor:
    return (real + 0.5).floor().clamp(0.0, 255.0).to(torch.uint8)


def _grey(frames: Tensor, luma: Tensor) -> tuple[Tensor, ...]:
    return (_rounded((frames.float() * luma).sum(-1)),)


def _flip(frames: Tensor) -> tuple[Tensor, ...]:
    return (frames.flip((1, 2)),)


def _normalise(frames: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, ...]:
    return (((frames.float() / 255.0 - mean) / std).permute(0, 3, 1, 2).contiguous(),)


def _resize(target: tuple[int, int], frames: Tensor) -> tuple[Tensor, ...]:
    planes = frames.permute(0, 3, 1, 2).float()
    small = functional.interpolate(planes, size=target, mode="area")
    return (_rounded(small).permute(0, 2, 3, 1).contiguous(),)


def _rgb_to_nv12(frames: Tensor) -> tuple[Tensor, ...]:
    kr, kb = WEIGHTS[MATRIX]
    count, rows, columns, _ = frames.shape
    red, green, blue = frames.float().unbind(-1)
    luma = kr * red + (1.0 - kr - kb) * green + kb * blue

    def halved(plane: Tensor) -> Tensor:
        return plane.view(count, rows // 2, 2, columns // 2, 2).mean((2, 4))

    mean = halved(luma)
    from_blue = (halved(blue) - mean) / (2.0 - 2.0 * kb)
    from_red = (halved(red) - mean) / (2.0 - 2.0 * kr)
    chroma = 128.0 + 224.0 / 255.0 * torch.stack([from_blue, from_red], -1)
    y = 16.0 + 219.0 / 255.0 * luma
    return (_rounded(torch.cat([y, chroma.view(count, rows // 2, columns)], 1)),)


def _nv12_to_rgb(frames: Tensor) -> tuple[Tensor, ...]:
    kr, kb = WEIGHTS[MATRIX]
    count, columns = len(frames), frames.shape[2]
    rows = frames.shape[1] // 3 * 2
    luma = (frames[:, :rows].float() - 16.0) * (255.0 / 219.0)
    pairs = frames[:, rows:].reshape(count, rows // 2, columns // 2, 2)
    wide = pairs.repeat_interleave(2, 1).repeat_interleave(2, 2)
    chroma = (wide.float() - 128.0) * (255.0 / 224.0)
    blue = luma + chroma[..., 0] * (2.0 - 2.0 * kb)
    red = luma + chroma[..., 1] * (2.0 - 2.0 * kr)
    green = (luma - kr * red - kb * blue) / (1.0 - kr - kb)
    return (_rounded(torch.stack([red, green, blue], -1)),)


STEPS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "flip": _flip,
    "rgb_to_nv12": _rgb_to_nv12,
    "nv12_to_rgb": _nv12_to_rgb,
}

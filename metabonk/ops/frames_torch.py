"""Operations on frames of bytes as torch tensors: the traced door of `metabonk.ops.frames`, whose
module has the formulas and the shapes.

    small = resize(frames, 84, 84)       uint8 [..., H, W, C] -> uint8 [..., 84, 84, C]

Frames are uint8 tensors, channels last; results are new tensors on their device. Bytes have no
gradients and neither have these operations. Backends: `native` (the kernels of the numpy door,
contiguous frames in main memory), `cuda` (frames_cuda.py: the same bytes on a GPU, where asked for
by name) and `torch` (any device and strides; the formulas in float64, rounded). The last may differ
by 1 where a value is halfway. Plans are the numpy door's, bound to `tensor.numpy()`, which shares
memory. Knows torch, numpy and that door; no files and no codecs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor

from metabonk.ops import cuda, frames_cuda, frames_reference
from metabonk.ops import frames as door
from metabonk.ops.frames import MATRICES, METHODS, MOST_CHANNELS, Matrix, Method
from metabonk.ops.library import choose, define, expect_tensors, refusal

LUMA = (0.299, 0.587, 0.114)


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", *cuda.backends(), "torch")


def resize(
    frames: Tensor, height: int, width: int, *, method: Method = "area", backend: str = "auto"
) -> Tensor:
    """[..., H, W, C] -> [..., height, width, C], C up to 16.

    Raises ValueError that names the argument which does not fit, BackendError if `backend` is not
    there or cannot take the tensor as it lies. So do all operations here.
    """
    _check("resize", frames)
    _one_of("resize", "method", method, METHODS)
    door.check_size(height, width)
    return cast(Tensor, _RESIZE(frames, height, width, method, backend))


def grey(frames: Tensor, *, backend: str = "auto") -> Tensor:
    """RGB [..., H, W, 3] -> [..., H, W]."""
    _check("grey", frames, 3)
    return cast(Tensor, _GREY(frames, backend))


def flip(
    frames: Tensor, *, horizontal: bool = True, vertical: bool = False, backend: str = "auto"
) -> Tensor:
    """Mirrored [..., H, W, C]: columns from right to left, rows from bottom to top, or both."""
    _check("flip", frames)
    return cast(Tensor, _FLIP(frames, horizontal, vertical, backend))


def normalise(
    frames: Tensor,
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
    *,
    planar: bool = False,
    backend: str = "auto",
) -> Tensor:
    """float32 [..., H, W, C], or with `planar` [..., C, H, W]; the same bits on every backend.

    mean, std: of the channels, in units in which bytes go from 0 to 1; std above 0.
    """
    _check("normalise", frames)
    each = [
        [float(x)] if isinstance(x, float | int) else [float(n) for n in x] for x in (mean, std)
    ]
    for name, numbers in zip(("mean", "std"), each, strict=True):
        if len(numbers) not in (1, frames.shape[-1]):
            raise ValueError(
                f"normalise: {name} has {len(numbers)} numbers; wanted 1 or {frames.shape[-1]}"
            )
    return cast(Tensor, _NORMALISE(frames, each[0], each[1], planar, backend))


def rgb_to_nv12(frames: Tensor, *, matrix: Matrix = "bt709", backend: str = "auto") -> Tensor:
    """RGB [..., H, W, 3] -> NV12 [..., H * 3/2, W]; H and W are even."""
    _check("rgb_to_nv12", frames, 3)
    _one_of("rgb_to_nv12", "matrix", matrix, MATRICES)
    if frames.shape[-3] % 2 or frames.shape[-2] % 2:
        raise ValueError(f"rgb_to_nv12: frames is {list(frames.shape)}; wanted even H and W")
    return cast(Tensor, _TO_NV12(frames, matrix, backend))


def nv12_to_rgb(frames: Tensor, *, matrix: Matrix = "bt709", backend: str = "auto") -> Tensor:
    """NV12 [..., H * 3/2, W] -> RGB [..., H, W, 3], cut to 0..255."""
    _one_of("nv12_to_rgb", "matrix", matrix, MATRICES)
    expect_tensors("nv12_to_rgb", {"frames": frames})
    shape = frames.shape
    fits = frames.dim() >= 2 and not (shape[-2] % 3 or shape[-1] % 2 or 0 in shape[-2:])
    if frames.dtype != torch.uint8 or not fits:
        raise ValueError(
            f"nv12_to_rgb: frames is {frames.dtype} {list(shape)}; "
            "wanted torch.uint8 [..., H * 3/2, W] with even H and W"
        )
    return cast(Tensor, _FROM_NV12(frames, matrix, backend))


def _check(op: str, frames: Tensor, channels: int = 0) -> None:
    expect_tensors(op, {"frames": frames})
    shape = frames.shape
    fits = frames.dim() >= 3 and 0 not in shape[-3:]
    fits = fits and (shape[-1] == channels if channels else shape[-1] <= MOST_CHANNELS)
    if frames.dtype != torch.uint8 or not fits:
        last = f"{channels} channels" if channels else f"1 to {MOST_CHANNELS} channels"
        raise ValueError(
            f"{op}: frames is {frames.dtype} {list(shape)}; wanted torch.uint8 [..., H, W, {last}]"
        )


def _one_of(op: str, name: str, got: str, wanted: Sequence[str]) -> None:
    if got not in wanted:
        raise ValueError(f"{op}: {name} is {got!r}; wanted {' or '.join(map(repr, wanted))}")


def _chosen(op: str, frames: Tensor, backend: str) -> str:
    given = {"frames": frames}
    why_not = refusal(given, torch.uint8), "", cuda.refusal(given, backend, torch.uint8)
    return choose(op, backend, backends(), *why_not)


def _run(
    plan: Callable[..., door.Plan], frames: Tensor, out: Tensor, *rest: Any, **how: Any
) -> Tensor:
    """The numpy door's plan on memory that both sides see."""
    plan(frames.numpy(), *rest, **how, out=out.numpy()).step()
    return out


def _rounded(real: Tensor) -> Tensor:
    return real.add(0.5).floor_().clamp_(0.0, 255.0).to(torch.uint8).contiguous()


def _on(frames: Tensor, weights: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(weights).to(frames.device)


def _resize(frames: Tensor, height: int, width: int, method: str, backend: str) -> Tensor:
    chosen = _chosen("resize", frames, backend)
    if chosen == "cuda":
        return frames_cuda.resize(frames, _resize_fake(frames, height, width), method)
    if chosen == "native":
        out = _resize_fake(frames, height, width)
        return _run(door.plan_resize, frames, out, height, width, method=method)
    weights = {"area": frames_reference.area, "bilinear": frames_reference.bilinear}[method]
    rows, columns = (
        _on(frames, weights(source, target))
        for source, target in zip(frames.shape[-3:-1], (height, width), strict=True)
    )
    return _rounded(torch.einsum("hi,...ijc,wj->...hwc", rows, frames.double(), columns))


def _resize_fake(frames: Tensor, height: int, width: int, *_: object) -> Tensor:
    return frames.new_empty((*frames.shape[:-3], height, width, frames.shape[-1]))


def _grey(frames: Tensor, backend: str) -> Tensor:
    chosen = _chosen("grey", frames, backend)
    if chosen == "cuda":
        return frames_cuda.grey(frames, _grey_fake(frames))
    if chosen == "native":
        return _run(door.plan_grey, frames, _grey_fake(frames))
    return _rounded(frames.double() @ frames.new_tensor(LUMA, dtype=torch.float64))


def _grey_fake(frames: Tensor, *_: object) -> Tensor:
    return frames.new_empty(frames.shape[:-1])


def _flip(frames: Tensor, horizontal: bool, vertical: bool, backend: str) -> Tensor:
    chosen = _chosen("flip", frames, backend)
    if chosen == "cuda":
        return frames_cuda.flip(frames, _flip_fake(frames), horizontal, vertical)
    if chosen == "native":
        out = _flip_fake(frames)
        return _run(door.plan_flip, frames, out, horizontal=horizontal, vertical=vertical)
    axes = [axis for axis, asked in ((-2, horizontal), (-3, vertical)) if asked]
    return frames.flip(axes).contiguous() if axes else frames.clone().contiguous()


def _flip_fake(frames: Tensor, *_: object) -> Tensor:
    return frames.new_empty(frames.shape)


def _normalise(
    frames: Tensor, mean: Sequence[float], std: Sequence[float], planar: bool, backend: str
) -> Tensor:
    # One number for all channels is what the numpy door takes as such.
    mean, std = (n * frames.shape[-1] if len(n) == 1 else n for n in (list(mean), list(std)))
    chosen = _chosen("normalise", frames, backend)
    if chosen == "cuda":
        return frames_cuda.normalise(
            frames, _normalise_fake(frames, mean, std, planar), mean, std, planar
        )
    if chosen == "native":
        out = _normalise_fake(frames, mean, std, planar)
        return _run(door.plan_normalise, frames, out, mean, std, planar=planar)
    scale, shift = (_on(frames, a) for a in door.affine(mean, std, frames.shape[-1]))
    found = frames.float() * scale + shift
    return found.movedim(-1, -3).contiguous() if planar else found.contiguous()


def _normalise_fake(frames: Tensor, mean: object, std: object, planar: bool, *_: object) -> Tensor:
    *leading, rows, columns, channels = frames.shape
    shape = (channels, rows, columns) if planar else (rows, columns, channels)
    return frames.new_empty((*leading, *shape), dtype=torch.float32)


def _to_nv12(frames: Tensor, matrix: str, backend: str) -> Tensor:
    chosen = _chosen("rgb_to_nv12", frames, backend)
    if chosen == "cuda":
        return frames_cuda.rgb_to_nv12(frames, _to_nv12_fake(frames), matrix)
    if chosen == "native":
        return _run(door.plan_rgb_to_nv12, frames, _to_nv12_fake(frames), matrix=matrix)
    kr, kb = frames_reference.WEIGHTS[matrix]
    *leading, rows, columns, _ = frames.shape
    luma = frames.new_tensor([kr, 1.0 - kr - kb, kb], dtype=torch.float64)
    real = frames.double()
    mean = real.reshape(*leading, rows // 2, 2, columns // 2, 2, 3).mean((-4, -2))
    of_mean = mean @ luma
    blue = (mean[..., 2] - of_mean) / (2.0 - 2.0 * kb)
    red = (mean[..., 0] - of_mean) / (2.0 - 2.0 * kr)
    chroma = 128.0 + 224.0 / 255.0 * torch.stack([blue, red], -1)
    y = 16.0 + 219.0 / 255.0 * (real @ luma)
    return _rounded(torch.cat([y, chroma.reshape(*leading, rows // 2, columns)], -2))


def _to_nv12_fake(frames: Tensor, *_: object) -> Tensor:
    *leading, rows, columns, _channels = frames.shape
    return frames.new_empty((*leading, rows * 3 // 2, columns))


def _from_nv12(frames: Tensor, matrix: str, backend: str) -> Tensor:
    chosen = _chosen("nv12_to_rgb", frames, backend)
    if chosen == "cuda":
        return frames_cuda.nv12_to_rgb(frames, _from_nv12_fake(frames), matrix)
    if chosen == "native":
        return _run(door.plan_nv12_to_rgb, frames, _from_nv12_fake(frames), matrix=matrix)
    kr, kb = frames_reference.WEIGHTS[matrix]
    rows, columns = frames.shape[-2] // 3 * 2, frames.shape[-1]
    luma = (frames[..., :rows, :].double() - 16.0) * (255.0 / 219.0)
    pairs = frames[..., rows:, :].reshape(*frames.shape[:-2], rows // 2, columns // 2, 2)
    wide = pairs.repeat_interleave(2, -3).repeat_interleave(2, -2)
    chroma = (wide.double() - 128.0) * (255.0 / 224.0)
    blue = luma + chroma[..., 0] * (2.0 - 2.0 * kb)
    red = luma + chroma[..., 1] * (2.0 - 2.0 * kr)
    green = (luma - kr * red - kb * blue) / (1.0 - kr - kb)
    return _rounded(torch.stack([red, green, blue], -1))


def _from_nv12_fake(frames: Tensor, *_: object) -> Tensor:
    return frames.new_empty((*frames.shape[:-2], frames.shape[-2] // 3 * 2, frames.shape[-1], 3))


_RESIZE = define(
    "frames_resize(Tensor frames, int height, int width, str method, str backend) -> Tensor",
    _resize,
    _resize_fake,
)
_GREY = define("frames_grey(Tensor frames, str backend) -> Tensor", _grey, _grey_fake)
_FLIP = define(
    "frames_flip(Tensor frames, bool horizontal, bool vertical, str backend) -> Tensor",
    _flip,
    _flip_fake,
)
_NORMALISE = define(
    "frames_normalise(Tensor frames, float[] mean, float[] std, bool planar, str backend) "
    "-> Tensor",
    _normalise,
    _normalise_fake,
)
_TO_NV12 = define(
    "frames_rgb_to_nv12(Tensor frames, str matrix, str backend) -> Tensor", _to_nv12, _to_nv12_fake
)
_FROM_NV12 = define(
    "frames_nv12_to_rgb(Tensor frames, str matrix, str backend) -> Tensor",
    _from_nv12,
    _from_nv12_fake,
)

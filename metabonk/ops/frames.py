"""Frames of bytes: resizing, grey, flipping, normalising, and RGB to and from NV12.

Frames are numpy uint8 [..., H, W, C], C-contiguous; for torch tensors there is frames_torch.py, the
same operations traced. The formulas, before rounding to the nearest byte:

    resize     area: the mean over what an output pixel covers; bilinear: between pixel centres,
               edges repeated, no smoothing before shrinking (align_corners=False)
    grey       0.299 R + 0.587 G + 0.114 B (BT.601 luma, full range)
    normalise  (x / 255 - mean_c) / std_c, float32
    NV12       Y = 16 + 219/255 L, Cb = 128 + 224/255 (B - L) / (2 - 2 kb), Cr likewise of R and kr,
               with L = kr R + kg G + kb B; bt601: kr 0.299, kb 0.114; bt709: 0.2126, 0.0722 (ITU-R
               BT.601-7, BT.709-6; limited range). Cb and Cr are those of the mean over 2 x 2
               pixels, and count for all four on the way back. [..., H, W, 3] <-> [..., H * 3/2, W]:
               the rows of Y, then rows of Cb, Cr pairs

Backends: `native` (csrc/video/frames.h: whole numbers, the same bytes on every tier, one thread)
and `numpy` (`reference`'s float64, rounded); they may differ by 1 where a value is halfway. Every
operation has a plan. Knows numpy and the core; no torch, no files and no codecs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import frames_reference as reference
from metabonk.ops.ranges import stepping

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Backend = Literal["auto", "native", "numpy"]
Method = Literal["area", "bilinear"]
Matrix = Literal["bt601", "bt709"]
MATRICES: tuple[Matrix, ...] = get_args(Matrix)
METHODS: tuple[Method, ...] = get_args(Method)
MOST_CHANNELS = 16
MOST_PIXELS = 65_536  # of a side of what is resized to


def backends() -> tuple[str, ...]:
    """What can run here, the one that is taken first in front."""
    return ("native", "numpy")


class Plan:
    """An operation bound to its memory: `step()` is one native call that allocates nothing. What
    is bound stays alive, also where only `step` was taken. out: where the result goes."""

    def __init__(self, op: str, native: Any, frames: Bytes, out: npt.NDArray[Any]) -> None:
        self.out = out
        loops = _core.video.frame_kernels
        self.step = stepping(f"frames_{op}", loops, (frames, out), native.step)


def resize(
    frames: Bytes,
    height: int,
    width: int,
    *,
    method: Method = "area",
    out: Bytes | None = None,
    backend: Backend = "auto",
) -> Bytes:
    """[..., H, W, C] -> [..., height, width, C], C up to 16; written into `out` where given.

    Raises TypeError or ValueError that names the argument, and BackendError; `out` is then as it
    was. So do all operations here.
    """
    if _chosen("resize", backend) == "native":
        plan = plan_resize(frames, height, width, method=method, out=out)
        plan.step()
        return plan.out
    *leading, _, _, channels = _check_frames("resize", frames)
    check_size(height, width)
    _one_of("resize", "method", method, METHODS)
    out = _output("resize", out, (*leading, height, width, channels), np.uint8, frames)
    return _rounded(reference.resize(frames, height, width, method), out)


def plan_resize(
    frames: Bytes, height: int, width: int, *, method: Method = "area", out: Bytes | None = None
) -> Plan:
    """`resize` bound to `frames` and to `out`, which is made where it is not given."""
    *leading, rows, columns, channels = _check_frames("resize", frames)
    check_size(height, width)
    _one_of("resize", "method", method, METHODS)
    out = _output("resize", out, (*leading, height, width, channels), np.uint8, frames)
    resizer = _resizer(rows, columns, channels, height, width, method == "area")
    count = math.prod(leading)
    native = _core.video.resize(resizer, _at(frames), count, _at(out), (frames, out))
    return Plan("resize", native, frames, out)


def grey(frames: Bytes, *, out: Bytes | None = None, backend: Backend = "auto") -> Bytes:
    """RGB [..., H, W, 3] -> [..., H, W]; see the module."""
    if _chosen("grey", backend) == "native":
        plan = plan_grey(frames, out=out)
        plan.step()
        return plan.out
    *shape, _ = _check_frames("grey", frames, 3)
    return _rounded(reference.grey(frames), _output("grey", out, shape, np.uint8, frames))


def plan_grey(frames: Bytes, *, out: Bytes | None = None) -> Plan:
    """`grey` bound to `frames` and to `out`, which is made where it is not given."""
    *shape, _ = _check_frames("grey", frames, 3)
    out = _output("grey", out, shape, np.uint8, frames)
    native = _core.video.grey(_at(frames), math.prod(shape), _at(out), (frames, out))
    return Plan("grey", native, frames, out)


def flip(
    frames: Bytes,
    *,
    horizontal: bool = True,
    vertical: bool = False,
    out: Bytes | None = None,
    backend: Backend = "auto",
) -> Bytes:
    """Mirrored [..., H, W, C]: columns from right to left, rows from bottom to top, or both."""
    if _chosen("flip", backend) == "native":
        plan = plan_flip(frames, horizontal=horizontal, vertical=vertical, out=out)
        plan.step()
        return plan.out
    shape = _check_frames("flip", frames)
    out = _output("flip", out, shape, np.uint8, frames)
    out[...] = reference.flip(frames, horizontal, vertical)
    return out


def plan_flip(
    frames: Bytes, *, horizontal: bool = True, vertical: bool = False, out: Bytes | None = None
) -> Plan:
    """`flip` bound to `frames` and to `out`, which is made where it is not given."""
    *leading, rows, columns, channels = _check_frames("flip", frames)
    out = _output("flip", out, frames.shape, np.uint8, frames)
    count = math.prod(leading)
    native = _core.video.flip(
        _at(frames), count, rows, columns, channels, horizontal, vertical, _at(out), (frames, out)
    )
    return Plan("flip", native, frames, out)


def normalise(
    frames: Bytes,
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
    *,
    planar: bool = False,
    out: Floats | None = None,
    backend: Backend = "auto",
) -> Floats:
    """float32 [..., H, W, C], or with `planar` [..., C, H, W], as networks take them.

    mean, std: of the channels, in units in which bytes go from 0 to 1; std above 0. Within 2 ulp of
    the formula, the same bits on every backend.
    """
    if _chosen("normalise", backend) == "native":
        plan = plan_normalise(frames, mean, std, planar=planar, out=out)
        plan.step()
        return plan.out
    shape = _check_frames("normalise", frames)
    scale, shift = affine(mean, std, shape[-1])
    out = _output("normalise", out, _laid(shape, planar), np.float32, frames)
    found = frames.astype(np.float32) * scale + shift
    out[...] = np.moveaxis(found, -1, -3) if planar else found
    return out


def plan_normalise(
    frames: Bytes,
    mean: Sequence[float] | float = 0.0,
    std: Sequence[float] | float = 1.0,
    *,
    planar: bool = False,
    out: Floats | None = None,
) -> Plan:
    """`normalise` bound to `frames` and to `out`, which is made where it is not given."""
    *leading, rows, columns, channels = shape = _check_frames("normalise", frames)
    scale, shift = affine(mean, std, channels)
    out = _output("normalise", out, _laid(shape, planar), np.float32, frames)
    native = _core.video.normalise(
        _at(frames),
        math.prod(leading),
        rows * columns,
        scale.tolist(),
        shift.tolist(),
        planar,
        _at(out),
        (frames, out),
    )
    return Plan("normalise", native, frames, out)


def rgb_to_nv12(
    frames: Bytes, *, matrix: Matrix = "bt709", out: Bytes | None = None, backend: Backend = "auto"
) -> Bytes:
    """RGB [..., H, W, 3] -> NV12 [..., H * 3/2, W]; H and W are even. See the module."""
    if _chosen("rgb_to_nv12", backend) == "native":
        plan = plan_rgb_to_nv12(frames, matrix=matrix, out=out)
        plan.step()
        return plan.out
    shape = _nv12_of(_check_frames("rgb_to_nv12", frames, 3))
    _one_of("rgb_to_nv12", "matrix", matrix, MATRICES)
    out = _output("rgb_to_nv12", out, shape, np.uint8, frames)
    return _rounded(reference.rgb_to_nv12(frames, matrix), out)


def plan_rgb_to_nv12(frames: Bytes, *, matrix: Matrix = "bt709", out: Bytes | None = None) -> Plan:
    """`rgb_to_nv12` bound to `frames` and to `out`, which is made where it is not given."""
    *leading, rows, columns, _ = shape = _check_frames("rgb_to_nv12", frames, 3)
    _one_of("rgb_to_nv12", "matrix", matrix, MATRICES)
    out = _output("rgb_to_nv12", out, _nv12_of(shape), np.uint8, frames)
    count = math.prod(leading)
    native = _core.video.rgb_to_nv12(
        _at(frames), count, rows, columns, matrix == "bt709", _at(out), (frames, out)
    )
    return Plan("rgb_to_nv12", native, frames, out)


def nv12_to_rgb(
    frames: Bytes, *, matrix: Matrix = "bt709", out: Bytes | None = None, backend: Backend = "auto"
) -> Bytes:
    """NV12 [..., H * 3/2, W] -> RGB [..., H, W, 3], cut to 0..255. See the module."""
    if _chosen("nv12_to_rgb", backend) == "native":
        plan = plan_nv12_to_rgb(frames, matrix=matrix, out=out)
        plan.step()
        return plan.out
    shape = _check_nv12(frames)
    _one_of("nv12_to_rgb", "matrix", matrix, MATRICES)
    out = _output("nv12_to_rgb", out, shape, np.uint8, frames)
    return _rounded(reference.nv12_to_rgb(frames, matrix), out)


def plan_nv12_to_rgb(frames: Bytes, *, matrix: Matrix = "bt709", out: Bytes | None = None) -> Plan:
    """`nv12_to_rgb` bound to `frames` and to `out`, which is made where it is not given."""
    *leading, rows, columns, _ = shape = _check_nv12(frames)
    _one_of("nv12_to_rgb", "matrix", matrix, MATRICES)
    out = _output("nv12_to_rgb", out, shape, np.uint8, frames)
    count = math.prod(leading)
    native = _core.video.nv12_to_rgb(
        _at(frames), count, rows, columns, matrix == "bt709", _at(out), (frames, out)
    )
    return Plan("nv12_to_rgb", native, frames, out)


@functools.lru_cache(maxsize=64)
def _resizer(
    rows: int, columns: int, channels: int, height: int, width: int, area: bool
) -> _core.video.Resizer:
    return _core.video.Resizer(rows, columns, channels, height, width, area)


def _chosen(op: str, backend: str) -> str:
    if backend == "auto":
        return backends()[0]
    if backend not in backends():
        raise BackendError(f"{op}: no backend {backend!r}; here are: {', '.join(backends())}")
    return backend


def _at(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def check_size(height: int, width: int) -> None:
    """Raises ValueError for what no resized frame can have."""
    sizes = height, width
    if not all(isinstance(n, int | np.integer) and 1 <= n <= MOST_PIXELS for n in sizes):
        raise ValueError(
            f"resize: height, width are {height}, {width}; wanted whole numbers from 1 to "
            f"{MOST_PIXELS:,}"
        )


def _one_of(op: str, name: str, got: str, wanted: Sequence[str]) -> None:
    if got not in wanted:
        raise ValueError(f"{op}: {name} is {got!r}; wanted {' or '.join(map(repr, wanted))}")


def _check_array(op: str, name: str, array: Any, dtype: type) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{op}: {name} is a {type(array).__name__}; wanted a numpy array")
    if array.dtype != dtype:
        raise TypeError(f"{op}: {name} is {array.dtype}; wanted {np.dtype(dtype)}")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(
            f"{op}: {name} has strides {array.strides} at an address of {_at(array) % 64} modulo "
            "64; wanted a C-contiguous, aligned array, see numpy.ascontiguousarray"
        )


def _check_frames(op: str, frames: Any, channels: int | None = None) -> tuple[int, ...]:
    _check_array(op, "frames", frames, np.uint8)
    shape: tuple[int, ...] = frames.shape
    wanted = range(1, MOST_CHANNELS + 1) if channels is None else (channels,)
    if len(shape) < 3 or shape[-1] not in wanted or min(shape[-3:]) < 1:
        last = f"1 to {MOST_CHANNELS} channels" if channels is None else f"{channels} channels"
        raise ValueError(f"{op}: frames is {list(shape)}; wanted [..., H, W, {last}]")
    return shape


def _nv12_of(shape: Sequence[int]) -> tuple[int, ...]:
    *leading, rows, columns, _ = shape
    if rows % 2 or columns % 2:
        raise ValueError(f"rgb_to_nv12: frames is {list(shape)}; wanted even H and W")
    return *leading, rows * 3 // 2, columns


def _check_nv12(frames: Any) -> tuple[int, ...]:
    _check_array("nv12_to_rgb", "frames", frames, np.uint8)
    shape: tuple[int, ...] = frames.shape
    if len(shape) < 2 or shape[-2] % 3 or shape[-1] % 2 or min(shape[-2:]) < 1:
        raise ValueError(
            f"nv12_to_rgb: frames is {list(shape)}; wanted [..., H * 3/2, W] with even H and W"
        )
    return *shape[:-2], shape[-2] // 3 * 2, shape[-1], 3


def _output(
    op: str, out: Any, shape: Sequence[int], dtype: type, frames: Bytes
) -> npt.NDArray[Any]:
    if out is None:
        return np.empty(tuple(shape), dtype)
    _check_array(op, "out", out, dtype)
    if out.shape != tuple(shape):
        raise ValueError(f"{op}: out is {list(out.shape)}; wanted {list(shape)}")
    if not out.flags.writeable:
        raise ValueError(f"{op}: out is read-only; wanted an array that can be written")
    if np.may_share_memory(out, frames):
        raise ValueError(f"{op}: out shares memory with frames; wanted memory of its own")
    checked: npt.NDArray[Any] = out
    return checked


def _laid(shape: tuple[int, ...], planar: bool) -> tuple[int, ...]:
    return (*shape[:-3], shape[-1], *shape[-3:-1]) if planar else shape


def affine(mean: Any, std: Any, channels: int) -> tuple[Floats, Floats]:
    """scale and shift [channels], so that x * scale + shift is (x / 255 - mean) / std."""
    each = []
    for name, given in (("mean", mean), ("std", std)):
        numbers = np.asarray(given, np.float64)
        if numbers.shape not in ((), (channels,)) or not np.isfinite(numbers).all():
            raise ValueError(
                f"normalise: {name} is {given!r}; wanted a finite number, or {channels}"
            )
        each.append(np.broadcast_to(numbers, (channels,)))
    if (each[1] <= 0.0).any():
        raise ValueError(f"normalise: std is {std!r}; wanted numbers above 0")
    with np.errstate(over="ignore"):
        scale, shift = (1.0 / (255.0 * each[1])).astype(np.float32), -each[0] / each[1]
        found: tuple[Floats, Floats] = scale, shift.astype(np.float32)
    if not all(np.isfinite(numbers).all() for numbers in found):
        raise ValueError(f"normalise: std is {std!r}; wanted numbers that float32 can divide by")
    return found


def _rounded(real: npt.NDArray[np.float64], out: Bytes) -> Bytes:
    out[...] = np.clip(np.floor(real + 0.5), 0.0, 255.0)
    return out

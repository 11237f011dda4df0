"""The CUDA kernels for frames give the bytes of `metabonk.ops.frames`, on the emulated device.

Taps and coefficients are made here once more from the reference's real numbers.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from emulated_device import Emulated, Guarded, address, aligned, pointer

from metabonk.ops import frames, frames_reference

Bytes = npt.NDArray[np.uint8]
NONE = ctypes.c_void_p(None)


class Colours(ctypes.Structure):
    """MetabonkCudaColours of kernels/cuda/api.h."""

    _fields_ = [
        *((name, ctypes.c_int16 * 3) for name in ("luma", "blue", "red")),
        *((n, ctypes.c_int16) for n in ("y", "red_v", "green_u", "green_v", "blue_u")),
    ]


class Affine(ctypes.Structure):
    """MetabonkCudaAffine."""

    _fields_ = [("scale", ctypes.c_float * 16), ("shift", ctypes.c_float * 16)]


class Resize(ctypes.Structure):
    """MetabonkCudaResize."""

    _fields_ = [
        ("count", ctypes.c_int64),
        *((n, ctypes.c_int) for n in ("height", "width", "channels", "to_height", "to_width")),
        *((n, ctypes.c_int) for n in ("row_taps", "column_taps")),
        *(
            (n, ctypes.c_void_p)
            for n in ("frames", "row_first", "column_first", "row_weights", "column_weights", "out")
        ),
    ]


def frames_of(*shape: int, offset: int = 0) -> Bytes:
    """Random bytes; offset: from an address that is a multiple of 16."""
    random = np.random.default_rng(list(shape))
    size = int(np.prod(shape))
    made = aligned(random.integers(0, 256, size + offset).astype(np.uint8))
    return made[offset:].reshape(shape)


def colours(matrix: str) -> Colours:
    """From kr and kb as the standards have them (csrc/video/frames.h names the scales)."""
    kr, kb = frames_reference.WEIGHTS[matrix]
    kg, luma, chroma = 1 - kr - kb, 219 / 255, 224 / 255

    def fixed(value: float, bits: int) -> int:
        return int(np.sign(value) * np.floor(abs(value) * 2**bits + 0.5))

    u_red, half = fixed(-kr * 0.5 / (1 - kb) * chroma, 15), fixed(0.5 * chroma, 15)
    v_blue = fixed(-kb * 0.5 / (1 - kr) * chroma, 15)
    triple = ctypes.c_int16 * 3
    return Colours(
        triple(*(fixed(k * luma, 15) for k in (kr, kg, kb))),
        triple(u_red, -u_red - half, half),
        triple(half, -v_blue - half, v_blue),
        fixed(1 / luma, 14),
        fixed(2 * (1 - kr) / chroma, 13),
        fixed(-2 * kb * (1 - kb) / kg / chroma, 13),
        fixed(-2 * kr * (1 - kr) / kg / chroma, 13),
        fixed(2 * (1 - kb) / chroma, 13),
    )


def axis(source: int, target: int, method: str) -> tuple[int, Any, Any]:
    """Taps, first and weights: real weights to whole numbers that sum to 2^14, rounded down, then
    the largest remainders up."""
    real = {"area": frames_reference.area, "bilinear": frames_reference.bilinear}[method](
        source, target
    )
    first = np.array([int(np.flatnonzero(row)[0]) for row in real], np.int32)
    most = max(int(np.flatnonzero(row)[-1]) - f + 1 for row, f in zip(real, first, strict=True))
    taps = -(-most // 2) * 2
    weights = np.zeros((target, taps), np.int16)
    for to, row, f in zip(weights, real, first, strict=True):
        scaled = row[f : f + taps] / row.sum() * 2**14
        whole = np.floor(scaled).astype(np.int64)
        rest = scaled - whole
        for i in np.argsort(-rest, kind="stable")[: 2**14 - int(whole.sum())]:
            whole[i] += 1
        to[: len(whole)] = whole
    return taps, aligned(first), aligned(weights)


SHAPES = [(1, 2, 2, 0), (2, 6, 8, 0), (1, 4, 6, 0), (2, 4, 12, 1), (1, 16, 32, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_are_the_processors(
    emulated: Emulated, matrix: Any, shape: tuple[int, int, int, int]
) -> None:
    count, height, width, offset = shape
    rgb = frames_of(count, height, width, 3, offset=offset)
    nv12 = Guarded((count, height * 3 // 2, width), np.uint8)
    sizes = ctypes.c_int64(count), height, width
    c = colours(matrix)
    to = emulated.plain(
        "metabonk_cuda_rgb_to_nv12", pointer(rgb), *sizes, ctypes.byref(c), pointer(nv12.array)
    )
    assert to == 0
    nv12.check()
    assert np.array_equal(nv12.array, frames.rgb_to_nv12(rgb, matrix=matrix))
    given = frames_of(count, height * 3 // 2, width, offset=offset)
    back = Guarded(rgb.shape, np.uint8)
    to = emulated.plain(
        "metabonk_cuda_nv12_to_rgb", pointer(given), *sizes, ctypes.byref(c), pointer(back.array)
    )
    assert to == 0
    back.check()
    assert np.array_equal(back.array, frames.nv12_to_rgb(given, matrix=matrix))


@pytest.mark.parametrize("shape", [(1, 1, 1, 0), (3, 5, 7, 0), (1, 8, 8, 0), (1, 8, 8, 1)], ids=str)
def test_grey_is_the_processors(emulated: Emulated, shape: tuple[int, int, int, int]) -> None:
    count, height, width, offset = shape
    rgb = frames_of(count, height, width, 3, offset=offset)
    out = Guarded((count, height, width), np.uint8)
    pixels = ctypes.c_int64(out.array.size)
    assert emulated.plain("metabonk_cuda_grey", pointer(rgb), pixels, pointer(out.array)) == 0
    out.check()
    assert np.array_equal(out.array, frames.grey(rgb))


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("sides", [(True, False), (False, True), (True, True), (False, False)])
def test_flips_are_the_processors(
    emulated: Emulated, channels: int, sides: tuple[bool, bool]
) -> None:
    given = frames_of(2, 5, 7, channels)
    out = Guarded(given.shape, np.uint8)
    count = ctypes.c_int64(2)
    done = emulated.plain(
        "metabonk_cuda_flip", pointer(given), count, 5, 7, channels, *sides, pointer(out.array)
    )
    assert done == 0
    out.check()
    assert np.array_equal(out.array, frames.flip(given, horizontal=sides[0], vertical=sides[1]))


@pytest.mark.parametrize("planar", [False, True])
def test_normalised_numbers_are_the_processors(emulated: Emulated, planar: bool) -> None:
    given = frames_of(2, 5, 6, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wanted = frames.normalise(given, mean, std, planar=planar)
    affine = Affine()
    for i in range(3):
        affine.scale[i] = np.float32(1.0 / (255.0 * std[i]))
        affine.shift[i] = np.float32(-mean[i] / std[i])
    out = Guarded(wanted.shape)
    done = emulated.plain(
        "metabonk_cuda_normalise",
        *(pointer(given), ctypes.c_int64(2), ctypes.c_int64(30), 3),
        *(ctypes.byref(affine), int(planar), pointer(out.array)),
    )
    assert done == 0
    out.check()
    assert np.array_equal(out.array, wanted)


@pytest.mark.parametrize("method", ["area", "bilinear"])
@pytest.mark.parametrize(
    "sizes",
    [
        *[(8, 8, 4, 4, 3), (7, 9, 3, 4, 3), (5, 6, 11, 13, 1), (1, 1, 4, 4, 3)],
        *[(9, 1, 2, 3, 5), (6, 6, 6, 6, 4), (20, 30, 7, 1, 3)],
    ],
    ids=str,
)
def test_resizing_is_the_processors(
    emulated: Emulated, method: Any, sizes: tuple[int, int, int, int, int]
) -> None:
    height, width, to_height, to_width, channels = sizes
    given = frames_of(2, height, width, channels)
    out = Guarded((2, to_height, to_width, channels), np.uint8)
    row_taps, row_first, row_weights = axis(height, to_height, method)
    column_taps, column_first, column_weights = axis(width, to_width, method)
    arrays = given, row_first, column_first, row_weights, column_weights, out.array
    structure = Resize(
        *(2, height, width, channels, to_height, to_width, row_taps, column_taps),
        *map(address, arrays),
    )
    assert emulated.call("metabonk_cuda_resize", structure) == 0
    out.check()
    assert np.array_equal(out.array, frames.resize(given, to_height, to_width, method=method))


def test_what_is_out_of_bounds_is_refused(emulated: Emulated) -> None:
    one, none = ctypes.c_int64(1), ctypes.c_int64(0)
    c = ctypes.byref(colours("bt709"))
    assert emulated.plain("metabonk_cuda_grey", NONE, none, NONE) == -1
    assert emulated.plain("metabonk_cuda_rgb_to_nv12", NONE, one, 3, 2, c, NONE) == -1
    assert emulated.plain("metabonk_cuda_nv12_to_rgb", NONE, one, 2, 3, c, NONE) == -1
    assert emulated.plain("metabonk_cuda_flip", NONE, one, 1, 1, 17, 1, 1, NONE) == -1
    assert emulated.plain("metabonk_cuda_normalise", NONE, one, none, 1, NONE, 0, NONE) == -1
    assert emulated.call("metabonk_cuda_resize", Resize(1, 2, 2, 3, 0, 1, 2, 2)) == -1

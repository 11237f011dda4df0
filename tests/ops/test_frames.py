"""Operations on frames: every backend and tier against numpy in float64, plans, refusals."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import frames as op
from metabonk.ops import frames_reference as reference

Within = Callable[[str, str, float], None]

SHAPES = [(1, 1), (2, 2), (3, 5), (17, 16), (16, 33), (50, 64), (31, 100)]
RESIZES = [(1, 1), (2, 3), (17, 16), (5, 40), (64, 64)]


def far(found: op.Bytes, want: reference.Reals) -> float:
    return float(np.abs(found - np.clip(want, 0.0, 255.0)).max())


def picture(*shape: int, seed: int = 0) -> op.Bytes:
    """Noise, with corners of the cube of colours in it."""
    r = np.random.default_rng(seed + sum(shape))
    frames = r.integers(0, 256, shape, np.uint8)
    frames[r.random(shape[:-1]) < 0.3] &= 0x80
    frames[r.random(shape[:-1]) < 0.2] |= 0x7F
    return frames


def test_the_kernels_are_those_of_the_instruction_set(instructions: str) -> None:
    names = {"portable": "portable", "bf16": "bf16", "amx": "bf16"}
    assert _core.video.frame_kernels() == names.get(instructions, "avx2")


@pytest.mark.parametrize("method", ["area", "bilinear"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
def test_resize_follows_the_formula(
    instructions: str, within: Within, channels: int, method: op.Method
) -> None:
    for rows, columns in SHAPES:
        for height, width in RESIZES:
            frames = picture(2, rows, columns, channels)
            found = op.resize(frames, height, width, method=method)
            want = reference.resize(frames, height, width, method)
            assert found.shape == want.shape
            within("frames.resize", instructions, far(found, want))


def test_resize_keeps_what_is_even_and_what_has_the_size(instructions: str) -> None:
    for value in (0, 1, 128, 255):
        frames = np.full((40, 70, 3), value, np.uint8)
        for method in ("area", "bilinear"):
            assert (op.resize(frames, 13, 90, method=method) == value).all()
    frames = picture(40, 70, 3)
    for method in ("area", "bilinear"):
        np.testing.assert_array_equal(op.resize(frames, 40, 70, method=method), frames)


def test_area_is_a_mean_of_boxes_and_bilinear_is_torchs(instructions: str, within: Within) -> None:
    torch = pytest.importorskip("torch")
    frames = picture(48, 64, 3)
    boxes = frames.reshape(12, 4, 8, 8, 3).mean((1, 3))
    within("frames.resize", instructions, far(op.resize(frames, 12, 8), boxes))
    planes = torch.from_numpy(frames).permute(2, 0, 1)[None].double()
    theirs = torch.nn.functional.interpolate(planes, (31, 90), mode="bilinear")[0].permute(1, 2, 0)
    found = op.resize(frames, 31, 90, method="bilinear")
    within("frames.resize", instructions, far(found, theirs.numpy()))


def test_grey_follows_the_formula(instructions: str, within: Within) -> None:
    for rows, columns in SHAPES:
        frames = picture(3, rows, columns, 3)
        within("frames.grey", instructions, far(op.grey(frames), reference.grey(frames)))
    even = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, -1)
    np.testing.assert_array_equal(op.grey(even), even[..., 0])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 16])
def test_flip_mirrors(instructions: str, channels: int) -> None:
    for rows, columns in SHAPES:
        frames = picture(2, rows, columns, channels)
        for horizontal in (False, True):
            for vertical in (False, True):
                found = op.flip(frames, horizontal=horizontal, vertical=vertical)
                np.testing.assert_array_equal(found, reference.flip(frames, horizontal, vertical))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
def test_normalise_is_the_same_on_every_backend(
    instructions: str, within: Within, channels: int, planar: bool
) -> None:
    mean, std = np.linspace(0.2, 0.6, channels), np.linspace(0.1, 0.3, channels)
    for rows, columns in SHAPES:
        frames = picture(2, rows, columns, channels)
        found = op.normalise(frames, mean, std, planar=planar)
        exact = (frames / 255.0 - mean) / std
        exact = np.moveaxis(exact, -1, -3) if planar else exact
        within("frames.normalise", instructions, float(np.abs(found - exact).max()))
        plain = op.normalise(frames, mean, std, planar=planar, backend="numpy")
        np.testing.assert_array_equal(found, plain)
    np.testing.assert_allclose(op.normalise(frames)[..., 0].max(), frames.max() / 255.0, rtol=1e-6)


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_nv12_follows_the_formula_both_ways(
    instructions: str, within: Within, matrix: op.Matrix
) -> None:
    for rows, columns in SHAPES:
        frames = picture(2, 2 * rows, 2 * columns, 3)
        found = op.rgb_to_nv12(frames, matrix=matrix)
        assert found.shape == (2, 3 * rows, 2 * columns)
        error = far(found, reference.rgb_to_nv12(frames, matrix))
        within("frames.rgb_to_nv12", instructions, error)
        anything = picture(2, 3 * rows, 2 * columns, 1)[..., 0]
        back = op.nv12_to_rgb(anything, matrix=matrix)
        assert back.shape == (2, 2 * rows, 2 * columns, 3)
        want = reference.nv12_to_rgb(anything, matrix)
        within("frames.nv12_to_rgb", instructions, far(back, want))


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_colours_come_back_and_grey_stays_grey(instructions: str, matrix: op.Matrix) -> None:
    blocks = picture(20, 30, 3).repeat(2, 0).repeat(2, 1)  # no detail for chroma to lose
    back = op.nv12_to_rgb(op.rgb_to_nv12(blocks, matrix=matrix), matrix=matrix)
    assert np.abs(back.astype(int) - blocks).max() <= 3
    even = np.arange(256, dtype=np.uint8).repeat(4)[None].repeat(2, 0)
    nv12 = op.rgb_to_nv12(np.stack([even] * 3, -1), matrix=matrix)
    assert (nv12[2:] == 128).all()
    assert nv12[0, 0] == 16
    assert nv12[0, -1] == 235


def test_the_reference_has_the_well_known_colours() -> None:
    """Limited-range red, green and blue of both matrices."""
    colours = np.eye(3, dtype=np.uint8)[:, None, None, :].repeat(2, 1).repeat(2, 2) * 255
    known = {
        "bt601": [(81, 90, 240), (145, 54, 34), (41, 240, 110)],
        "bt709": [(63, 102, 240), (173, 42, 26), (32, 240, 118)],
    }
    for matrix, values in known.items():
        nv12 = np.round(reference.rgb_to_nv12(colours, matrix)).astype(int)
        assert [(int(f[0, 0]), *map(int, f[2])) for f in nv12] == values


def operations(
    frames: op.Bytes,
) -> dict[str, tuple[op.Bytes, Callable[..., Any], Callable[..., Any]]]:
    """Every operation with its plan and something it takes."""
    nv12 = op.rgb_to_nv12(frames)
    return {
        "resize": (
            frames,
            functools.partial(op.resize, height=9, width=11),
            functools.partial(op.plan_resize, height=9, width=11),
        ),
        "grey": (frames, op.grey, op.plan_grey),
        "flip": (frames, op.flip, op.plan_flip),
        "normalise": (frames, op.normalise, op.plan_normalise),
        "rgb_to_nv12": (frames, op.rgb_to_nv12, op.plan_rgb_to_nv12),
        "nv12_to_rgb": (nv12, op.nv12_to_rgb, op.plan_nv12_to_rgb),
    }


NAMES = list(operations(picture(4, 4, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_backends_plans_and_out_agree(instructions: str, name: str) -> None:
    given, run, plan = operations(picture(3, 24, 40, 3))[name]
    want = run(given)
    plain = run(given, backend="numpy")
    assert plain.dtype == want.dtype
    assert np.abs(plain.astype(np.float64) - want).max() <= 1
    out = np.zeros_like(want)
    assert run(given, out=out) is out
    np.testing.assert_array_equal(out, want)
    bound = plan(given)
    given[...] = given[..., ::-1, :].copy()
    bound.step()
    np.testing.assert_array_equal(bound.out, run(given))
    single = run(given[0])
    np.testing.assert_array_equal(single, run(given)[0])
    none = run(given[:0])
    assert none.shape == (0, *single.shape)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_taken_from_its_plan_holds_the_memory(name: str) -> None:
    given, run, plan = operations(picture(24, 40, 3))[name]
    want = run(given)
    out = np.zeros_like(want)

    def taken() -> Callable[[], None]:
        copy = given.copy()
        step: Callable[[], None] = plan(copy, out=out).step
        return step

    step = taken()
    gc.collect()
    others = [np.full_like(given, 7) for _ in range(50)]
    step()
    np.testing.assert_array_equal(out, want)
    assert len(others) == 50


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_named_and_out_untouched(name: str) -> None:
    given, run, plan = operations(picture(24, 40, 3))[name]
    want = run(given)
    raw = np.zeros(given.size + 64, np.uint8)
    for bad, error, why in (
        (given.astype(np.int16), TypeError, "frames is int16; wanted uint8"),
        (given[::2], ValueError, "frames has strides"),
        (given.tolist(), TypeError, "frames is a list; wanted a numpy array"),
        (given.ravel(), ValueError, r"frames is \[\d+\]; wanted"),
    ):
        out = np.full_like(want, 7)
        for call in (run, plan, functools.partial(run, backend="numpy")):
            with pytest.raises(error, match=f"{name}: {why}"):
                call(bad, out=out)
        assert (out == 7).all()
    read_only = np.full_like(want, 7)
    read_only.flags.writeable = False
    overlapping = raw[: want.nbytes].view(want.dtype) if want.nbytes <= raw.nbytes else None
    for out, error, why in (
        (want.astype(np.float64), TypeError, "out is float64"),
        (np.full((2, *want.shape), 7, want.dtype), ValueError, "out is .*; wanted"),
        (
            np.full((*want.shape[:-1], 2 * want.shape[-1]), 7, want.dtype)[..., ::2],
            ValueError,
            "out has strides",
        ),
        (read_only, ValueError, "out is read-only"),
    ):
        with pytest.raises(error, match=why):
            run(given, out=out)
        with pytest.raises(error, match=why):
            plan(given, out=out)
    assert (read_only == 7).all()
    if overlapping is not None:
        inside = raw[: given.size].reshape(given.shape)
        with pytest.raises(ValueError, match="out shares memory with frames"):
            run(inside, out=overlapping.reshape(want.shape))
    with pytest.raises(BackendError, match="no backend 'torch'; here are: native, numpy"):
        run(given, backend="torch")


def test_arguments_of_each_operation_are_named() -> None:
    frames = picture(4, 6, 3)
    with pytest.raises(ValueError, match="method is 'cubic'; wanted 'area' or 'bilinear'"):
        op.resize(frames, 2, 2, method="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="height, width are 0, 2"):
        op.resize(frames, 0, 2)
    with pytest.raises(ValueError, match=r"grey: frames is \[4, 6, 4\]; wanted .* 3 channels"):
        op.grey(picture(4, 6, 4))
    with pytest.raises(ValueError, match=r"frames is \[0, 6, 3\]"):
        op.resize(frames[:0], 2, 2)
    with pytest.raises(ValueError, match="wanted even H and W"):
        op.rgb_to_nv12(picture(5, 6, 3))
    with pytest.raises(ValueError, match=r"wanted \[\.\.\., H \* 3/2, W\]"):
        op.nv12_to_rgb(picture(4, 6, 1)[..., 0])
    with pytest.raises(ValueError, match="matrix is 'bt2020'"):
        op.rgb_to_nv12(frames, matrix="bt2020")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"std is 0\.0; wanted numbers above 0"):
        op.normalise(frames, 0.5, 0.0)
    with pytest.raises(ValueError, match=r"mean is \[0.5, 0.5\]; wanted a finite number, or 3"):
        op.normalise(frames, [0.5, 0.5])
    with pytest.raises(ValueError, match="mean is nan"):
        op.normalise(frames, float("nan"))


def test_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from metabonk.ops import frames\n"
        "assert frames.grey(np.full((4, 4, 3), 9, np.uint8)).tolist() == [[9] * 4] * 4"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

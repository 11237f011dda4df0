"""Suite `ops`, frames of 640 x 360: against OpenCV, Pillow, swscale and torch, one thread each.

Every contender writes new bytes from the same picture. swscale and OpenCV's I420 lay chroma out
differently but do the same work. The floor is reading as many bytes as are read and written once;
bilinear shrinking reads some of the picture only and has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import peaks
from .agreement import agreeing
from .case import Case
from .meter import Meter, Timed
from .ops_cfc import OneThread
from .peers import frame_formulas as formulas
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

HEIGHT, WIDTH = formulas.SIZE
PIXELS = HEIGHT * WIDTH
Run = Callable[[], object]


def cases() -> list[Case]:
    return [
        *(_resize(*case) for case in RESIZES),
        _case("grey", "grey", {}, 4 * PIXELS, OpenCV=_cv_grey, Pillow=_pil_grey),
        _case("flipped", "flip", {}, 6 * PIXELS, OpenCV=_cv_flip),
        _case(
            "normalised, planar",
            "normalise",
            {"mean": 0.5, "std": 0.25, "planar": True},
            15 * PIXELS,
            torch=_torch_normalise,
            OpenCV=_cv_normalise,
        ),
        _case(
            "RGB to NV12",
            "rgb_to_nv12",
            {"matrix": "bt601"},
            9 * PIXELS // 2,
            OpenCV=_cv_i420,
            swscale=_sws,
        ),
        _case(
            "NV12 to RGB",
            "nv12_to_rgb",
            {"matrix": "bt601"},
            9 * PIXELS // 2,
            OpenCV=_cv_rgb,
            swscale=_sws_rgb,
        ),
    ]


RESIZES = (("area", 84, 84), ("bilinear", 84, 84), ("area", 180, 320))
ROUNDED = 1.01 / 128.0  # one of a byte, which is what rounding moves, of pictures as bright as this


def _case(
    name: str, op: str, settings: dict[str, Any], touched: int, **peers: Callable[[], Run]
) -> Case:
    """op, settings: of `metabonk.ops.frames`. touched: bytes that are read and written, 0 where
    nobody has to touch all of them."""

    def meter(make: Callable[[], Run]) -> Callable[[], Meter]:
        return lambda: OneThread(Timed(make(), 1))

    floor = [Contender("floor", lambda: OneThread(peaks.reads(touched // 4)))] if touched else []
    return Case(
        "ops",
        f"frames {WIDTH}x{HEIGHT}, {name}",
        "frames/s",
        Contender("metabonk", lambda: OneThread(_ours(op, settings))),
        (
            *(Contender(peer, meter(make)) for peer, make in peers.items()),
            Contender("torch.compile", lambda: OneThread(_compiled(op, settings))),
            *floor,
        ),
    )


def _given(op: str) -> Any:
    return _nv12() if op == "nv12_to_rgb" else _frame()


def _ours(op: str, settings: dict[str, Any]) -> Timed:
    from metabonk.ops import frames

    plan = getattr(frames, f"plan_{op}")(_given(op), **settings)
    wanted = formulas.reference(op, _given(op), settings)
    return agreeing("plan", Timed(plan.step, 1), [wanted], ROUNDED, got=lambda: [plan.out])


def _compiled(op: str, settings: dict[str, Any]) -> Timed:
    """The formula in float32, from bytes to bytes, as one writes it in torch."""
    torch = require("torch", "train")
    frame, wanted = torch.from_numpy(_given(op)), formulas.reference(op, _given(op), settings)
    made = compiled(formulas.formula(op, settings))

    def run() -> Any:
        with torch.inference_mode():
            return [made(frame)]

    return agreeing("torch.compile", Timed(run, 1), [wanted], ROUNDED)


def _frame() -> Any:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def _cv() -> Any:
    """OpenCV on one thread, as everything here."""
    cv = require("cv2")
    cv.setNumThreads(1)
    return cv


def _resize(method: str, height: int, width: int) -> Case:
    def cv() -> Run:
        cv2, frame = _cv(), _frame()
        how = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR}[method]
        out = np.empty((height, width, 3), np.uint8)
        return lambda: cv2.resize(frame, (width, height), out, interpolation=how)

    def pillow() -> Run:
        image = require("PIL.Image", "train")
        frame = image.fromarray(_frame())
        how = {"area": image.Resampling.BOX, "bilinear": image.Resampling.BILINEAR}[method]
        return lambda: frame.resize((width, height), how)

    def torch() -> Run:
        interpolate = require("torch", "train").nn.functional.interpolate
        planes = require("torch").from_numpy(_frame()).permute(2, 0, 1)[None].float()
        return lambda: interpolate(planes, (height, width), mode=method)

    settings = {"height": height, "width": width, "method": method}
    peers: dict[str, Callable[[], Run]] = {"OpenCV": cv, "torch": torch}
    if method == "area":  # Pillow's bilinear smooths, which is more work
        peers["Pillow"] = pillow
    touched = 3 * (PIXELS + width * height) if method == "area" else 0
    return _case(f"{method} to {width}x{height}", "resize", settings, touched, **peers)


def _cv_grey() -> Run:
    cv, frame, out = _cv(), _frame(), np.empty((HEIGHT, WIDTH), np.uint8)
    return lambda: cv.cvtColor(frame, cv.COLOR_RGB2GRAY, out)


def _pil_grey() -> Run:
    frame = require("PIL.Image", "train").fromarray(_frame())
    return lambda: frame.convert("L")


def _cv_flip() -> Run:
    cv, frame = _cv(), _frame()
    out = np.empty_like(frame)
    return lambda: cv.flip(frame, 1, out)


def _torch_normalise() -> Run:
    torch, frame = require("torch", "train"), _frame()
    bytes_ = torch.from_numpy(frame)
    return lambda: bytes_.permute(2, 0, 1).contiguous().float().div_(255.0).sub_(0.5).div_(0.25)


def _cv_normalise() -> Run:
    cv, frame = _cv(), _frame()
    return lambda: cv.dnn.blobFromImage(frame, 1.0 / (255.0 * 0.25), mean=(127.5,) * 3)


def _cv_i420() -> Run:
    cv, frame, out = _cv(), _frame(), np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    return lambda: cv.cvtColor(frame, cv.COLOR_RGB2YUV_I420, out)


def _sws() -> Run:
    frame = require("av", "video").VideoFrame.from_ndarray(_frame(), format="rgb24")
    return lambda: frame.reformat(format="nv12")


def _nv12() -> Any:
    from metabonk.ops import frames

    return frames.rgb_to_nv12(_frame(), matrix="bt601")


def _cv_rgb() -> Run:
    cv, given, out = _cv(), _nv12(), np.empty((HEIGHT, WIDTH, 3), np.uint8)
    return lambda: cv.cvtColor(given, cv.COLOR_YUV2RGB_NV12, out)


def _sws_rgb() -> Run:
    frame = require("av", "video").VideoFrame.from_ndarray(_nv12(), format="nv12")
    return lambda: frame.reformat(format="rgb24")

"""Frames of bytes."""

from collections.abc import Sequence


def frame_kernels() -> str:
    """Name of the loops in use: portable or avx2."""

class FramePlan:
    """
    A conversion bound to its memory, which `held` keeps as long as the plan.
    """

    def step(self) -> None: ...

class Resizer:
    """Taps of one pair of shapes."""

    def __init__(self, height: int, width: int, channels: int, to_height: int, to_width: int, area: bool) -> None: ...

def resize(resizer: Resizer, frames: int, count: int, out: int, held: object) -> FramePlan: ...

def grey(frames: int, pixels: int, out: int, held: object) -> FramePlan: ...

def flip(frames: int, count: int, height: int, width: int, channels: int, horizontal: bool, vertical: bool, out: int, held: object) -> FramePlan: ...

def normalise(frames: int, count: int, pixels: int, scale: Sequence[float], shift: Sequence[float], planar: bool, out: int, held: object) -> FramePlan: ...

def rgb_to_nv12(rgb: int, count: int, height: int, width: int, bt709: bool, nv12: int, held: object) -> FramePlan: ...

def nv12_to_rgb(nv12: int, count: int, height: int, width: int, bt709: bool, rgb: int, held: object) -> FramePlan: ...

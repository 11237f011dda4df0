"""Films: frames to mp4 where PyAV is installed, to GIF otherwise.

Knows encoders' packages; does not know where frames come from.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np

from metabonk.errors import ConfigError, MissingExtraError
from metabonk.files import replacing
from metabonk.protocols import Array

# GIFs hold every frame whole and poorly compressed, and their writer needs all of them in memory.
GIF_FPS = 10.0
GIF_FRAMES = 600  # a minute; of a longer film the end is left out
GIF_PIXELS = 35_000_000  # of all frames, a minute of 320x180; both sides of longer films are halved
MIN_SIDE = 320  # smaller frames are enlarged by a whole number, so that a person can see them


def best_suffix() -> str:
    """`.mp4` or `.gif`, whichever can be written here. Raises MissingExtraError if none can."""
    if importlib.util.find_spec("av") is not None:
        return ".mp4"
    if importlib.util.find_spec("PIL") is not None:
        return ".gif"
    raise MissingExtraError("av", "video", "a film")


def check_name(path: Path) -> None:
    """Raises ConfigError for a file that no film can be, before any frame is made."""
    if path.suffix not in (".mp4", ".gif"):
        raise ConfigError(f"{path}: films end in .mp4 or .gif")


def write_film(path: Path | str, frames: Iterable[Array], fps: float) -> int:
    """Frames uint8 [H, W, 3], all of one shape, as a film; returns how many.

    The suffix chooses the format: .mp4 (H.264, plays in browsers) or .gif. The file appears whole
    or not at all. Raises ConfigError for another suffix, ValueError for no frames or a frame of
    another shape.
    """
    path = Path(path)
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    check_name(path)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: no frames")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        return writers[path.suffix](partial, _enlarged(chain([first], frames)), fps)


def _enlarged(frames: Iterable[Array]) -> Iterator[Array]:
    shape: tuple[int, ...] = ()
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape or frame.dtype != np.uint8 or frame.ndim != 3 or shape[2] != 3:
            raise ValueError(
                f"frame {frame.dtype} {frame.shape}: expected uint8 [H, W, 3], {shape}"
            )
        times = -(-MIN_SIDE // max(shape[:2])) if max(shape[:2]) < MIN_SIDE else 1
        large = frame.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else frame
        even = (large.shape[0] // 2 * 2, large.shape[1] // 2 * 2)  # 4:2:0 halves both sides
        yield np.ascontiguousarray(large[: even[0], : even[1]])


def _write_mp4(path: Path, frames: Iterator[Array], fps: float) -> int:
    if importlib.util.find_spec("av") is None:
        raise MissingExtraError("av", "video", "an mp4 film")
    import av

    count = 0
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "30", "preset": "veryfast", "threads": "1"}
        for frame in frames:
            if count == 0:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode())
    return count


def _write_gif(path: Path, frames: Iterator[Array], fps: float) -> int:
    if importlib.util.find_spec("PIL") is None:
        raise MissingExtraError("pillow", "train", "a GIF film")
    from PIL import Image

    every = max(1, round(fps / GIF_FPS))
    chosen: list[Image.Image] = []
    smaller = 1
    for frame in islice(frames, 0, GIF_FRAMES * every, every):
        chosen.append(Image.fromarray(frame).reduce(smaller))  # averages: leaving out breaks text
        if len(chosen) * chosen[0].width * chosen[0].height > GIF_PIXELS:
            smaller *= 2
            chosen = [picture.reduce(2) for picture in chosen]
    chosen[0].save(
        path,
        save_all=True,
        append_images=chosen[1:],
        duration=round(1000 * every / fps),
        loop=0,
        optimize=False,
    )
    return len(chosen)

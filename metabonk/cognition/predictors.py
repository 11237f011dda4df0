"""Predictors: the frames that come next, from those that were seen, for System 2's strips.

Knows the Protocol `Predictor`, dense optical flow and what was measured (gains.json); does not know
strips, games or world models. Kinds:

    none   no predicted frames: the strip has real ones only
    flow   every pixel goes on as it moved between the last two frames (csrc/video/flow.h)
    dream  the world model of a run dreams on; needs Torch and is handed in (learn/)

A predictor is judged against copying the last frame, in PSNR, at the times that strips show. The
default for a game is the best one that beats the copy by GAIN dB at every one of them in the
recorded measurement, else `none`: an invented picture that is worse than a copy misleads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk import _core
from metabonk.cognition.strip import AHEAD
from metabonk.errors import ConfigError, CorruptError
from metabonk.protocols import Array, Predictor

KINDS = ("auto", "none", "flow", "dream")
GAIN = 0.5  # dB over copying the last frame, at every predicted time
TABLE = Path(__file__).with_name("gains.json")
_MOST_SIZES = 4  # of frames that flows are kept for


class Flow:
    """Dense optical flow between the last two frames, gone on with. Frames uint8 [H, W, 3], sides
    16 to 4096. One thread at a time."""

    name = "flow"

    def __init__(self) -> None:
        self._flows: dict[tuple[int, int], Any] = {}

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        """Frames at the times `at`, seconds on the clock of `times`. Raises ValueError for fewer
        than two frames, times that do not rise, or frames of another kind."""
        _check(frames, times)
        before, now = (np.ascontiguousarray(frame) for frame in frames[-2:])
        apart = times[-1] - times[-2]
        flow = self._flow(now.shape[:2])
        flow.observe(before, now)
        return [flow.extrapolate(now, (when - times[-1]) / apart) for when in at]

    def _flow(self, shape: tuple[int, ...]) -> Any:
        size = (shape[0], shape[1])
        if size not in self._flows:
            if len(self._flows) == _MOST_SIZES:
                self._flows.pop(next(iter(self._flows)))
            self._flows[size] = _core.motion.Flow(*size)
        return self._flows[size]


class CopyLast:
    """The last frame, whatever the time: what predictors have to beat."""

    name = "copy"

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        return [frames[-1]] * len(at)


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How well a predictor drew a game. ahead: seconds. psnr, copy: mean dB at each of them, of the
    predictor and of the last frame copied. cases: moments that were judged; size: height, width."""

    game: str
    predictor: str
    size: tuple[int, int]
    ahead: tuple[float, ...]
    psnr: tuple[float, ...]
    copy: tuple[float, ...]
    cases: int

    @property
    def gains(self) -> tuple[float, ...]:
        """dB over the copy, at each time."""
        return tuple(p - c for p, c in zip(self.psnr, self.copy, strict=True))

    @property
    def good(self) -> bool:
        """Whether it may be on by default."""
        return bool(self.gains) and min(self.gains) >= GAIN


def psnr(a: Array, b: Array) -> float:
    """Peak signal-to-noise ratio of two frames uint8 of one shape, dB; at most 108.1 (equal)."""
    off = a.astype(np.float32) - b.astype(np.float32)
    return 10.0 * math.log10(255.0**2 / max(float(np.mean(off * off)), 1e-6))


def measure(
    predictor: Predictor,
    game: str,
    clips: Iterable[Sequence[Array]],
    rate: float,
    *,
    ahead: Sequence[float] = AHEAD,
    spacing: float = 0.06,
    every: int = 7,
) -> Measurement:
    """Predicts from moments of clips and compares with what came.

    clips: frames uint8 [H, W, 3] of one size, `rate` per second, without cuts inside a clip. every:
    frames from one judged moment to the next. Raises ConfigError where no clip is long enough.
    """
    back = max(round(spacing * rate), 1)
    steps = [max(round(seconds * rate), 1) for seconds in ahead]
    told = [step / rate for step in steps]
    sums, copies, cases = np.zeros(len(steps)), np.zeros(len(steps)), 0
    size = (0, 0)
    for clip in clips:
        for t in range(back, len(clip) - steps[-1], every):
            size = (int(clip[t].shape[0]), int(clip[t].shape[1]))
            drawn = predictor.predict([clip[t - back], clip[t]], [-back / rate, 0.0], told)
            sums += [psnr(d, clip[t + s]) for d, s in zip(drawn, steps, strict=True)]
            copies += [psnr(clip[t], clip[t + s]) for s in steps]
            cases += 1
    if not cases:
        wanted = back + steps[-1] + 1
        raise ConfigError(f"clips: none has {wanted} frames ({wanted / rate:.2f} s) or more")
    return Measurement(
        game=game, predictor=predictor.name, size=size, ahead=tuple(told), cases=cases,
        psnr=tuple((sums / cases).tolist()), copy=tuple((copies / cases).tolist()),
    )  # fmt: skip


def read_table(path: Path = TABLE) -> list[Measurement]:
    """The recorded measurements; none where there is no file. Raises CorruptError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Measurement])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{path} is damaged: {error}") from error


def best(game: str, table: Iterable[Measurement], among: Sequence[str] = ("flow", "dream")) -> str:
    """The predictor that is on by default for a game: the one with the largest mean gain of those
    that beat the copy by GAIN dB at every time; `none` where none does or nothing was recorded."""
    good = [m for m in table if m.game == game and m.predictor in among and m.good]
    return max(good, key=lambda m: sum(m.gains) / len(m.gains)).predictor if good else "none"


@cache
def _recorded() -> tuple[Measurement, ...]:
    return tuple(read_table())


def make(
    kind: str, game: str = "", given: Mapping[str, Predictor] | None = None
) -> Predictor | None:
    """The predictor of that kind, None for `none`; `auto` is the game's recorded default.

    given: predictors of higher rooms by kind (`dream`). Raises ConfigError for an unknown kind, and
    for `dream` where none was given.
    """
    given = given or {}
    if kind not in KINDS:
        raise ConfigError(f"predictor: {kind!r}; wanted one of {', '.join(KINDS)}")
    if kind == "auto":
        kind = best(game, _recorded(), ("flow", *given))
    if kind in given:
        return given[kind]
    if kind == "dream":
        raise ConfigError(
            "predictor: dream needs a run with a world model of frames: train one with "
            "--set world.enabled=1 and frames, or choose flow or none"
        )
    return Flow() if kind == "flow" else None


def _check(frames: Sequence[Array], times: Sequence[float]) -> None:
    if len(frames) < 2 or len(frames) != len(times):
        raise ValueError(f"frames: {len(frames)} with {len(times)} times; wanted two or more")
    if not times[-1] > times[-2]:
        raise ValueError(f"times: {times[-2]} and then {times[-1]}; they must rise")
    if frames[-1].shape != frames[-2].shape:
        raise ValueError(f"frames: {frames[-2].shape} and {frames[-1].shape}; wanted one size")

"""Predictors: the frames that come next, from those that were seen, for System 2's strips.

Knows the Protocol `Predictor`, dense optical flow and what was measured (gains.json); does not know
strips, games or world models. Kinds:

    none   no predicted frames: the strip has real ones only
    flow   every pixel goes on as it moved between the last two frames (csrc/video/flow.h)
    dream  the world model of a run dreams on; needs Torch and is handed in (learn/)

A predictor is judged against copying the last frame, in PSNR, at the times that strips show. The
default for a game is the best one that beats the copy by GAIN dB at every one of them in the
recorded measurement, else `none`: an invented picture that is worse than a copy misleads. What one
world model dreamed says nothing of another's: such a measurement counts for its own alone. It must
also beat the copy smoothed (1 2 1 both ways): whatever blurs gains in PSNR where motion is not
understood, and predicts nothing.
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
from metabonk.cognition.strips.strip import AHEAD, SPACING
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
    """How well a predictor drew a game.

    ahead: seconds. psnr, copy, smooth: mean dB at each of them, of the predictor, of the last frame
    copied, and of that copy smoothed. cases: moments that were judged. size: height, width. world:
    the hash of the checkpoint whose world model dreamed; empty for other predictors.
    """

    game: str
    predictor: str
    size: tuple[int, int]
    ahead: tuple[float, ...]
    psnr: tuple[float, ...]
    copy: tuple[float, ...]
    smooth: tuple[float, ...]
    cases: int
    world: str = ""

    @property
    def gains(self) -> tuple[float, ...]:
        """dB over the copy, at each time."""
        return tuple(p - c for p, c in zip(self.psnr, self.copy, strict=True))

    @property
    def good(self) -> bool:
        """Whether it may be on by default."""
        pairs = zip(self.psnr, self.smooth, strict=True)
        return bool(self.gains) and min(self.gains) >= GAIN and all(p > s for p, s in pairs)


def smoothed(frame: Array) -> Array:
    """A frame uint8 [H, W, 3] weighed 1 2 1 with its neighbours both ways; edges repeated."""
    wide = np.pad(frame, ((1, 1), (1, 1), (0, 0)), "edge").astype(np.uint16)
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    both = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    made: Array = ((both + 8) >> 4).astype(np.uint8)
    return made


def psnr(a: Array, b: Array) -> float:
    """Peak signal-to-noise ratio of two frames uint8 of one shape, dB; at most 108.1 (equal)."""
    off = a.astype(np.float32) - b.astype(np.float32)
    return 10.0 * math.log10(255.0**2 / max(float(np.mean(off * off)), 1e-6))


class Judge:
    """Compares what a predictor draws with what came, moment after moment.

    rate: frames per second of the clips. every: frames from one judged moment to the next. What is
    judged is averaged; moments after which nothing moves are left out.
    """

    def __init__(
        self,
        predictor: Predictor,
        rate: float,
        *,
        ahead: Sequence[float] = AHEAD,
        spacing: float = SPACING,
        every: int = 7,
    ) -> None:
        self.predictor, self.rate, self.every = predictor, rate, every
        self.back = max(round(spacing * rate), 1)
        self.steps = [max(round(seconds * rate), 1) for seconds in ahead]
        self.told = tuple(step / rate for step in self.steps)
        self._sums = np.zeros((3, len(self.steps)))  # predictor, copy, copy smoothed
        self._cases, self._size = 0, (0, 0)

    @property
    def shortest(self) -> int:
        """Frames that a clip needs for one moment."""
        return self.back + self.steps[-1] + 1

    def add(self, clip: Sequence[Array]) -> None:
        """Judges the moments of a clip, frames uint8 [H, W, 3] of one size without a cut."""
        for t in range(self.back, len(clip) - self.steps[-1], self.every):
            now = clip[t]
            if np.array_equal(now, clip[t + self.steps[-1]]):
                continue
            came, smooth = [clip[t + step] for step in self.steps], smoothed(now)
            self._sums[0] += [psnr(d, c) for d, c in zip(self.predict(clip, t), came, strict=True)]
            self._sums[1] += [psnr(now, c) for c in came]
            self._sums[2] += [psnr(smooth, c) for c in came]
            self._cases += 1
            self._size = (int(now.shape[0]), int(now.shape[1]))

    def predict(self, clip: Sequence[Array], t: int) -> list[Array]:
        """What the predictor draws of the times ahead of frame `t`."""
        before = [clip[t - self.back], clip[t]]
        return self.predictor.predict(before, [-self.back / self.rate, 0.0], self.told)

    def result(self, game: str, world: str = "") -> Measurement:
        """world: as in Measurement. Raises ConfigError where nothing was judged."""
        if not self._cases:
            raise ConfigError(
                f"clips: none has {self.shortest} frames ({self.shortest / self.rate:.2f} s) in "
                "which something moves"
            )
        drawn, copy, smooth = (tuple(row) for row in (self._sums / self._cases).tolist())
        return Measurement(
            game=game,
            predictor=self.predictor.name,
            size=self._size,
            ahead=self.told,
            psnr=drawn,
            copy=copy,
            smooth=smooth,
            cases=self._cases,
            world=world,
        )


def measure(
    predictor: Predictor, game: str, clips: Iterable[Sequence[Array]], rate: float, **how: Any
) -> Measurement:
    """A predictor judged on clips; `how` as Judge takes it. Raises ConfigError where no clip is
    long enough."""
    judge = Judge(predictor, rate, **how)
    for clip in clips:
        judge.add(clip)
    return judge.result(game)


def read_table(path: Path = TABLE) -> list[Measurement]:
    """The recorded measurements; none where there is no file. Raises CorruptError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Measurement])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{path} is damaged: {error}") from error


def best(
    game: str,
    table: Iterable[Measurement],
    among: Sequence[str] = ("flow", "dream"),
    size: tuple[int, int] | None = None,
    world: str = "",
) -> str:
    """The predictor that is on by default for a game: the one with the largest mean gain of those
    that beat the copy by GAIN dB at every time; `none` where none does or nothing was recorded.

    size: height and width of the game's frames; of each predictor the measurement nearest to it
    counts. None: every one of them. world: the hash of the checkpoint that would dream, only whose
    own measurements count; empty: none does.
    """
    rows = [m for m in table if m.game == game and m.predictor in among]
    rows = [m for m in rows if m.predictor != "dream" or (world and m.world == world)]
    if size is not None and size[0] * size[1] > 0:
        rows = [_nearest(size, [m for m in rows if m.predictor == name]) for name in among
                if any(m.predictor == name for m in rows)]  # fmt: skip
    good = [m for m in rows if m.good]
    return max(good, key=lambda m: sum(m.gains) / len(m.gains)).predictor if good else "none"


def _nearest(size: tuple[int, int], rows: Sequence[Measurement]) -> Measurement:
    area = math.log(size[0] * size[1])
    return min(rows, key=lambda m: abs(math.log(max(m.size[0] * m.size[1], 1)) - area))


@cache
def _recorded() -> tuple[Measurement, ...]:
    return tuple(read_table())


def make(
    kind: str,
    game: str = "",
    given: Mapping[str, Predictor] | None = None,
    size: tuple[int, int] | None = None,
) -> Predictor | None:
    """The predictor of that kind, None for `none`; `auto` is the game's recorded default without
    dreams, for which somebody has to know whose they are (`best`).

    given: predictors of higher rooms by kind (`dream`). size: of the game's frames. Raises
    ConfigError for an unknown kind, and for `dream` where none was given.
    """
    given = given or {}
    if kind not in KINDS:
        raise ConfigError(f"predictor: {kind!r}; wanted one of {', '.join(KINDS)}")
    if kind == "auto":
        kind = best(game, _recorded(), ("flow",), size)
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

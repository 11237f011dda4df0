"""The arena as a BatchGame, as a Gymnasium environment and as a vector environment.

Knows levels, observations and the native batch; the rules are in csrc/games/arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from gymnasium import spaces as gs
from gymnasium.vector import AutoresetMode

from metabonk import _core
from metabonk.errors import ConfigError
from metabonk.games import level as levels
from metabonk.games.env import NativeEnv
from metabonk.games.level import Level
from metabonk.games.native import NativeBatch, NativeGame
from metabonk.games.source import Source, threads_of
from metabonk.games.vector import NativeVectorEnv
from metabonk.observations import OBSERVATION_SPACE
from metabonk.protocols import Array, FloatArray
from metabonk.records import ACTION_LAYOUT, GameState

TICKS_PER_SECOND = 60
PICTURE_TICKS = 4  # between two pictures of a film, at most
PICTURE = (360, 640)

# What names a level: nothing (the default), a name or path, plain data, or a Level.
LevelLike = Level | Mapping[str, Any] | str | Path | None


def make(
    rest: str,
    num_envs: int,
    level: LevelLike | list[Level] = None,
    threads: int = 0,
    pixels: tuple[int, int] = (0, 0),
    frame_skip: int = 0,
    batch_size: int = 0,
) -> ArenaGame:
    """`num_envs` arenas.

    level: a name of this package, the path of a JSON file, plain data, a Level, or one Level per
    environment. threads: 0 for one per processor. pixels: height and width of the observation
    `pixels`, (0, 0) for none. frame_skip: ticks of 1/60 s per decision, 0 for the level's own.
    batch_size: below `num_envs` for `send` and `recv`.
    """
    if rest:
        raise ConfigError(f"game: the arena has no variant {rest!r}, give a level")
    source = source_of(level, pixels, frame_skip)
    batch = source.make_batch(num_envs, threads_of(threads, num_envs), batch_size)
    return ArenaGame(source, batch, num_envs)


def make_for_person(level: LevelLike, picture: tuple[int, int] = PICTURE) -> ArenaGame:
    """One arena whose run, once over, goes on showing its menu instead of starting another.

    picture: height and width of what `render` gives.
    """
    source = source_of(level, picture=picture)
    batch = _core.arena.Batch(level_of(level).pack(), 1, autoreset=False)
    return ArenaGame(source, batch, 1)


def level_of(level: LevelLike, frame_skip: int = 0) -> Level:
    """The level that is meant. Raises SpecError at the path of a wrong field."""
    if isinstance(level, str | Path):
        chosen = levels.load(level) if str(level) else Level()
    elif isinstance(level, Level):
        chosen = level
    else:
        chosen = levels.parse({} if level is None else level)
    if frame_skip:
        time = msgspec.structs.replace(chosen.time, skip_min=frame_skip, skip_max=frame_skip)
        chosen = msgspec.structs.replace(chosen, time=time)
    return chosen


def source_of(
    level: LevelLike | list[Level] = None,
    pixels: tuple[int, int] = (0, 0),
    frame_skip: int = 0,
    picture: tuple[int, int] = PICTURE,
) -> Source:
    """The arena with these settings, not made yet."""
    many = isinstance(level, list)
    each: list[LevelLike] = [*level] if isinstance(level, list) else [level]
    chosen = [level_of(one, frame_skip) for one in each]
    packed = [one.pack() for one in chosen]
    height, width = pixels
    if min(pixels) < 0 or (height == 0) != (width == 0):
        raise ConfigError(f"pixels: {height}x{width}, give height and width, or 0x0 for none")
    spaces = dict(OBSERVATION_SPACE.spaces)
    if height or width:
        spaces["pixels"] = gs.Box(0, 255, (height, width, 3), np.uint8)

    def make_batch(num_envs: int, threads: int, batch_size: int) -> NativeBatch:
        if len(packed) not in (1, num_envs):
            raise ConfigError(f"level: {len(packed)} given for {num_envs} environments")
        try:
            return _core.arena.Batch(b"".join(packed), num_envs, threads, *pixels, batch_size)
        except ValueError as error:
            raise ConfigError(f"arena: {error}") from error

    def one(index: int) -> NativeBatch:
        return _core.arena.Batch(packed[index if many else 0], 1, 1, height, width)

    time = chosen[0].time
    rate = 2 * TICKS_PER_SECOND / (time.skip_min + time.skip_max)
    space = gs.Dict(spaces)
    return Source("arena", make_batch, one, space, ACTION_LAYOUT, rate, picture, many)


class ArenaGame(NativeGame):
    """N arenas as a BatchGame; also gives the records that observations are made of.

    Decisions of more than four ticks are shown in several pictures, unless their length varies.
    """

    def __init__(self, source: Source, batch: NativeBatch, num_envs: int) -> None:
        super().__init__(
            source.name,
            batch,
            num_envs,
            source.observation_space,
            source.action_layout,
            source.picture,
            source.frame_rate,
        )
        ticks = TICKS_PER_SECOND / source.frame_rate
        parts = -(-ticks // PICTURE_TICKS)
        self._between = int(ticks / parts) if ticks % parts == 0 else 0  # ticks; 0: one picture
        if self._between:
            self.picture_rate = TICKS_PER_SECOND / self._between

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        first = self.render(index)
        count = round(self.picture_rate / self.frame_rate)
        action = np.ascontiguousarray(row, np.float32)[None]
        later: list[Array] = [
            self.batch.render_ahead(index, action, part * self._between, *self.picture)  # type: ignore[attr-defined]
            for part in range(1, count)
        ]
        return [first, *later]

    def game_state(self, index: int) -> GameState:
        """Everything that environment `index` would tell an agent."""
        return GameState.unpack(self.batch.game_state(index))  # type: ignore[attr-defined]

    def walkability(self, index: int) -> Array:
        """uint8 [128, 128], row y, column x, cells of one metre: 1 where one can stand."""
        cells: Array = self.batch.walkability(index)  # type: ignore[attr-defined]
        return cells


class ArenaEnv(NativeEnv):
    """One arena: `gymnasium.make("metabonk/Arena-v0", level="hard", pixels=(84, 84))`.

    `reset(options={"level": ...})` plays another level from then on.
    """

    def __init__(
        self,
        level: LevelLike = None,
        pixels: tuple[int, int] = (0, 0),
        frame_skip: int = 0,
        render_mode: str | None = None,
        picture: tuple[int, int] = PICTURE,
    ) -> None:
        self._settings = (pixels, frame_skip, picture)
        super().__init__(source_of(level, pixels, frame_skip, picture), render_mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, float | int | bool]]:
        if options:
            unknown = set(options) - {"level"}
            if unknown:
                raise ConfigError(f"options: no {', '.join(sorted(unknown))}, known is 'level'")
            self._play(source_of(options["level"], *self._settings))
        return super().reset(seed=seed)


class ArenaVectorEnv(NativeVectorEnv):
    """N arenas: `gymnasium.make_vec("metabonk/Arena-v0", num_envs=64)`; see NativeVectorEnv."""

    def __init__(
        self,
        num_envs: int = 1,
        level: LevelLike | list[Level] = None,
        pixels: tuple[int, int] = (0, 0),
        frame_skip: int = 0,
        *,
        threads: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        picture: tuple[int, int] = PICTURE,
    ) -> None:
        super().__init__(
            source_of(level, pixels, frame_skip, picture),
            num_envs,
            threads=threads,
            autoreset_mode=autoreset_mode,
            copy=copy,
            render_mode=render_mode,
        )

"""grid64 as Gymnasium environments. Knows names and splits; the game is in games/grid64.py."""

from __future__ import annotations

from gymnasium.vector import AutoresetMode

from metabonk import _core
from metabonk.games.env import NativeEnv
from metabonk.games.grid64 import FRAME_RATE, LAYOUT, SIDE, SPACE, Split, check
from metabonk.games.native import NativeBatch
from metabonk.games.source import Source
from metabonk.games.vector import NativeVectorEnv


def source_of(game: str, split: Split = "train", scale: int = 8, layouts: int = 0) -> Source:
    """One of `grid64.names()`; scale: pixels per cell of `render`. layouts: see `grid64.make`."""
    check(game, split, layouts)

    def make_batch(num_envs: int, threads: int, batch_size: int) -> NativeBatch:
        return _core.grid64.Batch(game, split, num_envs, threads, batch_size, layouts=layouts)

    picture = (SIDE * scale, SIDE * scale)
    return Source(
        f"grid64/{game}",
        make_batch,
        lambda index: make_batch(1, 1, 0),
        SPACE,
        LAYOUT,
        FRAME_RATE,
        picture,
    )


class Grid64Env(NativeEnv):
    """One episode: `gymnasium.make("metabonk/Grid64-KeyDoor-v0")`."""

    def __init__(
        self,
        game: str,
        split: Split = "train",
        scale: int = 8,
        render_mode: str | None = None,
        layouts: int = 0,
    ) -> None:
        super().__init__(source_of(game, split, scale, layouts), render_mode)


class Grid64VectorEnv(NativeVectorEnv):
    """N episodes: `gymnasium.make_vec("metabonk/Grid64-KeyDoor-v0", num_envs=64)`."""

    def __init__(
        self,
        num_envs: int = 1,
        game: str = "key_door",
        split: Split = "train",
        scale: int = 8,
        *,
        threads: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        layouts: int = 0,
    ) -> None:
        super().__init__(
            source_of(game, split, scale, layouts),
            num_envs,
            threads=threads,
            autoreset_mode=autoreset_mode,
            copy=copy,
            render_mode=render_mode,
        )

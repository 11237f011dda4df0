"""Frames that a world model dreams, for System 2's strips (`protocols.Predictor`).

Knows the world model's four verbs, and frames with times; does not know strips or who asks. The
model watches the given frames at its own pace, then dreams on for as many steps as the asked times
are away: the mean of several dreams, so that what it does not know is blurred and not invented. Of
a time between two steps both frames count. What strips do not carry is unknown here: other numbers
are shown as zeros, and what the player will do as nothing. A model of other sizes is drawn at its
own and enlarged, which costs sharpness: whether it beats copying the last frame is measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.games import from_config
from metabonk.learn.dreams import versions as dreams
from metabonk.models.encoders import is_image
from metabonk.models.world import Latent, WorldModel
from metabonk.ops.frames import resize
from metabonk.protocols import Array

DRAWS = 8  # dreams that are averaged
CONTEXT = 6  # steps that are watched at most


class DreamFrames:
    """world: a model whose observation has one picture uint8 [H, W, 3]. rate: of its steps, per
    second of game time. One thread at a time. Raises ConfigError for a model without a picture."""

    name = "dream"

    def __init__(self, world: WorldModel, rate: float) -> None:
        self._world, self._rate = world, rate
        pictures = [
            key
            for key, space in world.space.spaces.items()
            if isinstance(space, gs.Box) and is_image(space) and space.shape[-1:] == (3,)
            and len(space.shape) == 3
        ]  # fmt: skip
        if len(pictures) != 1:
            raise ConfigError(
                f"predictor: this world model sees {len(pictures)} pictures, dream needs one: "
                "train it on frames (--set game.pixels=84x84)"
            )
        self._key = pictures[0]
        shape = world.space[self._key].shape
        assert shape is not None
        self._size = (int(shape[0]), int(shape[1]))

    @torch.no_grad()
    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        """Frames of the last one's size at the times `at`, seconds on the clock of `times`. Raises
        ValueError for no frames."""
        if not frames or len(frames) != len(times):
            raise ValueError(f"frames: {len(frames)} with {len(times)} times; wanted one or more")
        steps = [max((when - times[-1]) * self._rate, 0.0) for when in at]
        size = frames[-1].shape[:2]
        last = resize(np.ascontiguousarray(frames[-1]), *self._size)
        drawn = [last.astype(np.float32), *self._dreamed(frames, times, max(steps, default=0.0))]
        out = []
        for step in steps:
            low = int(step)
            share = step - low
            mixed = drawn[low] * (1.0 - share)
            if share:
                mixed += drawn[low + 1] * share
            small = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
            out.append(resize(small, size[0], size[1], method="bilinear"))
        return out

    def _dreamed(
        self, frames: Sequence[Array], times: Sequence[float], steps: float
    ) -> list[Array]:
        """float32 [H, W, 3] of every dreamed step, as many as reach `steps`."""
        world, rows = self._world, torch.zeros(DRAWS, self._world.layout.columns)
        generator = torch.Generator().manual_seed(0)  # the same frames give the same dream
        state = world.init(DRAWS)
        watched = self._watched(frames, times)
        for number, index in enumerate(watched):
            noise = world.rssm.noise(DRAWS, generator=generator)
            first = torch.full((DRAWS,), number == 0)
            state = world.observe(state, rows, self._shown(frames[index]), first, noise)
        found = []
        for _ in range(int(np.ceil(steps))):
            state = world.imagine(state, rows, world.rssm.noise(DRAWS, generator=generator))
            found.append(self._seen(state))
        return found

    def _watched(self, frames: Sequence[Array], times: Sequence[float]) -> list[int]:
        """Indices of the frames nearest to the model's steps up to the last one, oldest first."""
        chosen: list[int] = []
        for k in range(CONTEXT):
            wanted = times[-1] - k / self._rate
            index = int(np.argmin([abs(t - wanted) for t in times]))
            if abs(times[index] - wanted) > 0.5 / self._rate or index in chosen:
                break  # further back there is nothing, or the frames are not that dense
            chosen.insert(0, index)
        return chosen or [len(frames) - 1]

    def _shown(self, frame: Array) -> dict[str, Tensor]:
        """An observation [DRAWS, ...] of which only the picture and the time step are known."""
        shown: dict[str, Tensor] = {}
        for key, space in self._world.space.spaces.items():
            shape = space.shape
            assert shape is not None
            if key == self._key:
                small = resize(np.ascontiguousarray(frame), *self._size)
                one = torch.from_numpy(small)
            else:
                kind = torch.from_numpy(np.zeros(1, space.dtype)).dtype
                one = torch.zeros(shape, dtype=kind)
                if key == "dt":
                    one += 1.0 / self._rate
            shown[key] = one.expand(DRAWS, *shape).contiguous()
        return shown

    def _seen(self, state: Latent) -> Array:
        picture = self._world.decode(state).observation[self._key].float().mean(0)
        seen: Array = picture.numpy()
        return seen


def of_run(run: Path, config: Config) -> DreamFrames:
    """The world model in a run's newest checkpoint. Raises CheckpointError where it has none,
    ConfigError where that sees no picture."""
    with contextlib.closing(from_config(config.game, 1)) as game:
        found = dreams.of_run(run, game.observation_space, game.action_layout, config)
        return DreamFrames(found.world, getattr(game, "frame_rate", 60.0))

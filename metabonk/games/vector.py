"""A native game as a Gymnasium vector environment.

Knows Gymnasium's VectorEnv and a native batch. Equals `SyncVectorEnv` over the single environment
step by step, infos included, in both autoreset modes; `metadata["autoreset_mode"]` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metabonk.errors import ConfigError
from metabonk.games.batch import allocate, encode_rows
from metabonk.games.env import scalars
from metabonk.games.native import NativeBatch
from metabonk.games.source import Flags, Source, threads_of
from metabonk.protocols import Array

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Step = tuple[dict[str, Array], Float64, Bools, Bools, dict[str, Any]]


class NativeVectorEnv(VectorEnv[dict[str, Array], Any, Any]):
    """N environments of a native game on a pool of threads.

    threads: 0 for one per processor. autoreset_mode: NextStep (an ended environment starts again
    in the next step, ignoring its action) or SameStep (at once; `info["final_obs"]` and
    `info["final_info"]` hold what the episode ended with). copy: every step returns arrays of its
    own; without it the same arrays are written again by the next step.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        source: Source,
        num_envs: int = 1,
        *,
        threads: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
    ) -> None:
        mode = AutoresetMode(autoreset_mode)
        if mode is AutoresetMode.DISABLED:
            raise ConfigError("autoreset_mode: give NextStep or SameStep")
        if num_envs < 1:
            raise ConfigError(f"num_envs: {num_envs}, give at least 1")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode: {render_mode!r}, known is 'rgb_array'")
        self.source = source
        self.num_envs = num_envs
        self.copy = copy
        self.render_mode = render_mode
        self.autoreset_mode = mode
        self.metadata = {
            **type(self).metadata,
            "render_fps": source.frame_rate,
            "autoreset_mode": mode,
        }
        self.single_observation_space = source.observation_space
        self.single_action_space = source.action_layout.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.batch = source.make_batch(num_envs, threads_of(threads, num_envs), 0)
        self._rows = np.zeros((num_envs, source.action_layout.columns), np.float32)
        self._kept = self._bound()
        self._spare: dict[int, NativeBatch] = {}  # batches of one, by level

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """seed: an integer stands for seed, seed + 1, ...; None draws."""
        if options:
            raise ConfigError(f"options: none are known here, not {', '.join(options)}")
        super().reset(seed=seed if isinstance(seed, int) else None)
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        drawn = [None] * self.num_envs if seeds is None else list(seeds)
        if len(drawn) != self.num_envs:
            raise ConfigError(f"seed: {len(drawn)} given for {self.num_envs} environments")
        starts = [int(self.np_random.integers(2**63)) if s is None else s for s in drawn]
        _, observation, buffers = self._bound() if self.copy else self._kept
        self.batch.reset(np.array(starts, np.uint64), buffers)
        return observation, self._infos()

    def step(self, actions: Any) -> Step:
        encode_rows(self.single_action_space, actions, self._rows)
        flags, observation, buffers = self._bound() if self.copy else self._kept
        self.batch.step(self._rows, buffers)
        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            for i in np.flatnonzero(flags.terminated | flags.truncated).tolist():
                self._finish(i, observation, final)
        reward = flags.reward.astype(np.float64)
        return observation, reward, flags.terminated, flags.truncated, {**final, **self._infos()}

    def render(self) -> tuple[Array, ...] | None:
        """One frame uint8 [H, W, 3] per environment, or None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self.batch.render(i, *self.source.picture) for i in range(self.num_envs))

    def _bound(self) -> tuple[Flags, dict[str, Array], Any]:
        flags = Flags(self.num_envs)
        observation = allocate(self.source.observation_space, self.num_envs)
        return flags, observation, self.batch.bind(observation, *flags.arrays())

    def _infos(self) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for key, values in self.batch.episode_info().items():
            wide = values.dtype == np.float32
            infos[key] = values.astype(np.float64) if wide else values
            infos[f"_{key}"] = np.ones(self.num_envs, np.bool_)
        return infos

    def _finish(self, index: int, observation: dict[str, Array], infos: dict[str, Any]) -> None:
        """Keeps what one episode ended with and starts the next of its seed in the same step.

        A batch of one does it, so that the other environments stand still.
        """
        last = {key: array[index].copy() for key, array in observation.items()}
        info = scalars(self.batch.episode_info(), index)
        infos.update(self._add_info(infos, {"final_obs": last, "final_info": info}, index))
        spare = self._spare_for(index)
        spare.restore_one(0, self.batch.clone_one(index))
        rows = {key: array[index : index + 1] for key, array in observation.items()}
        idle = np.zeros((1, self._rows.shape[1]), np.float32)
        spare.step(idle, spare.bind(rows, *Flags(1).arrays()))
        self.batch.restore_one(index, spare.clone_one(0))

    def _spare_for(self, index: int) -> NativeBatch:
        level = index if self.source.distinct else 0
        if level not in self._spare:
            self._spare[level] = self.source.one(level)
        return self._spare[level]

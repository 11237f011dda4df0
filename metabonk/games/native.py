"""A batch of the native core as a BatchGame: the core writes straight into the caller's arrays.

Knows how native batches are bound and stepped; does not know which game they play.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.errors import CorruptError
from metabonk.games.batch import check_seeds
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

_BOUND = 8  # sets of arrays that stay bound, and alive: those of a loop or two, not of a rollout


class NativeBatch(Protocol):
    """What `_core.arena.Batch` and `_core.grid64.Batch` have in common."""

    def bind(
        self,
        observation: dict[str, Any],
        reward: Any,
        terminated: Any,
        truncated: Any,
        is_reset: Any,
    ) -> Any: ...

    def reset(self, seeds: Any, buffers: Any) -> None: ...

    def step(self, actions: Any, buffers: Any) -> None: ...

    def write(self, buffers: Any) -> None: ...

    def send(self, actions: Any, env_ids: Any) -> None: ...

    def recv(self, buffers: Any) -> Any: ...

    def clone_state(self) -> bytes: ...

    def restore_state(self, state: bytes) -> None: ...

    def clone_one(self, index: int) -> bytes: ...

    def restore_one(self, index: int, state: bytes) -> None: ...

    def hashes(self) -> Any: ...

    def episode_info(self) -> dict[str, Any]: ...

    def render(self, index: int, height: int, width: int) -> Any: ...


class NativeGame:
    """N environments of the core. Sets of arrays are checked when first seen; the last eight are
    remembered, which keeps them in memory until others take their place or `close`.

    Takes one call at a time: RuntimeError in a thread that calls while another one's call runs.

    picture: height and width of what `render` gives. frame_rate: decisions per second of game time.
    """

    snapshots = True

    def __init__(
        self,
        name: str,
        batch: NativeBatch,
        num_envs: int,
        observation_space: gs.Dict,
        action_layout: ActionLayout,
        picture: tuple[int, int],
        frame_rate: float,
    ) -> None:
        self.name = name
        self.batch = batch
        self.num_envs = num_envs
        self.observation_space = observation_space
        self.action_layout = action_layout
        self.picture = picture
        self.frame_rate = self.picture_rate = frame_rate
        # What is bound keeps its arrays alive, so that no other array can have one of their ids.
        self._bound: dict[tuple[object, ...], Any] = {}
        self._spare = _outcome(num_envs)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        """Starts every environment anew; seeds are taken modulo 2**64."""
        check_seeds(seeds, self.num_envs)
        numbers = np.array([int(seed) % 2**64 for seed in seeds], np.uint64)
        self.batch.reset(numbers, self._buffers(observation, *self._spare))

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        buffers = self._buffers(observation, reward, terminated, truncated, is_reset)
        self.batch.step(actions, buffers)

    def observe_into(self, observation: Observation) -> None:
        """Writes the observations of the present moment, after restore_state; no reward or flag."""
        self.batch.write(self._buffers(observation, *self._spare))

    def send(self, actions: FloatArray, env_ids: npt.NDArray[np.int32]) -> None:
        """Starts stepping environments `env_ids` [n] with rows float32 [n, columns]."""
        self.batch.send(actions, env_ids)

    def recv(
        self,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> npt.NDArray[np.int32]:
        """Waits for the `batch_size` environments of those sent that are ready first, writes them
        into arrays [batch_size, ...] and returns whose rows they are, [batch_size]."""
        buffers = self._buffers(observation, reward, terminated, truncated, is_reset)
        ids: npt.NDArray[np.int32] = self.batch.recv(buffers)
        return ids

    def clone_state(self) -> bytes:
        return self.batch.clone_state()

    def restore_state(self, state: bytes) -> None:
        """Raises CorruptError for bytes that are no undamaged clone of such a batch."""
        try:
            self.batch.restore_state(state)
        except ValueError as error:
            raise CorruptError(f"{self.name}: {error}") from error

    def episode_info(self) -> Mapping[str, Array]:
        return self.batch.episode_info()

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Hash of every environment's state, uint64 [N]."""
        hashes: npt.NDArray[np.uint64] = self.batch.hashes()
        return hashes

    def render(self, index: int) -> Array:
        frame: Array = self.batch.render(index, *self.picture)
        return frame

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        self._bound.clear()

    def _buffers(self, observation: Observation, *flags: Array) -> Any:
        key = (*observation, *map(id, observation.values()), *map(id, flags))
        buffers = self._bound.pop(key, None)
        if buffers is None:
            buffers = self.batch.bind(dict(observation), *flags)
            if len(self._bound) >= _BOUND:
                del self._bound[next(iter(self._bound))]  # the one used longest ago
        self._bound[key] = buffers
        return buffers


def _outcome(num_envs: int) -> tuple[FloatArray, BoolArray, BoolArray, BoolArray]:
    """Reward, terminated, truncated and is_reset [N] that nobody asked for."""
    terminated, truncated, is_reset = (np.zeros(num_envs, np.bool_) for _ in range(3))
    return np.zeros(num_envs, np.float32), terminated, truncated, is_reset

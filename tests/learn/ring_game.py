"""The ring of ring_world as a game that can be played, kept and put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ring_world import LAYOUT, SIDE, SPACE

from metabonk.protocols import Array, BoolArray, FloatArray, Observation

LENGTH = 20


class Ring:
    """Episodes of LENGTH steps on a ring of four places; reward 1 on place 0."""

    name = "ring"
    observation_space, action_layout = SPACE, LAYOUT
    snapshots = True
    frame_rate = picture_rate = 8.0

    def __init__(self, num_envs: int = 1) -> None:
        self.num_envs = num_envs
        self.place = np.zeros(num_envs, np.int64)
        self.time = np.zeros(num_envs, np.int64)
        self.ended = np.zeros(num_envs, np.bool_)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        self.place[:] = np.array(seeds) % SIDE
        self.time[:], self.ended[:] = 0, False
        observation["observation"][:] = np.eye(SIDE, dtype=np.float32)[self.place]

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        is_reset[:] = self.ended
        move = np.array([0, -1, 1])[actions[:, 0].astype(int)]
        self.place[:] = (self.place + np.where(self.ended, 1, move)) % SIDE
        self.time[:] = np.where(self.ended, 0, self.time + 1)
        reward[:] = np.where(self.ended, 0.0, self.place == 0)
        self.ended[:] = self.time == LENGTH
        terminated[:], truncated[:] = False, self.ended
        observation["observation"][:] = np.eye(SIDE, dtype=np.float32)[self.place]

    def clone_state(self) -> bytes:
        return np.stack([self.place, self.time, self.ended]).tobytes()

    def restore_state(self, state: bytes) -> None:
        rows = np.frombuffer(state, np.int64).reshape(3, -1)
        self.place[:], self.time[:], self.ended[:] = rows

    def episode_info(self) -> Mapping[str, Array]:
        return {"return": np.zeros(self.num_envs), "length": self.time.copy()}

    def render(self, index: int) -> Array:
        shown = np.zeros((10, 10, 3), np.uint8)
        shown[:, int(self.place[index]) * 2] = 255
        return shown

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        pass

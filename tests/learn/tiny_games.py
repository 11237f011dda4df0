"""Tiny games for tests: one-step probes, a memory task, random walks with every kind of ending.

The five probes (after Andy L. Jones) each need one more part of a learner than the one before: a
constant reward, a value that depends on the observation, discounting over two steps, a reward that
depends on the action, and one that depends on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces as gs

from metabonk.games.batch import EpisodeSums
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout


class TinyGame:
    """Episodes of `length` steps with a cue of -1 or 1 drawn at their start.

    Subclasses say what is seen (`see`) and earned (`earn`). State is a dict of arrays, which is
    what `clone_state` packs.
    """

    name = "tiny"
    snapshots = True
    length = 1
    width = 1

    def __init__(self, num_envs: int, space: gs.Space[Any] | None = None) -> None:
        self.num_envs = num_envs
        self.observation_space = gs.Dict(
            observation=gs.Box(-np.inf, np.inf, (self.width,), np.float32)
        )
        self.action_layout = ActionLayout.of(space or gs.Discrete(2))
        self.state: dict[str, Array] = {
            "seed": np.zeros(num_envs, np.uint64),
            "episode": np.zeros(num_envs, np.uint64),
            "time": np.zeros(num_envs, np.int64),
            "cue": np.zeros(num_envs, np.float32),
            "ended": np.zeros(num_envs, np.bool_),
        }
        self.sums = EpisodeSums(num_envs)
        self.state |= {"return": self.sums.returns, "length": self.sums.length}

    def see(self) -> FloatArray:
        raise NotImplementedError

    def earn(self, actions: FloatArray) -> FloatArray:
        raise NotImplementedError

    def endings(self) -> tuple[BoolArray, BoolArray]:
        """Which episodes terminate and which are truncated after this step."""
        over = self.state["time"] >= self.length
        return over, np.zeros_like(over)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        self.state["seed"][:] = seeds
        self.state["episode"][:] = 0
        self.state["ended"][:] = False
        self.sums.reset()
        self._begin(np.ones(self.num_envs, np.bool_))
        observation["observation"][:] = self.see()

    def _begin(self, which: BoolArray) -> None:
        s = self.state
        mixed = (s["seed"] * np.uint64(2654435761) + s["episode"] * np.uint64(40503)) >> np.uint64(
            7
        )
        s["cue"][which] = np.where(mixed[which] & np.uint64(1), 1.0, -1.0)
        s["time"][which] = 0
        s["episode"][which] += np.uint64(1)

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        s = self.state
        is_reset[:] = s["ended"]
        live = ~s["ended"]
        reward[:] = np.where(live, self.earn(actions), 0.0)
        s["time"][live] += 1
        over, cut = self.endings()
        terminated[:], truncated[:] = over & live, cut & live & ~over
        self._begin(~live)
        s["ended"][:] = terminated | truncated
        self.sums.add(reward, is_reset)
        observation["observation"][:] = self.see()

    def clone_state(self) -> bytes:
        return b"".join(array.tobytes() for array in self.state.values())

    def restore_state(self, state: bytes) -> None:
        start = 0
        for array in self.state.values():
            stop = start + array.nbytes
            array[:] = np.frombuffer(state[start:stop], array.dtype)
            start = stop

    def episode_info(self) -> Mapping[str, Array]:
        return self.sums.info()

    def close(self) -> None:
        pass


class Constant(TinyGame):
    def see(self) -> FloatArray:
        return np.zeros((self.num_envs, 1), np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        return np.ones(self.num_envs, np.float32)


class Seen(TinyGame):
    """The reward is what was seen."""

    def see(self) -> FloatArray:
        return self.state["cue"][:, None]

    def earn(self, actions: FloatArray) -> FloatArray:
        return self.state["cue"].copy()


class TwoSteps(TinyGame):
    length = 2

    def see(self) -> FloatArray:
        return self.state["time"][:, None].astype(np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        return (self.state["time"] == 1).astype(np.float32)


class Acted(TinyGame):
    """Choice 1 earns 1, choice 0 loses 1."""

    def see(self) -> FloatArray:
        return np.zeros((self.num_envs, 1), np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        return actions[:, 0] * 2 - 1


class SeenAndActed(TinyGame):
    """The choice must match what is seen."""

    def see(self) -> FloatArray:
        return self.state["cue"][:, None]

    def earn(self, actions: FloatArray) -> FloatArray:
        return (actions[:, 0] * 2 - 1) * self.state["cue"]


class Memory(TinyGame):
    """The cue is shown in the first of five observations; the last choice must match it."""

    length = 5
    width = 2

    def see(self) -> FloatArray:
        time = self.state["time"]
        seen = np.where(time == 0, self.state["cue"], 0.0)
        return np.stack([seen, time == self.length - 1], 1).astype(np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        last = self.state["time"] == self.length - 1
        return (last * (actions[:, 0] * 2 - 1) * self.state["cue"]).astype(np.float32)


class Elapsed(TinyGame):
    """Steps of random length; the last choice says whether more time than usual has passed.

    `told`: what the observation `dt` says instead of the truth, or None for the truth.
    """

    length = 4
    usual = 0.4  # seconds in three steps, on average

    def __init__(self, num_envs: int, told: float | None = None) -> None:
        super().__init__(num_envs)
        self.told = told
        self.observation_space["dt"] = gs.Box(0.0, 1.0, (1,), np.float32)
        self.state["total"] = np.zeros(num_envs, np.float32)
        self.state["dt"] = np.zeros(num_envs, np.float32)

    def _begin(self, which: BoolArray) -> None:
        super()._begin(which)
        self.state["total"][which] = 0.0

    def see(self) -> FloatArray:
        return (self.state["time"] == self.length - 1)[:, None].astype(np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        s = self.state
        long = s["total"] > self.usual
        last = s["time"] == self.length - 1
        return (last * np.where((actions[:, 0] > 0.5) == long, 1.0, -1.0)).astype(np.float32)

    def _pass_time(self, observation: Observation) -> None:
        s = self.state
        mixed = (
            s["seed"] + s["episode"] * np.uint64(31) + s["time"].astype(np.uint64)
        ) * np.uint64(0x9E3779B97F4A7C15)
        s["dt"][:] = np.where((mixed >> np.uint64(33)) & np.uint64(1), 0.24, 0.02667)
        s["total"] += np.where(s["time"] > 0, s["dt"], 0.0).astype(np.float32)
        observation["dt"][:, 0] = s["dt"] if self.told is None else self.told

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        super().reset_into(observation, seeds)
        self._pass_time(observation)

    def step_into(self, actions: FloatArray, observation: Observation, *flags: Any) -> None:
        super().step_into(actions, observation, *flags)
        self._pass_time(observation)


class Walk(TinyGame):
    """A random walk by the policy's choices: terminates at 5, truncated after `length` steps."""

    name = "tiny-walk"
    length = 11
    width = 3

    def __init__(self, num_envs: int, space: gs.Space[Any] | None = None) -> None:
        super().__init__(num_envs, space)
        self.state["place"] = np.zeros(num_envs, np.float32)

    def _begin(self, which: BoolArray) -> None:
        super()._begin(which)
        self.state["place"][which] = self.state["cue"][which]

    def see(self) -> FloatArray:
        s = self.state
        return np.stack([s["place"], s["time"] / 10.0, s["cue"]], 1).astype(np.float32)

    def earn(self, actions: FloatArray) -> FloatArray:
        move = actions[:, 0] * 2 - 1
        self.state["place"] += np.where(self.state["ended"], 0.0, move).astype(np.float32)
        return np.asarray(self.state["place"] * 0.1, np.float32)

    def endings(self) -> tuple[BoolArray, BoolArray]:
        return np.abs(self.state["place"]) >= 5, self.state["time"] >= self.length

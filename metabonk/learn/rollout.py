"""Rollouts: what a policy did, in arrays that the game and the network share.

Knows BatchGame, ActorCritic and numpy. Does not know losses: what is collected here can be learned
from in another process (`to_bytes`, `from_bytes`).

Slot t of a rollout holds observation t; step t goes from slot t to slot t + 1. The game writes its
observation straight into the slot that the network reads next, and its `is_reset` into `is_first`
of that slot. Slots before `burn_in` are the end of the previous rollout: a recurrent state can be
warmed up over them, nothing is learned from them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.errors import CorruptError
from metabonk.models.policy import ActorCritic, Output
from metabonk.protocols import Array, BatchGame, BoolArray, FloatArray
from metabonk.spaces import ActionLayout

NOISE_STREAM = 1


@dataclass
class Rollout:
    """S = burn_in + T steps of N environments.

    observation: by key [S + 1, N, ...]. action float32 [S, N, columns]. log_prob float32
    [S, N, branches], of the policy that acted. reward float32, terminated and truncated bool
    [S, N]. is_first bool [S + 1, N]. value float32 [S + 1, N]. state float32 [S + 1, N, R]: the
    recurrent state before each observation. version: of the policy that acted. first: the step at
    which the last `collect` began. episodes: sums of the episodes that ended since then.
    """

    burn_in: int
    observation: dict[str, Array]
    action: FloatArray
    log_prob: FloatArray
    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    is_first: BoolArray
    value: FloatArray
    state: FloatArray
    version: int = 0
    first: int = 0
    episodes: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def allocate(
        cls,
        space: gs.Dict,
        layout: ActionLayout,
        num_envs: int,
        horizon: int,
        *,
        state_size: int = 0,
        burn_in: int = 0,
    ) -> Rollout:
        """Zeroed arrays for `burn_in + horizon` steps."""
        steps, n = burn_in + horizon, num_envs
        return cls(
            burn_in,
            {
                key: np.zeros((steps + 1, n, *(sub.shape or ())), sub.dtype)
                for key, sub in space.spaces.items()
            },
            action=np.zeros((steps, n, layout.columns), np.float32),
            log_prob=np.zeros((steps, n, len(layout.branches)), np.float32),
            reward=np.zeros((steps, n), np.float32),
            terminated=np.zeros((steps, n), np.bool_),
            truncated=np.zeros((steps, n), np.bool_),
            is_first=np.zeros((steps + 1, n), np.bool_),
            value=np.zeros((steps + 1, n), np.float32),
            state=np.zeros((steps + 1, n, state_size), np.float32),
        )

    @property
    def num_envs(self) -> int:
        return int(self.reward.shape[1])

    @property
    def horizon(self) -> int:
        """Steps that are learned from."""
        return len(self.reward) - self.burn_in

    def arrays(self) -> dict[str, Array]:
        """Every array by name; observations as `observation.<key>`."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        found = {k: v for k, v in named.items() if isinstance(v, np.ndarray)}
        return found | {f"observation.{k}": v for k, v in self.observation.items()}

    def tensors(self) -> dict[str, Tensor]:
        """`arrays` as tensors over the same memory."""
        return {key: torch.from_numpy(array) for key, array in self.arrays().items()}

    def carry(self, other: Rollout, slot: int) -> None:
        """Takes the last observation of `other` as observation `slot`, with what came before it.

        As many steps of `other` as fit before `slot` come along; `other` may be this rollout.
        """
        here = self.arrays()
        for key, array in other.arrays().items():
            extra = len(array) - len(other.reward)  # 1 for what has a slot after the last step
            count = min(slot, len(other.reward)) + extra
            if count:
                here[key][slot + extra - count : slot + extra] = array[-count:].copy()

    def to_bytes(self) -> bytes:
        """The rollout as safetensors."""
        from safetensors.numpy import save

        meta = {"burn_in": str(self.burn_in), "version": str(self.version)}
        return bytes(save({k: np.ascontiguousarray(v) for k, v in self.arrays().items()}, meta))

    @classmethod
    def from_bytes(cls, data: bytes) -> Rollout:
        """Inverse of `to_bytes`, without the list of ended episodes. Raises CorruptError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays: dict[str, Array] = dict(load(data))
            meta = _metadata(data)
            burn_in, version = int(meta["burn_in"]), int(meta["version"])
            plain: dict[str, Any] = {k: v for k, v in arrays.items() if "." not in k}
            seen = {k.split(".", 1)[1]: v for k, v in arrays.items() if k not in plain}
            return cls(burn_in=burn_in, observation=seen, version=version, **plain)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"not a rollout: {error}") from error


def _metadata(data: bytes) -> dict[str, str]:
    import msgspec

    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = msgspec.json.decode(data[8 : 8 + length])
    return dict(header["__metadata__"])


@dataclass
class Noise:
    """Random numbers for every step of a rollout, drawn in one call each.

    Counter-based (Philox, Salmon et al. 2011): the numbers are a pure function of the seed and the
    rollout's number, so that a resumed run needs no generator state.

    memory: correlation of the normal numbers from one step to the next, 0 for none. What takes
    seconds to pay off, as running through a crowd, is never tried by noise that points elsewhere
    ten times a second. Each number by itself stays standard normal, and that is what
    log-probabilities are of (Eberhard et al. 2023; for PPO Hollenstein et al. 2024).
    """

    seed: int
    memory: float = 0.0

    def draw(
        self, rollout: int, shape: tuple[int, int], model: ActorCritic
    ) -> tuple[Tensor, Tensor]:
        """uniform [T, N, categorical] in [0, 1) and normal [T, N, continuous]."""
        philox = np.random.Philox(key=[self.seed, NOISE_STREAM], counter=[0, 0, 0, rollout])
        generator = np.random.Generator(philox)
        uniform = generator.random((*shape, model.head.categorical), np.float32)
        normal = generator.standard_normal((*shape, model.head.continuous), np.float32)
        if self.memory:
            fresh = np.float32(np.sqrt(1.0 - self.memory**2))
            for t in range(1, len(normal)):
                normal[t] = normal[t] * fresh + normal[t - 1] * np.float32(self.memory)
        return torch.from_numpy(uniform), torch.from_numpy(normal)


class Collector:
    """Plays a game with a policy and fills rollouts.

    `collect` returns the same Rollout object each time, the end of the last one carried over to
    its beginning. seconds: where the time of the last `collect` went, `env` and `policy`.
    """

    def __init__(
        self, game: BatchGame, model: ActorCritic, *, horizon: int, burn_in: int = 0, seed: int = 0
    ) -> None:
        self.game = game
        self.model = model
        self.noise = Noise(seed)
        self.count = 0  # rollouts collected
        self.steps = 0  # environment steps taken
        self.seconds = {"env": 0.0, "policy": 0.0}
        self.started = False
        self.rollout: Rollout
        self.resize(horizon, burn_in)

    def resize(self, horizon: int, burn_in: int) -> None:
        """Changes the shape of the rollouts to come; episodes go on where they are."""
        previous = self.rollout if self.started else None
        self.rollout = Rollout.allocate(
            self.game.observation_space,
            self.game.action_layout,
            self.game.num_envs,
            horizon,
            state_size=self.model.state_size,
            burn_in=burn_in,
        )
        self._previous = previous or self.rollout
        self._warm = burn_in == 0  # whether the slots before burn_in hold steps that were played
        tensors = self.rollout.tensors()
        self._tensors = tensors
        slots = range(len(self.rollout.reward) + 1)
        seen = self.rollout.observation
        self._slots = [{key: array[t] for key, array in seen.items()} for t in slots]
        self._seen = [{key: tensors[f"observation.{key}"][t] for key in seen} for t in slots]

    def start(self, seeds: Sequence[int]) -> None:
        """Begins new episodes everywhere; the next `collect` plays on from their beginning."""
        last = len(self.rollout.reward)
        self.game.reset_into(self._slots[last], seeds)
        self.rollout.is_first[last] = True
        self.rollout.state[last] = 0.0
        self._previous, self._warm, self.started = self.rollout, self.rollout.burn_in == 0, True

    def collect(self, version: int = 0) -> Rollout:
        """Plays `horizon` steps in every environment (and, once, `burn_in` more before them)."""
        rollout, steps = self.rollout, len(self.rollout.reward)
        first = rollout.burn_in if self._warm else 0
        rollout.carry(self._previous, first)
        self._previous, self._warm = rollout, True
        rollout.version, rollout.first = version, first
        rollout.episodes = {}
        uniform, normal = self.noise.draw(self.count, (steps, rollout.num_envs), self.model)
        clock = time.perf_counter
        began, env = clock(), 0.0
        with torch.inference_mode():
            for t in range(first, steps):
                self._decide(t, uniform[t], normal[t])
                before = clock()
                self.game.step_into(
                    rollout.action[t],
                    self._slots[t + 1],
                    rollout.reward[t],
                    rollout.terminated[t],
                    rollout.truncated[t],
                    rollout.is_first[t + 1],
                )
                env += clock() - before
                self._note_ends(t)
            self._evaluate(steps)
        self.seconds = {"env": env, "policy": clock() - began - env}
        self.count += 1
        self.steps += (steps - first) * rollout.num_envs
        return rollout

    def _evaluate(self, t: int) -> Output:
        tensors = self._tensors
        out = self.model.step(self._seen[t], tensors["state"][t], tensors["is_first"][t])
        tensors["value"][t] = out.value
        return out

    def _decide(self, t: int, uniform: Tensor, normal: Tensor) -> None:
        tensors = self._tensors
        out = self._evaluate(t)
        if self.model.state_size:
            tensors["state"][t + 1] = out.state
        self.model.head.sample(
            out.parameters,
            self._seen[t].get("action_mask"),
            uniform,
            normal,
            tensors["action"][t],
            tensors["log_prob"][t],
        )

    def _note_ends(self, t: int) -> None:
        ended = self.rollout.terminated[t] | self.rollout.truncated[t]
        if ended.any():
            for key, values in self.game.episode_info().items():
                self.rollout.episodes.setdefault(key, []).extend(values[ended].tolist())

    def state(self) -> dict[str, Array]:
        """What `load` needs to go on exactly here, apart from the game's own state."""
        keep = self.rollout.burn_in
        arrays = {}
        for key, array in self.rollout.arrays().items():
            count = keep + len(array) - len(self.rollout.reward)
            arrays[key] = array[len(array) - count :]
        counters = np.array([self.count, self.steps, int(self._warm)], np.int64)
        return {**arrays, "counters": counters}

    def load(self, state: Mapping[str, Array]) -> None:
        """Inverse of `state` for a collector of the same shape."""
        for key, array in self.rollout.arrays().items():
            saved = state[key]
            if len(saved):
                array[-len(saved) :] = saved
        self.count, self.steps, warm = (int(v) for v in state["counters"])
        self._previous, self._warm, self.started = self.rollout, bool(warm), True

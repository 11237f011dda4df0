"""Rollouts: what a policy did, in arrays that the game and the network share.

Knows spaces, layouts and numpy. Does not know who fills them (collector.py) or learns from them,
which may be in another process (`to_bytes`, `from_bytes`).

Slot t of a rollout holds observation t; step t goes from slot t to slot t + 1. The game writes its
observation straight into the slot that the network reads next, and its `is_reset` into `is_first`
of that slot. Slots before `burn_in` are the end of the previous rollout: a recurrent state can be
warmed up over them, nothing is learned from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.errors import CorruptError
from metabonk.protocols import Array, BoolArray, FloatArray
from metabonk.spaces import ActionLayout


@dataclass
class Rollout:
    """S = burn_in + T steps of N environments.

    observation: by key [S + 1, N, ...]. action float32 [S, N, columns]. log_prob float32
    [S, N, branches], of the policy that acted. reward float32, terminated and truncated bool
    [S, N]. is_first bool [S + 1, N]. value float32 [S + 1, N]. state float32 [S + 1, N, R]: the
    recurrent state before each observation. version: of the policy that acted. first: the step at
    which the last `collect` began. others: the last so many environments were played by somebody
    else than the policy. episodes: sums of the episodes that ended since then.
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
    others: int = 0
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

    @classmethod
    def like(cls, other: Rollout) -> Rollout:
        """Zeroed arrays of the same shapes."""
        arrays = {f.name: getattr(other, f.name) for f in fields(other)}
        zeros: dict[str, Any] = {
            k: np.zeros_like(v) for k, v in arrays.items() if isinstance(v, np.ndarray)
        }
        seen = {key: np.zeros_like(v) for key, v in other.observation.items()}
        return cls(burn_in=other.burn_in, observation=seen, **zeros)

    @property
    def num_envs(self) -> int:
        return int(self.reward.shape[1])

    @property
    def own(self) -> slice:
        """The environments that the policy played."""
        return slice(0, self.num_envs - self.others)

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

        meta = {name: str(getattr(self, name)) for name in ("burn_in", "version", "others")}
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
            others = int(meta.get("others", 0))
            plain: dict[str, Any] = {k: v for k, v in arrays.items() if "." not in k}
            seen = {k.split(".", 1)[1]: v for k, v in arrays.items() if k not in plain}
            return cls(burn_in=burn_in, observation=seen, version=version, others=others, **plain)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"not a rollout: {error}") from error


def _metadata(data: bytes) -> dict[str, str]:
    import msgspec

    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = msgspec.json.decode(data[8 : 8 + length])
    return dict(header["__metadata__"])

"""Source: a native game before it is made, as the Gymnasium adapters and BatchGame need it.

Knows what native batches have in common; does not know their rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces as gs

from metabonk import _core
from metabonk.config import cap_cpu
from metabonk.errors import ConfigError
from metabonk.games.native import NativeBatch
from metabonk.protocols import Array, BoolArray, FloatArray
from metabonk.spaces import ActionLayout


@dataclass(frozen=True)
class Source:
    """What one environment looks like, and how to make N of them.

    make_batch: (num_envs, threads, batch_size) -> NativeBatch, batch_size 0 for num_envs. one:
    environment `index` by itself. picture: height and width of `render`. frame_rate: decisions per
    second of game time. distinct: environments have levels of their own.
    """

    name: str
    make_batch: Callable[[int, int, int], NativeBatch]
    one: Callable[[int], NativeBatch]
    observation_space: gs.Dict
    action_layout: ActionLayout
    frame_rate: float
    picture: tuple[int, int]
    distinct: bool = False

    def __post_init__(self) -> None:
        cap_cpu()  # before anything of the core runs, METABONK_CPU counts in libraries too


def threads_of(asked: int, num_envs: int) -> int:
    """Threads that step a batch: one per processor if 0 is asked, never more than environments."""
    if asked < 0:
        raise ConfigError(f"threads: {asked}, give 0 for one per processor or a positive number")
    return min(asked or int(_core.support.hardware_threads()), num_envs)


class Flags:
    """Reward and flags of N environments."""

    def __init__(self, num: int) -> None:
        self.reward: FloatArray = np.zeros(num, np.float32)
        self.terminated: BoolArray = np.zeros(num, np.bool_)
        self.truncated: BoolArray = np.zeros(num, np.bool_)
        self.is_reset: BoolArray = np.zeros(num, np.bool_)

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        return self.reward, self.terminated, self.truncated, self.is_reset

"""Puzzle games on 64x64 cells of 16 colours with solvers."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def games() -> dict:
    """Name -> one line of description."""

def limits(game: str) -> tuple:
    """Levels per episode, steps per level."""

def layout() -> dict:
    """Observation arrays of one environment: name -> (shape, dtype)."""

def palette() -> object:
    """The 16 colours, uint8 [16, 3]."""

def demonstrate(game: str, seed: int, split: str, solve: bool = True) -> tuple:
    """
    An episode as its solver plays it, or without `solve` one in which nothing is done: actions float32 [T, 3], cells uint8 [T + 1, 64, 64], action_mask uint8 [T + 1, 7], levels_completed int32 [T + 1, 1].
    """

def write_replay(game: str, seed: int, split: str, actions: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> bytes:
    """
    A replay file: seed, actions float32 [T, 3] and the hash of playing them.
    """

def read_replay(replay: bytes) -> dict:
    """
    Plays a replay file and returns what it holds. Raises ValueError if it is damaged or does not end at its hash.
    """

class Buffers:
    """Arrays that a batch has checked and writes into."""

class Batch:
    """
    N episodes of one game that step in one call and write into the caller's arrays.
    """

    def __init__(self, game: str, split: str, num_envs: int, threads: int = 1, batch_size: int = 0, autoreset: bool = True, layouts: int = 0) -> None:
        """
        game: a key of games(). split: 'train' or 'test'. batch_size: rows of a recv, 0 for num_envs. Without autoreset an ended episode stays as it is. layouts: how many different episodes there are, 0 for no bound. Raises ValueError, the argument first. A batch takes one call at a time: RuntimeError in a second thread.
        """

    def bind(self, observation: dict, reward: object, terminated: object, truncated: object, is_reset: object) -> Buffers:
        """
        Checks arrays once and keeps them: [num_envs, ...], or [batch_size, ...] for recv. observation: any subset of layout(). reward float32; terminated, truncated, is_reset bool. Raises TypeError, ValueError or KeyError, the array's name first.
        """

    def reset(self, seeds: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)], buffers: Buffers) -> None:
        """
        Starts every environment anew and sets is_reset; seeds uint64 [num_envs]. What is in flight is waited for and dropped.
        """

    def step(self, actions: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], buffers: Buffers) -> None:
        """
        One step each; actions float32 [num_envs, 3]: action, x, y. After an episode ended the next step starts another, with reward 0 and is_reset set.
        """

    def write(self, buffers: Buffers) -> None:
        """
        Writes the present observations again, after restore_state; reward and flags stay as they are.
        """

    def send(self, actions: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], env_ids: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """
        Starts stepping these environments; actions float32 [n, 3], env_ids int32 [n].
        """

    def recv(self, buffers: Buffers) -> object:
        """
        Waits for batch_size environments; returns whose rows were written, int32 [batch_size].
        """

    def clone_state(self) -> bytes:
        """Everything that the future depends on, as bytes."""

    def restore_state(self, state: bytes) -> None:
        """Inverse of clone_state."""

    def clone_one(self, index: int) -> bytes:
        """clone_state of one environment."""

    def restore_one(self, index: int, state: bytes) -> None:
        """Inverse of clone_one, into any environment."""

    def hashes(self) -> object:
        """Hash of every episode's state, uint64 [num_envs]."""

    def episode_info(self) -> dict:
        """
        Of the current or just ended episodes, arrays [num_envs]: return, length, levels_completed, game_state (0 NOT_FINISHED, 1 WIN, 2 GAME_OVER), won.
        """

    def render(self, index: int, height: int, width: int) -> object:
        """A picture of one, uint8 [height, width, 3]."""

    def solve(self, index: int) -> object:
        """
        Actions float32 [T, 3] that finish the level of one from here; None if none do.
        """

    @property
    def num_envs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

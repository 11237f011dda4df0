from typing import Annotated

import numpy
from numpy.typing import NDArray


spec_bytes: int = 544

def content() -> str:
    """The text of content.toml as it was compiled in."""

def spec_layout() -> dict:
    """
    Field -> (offset, count, type of struct.unpack, lowest, highest) of a packed level.
    """

def default_spec() -> bytes:
    """The packed default level."""

def check_spec(spec: bytes) -> None:
    """
    Raises ValueError, with the field's name first, for a level that cannot be played.
    """

def pack_replay(spec: bytes, run_seed: int, final_hash: int, actions: Annotated[NDArray[numpy.float32], dict(shape=(None, 12), order='C', device='cpu', writable=False)]) -> bytes:
    """
    An episode as bytes; actions float32 [T, 12], stored as the rules read them.
    """

def read_replay(replay: bytes) -> tuple:
    """
    (packed level, run seed, hash of the last world, actions float32 [T, 12]). Raises ValueError for bytes that are no replay of this build.
    """

def verify_replay(replay: bytes) -> int:
    """
    Runs a replay and returns the hash of its last world. Raises ValueError where that is not the recorded one.
    """

def layout(pixel_height: int = 0, pixel_width: int = 0) -> dict:
    """Observation arrays of one environment: name -> (shape, dtype)."""

def use_scalar_kernels(scalar: bool) -> None:
    """
    Uses the plain scalar build of the hot loops from now on: the benchmark's yardstick. Results do not change.
    """

def kernels() -> str:
    """Name of the hot loops in use: scalar, baseline, avx2 or avx512."""

class Buffers:
    """Arrays that a batch has checked and writes into."""

class Batch:
    """N arenas that step in one call and write into the caller's arrays."""

    def __init__(self, spec: bytes, num_envs: int, threads: int = 1, pixel_height: int = 0, pixel_width: int = 0, batch_size: int = 0, autoreset: bool = True) -> None:
        """
        spec: one packed level for all environments, or num_envs of them. batch_size: rows of a recv, 0 for num_envs. Without autoreset an ended run goes on showing its menu. Raises ValueError, the argument or field first. A batch takes one call at a time: RuntimeError in a second thread.
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
        One decision each; actions float32 [num_envs, 12]. After an episode ended the next step starts another, with reward 0 and is_reset set.
        """

    def write(self, buffers: Buffers) -> None:
        """
        Writes the present observations again, after restore_state; reward and flags stay as they are.
        """

    def send(self, actions: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], env_ids: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """
        Starts stepping these environments; actions float32 [n, 12], env_ids int32 [n].
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
        """Inverse of clone_one, into any environment of an equal level."""

    def hashes(self) -> object:
        """Hash of every world, uint64 [num_envs]."""

    def episode_info(self) -> dict:
        """
        Sums of the current or just ended episodes, arrays [num_envs]: return, length, score, kills, level, time (seconds), won.
        """

    def game_state(self, index: int) -> bytes:
        """The packed GameState of one."""

    def render(self, index: int, height: int, width: int) -> object:
        """A picture of one, uint8 [height, width, 3]."""

    def render_ahead(self, index: int, action: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], ticks: int, height: int, width: int) -> object:
        """
        A picture of one, so many ticks after now within the decision that an action [1, 12] makes; nothing moves on.
        """

    def walkability(self, index: int) -> object:
        """
        uint8 [128, 128], row y, column x, cells of one metre: 1 where one can stand.
        """

    @property
    def num_envs(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

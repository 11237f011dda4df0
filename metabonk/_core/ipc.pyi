"""Shared memory between a game and its agent."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class ResearchAgent:
    """
    The agent's end of ResearchPlugin's shared memory. One thread at a time.
    """

    def __init__(self, path: str, bottom_up: bool = True) -> None:
        """
        Raises ValueError if there is no such file, its game is dead, or an agent has it.
        """

    def wait(self, timeout: float, pixels: object) -> tuple:
        """
        Waits for a new observation at most `timeout` seconds and copies its frame into pixels uint8 [height, width, 3]. Returns event, reward, done, step, time_ms; events are ResearchEvent's numbers.
        """

    def act(self, action: object) -> bool:
        """Answers the observation; float32 [6]. False if it cannot be written."""

    def reset(self) -> bool:
        """Asks for a new episode. False if it cannot be written."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def fills(self) -> bool:
        """Whether the game says that it fills reward and done."""

    def counters(self) -> dict: ...

class ResearchGame:
    """
    The game's end of ResearchPlugin's shared memory. One thread at a time.
    """

    def __init__(self, path: str, width: int, height: int, bottom_up: bool = True) -> None:
        """Raises ValueError if a living game has the file or it cannot be made."""

    def publish(self, pixels: object, reward: float, done: bool, step: int, time_ms: int) -> bool:
        """
        Shows an observation, pixels uint8 [height, width, 3]. False if it cannot be written.
        """

    def wait(self, timeout: float, action: object) -> int:
        """
        Waits for the agent's answer at most `timeout` seconds, writes action float32 [6] and returns the event.
        """

    def agent(self) -> bool:
        """Whether an agent that locks is there."""

    def counters(self) -> dict: ...

class RingWriter:
    """See metabonk/link/ring.py."""

    def __init__(self, name: str, frame_bytes: int, readers: int, leases: int, folder: str, wakes: bool, locks: bool) -> None: ...

    def begin(self, width: int, height: int, channels: int, format: int, row_order: int, bytes: int) -> object:
        """
        Memory of the next frame, [height, width, channels] or [bytes]; to be written until commit.
        """

    def commit(self, step: int, capture_ns: int) -> None: ...

    def abandon(self) -> None: ...

    def write(self, frame: Annotated[NDArray[numpy.uint8], dict(order='C', device='cpu', writable=False)], step: int, capture_ns: int, width: int, height: int, channels: int, format: int, row_order: int) -> None:
        """Begin, a copy, and commit."""

    def write_picture(self, frame: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], step: int, capture_ns: int, row_order: int) -> bool:
        """
        As write, of [height, width, channels] whose format its channels say; else False.
        """

    def close(self) -> None: ...

    def counts(self) -> dict: ...

    @property
    def closed(self) -> bool: ...

    @property
    def path(self) -> str: ...

    @property
    def session(self) -> int: ...

    @property
    def frame_bytes(self) -> int: ...

class RingRegion:
    """Memory that stays mapped as long as this lives."""

    @property
    def address(self) -> int: ...

    @property
    def bytes(self) -> int: ...

class RingReader:
    """See metabonk/link/ring.py."""

    def __init__(self, name: str, folder: str, spin_us: int, poll_us: int, locks: bool) -> None: ...

    def take(self, timeout_ns: int, again: bool) -> tuple:
        """
        What came (0 frame, 1 timeout, 2 no writer, 3 no room, 4 no lease) and the lease.
        """

    def close(self) -> None: ...

    def region(self) -> object:
        """All pixels of the ring it is attached to; None without one."""

    def counts(self) -> dict: ...

    @property
    def closed(self) -> bool: ...

    @property
    def alive(self) -> bool: ...

    @property
    def session(self) -> int: ...

    @property
    def why(self) -> str: ...

class RingLease:
    """A frame that stays as it is until this goes."""

    def array(self) -> object:
        """Read-only view uint8, [height, width, channels] or [bytes]."""

    def allow_writing(self) -> bool: ...

    @property
    def valid(self) -> bool: ...

    @property
    def session(self) -> int: ...

    @property
    def number(self) -> int: ...

    @property
    def step(self) -> int: ...

    @property
    def capture_ns(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def format(self) -> int: ...

    @property
    def row_order(self) -> int: ...

def sweep_rings(folder: str) -> int:
    """Removes the rings of dead writers; how many those were."""

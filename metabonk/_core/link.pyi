"""BonkLink: its codec and its two ends."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def encode_state(packed: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], extra: bool, input: tuple[float, float, float, float, bool, bool, bool, bool, float, float] | None, announcement: tuple[int, int, int] | None, step: tuple[float, bool, bool, bool, int, int, float] | None, axes: str) -> bytes:
    """A v1 state and the trailers asked for."""

def decode_state(data: bytes, axes: str) -> tuple:
    """
    (packed uint8 [16376], (input, announcement, step, extra)). Raises ValueError.
    """

def encode_action_v1(row: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], packed: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, width: int, height: int) -> tuple:
    """(20 or 28 bytes, how many parts could not be said)."""

def decode_action_v1(data: bytes, width: int, height: int) -> object:
    """float32 [12]."""

def encode_action_v2(row: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], answers: int) -> bytes: ...

def decode_action_v2(data: bytes) -> tuple:
    """(float32 [12], answers)."""

def encode_frame(version: int, frame: object, bottom_up: bool) -> bytes: ...

def decode_frame(version: int, data: bytes) -> tuple:
    """
    (format, width, height, bytes of a JPEG or uint8 [H, W, 3] from the top down).
    """

def encode_hello(hello: tuple[int, int, int, int, int, int, int, int, int, str, str, str]) -> bytes:
    """
    Versions, capabilities, limits, width, height, rate, machine, token, ring, name.
    """

def decode_hello(data: bytes) -> tuple: ...

def encode_message(type: int, payload: bytes, sequence: int, time_ns: int) -> bytes:
    """A v2 message, header and payload."""

class Decoder:
    """Bytes of one connection into messages; see csrc/link/decoder.h."""

    def __init__(self, sender: str, protocol: str, state_bytes: int, frame_bytes: int) -> None:
        """sender: game or agent. protocol: v1, v2 or auto."""

    def feed(self, data: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> list:
        """
        Takes all bytes; (type, version, sequence, time_ns, payload) of every message that is whole. Raises ValueError at a violation of the protocol, for good.
        """

    def newest_state(self, data: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> tuple:
        """
        Takes all bytes; how many states came, and the newest one's bytes or None.
        """

    def reset(self) -> None: ...

    @property
    def version(self) -> int: ...

    @property
    def buffered(self) -> int: ...

    @property
    def capacity(self) -> int: ...

    @property
    def capacity_max(self) -> int: ...

    @property
    def unknown(self) -> int: ...

class ClockRelation:
    """See metabonk/link/clock.py."""

    def __init__(self) -> None: ...

    def add(self, t0: int, t1: int, t2: int, t3: int) -> bool: ...

    def offset(self, now: int) -> int: ...

    def uncertainty(self, now: int) -> int: ...

    def reset(self) -> None: ...

    @property
    def known(self) -> bool: ...

    @property
    def round_trip(self) -> int: ...

class Client:
    """See metabonk/link/bonklink.py."""

    def __init__(self, address: str, pipe_folder: str, protocol: str, token: str, name: str, capabilities: int, state_bytes: int, frame_bytes: int, axes: str, width: int, height: int, rate: int, connect_timeout: float, pause: float, pause_max: float, ping_every: float, idle: float, spin: float) -> None: ...

    def poll(self, timeout: float, frames: bool) -> object: ...

    def send(self, row: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> int: ...

    def send_reset(self, seed: int | None) -> None: ...

    def refuse_ring(self) -> None: ...

    def disconnect(self) -> None: ...

    def close(self) -> None: ...

    def wake(self) -> None: ...

    def clock(self, arg: int, /) -> tuple: ...

    def counters(self) -> dict: ...

    @property
    def closed(self) -> bool: ...

    @property
    def connected(self) -> bool: ...

    @property
    def version(self) -> int: ...

    @property
    def capabilities(self) -> int: ...

    @property
    def ring(self) -> object: ...

    @property
    def peer(self) -> object: ...

    @property
    def last_error(self) -> object: ...

class Server:
    """See metabonk/link/bonklink.py."""

    def __init__(self, address: str, pipe_folder: str, protocol: str, token: str, name: str, capabilities: int, state_bytes: int, frame_bytes: int, axes: str, extra_in_v1: bool, width: int, height: int, rate: int, ring: str, handshake: float, ping_every: float, idle: float, spin: float) -> None: ...

    def poll(self, timeout: float) -> bool: ...

    def send(self, packed: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], frame: object | None, bottom_up: bool, input: tuple[float, float, float, float, bool, bool, bool, bool, float, float] | None, step: tuple[float, bool, bool, bool, int, int, float] | None, capture_ns: int) -> int: ...

    def take_action(self) -> object: ...

    def take_reset(self) -> object: ...

    def close(self) -> None: ...

    def wake(self) -> None: ...

    def clock(self, arg: int, /) -> tuple: ...

    def counters(self) -> dict: ...

    @property
    def closed(self) -> bool: ...

    @property
    def connected(self) -> bool: ...

    @property
    def connection(self) -> int: ...

    @property
    def version(self) -> int: ...

    @property
    def capabilities(self) -> int: ...

    @property
    def uses_ring(self) -> bool: ...

    @property
    def pending(self) -> bool: ...

    @property
    def next_sequence(self) -> int: ...

    @property
    def peer(self) -> object: ...

    @property
    def address(self) -> str: ...

    @property
    def last_error(self) -> object: ...

def counter_meanings() -> dict:
    """What each counter of an end counts."""

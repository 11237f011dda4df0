"""BonkLink's messages from Python: states, frames and actions as bytes, without a socket.

Knows the codec of csrc/link and the records; does not know connections. Layouts, byte by byte, are
in docs/bonklink.md. What a peer sent is never trusted: everything here either gives a message or
raises CorruptError, in bounded memory.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg  # type: ignore[import-untyped]

from metabonk import _core
from metabonk.errors import CorruptError
from metabonk.records import Action, GameState

ProtocolName = Literal["v1", "v2", "auto"]
AxesName = Literal["ours", "unity"]
Pixels = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float32]

STATE_BYTES = 262_144  # the limits of v1, where nothing else is set
FRAME_BYTES = 4_194_304
PIXELS_MAX = 1 << 24  # what a JPEG may unfold to


class MessageType(enum.IntEnum):
    """Of v2; v1's messages are told the same way."""

    HELLO = 1
    HELLO_ACK = 2
    STATE = 3
    FRAME = 4
    ACTION = 5
    RESET = 6
    PING = 7
    PONG = 8
    BYE = 9


class Capability(enum.IntFlag):
    """What an end can do, as HELLO says it."""

    JPEG = 1 << 0
    RGB = 1 << 1
    RGBA = 1 << 2
    BOTTOM_UP = 1 << 3
    EXTRA = 1 << 4  # MBX2
    INPUT = 1 << 5  # HINP
    STEP = 1 << 6
    RING = 1 << 7
    STEPPED = 1 << 8  # the game waits for an action after each state
    RESETS = 1 << 9


class PixelFormat(enum.IntEnum):
    """Of frames on the wire."""

    RGB = 1
    RGBA = 2
    JPEG = 16


class InputSnapshot(NamedTuple):
    """What the person at the game does (HINP). click: 0..1 from the top left."""

    move: tuple[float, float]
    look: tuple[float, float]
    fire: bool
    ability: bool
    interact: bool
    ui_click: bool
    click: tuple[float, float]


class Announcement(NamedTuple):
    """A game's word, in its first v1 state, that it also speaks v2."""

    lowest_version: int
    highest_version: int
    capabilities: Capability


class Hello(NamedTuple):
    """What an end can do and wants (HELLO), or what will be (HELLO_ACK). width, height, rate: 0 for
    any. machine: equal on one machine, 0 unknown. token, ring, name: 255 bytes at most."""

    lowest_version: int = 2
    highest_version: int = 2
    capabilities: Capability = ~Capability(0)
    state_bytes: int = STATE_BYTES
    frame_bytes: int = FRAME_BYTES
    width: int = 0
    height: int = 0
    rate: int = 0
    machine: int = 0
    token: str = ""
    ring: str = ""
    name: str = ""


class StepResult(NamedTuple):
    """What an environment says beside a state (STEP): in v2, and in the v1 state that announces it.

    reward: since the state handed out before. action_sequence: of the newest action that went into
    this state, whichever connection it came by, 0 for none. episode: counts from 1. returned: sum
    of the episode's rewards so far, NaN from games that do not say. Where states were overtaken,
    `is_first`, `terminated` and `truncated` are set if one of them had it.
    """

    reward: float = 0.0
    is_first: bool = False
    terminated: bool = False
    truncated: bool = False
    action_sequence: int = 0
    episode: int = 0
    returned: float = float("nan")


class Trailers(NamedTuple):
    """What stands after v1's part of a state. extra: MBX2 was there, and GameState has it all."""

    input: InputSnapshot | None = None
    announcement: Announcement | None = None
    step: StepResult | None = None
    extra: bool = False


class Message(NamedTuple):
    """One message of a connection. time_ns: the sender's monotonic clock, 0 in v1. payload: for
    `decode_state`, `decode_frame`, ..."""

    type: MessageType
    version: int
    sequence: int
    time_ns: int
    payload: bytes


class Picture(NamedTuple):
    """A frame as it came. data: the bytes of a JPEG, or uint8 [H, W, 3] from the top down."""

    format: PixelFormat
    width: int
    height: int
    data: bytes | Pixels

    def pixels(self) -> Pixels:
        """uint8 [H, W, 3] from the top down. Raises CorruptError if a JPEG is damaged."""
        return decode_jpeg(self.data) if isinstance(self.data, bytes) else self.data


class Decoder:
    """The bytes of one connection, in pieces of any size, into messages.

    sender: whose bytes they are. protocol: "auto" takes v1 and follows a sender that changes to v2.
    Memory is bounded by the limits and grows only as bytes arrive.
    """

    def __init__(
        self,
        sender: Literal["game", "agent"],
        protocol: ProtocolName = "auto",
        *,
        state_bytes: int = STATE_BYTES,
        frame_bytes: int = FRAME_BYTES,
    ) -> None:
        self._native = _core.link.Decoder(sender, protocol, state_bytes, frame_bytes)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Every message that is whole now; a tick's frame stands before its state.

        Raises CorruptError at a violation of the protocol, and from then on.
        """
        with corrupt():
            found = self._native.feed(np.frombuffer(data, np.uint8))
        return [Message(MessageType(m[0]), *m[1:]) for m in found]

    def newest_state(self, data: bytes | bytearray | memoryview) -> tuple[int, bytes | None]:
        """Takes the bytes and gives only how many states were whole, and the newest one: what a
        reader does that always drains. Raises as `feed`."""
        with corrupt():
            count, newest = self._native.newest_state(np.frombuffer(data, np.uint8))
        return count, newest

    @property
    def version(self) -> int:
        """Of the last message: 1, 2, or 0 before the first."""
        return int(self._native.version)

    @property
    def buffered(self) -> int:
        """Bytes of a message that is not whole yet."""
        return int(self._native.buffered)

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes held now, and the most that will ever be."""
        return int(self._native.capacity), int(self._native.capacity_max)

    @property
    def unknown(self) -> int:
        """v2 messages of types from the future, which were passed over."""
        return int(self._native.unknown)

    def reset(self) -> None:
        """Forgets everything: another connection."""
        self._native.reset()


def encode_state(
    state: GameState | Pixels,
    trailers: Trailers = Trailers(extra=True),  # noqa: B008
    *,
    axes: AxesName = "ours",
) -> bytes:
    """A v1 state with trailers. state: a GameState, or its packed bytes uint8 [16376]. axes: of
    v1's part; a state with MBX2 is ours whatever is said here."""
    packed = packed_state(state)
    return bytes(
        _core.link.encode_state(
            packed,
            trailers.extra,
            input_tuple(trailers.input),
            trailers.announcement,
            trailers.step,
            axes,
        )
    )


def decode_state(data: bytes, *, axes: AxesName = "ours") -> tuple[Pixels, Trailers]:
    """The packed GameState, uint8 [16376] (`GameState.unpack`), and what stood after it.

    Without MBX2 `fields` is v1's mask, `dt` 0 and the enemies' ids are 0. Raises CorruptError that
    names the field.
    """
    with corrupt():
        packed, found = _core.link.decode_state(bytes(data), axes)
    return packed, trailers_of(found)


def encode_action(
    action: Action | Row,
    *,
    version: int = 2,
    answers: int = 0,
    state: GameState | Pixels | None = None,
    capture: tuple[int, int] = (0, 0),
) -> bytes:
    """The payload of an action. answers: sequence of the state it answers (v2). v1 knows clicks
    only, in pixels of a picture of `capture` = (width, height): a choice becomes a click in the
    middle of its widget in `state`; what v1 cannot say is left out."""
    row = row_of(action)
    if version != 1:
        return bytes(_core.link.encode_action_v2(row, answers))
    packed = None if state is None else packed_state(state)
    data, _lost = _core.link.encode_action_v1(row, packed, *capture)
    return bytes(data)


def decode_action(
    data: bytes, *, version: int = 2, capture: tuple[int, int] = (0, 0)
) -> tuple[Row, int]:
    """float32 [12] and the sequence it answers, 0 in v1. Raises CorruptError."""
    with corrupt():
        if version == 1:
            return np.asarray(_core.link.decode_action_v1(bytes(data), *capture), np.float32), 0
        row, answers = _core.link.decode_action_v2(bytes(data))
    return row, answers


def encode_frame(frame: Pixels | bytes, *, version: int = 2, bottom_up: bool = False) -> bytes:
    """The payload of a frame: uint8 [H, W, 3 or 4] or a JPEG. bottom_up: its first row is the
    lowest of the picture."""
    return bytes(_core.link.encode_frame(version, frame, bottom_up))


def decode_frame(data: bytes, *, version: int = 2) -> Picture:
    """What came, upright. Raises CorruptError."""
    with corrupt():
        format, width, height, pixels = _core.link.decode_frame(version, bytes(data))
    return Picture(PixelFormat(format), width, height, pixels)


def decode_jpeg(data: bytes) -> Pixels:
    """uint8 [H, W, 3]. Raises CorruptError for a damaged one, or one of more than 2^24 pixels."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > PIXELS_MAX:
            raise CorruptError(f"frame: a JPEG of {width}x{height}, at most {PIXELS_MAX} pixels")
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise CorruptError(f"frame: not a JPEG that can be read: {error}") from error
    return pixels


def encode_hello(hello: Hello) -> bytes:
    """The payload of HELLO or HELLO_ACK. Raises ValueError for a text above 255 bytes."""
    return bytes(_core.link.encode_hello(hello))


def decode_hello(data: bytes) -> Hello:
    """What came. Raises CorruptError."""
    with corrupt():
        found = _core.link.decode_hello(bytes(data))
    return Hello._make((*found[:2], Capability(found[2]), *found[3:]))


def encode_message(
    type: MessageType, payload: bytes = b"", *, sequence: int = 0, time_ns: int = 0
) -> bytes:
    """A v2 message: header and payload."""
    return bytes(_core.link.encode_message(int(type), payload, sequence, time_ns))


def encode_tick(state: bytes, frame: bytes = b"") -> bytes:
    """What a v1 game sends in a tick; frame: empty where there is no new one."""
    return b"".join(
        (len(state).to_bytes(4, "little"), state, len(frame).to_bytes(4, "little"), frame)
    )


def packed_state(state: GameState | Pixels) -> Pixels:
    """uint8 [16376], from either."""
    if isinstance(state, GameState):
        return np.frombuffer(state.pack(), np.uint8)
    if state.dtype != np.uint8:
        return np.ascontiguousarray(state).reshape(-1).view(np.uint8)
    return np.ascontiguousarray(state)


def row_of(action: Action | Row) -> Row:
    """float32 [12], from either."""
    if isinstance(action, Action):
        return action.row()
    return np.ascontiguousarray(action, np.float32)


def input_tuple(value: InputSnapshot | None) -> tuple[Any, ...] | None:
    """As the core takes it."""
    if value is None:
        return None
    return (*value.move, *value.look, *value[2:6], *value.click)


def trailers_of(found: tuple[Any, ...]) -> Trailers:
    """From what the core gives."""
    input, announcement, step, extra = found
    snapshot = announced = None
    if input is not None:
        fire, ability, interact, ui_click = input[4:8]
        snapshot = InputSnapshot(
            input[:2], input[2:4], fire, ability, interact, ui_click, input[8:]
        )
    if announcement is not None:
        lowest, highest, capabilities = announcement
        announced = Announcement(lowest, highest, Capability(capabilities))
    return Trailers(snapshot, announced, None if step is None else StepResult(*step), extra)


@contextmanager
def corrupt() -> Iterator[None]:
    """What the core refuses of a peer's bytes, as CorruptError."""
    try:
        yield
    except ValueError as error:
        raise CorruptError(str(error)) from error

"""What the ends of a link hand out: states with their frames, actions, resets.

Knows the records and the wire; does not know connections.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from metabonk.link import ring as rings
from metabonk.link.wire import Picture, PixelFormat, Pixels, Row, StepResult, Trailers, trailers_of
from metabonk.records import GameState


class Tick:
    """The newest state, and the newest frame that came with it or with one that it overtook.

    sequence: of the state, counted by its connection. version: 1 or 2, in which it came.
    capture_ns: when the game was so, on the game's clock; 0 in v1. received_ns: when it had
    arrived, on ours. skipped: states that it overtook. first: of a connection. packed: the
    GameState as uint8 [16376]. frame_sequence, frame_capture_ns: of the frame, which may be that of
    a state that was overtaken.
    """

    __slots__ = (
        "_found",
        "_frame",
        "_state",
        "capture_ns",
        "first",
        "frame_capture_ns",
        "frame_sequence",
        "packed",
        "received_ns",
        "sequence",
        "skipped",
        "version",
    )

    packed: Pixels
    sequence: int
    version: int
    capture_ns: int
    received_ns: int
    skipped: int
    first: bool
    frame_sequence: int
    frame_capture_ns: int

    def __init__(self, found: tuple[Any, ...], frame: Picture | rings.Frame | None) -> None:
        (
            self.packed, self._found, self.sequence, self.version, self.capture_ns,
            self.received_ns, self.skipped, self.first, _, self.frame_sequence,
            self.frame_capture_ns,
        ) = found  # fmt: skip
        self._frame = frame
        if isinstance(frame, rings.Frame):
            self.frame_sequence, self.frame_capture_ns = frame.step, frame.capture_ns
        self._state: GameState | None = None

    @property
    def state(self) -> GameState:
        """Unpacked when first asked for. `dt` counts from the state handed out before."""
        if self._state is None:
            self._state = GameState.unpack(self.packed)
        return self._state

    @property
    def trailers(self) -> Trailers:
        """What came beside the state."""
        return trailers_of(self._found)

    @property
    def step(self) -> StepResult | None:
        """What an environment says beside the state."""
        return self.trailers.step

    @property
    def frame(self) -> Picture | rings.Frame | None:
        """As it came: over the wire, or a frame under lease from the ring; None for no new one."""
        return self._frame

    @property
    def pixels(self) -> Pixels | None:
        """uint8 [H, W, 3] from the top down, decoded when asked for; None for no new frame.

        Raises CorruptError if a JPEG is damaged.
        """
        if isinstance(self._frame, Picture):
            return self._frame.pixels()
        if self._frame is None:
            return None
        if self._frame.format == rings.FrameFormat.JPEG:
            data = self._frame.raw.tobytes()
            return Picture(PixelFormat.JPEG, self._frame.width, self._frame.height, data).pixels()
        return self._frame.pixels[..., :3]


class Arrival(NamedTuple):
    """An action as a game gets it. row: float32 [12] (`Action.from_row`). answers: sequence of the
    state that it answers, 0 in v1. made_ns: on the agent's clock, 0 in v1. round_trip_ns: from that
    state's leaving to this arrival, on ours; 0 if not known."""

    row: Row
    sequence: int
    answers: int
    made_ns: int
    received_ns: int
    round_trip_ns: int


class Reset(NamedTuple):
    """An agent asks for an episode. seed: None leaves it to the game."""

    seed: int | None

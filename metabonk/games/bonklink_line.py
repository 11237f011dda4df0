"""One line to a game behind BonkLink, and the lines that this process has.

Knows link/bonklink.py and how a peer that is no game greets; does not know episodes.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metabonk.errors import CorruptError, GameError, LinkError
from metabonk.link.bonklink import Client
from metabonk.link.bonklink import Tick as Newest
from metabonk.link.wire import AxesName, Capability, InputSnapshot, ProtocolName, StepResult
from metabonk.protocols import Array, FloatArray
from metabonk.records import ACTION_COLUMNS, GAME_STATE

_SETTLE_SECONDS = 2.0  # for a game that announced v2 to answer HELLO
_FRAME_BYTES = 64 << 20  # the largest frame that is taken: raw pictures of 4K fit
_ZMTP = bytes((0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F))  # how a ZeroMQ socket greets


@dataclass(frozen=True)
class Address:
    """Where a game is, and how it is spoken to. axes: of v1's states, see docs/bonklink.md."""

    host: str
    port: int
    pipe: str
    protocol: ProtocolName
    token: str = ""
    axes: AxesName = "unity"

    def __str__(self) -> str:
        if self.pipe:
            return f"pipe://{self.pipe}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


class Tick(NamedTuple):
    """One state, a GAME_STATE scalar, and what came with it. capture_ns: on our monotonic clock.
    skipped: states that nobody read since the one before. first: of a connection. inputs: of the
    person at the game, as `BonkLinkGame.inputs`. frame: uint8 [H, W, 3], None for no new one."""

    state: np.void
    step: StepResult | None
    capture_ns: int
    skipped: int
    first: bool
    inputs: FloatArray
    frame: Array | None

    @property
    def dt(self) -> float:
        """Seconds of game time since the state before."""
        return float(self.state["dt"])


class Line:
    """The connection to one game. owner: which BatchGame plays it, None until one begins.
    wants_frames: whether frames are kept. damaged: frames that could not be decoded."""

    def __init__(self, place: Address) -> None:
        self.place = place
        self.owner: object = None
        self.users = 1
        self.wants_frames = False
        self.newest: Tick | None = None
        self.damaged = 0
        self._said: InputSnapshot | None = None  # of the state before
        try:
            # A learner may not look for a while: silence is borne as long as the caller does.
            self._client = Client(
                str(place),
                protocol=place.protocol,
                token=place.token,
                frame_bytes=_FRAME_BYTES,
                axes=place.axes,
                idle=0.0,
            )
        except ValueError as error:
            raise GameError(f"bonklink: {error}") from error

    @property
    def connected(self) -> bool:
        return self._client.connected

    @property
    def resets(self) -> bool:
        """Whether the game begins episodes on demand."""
        return bool(self._client.capabilities & Capability.RESETS)

    @property
    def stepped(self) -> bool:
        """Whether the game waits for an action after each state."""
        return bool(self._client.capabilities & Capability.STEPPED)

    def tick(self, timeout: float) -> Tick | None:
        """The next new state, None if none came within `timeout` seconds. Raises GameError for
        what no patience mends: a wrong token, another agent that took the game."""
        got = self._poll(timeout)
        if got is None:
            return None
        if got.first and got.trailers.announcement and self.place.protocol == "auto":
            got = self._settle(got)
        self.newest = self._kept(got)
        return self.newest

    def act(self, row: FloatArray) -> int:
        """Sends what is to be done; its number as `StepResult.action_sequence` says it, 0 if it
        could not be sent."""
        return self._client.send(row)

    def reset(self, seed: int | None) -> None:
        """Asks for an episode; nothing where the game has gone meanwhile."""
        with contextlib.suppress(LinkError):
            self._client.reset(seed)

    def counters(self) -> Mapping[str, int]:
        return {**self._client.counters(), "frames_damaged": self.damaged}

    def complaint(self, seconds: float) -> str:
        """Why there is no state after waiting so long, and what to do."""
        what = f"{self.place}: no game answered within {seconds:g} seconds"
        if who := stranger(self.place):
            return f"{what}: {who}"
        error = self._client.last_error
        if self._client.connected or not error:
            return f"{what}: it is connected and says nothing; is it waiting for somebody?"
        return f"{what}: {error}; start it first, with its plugin, or `metabonk host`"

    def close(self) -> None:
        self._client.close()

    def _poll(self, timeout: float) -> Newest | None:
        try:
            return self._client.poll(timeout)
        except LinkError as error:
            raise GameError(str(error)) from error

    def _settle(self, got: Newest) -> Newest:
        """A connection that changes to v2 has done so before anything else is asked of it."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._client.version == 1 and time.monotonic() < deadline:
            later = self._poll(0.01)
            if later is not None:
                later.skipped += 1 + got.skipped
                later.first = True
                got = later
        return got

    def _kept(self, got: Newest) -> Tick:
        """With memory of its own: a frame of the ring is let go at once."""
        frame: Array | None = None
        if self.wants_frames:
            try:
                pixels = got.pixels
                frame = None if pixels is None else np.array(pixels)
            except CorruptError:
                self.damaged += 1
        captured = self._client.clock().to_ours(got.capture_ns) if got.version == 2 else None
        said, before = got.trailers.input, self._said
        self._said = said
        return Tick(
            state=got.packed.view(GAME_STATE)[0],
            # A game that offers v2 says STEP in its first v1 state: to v1 alone it is not told.
            step=None if self.place.protocol == "v1" else got.step,
            capture_ns=got.received_ns if captured is None else captured,
            skipped=got.skipped,
            first=got.first,
            inputs=_inputs(said, before),
            frame=frame,
        )


class _Lines:
    """The lines of this process, one per place: a game has one agent."""

    def __init__(self) -> None:
        self._open: dict[Address, Line] = {}

    def open(self, place: Address, frames: bool) -> Line:
        """The line to a place, made if there is none. frames: whether they are to be kept from now
        on."""
        line = self._open.get(place)
        if line is None:
            line = self._open[place] = Line(place)
        else:
            line.users += 1
        line.wants_frames = line.wants_frames or frames
        return line

    def close(self, line: Line) -> None:
        line.users -= 1
        if line.users == 0:
            self._open.pop(line.place, None)
            line.close()


lines = _Lines()


def _inputs(said: InputSnapshot | None, before: InputSnapshot | None) -> FloatArray:
    """The row of an action that does what the person does. A press that goes on since the state
    `before`, where it had the same place, is no second click, and one without a place is none."""
    row = np.full(ACTION_COLUMNS, np.nan, np.float32)
    if said is not None:
        row[:4] = (*said.move, *said.look)
        row[6:9] = (said.interact, said.fire, said.ability)
        goes_on = before is not None and before.ui_click and before.click == said.click
        placed = all(0.0 <= part <= 1.0 for part in said.click)
        row[10:] = said.click if said.ui_click and placed and not goes_on else (-1.0, -1.0)
    return row


def stranger(place: Address) -> str:
    """Who answers where a game should be, if it can be told: nobody else greets like ZeroMQ."""
    if place.pipe:
        return ""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((place.host, place.port), timeout=1.0) as end,
    ):
        greeting = b""
        while len(greeting) < len(_ZMTP) and (more := end.recv(len(_ZMTP) - len(greeting))):
            greeting += more
        if greeting == _ZMTP:
            return (
                "a ZeroMQ server is there. The cognitive server listens on 5555 too unless told "
                "otherwise: give one of them another port (METABONK_BONKLINK_PORT, or the server's "
                "--zmq-port)"
            )
    return ""

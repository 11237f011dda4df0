"""BonkLink from Python: the two ends of a link between a game and its agent.

Knows connections, states, frames and actions; does not know episodes, policies or games. The loops
are native (csrc/link): they wait without the GIL, drain to the newest state, reconnect with growing
pauses, and count everything that was dropped. What goes over the wire is in docs/bonklink.md.

    with Server("tcp://127.0.0.1:5560") as game:              # the game
        game.send(state, pixels, capture_ns=time.monotonic_ns())
        if (arrival := game.poll(1 / 60)) is not None: ...

    with Client("tcp://127.0.0.1:5560") as agent:             # the agent
        while (tick := agent.poll(timeout=1.0)) is not None:
            agent.send(act(tick.state, tick.pixels))

Addresses: `tcp://HOST:PORT`, `unix:///PATH`, and `pipe://NAME` for the named pipe of that name,
which .NET on Linux makes as the Unix socket ${TMPDIR:-/tmp}/CoreFxPipe_NAME. A named pipe of
Windows, or of Wine, cannot be reached from a Linux process: use TCP there.

Either end may vanish at any time. A client then connects again; a server waits for the next. Where
both ends share a machine and the game has a frame ring (metabonk.link.ring), frames come through
that and `Tick.pixels` is a view of it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from metabonk import _core
from metabonk.environment import pipes
from metabonk.errors import LinkError
from metabonk.link import ring as rings
from metabonk.link.end import SLICE, End, meanings, refused
from metabonk.link.tick import Arrival, Reset, Tick
from metabonk.link.wire import (
    FRAME_BYTES,
    STATE_BYTES,
    AxesName,
    Capability,
    InputSnapshot,
    Picture,
    PixelFormat,
    Pixels,
    ProtocolName,
    Row,
    StepResult,
    input_tuple,
    packed_state,
    row_of,
)
from metabonk.records import Action, GameState

__all__ = ["Arrival", "Client", "Reset", "Server", "Tick", "meanings"]

_ALL = ~Capability(0)
_GAME = _ALL & ~Capability.RING & ~Capability.STEPPED


class Client(End):
    """The agent's end.

    address: see the module. protocol: "auto" speaks v1 and changes to v2 with a game that announces
    it, "v2" asks for it at once, "v1" never. token: the secret that a game asks for (v2). name:
    what the game is told we are. capabilities: what the game may send. state_bytes, frame_bytes:
    the largest that are accepted. axes: of v1 states without MBX2, "unity" for plugins older than
    v2. size, rate: frames (width, height) and states per second wished for, 0 for any.
    connect_timeout, pause, pause_max, ping_every, idle: seconds; `idle` without a word ends a v2
    connection, 0 never; for `spin` seconds, a millisecond at most, a wait looks before it sleeps,
    which pays where each end has a processor of its own. ring_folder: of the frame ring.
    pipe_folder: where pipe:// addresses lie, by default ${TMPDIR:-/tmp}, as .NET has it.

    Raises ValueError for an argument that cannot be. Connecting begins with the first `poll`.
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5555",
        *,
        protocol: ProtocolName = "auto",
        token: str = "",
        name: str = "metabonk",
        capabilities: Capability = _ALL,
        state_bytes: int = STATE_BYTES,
        frame_bytes: int = FRAME_BYTES,
        axes: AxesName = "ours",
        size: tuple[int, int] = (0, 0),
        rate: int = 0,
        connect_timeout: float = 2.0,
        pause: float = 0.05,
        pause_max: float = 2.0,
        ping_every: float = 0.25,
        idle: float = 30.0,
        spin: float = 0.0,
        ring_folder: str = rings.FOLDER,
        pipe_folder: str | None = None,
    ) -> None:
        super().__init__()
        self.address = address
        self._ring: rings.RingReader | None = None
        self._ring_folder = ring_folder
        self._rings_refused = 0
        self._refused: tuple[int, str] | None = None  # connection and name of the last of those
        self._native = _core.link.Client(
            address, pipe_folder or pipes(), protocol, token, name, int(capabilities), state_bytes,
            frame_bytes, axes, *size, rate, connect_timeout, pause, pause_max, ping_every, idle,
            spin,
        )  # fmt: skip

    def poll(self, timeout: float = 0.0) -> Tick | None:
        """The newest state if there is one that was not handed out, waiting up to `timeout`
        seconds; else None.

        A game that is not there or goes away is no error: it is tried again, `last_error` says why
        and `counters` how often. Raises LinkError for what no attempt will mend: a wrong token, no
        version in common, a newer agent in this one's place.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            with self._turn:
                try:
                    # The wire's frames are taken even while there is a ring: a new connection has
                    # none before HELLO, and its first state comes with a frame.
                    found = self._native.poll(min(left, SLICE), True)
                except RuntimeError as error:
                    raise refused(self.address, error) from error
                if found is not None:
                    return Tick(found, self._frame(found))
            if left <= SLICE and time.monotonic() >= deadline:
                return None

    def send(self, action: Action | Row) -> int:
        """The answer to the tick handed out last; one that has not left yet is replaced.

        Returns the action's own sequence, which goes on over connections, 0 if it was not sent. A
        game that says which action it took last (`Tick.step`) says after a break by it whether this
        one arrived.
        """
        with self._turn:
            try:
                return int(self._native.send(row_of(action)))
            except RuntimeError as error:
                raise refused(self.address, error) from error

    def reset(self, seed: int | None = None) -> None:
        """Asks for an episode. Raises LinkError where the game starts none on demand (v1)."""
        with self._turn:
            try:
                self._native.send_reset(seed)
            except RuntimeError as error:
                raise refused(self.address, error) from error

    def disconnect(self) -> None:
        """Ends this connection; the next `poll` makes another."""
        with self._turn:
            self._native.disconnect()

    def counters(self) -> dict[str, int]:
        """And `rings_refused`: rings that the game offered and that could not be opened here."""
        return {**super().counters(), "rings_refused": self._rings_refused}

    @property
    def uses_ring(self) -> bool:
        """Whether frames come through shared memory."""
        return self._ring is not None

    def __enter__(self) -> Client:
        return self

    def close(self) -> None:
        super().close()
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _frame(self, found: tuple[Any, ...]) -> Picture | rings.Frame | None:
        name = self._native.ring
        if self._ring is not None and self._ring.name != name:
            self._ring.close()
            self._ring = None
        if name and self._ring is None and self._refused != (self._connection(), name):
            self._open_ring(name)
        if found[8] is not None:  # sent before the game knew of the ring: newer than what is there
            return Picture(PixelFormat(found[8][0]), *found[8][1:])
        return None if self._ring is None else self._ring.latest(0.0)

    def _open_ring(self, name: str) -> None:
        """Frames through the ring that the game offers, or over the wire if it cannot be seen from
        here: another container, another user."""
        try:
            reader = rings.RingReader(name, folder=self._ring_folder)
        except (ValueError, LinkError):  # a name that cannot be: the game's fault, not ours
            self._refuse_ring(name)
            return
        if reader.alive:
            self._ring = reader
        else:
            reader.close()
            self._refuse_ring(name)

    def _refuse_ring(self, name: str) -> None:
        """Once in a connection: the game goes on naming the ring until it has answered."""
        self._refused = self._connection(), name
        self._rings_refused += 1
        self._native.refuse_ring()

    def _connection(self) -> int:
        """How many there have been."""
        return int(self._native.counters()["connections"])


class Server(End):
    """The game's end: listens, and talks to one agent at a time, the newest.

    address: see the module; port 0 takes a free one, which `address` then has. protocol: "auto"
    speaks v1 until an agent says HELLO, "v2" sends nothing before, "v1" never changes. token: a
    secret that agents must say in HELLO (which v1 cannot); needed to listen beyond this machine.
    capabilities: what the game can send and do. extra_in_v1: MBX2 after v1's states too, which
    readers of v1 pass over. size, rate: frames (width, height) and states per second, as HELLO_ACK
    says them. ring: name of a frame ring that this end makes and writes frames to, empty for none.
    handshake: seconds in which HELLO must come where it is owed; the others as for `Client`.

    Raises ValueError for an argument that cannot be, LinkError if nothing can listen there.
    """

    def __init__(
        self,
        address: str = "tcp://127.0.0.1:5560",
        *,
        protocol: ProtocolName = "auto",
        token: str = "",
        name: str = "metabonk",
        capabilities: Capability = _GAME,
        state_bytes: int = STATE_BYTES,
        frame_bytes: int = FRAME_BYTES,
        axes: AxesName = "ours",
        extra_in_v1: bool = True,
        size: tuple[int, int] = (0, 0),
        rate: int = 0,
        ring: str = "",
        handshake: float = 2.0,
        ping_every: float = 0.25,
        idle: float = 30.0,
        spin: float = 0.0,
        ring_folder: str = rings.FOLDER,
        pipe_folder: str | None = None,
    ) -> None:
        super().__init__()
        self._ring: rings.RingWriter | None = None
        offered = capabilities | Capability.RING if ring else capabilities & ~Capability.RING
        try:
            self._native = _core.link.Server(
                address, pipe_folder or pipes(), protocol, token, name, int(offered), state_bytes,
                frame_bytes, axes, extra_in_v1, *size, rate, ring, handshake, ping_every, idle,
                spin,
            )  # fmt: skip
        except RuntimeError as error:
            raise refused(address, error) from error
        if ring:
            frame = (size[1] or 1, size[0] or 1, 3)
            try:
                self._ring = rings.RingWriter(ring, frame, folder=ring_folder)
            except BaseException:
                self._native.close()
                raise
        self.address: str = self._native.address

    def send(
        self,
        state: GameState | Pixels,
        frame: Pixels | bytes | None = None,
        *,
        capture_ns: int | None = None,
        step: StepResult | None = None,
        input: InputSnapshot | None = None,
        bottom_up: bool = False,
    ) -> int:
        """Sends a state and its picture; returns the state's sequence, 0 if nobody is there.

        state: a GameState or its packed bytes. frame: uint8 [H, W, 3 or 4], the bytes of a JPEG, or
        None for no new one. capture_ns: when the game was so, on the monotonic clock, by default
        now. step: what an environment says beside it (v2). bottom_up: the frame's first row is its
        lowest. Of what a slow agent has not taken yet the newest is kept. Raises ValueError if
        state or frame exceed this link's limits.
        """
        at = time.monotonic_ns() if capture_ns is None else capture_ns
        packed, snapshot = packed_state(state), input_tuple(input)
        with self._turn:
            try:
                if self._ring is not None and frame is not None and self._native.uses_ring:
                    self._write_ring(frame, at, bottom_up)
                    frame = None
                return int(self._native.send(packed, frame, bottom_up, snapshot, step, at))
            except LinkError:  # the ring's own
                raise
            except RuntimeError as error:
                raise refused(self.address, error) from error

    def poll(self, timeout: float = 0.0) -> Arrival | Reset | None:
        """The newest action or reset that was not handed out, waiting up to `timeout` seconds;
        a reset before an action. None if none came, or if agents changed: see `connection`."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0.0)
            with self._turn:
                try:
                    fresh = self._native.poll(min(left, SLICE))
                except RuntimeError as error:
                    raise refused(self.address, error) from error
                if (reset := self._native.take_reset()) is not None:
                    return Reset(reset[0])
                if (action := self._native.take_action()) is not None:
                    return Arrival(*action)
            if fresh or (left <= SLICE and time.monotonic() >= deadline):
                return None

    @property
    def connection(self) -> int:
        """How many agents there have been: a change means that another one is there."""
        return int(self._native.connection)

    @property
    def pending(self) -> bool:
        """Whether something waits for the agent to read."""
        return bool(self._native.pending)

    @property
    def uses_ring(self) -> bool:
        """Whether the agent takes frames through shared memory."""
        return bool(self._native.uses_ring)

    def __enter__(self) -> Server:
        return self

    def close(self) -> None:
        super().close()
        if self._ring is not None:
            self._ring.close()

    def _write_ring(self, frame: Pixels | bytes, capture_ns: int, bottom_up: bool) -> None:
        assert self._ring is not None
        number = int(self._native.next_sequence)
        order = rings.RowOrder.BOTTOM_UP if bottom_up else rings.RowOrder.TOP_DOWN
        if isinstance(frame, bytes):
            _, width, height, _ = _core.link.decode_frame(1, frame)
            jpeg = rings.FrameFormat.JPEG
            self._ring.write(frame, number, capture_ns, format=jpeg, size=(height, width))
        else:
            pixels = np.ascontiguousarray(frame)
            self._ring.write(pixels, number, capture_ns, row_order=order)

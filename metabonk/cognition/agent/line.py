"""One connection to a server of System 2: a ZeroMQ socket and what its monitor says of it.

Knows sockets, keys and reconnecting; does not know messages. One thread, which never waits to send.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import zmq
import zmq.utils.monitor

from metabonk.cognition.protocol.address import with_port
from metabonk.cognition.protocol.wire import Buffer

_AT_ONCE = 64  # messages taken before somebody looks at the game again
_REPLY_BYTES = 64 << 10
_LINGER_MS = 200
# Between two attempts to connect: an attempt costs microseconds, an agent without a server its
# directives.
RECONNECT_MS, RECONNECT_MOST_MS = 25, 100
_REFUSALS = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


@dataclass(frozen=True)
class Keys:
    """CURVE, Z85 text of 40 characters each: the server's public key and a pair of one's own."""

    server: str
    public: str
    secret: str


class Line:
    """url: tcp:// or ipc://; its port is 5555 where it says none. identity: what the server routes
    by (v1); empty for one of its own."""

    def __init__(self, url: str, identity: str = "", keys: Keys | None = None) -> None:
        self.refusals = 0  # handshakes that the other end ended: it does not take our key
        self._url, self._identity, self._keys = with_port(url), identity, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        try:
            self._open()
        except BaseException:
            self._context.destroy(linger=0)  # an open one keeps the process from ending
            raise

    def _open(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.set(zmq.LINGER, _LINGER_MS)
        socket.set(zmq.SNDHWM, 32)
        socket.set(zmq.RCVHWM, 256)
        socket.set(zmq.MAXMSGSIZE, _REPLY_BYTES)
        socket.set(zmq.IMMEDIATE, 1)  # nothing is queued for a server that is not there
        socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MOST_MS)
        socket.set(zmq.HEARTBEAT_IVL, 1000)
        socket.set(zmq.HEARTBEAT_TIMEOUT, 4000)
        if self._identity:
            socket.set(zmq.IDENTITY, self._identity.encode())
        if self._keys is not None:
            socket.curve_serverkey = self._keys.server.encode()
            socket.curve_publickey = self._keys.public.encode()
            socket.curve_secretkey = self._keys.secret.encode()
        self._socket = socket
        self._events = self._messages = True  # whether there may be any; looked at once unasked
        self._monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSALS
        )
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.ipv6 = "[" in self._url  # else one of these is never reached, and nothing says so
        socket.connect(self._url)

    def renew(self) -> None:
        """Closes the connection and opens another one, to which nothing old can come."""
        self._shut()
        self._open()

    def wait(self, seconds: float, fileno: int = -1) -> None:
        """Returns when something has come, when `fileno`, if there is one, can be read from, or
        after so long; never before."""
        if fileno >= 0:
            self._poller.register(fileno, zmq.POLLIN)
        # Rounded up: what is a part of a millisecond early has to look, and look again, until then.
        for socket, _ in self._poller.poll(max(math.ceil(seconds * 1e3), 0)):
            self._events |= socket is self._monitor
            self._messages |= socket is self._socket
        if fileno >= 0:
            self._poller.unregister(fileno)

    def events(self) -> list[bool]:
        """What happened to the connection before the last `wait` was over: True where one was made,
        False where one ended."""
        found: list[bool] = []
        while self._events:
            try:
                event = zmq.utils.monitor.recv_monitor_message(self._monitor, zmq.NOBLOCK)
            except zmq.Again:
                self._events = False
                break
            if event["event"] & _REFUSALS:
                self.refusals += 1
            else:
                found.append(event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED)
        return found

    def received(self) -> Iterator[list[bytes]]:
        """Messages that had come when the last `wait` was over, at most so many; also one that came
        while those before it were looked at, as an acknowledgement right behind a reply does: to
        be woken for it once more would cost more than what it says."""
        found = 0
        while self._messages and found < _AT_ONCE:
            # Asked for its state, as an empty socket answers with an exception, which costs more.
            if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                found += 1
                yield self._socket.recv_multipart(zmq.NOBLOCK)
            else:
                self._messages = False

    def send(self, parts: Sequence[Buffer]) -> bool:
        """False if the queue is full or nobody is there."""
        try:
            # Frames of some tens of kilobytes are handed over, not copied.
            self._socket.send_multipart(list(parts), zmq.NOBLOCK, copy=len(parts) == 1)
        except zmq.Again:
            return False
        return True

    def _shut(self) -> None:
        self._poller.unregister(self._socket)
        self._poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exception: object) -> None:
        self._shut()
        self._context.term()

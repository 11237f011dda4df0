"""The broker's door: a ROUTER socket on an asyncio loop, its limits and its locks.

Knows ZeroMQ, addresses and CURVE; does not know what messages mean. Nothing here waits: what comes
is handed on at once, what a peer does not take is dropped and said so, for it can ask again. One
connection's memory is bounded by `HIGH_WATER` messages of `part_bytes` parts either way.

Routing ids are the ROUTER's own; a connection that brings the id of a living one is not let in
(no ROUTER_HANDOVER), so nobody gets another's replies. Off this machine only with CURVE: the
handshake asks `allowed` for the peer's key (ZAP, RFC 27), and each message says whose it is.

A door listens before it opens: agents of a server that starts anew find it, shake hands and say who
they are while all else is still being loaded, for which this module needs little itself.

The socket's file descriptor tells of changes, not of states: after every send and receive the
socket is asked for its events, or a message that came meanwhile would lie until the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import zmq
import zmq.utils.z85

from metabonk.cognition.protocol import address, keys
from metabonk.cognition.protocol.keys import Allowed, KeyPair
from metabonk.cognition.protocol.sizes import MOST_FRAMES
from metabonk.errors import ConfigError, LinkError

if TYPE_CHECKING:
    from metabonk.cognition.protocol.messages import Buffer
    from metabonk.schema import BrokerConfig

__all__ = ["HIGH_WATER", "MOST_PARTS", "Door", "check_endpoint"]

HIGH_WATER = 16  # messages on their way, per peer and direction
PART_BYTES = 8 << 20  # a longer part costs its sender the connection
MOST_PARTS = MOST_FRAMES + 3
_BATCH = 64  # messages that are taken before others have their turn
_COPIED = 4096  # bytes of a part up to which it is copied; a longer one is read where it lies
_ZAP = "inproc://zeromq.zap.01"
_IPC = "ipc://"
_FOLDER_WAIT = 0.25  # seconds for another who binds in the same folder, which takes a millisecond

Sent = Literal["sent", "gone", "full"]
Handler = Callable[[bytes, list["Buffer"], str], None]


class Door:
    """Listens at `endpoints` once `listen` is called, and hands on what comes from `open` on.

    pair, allowed: the broker's keys and who may come; without them only this machine is served.
    Raises ConfigError for an address that is none or that needs keys.
    """

    @classmethod
    def of(cls, config: BrokerConfig) -> Door:
        """The door of a server's settings. Raises ConfigError as above, and for keys that are not
        there."""
        pair = keys.read_pair(config.key) if config.key else None
        allowed = keys.read_allowed(config.allow) if config.allow else None
        if (pair is None) != (allowed is None):
            given, wanted = ("broker.key", "broker.allow")[:: 1 if pair else -1]
            raise ConfigError(f"{given} is given without {wanted}: agents and the server need both")
        endpoints = [one.strip() for one in config.bind.split(",") if one.strip()]
        return cls(endpoints, pair=pair, allowed=allowed)

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        pair: KeyPair | None = None,
        allowed: Allowed | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        if not endpoints:
            raise ConfigError("endpoints: none; wanted tcp://127.0.0.1:5555 or ipc://PATH")
        if (pair is None) != (allowed is None):
            raise ConfigError("CURVE needs both the broker's key and the list of agents (--allow)")
        for endpoint in endpoints:
            check_endpoint(endpoint, secured=pair is not None)
        self._wanted = list(endpoints)
        self.endpoints: list[str] = []
        self.counts = {"received": 0, "sent": 0, "gone": 0, "full": 0, "denied": 0, "reopened": 0}
        self.allowed = allowed
        self._pair, self._part_bytes = pair, part_bytes
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._handler: Handler | None = None
        self._waking = False
        self._open = False

    def listen(self) -> None:
        """Binds: who connects is let in, and what they say waits until `open`. Needs no loop, but
        for who shows a key: those are let in then. Raises LinkError if an address is taken."""
        self._context = zmq.Context(1)
        self._socket = self._context.socket(zmq.ROUTER)
        self._zap: zmq.Socket[bytes] | None = None
        try:
            if self._pair is not None:
                self._lock(self._pair)
            _configure(self._socket, self._part_bytes)
            for endpoint in self._wanted:
                self._bind(endpoint)
        except BaseException:
            context, self._context = self._context, None
            context.destroy(linger=0)
            raise

    def open(self, handler: Handler) -> None:
        """Listens, if that was not done, and begins to call `handler(route, parts, key)` for every
        message, in the running loop.

        parts: long ones are views of ZeroMQ's memory, which lives as long as they do. key: the
        peer's public key, empty without CURVE. Raises as `listen` does.
        """
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        if self._context is None:
            self.listen()
        self._open = True
        if self._zap is not None:
            self._loop.add_reader(_descriptor(self._zap), self._authenticate)
            self._authenticate()
        self._loop.add_reader(_descriptor(self._socket), self._readable)
        self._readable()

    def send(self, route: bytes, parts: Sequence[Buffer]) -> Sent:
        """Sends if the peer takes it now. gone: it is not connected; full: it does not read."""
        if not self._open:
            return "gone"
        last = len(parts) - 1
        try:
            # Part by part, which send_multipart does after looking at each of them twice. Only the
            # route can be refused: the parts behind it belong to a message that was begun.
            self._socket.send(route, zmq.NOBLOCK | zmq.SNDMORE)
            for number, part in enumerate(parts):
                self._socket.send(part, zmq.NOBLOCK | (zmq.SNDMORE if number < last else 0))
            told: Sent = "sent"
        except zmq.Again:
            told = "full"
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            told = "gone"
        self.counts[told] += 1
        self._look_again()
        return told

    def reopen(self) -> None:
        """Drops every connection, with what was on its way, and listens at the same addresses.

        Raises LinkError if another took one meanwhile.
        """
        handler = self._handler
        if self._context is None or handler is None:
            return
        self._wanted, self.endpoints = self.endpoints, []
        self.close(0.0)
        self.counts["reopened"] += 1
        self.open(handler)

    def close(self, linger: float = 0.5) -> None:
        """Sends what is on its way for at most `linger` seconds; safe to call twice."""
        if self._context is None:
            return
        context, self._context = self._context, None
        if self._open:
            self._open = False
            self._loop.remove_reader(_descriptor(self._socket))
            if self._zap is not None:
                self._loop.remove_reader(_descriptor(self._zap))
        context.destroy(linger=int(linger * 1000))

    def _bind(self, endpoint: str) -> None:
        try:
            with _alone_at(endpoint), _for_its_owner(endpoint):
                self._socket.ipv6 = "[" in endpoint
                self._socket.bind(address.to_bind(endpoint))
        except (zmq.ZMQError, OSError) as error:
            raise LinkError(_not_bound(endpoint, error.errno or 0)) from error
        self.endpoints.append(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def _lock(self, pair: KeyPair) -> None:
        assert self._context is not None
        self._zap = self._context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)
        self._socket.curve_server = True
        self._socket.curve_secretkey = pair.secret.encode()
        self._socket.curve_publickey = pair.public.encode()
        self._socket.zap_domain = b"metabonk"

    def _readable(self) -> None:
        self._waking = False
        if not self._open:
            return
        for _ in range(_BATCH):
            try:
                message = self._receive()
            except zmq.Again:
                return
            try:
                if self._handler is not None:
                    self._handler(*message)
            except BaseException:  # the loop reports it; what came behind it must not lie
                self._wake()
                raise
            if not self._open:
                return
        self._wake()

    def _receive(self) -> tuple[bytes, list[Buffer], str]:
        """One message. Of one with more parts than there can be the rest is read and dropped; what
        is handed on is still too many, so that its sender hears of it."""
        frame = self._socket.recv(zmq.NOBLOCK, copy=False)
        route = frame.bytes
        key = ""
        if self._pair is not None:
            with contextlib.suppress(zmq.ZMQError):
                key = str(frame.get("User-Id"))
        parts: list[Buffer] = []
        more = frame.more
        while more:
            frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            more = frame.more
            if len(parts) < MOST_PARTS:
                parts.append(frame.bytes if len(frame) <= _COPIED else frame.buffer)
        self.counts["received"] += 1
        return route, parts, key

    def _look_again(self) -> None:
        if int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._wake()

    def _wake(self) -> None:
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._readable)

    def _authenticate(self) -> None:
        """Answers the handshakes that wait."""
        assert self._zap is not None
        assert self.allowed is not None
        while True:
            try:
                # version, request, domain, address, identity, mechanism, key
                version, request, *_, mechanism, key = self._zap.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            except ValueError:  # not of CURVE: no key among the parts
                continue
            public = _z85(key)
            fine = mechanism == b"CURVE" and self.allowed.knows(public)
            self.counts["denied"] += not fine
            status = [b"200", b"OK", public.encode()] if fine else [b"400", b"unknown key", b""]
            self._zap.send_multipart([version, request, *status, b""], zmq.NOBLOCK)


@contextlib.contextmanager
def _alone_at(endpoint: str) -> Iterator[None]:
    """While a socket's file is bound. ZeroMQ would delete whatever is there and bind anew: whom it
    belonged to would run on, and nobody could come to it any more.

    Looking and binding are one step for all who do both, by a lock on the folder, which leaves no
    file behind. Abstract names (`@`) and ones that ZeroMQ makes (`*`) are the kernel's to refuse.
    Raises OSError if somebody listens there, or it is no socket.
    """
    path = endpoint.removeprefix(_IPC)
    if path == endpoint or path[0] in "@*":
        yield
        return
    folder = _locked(os.path.dirname(path) or ".")
    try:
        _refuse_living(path)
        yield
    finally:
        if folder >= 0:
            os.close(folder)  # and lets go of the lock


@contextlib.contextmanager
def _for_its_owner(endpoint: str) -> Iterator[None]:
    """An ipc socket is a file: only its owner may connect."""
    if not endpoint.startswith(_IPC):
        yield
        return
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def _locked(folder: str) -> int:
    """A descriptor of the folder, locked if that can be had: others may lock it for their own ends,
    and one that cannot be opened has no socket, or is for binding to tell. -1 without one."""
    try:
        found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    end = time.monotonic() + _FOLDER_WAIT
    while True:
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK and time.monotonic() < end:
                time.sleep(0.002)
                continue
        return found


def _refuse_living(path: str) -> None:
    """Raises OSError unless nothing is at a path, or a socket that nobody listens at any more."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # nothing, or what binding tells
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        found = probe.connect_ex(path)
    if found == errno.EACCES:
        raise PermissionError(found, os.strerror(found))
    if found not in (errno.ECONNREFUSED, errno.ENOENT):  # also one who has no time for us
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _not_bound(endpoint: str, error: int) -> str:
    """Why nobody listens there, who may have the address, and what to do."""
    told, remedy = os.strerror(error).lower(), "give another address with --bind"
    if error == errno.EADDRINUSE and endpoint.startswith("tcp://"):
        told += "; is another broker there, or a game? BonkLink's plugin listens on 5555 too"
        remedy += ", or the game another port (METABONK_BONKLINK_PORT, or `metabonk host --port`)"
    elif error == errno.EADDRINUSE:
        told += "; is another broker there?"
    elif error == errno.EEXIST:
        told += " and is no socket"
    return f"{endpoint}: {told}; {remedy}"


def check_endpoint(endpoint: str, *, secured: bool) -> None:
    """Raises ConfigError unless the address can be, and is of this machine or secured."""
    if why := address.fault(endpoint, listens=True):
        raise ConfigError(f"{endpoint}: {why}")
    if not secured and not address.is_here(endpoint):
        raise ConfigError(
            f"{endpoint}: other machines could reach it: give keys (--key, --allow; "
            "`metabonk keys new` makes them), or bind tcp://127.0.0.1"
        )


def _configure(socket: zmq.Socket[bytes], part_bytes: int) -> None:
    socket.router_mandatory = 1  # a reply that cannot be delivered is known
    socket.sndhwm = socket.rcvhwm = HIGH_WATER
    socket.maxmsgsize = part_bytes
    socket.linger = 0
    socket.backlog = 1024
    socket.handshake_ivl = 5_000  # ms: who connects and says nothing is let go
    # A host that is gone is found by TCP, a process that hangs by heartbeats. Those are rare, as
    # ZeroMQ walks the timers of all connections for each of them: with ten thousand every 5 s it
    # has no time left for messages.
    socket.tcp_keepalive, socket.tcp_keepalive_cnt = 1, 2
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = 5  # seconds
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 30_000, 15_000, 60_000


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return int(socket.getsockopt(zmq.FD))


def _z85(key: bytes) -> str:
    return zmq.utils.z85.encode(key).decode() if len(key) == 32 else ""

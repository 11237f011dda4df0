"""Ends of links that tests turn by hand, and peers in plain Python on sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

from metabonk.link.bonklink import Arrival, Client, Reset, Server, Tick
from metabonk.records import FieldGroup, GameState

HANG = 30.0  # seconds that nothing here takes unless it hangs
FAST = {"pause": 0.002, "pause_max": 0.02}


def until(so: Callable[[], object], *ends: Client | Server) -> Tick | Arrival | Reset | None:
    """Turns the ends until it is so; the last thing that came."""
    deadline, last = time.monotonic() + HANG, None
    while not so():
        assert time.monotonic() < deadline, [end.last_error for end in ends]
        for end in ends:
            last = end.poll(0.002) or last
    return last


def receive(server: Server, client: Client, sequence: int) -> Tick:
    """The tick of that sequence."""
    deadline = time.monotonic() + HANG
    while True:
        assert time.monotonic() < deadline, client.last_error
        server.poll(0.0)
        tick = client.poll(0.005)
        if tick is not None and tick.sequence >= sequence:
            return tick


def state_at(x: float) -> GameState:
    return GameState(FieldGroup.EVERYTHING, position=(x, 0.0, 0.0), playing=True, time=x)


@contextlib.contextmanager
def linked(server_options=None, client_options=None, address="tcp://127.0.0.1:0") -> Iterator:
    with (
        Server(address, **(server_options or {})) as server,
        Client(server.address, **FAST | (client_options or {})) as client,
    ):
        yield server, client


def plain_agent(server: Server) -> socket.socket:
    host, _, port = server.address.removeprefix("tcp://").rpartition(":")
    peer = socket.create_connection((host, int(port)), timeout=HANG)
    count = server.connection
    until(lambda: server.connection > count, server)
    return peer


@contextlib.contextmanager
def plain_game() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(HANG)
        yield listener, f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def accept(listener: socket.socket, client: Client) -> socket.socket:
    listener.setblocking(False)
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        client.poll(0.002)
        with contextlib.suppress(BlockingIOError):
            peer, _ = listener.accept()
            peer.settimeout(HANG)
            return peer
    raise AssertionError("nobody connected")


def exactly(peer: socket.socket, size: int, *turn: Client | Server) -> bytes:
    peer.settimeout(0.002)
    data, deadline = b"", time.monotonic() + HANG
    while len(data) < size:
        assert time.monotonic() < deadline
        for end in turn:
            end.poll(0.0)
        with contextlib.suppress(TimeoutError):
            more = peer.recv(size - len(data))
            assert more, f"closed after {len(data)} of {size} bytes"
            data += more
    return data

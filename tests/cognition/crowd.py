"""Thousands of agents in one process: ZMTP 3.0 spoken by hand over plain sockets.

ZeroMQ itself makes one connection of several to the same address, and takes two files for each of
its sockets. Each connection here is whole: greeting, READY, messages, and an answer to every PING.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence

from peers import HANG

from metabonk.cognition.protocol import wire as w

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY" + b"\x0bSocket-Type" + b"\x00\x00\x00\x06DEALER" + b"\x08Identity" + bytes(4)
_MORE, _LONG, _COMMAND = 1, 2, 4


def command(body: bytes) -> bytes:
    """A command on the wire."""
    return _frame(body, _COMMAND)


def message(said: w.ToBroker) -> bytes:
    """A message on the wire, as a DEALER sends it."""
    *others, last = w.encode(said, [])
    return b"".join([*(_frame(bytes(part), _MORE) for part in others), _frame(bytes(last), 0)])


def _frame(body: bytes, flags: int) -> bytes:
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | _LONG]) + len(body).to_bytes(8, "big") + body


class Connection:
    """One agent's. answers: what came for it, oldest first."""

    def __init__(self, where: tuple[str, int]) -> None:
        self.socket = socket.create_connection(where, HANG)
        self.socket.sendall(GREETING)
        self.answers: list[w.ToAgent] = []
        self._data = bytearray()
        self._parts: list[bytes] = []

    def introduce(self, hello: w.Hello) -> None:
        """Ends the handshake and says who it is; from here on nothing waits."""
        left = len(GREETING)
        while left:
            got = self.socket.recv(left)
            assert got, "the server closed it in the handshake"
            left -= len(got)
        self.socket.sendall(command(READY) + message(hello))
        self.socket.setblocking(False)

    def hear(self) -> None:
        """Takes what came."""
        got = self.socket.recv(1 << 16)
        assert got, "the server closed it"
        self._data += got
        while (frame := self._next()) is not None:
            flags, body = frame
            if flags & _COMMAND:
                if body.startswith(b"\x04PING"):
                    self.socket.sendall(command(b"\x04PONG" + body[7:]))
                continue
            self._parts.append(body)
            if not flags & _MORE:
                self.answers.append(w.decode_answer(self._parts))
                self._parts = []

    def _next(self) -> tuple[int, bytes] | None:
        """The next whole frame: its flags and its body."""
        if not self._data:
            return None
        head = 9 if self._data[0] & _LONG else 2
        if len(self._data) < head:
            return None
        end = head + int.from_bytes(self._data[1:head], "big")
        if len(self._data) < end:
            return None
        flags, body = self._data[0], bytes(self._data[head:end])
        del self._data[:end]
        return flags, body


class Crowd:
    """Connections to one server, all open until the block ends."""

    def __init__(self, endpoint: str) -> None:
        host, port = endpoint.removeprefix("tcp://").split(":")
        self._where = host, int(port)
        self._all: list[Connection] = []
        self._selector = selectors.DefaultSelector()

    def join(self, hellos: Sequence[w.Hello]) -> Counter[str]:
        """As many more agents; see `say` for what it returns."""
        made = [Connection(self._where) for _ in hellos]
        self._all += made
        for one, hello in zip(made, hellos, strict=True):
            one.introduce(hello)
            self._selector.register(one.socket, selectors.EVENT_READ, one)
            self.hear()
        return self._answers(made)

    def say(self, messages: Sequence[w.ToBroker]) -> Counter[str]:
        """The newest agents say one message each; how often each was answered how: by the code of a
        refusal, or the kind of another message."""
        newest = self._all[-len(messages) :]
        for one, said in zip(newest, messages, strict=True):
            one.socket.sendall(message(said))
        return self._answers(newest)

    def hear(self, seconds: float = 0.0) -> None:
        """Takes what comes, waiting so long for the first of it."""
        for key, _ in self._selector.select(seconds):
            key.data.hear()

    def _answers(self, of: Sequence[Connection]) -> Counter[str]:
        end = time.monotonic() + HANG
        while missing := sum(not one.answers for one in of):
            assert time.monotonic() < end, f"{missing} of {len(of)} were not answered"
            self.hear(0.1)
        answers = [answer for one in of for answer in one.answers]
        for one in of:
            one.answers.clear()
        return Counter(a.code if isinstance(a, w.Reply) else type(a).__name__ for a in answers)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exception: object) -> None:
        self._selector.close()
        for one in self._all:
            one.socket.close()

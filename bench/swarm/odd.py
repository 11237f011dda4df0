"""A cognitive server that is no good: late, garbled, or nobody at all behind the port.

Knows the protocol well enough to break it; a game beside it must not notice.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Literal

import zmq

from metabonk.cognition.protocol import wire

Manner = Literal["late", "garbled", "dead"]
ANSWER = {"action": "explore", "target": "hold", "seconds": 4.0, "priority": "normal"}
_GARBAGE: tuple[dict[str, object], ...] = (
    {}, {"action": "fly"}, {"action": "move", "target": "entity:99999999999999"},
    {"action": "retreat", "seconds": float("nan")}, {"action": ["move"], "target": {"x": 1}},
    {"kind": "drag"}, {"kind": "noop", "choice": float("nan")},
    {"kind": "click", "choice": float("inf")}, {"kind": "click_xy", "x": float("nan"), "y": 2**63},
)  # fmt: skip

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class _Said:
    """A message. late: it is held back. answers: a request. asked: when that came."""

    parts: list[wire.Buffer]
    late: bool = False
    answers: bool = False
    asked: float = 0.0


class OddServer:
    """Listens until it is closed.

    late: every answer comes up to `seconds` late; delays fill that span evenly, so that of a few
    some are short and some are long. garbled: answers outside the vocabulary, bytes that are no
    message. dead: nobody listens. answered: requests, by a message that was sent; latest: seconds
    that one of them waited at most.
    """

    def __init__(self, manner: Manner, seconds: float = 10.0) -> None:
        self.manner, self._seconds = manner, seconds
        self.answered, self.latest = 0, 0.0
        self._stop = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.url = f"tcp://127.0.0.1:{port}"
        self._thread: threading.Thread | None = None
        if manner == "dead":
            self._socket.close()
        else:
            self._thread = threading.Thread(target=self._run, name="odd server")
            self._thread.start()

    def close(self) -> None:
        """Safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not self._context.closed:
            self._socket.close()
            self._context.term()

    def _run(self) -> None:
        drawn = random.Random(0)
        due: list[tuple[float, int, _Said]] = []  # when, a number, what is sent then
        number, late = 0, {True: 0, False: 0}  # by whether requests are answered
        while not self._stop.is_set():
            while due and due[0][0] <= time.monotonic():
                said = heapq.heappop(due)[2]
                self._socket.send_multipart(said.parts)
                if said.answers:
                    self.answered += 1
                    self.latest = max(self.latest, time.monotonic() - said.asked)
            if not self._socket.poll(10):
                continue
            route, *parts = self._socket.recv_multipart()
            now = time.monotonic()
            for said in self._answers(parts, drawn):
                number += 1
                late[said.answers] += said.late
                # Multiples of the golden ratio: the next one falls into the widest gap (Kronecker).
                share = late[said.answers] * _GOLDEN % 1.0
                delay = share * self._seconds if said.late else 0.0
                sent = _Said([route, *said.parts], said.late, said.answers, now)
                heapq.heappush(due, (now + delay, number, sent))

    def _answers(self, parts: list[bytes], drawn: random.Random) -> list[_Said]:
        """What is said to a message."""
        try:
            message, _ = wire.decode(parts)
        except wire.WireError:
            return []
        if isinstance(message, wire.Hello):
            welcome = wire.Welcome(
                agent=message.agent, epoch=message.epoch, session="odd", phase=drawn.random()
            )
            return [_Said(wire.encode(welcome))]
        if isinstance(message, wire.Outcome):
            told = wire.Ack(id=message.id, of="outcome")
            return [_Said(wire.encode(told), late=self.manner == "late")]
        if not isinstance(message, wire.Request):
            return []
        if self.manner == "late":
            reply = wire.Reply(id=message.id, status="ok", answer=ANSWER)
            return [_Said(wire.encode(reply), late=True, answers=True)]
        answer = drawn.choice(_GARBAGE)
        reply = wire.Reply(id=message.id, status="ok", answer=dict(answer))
        noise: list[wire.Buffer] = [os.urandom(drawn.randrange(1, 2000))]
        return [_Said(noise), _Said(wire.encode(reply), answers=True), _Said([b"{", b"}"])]

"""A cognitive server that is no good: late, garbled, or nobody at all behind the port.

Knows the protocol well enough to break it; a game beside it must not notice.
"""

from __future__ import annotations

import heapq
import os
import random
import threading
import time
from typing import Literal

import zmq

from metabonk.cognition.protocol import wire

Manner = Literal["late", "garbled", "dead"]
ANSWER = {"action": "explore", "target": "hold", "seconds": 4.0, "priority": "normal"}
_GARBAGE: tuple[dict[str, object], ...] = (
    {}, {"action": "fly"}, {"action": "move", "target": "entity:99999999999999"},
    {"action": "retreat", "seconds": float("nan")}, {"action": ["move"], "target": {"x": 1}},
)  # fmt: skip


class OddServer:
    """Listens until it is closed. late: every answer comes up to `seconds` late, drawn at random.
    garbled: answers outside the vocabulary, bytes that are no message. dead: nobody listens."""

    def __init__(self, manner: Manner, seconds: float = 10.0) -> None:
        self._manner, self._seconds = manner, seconds
        self.answered = 0
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
        due: list[tuple[float, int, list[wire.Buffer]]] = []  # when, a number, what is sent then
        number = 0
        while not self._stop.is_set():
            while due and due[0][0] <= time.monotonic():
                self._socket.send_multipart(heapq.heappop(due)[2])
                self.answered += 1
            if not self._socket.poll(10):
                continue
            route, *parts = self._socket.recv_multipart()
            for answer in self._answers(parts, drawn):
                number += 1
                delay = drawn.random() * self._seconds if answer[1] else 0.0
                heapq.heappush(due, (time.monotonic() + delay, number, [route, *answer[0]]))

    def _answers(
        self, parts: list[bytes], drawn: random.Random
    ) -> list[tuple[list[wire.Buffer], bool]]:
        """What is said to a message, and whether it comes late."""
        try:
            message, _ = wire.decode(parts)
        except wire.WireError:
            return []
        if isinstance(message, wire.Hello):
            welcome = wire.Welcome(
                agent=message.agent, epoch=message.epoch, session="odd", phase=drawn.random()
            )
            return [(wire.encode(welcome), False)]
        if isinstance(message, wire.Outcome):
            told = wire.Ack(id=message.id, of="outcome")
            return [(wire.encode(told), self._manner == "late")]
        if not isinstance(message, wire.Request):
            return []
        if self._manner == "late":
            reply = wire.Reply(id=message.id, status="ok", answer=ANSWER)
            return [(wire.encode(reply), True)]
        answer = drawn.choice(_GARBAGE)
        reply = wire.Reply(id=message.id, status="ok", answer=dict(answer))
        noise: list[wire.Buffer] = [os.urandom(drawn.randrange(1, 2000))]
        return [(noise, False), (wire.encode(reply), False), ([b"{", b"}"], False)]

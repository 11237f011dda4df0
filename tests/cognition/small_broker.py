"""What tests of the client's side play with: a broker of a few lines that binds names and answers
as it is told, and a game that shows itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import zmq

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.client import Client, Sight
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import (
    Ack,
    Hello,
    Outcome,
    Query,
    Reply,
    Request,
    RequestId,
    Welcome,
)
from metabonk.cognition.vocabulary import Compass, Directive, Verb
from metabonk.records import FieldGroup, GameState

HANG = 20.0  # seconds after which a test has failed
ANSWER = vocabulary.spell(Directive(Verb.RETREAT, Compass(4), 4.0))


def until(true: Callable[[], Any], what: str = "it") -> None:
    end = time.monotonic() + HANG
    while not true():
        assert time.monotonic() < end, f"{what} did not come true"
        time.sleep(0.005)


class Server:
    """A broker of a few lines: binds names, and answers requests as `answer` says."""

    def __init__(self, url: str, answer: Callable[[Request], Reply | None] | None = None) -> None:
        self.url, self.answer = url, answer or self.ok
        self.hellos: list[Hello] = []
        self.requests: list[tuple[Request, list[bytes]]] = []
        self.queries: list[Query] = []
        self.outcomes: dict[RequestId, list[Outcome]] = {}
        self.acknowledges = True
        self.welcomes = True
        self.limits = wire.LIMITS
        self.session = str(time.monotonic_ns())
        self.route = b""
        self._stop = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(url)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @staticmethod
    def ok(request: Request) -> Reply | None:
        return Reply(id=request.id, status="ok", answer=ANSWER, backend="test")

    def tell(self, reply: Reply) -> None:
        """Says something before the answer; to be called by `answer`, on the broker's thread."""
        self._socket.send_multipart([self.route, *wire.encode(reply)])

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.term()
        if self._error is not None:
            raise self._error

    def _serve(self) -> None:
        try:
            while not self._stop.is_set():
                if self._socket.poll(5):
                    self.route, *parts = self._socket.recv_multipart()
                    reply = self._heard(parts)
                    if reply is not None:
                        self._socket.send_multipart([self.route, *wire.encode(reply)])
        except BaseException as error:  # noqa: BLE001  # raised by `stop`
            self._error = error

    def _heard(self, parts: list[bytes]) -> Any:
        message, frames = wire.decode(parts)
        if isinstance(message, Hello):
            self.hellos.append(message)
            phase = 0.0
            welcome = Welcome(
                agent=message.agent,
                epoch=message.epoch,
                session=self.session,
                phase=phase,
                limits=self.limits,
            )
            return welcome if self.welcomes else None
        if isinstance(message, Request):
            self.requests.append((message, [bytes(frame) for frame in frames]))
            return self.answer(message)
        if isinstance(message, Query):
            self.queries.append(message)
            return None
        if isinstance(message, Outcome):
            self.outcomes.setdefault(message.id, []).append(message)
            return Ack(id=message.id, of="outcome") if self.acknowledges else None
        return None


@contextmanager
def serving(url: str, answer: Any = None) -> Iterator[Server]:
    server = Server(url, answer)
    try:
        yield server
    finally:
        server.stop()


class Game:
    """A game on a thread of its own, which shows a sight every few milliseconds."""

    def __init__(self, client: Client, frames: bool = True) -> None:
        self.state = GameState(
            fields=FieldGroup.EVERYTHING, health=100.0, max_health=100.0, playing=True
        )
        self.reward, self.run = 0.0, 0
        self._client, self._frames = client, frames
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play)

    def _play(self) -> None:
        number = 0
        while not self._stop.wait(0.008):
            number += 1
            pixels = np.full((24, 32, 3), number % 250, np.uint8) if self._frames else None
            packed = self.state.pack()
            self._client.show(Sight(packed, time.monotonic_ns(), pixels, self.reward, self.run))

    def __enter__(self) -> Game:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

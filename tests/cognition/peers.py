"""Who the broker's tests talk with: agents on real sockets, doors and backends that do as told."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import zmq

from metabonk.cognition.protocol import wire as w
from metabonk.cognition.protocol.keys import KeyPair
from metabonk.cognition.question import Answer, Question, Undecided
from metabonk.cognition.vocabulary import Directive, Hold, Verb
from metabonk.records import Entity, FieldGroup, GameState, Offer, Pickup, Widget

HANG = 30.0  # seconds after which a test gives up
JPEG = simplejpeg.encode_jpeg(np.full((36, 64, 3), 90, np.uint8))
STATE = GameState(fields=FieldGroup.EVERYTHING, health=50.0, max_health=100.0, playing=True).pack()
ANSWER = Answer("scripted", Directive(Verb.RETREAT, Hold(), 2.0), confidence=0.5, mode="test")


def jpeg(shade: int) -> bytes:
    """One of 256 different pictures."""
    return bytes(simplejpeg.encode_jpeg(np.full((36, 64, 3), shade, np.uint8)))


def crowd(seed: int = 0, entities: int = 256, pickups: int = 128) -> GameState:
    """The fullest state there can be, at random places."""
    rng = np.random.default_rng(seed)

    def place() -> tuple[float, float, float]:
        x, y = (float(v) for v in np.float32(rng.uniform(-80, 80, 2)))
        return x, y, 0.0

    return GameState(
        fields=FieldGroup.EVERYTHING, position=(3.0, -4.0, 0.0), health=41.5, max_health=100.0,
        time=412.25, kills=77, level=9, menu="LevelUp", playing=True,
        entities=[
            Entity(id=i + 1, position=place(), velocity=place(), health=float(i))
            for i in range(entities)
        ],
        pickups=[Pickup(id=i + 1, position=place(), value=1.0) for i in range(pickups)],
        widgets=[Widget(text=f"Choose {i}", x1=0.5) for i in range(3)],
        offers=[Offer(text=f"Sword {i}") for i in range(3)],
    )  # fmt: skip


class FakeDoor:
    """Keeps what is sent. gone, full: routes that do not take it."""

    def __init__(self) -> None:
        self.out: list[tuple[bytes, list[Any]]] = []
        self.gone: set[bytes] = set()
        self.full: set[bytes] = set()

    def send(self, route: bytes, parts: list[Any]) -> Any:
        if route in self.gone:
            return "gone"
        if route in self.full:
            return "full"
        self.out.append((route, list(parts)))
        return "sent"

    def take(self, route: bytes | None = None) -> list[w.ToAgent]:
        """What was sent (to `route`) since the last time, without signs of life."""
        mine = [o for o in self.out if route in (None, o[0])]
        self.out = [o for o in self.out if route not in (None, o[0])]
        found = [w.decode_answer(parts) for _, parts in mine]
        return [m for m in found if m != w.Ack(id=None, of="pending")]


class Scripted:
    """A backend that does what it is told. held: answers only when `release` is called."""

    name = "scripted"

    def __init__(self, limit: int = 16, held: bool = False) -> None:
        self.limit = limit
        self.held = held
        self.asked: list[Question] = []
        self.answer: Answer | Undecided | Exception | Callable[[Question], Answer] = ANSWER
        self.running = self.most_running = self.cancelled = 0
        self._gates: list[asyncio.Event] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def decide(self, question: Question) -> Answer:
        self.asked.append(question)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        gate = asyncio.Event()
        try:
            if self.held:
                self._gates.append(gate)
                await gate.wait()
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer if isinstance(self.answer, Answer) else self.answer(question)
        except asyncio.CancelledError:
            self.cancelled += 1
            self._gates = [g for g in self._gates if g is not gate]
            raise
        finally:
            self.running -= 1

    def release(self, count: int = 1) -> None:
        """Lets so many of the held answers go, the oldest first."""
        for gate in self._gates[:count]:
            gate.set()
        del self._gates[:count]


class Peer:
    """An agent on a real socket, which waits for what it is owed."""

    def __init__(
        self,
        endpoint: str,
        agent: str = "omega-0",
        *,
        epoch: int | None = None,
        identity: str = "",
        pair: KeyPair | None = None,
        server: str = "",
    ) -> None:
        self.agent, self.epoch = agent, time.time_ns() if epoch is None else epoch
        self.secret = os.urandom(16)
        self.sequence = -1
        self._context = zmq.Context(1)
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl, self.socket.reconnect_ivl_max = 20, 100
        if identity:
            self.socket.setsockopt_string(zmq.IDENTITY, identity)
        if pair is not None:
            self.socket.curve_publickey = pair.public.encode()
            self.socket.curve_secretkey = pair.secret.encode()
            self.socket.curve_serverkey = server.encode()
        self.socket.connect(endpoint)

    def send(self, message: w.ToBroker, frames: Sequence[bytes] = ()) -> None:
        self.socket.send_multipart(w.encode(message, frames))

    def receive(self, seconds: float = HANG) -> w.ToAgent:
        found = self.maybe(seconds)
        assert found is not None, "nothing came"
        return found

    def maybe(self, seconds: float) -> w.ToAgent | None:
        """The next message, None if none comes in time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self.socket.poll(int(left * 1000) + 1):
            found = w.decode_answer(self.socket.recv_multipart())
            if found != w.Ack(id=None, of="pending"):
                return found
        return None

    def hello(self, clock: str = "", log: bool = False) -> w.ToAgent:
        said = w.Hello(agent=self.agent, epoch=self.epoch, secret=self.secret, clock=clock, log=log)
        self.send(said)
        return self.receive()

    def request(self, seconds: float = 5.0, frames: int = 0, **fields: Any) -> w.Request:
        """A request with the next id, not sent yet."""
        self.sequence += 1
        now = time.monotonic_ns()
        return w.Request(**{
            "id": w.RequestId(self.agent, self.epoch, self.sequence), "captured_ns": now,
            "deadline_ns": now + int(seconds * 1e9), "left_ms": seconds * 1e3, "state": STATE,
            "frames": [w.FrameInfo(now)] * frames, **fields,
        })  # fmt: skip

    def ask(self, **fields: Any) -> w.Reply:
        request = self.request(**fields)
        self.send(request, [JPEG] * len(request.frames))
        found = self.receive()
        assert isinstance(found, w.Reply), found
        return found

    def close(self) -> None:
        self._context.destroy(linger=0)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Server:
    """`metabonk serve cognitive` as a process."""

    def __init__(self, folder: Path, *arguments: str, bind: str = "", http: str = "") -> None:
        self.folder = folder
        words = [
            sys.executable, "-c", "from metabonk.cli.main import run; run()", "serve", "cognitive",
            "--bind", bind or "tcp://127.0.0.1:*", "--http", http or "127.0.0.1:0",
            "--directory", str(folder), *arguments,
        ]  # fmt: skip
        environ = {k: v for k, v in os.environ.items() if not k.startswith("METABONK_")}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
        self.said: list[str] = []
        self.endpoints: list[str] = []
        self.url = ""
        assert self.process.stderr is not None
        hangs = threading.Timer(2 * HANG, self.process.kill)
        hangs.start()
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"agents connect to (\S+)", line):
                self.endpoints.append(found[1])
            if found := re.search(r"(http://\S+)/metrics", line):
                self.url = found[1]
                break
        else:
            hangs.cancel()
            raise AssertionError("".join(self.said))
        hangs.cancel()

    @property
    def endpoint(self) -> str:
        return self.endpoints[0]

    def page(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=HANG) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, by what stands before it; 0 where there is none."""
        text = self.page("/metrics")[1]
        found = re.search(rf"^metabonk_cognition_{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(HANG)

    def end(self) -> tuple[int, str]:
        """Asks it to end; its exit status, and what it said on both outputs."""
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=HANG)
        return self.process.returncode, out + err


@contextmanager
def server(folder: Path, *arguments: str, bind: str = "", http: str = "") -> Iterator[Server]:
    """A server that is gone afterwards."""
    made = Server(folder, *arguments, bind=bind, http=http)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.kill()
        for stream in (made.process.stdout, made.process.stderr):
            if stream is not None:
                stream.close()


def until(what: Callable[[], bool], seconds: float = HANG) -> None:
    """Waits for something that happens by itself."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)

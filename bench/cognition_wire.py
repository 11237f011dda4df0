"""A strip's way from agent to server in suite `cognition`: what the codec and the socket cost.

Nine encoded frames of 640x360 and a state go to another process over loopback TCP and are read
there, checked, and answered; coding JPEGs is not part of it. Ours is protocol 2: a MessagePack
header and the frames as they are. The peer is what cognitive servers are usually asked by: one JSON
document with base64. Values are CPU milliseconds per strip, of the process, ZeroMQ's thread
included. Who asks here is no client and who answers no server: what those cost whole is measured by
the groups `client` and `server`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import zmq

from .case import Case
from .swarm.clip import Clip
from .versus import Contender

STRIPS = 150  # per round
WARM = 20
PATIENCE = 20.0
LEAVE_SECONDS = 3.0
MOMENT = 59  # of the clip that a strip is of: enemies have come

Side = Literal["client", "server"]
Codec = Literal["binary", "json"]


def cases() -> list[Case]:
    sides: tuple[Side, ...] = ("client", "server")
    return [
        Case(
            "cognition",
            f"codec alone: {side}'s processor time per strip",
            "ms",
            Contender("metabonk", functools.partial(StripExchange, side, "binary")),
            (Contender("JSON + base64", functools.partial(StripExchange, side, "json")),),
            better="lower",
        )
        for side in sides
    ]


@functools.cache
def clip() -> Clip:
    """A stretch of the arena, recorded once per process."""
    from .swarm import clip as clips

    with tempfile.TemporaryDirectory(prefix="metabonk-bench-") as folder:
        return clips.record(Path(folder))  # mapped: the files go, what is in them stays


@functools.cache
def strip() -> tuple[tuple[bytes, ...], bytes]:
    """Nine JPEGs of the arena and its packed state."""
    from metabonk.cognition.strips.strip import encode

    from .swarm import driver

    made = clip()
    frames = [encode(made.frames[MOMENT - 4 * k]) for k in reversed(range(driver.STRIP))]
    return tuple(frames), made.states[MOMENT].tobytes()


class StripExchange:
    """A meter of one side and one way of writing strips down."""

    def __init__(self, side: Side, codec: Codec) -> None:
        self._side, self._codec = side, codec
        self._jpegs, self._state = strip()
        context = multiprocessing.get_context("spawn")  # nothing of this process's threads
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(codec, other), daemon=True)
        self._process.start()
        other.close()
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("strip exchange: the other process does not start")
        port = self._pipe.recv()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._sequence = 0

    def prepare(self) -> None:
        self._round(WARM)

    def measure(self) -> float:
        return self._round(STRIPS)

    def close(self) -> None:
        if self._pipe.closed:
            return
        self._socket.close()
        self._context.term()
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join(LEAVE_SECONDS)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._pipe.close()

    def _round(self, count: int) -> float:
        self._pipe.send(count)
        began = time.process_time()
        for _ in range(count):
            self._ask()
        spent = time.process_time() - began
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("strip exchange: the server does not say what it spent")
        there = float(self._pipe.recv())
        return (spent if self._side == "client" else there) / count * 1e3

    def _ask(self) -> None:
        from metabonk.cognition.protocol import wire

        from .swarm import driver

        self._sequence += 1
        if self._codec == "binary":
            id = wire.RequestId("omega-0", 1, self._sequence)
            parts = driver.request(id, time.monotonic_ns(), 5.0, self._state, self._jpegs)
            self._socket.send_multipart(parts, copy=False)
        else:
            self._socket.send(json_request(self._jpegs))
        if not self._socket.poll(round(PATIENCE * 1e3)):
            raise TimeoutError("strip exchange: no answer")
        answer = self._socket.recv_multipart()
        if self._codec == "binary":
            said = wire.decode_answer(answer)
            if not isinstance(said, wire.Reply) or said.id is None:
                raise ValueError(f"strip exchange: got {said}")
        else:
            json.loads(answer[-1])


def json_request(jpegs: tuple[bytes, ...]) -> bytes:
    """What the standard library makes of a strip."""
    state = {"health": 75.0, "position": [1.0, 2.0], "enemies_nearby": 4, "level": 3}
    frames = [base64.b64encode(jpeg).decode() for jpeg in jpegs]
    return json.dumps(
        {"agent_id": "omega-0", "frames": frames, "state": state, "timestamp": time.time()}
    ).encode()


ANSWER = {"action": "retreat", "target": "compass:4", "seconds": 2.0, "priority": "high"}


def _serve(codec: Codec, pipe: Any) -> None:
    """The other process: reads strips, looks at every frame, answers."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.set(zmq.LINGER, 0)
    pipe.send(socket.bind_to_random_port("tcp://127.0.0.1"))
    with contextlib.suppress(EOFError):
        while (count := pipe.recv()) is not None:
            began = time.process_time()
            for _ in range(count):
                if not socket.poll(round(PATIENCE * 1e3)):
                    return
                _answer(socket, codec)
            pipe.send(time.process_time() - began)
    socket.close()
    context.term()


def _answer(socket: Any, codec: Codec) -> None:
    from metabonk.cognition.protocol import wire

    if codec == "binary":
        route, *parts = socket.recv_multipart()
        message, frames = wire.decode(parts)
        if not isinstance(message, wire.Request) or len(frames) != len(message.frames):
            raise ValueError("strip exchange: another message came")
        reply = wire.Reply(id=message.id, status="ok", answer=ANSWER, confidence=0.85)
        socket.send_multipart([route, *wire.encode(reply)])
        return
    route, body = socket.recv_multipart()
    asked = json.loads(body)
    frames = [base64.b64decode(frame) for frame in asked["frames"]]
    for jpeg in frames:  # what ours does, too: nobody hands on what he has not looked at
        wire.check_jpeg(jpeg)
    told = {"agent_id": asked["agent_id"], "directive": ANSWER, "confidence": 0.85}
    socket.send_multipart([route, json.dumps(told).encode()])

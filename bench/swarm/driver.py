"""Many agents in one thread: protocol 2 (or 1) without a game, as fast or as often as is asked.

Knows sockets, requests and replies; knows no client, so that what is measured is the server. All
agents ask about the same strip, encoded beforehand. Times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zmq

from metabonk.cognition.agent.line import Keys
from metabonk.cognition.protocol import wire
from metabonk.errors import LinkError

PATIENCE = 30.0  # seconds for a server that must be there
STRIP = 9
DECIDED = ("ok", "fallback")  # what ends a request with an answer, whoever gave it
_NS = 1_000_000_000
_SPACING_NS = 60_000_000


@dataclass
class Sample:
    """What a stretch of asking came to. seconds: of wall clock. asked: requests. latencies_ms: of
    those that were decided. decided: by agent, in time. statuses: replies by status. cpu: this
    thread's seconds."""

    seconds: float = 0.0
    asked: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    decided: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    server_ms: list[float] = field(default_factory=list)
    cpu: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.decided.values())

    def waited_ms(self, patience: float) -> list[float]:
        """How long every request waited; one that was not decided, `patience` seconds."""
        return [*self.latencies_ms, *[patience * 1e3] * (self.asked - self.count)]


@dataclass
class _Agent:
    name: str
    socket: zmq.Socket[bytes]
    epoch: int
    sequence: int = 0
    due_ns: int = 0
    open: dict[int, tuple[int, int]] = field(default_factory=dict)  # sequence: asked, deadline


class Driver:
    """`count` agents of one server. jpegs: the strip's pictures; state: a packed GameState.
    patience: seconds for the server to answer a Hello. counts: the statuses that are decisions:
    where a model is measured, what the rules said in its place is none. Raises LinkError where
    nobody answers a Hello."""

    def __init__(
        self,
        url: str,
        count: int,
        jpegs: Sequence[bytes],
        state: bytes,
        *,
        keys: Keys | None = None,
        v1: bool = False,
        prefix: str = "bench",
        patience: float = PATIENCE,
        counts: Sequence[str] = DECIDED,
    ) -> None:
        self._counts = frozenset(counts)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._jpegs, self._state, self._v1 = list(jpegs), state, v1
        self._clock = wire.boot_id()
        self._agents: dict[Any, _Agent] = {}
        for index in range(count):
            socket = self._context.socket(zmq.DEALER)
            socket.set(zmq.LINGER, 0)
            if v1:
                socket.set(zmq.IDENTITY, f"{prefix}-{index}".encode())
            if keys is not None:
                socket.curve_serverkey = keys.server.encode()
                socket.curve_publickey = keys.public.encode()
                socket.curve_secretkey = keys.secret.encode()
            socket.connect(url)
            self._poller.register(socket, zmq.POLLIN)
            self._agents[socket] = _Agent(f"{prefix}-{index}", socket, time.time_ns())
        if not v1:
            self._introduce(patience)

    def _introduce(self, patience: float) -> None:
        for agent in self._agents.values():
            hello = wire.Hello(
                agent=agent.name, epoch=agent.epoch, secret=os.urandom(16), clock=self._clock
            )
            agent.socket.send_multipart(wire.encode(hello))
        for agent in self._agents.values():
            if not agent.socket.poll(round(patience * 1e3)):
                self.close()
                raise LinkError(f"{agent.name}: the server does not answer a Hello")
            said = wire.decode_answer(agent.socket.recv_multipart())
            if not isinstance(said, wire.Welcome):
                raise LinkError(f"{agent.name}: the server answers a Hello with {said}")

    def closed(self, seconds: float, patience: float = 5.0) -> Sample:
        """Every agent asks again as soon as it is answered."""
        return self._run(seconds, 0.0, patience, finish=False)

    def paced(
        self, seconds: float, every: float, patience: float, *, finish: bool = False
    ) -> Sample:
        """Every agent asks every so many seconds, each at its own place in the period, whether it
        was answered or not. finish: also takes the answers that come when the time is over, as
        latencies need them and rates must not."""
        return self._run(seconds, every, patience, finish=finish)

    def _run(self, seconds: float, every: float, patience: float, *, finish: bool) -> Sample:
        sample = Sample(decided={agent.name: 0 for agent in self._agents.values()})
        began, cpu = time.monotonic_ns(), time.thread_time()
        end = began + round(seconds * _NS)
        period = round(every * _NS)
        for place, agent in enumerate(self._agents.values()):
            agent.open.clear()
            agent.due_ns = began + place * period // len(self._agents)
        while (now := time.monotonic_ns()) < end:
            for agent in self._agents.values():
                due = now >= agent.due_ns if period else not agent.open
                if due:
                    self._ask(agent, patience)
                    agent.due_ns += period
                    sample.asked += 1
            left = end
            if period:
                left = min(left, *(agent.due_ns for agent in self._agents.values()))
            wait = max((left - time.monotonic_ns()) // 1_000_000, 0)
            for socket, _ in self._poller.poll(wait):
                self._take(self._agents[socket], sample)
        sample.seconds = (time.monotonic_ns() - began) / _NS
        sample.cpu = time.thread_time() - cpu
        late = sample if finish else Sample(decided=dict.fromkeys(sample.decided, 0))
        self._drain(late, patience)
        return sample

    def _ask(self, agent: _Agent, patience: float) -> None:
        now = time.monotonic_ns()
        agent.sequence += 1
        agent.open[agent.sequence] = now, now + round(patience * _NS)
        parts = self._v1_parts(agent) if self._v1 else self._parts(agent, now, patience)
        agent.socket.send_multipart(parts, copy=len(parts) == 1)

    def _parts(self, agent: _Agent, now: int, patience: float) -> list[wire.Buffer]:
        id = wire.RequestId(agent.name, agent.epoch, agent.sequence)
        return request(id, now, patience, self._state, self._jpegs)

    def _v1_parts(self, agent: _Agent) -> list[wire.Buffer]:
        return [request_v1(agent.name, self._jpegs)]

    def _take(self, agent: _Agent, sample: Sample) -> None:
        now = time.monotonic_ns()
        parts = agent.socket.recv_multipart()
        if self._v1:
            said = msgspec.json.decode(parts[-1])
            status, sequence = str(said.get("status", "ok")), agent.sequence
        else:
            reply = wire.decode_answer(parts)
            if not isinstance(reply, wire.Reply) or reply.id is None:
                return
            status, sequence = reply.status, reply.id.sequence
            sample.server_ms.append(reply.server_ms)
        if sequence not in agent.open:
            return  # of the stretch before
        asked, deadline = agent.open.pop(sequence)
        sample.statuses[status] = sample.statuses.get(status, 0) + 1
        if status in self._counts and now <= deadline:
            sample.decided[agent.name] += 1
            sample.latencies_ms.append((now - asked) / 1e6)

    def _drain(self, sample: Sample, patience: float) -> None:
        """Takes what is still under way, so that the next stretch begins with nothing."""
        end = time.monotonic() + patience
        while any(agent.open for agent in self._agents.values()) and time.monotonic() < end:
            for socket, _ in self._poller.poll(10):
                self._take(self._agents[socket], sample)

    def close(self) -> None:
        """Says goodbye and closes; safe to call twice."""
        agents, self._agents = self._agents, {}
        for agent in agents.values():
            if not self._v1:
                goodbye = wire.encode(wire.Bye(agent=agent.name, epoch=agent.epoch))
                with contextlib.suppress(zmq.Again):
                    agent.socket.send_multipart(goodbye, zmq.NOBLOCK)
            agent.socket.close(200)
        if agents:
            self._context.term()


def request(
    id: wire.RequestId, captured_ns: int, patience: float, state: bytes, jpegs: Sequence[bytes]
) -> list[wire.Buffer]:
    """A request of protocol 2 about a strip: its parts."""
    count = len(jpegs)
    frames = [
        wire.FrameInfo(max(captured_ns + (index - count + 4) * _SPACING_NS, 0), index > count - 4)
        for index in range(count)
    ]
    made = wire.Request(
        id=id, captured_ns=captured_ns, deadline_ns=captured_ns + round(patience * _NS),
        left_ms=patience * 1e3, state=state, frames=frames,
    )  # fmt: skip
    return wire.encode(made, jpegs)


def request_v1(agent: str, jpegs: Sequence[bytes]) -> bytes:
    """The same of protocol 1: JSON with base64."""
    body = {
        "agent_id": agent,
        "frames": [base64.b64encode(jpeg).decode("ascii") for jpeg in jpegs],
        "state": {"health": 75.0, "max_health": 100.0, "position": [1.0, 2.0], "enemies_nearby": 4},
        "timestamp": time.time(),
    }
    return msgspec.json.encode(body)

"""Many connections, and ones that never finish: `metabonk serve cognitive` serves who it serves."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from crowd import GREETING, READY, Crowd, command
from peers import HANG, STATE, Peer, server, until

from metabonk.cognition.log import journal
from metabonk.cognition.protocol import wire as w

MANY = 10_000
WINDOW = 2.5  # seconds over which it is looked how much the server works


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for so many connections in this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 500:
        pytest.skip(f"this machine allows {hard} files per process, {MANY + 500} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_connections_that_say_nothing_keep_nobody_away(tmp_path: Path) -> None:
    with server(tmp_path) as s, Peer(s.endpoint) as peer, contextlib.ExitStack() as stack:
        peer.hello()
        host, port = s.endpoint.removeprefix("tcp://").split(":")
        for n in range(MANY):
            made = stack.enter_context(socket.create_connection((host, int(port)), HANG))
            if n % 2:
                made.sendall(GREETING[:10])  # half of a handshake
            if n % 1000 == 0:
                assert peer.ask().status == "ok"
        for _ in range(20):
            assert peer.ask(frames=9).status == "ok"
        with Peer(s.endpoint, "late") as late:
            assert isinstance(late.hello(), w.Welcome)
            assert late.ask().status == "ok"
        assert s.page("/healthz")[0] == 200
        assert s.end()[0] == 0


def processor_seconds(pid: int) -> float:
    """What a process has used of processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def least_work(pid: int, crowd: Crowd) -> float:
    """Processor seconds per second that a server uses while nobody asks it, in the quietest of some
    windows: in one of them all connections' signs of life may be due."""
    found = []
    while len(found) < 6 and min(found, default=1.0) > 0.1:
        before, began = processor_seconds(pid), time.monotonic()
        while time.monotonic() - began < WINDOW:
            crowd.hear(0.1)
        found.append((processor_seconds(pid) - before) / (time.monotonic() - began))
    return min(found)


@pytest.mark.usefixtures("many_files")
def test_each_of_ten_thousand_agents_is_welcome_or_told_that_it_is_not(tmp_path: Path) -> None:
    """Whole handshakes: past the limit each Hello is refused, and so is what is asked after it. Who
    is welcome is served, and being there costs the server next to nothing."""
    limit, each, secret = 64, 500, bytes(16)
    said: Counter[str] = Counter()
    with (
        server(tmp_path, "--set", f"broker.agents={limit}") as s,
        Peer(s.endpoint) as peer,
        Crowd(s.endpoint) as crowd,
    ):
        assert isinstance(peer.hello(), w.Welcome)
        for first in range(0, MANY, each):
            names = [f"a{first + n}" for n in range(each)]
            said += crowd.join([w.Hello(agent=name, epoch=1, secret=secret) for name in names])
            assert peer.ask().status == "ok"
        assert said == {"Welcome": limit - 1, "full": MANY - limit + 1}
        ids = [w.RequestId(name, 1, 0) for name in names]
        now = time.monotonic_ns()
        asked = [
            w.Request(id=id, captured_ns=now, deadline_ns=now + 10**10, left_ms=1e4, state=STATE)
            for id in ids
        ]
        assert crowd.say(asked) == {"unbound": each}
        assert least_work(s.process.pid, crowd) < 0.1
        assert s.metric("agents") == limit
        for _ in range(20):
            assert peer.ask(frames=9).status == "ok"
        assert s.end()[0] == 0
    with contextlib.closing(journal.open_readonly(tmp_path)) as kept:
        found = kept.execute("SELECT DISTINCT agent FROM decisions").fetchall()
    assert [tuple(row) for row in found] == [("omega-0",)]


def test_hundreds_of_agents_past_the_limit_are_told(tmp_path: Path) -> None:
    with server(tmp_path, "--set", "broker.agents=8") as s, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(s.endpoint, f"a{n}")) for n in range(40)]
        found = [peer.hello() for peer in peers]
        welcome = [isinstance(f, w.Welcome) for f in found]
        assert welcome == [True] * 8 + [False] * 32
        assert all(f.code == "full" for f in found if isinstance(f, w.Reply))
        assert peers[0].ask().status == "ok"


def endless(address: str, part: bytes) -> socket.socket:
    """A connection on which a message of many parts has begun that will never end (ZMTP 3.0)."""
    host, port = address.removeprefix("tcp://").split(":")
    made = socket.create_connection((host, int(port)), HANG)
    made.sendall(GREETING)
    made.sendall(command(READY))
    made.sendall(b"\x03" + len(part).to_bytes(8, "big") + part)  # long, more to come
    return made


def test_a_message_that_never_ends_cannot_fill_the_memory(tmp_path: Path) -> None:
    part = bytes(1 << 20)
    with server(tmp_path, "--set", "broker.memory_mb=256") as s, Peer(s.endpoint) as peer:
        peer.hello()
        evil = endless(s.endpoint, part)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 2000:  # two gigabytes, if they were taken
                evil.sendall(b"\x03" + len(part).to_bytes(8, "big") + part)
                sent += 1
        evil.close()
        assert 50 < sent < 1500, "it was heard, and cut off"
        until(lambda: s.metric("door_reopened_total") >= 1)
        peer.hello()
        assert peer.ask(frames=9).status == "ok"
        assert s.page("/healthz")[0] == 200

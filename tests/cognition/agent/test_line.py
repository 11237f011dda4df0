"""cognition/agent/line.py: how a server that was away is looked for, and how little is looked at
while nothing comes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import zmq
from small_broker import HANG

from metabonk.cognition.agent.line import RECONNECT_MOST_MS, RECONNECT_MS, Line


def test_a_server_that_is_away_is_looked_for_ten_times_a_second() -> None:
    """ZeroMQ doubles its pauses up to the most; a recovery waits for one of them."""
    assert RECONNECT_MS <= RECONNECT_MOST_MS <= 100
    with Line("tcp://127.0.0.1:9") as line:
        for _ in range(2):
            assert line._socket.get(zmq.RECONNECT_IVL) == RECONNECT_MS
            assert line._socket.get(zmq.RECONNECT_IVL_MAX) == RECONNECT_MOST_MS
            assert line._socket.get(zmq.IMMEDIATE) == 1, "nothing old is sent to who comes back"
            line.renew()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_server_is_reached_without_its_usual_port(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server = context.socket(zmq.ROUTER)
    server.linger, server.ipv6 = 0, host == "[::1]"
    try:
        try:
            port = server.bind_to_random_port(f"tcp://{host.replace('localhost', '127.0.0.1')}")
        except zmq.ZMQError:
            pytest.skip(f"{host}: this machine has none")
        # 5555 may be somebody's on this machine.
        monkeypatch.setattr("metabonk.cognition.protocol.address.PORT", port)
        with Line(f"tcp://{host}") as line:
            end = time.monotonic() + HANG
            while not line.send([b"hi"]):
                assert time.monotonic() < end
                line.wait(0.01)
            assert server.poll(HANG * 1e3)
            assert server.recv_multipart()[1:] == [b"hi"]
    finally:
        server.close()
        context.term()


def test_what_comes_is_seen_by_the_wait_before_it(tmp_path: Path) -> None:
    """A connection, a hundred messages and the end of it: none lies until something else comes."""
    url = f"ipc://{tmp_path}/line.sock"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    found: dict[str, list[Any]] = {"events": [], "messages": []}

    def wait_for(what: str, count: int) -> None:
        end = time.monotonic() + HANG
        while len(found[what]) < count:
            assert time.monotonic() < end, found
            line.wait(HANG)
            found["events"] += line.events()
            found["messages"] += line.received()

    with Line(url) as line:
        for _ in range(2):
            server = context.socket(zmq.ROUTER)
            server.linger = 0
            server.bind(url)
            wait_for("events", 1)
            assert line.send([b"hi"])
            route, _ = server.recv_multipart()
            for number in range(100):
                server.send_multipart([route, b"%d" % number])
            wait_for("messages", 100)
            assert found["messages"] == [[b"%d" % n] for n in range(100)]
            assert line.events() == list(line.received()) == []
            server.close()
            wait_for("events", 2)
            assert found["events"] == [True, False]
            found["events"].clear()
            found["messages"].clear()
            line.renew()
    context.term()


def test_what_comes_while_a_message_is_looked_at_needs_no_other_wait(tmp_path: Path) -> None:
    """An acknowledgement is right behind its reply: it would wake the client for itself."""
    url = f"ipc://{tmp_path}/line.sock"
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    server = context.socket(zmq.ROUTER)
    server.linger = 0
    server.bind(url)
    try:
        with Line(url) as line:
            end = time.monotonic() + HANG
            while not line.send([b"hi"]):
                assert time.monotonic() < end
                time.sleep(0.01)
            route, _ = server.recv_multipart()
            server.send_multipart([route, b"reply"])
            found: list[list[bytes]] = []
            while not found:
                assert time.monotonic() < end
                line.wait(HANG)
                for parts in line.received():
                    found.append(parts)
                    if parts == [b"reply"]:
                        server.send_multipart([route, b"behind it"])
                        line._socket.poll(HANG * 1e3)  # it is here, and nobody was woken for it
            assert found == [[b"reply"], [b"behind it"]]
    finally:
        server.close()
        context.term()


def test_nobody_asks_a_connection_that_said_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client does so at every turn, most of which are for a look at the game."""
    with Line(f"ipc://{tmp_path}/nobody") as line:
        line.events()
        list(line.received())
        asked: list[int] = []

        def receive(*_: Any, **__: Any) -> list[bytes]:
            asked.append(1)
            raise zmq.Again

        monkeypatch.setattr(zmq.Socket, "recv_multipart", receive)
        for _ in range(5):
            line.wait(0.001)
            assert line.events() == list(line.received()) == []
        assert asked == []


def test_a_wait_is_not_over_a_part_of_a_millisecond_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its caller would find nothing due, and look again and again until it is."""
    with Line(f"ipc://{tmp_path}/nobody") as line:
        waited: list[int] = []
        monkeypatch.setattr(line._poller, "poll", lambda ms: waited.append(ms) or [])
        for seconds in (0.0, 1e-6, 0.0101, 0.0104, 0.0106, 0.03):
            line.wait(seconds)
        assert waited == [0, 1, 11, 11, 11, 30]


def test_a_line_that_cannot_begin_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context with an open socket keeps its process from ending."""
    made: list[zmq.Context[zmq.Socket[bytes]]] = []
    context = zmq.Context

    def kept() -> zmq.Context[zmq.Socket[bytes]]:
        made.append(context())
        return made[-1]

    monkeypatch.setattr(zmq, "Context", kept)
    with pytest.raises(zmq.ZMQError):
        Line("tcp://127.0.0.1:none")
    assert [one.closed for one in made] == [True]

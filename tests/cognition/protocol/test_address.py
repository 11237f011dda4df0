"""cognition/protocol/address.py: which addresses can be, for who listens and for who asks."""

from __future__ import annotations

import pytest
import zmq

from metabonk.cognition.protocol.address import MOST_PATH, fault, is_here, is_loopback, with_port

ASKED = [
    "tcp://localhost:5555", "tcp://localhost", "tcp://127.0.0.2:1", "tcp://[::1]:65535",
    "tcp://[::1]", "tcp://my-server_1.example.org:5555", "ipc:///tmp/a socket", "ipc://here",
    "ipc://@name", f"ipc:///{'a' * (MOST_PATH - 1)}", f"ipc://@{'a' * (MOST_PATH - 1)}",
]  # fmt: skip
NONE = [
    "", "5555", "localhost:5555", "tcp://", "tcp://:5555", "tcp://localhost:", "tcp://localhost:abc",
    "tcp://localhost:5555/", "tcp://localhost:123456", "tcp://localhost:99999", "tcp://a b:5555",
    "tcp://-a:5555", "tcp://me@here:5555", "tcp://[::z]:5555", "tcp://[127.0.0.1]:5555",
    "tcp://::1:5555", "inproc://x", "udp://127.0.0.1:1", "ipc://", "ipc://@", "ipc://a\0b",
    "ipc://\udcff", "tcp://localhost:5555\n", f"ipc://{'a' * (MOST_PATH + 1)}",
    f"ipc://@{'a' * MOST_PATH}", f"ipc://{'ä' * 54}",
]  # fmt: skip


@pytest.mark.parametrize("address", ASKED)
def test_zeromq_takes_what_has_no_fault(address: str) -> None:
    assert fault(address) == ""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        context.socket(zmq.DEALER).connect(with_port(address))
    finally:
        context.destroy(linger=0)


@pytest.mark.parametrize("address", NONE)
def test_what_is_no_address_is_told_with_what_is_wanted(address: str) -> None:
    for listens in (False, True):
        assert "wanted" in fault(address, listens=listens)


def test_who_listens_may_take_any_and_says_its_port() -> None:
    for address in ("tcp://*:5555", "tcp://127.0.0.1:*", "tcp://localhost:0"):
        assert fault(address, listens=True) == ""
        assert "tcp://HOST:PORT" in fault(address)
    assert fault("tcp://localhost") == ""
    assert "its port" in fault("tcp://localhost", listens=True)


def test_a_missing_port_is_5555() -> None:
    assert with_port("tcp://localhost") == "tcp://localhost:5555"
    assert with_port("tcp://[::1]") == "tcp://[::1]:5555"
    for whole in ("tcp://localhost:1", "ipc:///tmp/a", "ipc://@a"):
        assert with_port(whole) == whole


def test_here_is_what_it_says() -> None:
    here = ("tcp://127.8.9.1:1", "tcp://localhost", "tcp://[::1]:1", "ipc:///tmp/a", "ipc://@a")
    assert all(map(is_here, here))
    others = ("tcp://0.0.0.0:1", "tcp://*:1", "tcp://10.0.0.1", "tcp://localhost.evil.org:1")
    assert not any(map(is_here, others))
    assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "*", "10.0.0.1", "localhost.evil.org", "[::]")))

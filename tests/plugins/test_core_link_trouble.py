"""Core's game end when something goes wrong: strangers, wrong tokens, nonsense, agents that do not
read, games that are killed."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import plain_bonklink as plain
import pytest
from csharp import HANG, Peer
from link_peer import check, finish, port_of
from rehearsal import wait_for

from metabonk.errors import LinkError
from metabonk.link.bonklink import Client


def test_tokens(peer: Peer) -> None:
    game = peer.start("serve", "token=open sesame")
    address = f"tcp://127.0.0.1:{port_of(game)}"
    with Client(address, protocol="v2", token="wrong") as agent, pytest.raises(LinkError):
        wait_for(lambda: agent.poll(1.0))
    with Client(address, protocol="v2", token="open sesame") as agent:
        check(wait_for(lambda: agent.poll(1.0)))
    counts = finish(game)
    assert counts["refused"] == 1
    assert counts["connections"] == 1


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_frames_that_are_too_large_are_counted_and_said_once(peer: Peer, protocol: str) -> None:
    game = peer.start("serve", f"protocol={protocol}", "frameBytes=1000")  # of 32 x 24 x 3
    with Client(f"tcp://127.0.0.1:{port_of(game)}", protocol=protocol) as agent:  # type: ignore[arg-type]
        for _ in range(20):  # the first may come between a picture and its state: without one
            tick = wait_for(lambda: agent.poll(1.0))
            assert tick.pixels is None
            check(tick)
    out, err = game.communicate("stop\n", timeout=HANG)
    words = out.split()
    assert int(words[words.index("large") + 1]) >= 10
    assert err.count("is larger than the limit of 1000") == 1
    assert "raise MaxFrameBytes" in err


def test_bytes_that_are_no_bonklink_end_the_connection_alone(peer: Peer) -> None:
    game = peer.start("serve")
    port = port_of(game)
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        while stream.recv(65536):
            pass
    with Client(f"tcp://127.0.0.1:{port}") as agent:
        check(wait_for(lambda: agent.poll(1.0)))
    assert finish(game)["errors"] == 1


def test_what_answers_a_state_of_another_connection_is_skipped(peer: Peer) -> None:
    game = peer.start("serve", "protocol=v2")
    with socket.create_connection(("127.0.0.1", port_of(game)), timeout=HANG) as stream:
        stream.sendall(plain.message(1, plain.hello()))
        stream.recv(65536)
        for answers in (0, 10**6, 0):
            stream.sendall(plain.message(5, struct.pack("<Q12f", answers, *[0.0] * 12), 1))
        stream.sendall(plain.message(7, sequence=9))
        with stream.makefile("rb") as heard:
            wait_for(
                lambda: b"BNK2\x02\0\x08\0" in heard.read1(65536) or None
            )  # PONG: all was read
    counts = finish(game)
    assert counts["actions"] == 2
    assert counts["skipped"] == 1
    assert counts["errors"] == 0


def dripping(port: int, over: threading.Event) -> None:
    """A stranger that begins a HELLO and goes on with a byte now and then."""
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as stream:
        for byte in plain.message(1, plain.hello(name="x" * 200)):
            try:
                stream.sendall(bytes([byte]))
            except OSError:
                return  # shown out
            if over.wait(0.2):
                return


@pytest.mark.parametrize("owed", ["token=open sesame", "protocol=v2"])
def test_strangers_who_never_finish_hello_keep_nobody_out(peer: Peer, owed: str) -> None:
    game = peer.start("serve", owed)
    port, over = port_of(game), threading.Event()
    strangers = [threading.Thread(target=dripping, args=(port, over)) for _ in range(24)]
    try:
        for stranger in strangers:
            stranger.start()
        address = f"tcp://127.0.0.1:{port}"
        with Client(address, protocol="v2", token="open sesame", pause=0.002) as agent:
            check(wait_for(lambda: agent.poll(1.0)))
            with socket.create_connection(("127.0.0.1", port), timeout=HANG):
                for _ in range(20):  # and who owes HELLO takes nobody's place
                    check(wait_for(lambda: agent.poll(1.0)))
            assert agent.counters()["losses"] == 0
    finally:
        over.set()
        for stranger in strangers:
            stranger.join(HANG)
    counts = finish(game)
    assert counts["connections"] == 1
    assert counts["refused"] >= 8


def threads_of(process: subprocess.Popen[str]) -> int:
    (line,) = (
        line
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("Threads:")
    )
    return int(line.split()[1])


@pytest.mark.parametrize("owed", ["token=open sesame", "protocol=auto"])
def test_hundreds_who_connect_and_say_nothing_cost_a_few_threads(peer: Peer, owed: str) -> None:
    game = peer.start("serve", owed)
    port = port_of(game)
    with contextlib.ExitStack() as open_streams:
        for _ in range(500):
            open_streams.enter_context(socket.create_connection(("127.0.0.1", port), HANG))
        address = f"tcp://127.0.0.1:{port}"
        protocol = "v2" if "token" in owed else "auto"
        token = "open sesame" if "token" in owed else ""
        with Client(address, protocol=protocol, token=token, pause=0.002) as agent:  # type: ignore[arg-type]
            check(wait_for(lambda: agent.poll(1.0)))
            wait_for(lambda: True if threads_of(game) < 100 else agent.poll(0.05) and None)
            check(wait_for(lambda: agent.poll(1.0)))
    finish(game)


def ask(stream: socket.socket, most: int) -> None:
    """PING upon PING, until `most` bytes of them have left."""
    questions = b"".join(plain.message(7, sequence=i) for i in range(1000))
    while most > 0:
        most -= stream.send(questions)


def test_questions_whose_answers_nobody_reads_end_the_connection(peer: Peer) -> None:
    game = peer.start("serve", "protocol=v2")
    with socket.create_connection(("127.0.0.1", port_of(game)), timeout=HANG) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.sendall(plain.message(1, plain.hello()))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            ask(stream, 200_000_000)  # whose answers would be 370 MB
    assert finish(game)["errors"] == 1


def test_an_agent_that_does_not_read_holds_nothing_up(peer: Peer) -> None:
    game = peer.start("serve", "width=640", "height=480", "hz=100")
    port = port_of(game)
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as stream:
        time.sleep(2.0)  # buffers are full long before
        with Client(f"tcp://127.0.0.1:{port}") as agent:
            first = wait_for(lambda: agent.poll(1.0))
            assert first.state.kills > 20  # the game went on meanwhile
        assert stream.fileno() >= 0
    counts = finish(game)
    assert counts["overtaken"] > 5
    assert counts["sent"] < counts["made"]
    assert counts["connections"] == 2


def test_a_killed_game_is_met_again(peer: Peer) -> None:
    game = peer.start("serve")
    port = port_of(game)
    with Client(f"tcp://127.0.0.1:{port}") as agent:
        wait_for(lambda: agent.poll(1.0))
        game.kill()
        game.wait(HANG)
        wait_for(lambda: True if agent.poll(0.05) is None and not agent.connected else None)
        assert agent.last_error

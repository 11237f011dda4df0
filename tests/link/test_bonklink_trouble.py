"""BonkLink when something goes wrong: slow, killed, hostile and absent peers, wrong arguments."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain_bonklink as plain
import pytest
import simplejpeg
from ends import (
    FAST,
    HANG,
    accept,
    exactly,
    linked,
    plain_agent,
    plain_game,
    receive,
    state_at,
    until,
)

from metabonk.errors import CorruptError, LinkError
from metabonk.link.bonklink import Arrival, Client, Server, Tick
from metabonk.records import Action, GameState


def test_tokens():
    with Server("tcp://127.0.0.1:0", token="right") as server:
        with Client(server.address, protocol="v2", token="wrong", **FAST) as client:
            with pytest.raises(LinkError, match="token"):
                until(lambda: False, server, client)
            with pytest.raises(LinkError, match="token"):  # for good
                client.poll()
        with Client(server.address, protocol="v2", **FAST) as client, pytest.raises(LinkError):
            until(lambda: False, server, client)
        with Client(server.address, protocol="v2", token="right", **FAST) as client:
            until(lambda: client.version == 2, server, client)
            assert server.counters()["refused"] == 2
            wrong = Client(server.address, protocol="v2", token="wrong", **FAST)
            with wrong as intruder, pytest.raises(LinkError, match="token"):
                until(lambda: False, server, intruder)
            sequence = server.send(state_at(5.0))
            assert receive(server, client, sequence).state.position[0] == 5.0
            assert server.connection == 1
    with pytest.raises(ValueError, match="token"):
        Server("tcp://0.0.0.0:0")
    with pytest.raises(ValueError, match="v1"):
        Server("tcp://127.0.0.1:0", token="x", protocol="v1")


def test_a_name_that_is_no_text_harms_nobody():
    with Server("tcp://127.0.0.1:0") as server, plain_agent(server) as peer:
        payload = plain.hello(name="x")[:-1] + b"\xff"
        peer.sendall(plain.message(1, payload, 1))
        until(lambda: server.version == 2, server)
        assert server.peer == "\ufffd"


def test_the_newest_connection_replaces_the_old_one():
    with Server("tcp://127.0.0.1:0") as server:
        old = plain_agent(server)
        new = plain_agent(server)
        old.settimeout(HANG)
        assert old.recv(1) == b""
        server.send(state_at(1.0))
        assert len(exactly(new, 4, server)) == 4
        assert server.counters()["replaced"] == 1
        with linked() as (game, first):
            until(lambda: game.connected, game, first)
            game.send(state_at(1.0))
            until(lambda: first.version == 2, game, first)
            with Client(game.address, **FAST) as second:
                until(lambda: game.connection == 2, game, second)
                with pytest.raises(LinkError, match="newer agent"):
                    until(lambda: False, game, first)
                receive(game, second, game.send(state_at(2.0)))


def test_partial_bytes_then_silence_hold_nobody_up():
    with Server("tcp://127.0.0.1:0") as server:
        peer = plain_agent(server)
        peer.sendall(plain.action((1, 0), (0, 0), (0, 0, 0))[:9])
        for _ in range(20):
            assert server.poll(0.0) is None
        peer.sendall(plain.action((1, 0), (0, 0), (0, 0, 0))[9:])
        until(lambda: server.counters()["actions"], server)
        peer.sendall(struct.pack("<i", 2000))
        until(lambda: not server.connected, server)
        assert "1..1023" in server.last_error
        assert server.counters()["protocol_errors"] == 1


def test_a_slow_agent_costs_the_game_nothing():
    with Server("tcp://127.0.0.1:0") as server:
        peer = plain_agent(server)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        pixels = np.zeros((360, 640, 3), np.uint8)
        for i in range(400):  # 276 MB that nobody reads
            pixels[:] = i % 251
            server.send(state_at(float(i)), pixels)
        counts = server.counters()
        assert server.pending
        assert counts["states"] == 400
        assert counts["states_skipped"] == counts["frames_skipped"] > 300
        seen = 0
        while True:
            (size,) = struct.unpack("<i", exactly(peer, 4, server))
            last = plain.read_state(exactly(peer, size, server))
            (size,) = struct.unpack("<i", exactly(peer, 4, server))
            frame = exactly(peer, size, server)
            seen += 1
            if last.position[0] == 399.0:
                break
        assert set(frame[16:]) == {399 % 251}
        assert seen + counts["states_skipped"] == 400


def test_a_damaged_jpeg_is_an_error_where_it_is_decoded():
    with plain_game() as (listener, address), Client(address, **FAST) as client:
        peer = accept(listener, client)
        jpeg = simplejpeg.encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
        state = plain.write_state(plain.Plain(menu="None"))
        peer.sendall(plain.tick(state, jpeg[: len(jpeg) // 2]) + plain.tick(state, b"nonsense"))
        until(lambda: client.counters()["frames_refused"] == 1, client)
        peer.sendall(plain.tick(state, jpeg[:-200]))
        tick = until(lambda: client.counters()["states"] == 3, client)
        with pytest.raises(CorruptError):
            _ = tick.pixels
        assert client.counters()["protocol_errors"] == 0  # the link goes on


GAME = """
import sys, time, numpy as np
from metabonk.link.bonklink import Server
from metabonk.records import GameState
with Server(sys.argv[1], protocol=sys.argv[2]) as server:
    print(server.address, flush=True)
    n = 0
    while True:
        server.poll(0.001)
        n += 1
        server.send(GameState(position=(float(n), 0, 0)), np.full((90, 160, 3), n % 251, np.uint8))
"""
AGENT = """
import sys
from metabonk.link.bonklink import Client
from metabonk.records import Action
with Client(sys.argv[1], protocol=sys.argv[2], pause=0.002) as client:
    while True:
        if client.poll(0.1) is not None:
            client.send(Action(fire=True))
            print("acted", flush=True)
"""


@contextlib.contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen]:
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.parametrize("protocol", ["v1", "auto"])
def test_a_killed_game_is_noticed_and_found_again(protocol, tmp_path):
    address = f"unix://{tmp_path}/game"
    with Client(address, **FAST) as client:
        for killed in range(3):
            with process(GAME, address, protocol) as game:
                until(lambda killed=killed: client.counters()["connections"] > killed, client)
                until(lambda: client.version == (1 if protocol == "v1" else 2), client)
                tick = until(lambda: not client.poll(), client) or receive_any(client)
                assert tick.state.position[0] > 0
                game.kill()
                until(lambda: not client.connected, client)
            assert os.path.exists(f"{tmp_path}/game")  # a killed one cannot tidy up
        assert client.counters()["losses"] == 3
        assert client.counters()["protocol_errors"] == 0
    with Server(address):  # and the next one takes the place over
        pass
    assert not os.path.exists(f"{tmp_path}/game")


def receive_any(client: Client) -> Tick:
    tick = None
    deadline = time.monotonic() + HANG
    while tick is None:
        assert time.monotonic() < deadline
        tick = client.poll(0.01)
    return tick


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_killed_agent_is_noticed_and_replaced(protocol):
    with Server("tcp://127.0.0.1:0") as server:
        for number in range(1, 4):
            with process(AGENT, server.address, protocol) as agent:
                until(lambda number=number: server.connection == number, server)
                deadline = time.monotonic() + HANG
                while not isinstance(server.poll(0.01), Arrival):
                    server.send(state_at(1.0), np.zeros((90, 160, 3), np.uint8))
                    assert time.monotonic() < deadline
                agent.kill()
                until(lambda: not server.connected, server)
            assert server.send(state_at(2.0)) == 0
        assert server.counters()["losses"] == 3
        assert server.counters()["protocol_errors"] == 0


def test_clocks_are_related_and_one_who_falls_silent_is_left():
    options = {"protocol": "v2", "ping_every": 0.005, "idle": 0.3}
    with linked(None, options) as (server, client):
        until(lambda: client.version == 2, server, client)
        until(lambda: client.counters()["pongs"] >= 5, server, client)
        reading = client.clock()
        assert reading.known
        assert abs(reading.offset) <= reading.uncertainty  # one clock here
        now = time.monotonic_ns()
        assert abs(reading.to_ours(now) - now) <= reading.uncertainty
        assert client.counters()["idle_losses"] == 0
        until(lambda: client.counters()["idle_losses"] == 1, client)  # the server is not turned


def test_a_pause_of_our_own_is_not_the_others_silence():
    options = {"protocol": "v2", "ping_every": 0.01, "idle": 0.15}
    with linked({"ping_every": 0.01}, options) as (server, client):
        until(lambda: client.version == 2, server, client)
        until(lambda: client.counters()["pongs"], server, client)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:  # longer than the client's patience; the game goes on
            server.poll(0.01)
        sequence = server.send(state_at(9.0))
        assert receive(server, client, sequence).state.position[0] == 9.0
        assert client.counters()["idle_losses"] == 0


def test_closing_from_another_thread_ends_a_wait():
    server = Server("tcp://127.0.0.1:0")
    client = Client("tcp://127.0.0.1:1")
    for end in (server, client):
        failed: list[BaseException] = []

        def wait(end=end, failed=failed):
            try:
                end.poll(HANG)
            except LinkError as error:
                failed.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.02)
        end.close()
        thread.join(HANG)
        assert not thread.is_alive()
        end.close()
    with pytest.raises(LinkError, match="closed"):
        server.send(GameState())


def test_nobody_there_is_no_error_and_says_why():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinkError, match=r"its port is taken: .* give another"):
            Server(f"tcp://127.0.0.1:{port}")
    with Client(f"tcp://127.0.0.1:{port}", **FAST) as client:
        assert client.poll(0.05) is None
        assert f"{port}" in client.last_error
        assert client.counters()["refused"] >= 1
        client.send(Action())
        assert client.counters()["actions_unsent"] == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"address": "localhost"}, "endpoint"),
        ({"address": "tcp://localhost:99999"}, "port"),
        ({"address": "unix://" + "x" * 200}, "107"),
        ({"protocol": "v3"}, "protocol"),
        ({"axes": "polar"}, "axes"),
        ({"idle": float("nan")}, "idle"),
        ({"state_bytes": 24_575}, "state_bytes"),
        ({"frame_bytes": 2**28 + 1}, "frame_bytes"),
    ],
)
def test_wrong_arguments_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        Client(**options)
    with pytest.raises(ValueError, match=named):
        Server(**options)


def test_limits_of_frames():
    pixels = np.zeros((100, 100, 3), np.uint8)
    with linked({"frame_bytes": 10_000}) as (server, client):
        until(lambda: server.connected, server, client)
        with pytest.raises(ValueError, match="frame_bytes"):
            server.send(state_at(1.0), pixels)
    with linked(None, {"frame_bytes": 10_000, "protocol": "v2"}) as (server, client):
        until(lambda: client.version == 2, server, client)
        assert receive(server, client, server.send(state_at(1.0), pixels)).frame is None
        assert server.counters()["frames_refused"] == 1
    with linked({"protocol": "v1"}, {"frame_bytes": 10_000}) as (server, client):
        until(lambda: server.connected, server, client)
        server.send(state_at(1.0), pixels)
        until(lambda: client.counters()["protocol_errors"] >= 1, server, client)
        assert "frame length" in client.last_error


def test_a_stale_socket_of_another_kind_is_left_alone(tmp_path):
    path = Path(tmp_path / "file")
    path.write_text("mine")
    with pytest.raises(LinkError):
        Server(f"unix://{path}")
    assert path.read_text() == "mine"

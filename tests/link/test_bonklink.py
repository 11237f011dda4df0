"""The two ends of BonkLink over real sockets: each other, and plain Python."""

from __future__ import annotations

import socket
import struct

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

from metabonk.errors import LinkError
from metabonk.link import ring
from metabonk.link.bonklink import Arrival, Client, Reset, Server, Tick, meanings
from metabonk.link.wire import Capability, InputSnapshot, Picture, StepResult, decode_state
from metabonk.records import Action, FieldGroup, GameState, Widget


@pytest.fixture(params=["tcp", "unix", "pipe"])
def address(request, tmp_path) -> str:
    return {
        "tcp": "tcp://127.0.0.1:0",
        "unix": f"unix://{tmp_path}/link",
        "pipe": "pipe://BonkLink",
    }[request.param]


def test_over_every_kind_of_address(address, tmp_path):
    options = {"pipe_folder": str(tmp_path)}
    with linked(options, options, address) as (server, client):
        until(lambda: server.connected, server, client)
        server.send(state_at(1.0))
        until(lambda: client.version == 2, server, client)
        if address.startswith("pipe"):  # where .NET looks for it
            assert (tmp_path / "CoreFxPipe_BonkLink").is_socket()
            assert (tmp_path / "CoreFxPipe_BonkLink").stat().st_mode & 0o777 == 0o600
        pixels = np.random.default_rng(0).integers(0, 255, (36, 64, 3), np.uint8)
        sequence = server.send(state_at(2.0), pixels, capture_ns=77)
        tick = receive(server, client, sequence)
        assert tick.packed.tobytes() == state_at(2.0).pack()
        assert (tick.capture_ns, tick.version, tick.trailers.extra) == (77, 2, True)
        assert np.array_equal(tick.pixels, pixels)
        action = Action((0.5, -0.5), jump=True, choice=4)
        client.send(action)
        arrival = until(lambda: server.counters()["actions"], server)
        assert isinstance(arrival, Arrival)
        assert Action.from_row(arrival.row) == action
        assert arrival.answers == sequence
        assert arrival.round_trip_ns > 0
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_a_v1_agent_in_plain_python_at_our_game():
    with Server("tcp://127.0.0.1:0") as server, plain_agent(server) as peer:
        pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
        server.send(state_at(3.0), pixels)
        (size,) = struct.unpack("<i", exactly(peer, 4, server))
        data = exactly(peer, size, server)
        state = plain.read_state(data)
        assert state.position == (3.0, 0.0, 0.0)
        assert set(state.trailers) == {b"BNK2", b"MBX2"}
        assert state.trailers[b"BNK2"][1][:4] == struct.pack("<HH", 2, 2)
        (size,) = struct.unpack("<i", exactly(peer, 4, server))
        frame = exactly(peer, size, server)
        assert frame == plain.raw_frame(6, 4, 3, pixels[::-1].tobytes())
        server.send(state_at(4.0))
        (size,) = struct.unpack("<i", exactly(peer, 4, server))
        assert set(plain.read_state(exactly(peer, size, server)).trailers) == {b"MBX2"}
        assert exactly(peer, 4, server) == bytes(4)  # no new frame
        peer.sendall(plain.action((1.0, 0.0), (0.0, -1.0), (1, 0, 1), (2, 1)))
        arrival = until(lambda: server.counters()["actions"], server)
        assert isinstance(arrival, Arrival)
        action = Action.from_row(arrival.row)
        assert (action.move, action.fire, action.interact) == ((1.0, 0.0), True, True)
        assert action.click == pytest.approx((2.5 / 6, 1 - 1.5 / 4))
        assert (arrival.answers, server.version) == (0, 1)


def test_a_press_is_kept_for_the_action_that_overtakes_it():
    with Server("tcp://127.0.0.1:0") as server, plain_agent(server) as peer:
        server.send(state_at(3.0), np.zeros((4, 6, 3), np.uint8))
        (size,) = struct.unpack("<i", exactly(peer, 4, server))
        exactly(peer, size, server)
        pressed = plain.action((1.0, 0.0), (0.0, 0.0), (0, 0, 0), (2, 1))
        # One write of few bytes, which is read at once.
        peer.sendall(pressed + plain.action((0.0, 1.0), (0.0, 0.0), (0, 0, 0)))
        arrival = until(lambda: server.counters()["actions"] == 2, server)
        assert isinstance(arrival, Arrival)
        action = Action.from_row(arrival.row)
        assert action.move == (0.0, 1.0)
        assert action.click == pytest.approx((2.5 / 6, 1 - 1.5 / 4))
        assert server.counters()["actions_skipped"] == 1
        peer.sendall(plain.action((0.0, 1.0), (0.0, 0.0), (0, 0, 0)))  # taken: it is over
        arrival = until(lambda: server.counters()["actions"] == 3, server)
        assert isinstance(arrival, Arrival)
        assert Action.from_row(arrival.row).click is None


def test_our_agent_at_a_v1_game_in_plain_python():
    with plain_game() as (listener, address), Client(address, **FAST) as client:
        peer = accept(listener, client)
        client.send(Action(fire=True))  # silent until a state was read
        jpeg = simplejpeg.encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
        told = plain.Plain(position=(1.0, 2.0, 3.0), playing=True, time=1.0, menu="Gameplay")
        told.enemies = [(0.0, 0.0, 0.0, 5.0), (9.0, 0.0, 0.0, 6.0)]
        peer.sendall(plain.tick(plain.write_state(told), jpeg))
        tick = until(lambda: client.connected, client)
        assert isinstance(tick, Tick)
        assert isinstance(tick.frame, Picture)
        assert np.abs(tick.pixels.astype(int) - 90).max() <= 2
        assert tick.state.menu == "Gameplay"
        ids = [e.id for e in tick.state.entities]
        client.send(Action((1.0, 0.0), fire=True, click=(0.5, 0.5)))
        assert exactly(peer, 32, client) == plain.action((1.0, 0.0), (0, 0), (1, 0, 0), (32, 23))
        told.time, told.enemies = 1.25, [(9.5, 0.0, 0.0, 6.0), (0.5, 0.0, 0.0, 5.0)]
        peer.sendall(plain.tick(plain.write_state(told)))
        count = client.counters()["states"]
        tick = until(lambda: client.counters()["states"] > count, client)
        assert [e.id for e in tick.state.entities] == ids[::-1]
        assert tick.state.dt == 0.25
        assert tick.pixels is None
        assert client.version == 1  # the game did not announce v2
        with pytest.raises(LinkError, match="on demand"):
            client.reset(3)
        assert client.counters()["actions_unsent"] == 1


def test_a_v1_game_that_is_asked_for_v2_drops_the_link():
    with plain_game() as (listener, address), Client(address, protocol="v2", **FAST) as client:
        for _ in range(2):
            peer = accept(listener, client)
            assert exactly(peer, 4, client) == b"BNK2"
            peer.close()  # as a plugin does that reads a length out of range
            until(lambda: "protocol auto" in client.last_error, client)
        assert client.counters()["losses"] >= 1


def test_a_v2_agent_in_plain_python():
    with Server("tcp://127.0.0.1:0", protocol="v2") as server:
        port = int(server.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=HANG) as peer:
            assert server.send(state_at(1.0)) == 0  # nobody is there before HELLO
            peer.sendall(plain.message(1, plain.hello(name="plain agent"), 1))
            until(lambda: server.connected, server)
            head = struct.unpack("<4sHHIQQ", exactly(peer, 28, server))
            assert head[:3] == (b"BNK2", 2, 2)
            payload = exactly(peer, head[3], server)
            assert struct.unpack_from("<HH", payload) == (2, 2)
            assert server.peer == "plain agent"
            capture = server.send(state_at(2.0), step=StepResult(1.5, True), capture_ns=1234)
            head = struct.unpack("<4sHHIQQ", exactly(peer, 28, server))
            while head[2] != 3:  # PING comes between
                exactly(peer, head[3], server)
                head = struct.unpack("<4sHHIQQ", exactly(peer, 28, server))
            assert head[4:] == (capture, 1234)
            _, trailers = decode_state(exactly(peer, head[3], server))
            assert trailers.step is not None
            assert trailers.step.reward == 1.5
            row = np.arange(12, dtype="<f4").tobytes()
            peer.sendall(plain.message(5, struct.pack("<Q", capture) + row, 1))
            peer.sendall(plain.message(6, struct.pack("<QI", 99, 1), 2))
            reset = until(lambda: server.counters()["actions"], server)
            found = {type(reset): reset}
            while len(found) < 2 and (more := server.poll(1.0)) is not None:
                found[type(more)] = more
            assert found[Reset] == Reset(99)
            assert found[Arrival].row.tolist() == list(range(12))
            peer.sendall(plain.message(7, b"", 41, 5000))
            head = (b"", 0, 0, 0)
            while head[2] != 8:
                head = struct.unpack("<4sHHIQQ", exactly(peer, 28, server))
                payload = exactly(peer, head[3], server)
            assert struct.unpack_from("<QQ", payload) == (41, 5000)


def test_drains_to_the_newest_and_counts_the_rest():
    with linked() as (server, client):
        until(lambda: server.connected, server, client)
        server.send(state_at(0.0))
        until(lambda: client.version == 2, server, client)
        for i in range(1, 41):
            server.send(state_at(float(i)), step=StepResult(0.25, i == 5))
        tick = receive(server, client, 41)
        assert tick.state.position[0] == 40.0
        assert tick.step is not None
        total, reset = tick.step.reward, tick.step.is_first
        assert client.counters()["states"] == 41
        assert total == 0.25 * (tick.skipped + 1)
        assert not reset or tick.skipped >= 35
        assert tick.state.dt == pytest.approx(tick.skipped + 1 if tick.skipped else 0.0)


def test_an_input_snapshot_and_a_jpeg_arrive():
    with linked({"capabilities": ~Capability.STEPPED}) as (server, client):
        until(lambda: server.connected, server, client)
        jpeg = simplejpeg.encode_jpeg(np.full((32, 32, 3), 30, np.uint8))
        snapshot = InputSnapshot((1.0, 0.0), (0.0, 0.5), True, False, False, True, (0.5, 0.25))
        for expected in (1, 2):
            sequence = server.send(state_at(1.0), jpeg, input=snapshot)
            tick = receive(server, client, sequence)
            assert tick.trailers.input == snapshot
            assert tick.frame.data == jpeg
            assert tick.pixels.shape == (32, 32, 3)
            until(lambda: client.version == 2, server, client)
            assert sequence == expected


def test_choices_click_widgets_over_v1():
    with linked({"protocol": "v1"}) as (server, client):
        until(lambda: server.connected, server, client)
        menu = GameState(FieldGroup.EVERYTHING, menu="Level up")
        menu.widgets = [Widget(0.2, 0.2, 0.4, 0.4, True, 0, "A"), Widget(0.6, 0.6, 0.8, 0.8)]
        server.send(menu, np.zeros((100, 200, 3), np.uint8))
        tick = until(lambda: client.connected, server, client)
        assert [w.text for w in tick.state.widgets] == ["A", ""]  # MBX2 came with v1
        client.send(Action(choice=2))
        arrival = until(lambda: server.counters()["actions"], server, client)
        assert Action.from_row(arrival.row).click == pytest.approx((0.7025, 0.705), abs=0.006)


def test_frames_through_the_ring(tmp_path):
    rings = {"ring_folder": str(tmp_path)}
    with linked({"ring": "game", **rings}, {"protocol": "v2", **rings}) as (server, client):
        until(lambda: client.version == 2, server, client)
        pixels = np.full((36, 64, 3), 5, np.uint8)
        receive(server, client, server.send(state_at(1.0)))  # which opens it
        for i in range(2, 10):
            pixels[:] = i
            tick = receive(server, client, server.send(state_at(float(i)), pixels, capture_ns=i))
            assert isinstance(tick.frame, ring.Frame)
            assert (tick.frame_sequence, tick.frame_capture_ns) == (tick.sequence, i)
            assert (tick.pixels == i).all()
        jpeg = simplejpeg.encode_jpeg(np.full((36, 64, 3), 90, np.uint8))
        tick = receive(server, client, server.send(state_at(10.0), jpeg))
        assert (tick.frame.height, tick.frame.width) == (36, 64)
        assert np.abs(tick.pixels.astype(int) - 90).max() <= 2
        assert client.uses_ring
        assert server.counters()["frames"] == 0  # none crossed the socket
    assert not [p for p in tmp_path.iterdir() if "ring" in p.name]


def test_a_ring_that_cannot_be_seen_from_here_is_done_without(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    there, here = {"ring": "game", "ring_folder": str(tmp_path)}, {
        "protocol": "v2", "ring_folder": str(tmp_path / "elsewhere"),
    }  # fmt: skip
    with linked(there, here) as (server, client):
        until(lambda: client.version == 2, server, client)
        receive(server, client, server.send(state_at(1.0)))
        until(lambda: not server.uses_ring, server, client)
        pixels = np.full((36, 64, 3), 7, np.uint8)
        tick = receive(server, client, server.send(state_at(2.0), pixels))
        assert isinstance(tick.frame, Picture)
        assert (tick.pixels == 7).all()
        assert client.counters()["rings_refused"] == 1


def test_a_ring_is_refused_once_though_its_name_stays_until_the_answer(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    there, here = {"ring": "game", "ring_folder": str(tmp_path)}, {
        "protocol": "v2", "ring_folder": str(tmp_path / "elsewhere"),
    }  # fmt: skip
    with linked(there, here) as (server, client):
        until(lambda: client.version == 2, server, client)
        for number in range(1, 6):  # the game shows these before it reads what the agent said
            server.send(state_at(float(number)))
            assert (tick := client.poll(HANG)) is not None
            assert tick.state.position[0] == number
        assert client.counters()["rings_refused"] == 1
        until(lambda: not server.uses_ring, server, client)
        client.disconnect()  # the next connection is told of the ring anew
        until(lambda: client.counters()["connections"] == 2 and client.version == 2, server, client)
        receive(server, client, server.send(state_at(6.0)))
        assert client.counters()["rings_refused"] == 2


def test_every_counter_is_explained():
    with Server("tcp://127.0.0.1:0") as server:
        assert set(server.counters()) == set(meanings())
    assert all(meanings().values())

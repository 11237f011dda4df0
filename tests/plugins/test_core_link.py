"""Core's two ends of a link as real peers of our own: TCP, named pipes, a ring beside them."""

from __future__ import annotations

import socket
import time
import uuid
import zlib

import numpy as np
import pytest
from csharp import HANG, Peer
from link_peer import check, finish, port_of
from rehearsal import wait_for
from states import whole_state

from metabonk.errors import LinkError
from metabonk.link import wire
from metabonk.link.bonklink import Arrival, Client, Server, Tick
from metabonk.records import Action


@pytest.mark.parametrize("protocol", ["v1", "auto", "v2"])
def test_our_client_plays_a_game_in_c_sharp(peer: Peer, protocol: str) -> None:
    game = peer.start("serve", f"protocol={protocol}")
    frames = 0
    with Client(f"tcp://127.0.0.1:{port_of(game)}", protocol=protocol) as agent:  # type: ignore[arg-type]
        for i in range(30):
            tick = wait_for(lambda: agent.poll(1.0))
            check(tick)
            frames += tick.pixels is not None
            move = (i / 64, -0.5)
            agent.send(Action(move, jump=True, click=(0.25, 0.75), choice=3))
        v2 = protocol != "v1"

        agent.send(Action((30 / 64, -0.5), jump=True, click=(0.75, 0.25)))
        tick = wait_for(
            lambda: t if (t := agent.poll(1.0)) and t.state.position[0] == 30 / 64 else None
        )
        assert tick.state.position == (30 / 64, -0.5, 1.0 if v2 else 0.0)
        np.testing.assert_allclose(tick.state.velocity[:2], (0.75, 0.25), atol=0.05)
        assert agent.version == (2 if v2 else 1)
        assert frames > 5
        if v2:
            assert tick.step is not None
            assert tick.step.action_sequence > 0
            agent.reset(seed=77)
            wait_for(lambda: t if (t := agent.poll(1.0)) and t.state.run_seed == 77 else None)
            wait_for(lambda: r if (r := agent.clock()).known else agent.poll(0.1) and None)
    counts = finish(game)
    assert counts["connections"] == 1
    assert counts["errors"] == 0
    assert counts["actions"] >= 20
    assert counts["resets"] == (1 if v2 else 0)


@pytest.mark.parametrize("pixels", ["rgb", "rgba"])
@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_frames_in_every_format(peer: Peer, kind: str, pixels: str) -> None:
    for protocol in ("v1", "v2"):
        game = peer.start("serve", f"protocol={protocol}", f"format={kind}", f"pixels={pixels}")
        with Client(f"tcp://127.0.0.1:{port_of(game)}", protocol=protocol) as agent:  # type: ignore[arg-type]
            tick = wait_for(lambda: t if (t := agent.poll(1.0)) and t.frame is not None else None)
            assert isinstance(tick.frame, wire.Picture)
            assert (tick.frame.format == wire.PixelFormat.JPEG) == (kind == "jpeg")
            seen = tick.pixels
            assert seen is not None
            assert seen.shape == (24, 32, 3)
            if kind == "raw" and pixels == "rgb":
                check(tick)
        finish(game)


def test_one_agent_at_a_time_the_newest(peer: Peer) -> None:
    game = peer.start("serve")
    address = f"tcp://127.0.0.1:{port_of(game)}"
    with Client(address) as first, Client(address) as second:
        wait_for(lambda: t if (t := first.poll(1.0)) and first.version == 2 else None)
        wait_for(lambda: second.poll(1.0))
        with pytest.raises(LinkError, match="newer"):
            wait_for(lambda: first.poll(1.0) and None)
        assert second.connected
    assert finish(game)["connections"] == 2


@pytest.mark.parametrize("protocol", ["auto", "v2"])
def test_who_comes_back_is_told_the_last_action_that_was_taken(peer: Peer, protocol: str) -> None:
    game = peer.start("serve", f"protocol={protocol}")
    address = f"tcp://127.0.0.1:{port_of(game)}"
    with Client(address, protocol=protocol, pause=0.002) as agent:  # type: ignore[arg-type]
        wait_for(lambda: t if (t := agent.poll(1.0)) and agent.version == 2 else None)
        for _ in range(3):
            sent = agent.send(Action((0.5, 0.0)))
            wait_for(
                lambda sent=sent: (  # type: ignore[misc]
                    t
                    if (t := agent.poll(1.0)) and t.step and t.step.action_sequence == sent
                    else None
                )
            )
            agent.disconnect()
            tick = wait_for(lambda: agent.poll(1.0))
            assert tick.first
            assert tick.step is not None
            assert tick.step.action_sequence == sent
            wait_for(lambda: t if (t := agent.poll(1.0)) and agent.version == 2 else None)
    finish(game)


def test_a_v1_agent_is_told_no_step_but_beside_the_announcement(peer: Peer) -> None:
    told = {}
    for protocol in ("v1", "auto"):
        game = peer.start("serve", f"protocol={protocol}")
        with socket.create_connection(("127.0.0.1", port_of(game)), timeout=HANG) as stream:
            decoder, states = wire.Decoder("game"), []
            while len(states) < 3:
                found = decoder.feed(stream.recv(65536))
                states += [m.payload for m in found if m.type == wire.MessageType.STATE]
        trailers = [wire.decode_state(state)[1] for state in states]
        assert [t.step is not None for t in trailers] == [
            t.announcement is not None for t in trailers
        ]
        told[protocol] = [t.step is not None for t in trailers[:2]]
        finish(game)
    assert told == {"v1": [False, False], "auto": [True, False]}


@pytest.mark.parametrize("protocol", ["v1", "auto", "v2"])
def test_an_agent_in_c_sharp_plays_our_game(peer: Peer, protocol: str) -> None:
    frame = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    state = whole_state(8)
    with Server("tcp://127.0.0.1:0", protocol=protocol) as game:  # type: ignore[arg-type]
        port = game.address.rsplit(":", 1)[1]
        agent = peer.start("agent", f"port={port}", f"protocol={protocol}", "ticks=25")
        rows = []
        deadline = time.monotonic() + HANG
        while agent.poll() is None and time.monotonic() < deadline:
            game.send(state, frame)
            arrival = game.poll(0.01)
            if isinstance(arrival, Arrival):
                rows.append(arrival)
        out, err = agent.communicate(timeout=HANG)
    assert agent.returncode == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert len(lines) == 25, out
    versions = {int(line[0]) for line in lines}
    assert versions <= {"v1": {1}, "auto": {1, 2}, "v2": {2}}[protocol]
    assert int(lines[-1][0]) == (1 if protocol == "v1" else 2)
    crc = f"{zlib.crc32(wire.encode_state(state)):08x}"
    assert all(line[2] == crc for line in lines if int(line[0]) == 2)
    upright, turned = (
        f"{zlib.crc32(np.ascontiguousarray(f).tobytes()):08x}" for f in (frame, frame[::-1])
    )
    pictures = [line for line in lines if line[3] != "0"]
    assert len(pictures) > 5
    for line in pictures:
        assert line[4:6] == ["32x24", "Rgb"]
        assert line[7] == (upright if line[6] == "TopDown" else turned)
    moves = [float(arrival.row[0]) for arrival in rows]
    assert moves
    assert max(moves) <= 24 / 256
    if protocol != "v1":
        assert any(arrival.answers > 0 for arrival in rows)


def test_a_whole_link_with_frames_through_the_ring(peer: Peer, shm_name: str) -> None:
    game = peer.start("serve", f"ring={shm_name}", "makeRing=1")
    with Client(f"tcp://127.0.0.1:{port_of(game)}", protocol="v2") as agent:
        frames = 0
        for _ in range(40):
            tick = wait_for(lambda: agent.poll(1.0))
            frames += tick.frame is not None
            check(tick)
            del tick  # and the lease of its frame
        assert agent.uses_ring
        assert agent.counters()["rings_refused"] == 0
        assert frames > 5
    finish(game)


def test_a_named_pipe_where_the_runtime_has_them(peer: Peer) -> None:
    name = f"BonkLink-{uuid.uuid4().hex[:12]}"
    if "mono" in str(peer.command[0]):
        assert "UsePipe: this runtime has no named pipes" in peer.fail("serve", f"pipe={name}")
        return
    game = peer.start("serve", f"pipe={name}")
    assert port_of(game) == 0
    with Client(f"pipe://{name}", protocol="v2") as agent:
        check(wait_for(lambda: agent.poll(1.0)))
        agent.send(Action((0.5, 0.5)))
        wait_for(lambda: t if (t := agent.poll(1.0)) and t.state.position[0] == 0.5 else None)
    with Client(f"pipe://{name}", protocol="v1") as agent:
        check(wait_for(lambda: agent.poll(1.0)))
    assert finish(game)["connections"] == 2


def test_both_ends_know_that_they_share_a_machine(peer: Peer) -> None:
    hello = _hello_of_ours()
    assert int(peer.run("machine")) == hello


def _hello_of_ours() -> int:
    """The number of this machine that our own client says."""
    import threading

    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            stream, _ = listening.accept()
            with stream:
                heard.append(stream.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        with Client(f"tcp://127.0.0.1:{listening.getsockname()[1]}", protocol="v2") as agent:
            deadline = time.monotonic() + HANG
            while thread.is_alive() and time.monotonic() < deadline:
                agent.poll(0.05)
        thread.join(HANG)
    return int.from_bytes(heard[0][28 + 24 : 28 + 32], "little")


def test_axes_of_plugins_before_v2(peer: Peer) -> None:
    game = peer.start("serve", "protocol=v1", "axes=unity")
    address = f"tcp://127.0.0.1:{port_of(game)}"
    with Client(address, protocol="v1", axes="unity") as agent:
        agent.poll(1.0)

        def moved() -> Tick | None:
            agent.send(Action((0.5, -0.25)))
            tick = agent.poll(1.0)
            return tick if tick is not None and tick.state.position[0] == 0.5 else None

        tick = wait_for(moved)
        assert tick.state.position == (0.5, -0.25, 0.0)
        assert not tick.trailers.extra  # which would say that the axes are ours
    with Client(address, protocol="v1") as agent:  # the control: taken for ours they are turned
        agent.poll(1.0)
        tick = wait_for(lambda: agent.send(Action((0.5, -0.25))) or agent.poll(1.0))
        tick = wait_for(lambda: t if (t := agent.poll(1.0)) and t.state.position[0] else None)
        assert tick.state.position == (0.5, 0.0, -0.25)
    finish(game)

"""Core as a real peer of our own ends: codec, server, client, ring; TCP and shared memory."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plain_bonklink as plain
import pytest
from csharp import HANG, Peer
from rehearsal import wait_for
from states import whole_state

from metabonk.errors import LinkError
from metabonk.link import ring as rings
from metabonk.link import wire
from metabonk.link.bonklink import Arrival, Client, Server, Tick
from metabonk.records import Action, Slot, StatChange


def test_both_codecs_write_the_same_bytes(peer: Peer) -> None:
    states, actions = [], []
    for seed in range(40):
        step = wire.StepResult(0.5, True, False, True, 7, 2, 3.25)
        state = whole_state(seed)
        trailers = wire.Trailers(step=step if seed % 3 else None, extra=True)
        states.append(wire.encode_state(state, trailers))
        states.append(wire.encode_state(state, wire.Trailers()))
        row = np.random.default_rng(seed).uniform(-1, 1, 12).astype(np.float32)
        actions.append(wire.encode_action(row, answers=seed))
    assert peer.transcode("state", states) == states
    assert peer.transcode("action2", actions) == actions


def test_clicks_fall_on_the_same_pixels(peer: Peer) -> None:
    rows, wanted = [], []
    for i in range(200):
        x, y = (float(v) for v in np.random.default_rng(i).uniform(0, 1, 2).astype(np.float32))
        action = Action((0.5, -1.0), click=(x, y), fire=i % 2 == 0)
        rows.append(wire.encode_action(action.row(), answers=0))
        wanted.append(wire.encode_action(action, version=1, capture=(640, 360)))
    assert peer.transcode("action21:640:360", rows) == wanted
    back = peer.transcode("action12:640:360", wanted)
    for raw, body in zip(wanted, back, strict=True):
        assert isinstance(body, bytes)
        ours, _ = wire.decode_action(raw, version=1, capture=(640, 360))
        assert body[8:] == ours.tobytes()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    out, err = process.communicate("stop\n", timeout=HANG)
    assert process.returncode == 0, err
    words = out.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


@pytest.fixture
def shm_name() -> Iterator[str]:
    made = f"plugins-{uuid.uuid4().hex[:12]}"
    yield made
    for path in Path("/dev/shm").iterdir():
        if made in path.name:
            path.unlink()


def picture_of(n: int, width: int = 32, height: int = 24) -> np.ndarray:
    """What Peer.cs draws in frame n, top row first."""
    raw = (n * 31 + np.arange(width * height * 3) * 7).astype(np.uint8)
    return raw.reshape(height, width, 3)[::-1]


def check(tick: Tick) -> None:
    state = tick.state
    assert state.menu == "Gameplay"
    assert (state.health, state.max_health, state.time) == (75, 100, state.kills / 64)
    assert len(state.entities) == state.kills % 5
    assert state.widgets[0].text == "Bogen für Anfänger"
    assert state.offers[0].changes == [StatChange(5, True, 0.25)]
    assert state.weapons[0] == Slot(1, 2)
    assert tick.trailers.input is not None
    assert tick.trailers.input.fire
    if tick.pixels is not None:
        n = tick.frame_sequence if tick.version == 0 else None
        assert tick.pixels.shape == (24, 32, 3)
        first = int(tick.pixels[-1, 0, 0])
        assert n is None or first == (n * 31) % 256
        drawn = (first + np.arange(32 * 24 * 3) * 7).astype(np.uint8)
        assert (tick.pixels == drawn.reshape(24, 32, 3)[::-1]).all()


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

        def heard() -> Tick | None:
            tick = agent.poll(1.0)
            arrived = tick is not None and tick.state.position[0] == np.float32(29 / 64)
            return tick if arrived and tick is not None and tick.state.velocity[0] >= 0 else None

        agent.send(Action((29 / 64, -0.5), jump=True, click=(0.25, 0.75)))
        tick = wait_for(heard)
        assert tick.state.position == (29 / 64, -0.5, 1.0 if v2 else 0.0)
        np.testing.assert_allclose(tick.state.velocity[:2], (0.25, 0.75), atol=0.05)
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


def test_tokens(peer: Peer) -> None:
    game = peer.start("serve", "token=open sesame")
    address = f"tcp://127.0.0.1:{port_of(game)}"
    with Client(address, protocol="v2", token="wrong") as agent, pytest.raises(LinkError):
        wait_for(lambda: agent.poll(1.0))
    with Client(address, protocol="v2", token="open sesame") as agent:
        check(wait_for(lambda: agent.poll(1.0)))
    counts = finish(game)
    assert counts["refused"] >= 1
    assert counts["connections"] == 1


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


def test_an_agent_that_does_not_read_holds_nothing_up(peer: Peer) -> None:
    game = peer.start("serve", "width=640", "height=480", "hz=100")
    port = port_of(game)
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as stream:
        time.sleep(1.0)  # buffers are full long before
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


def test_frames_through_a_ring_that_c_sharp_writes(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "growAt=300")
    assert game.stdout is not None
    assert game.stdout.readline().strip() == f"/dev/shm/metabonk-ring-{shm_name}"
    with rings.RingReader(shm_name) as reader:
        steps, widths = [], set()
        while len(steps) < 1000:
            frame = wait_for(lambda: reader.latest(1.0))
            pixels = frame.pixels
            assert (pixels == pixels[0, 0, 0]).all()
            assert int(pixels[0, 0, 0]) == frame.step % 256
            assert frame.valid
            steps.append(frame.step)
            widths.add(pixels.shape[1])
            del pixels, frame
        assert steps == sorted(set(steps))
        assert 128 in widths
        assert reader.alive
    out, err = game.communicate("stop\n", timeout=HANG)
    assert game.returncode == 0, err
    assert "renewed 1" in out


def test_a_ring_that_we_write_is_read_in_c_sharp(peer: Peer, shm_name: str) -> None:
    with rings.RingWriter(shm_name, (48, 64, 3)) as writer:
        reader = peer.start("ring-read", f"name={shm_name}", "frames=300")
        n = 0
        deadline = time.monotonic() + HANG
        while reader.poll() is None and time.monotonic() < deadline:
            n += 1
            writer.write(np.full((48, 64, 3), n % 256, np.uint8), step=n, capture_ns=n)
        out, err = reader.communicate(timeout=HANG)
    assert reader.returncode == 0, err
    assert "Rgb TopDown" in out
    assert out.splitlines()[-1].startswith("taken 300 torn 0")


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
    import socket
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


def test_actions_are_held_kept_and_given_up(peer: Peer) -> None:
    script = """take 0 put 1 0.5 0 0 take 2 take 50 take 150
        put 200 0.25 1 0 put 201 -1 0 3 put 202 -0.5 0 0 take 203 take 204
        put 300 NaN 1 99 take 301 clear take 302"""
    assert peer.run("mailbox", *script.split()).decode().splitlines() == [
        "None 0 0 0",  # nobody acts: the person does
        "Fresh 0.5 0 0",
        "Held 0.5 0 0",
        "Safe 0 0 0",  # for too long nothing came
        "Fresh -0.5 1 3",  # the newest move; what was pressed before it is not lost
        "Held -0.5 0 0",  # nor pressed twice
        "Fresh 0 1 99",
        "None 0 0 0",  # the agent is gone
        "received 5 overtaken 2 fresh 3 held 2 safe 1",
    ]


def test_the_guard_of_uploads_lets_nothing_through_once_an_agent_played(peer: Peer) -> None:
    assert peer.run("guard").decode().splitlines() == [
        "False True",  # scores are not watched: nothing may be injected
        "False False",
        "True True",  # watched, and nobody has played: a person's score leaves
        "False False 2",
        "2",
    ]


def test_a_killed_writer_in_c_sharp_leaves_no_ring(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    assert game.stdout is not None
    path = Path(game.stdout.readline().strip())
    with rings.RingReader(shm_name) as reader:
        assert wait_for(lambda: reader.latest(1.0)).step > 0
        game.kill()
        game.wait(HANG)
        wait_for(lambda: None if reader.alive else True)
        # It holds no lock, so that a second of silence has to tell that it is dead.
        wait_for(lambda: None if path.exists() else True)
        again = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
        assert wait_for(lambda: reader.latest(1.0)).step > 0
        finish_words(again)
    assert not path.exists()


def finish_words(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate("stop\n", timeout=HANG)
    assert process.returncode == 0, err


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


@pytest.mark.long
def test_full_speed_while_readers_are_killed(peer: Peer, shm_name: str) -> None:
    game = peer.start("ring-write", f"name={shm_name}", "width=32", "height=16")
    assert game.stdout is not None
    game.stdout.readline()
    taken = 0
    with rings.RingReader(shm_name) as reader:
        for _ in range(12):
            victim = peer.start("ring-read", f"name={shm_name}", "frames=1000000000")
            assert victim.stdout is not None
            assert victim.stdout.readline().startswith("first")
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                frame = reader.latest(1.0)
                if frame is None:
                    continue
                pixels = frame.pixels
                assert (pixels == frame.step % 256).all()
                assert frame.valid
                taken += 1
                del pixels, frame
            victim.kill()
            victim.wait(HANG)
    out, err = game.communicate("stop\n", timeout=HANG)
    assert game.returncode == 0, err
    words = out.split()
    counts = {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    assert taken > 1000
    assert counts["frames"] > 50_000
    assert counts["lost"] >= 8  # the killed ones' entries came back, within a second each

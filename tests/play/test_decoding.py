"""play/decoding.py: JPEG frames of a game behind BonkLink reach the policy as pictures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import simplejpeg
from sessions import reach, session_at

from metabonk.errors import LinkError
from metabonk.link.bonklink import Server
from metabonk.link.wire import ProtocolName
from metabonk.play import decoding
from metabonk.play.compiled import OWN, load
from metabonk.play.ledger import SEEN, path_of, read_journal, seen_record
from metabonk.play.live_games import BonkLinkLive
from metabonk.play.loop import CompiledDecider, Live, LoopSettings
from metabonk.play.session import Session
from metabonk.records import FieldGroup, GameState

SOON = 60.0  # a hang, not a time, is what fails


def jpeg(shade: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.full((48, 64, 3), shade, np.uint8), 95))


@contextmanager
def game(
    pictures: Callable[[int], bytes | None], protocol: ProtocolName = "v1", ring: str = ""
) -> Iterator[str]:
    """A game that sends a state every few milliseconds, with what `pictures` gives for its number;
    through a frame ring, if one is named."""
    over = threading.Event()
    with Server("tcp://127.0.0.1:0", protocol=protocol, ring=ring, size=(64, 48)) as server:

        def serve() -> None:
            number = 0
            while not over.is_set():
                server.poll(0.004)
                if server.connected:
                    number += 1
                    state = GameState(FieldGroup.EVERYTHING, playing=True, time=number / 60.0)
                    server.send(state, pictures(number))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.address
        finally:
            over.set()
            thread.join()


def seen_pixels(session: Session, policy: Path) -> np.ndarray:
    """The recorded frames of a session, uint8 [N, H, W, 3]."""
    inputs = {name: given for name, given in load(policy).inputs.items() if name not in OWN}
    sizes = {name: dtype.itemsize * int(np.prod(shape)) for name, (dtype, shape) in inputs.items()}
    rows, _ = read_journal(path_of(session.directory, SEEN), SEEN, seen_record(sum(sizes.values())))
    names = list(sizes)
    at = sum(sizes[name] for name in names[: names.index("pixels")])
    raw = rows["observation"][:, at : at + sizes["pixels"]]
    return raw.reshape(len(rows), *inputs["pixels"][1][1:])


@pytest.mark.parametrize(("protocol", "ringed"), [("v1", False), ("v2", False), ("v2", True)])
def test_the_policy_sees_what_the_jpegs_show(
    tmp_path: Path, pixel_policy: Path, protocol: ProtocolName, ringed: bool
) -> None:
    ring = f"decoding-{os.getpid()}" if ringed else ""
    made = session_at(tmp_path / "s")
    session = Session(made.directory, msgspec.structs.replace(made.setup, game="bonklink"))
    decider = CompiledDecider(pixel_policy)
    session.keep_artifact(pixel_policy)
    with game(lambda number: jpeg(60 if number // 16 % 2 else 200), protocol, ring) as address:
        played = BonkLinkLive([address], protocol, frames=decider.frame)
        settings = LoopSettings(hz=100.0, cpu=-1, spin=0.0, stale=30.0)
        live = Live(played, [decider], settings, session, record=True)
        played.start()
        try:
            played.await_connected(SOON)
            live.start()
            reach(live, 40)
        finally:
            live.stop()
    counts = live.counts()
    assert counts["agents"][0]["faults"] == 0
    assert counts["game"]["frames_decoded"] >= 40
    assert counts["game"]["frames_unusable"] == 0
    seen = seen_pixels(session, pixel_policy)
    assert len(seen) == counts["agents"][0]["decided"]
    shades = seen.reshape(len(seen), -1).astype(int)
    assert (np.ptp(shades, axis=1) <= 4).all()
    nearest = np.where(np.abs(shades[:, 0] - 60) < np.abs(shades[:, 0] - 200), 60, 200)
    assert np.abs(shades - nearest[:, None]).max() <= 4  # what JPEG loses
    assert set(nearest.tolist()) == {60, 200}


def test_damaged_frames_are_passed_over_and_counted() -> None:
    broken = jpeg(60)[:400]
    deadline = time.monotonic() + SOON
    with game(lambda number: jpeg(60) if number % 3 == 0 else broken) as address:
        played = BonkLinkLive([address], "v1", frames=(24, 32))
        played.start()
        try:
            played.await_connected(SOON)
            while played.counts()["frames_decoded"] == 0 or played.counts()["frames_unusable"] == 0:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            played.stop()
    counts = played.counts()
    assert counts["frames_decoded"] > 0
    assert counts["frames_unusable"] > 0
    assert counts["protocol_errors"] == 0


def test_a_game_that_shows_no_frames_is_refused_where_they_are_read() -> None:
    with game(lambda number: None) as address:
        played = BonkLinkLive([address], "v1", frames=(24, 32))
        blind = BonkLinkLive([address], "v1")
        played.start()
        try:
            played.await_connected(SOON, lambda: played.native[0].connected)
            with pytest.raises(LinkError, match=r"shows no frames .* reads 24x32"):
                played.await_connected(0.2)
        finally:
            played.stop()
        blind.start()
        try:
            blind.await_connected(SOON)  # the control: who reads none can play
        finally:
            blind.stop()


def test_what_breaks_the_decoder_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(data: bytes) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(decoding, "decode_jpeg", breaks)
    with game(lambda number: jpeg(60)) as address:
        played = BonkLinkLive([address], "v1", frames=(24, 32))
        played.start()
        with pytest.raises(RuntimeError, match="no memory"):
            played.await_connected(SOON)
        with pytest.raises(RuntimeError, match="no memory"):
            played.stop()

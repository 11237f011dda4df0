"""Frames by handle between real processes: a client, `metabonk serve cognitive`, a model server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import functools
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from peers import Peer, server
from small_broker import HANG, Game, until

from metabonk.cognition.agent import pictures
from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.log import journal
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.protocol import wire as w
from metabonk.cognition.servers.standin import StandIn
from metabonk.cognition.strips.shared import StripWriter
from metabonk.cognition.strips.strip import decode, encode
from metabonk.protocols import Array

QUICK = ClientSettings(every=0.15, outcome_seconds=0.3, linger=HANG)


class Model:
    """A model server on a thread of its own, and the pictures that it was shown."""

    def __init__(self) -> None:
        self._server = StandIn(bodies=[])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(HANG)

    def forget(self) -> None:
        """What was shown so far, by a probe, counts no more."""
        assert self._server.bodies is not None
        self._server.bodies.clear()

    def shown(self) -> list[bytes]:
        """Every JPEG that came."""
        assert self._server.bodies is not None
        urls = [image["url"] for body in self._server.bodies for image in body.get("images", ())]
        return [base64.b64decode(url.partition(",")[2]) for url in urls]

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(HANG)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANG)
        self._loop.close()


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.stop()


@contextlib.contextmanager
def serving(model: Model, folder: Path) -> Iterator[Any]:
    with server(folder, "--backend", "openai", "--url", model.url) as s:
        until(lambda: bool(s.page("/readyz")[0] == 200), "what the model server can")
        model.forget()
        yield s


class Moving(Game):
    """A game whose every frame is another one. coded: what was seen, by its JPEG."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.coded: dict[bytes, Array] = {}

    def _play(self) -> None:
        random = np.random.default_rng(5)
        while not self._stop.wait(0.02):
            rough = random.integers(0, 255, (6, 8, 3)).astype(np.uint8)
            pixels = np.repeat(np.repeat(rough, 8, 0), 8, 1)
            self.coded[encode(pixels)] = pixels
            self._client.show(Sight(self.state.pack(), time.monotonic_ns(), pixels))


def kept(folder: Path) -> list[bytes]:
    """The frames that the log has of decisions with outcomes."""
    store = FrameStore(folder / "frames", quota=0)
    with contextlib.closing(journal.open_readonly(folder)) as connection:
        rows = [bytes(packed) for (packed,) in connection.execute("SELECT frames FROM joined")]
    names = [name for packed in rows if packed for name, *_ in msgspec.msgpack.decode(packed)]
    found = [store.get(name) for name in names]
    assert None not in found
    return [jpeg for jpeg in found if jpeg is not None]


@pytest.mark.parametrize("handles", [True, False], ids=["handles", "jpegs"])
def test_a_model_sees_the_same_frames_either_way(
    model: Model, tmp_path: Path, handles: bool
) -> None:
    settings = dataclasses.replace(QUICK, handles=handles)
    with serving(model, tmp_path) as s:
        client = Client("omega-0", s.endpoint, settings)
        with client, Moving(client) as game:
            until(lambda: client.counts()["ok"] >= 4, "decisions")
            until(lambda: len(model.shown()) >= 12, "pictures")
        counts = client.counts()
        assert (counts["by_handle"] > 0) == handles
        assert (counts["strip_encoded"] == 0) == handles, "coded by the server alone"
        assert (s.metric("handles_total") > 0) == (s.metric("frames_read_total") > 0) == handles
        assert counts["handles_refused"] == counts["not_shared"] == counts["error"] == 0
        s.end()
    shown = model.shown()
    assert len(set(shown)) > 6
    assert set(shown) <= set(game.coded), "byte for byte what the client would have coded"
    for jpeg in shown:
        error = np.abs(decode(jpeg).astype(int) - game.coded[jpeg])
        assert error.mean() < 12.0, "and what was seen"
    logged = kept(tmp_path)
    assert logged
    assert set(logged) <= set(shown if handles else game.coded), "the log has what was looked at"


def test_memory_that_the_server_cannot_reach_costs_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in two containers of one machine: one clock, another /dev/shm each."""
    with serving(model, tmp_path) as s, tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        monkeypatch.setattr(pictures, "StripWriter", functools.partial(StripWriter, folder=other))
        client = Client("omega-0", s.endpoint, QUICK)
        with client, Moving(client) as game:
            until(lambda: client.counts()["ok"] >= 4, "decisions")
        counts = client.counts()
        assert counts["handles_refused"] == counts["sent_again"] == 1
        assert counts["by_handle"] == 1
        assert counts["error"] == 0
        assert counts["acknowledged"] == counts["outcomes"] == counts["requests"]
        assert s.metric('refused_total{code="handle"}') == 1
        assert set(model.shown()) <= set(game.coded)
        s.end()
    with contextlib.closing(journal.open_readonly(tmp_path)) as connection:
        ((joined,),) = connection.execute("SELECT count(*) FROM joined")
    assert joined == counts["requests"]


def test_strangers_handles_are_refused_and_late_ones_go_on_without(
    model: Model, tmp_path: Path
) -> None:
    pictures = [np.full((36, 64, 3), 20 * n, np.uint8) for n in range(9)]
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(serving(model, tmp_path))
        peer = stack.enter_context(Peer(s.endpoint))
        stranger = stack.enter_context(Peer(s.endpoint, "omega-1"))
        writer = stack.enter_context(contextlib.closing(StripWriter(9)))
        for one in (peer, stranger):
            welcome = one.hello(w.boot_id())
            assert isinstance(welcome, w.Welcome)
            assert welcome.handles

        def ask(one: Peer, handle: w.Handle) -> w.Reply:
            one.send(one.request(frames=9, handle=handle))
            reply = one.receive()
            assert isinstance(reply, w.Reply)
            return reply

        def other(**fields: Any) -> w.Handle:
            return msgspec.structs.replace(good, **fields)

        good = writer.write(pictures, 1)
        huge, foreign = f"odd-{os.getpid()}-a", f"odd-{os.getpid()}-b"
        for name, size in ((huge, 1 << 40), (foreign, 1 << 20)):
            path = Path("/dev/shm") / f"metabonk-ring-{name}"
            stack.callback(path.unlink)
            with path.open("wb") as file:
                file.truncate(size)
        refusals = {
            "session": other(session=b"12345678"),
            "no ring": other(ring="nobody"),
            "bytes": other(ring=huge),
            "not a frame ring": other(ring=foreign),
            "newest one": other(number=10**6),
        }
        if os.geteuid() == 0:
            os.chown(Path("/dev/shm") / f"metabonk-ring-{foreign}", 65534, 65534)
            refusals["own user"] = refusals.pop("not a frame ring")
        for why, handle in refusals.items():
            reply = ask(stranger, handle)
            assert (reply.status, reply.code) == ("error", "handle"), why
            assert why in reply.reason
        for path in ("/etc/passwd", "../passwd"):
            assert ask(stranger, other(ring=path)).code == "malformed"
        assert model.shown() == [], "nothing of it was shown to anybody"
        assert ask(peer, good).status == "ok"
        assert model.shown() == [encode(p) for p in pictures]
        writer.write(pictures[::-1], 2)
        assert ask(peer, good).status == "ok", "without its frames"
        assert len(model.shown()) == 9
        assert s.metric("frames_overwritten_total") == 9
        assert s.metric("frames_read_total") == 9
        assert s.page("/healthz")[0] == 200

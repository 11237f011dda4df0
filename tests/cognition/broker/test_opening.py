"""Agents are answered while a server finds out what its model server can: after a kill, at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from peers import HANG, Peer, Scripted, server, until

from metabonk.cognition.broker.serving import serving
from metabonk.cognition.log import journal
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.protocol import wire as w
from metabonk.errors import BackendError, LinkError
from metabonk.schema import BrokerConfig


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_killed_server_answers_before_its_model_server_is_there(tmp_path: Path) -> None:
    """Both were killed, and the model server takes its time to load."""
    port, address = free_port(), f"ipc://{tmp_path}/socket"
    words = ("--backend", "openai", "--url", f"http://127.0.0.1:{port}", "--set", "backend.wait=60")
    with contextlib.ExitStack() as stack:
        s = stack.enter_context(server(tmp_path / "kept", *words, bind=address))
        peer = stack.enter_context(Peer(address))
        assert isinstance(peer.hello(), w.Welcome)
        s.kill()
        s = stack.enter_context(server(tmp_path / "kept", *words, bind=address))
        assert isinstance(peer.hello(), w.Welcome)
        reply = peer.ask()
        assert (reply.status, reply.backend, reply.recorded) == ("fallback", "rules", True)
        assert "openai: unreachable" in reply.reason
        status, said = s.page("/readyz")
        assert status == 503
        assert "model server" in said
        assert s.page("/healthz")[0] == 200
        model = subprocess.Popen(
            [sys.executable, "-m", "metabonk.cognition.servers.standin", "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(model.wait)
        stack.callback(model.kill)
        until(lambda: s.page("/readyz")[0] == 200)
        reply = peer.ask()
        assert (reply.status, reply.backend) == ("ok", "openai")
        assert s.end()[0] == 0
    with contextlib.closing(journal.open_readonly(tmp_path / "kept")) as book:
        found = book.execute("SELECT status FROM decisions ORDER BY rowid").fetchall()
    assert [row[0] for row in found] == ["fallback", "ok"]


def test_a_server_that_is_refused_leaves_the_others_frames_alone(tmp_path: Path) -> None:
    """It would hold them to its own quota before it knows whose the folder is."""
    store = FrameStore(tmp_path / "frames", quota=1 << 30)
    frames = [bytes([n]) * 100_000 for n in range(40)]
    names = [store.put(frame) for frame in frames]
    store.close()

    async def refused() -> None:
        config = BrokerConfig(
            bind="tcp://127.0.0.1:*", http="", directory=str(tmp_path), frames_mb=1
        )
        with pytest.raises(LinkError, match="another process writes this journal"):
            async with serving(Scripted(), config):
                pytest.fail("it was let in")

    with journal.Journal(tmp_path):
        asyncio.run(refused())
    assert [store.get(name) for name in names] == frames


class Opening(Scripted):
    """A backend that is opened when it is told, and then looks at pictures or does not."""

    def __init__(self, blind: bool = True) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.problem = ""
        self.sees = True
        self._blind = blind

    async def open(self) -> None:
        await self.gate.wait()
        if self.problem:
            raise BackendError(self.problem)
        self.sees = not self._blind


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 2 * HANG))


def config(folder: Path) -> BrokerConfig:
    return BrokerConfig(
        bind="tcp://127.0.0.1:*", http="", directory=str(folder), frames_mb=0, drain=0.0
    )


@pytest.mark.parametrize("blind", [True, False])
def test_agents_that_came_early_hear_what_is_wanted_of_them(tmp_path: Path, blind: bool) -> None:
    async def go() -> None:
        backend = Opening(blind)
        async with serving(backend, config(tmp_path)) as running:
            with Peer(running.endpoints[0]) as peer:
                first = await asyncio.to_thread(peer.hello)
                assert isinstance(first, w.Welcome)
                assert first.limits.frames > 0, "pictures, unless it turns out that nobody looks"
                assert running.ready().status == 503
                backend.gate.set()
                await running.opening
                assert running.ready().status == 200
                again = await asyncio.to_thread(peer.maybe, HANG if blind else 0.2)
                assert (again is not None) == blind
                if isinstance(again, w.Welcome):
                    assert again.limits.frames == 0
                    assert (again.session, again.epoch) == (first.session, first.epoch)

    run(go())


def test_a_backend_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    async def go() -> None:
        backend = Opening()
        backend.problem = "nobody listens"
        backend.gate.set()
        with pytest.raises(BackendError, match="nobody listens"):
            async with serving(backend, config(tmp_path)) as running:
                await running.opening
        # Also where nobody asked.
        with pytest.raises(BackendError, match="nobody listens"):
            async with serving(backend, config(tmp_path)):
                await asyncio.sleep(0.05)

    run(go())


def test_asked_to_end_it_does_not_wait_for_its_backend(tmp_path: Path) -> None:
    words = ("--backend", "openai", "--url", f"http://127.0.0.1:{free_port()}")
    with server(tmp_path, *words, "--set", "backend.wait=600", "--json") as s:
        code, said = s.end()
    assert code == 0, said

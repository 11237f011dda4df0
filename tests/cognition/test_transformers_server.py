"""The backend `openai` on a real server: `transformers serve` with a random model, no hub.

It ignores `response_format` and scores by `/v1/systemone`, which takes four pictures: both are
found out by asking. The model is made here; the process is started and stopped here.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from asked import menu, question, strip

from metabonk.cognition.backends.dialect import PATHS, Prompt, chat_body, read_chat
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.fits import check
from metabonk.cognition.backends.httpclient import HttpClient, Unreachable
from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.backends.rules import Rules
from metabonk.cognition.question import Failure, Undecided

pytest.importorskip("transformers")
pytest.importorskip("fastapi", reason="transformers[serving] is not installed")
pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")

T = TypeVar("T")
LOAD_SECONDS = 180.0


def run(work: Coroutine[object, object, T], seconds: float = 300.0) -> T:
    return asyncio.run(asyncio.wait_for(work, seconds))


class Served:
    """`transformers serve` as a process."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.model, self.log = str(model), log
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = [
            sys.executable, "-m", "transformers.cli.transformers", "serve", self.model,
            "--host", "127.0.0.1", "--port", str(self.port), "--device", "cpu",
            "--dtype", "float32",
        ]  # fmt: skip
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as file:
            return subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def revive(self) -> None:
        """Starts it again where a test ended it."""
        if self.process.poll() is not None:
            self.process = self._start()
            run(self.ready(), LOAD_SECONDS + 10.0)

    async def ready(self) -> None:
        client = HttpClient(self.url)
        ends = time.monotonic() + LOAD_SECONDS
        while True:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < ends, self.log.read_text()[-2000:]
            try:
                if (await client.get("/health", 5.0)).status == 200:
                    break
            except (Unreachable, TimeoutError):
                await asyncio.sleep(0.1)
        await client.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_vlm import make

    folder = tmp_path_factory.mktemp("tiny-vlm")
    assert make(folder) < 300_000
    return folder


@pytest.fixture(scope="module")
def process(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served(model, tmp_path_factory.mktemp("log") / "serve.log")
    try:
        run(server.ready(), LOAD_SECONDS + 10.0)
        yield server
    finally:
        server.end()


@pytest.fixture
def served(process: Served) -> Served:
    process.revive()
    return process


def backend_of(served: Served, **wish: object) -> OpenAIBackend:
    wished = Wish(model=served.model, timeout=120.0, **wish)  # type: ignore[arg-type]
    return OpenAIBackend(Server(served.url, wish=wished, explain_seconds=60.0))


def test_what_it_takes_is_found_out(served: Served) -> None:
    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        assert backend.found is not None
        dialect = backend.found.dialect
        assert (dialect.server, dialect.score, dialect.schema) == ("transformers", "systemone", "")
        assert dialect.score_images == 4, "more are refused there"
        assert dialect.images == 9, "a chat takes the whole strip"
        assert backend.found.mode == "score"
        await backend.close()

    run(go())


def test_decisions_are_valid_and_pictures_count(served: Served) -> None:
    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        seen = {}
        for picture in range(3):
            asked = question(0, 120.0, frames=strip(picture))
            answer = check(await backend.decide(asked), asked)
            assert answer.tokens > 100
            seen[picture] = dict(answer.probabilities)
        asked = question(0, 120.0, frames=strip(0))
        again = await backend.decide(asked)
        assert dict(again.probabilities) == pytest.approx(seen[0], abs=1e-6)
        assert seen[0] != seen[1] != seen[2] != seen[0], "the same words, other pictures"
        await backend.close()

    run(go())


def test_menus_and_words(served: Served) -> None:
    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        asked = question(kind="menu", packed=menu("Play", "Options"), goal="Start", seconds=120.0)
        answer = check(await backend.decide(asked), asked)
        assert answer.press is not None
        assert set(answer.probabilities) == {"widget:1", "widget:2", "none"}
        told = await backend.decide(question(1, 120.0, explain=True))
        assert told.directive is not None
        assert backend.metrics()["explained_total"] == 1.0
        await backend.close()

    run(go())


def test_a_chat_with_nine_pictures(served: Served) -> None:
    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        assert backend.found is not None
        client = HttpClient(served.url)
        tokens = []
        for count in (9, 1):
            prompt = Prompt("Rules.", strip(0, count), "What is this?")
            body = chat_body(prompt, backend.found.dialect, most_tokens=2)
            reply = await client.post(PATHS["chat"], body, 120.0)
            assert reply.status == 200, reply.text()
            tokens.append(read_chat(reply.body).tokens)
        assert tokens[0] > tokens[1] + 8 * 4, "every picture is seen: four patches each"
        await client.close()
        await backend.close()

    run(go())


def test_what_is_late_is_told_and_the_rules_answer(served: Served) -> None:
    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        with pytest.raises(Undecided) as error:
            await backend.decide(question(2, 0.001))
        assert error.value.failure is Failure.LATE
        answer = await Chain([backend, Rules()]).decide(question(2, 0.06))
        assert answer.backend == "rules"
        asked = question(2, 120.0)
        assert check(await backend.decide(asked), asked).backend == "openai"
        await backend.close()

    run(go())


@pytest.mark.long
def test_a_thousand_of_a_thousand(served: Served) -> None:
    async def go() -> int:
        backend = backend_of(served, frames=1)
        await backend.open()
        valid = 0
        for start in range(0, 1000, 4):
            asked = [question(i, 600.0, frames=strip(i, 1)) for i in range(start, start + 4)]
            for one, answer in zip(
                asked, await asyncio.gather(*map(backend.decide, asked)), strict=True
            ):
                check(answer, one)
                valid += 1
        await backend.close()
        return valid

    assert run(go(), 3600.0) == 1000


def test_a_killed_server_is_noticed(served: Served) -> None:
    """The last one, so that nobody has to start it again."""

    async def go() -> None:
        backend = backend_of(served)
        await backend.open()
        served.end()
        with pytest.raises(Undecided) as error:
            await backend.decide(question(3, 30.0))
        assert error.value.failure is Failure.UNREACHABLE
        answer = await Chain([backend, Rules()]).decide(question(3, 30.0))
        assert (answer.backend, len(answer.path)) == ("rules", 1)
        await backend.close()

    run(go())

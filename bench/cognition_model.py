"""A real model server in suite `cognition`: transformers' own, with a small random model.

Its answers mean nothing; that pictures are decoded, encoded and prefilled, that options are scored
and tokens written is real. The broker's way to it is compared with asking it directly, and a note
says what of its time is vision, reasoning and decoding, each by the difference of two requests that
differ in just that. Only a checkout with the packages of `transformers serve` has it.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case, Evidence
from .cognition_server import need, unaided
from .cognition_wire import strip
from .meter import Meter, Plus
from .swarm.driver import Driver, Sample
from .swarm.services import Service, answers, free_port
from .swarm.swarm import Swarm
from .versus import AbsentError, Contender

ROOT = Path(__file__).resolve().parent.parent
MAKER = ROOT / "tests/cognition/tiny_vlm.py"
ALLOWED_MS = 1.0
ROUND_SECONDS = 4.0
PATIENCE = 30.0
LOAD_SECONDS = 180.0
PROBES = 9  # requests per kind that the stages are taken from
TOKENS = 17
PACKAGES = ("transformers", "fastapi", "uvicorn")


def cases() -> list[Case]:
    return [
        Case(
            "cognition",
            "an answer of a real model server, random weights, one agent, p50",
            "ms",
            Contender("metabonk", Through),
            (Contender("asked directly, and 1 ms", functools.partial(_directly)),),
            better="lower",
            rounds=3,
            evidence=lambda ours, peer: Evidence(ours.unaided, stages_line(ours)),  # type: ignore[attr-defined]
        )
    ]


def _directly() -> Meter:
    return Plus(Direct(), ALLOWED_MS)


@functools.cache
def real() -> Real:
    """The server of this process, ended with it: loading it takes longer than measuring it. Who is
    compared asks the same one. Raises AbsentError, LinkError."""
    made = Real()
    atexit.register(made.close)
    return made


class Real:
    """A server, loaded and ready."""

    def __init__(self) -> None:
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            told = ", ".join(missing)
            raise AbsentError(f"{told}: not installed: pip install 'transformers[serving]'")
        if not MAKER.is_file():
            raise AbsentError(f"{MAKER} is not there: only a checkout makes the model")
        self._folder = tempfile.TemporaryDirectory(prefix="metabonk-bench-")
        where = Path(self._folder.name)
        self.model = str(where / "model")
        _maker().make(Path(self.model))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._service = Service(
            "transformers serve",
            [
                sys.executable, "-m", "transformers.cli.transformers", "serve", self.model,
                "--host", "127.0.0.1", "--port", str(port), "--device", "cpu",
                "--dtype", "float32",
            ],
            where / "serve.log",
            answers(f"{self.url}/health"),
            {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        try:
            self._service.start(wait=False)
            self._service.wait_ready(LOAD_SECONDS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._service.close()
        self._folder.cleanup()


def _maker() -> Any:
    spec = importlib.util.spec_from_file_location("tiny_vlm", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Through:
    """Milliseconds from asking the broker until the real server's answer: a round's median.

    stages: vision, reasoning and decoding of the server, asked directly beforehand. unaided:
    whether the rules answered nothing in its place, in any round."""

    def __init__(self) -> None:
        self._real = real()
        self._folder = tempfile.TemporaryDirectory(prefix="metabonk-bench-")
        words = ["--backend", "openai", "--url", self._real.url, "--model", self._real.model]
        self.swarm = Swarm(Path(self._folder.name), broker_words=words)
        self.stages: dict[str, float] = {}
        self.sample = Sample()
        self.unaided = True
        self._driver: Driver | None = None
        try:
            self.swarm.start(clip=False)
            jpegs, state = strip()
            self._driver = Driver(self.swarm.url, 1, jpegs, state, counts=("ok",))
        except BaseException:
            self.close()
            raise

    def prepare(self) -> None:
        self.stages = asyncio.run(server_stages(self._real))
        self.measure()
        self.unaided = True

    def measure(self) -> float:
        assert self._driver is not None
        self.sample = self._driver.closed(ROUND_SECONDS, PATIENCE)
        need(self.sample)
        self.unaided &= unaided(self.sample)
        return float(np.median(self.sample.latencies_ms))

    def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()
        self.swarm.close()
        self._folder.cleanup()


class Direct:
    """The same questions to the server itself, by the same adapter: a round's median."""

    def __init__(self) -> None:
        from metabonk.cognition.backends.openai import OpenAIBackend, Server
        from metabonk.cognition.backends.probe import Wish

        self._real = real()
        self._loop = asyncio.new_event_loop()
        wish = Wish(model=self._real.model, timeout=120.0)
        self._backend = OpenAIBackend(Server(self._real.url, wish=wish), "openai")
        self._loop.run_until_complete(self._backend.open())
        self._jpegs, self._state = strip()

    def prepare(self) -> None:
        self.measure()

    def measure(self) -> float:
        return self._loop.run_until_complete(self._ask())

    async def _ask(self) -> float:
        from metabonk.cognition.question import Frame, Question

        found, end = [], time.monotonic() + ROUND_SECONDS
        times = [0.06 * (k - 5) if k < 6 else 0.05 * (k - 5) for k in range(len(self._jpegs))]
        frames = tuple(Frame(j, at, at > 0.0) for j, at in zip(self._jpegs, times, strict=True))
        while time.monotonic() < end:
            asked = time.monotonic()
            question = Question(
                agent="bench-0", packed=self._state, deadline=asked + PATIENCE, frames=frames
            )
            await self._backend.decide(question)
            found.append((time.monotonic() - asked) * 1e3)
        return float(np.median(found))

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.run_until_complete(self._backend.close())
        self._loop.close()


async def server_stages(real: Real) -> dict[str, float]:
    """Medians in milliseconds. vision: what nine pictures add to a request that writes one token.
    reasoning: that request without pictures. decoding: what each further token adds."""
    from metabonk.cognition.backends.httpclient import HttpClient

    client = HttpClient(real.url)
    try:
        seen = await _median(client, real, pictures=True, tokens=1)
        blind = await _median(client, real, pictures=False, tokens=1)
        long = await _median(client, real, pictures=False, tokens=TOKENS)
    finally:
        await client.close()
    return {
        "vision": max(seen - blind, 0.0),
        "reasoning": blind,
        "decoding, per token": max(long - blind, 0.0) / (TOKENS - 1),
    }


async def _median(client: Any, real: Real, *, pictures: bool, tokens: int) -> float:
    from metabonk.cognition.backends.dialect import PATHS, Dialect, Prompt, chat_body
    from metabonk.cognition.question import Frame

    jpegs, _ = strip()
    found = []
    for number in range(PROBES + 1):
        frames = tuple(Frame(jpeg, -0.06 * k) for k, jpeg in enumerate(reversed(jpegs)))
        prompt = Prompt(f"Rules {number}.", frames if pictures else (), "What now?")
        body = chat_body(prompt, Dialect("transformers", real.model), most_tokens=tokens)
        began = time.perf_counter()
        reply = await client.post(PATHS["chat"], body, 120.0)
        if reply.status != 200:
            raise AbsentError(f"transformers serve: {reply.text()}")
        found.append((time.perf_counter() - began) * 1e3)
    return float(np.median(found[1:]))  # the first one loads the model


def stages_line(meter: Any) -> str:
    """The note of the case."""
    told = ", ".join(f"{name} {value:.2f}" for name, value in meter.stages.items())
    return f"of the server itself: {told} ms"

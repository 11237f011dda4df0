"""A model server that is asked without the broker, in suite `cognition`: what the way over the
broker is held against.

The same adapter asks the same stand-in about the same strips, with no queue, schedule, rules or
journal in between. Does not know brokers.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metabonk.errors import LinkError

from .cognition_wire import strip
from .rounds import Round
from .swarm.swarm import Swarm

AGENTS = 16
PATIENCE = 2.0  # seconds until an answer is of no use
MODEL_SECONDS = 0.05  # that the stand-in takes
EVERY = 0.5  # seconds between an agent's questions to it
ROUND_SECONDS = 4.0
# Overload is of the model and not of this machine's processors, which the model's are not.
SLOTS, SLOT_SECONDS = 4, 0.25
OVERLOAD_ROUND = 8.0


def percentiles(milliseconds: Sequence[float]) -> Round:
    """p50 and p99 of a round's answers."""
    return Round({f"p{share}": float(np.percentile(milliseconds, share)) for share in (50, 99)})


class Alone:
    """A model server that is asked without the broker, by the same adapter."""

    def __init__(self, latency: float, slots: int = 0) -> None:
        from metabonk.cognition.backends.openai import OpenAIBackend, Server

        self._folder = tempfile.TemporaryDirectory(prefix="metabonk-bench-")
        self._swarm = Swarm(Path(self._folder.name), latency=latency, slots=slots)
        assert self._swarm.model is not None
        self._swarm.model.start()
        self._loop = asyncio.new_event_loop()
        self._backend = OpenAIBackend(Server(self._swarm.model_url), "openai")
        self._loop.run_until_complete(self._backend.open())
        self._jpegs, self._state = strip()

    async def _one(self, index: int, patience: float = PATIENCE) -> float:
        from metabonk.cognition.question import Frame, Question, Undecided

        asked = time.monotonic()
        times = [0.06 * (k - 5) if k < 6 else 0.05 * (k - 5) for k in range(len(self._jpegs))]
        question = Question(
            agent=f"bench-{index % AGENTS}", packed=self._state, deadline=asked + patience,
            frames=tuple(
                Frame(jpeg, at, at > 0.0) for jpeg, at in zip(self._jpegs, times, strict=True)
            ),
        )  # fmt: skip
        try:
            await self._backend.decide(question)
        except Undecided:
            return patience * 1e3  # as one that the broker does not decide
        return (time.monotonic() - asked) * 1e3

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.run_until_complete(self._backend.close())
        self._loop.close()
        self._swarm.close()
        self._folder.cleanup()


class Bare(Alone):
    """The questions of sixteen agents, each at its own place in the period."""

    def __init__(self) -> None:
        super().__init__(MODEL_SECONDS)

    def prepare(self) -> None:
        self.measured()

    def measured(self) -> Round:
        return percentiles(self._loop.run_until_complete(self._ask()))

    async def _ask(self) -> list[float]:
        loop = asyncio.get_running_loop()
        began, tasks = loop.time(), []
        count = round(ROUND_SECONDS / EVERY) * AGENTS
        for index in range(count):
            await asyncio.sleep(began + index * EVERY / AGENTS - loop.time())
            tasks.append(asyncio.create_task(self._one(index)))
        return list(await asyncio.gather(*tasks))


class Capacity(Alone):
    """`share` of the decisions per second of a model server that is kept busy. One decision may
    take more than one request."""

    def __init__(self, share: float) -> None:
        super().__init__(SLOT_SECONDS, SLOTS)
        self._share = share

    def prepare(self) -> None:
        self.measure()

    def measure(self) -> float:
        return self._share * self._loop.run_until_complete(self._busy())

    async def _busy(self) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        end = began + OVERLOAD_ROUND
        found = 0

        async def ask(index: int) -> None:
            nonlocal found
            while loop.time() < end:
                waited = await self._one(index, patience=60.0)
                found += loop.time() < end and waited < 60_000.0

        await asyncio.gather(*(ask(index) for index in range(2 * SLOTS)))
        if not found:
            raise LinkError(f"{self._swarm.model_url}: no answer in {OVERLOAD_ROUND:g} s")
        return found / (end - began)

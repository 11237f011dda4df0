"""A strict model server on the test's own loop, and the backend that asks it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.servers.standin import Behaviour, StandIn

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60.0))


@contextlib.asynccontextmanager
async def asking(
    behaviour: Behaviour | None = None,
    wish: Wish | None = None,
    *,
    opened: bool = True,
    server: StandIn | None = None,
    **given: Any,
) -> AsyncIterator[tuple[StandIn, OpenAIBackend]]:
    """A server and a backend that asks it."""
    server = server or StandIn(behaviour=behaviour or Behaviour(), bodies=[])
    url = await server.start()
    backend = OpenAIBackend(Server(url, wish=wish or Wish(timeout=10.0), **given))
    try:
        if opened:
            await backend.open()
        yield server, backend
    finally:
        await backend.close()
        await server.stop()


async def until(true: Any) -> None:
    async with asyncio.timeout(20.0):
        while not true():
            await asyncio.sleep(0.001)

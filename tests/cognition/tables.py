"""What tests of the broker sit at: a broker with everything around it, without sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from peers import HANG, JPEG, STATE, FakeDoor, Scripted

from metabonk.cognition.broker.broker import Broker
from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol import wire as w

SECRET = b"s" * 16


class Table:
    """A broker with everything around it at hand."""

    def __init__(self, folder: Path, backend: Scripted, **settings: Any) -> None:
        self.backend, self.door = backend, FakeDoor()
        loop = asyncio.get_running_loop()
        self.journal = j.Journal(folder, tell=loop.call_soon_threadsafe)
        self.broker = Broker(backend, self.journal, self.door, **settings)

    def say(self, message: w.ToBroker, route: bytes = b"1", frames: int = 0, key: str = "") -> None:
        parts = [bytes(p) for p in w.encode(message, [JPEG] * frames)]
        self.broker.handle(route, parts, key)

    def hello(self, agent: str = "a", epoch: int = 5, route: bytes = b"1", **fields: Any) -> Any:
        said = {"agent": agent, "epoch": epoch, "secret": SECRET, **fields}
        self.say(w.Hello(**said), route)
        return self.door.take(route)[-1]

    async def replies(self, count: int = 1, route: bytes | None = None) -> list[Any]:
        """So many messages, once they are there."""
        found: list[Any] = []
        end = time.monotonic() + HANG
        while len(found) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} came: {found}"
            await asyncio.sleep(0.001)
            found += self.door.take(route)
        return found

    async def until(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + HANG
        while not what():
            assert time.monotonic() < end
            await asyncio.sleep(0.001)

    def rows(self, sql: str) -> list[tuple]:
        with contextlib.closing(j.open_readonly(self.journal.folder)) as connection:
            return [tuple(row) for row in connection.execute(sql)]


def request(
    sequence: int, agent: str = "a", epoch: int = 5, seconds: float = HANG, **fields: Any
) -> w.Request:
    now = time.monotonic_ns()
    return w.Request(**{
        "id": w.RequestId(agent, epoch, sequence), "captured_ns": now,
        "deadline_ns": now + int(seconds * 1e9), "left_ms": seconds * 1e3, "state": STATE, **fields,
    })  # fmt: skip


def at_table(
    tmp_path: Path,
    body: Callable[[Table], Awaitable[None]],
    backend: Scripted | None = None,
    **settings: Any,
) -> None:
    async def run() -> None:
        table = Table(tmp_path, backend or Scripted(), **settings)
        try:
            await body(table)
            await table.broker.drain(0.0)
        finally:
            table.broker.close()
            await asyncio.to_thread(table.journal.close)

    asyncio.run(run())

"""What tests of servers share: a supervisor that is watched, and a stand-in for what it runs."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from metabonk.cognition.servers.supervise import Event, Patience, Supervisor
from metabonk.cognition.servers.vlm import Command

T = TypeVar("T")
QUICK = Patience(
    load=30.0, look=0.05, answer=0.6, looks=3, grace=0.6, first_pause=0.01, longest_pause=0.02
)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 90.0))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Watched:
    """A supervisor that runs, and what it said."""

    def __init__(self, commands: list[Command], log: Path, patience: Patience = QUICK) -> None:
        self.events: list[Event] = []
        self.supervisor = Supervisor(commands, log, patience=patience, told=self.events.append)

    def said(self, what: str) -> int:
        return sum(event.what == what for event in self.events)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60.0):
            while not true():
                await asyncio.sleep(0.01)

    def pids(self) -> list[int]:
        return [process.pid for process in self.supervisor._running]


def stand_in(port: int, *more: str) -> Command:
    words = (sys.executable, "-m", "metabonk.cognition.servers.standin", "--port", str(port), *more)
    return Command("model", words, f"http://127.0.0.1:{port}/ready")

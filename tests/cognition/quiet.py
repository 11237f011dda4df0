"""A line without a socket, for tests whose clients take their turns one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metabonk.cognition.protocol import wire


class Quiet:
    """A line without a socket: what the test puts in comes, and what is sent is kept."""

    def __init__(self) -> None:
        self.inbox: list[wire.ToAgent] = []
        self.sent: list[Any] = []
        self.waits: list[float] = []
        self._new = True

    def events(self) -> list[bool]:
        new, self._new = self._new, False
        return [True] * new

    def received(self) -> list[Sequence[wire.Buffer]]:
        came, self.inbox = self.inbox, []
        return [wire.encode(message) for message in came]

    def send(self, parts: Sequence[wire.Buffer]) -> bool:
        self.sent.append(wire.decode(parts)[0])
        return True

    def wait(self, seconds: float, fileno: int = -1) -> None:
        self.waits.append(seconds)

"""Rows of journals as tests write and read them, and who waits until they are written."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from peers import HANG

from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId


def decision(sequence: int, agent: str = "a", epoch: int = 1, **fields: object) -> j.Decision:
    reply = Reply(
        id=RequestId(agent, epoch, sequence), status="ok", backend="rules", confidence=0.75,
        answer={"action": "retreat", "target": "hold", "seconds": 2.0, "priority": "high"},
        reasoning="because", stages={"queue": 0.5}, server_ms=1.25,
    )  # fmt: skip
    return j.Decision(reply=reply, at=1e9 + sequence, **fields)  # type: ignore[arg-type]


def outcome(sequence: int, agent: str = "a", epoch: int = 1, reward: float = 1.0) -> Outcome:
    id = RequestId(agent, epoch, sequence)
    return Outcome(id=id, applied=True, seconds=4.0, reward=reward, kills=2, age_ms=80.0)


class Told:
    """Collects what the journal says, from its thread."""

    def __init__(self) -> None:
        self.safe: list[bool] = []
        self._heard = threading.Condition()

    def __call__(self, safe: bool) -> None:
        with self._heard:
            self.safe.append(safe)
            self._heard.notify_all()

    def wait(self, count: int) -> list[bool]:
        with self._heard:
            assert self._heard.wait_for(lambda: len(self.safe) >= count, HANG)
            return list(self.safe)


def rows(folder: Path, sql: str) -> list[tuple]:
    with contextlib.closing(j.open_readonly(folder)) as connection:
        return [tuple(row) for row in connection.execute(sql)]

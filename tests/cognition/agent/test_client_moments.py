"""cognition/agent/client.py: a regular request waits for its game's next moment."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

import pytest
from small_broker import HANG, serving, until

from metabonk.cognition.agent import next_moment
from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.records import FieldGroup, GameState

QUICK = ClientSettings(every=0.2, patience=4.0, outcome_seconds=0.2, linger=1.0)


class Asked:
    """A game that shows a moment only where one is wanted, as a seat may not for a while."""

    def __init__(self) -> None:
        self.shown, self._wanted = [time.monotonic_ns()], False
        self._packed = GameState(fields=FieldGroup.EVERYTHING, health=100.0, max_health=100.0)
        self._ready, self._write = os.pipe()
        self._timers: list[threading.Timer] = []

    @property
    def wanted(self) -> bool:
        if select.select([self._ready], [], [], 0.0)[0]:
            os.read(self._ready, 1)
        return self._wanted

    def want(self) -> None:
        self._wanted = True
        self._timers.append(threading.Timer(0.015, self._show))
        self._timers[-1].start()

    def _show(self) -> None:
        self.shown.append(time.monotonic_ns())
        self._wanted = False
        os.write(self._write, b".")

    def fileno(self) -> int:
        return self._ready

    def look(self) -> Sight:
        return Sight(self._packed.pack(), self.shown[-1])

    def close(self) -> None:
        for timer in self._timers:
            timer.join()
        os.close(self._ready)
        os.close(self._write)


def test_a_regular_request_is_about_the_moment_that_it_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"ipc://{tmp_path}/c.sock"
    monkeypatch.setattr(next_moment, "MOST", round(HANG * 1e9))
    game = Asked()
    with serving(url) as server:
        with Client("omega-0", url, QUICK, look=game.look, moments=game):
            until(lambda: len(server.requests) >= 3, "requests")
        game.close()
    captured = [request.captured_ns for request, _ in server.requests]
    assert captured == game.shown[1 : 1 + len(captured)]

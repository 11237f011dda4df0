"""Real clients that see a game go by, for suite `cognition`: at a real broker, with pictures.

The game is a stretch of the arena, recorded and played over and over in real time, so that sixteen
agents cost no sixteen games. Does not know what is measured of the clients.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cognition_server import Served
from .cognition_wire import clip
from .swarm.clip import RATE, Clip

EVERY = 1.0  # seconds between an agent's requests
PATIENCE = 2.0  # seconds until an answer is of no use


class Playing(Served):
    """Real clients in this process.

    latency: seconds that the stand-in takes for an answer; None: rules answer. every: seconds
    between an agent's requests. handles: pictures may lie in shared memory. rate: moments of the
    clip that go by per second. words: more of them for the broker.
    """

    def __init__(
        self,
        count: int,
        *,
        latency: float | None = None,
        every: float = EVERY,
        handles: bool = True,
        rate: float = RATE,
        words: Sequence[str] = (),
    ) -> None:
        from metabonk.cognition.agent.client import Client, ClientSettings

        super().__init__(latency=latency, words=words)
        self.clients: list[Any] = []
        self._moments: list[Moments] = []
        try:
            self.scene = Scene(clip(), rate)
            settings = ClientSettings(
                every=every, patience=PATIENCE, outcome_seconds=EVERY, handles=handles
            )
            for number in range(count):
                moments = Moments(self.scene)
                self._moments.append(moments)
                client = Client(
                    f"omega-{number}", self.swarm.url, settings, look=self.scene.look,
                    moments=moments,
                )  # fmt: skip
                client.start()
                self.clients.append(client)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        clients, self.clients = self.clients, []
        for client in clients:
            client.end()
        try:
            for client in clients:
                client.stop()
        finally:
            for moments in self._moments:
                moments.close()
            super().close()


class Scene:
    """A clip as a game that goes by in real time, over and over, `rate` moments per second."""

    def __init__(self, clip: Clip, rate: float = RATE) -> None:
        # Views without the mapping's class, whose every slice costs: a game's frames are free here.
        self._frames = [np.asarray(frame) for frame in clip.frames]
        self._packed = [state.tobytes() for state in clip.states]
        self._step = 1e9 / rate
        self._began = time.monotonic_ns()

    def after(self, now: int) -> int:
        """When the first moment after `now` is there, monotonic nanoseconds."""
        return self._began + int((self._number(now) + 1) * self._step)

    def look(self) -> Any:
        """The newest moment, with the time at which it became it."""
        from metabonk.cognition.agent.client import Sight

        number = self._number(time.monotonic_ns())
        index = number % len(self._packed)
        captured = self._began + int(number * self._step)
        return Sight(self._packed[index], captured, self._frames[index])

    def _number(self, now: int) -> int:
        return int((now - self._began) / self._step)


class Moments:
    """Says when a scene's next moment is there, as a seat's watch does, on a thread of its own."""

    def __init__(self, scene: Scene) -> None:
        self._wanted = False
        self._scene = scene
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def wanted(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        return self._wanted

    def want(self) -> None:
        self._wanted = True
        self._asked.put(True)

    def fileno(self) -> int:
        return self._event

    def close(self) -> None:
        """Ends the thread; safe to call twice."""
        self._asked.put(False)
        self._thread.join()
        if self._event >= 0:
            os.close(self._event)
            self._event = -1

    def _work(self) -> None:
        while self._asked.get():
            now = time.monotonic_ns()
            time.sleep((self._scene.after(now) - now) / 1e9)
            self._wanted = False
            os.eventfd_write(self._event, 1)

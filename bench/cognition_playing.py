"""Real clients that see a game go by, for suite `cognition`: at a real broker, with pictures.

The game is a stretch of the arena, recorded and played over and over in real time, so that sixteen
agents cost no sixteen games. Does not know what is measured of the clients.
"""

from __future__ import annotations

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
        try:
            self.scene = Scene(clip(), rate)
            settings = ClientSettings(
                every=every, patience=PATIENCE, outcome_seconds=EVERY, handles=handles
            )
            for number in range(count):
                client = Client(
                    f"omega-{number}", self.swarm.url, settings, look=self.scene.look,
                    comes=self.scene.comes,
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
        for client in clients:
            client.stop()
        super().close()


class Scene:
    """A clip as a game that goes by in real time, over and over, `rate` moments per second."""

    def __init__(self, clip: Clip, rate: float = RATE) -> None:
        # Views without the mapping's class, whose every slice costs: a game's frames are free here.
        self._frames = [np.asarray(frame) for frame in clip.frames]
        self._packed = [state.tobytes() for state in clip.states]
        self._step = 1e9 / rate
        self._began = time.monotonic_ns()

    def look(self) -> Any:
        """The newest moment, with the time at which it became it."""
        from metabonk.cognition.agent.client import Sight

        number = self._number()
        index = number % len(self._packed)
        captured = self._began + int(number * self._step)
        return Sight(self._packed[index], captured, self._frames[index])

    def comes(self) -> int:
        """When the next moment is there."""
        return self._began + int((self._number() + 1) * self._step)

    def _number(self) -> int:
        return int((time.monotonic_ns() - self._began) / self._step)

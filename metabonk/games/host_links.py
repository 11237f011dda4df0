"""The links on which `metabonk host` shows a game: BonkLink and ResearchPlugin's shared memory.

Knows both links and how their actions become rows of an Action; does not know games nor when they
step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metabonk.games.host import Answer
from metabonk.games.hosted import Moment, neutral
from metabonk.link.research_shm import BUTTONS, Event, ResearchGame
from metabonk.protocols import FloatArray
from metabonk.records import BUTTONS as ALL_BUTTONS

_MOST = 2**31 - 1
_PLAYING = ("", "None", "Gameplay")  # names of no menu


class ResearchLink:
    """Moments in ResearchPlugin's shared memory. Its answers are not numbered, and agents older
    than this project cannot be seen, so that somebody always counts as there.

    path: of the file. size: height and width of frames.
    """

    def __init__(self, path: Path, size: tuple[int, int], bottom_up: bool = True) -> None:
        self._game = ResearchGame(path, size, bottom_up=bottom_up)
        self._menu = False
        self._agent = False
        self._visitor = 1

    def publish(self, moment: Moment, capture_ns: int, taken: int) -> int:
        self._menu = moment.menu not in _PLAYING
        self._game.publish(
            moment.pixels,
            moment.reward,
            moment.ended,
            min(moment.step, _MOST),
            min(round(moment.seconds * 1000.0), _MOST),
        )
        return 0

    def wait(self, timeout: float) -> Answer | None:
        got = self._game.wait(timeout)
        if not isinstance(got, Event):
            return Answer(row_of(got, self._menu))
        return Answer(None) if got is Event.RESET else None

    def visitor(self) -> int:
        agent = self._game.agent
        self._visitor += agent and not self._agent
        self._agent = agent
        return self._visitor

    def status(self) -> str:
        who = "an agent plays" if self._agent else "no agent that locks"
        return f"{self._game.path}, research v1, {who}"

    def counters(self) -> Mapping[str, int]:
        return self._game.counters()

    def close(self) -> None:
        self._game.close()


def row_of(action: npt.NDArray[np.float32], menu: bool) -> FloatArray:
    """ResearchPlugin's action float32 [6] as an Action's row: its buttons are `BUTTONS` while
    playing, and in a menu each selects one of the first four widgets."""
    row = neutral()
    row[:2] = np.clip(action[:2], -1.0, 1.0)
    pressed = action[2:] >= 0.5
    if menu:
        row[9] = float(np.argmax(pressed) + 1) if pressed.any() else 0.0
        return row
    for name, down in zip(BUTTONS, pressed, strict=True):
        row[4 + ALL_BUTTONS.index(name)] = float(down)
    return row

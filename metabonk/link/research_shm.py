"""ResearchPlugin's shared memory, version 1: one file per game, `megabonk_env_<instance>`.

Knows the file, the six numbers of an action and the turns that both ends take; does not know what
an episode is worth. The layout is in docs/host.md, the bytes are moved by csrc/ipc/research_shm.

Version 1 has one flag word, which both sides write, and no sequence number. Its hazards, and what
is done here about each: frames that tear (copied twice and compared, `torn`), observations seen
twice (told apart by step and time, `repeated`), a RESET that the game overwrites (written again
until a step 0 is seen, `lost`), an action that is overwritten (the agent acts again on the next
observation), a dead game whose file still says OBS_READY (a game of ours holds a lock that ends
with it; a plugin's is noticed by silence alone), a file cut short, a second agent. What stays open
is in csrc/ipc/research_shm.h. Plugins older than this project fill neither reward nor done:
`ResearchAgent.fills` tells.

Rows of frames are in the file as Unity reads a texture, bottom row first, and are handed out and
taken top row first; `bottom_up=False` is for files that are the other way round.
"""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.errors import ConfigError, CorruptError, LinkError
from metabonk.protocols import Array
from metabonk.records import BUTTONS as ALL_BUTTONS
from metabonk.records import Action

FOLDER = "/dev/shm"
COLUMNS = 6
# What the four buttons of an action are, in their order; in menus they select the first four
# widgets.
BUTTONS = ("jump", "slide", "interact", "fire")

_SLICE = 0.1  # seconds of one native wait, after which Python sees signals
_RETRY = 0.05  # seconds between looks for a file that is not there yet


class Event(enum.IntEnum):
    """What a wait ended with: `ResearchEvent` in csrc/ipc/research_shm.h."""

    TIMEOUT = 0
    OBSERVATION = 1
    RESIZED = 2
    TERMINATED = 3
    GONE = 4
    DAMAGED = 5
    ACTION = 6
    RESET = 7


class Seen(NamedTuple):
    """One observation. pixels: uint8 [H, W, 3], top row first. reward: of the step that led here,
    and done: whether it ended the episode; 0 and False from plugins that do not say. step:
    decisions since the reset. time_ms: of the game."""

    pixels: Array
    reward: float
    done: bool
    step: int
    time_ms: int


def widened(row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """An action float32 [6] as an Action's row float32 [12], its buttons as they are while playing
    (csrc/play/research_action.h)."""
    wide = Action().row()
    wide[:2] = row[:2]
    for name, value in zip(BUTTONS, row[2:], strict=True):
        wide[4 + ALL_BUTTONS.index(name)] = value
    return wide


def path_of(instance: str | int, folder: str | Path = FOLDER) -> Path:
    """The file of a game."""
    return Path(folder or FOLDER) / f"megabonk_env_{instance}"


def paths_of(instance: str, count: int, folder: str | Path = FOLDER) -> list[Path]:
    """The files of `count` games, numbered on from the first one's instance. Raises ConfigError for
    several from a name that is no number."""
    if count == 1:
        return [path_of(instance, folder)]
    if not instance.isdigit():
        raise ConfigError(f"instance: {instance!r} is no number from which {count} could count")
    return [path_of(int(instance) + i, folder) for i in range(count)]


class ResearchAgent:
    """The agent's end. One thread at a time.

    path: of the game's file, see `path_of`. patience: seconds to wait for a file that is not there
    yet. Raises LinkError if it stays away or is taken.
    """

    def __init__(self, path: Path, *, bottom_up: bool = True, patience: float = 0.0) -> None:
        self.path = path
        deadline = time.monotonic() + patience
        while True:
            try:
                self._native: _core.ipc.ResearchAgent | None = _core.ipc.ResearchAgent(
                    str(path), bottom_up
                )
                break
            except ValueError as error:
                if time.monotonic() >= deadline:
                    raise LinkError(f"{path}: {str(error).removeprefix('path: ')}") from error
            time.sleep(_RETRY)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self._open.height, self._open.width

    @property
    def fills(self) -> bool:
        """Whether the game says that it fills reward and done."""
        return self._open.fills

    def observe(self, timeout: float) -> Seen | None:
        """The next new observation, or None if none came within `timeout` seconds.

        Raises LinkError once the game has ended or died, CorruptError for a file that cannot be.
        """
        deadline = time.monotonic() + timeout
        native = self._open
        while True:
            pixels = np.empty((native.height, native.width, 3), np.uint8)
            left = max(0.0, deadline - time.monotonic())
            number, reward, done, step, time_ms = native.wait(min(left, _SLICE), pixels)
            event = Event(number)
            if event is Event.OBSERVATION:
                return Seen(pixels, reward, done, step, time_ms)
            if event is Event.TERMINATED:
                raise LinkError(f"{self.path}: the game has ended")
            if event is Event.GONE:
                raise LinkError(f"{self.path}: the game died or was started anew")
            if event is Event.DAMAGED:
                raise CorruptError(f"{self.path}: cut short or damaged, start the game anew")
            if event is Event.TIMEOUT and left <= _SLICE:
                return None

    def act(self, action: npt.NDArray[np.float32]) -> None:
        """Answers the observation: float32 [6], move right and forward, then BUTTONS as 0 or 1."""
        if not self._open.act(np.ascontiguousarray(action, np.float32)):
            raise LinkError(f"{self.path}: cannot be written any more, start the game anew")

    def reset(self) -> None:
        """Asks for a new episode; the next observation is its first."""
        if not self._open.reset():
            raise LinkError(f"{self.path}: cannot be written any more, start the game anew")

    def counters(self) -> dict[str, int]:
        """observations, actions, resets, and what went wrong and was put right: torn, repeated,
        lost."""
        return dict(self._open.counters())

    def close(self) -> None:
        """Lets the game go; safe to call twice."""
        self._native = None

    @property
    def _open(self) -> _core.ipc.ResearchAgent:
        if self._native is None:
            raise LinkError(f"{self.path}: this end was closed")
        return self._native


class ResearchGame:
    """The game's end. One thread at a time.

    path: of the file to make, see `path_of`; readable by its owner alone, removed by `close`.
    size: height and width of frames. Raises LinkError if another game has it.
    """

    def __init__(self, path: Path, size: tuple[int, int], *, bottom_up: bool = True) -> None:
        self.path = path
        height, width = size
        try:
            self._native: _core.ipc.ResearchGame | None = _core.ipc.ResearchGame(
                str(path), width, height, bottom_up
            )
        except ValueError as error:
            raise LinkError(f"{path}: {str(error).removeprefix('path: ')}") from error
        self._action = np.zeros(COLUMNS, np.float32)

    def publish(self, pixels: Array, reward: float, done: bool, step: int, time_ms: int) -> None:
        """Shows an observation, as `Seen`. Raises LinkError if the file cannot be written."""
        if not self._open.publish(np.ascontiguousarray(pixels), reward, done, step, time_ms):
            raise LinkError(f"{self.path}: cannot be written any more")

    def wait(self, timeout: float) -> npt.NDArray[np.float32] | Event:
        """The agent's answer: an action float32 [6], Event.RESET, or Event.TIMEOUT after `timeout`
        seconds. Raises LinkError if the file cannot be read."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            event = Event(self._open.wait(min(left, _SLICE), self._action))
            if event is Event.ACTION:
                return np.nan_to_num(self._action, copy=True, nan=0.0, posinf=1.0, neginf=-1.0)
            if event is Event.DAMAGED:
                raise LinkError(f"{self.path}: cut short by somebody else")
            if event is Event.RESET or left <= _SLICE:
                return event

    @property
    def agent(self) -> bool:
        """Whether an agent of ours is there; older ones cannot be seen."""
        return self._open.agent()

    def counters(self) -> dict[str, int]:
        """observations, actions, resets; lost: answers that were all but overwritten."""
        return dict(self._open.counters())

    def close(self) -> None:
        """Says that the game ends and removes the file; safe to call twice."""
        self._native = None

    @property
    def _open(self) -> _core.ipc.ResearchGame:
        if self._native is None:
            raise LinkError(f"{self.path}: this end was closed")
        return self._native

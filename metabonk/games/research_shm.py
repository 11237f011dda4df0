"""Games behind ResearchPlugin's shared memory, as a BatchGame and a Gymnasium environment.

Knows episodes and rewards as that memory tells them; the file and its hazards are
link/research_shm.py's. The game must run before this is made, see `metabonk host --research`.

Observations: `pixels` uint8 [h, w, 3] of the game's own size; `dt` float32 [1], seconds of game
time since the observation before, 0 in the first of an episode. Actions: `move` (x right, y
forward) and four buttons; in menus the buttons select the first four widgets. Version 1 carries no
seeds: those given to a reset only count where the game draws its own from them, which none does.

The game waits for each action, however long that takes: nobody else can play it meanwhile, and its
time is the game's own, not that of a clock.

One game has one agent: several BatchGames of one process over one file share it, and the one that
was reset last plays; the others' episodes end as truncated at their next step.

A game that dies, falls silent or starts anew by itself ends its episode as truncated, is counted as
`lost` and waited for at the next step. A plugin that fills neither reward nor done (`fills` is
False) gives rewards of 0 and episodes that never end by themselves: `limit` cuts them.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces as gs

from metabonk.errors import ConfigError, GameError, LinkError
from metabonk.games.batch import EpisodeSums, check_seeds
from metabonk.games.batch_env import BatchEnv
from metabonk.link.research_shm import BUTTONS, COLUMNS, FOLDER, ResearchAgent, Seen, paths_of
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

ACTION_SPACE = gs.Dict(
    OrderedDict(
        [
            ("move", gs.Box(-1.0, 1.0, (2,), np.float32)),
            *((button, gs.Discrete(2)) for button in BUTTONS),
        ]
    )
)


def make(
    rest: str,
    num_envs: int,
    research_dir: str = FOLDER,
    instance: str = "0",
    patience: float = 30.0,
    limit: int = 0,
    bottom_up: bool = True,
    hz: float = 60.0,
) -> ResearchShmGame:
    """`num_envs` games that run already.

    research_dir: folder of their files. instance: of the first; several are numbered on from it.
    patience: seconds to wait for a game to appear or to answer. limit: decisions after which an
    episode is cut, 0 for none. bottom_up: the order of rows in the file, as Unity has them; the
    same for all games of this process over one file, else ConfigError. hz: decisions per second of
    game time, for films.
    """
    if rest:
        raise ConfigError(f"game: research_shm has no variant {rest!r}, give an instance")
    if patience <= 0.0 or hz <= 0.0 or limit < 0:
        raise ConfigError(
            f"patience, hz, limit: {patience:g}, {hz:g} and {limit}; "
            "the first two must be above 0, the last at least 0"
        )
    ends: list[_End] = []
    with contextlib.ExitStack() as opened:
        for path in paths_of(instance, num_envs, research_dir):
            ends.append(_ends.open(path, patience=patience, bottom_up=bottom_up))
            opened.callback(_ends.close, ends[-1])
        opened.pop_all()
    return ResearchShmGame(ends, limit, hz)


class _End:
    """One game's memory and the episode in it. owner: who plays. lost: how often the game went
    away."""

    def __init__(self, path: Path, patience: float, bottom_up: bool) -> None:
        self.path = path
        self.users = 0
        self.owner: object = None
        self.patience = patience
        self.bottom_up = bottom_up
        self.lost = 0
        self._agent: ResearchAgent | None = None
        self._size: tuple[int, int] | None = None
        self.now: Seen | None = None

    def agent(self) -> ResearchAgent:
        """Opened where it is not; its frames keep the size that the first had."""
        if self._agent is None:
            try:
                agent = ResearchAgent(self.path, bottom_up=self.bottom_up, patience=self.patience)
            except LinkError as error:
                raise GameError(f"research_shm: {error}") from error
            self._size = self._size or agent.size
            if agent.size != self._size:
                height, width = agent.size
                raise GameError(
                    f"{self.path}: frames are {height}x{width} now, they were "
                    f"{self._size[0]}x{self._size[1]}: start the game as it was"
                )
            self._agent = agent
        return self._agent

    def begin(self) -> Seen:
        """The first observation of a new episode. Raises GameError if the game stays away."""
        deadline = time.monotonic() + self.patience
        while True:
            agent = self.agent()
            try:
                agent.reset()
                seen = agent.observe(max(0.0, deadline - time.monotonic()))
            except (LinkError, ValueError):
                self.drop()
                seen = None
            if seen is not None:
                self.now = seen
                return seen
            if time.monotonic() >= deadline:
                raise GameError(
                    f"{self.path}: the game did not begin an episode within {self.patience:g} "
                    "seconds: is it running, and not waiting in a menu?"
                )

    def step(self, row: npt.NDArray[np.float32]) -> Seen | None:
        """What came of an action; None if the game went away, fell silent or began anew."""
        before = self.now
        try:
            self.agent().act(row)
        except LinkError:
            self.drop()
        if self._agent is None:
            return None
        try:
            seen = self._agent.observe(self.patience)
        except (LinkError, ValueError):
            seen = None
        if seen is None or seen.pixels.shape[:2] != self._size:
            self.drop()
            return None
        if before is not None and seen.step < before.step:  # it began anew, and nobody asked
            self.lost += 1
            return None
        self.now = seen
        return seen

    def drop(self) -> None:
        self.lost += 1
        self.close()

    def counters(self) -> dict[str, int]:
        return {} if self._agent is None else self._agent.counters()

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()
        self._agent = None


class _Ends:
    """Those of this process, one per file."""

    def __init__(self) -> None:
        self._open: dict[Path, _End] = {}

    def open(self, path: Path, *, patience: float, bottom_up: bool) -> _End:
        """The end at a file, made if there is none. Raises ConfigError for one whose frames were
        asked for the other way up: a file has one agent, and its frames one order."""
        end = self._open.get(path)
        if end is None:
            end = self._open[path] = _End(path, patience, bottom_up)
        elif end.bottom_up != bottom_up:
            raise ConfigError(
                f"bottom_up: {path} is open in this process with {end.bottom_up}: give the same, "
                "or close that game first"
            )
        end.users += 1
        end.patience = patience
        return end

    def close(self, end: _End) -> None:
        end.users -= 1
        if end.users == 0:
            self._open.pop(end.path, None)
            end.close()


_ends = _Ends()


class ResearchShmGame:
    """N games behind shared memory as a BatchGame. They step one after the other's answer: a step
    lasts as long as the slowest."""

    name = "research_shm"
    snapshots = False

    def __init__(self, ends: list[_End], limit: int, hz: float) -> None:
        self.num_envs = len(ends)
        self.frame_rate = self.picture_rate = hz
        self.action_layout = ActionLayout.of(ACTION_SPACE)
        self._ends = ends
        self._limit = limit
        try:
            sizes = {end.agent().size for end in ends}
        except BaseException:
            self.close()
            raise
        if len(sizes) != 1:
            self.close()
            raise ConfigError(
                f"research_shm: games show {sorted(sizes)}, all must have frames of one size"
            )
        (size,) = sizes
        self._seen: list[Seen | None] = [None] * self.num_envs
        self.observation_space = gs.Dict(
            {
                "pixels": gs.Box(0, 255, (*size, 3), np.uint8),
                "dt": gs.Box(0.0, 10.0, (1,), np.float32),
            }
        )
        self._ended: BoolArray = np.zeros(self.num_envs, np.bool_)
        self._sums = EpisodeSums(self.num_envs)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        """Starts an episode in every game; version 1 cannot carry their seeds."""
        check_seeds(seeds, self.num_envs)
        for i in range(self.num_envs):
            self._begin(observation, i)
        self._ended[:] = False
        self._sums.reset()

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        is_reset[:] = self._ended
        terminated[:] = truncated[:] = False
        reward[:] = 0.0
        for i, end in enumerate(self._ends):
            if self._ended[i]:
                self._begin(observation, i)
                continue
            before = self._seen[i]
            seen = end.step(actions[i, :COLUMNS]) if end.owner is self else None
            if seen is None or before is None:
                truncated[i] = True
                if before is not None:
                    self._write(observation, i, before, 0.0)
                continue
            reward[i] = seen.reward if np.isfinite(seen.reward) else 0.0
            terminated[i] = seen.done
            self._write(observation, i, seen, (seen.time_ms - before.time_ms) / 1000.0)
        self._sums.add(reward, is_reset)
        if self._limit:
            truncated |= (self._sums.length >= self._limit) & ~terminated
        np.logical_or(terminated, truncated, out=self._ended)

    def clone_state(self) -> bytes:
        raise GameError("research_shm: a game in another process has no snapshots")

    def restore_state(self, state: bytes) -> None:
        raise GameError("research_shm: a game in another process has no snapshots")

    def episode_info(self) -> Mapping[str, Array]:
        """`lost`: times that a game went away; `torn`, `repeated`: see link/research_shm.py."""
        counts = [end.counters() for end in self._ends]
        told = {
            key: np.array([count.get(key, 0) for count in counts], np.int64)
            for key in ("torn", "repeated")
        }
        lost = np.array([end.lost for end in self._ends], np.int64)
        return {**self._sums.info(), "lost": lost, **told}

    def render(self, index: int) -> Array:
        seen = self._seen[index]
        if seen is None:
            raise GameError("research_shm: nothing to show before the first reset")
        return seen.pixels

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        while self._ends:
            _ends.close(self._ends.pop())

    def _begin(self, observation: Observation, index: int) -> None:
        end = self._ends[index]
        end.owner = self
        self._write(observation, index, end.begin(), 0.0)

    def _write(self, observation: Observation, index: int, seen: Seen, dt: float) -> None:
        self._seen[index] = seen
        for key, array in observation.items():
            if key == "pixels":
                array[index] = seen.pixels
            elif key == "dt":
                array[index] = min(max(dt, 0.0), 10.0)
            else:
                raise ConfigError(f"observation: research_shm has no key {key!r}")


class ResearchShmEnv(BatchEnv):
    """One such game: `gymnasium.make("metabonk/ResearchShm-v0", instance="0")`; settings as for
    `make`."""

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__(make("", 1, **settings), render_mode)

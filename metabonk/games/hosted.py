"""What `metabonk host` can run: a game seen as a process with states, frames and actions.

Knows the arena and ViZDoom and how their moments become GameStates; does not know who plays, over
what, or how fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np

from metabonk import _core
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.doom_worker import TICS_PER_SECOND
from metabonk.games.level import Level
from metabonk.games.source import Flags
from metabonk.protocols import Array, FloatArray
from metabonk.records import ACTION_COLUMNS, GAME_STATE, Action, FieldGroup, GameState

DEATH = "Death"  # the menu that a game without menus shows once it is over


@dataclass(frozen=True)
class Moment:
    """What a game shows after a decision.

    state: a packed GameState. pixels: uint8 [H, W, 3], top row first. reward: of the decision that
    led here. first: of an episode. episode: counts from 1. step: decisions since its beginning.
    returned: sum of the episode's rewards up to here. seconds: of game time in it.
    """

    state: bytes
    pixels: Array
    reward: float
    first: bool
    terminated: bool
    truncated: bool
    episode: int
    step: int
    returned: float
    seconds: float
    menu: str

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated


class Hosted(Protocol):
    """A game that can be run as a process. hz: decisions per second of game time."""

    name: str
    hz: float

    def begin(self, seed: int) -> Moment:
        """The first moment of the first episode of a seed."""

    def step(self, row: FloatArray) -> Moment:
        """The moment after a decision, an Action's row float32 [12]; after an episode's last one
        the first of the next, unless the game's own menus begin it."""

    def close(self) -> None: ...


class _Episodes:
    """Counts episodes and what they are worth; a game that is not told apart by `is_reset` begins
    one when its flags fall."""

    def __init__(self) -> None:
        self.number, self.step, self.returned = 0, 0, 0.0
        self._ended = True

    def add(self, flags: Flags, began: bool) -> bool:
        """Whether the moment is the first of an episode."""
        ended = bool(flags.terminated[0] or flags.truncated[0])
        first = began or bool(flags.is_reset[0]) or (self._ended and not ended)
        if first:
            self.number, self.step, self.returned = self.number + 1, 0, 0.0
        else:
            self.step += 1
            self.returned += float(flags.reward[0])
        self._ended = ended
        return first


class HostedArena:
    """The arena. restart: `auto`, the next decision after an end begins the next episode, as in
    training; `menu`, the run's own menus do, from the main menu on and with pause, as people play.
    """

    name = "arena"

    def __init__(
        self, level: Any, size: tuple[int, int], ticks: int, restart: str = "auto"
    ) -> None:
        from metabonk.games import arena

        chosen = as_played(arena.level_of(level, ticks), restart)
        source = arena.source_of(chosen, pixels=size)
        try:
            batch = _core.arena.Batch(chosen.pack(), 1, 1, *size, 0, restart == "auto")
        except ValueError as error:
            raise ConfigError(f"arena: {error}") from error
        self._game = arena.ArenaGame(source, batch, 1)
        self.hz = self._game.frame_rate
        self._observation = {"pixels": np.zeros((1, *size, 3), np.uint8)}
        self._flags = Flags(1)
        self._episodes = _Episodes()

    def begin(self, seed: int) -> Moment:
        self._flags = Flags(1)
        self._game.reset_into(self._observation, [seed])
        return self._moment(began=True)

    def step(self, row: FloatArray) -> Moment:
        rows = np.ascontiguousarray(row, np.float32)[None]
        self._game.step_into(rows, self._observation, *self._flags.arrays())
        return self._moment(began=False)

    def close(self) -> None:
        self._game.close()

    def _moment(self, began: bool) -> Moment:
        first = self._episodes.add(self._flags, began)
        packed = self._game.batch.game_state(0)  # type: ignore[attr-defined]
        told = np.frombuffer(packed, GAME_STATE)[0]
        return _moment(
            packed,
            self._observation["pixels"][0].copy(),
            self._flags,
            first,
            self._episodes,
            float(told["time"]),
            bytes(told["menu"]).decode("utf-8", "replace"),
        )


class HostedDoom:
    """A scenario of ViZDoom. Its states tell time, and health and position where the scenario has
    them; of actions move, look, fire, jump and interact press the buttons that it has."""

    def __init__(self, scenario: str, size: tuple[int, int], tics: int) -> None:
        from metabonk.games import doom

        self._game = doom.make(scenario, 1, pixels=size, frame_skip=tics)
        self.name = self._game.name
        self.hz = self._game.frame_rate
        self._observation = allocate(self._game.observation_space, 1)
        self._flags = Flags(1)
        self._episodes = _Episodes()
        self._columns = [branch.name for branch in self._game.action_layout.branches]

    def begin(self, seed: int) -> Moment:
        self._flags = Flags(1)
        self._game.reset_into(self._observation, [seed])
        return self._moment(began=True)

    def step(self, row: FloatArray) -> Moment:
        pressed = press(self._columns, Action.from_row(row))
        self._game.step_into(pressed[None], self._observation, *self._flags.arrays())
        return self._moment(began=False)

    def close(self) -> None:
        self._game.close()

    def _moment(self, began: bool) -> Moment:
        first = self._episodes.add(self._flags, began)
        ended = bool(self._flags.terminated[0] or self._flags.truncated[0])
        seconds = self._episodes.step / self.hz
        info = self._game.episode_info()
        told = {key: float(info[key][0]) for key in self._game.variables}
        state = GameState(
            fields=FieldGroup.PLAYER | FieldGroup.MENU,
            dt=0.0 if first else 1.0 / self.hz,
            time=seconds,
            position=(
                told.get("position_x", 0.0),
                told.get("position_y", 0.0),
                told.get("position_z", 0.0),
            ),
            health=max(told.get("health", 100.0), 0.0),
            max_health=100.0,
            playing=not ended,
            menu=DEATH if ended else "None",
        )
        pixels = self._observation["pixels"][0].copy()
        return _moment(
            state.pack(), pixels, self._flags, first, self._episodes, seconds, state.menu
        )


def make_hosted(
    name: str, level: Any, size: tuple[int, int], hz: float, restart: str = "auto"
) -> Hosted:
    """The game `name`, `hz` decisions a second in real time; 0 for as many as it has ticks.

    size: height and width of frames. Raises ConfigError for a rate that does not divide the game's
    ticks, or a game that cannot be hosted.
    """
    kind, _, rest = name.partition("/")
    if kind == "arena" and not rest:
        return HostedArena(level, size, ticks_of(60, hz, name), restart)
    if kind == "doom" and rest:
        if level:
            raise ConfigError(f"level: {name} has none, only the arena has")
        if restart != "auto":
            raise ConfigError(f"restart: {name} has no menus, give auto")
        return HostedDoom(rest, size, ticks_of(TICS_PER_SECOND, hz, name))
    raise ConfigError(f"game: {name!r} cannot be hosted, give arena or doom/<scenario>")


def ticks_of(per_second: int, hz: float, name: str) -> int:
    """Ticks per decision at `hz` decisions a second; 0 is every tick. Raises ConfigError."""
    if hz == 0.0:
        return 1
    ticks = round(per_second / hz) if hz > 0.0 else 0
    if ticks < 1 or ticks > 60 or abs(per_second / ticks - hz) > 0.01 * hz:
        near = ", ".join(f"{per_second / t:.4g}" for t in (1, 2, 3, 4, 5))
        raise ConfigError(
            f"hz: {name} has {per_second} ticks a second, {hz:g} states a second do not divide "
            f"them: give {near} ..."
        )
    return ticks


def as_played(level: Level, restart: str) -> Level:
    """The level with what its way to restart needs; every state that is made is shown."""
    if restart not in ("auto", "menu"):
        raise ConfigError(f"restart: {restart!r}, give auto or menu")
    time = msgspec.structs.replace(level.time, drop_rate=0.0)
    if restart == "auto":
        return msgspec.structs.replace(level, time=time)
    time = msgspec.structs.replace(time, max_ticks=0)
    return msgspec.structs.replace(level, start="main_menu", allow_pause=True, time=time)


def press(columns: list[str], action: Action) -> FloatArray:
    """The row of a Doom scenario whose controls are called `columns` (doom_worker.controls_of)."""
    x, y = action.move
    turn = action.look[0]

    def pair(value: float) -> float:  # 0 none, 1 the first, 2 the second
        return 1.0 if value > 1 / 3 else (2.0 if value < -1 / 3 else 0.0)

    held = {
        "move_forward_backward": pair(y),
        "move_forward": float(y > 1 / 3),
        "move_backward": float(y < -1 / 3),
        "move_left_right": pair(-x),
        "move_left": float(x < -1 / 3),
        "move_right": float(x > 1 / 3),
        "turn_left_right": pair(-turn),
        "turn_left": float(turn < -1 / 3),
        "turn_right": float(turn > 1 / 3),
        "turn_left_right_delta": turn,
        "look_up_down_delta": action.look[1],
        "look_up_down": pair(action.look[1]),
        "move_forward_backward_delta": y,
        "move_left_right_delta": x,
        "attack": float(action.fire),
        "use": float(action.interact),
        "jump": float(action.jump),
        "crouch": float(action.slide),
        "speed": float(action.ability),
    }
    return np.array([held.get(name, 0.0) for name in columns], np.float32)


def neutral() -> FloatArray:
    """The row of an Action that does nothing, float32 [12]."""
    row = np.zeros(ACTION_COLUMNS, np.float32)
    row[10:] = -1.0
    return row


def _moment(
    state: bytes,
    pixels: Array,
    flags: Flags,
    first: bool,
    episodes: _Episodes,
    seconds: float,
    menu: str,
) -> Moment:
    return Moment(
        state=state,
        pixels=pixels,
        reward=0.0 if first else float(flags.reward[0]),
        first=first,
        terminated=bool(flags.terminated[0]) and not first,
        truncated=bool(flags.truncated[0]) and not first,
        episode=episodes.number,
        step=episodes.step,
        returned=episodes.returned,
        seconds=seconds,
        menu=menu,
    )

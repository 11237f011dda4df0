"""A person plays the arena: keyboard, mouse and a window at 60 Hz.

Knows pygame and the arena's batch; the pictures, menus included, are the core's. Mouse positions
become clicks at the same place of the frame, so what is drawn is what is clicked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from metabonk.errors import ConfigError, GameError
from metabonk.games.arena import LevelLike, level_of, make_for_person
from metabonk.games.level import Level
from metabonk.games.source import Flags
from metabonk.play.controls import pairs
from metabonk.play.hands import TICKS_PER_SECOND, Hands, Screen, control_of
from metabonk.play.window import load_pygame
from metabonk.records import GAME_STATE, Action, GameState, Point, Widget

FRAME = (640, 360)  # of a rendered frame, width and height
WINDOW_SCALE = 2
MOST_TICKS = 6  # caught up with after a slow frame; beyond that the game slows down
HELP_SECONDS = 6.0  # that the overlay is shown at the start

_TONES = ((250, 208, 84), (235, 230, 245))  # of inputs and texts


@dataclass(frozen=True)
class Played:
    """What came of it: ticks played, and the last state."""

    ticks: int
    state: GameState


def play(
    level: LevelLike = None,
    seed: int = 0,
    size: tuple[int, int] = FRAME,
    max_seconds: float | None = None,
) -> Played:
    """Opens a window and plays until it is closed, or for `max_seconds` of real time.

    level: as for `metabonk.games.make("arena")`; played from its main menu, one tick a decision,
    with pause allowed. seed: of the run. size: width and height of a rendered frame in pixels,
    8..1920 each; the window shows it enlarged. Raises MissingExtraError without pygame, GameError
    where no window can be opened, ConfigError for a size that cannot be rendered.
    """
    session = Session(level, seed, size)
    began = time.monotonic()
    try:
        while session.frame():
            if max_seconds is not None and time.monotonic() - began >= max_seconds:
                break
        return Played(session.ticks, session.state)
    finally:
        session.close()


def for_people(level: Level) -> Level:
    """The level as a person plays it: from the menu, every tick a decision, nothing hidden."""
    time_ = msgspec.structs.replace(level.time, skip_min=1, skip_max=1, drop_rate=0.0, max_ticks=0)
    return msgspec.structs.replace(
        level, start="main_menu", menus=True, allow_pause=True, time=time_
    )


class Session:
    """One window with one arena. `frame()` handles events, steps and draws once.

    ticks: how many there were. clock, sleep: of real time, in seconds.
    """

    def __init__(
        self,
        level: LevelLike = None,
        seed: int = 0,
        size: tuple[int, int] = FRAME,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not all(8 <= side <= 1920 for side in size):
            raise ConfigError(f"size: {size[0]}x{size[1]}, both sides must be within 8..1920")
        self._pygame = load_pygame()
        self._arena = _Arena(for_people(level_of(level)), seed, size)
        self._size = size
        self._clock = clock
        self._sleep = sleep
        self._hands = Hands(self._pygame)
        self._now = self._arena.screen()
        self.ticks = 0
        self._began = self._due = clock()
        self._help = True
        self._screen = self._open()

    def frame(self) -> bool:
        """One picture: up to MOST_TICKS ticks of what time has passed. False once it is over."""
        if not self._handle_events():
            return False
        now = self._clock()
        self._due = max(self._due, now - MOST_TICKS / TICKS_PER_SECOND)
        ticked = False
        while self._due <= now:
            self._tick()
            self._due += 1.0 / TICKS_PER_SECOND
            ticked = True
        if ticked:
            self._draw()
        self._sleep(max(0.0, min(self._due - self._clock(), 1.0 / TICKS_PER_SECOND)))
        return True

    @property
    def state(self) -> GameState:
        """The game after the last tick."""
        return self._arena.state()

    def close(self) -> None:
        self._arena.close()
        self._pygame.event.set_grab(False)
        self._pygame.display.quit()

    def window_position(self, x: float, y: float) -> tuple[int, int]:
        """Where in the window the point (x, y) of the frame, 0..1, is shown."""
        left, top, width, height = self._picture()
        return round(left + x * width), round(top + y * height)

    def _open(self) -> Any:
        pygame = self._pygame
        try:
            pygame.display.init()
            pygame.font.init()
            window = (self._size[0] * WINDOW_SCALE, self._size[1] * WINDOW_SCALE)
            screen = pygame.display.set_mode(window, pygame.RESIZABLE)
        except pygame.error as error:
            raise GameError(f"no window can be opened: {error}") from error
        pygame.display.set_caption("MetaBonk")
        return screen

    def _handle_events(self) -> bool:
        pygame = self._pygame
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return False
            if event.type == pygame.KEYDOWN and self._is_leaving(event):
                return False
            if event.type == pygame.KEYDOWN and control_of(pygame, event) == "help":
                self._help = not self._help
                self._began = -HELP_SECONDS  # from now on by the key alone
            self._hands.take(event, self._frame_position)
        playing = self._now.playing
        pygame.event.set_grab(playing)
        pygame.mouse.set_visible(not playing)
        return True

    def _is_leaving(self, event: Any) -> bool:
        """Escape in the main menu closes the window."""
        return self._now.menu == "MainMenu" and control_of(self._pygame, event) == "pause"

    def _tick(self) -> None:
        self._now = self._arena.step(self._hands.action(self._now))
        self.ticks += 1

    def _picture(self) -> tuple[int, int, int, int]:
        """Where the frame lies in the window: left, top, width, height; its shape is kept."""
        room = self._screen.get_size()
        scale = min(room[0] / self._size[0], room[1] / self._size[1])
        width, height = int(self._size[0] * scale), int(self._size[1] * scale)
        return (room[0] - width) // 2, (room[1] - height) // 2, width, height

    def _frame_position(self, position: tuple[int, int]) -> Point:
        left, top, width, height = self._picture()
        return (position[0] - left) / max(width, 1), (position[1] - top) / max(height, 1)

    def _draw(self) -> None:
        pygame = self._pygame
        pixels = self._arena.picture()
        surface = pygame.image.frombuffer(pixels, self._size, "RGB")
        left, top, width, height = self._picture()
        self._screen.fill((0, 0, 0))
        self._screen.blit(pygame.transform.scale(surface, (width, height)), (left, top))
        self._draw_pointed(left, top, width, height)
        if self._help and self._shows_help():
            self._draw_help()
        pygame.display.flip()

    def _shows_help(self) -> bool:
        return self._began < 0 or self._clock() - self._began < HELP_SECONDS

    def _draw_pointed(self, left: int, top: int, width: int, height: int) -> None:
        """A frame around the widget under the mouse."""
        if self._now.playing:
            return
        x, y = self._hands.pointer
        for w in self._now.widgets:
            if w.enabled and w.x0 <= x < w.x1 and w.y0 <= y < w.y1:
                corner = (left + w.x0 * width, top + w.y0 * height)
                box = (*corner, (w.x1 - w.x0) * width, (w.y1 - w.y0) * height)
                self._pygame.draw.rect(self._screen, (255, 255, 255), box, 2)

    def _draw_help(self) -> None:
        pygame = self._pygame
        font = pygame.font.Font(None, 22)
        rows = [
            [font.render(t, True, tone) for t, tone in zip(pair, _TONES, strict=True)]
            for pair in pairs()
        ]
        first, second = (max(row[i].get_width() for row in rows) for i in (0, 1))
        panel = pygame.Surface((first + second + 40, 20 * len(rows) + 20), pygame.SRCALPHA)
        panel.fill((16, 10, 28, 200))
        for i, (inputs, text) in enumerate(rows):
            panel.blit(inputs, (12, 10 + 20 * i))
            panel.blit(text, (28 + first, 10 + 20 * i))
        room = self._screen.get_size()
        self._screen.blit(panel, (12, room[1] - panel.get_height() - 12))


class _Arena:
    """One arena that goes on showing its menus after a run has ended."""

    def __init__(self, level: Level, seed: int, size: tuple[int, int]) -> None:
        self._game = make_for_person(level, (size[1], size[0]))
        self._flags = Flags(1).arrays()
        self._game.reset_into({}, [seed])

    def step(self, action: Action) -> Screen:
        self._game.step_into(action.row()[None], {}, *self._flags)
        return self.screen()

    def screen(self) -> Screen:
        record = np.frombuffer(self._game.batch.game_state(0), GAME_STATE)[0]  # type: ignore[attr-defined]
        widgets = [
            Widget(
                x0=float(w["x0"]),
                y0=float(w["y0"]),
                x1=float(w["x1"]),
                y1=float(w["y1"]),
                enabled=bool(w["enabled"]),
                text=w["text"].decode(),
            )
            for w in record["widgets"][: record["widget_count"]]
        ]
        return Screen(record["menu"].decode(), widgets)

    def state(self) -> GameState:
        return self._game.game_state(0)

    def picture(self) -> Any:
        """uint8 [height, width, 3]."""
        return self._game.render(0)

    def close(self) -> None:
        self._game.close()

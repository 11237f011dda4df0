"""A window that shows frames as time passes. Knows pygame; does not know where frames come from."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from metabonk.errors import GameError, MissingExtraError
from metabonk.protocols import Array

DEFAULT_SIZE = (960, 540)


def show(frames: Iterable[Array], fps: float, title: str) -> bool:
    """Shows frames uint8 [H, W, 3] at their rate until they end or the window is closed.

    Escape or Q closes it, space halts and goes on. Returns whether all frames were shown. Raises
    MissingExtraError without pygame, GameError where no window can be opened.
    """
    pygame = require_screen()
    try:
        screen = pygame.display.set_mode(DEFAULT_SIZE, pygame.RESIZABLE)
    except pygame.error as error:
        raise GameError(f"no window can be opened ({error}): make a film, --video FILE") from error
    pygame.display.set_caption(f"{title} - Esc closes, space halts")
    try:
        due = time.monotonic()
        for frame in frames:
            _draw(pygame, screen, frame)
            if not _wait(pygame, due := max(due + 1.0 / fps, time.monotonic() - 0.25)):
                return False
        return True
    finally:
        pygame.display.quit()


def require_screen() -> Any:
    """pygame with its display, once it is sure that a person can see it.

    Raises MissingExtraError without pygame, GameError without a screen.
    """
    pygame = load_pygame()
    try:
        pygame.display.init()
    except pygame.error as error:
        raise GameError(f"there is no screen ({error}): make a film, --video FILE") from error
    if pygame.display.get_driver() == "offscreen":  # what SDL takes where there is no screen
        raise GameError("there is no screen to open a window on: make a film, --video FILE")
    return pygame


def _draw(pygame: Any, screen: Any, frame: Array) -> None:
    """The frame as large as fits, its shape kept, small frames with sharp pixels."""
    height, width = frame.shape[:2]
    room = screen.get_size()
    scale = min(room[0] / width, room[1] / height)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    surface = pygame.surfarray.make_surface(np.swapaxes(frame, 0, 1))
    enlarge = pygame.transform.scale if scale >= 2 else pygame.transform.smoothscale
    screen.fill((0, 0, 0))
    screen.blit(enlarge(surface, size), ((room[0] - size[0]) // 2, (room[1] - size[1]) // 2))
    pygame.display.flip()


def _wait(pygame: Any, until: float) -> bool:
    """Waits until then, or while halted; False if the user wants to leave."""
    halted = False
    while True:
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return False
            if event.type == pygame.KEYDOWN:
                if event.key in (pygame.K_ESCAPE, pygame.K_q):
                    return False
                halted ^= event.key == pygame.K_SPACE
        left = until - time.monotonic()
        if left <= 0 and not halted:
            return True
        time.sleep(min(0.01, max(left, 0.001)))


def load_pygame() -> Any:
    """The module pygame. Raises MissingExtraError where it is not installed."""
    try:
        import pygame
    except ImportError as error:
        raise MissingExtraError("pygame-ce", "games", "a window") from error
    return pygame

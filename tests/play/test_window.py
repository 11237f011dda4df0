"""play/window.py: frames are shown whole, at their rate, until someone leaves."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from metabonk.errors import GameError
from metabonk.play import window

pygame = pytest.importorskip("pygame")


@pytest.fixture
def _dummy_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    pygame.display.quit()
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def frames(count: int) -> list[np.ndarray]:
    return [np.full((45, 80, 3), 5 * i, np.uint8) for i in range(count)]


@pytest.mark.usefixtures("_dummy_screen")
def test_frames_take_their_time_and_fill_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, ...]] = []
    flip = pygame.display.flip

    def look() -> None:
        screen = pygame.display.get_surface()
        shown.append(tuple(screen.get_at((screen.get_width() // 2, screen.get_height() // 2)))[:3])
        flip()

    monkeypatch.setattr(pygame.display, "flip", look)
    began = time.monotonic()
    assert window.show(frames(10), 50.0, "test")
    assert time.monotonic() - began >= 0.18
    assert shown == [(5 * i,) * 3 for i in range(10)]


@pytest.mark.usefixtures("_dummy_screen")
def test_escape_leaves() -> None:
    def leaving() -> object:
        for index, frame in enumerate(frames(50)):
            if index == 3:
                pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))
            yield frame

    assert not window.show(leaving(), 100.0, "test")


def test_without_a_screen_it_says_so() -> None:
    code = (
        "import metabonk.play.window as w\n"
        "try: w.require_screen()\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    environ = {"SDL_VIDEODRIVER": "offscreen", "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    assert f"{GameError.__name__} there is no screen" in done.stdout

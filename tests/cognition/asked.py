"""Questions to ask backends: states, strips of pictures that differ by a number, menus."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import simplejpeg  # type: ignore[import-untyped]

from metabonk.cognition.question import Frame, Question
from metabonk.records import Entity, FieldGroup, GameState, Widget


def jpeg(seed: int) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 255, (36, 64, 3), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(picture, quality=80))


def strip(seed: int = 0, count: int = 9) -> tuple[Frame, ...]:
    times = (-0.3, -0.24, -0.18, -0.12, -0.06, 0.0, 0.05, 0.1, 0.15)[-count:]
    return tuple(Frame(jpeg(seed * 100 + i), t, t > 0) for i, t in enumerate(times))


def question(seed: int = 0, seconds: float = 20.0, **given: Any) -> Question:
    enemies = [Entity(100 + i, 1, position=(float(i), 2.0, 0.0), health=5) for i in range(4)]
    state = GameState(
        fields=FieldGroup.EVERYTHING,
        time=float(seed),
        health=50.0,
        max_health=100.0,
        playing=True,
        entities=enemies,
    )
    values = {"packed": state.pack(), "frames": strip(seed), **given}
    return Question("omega-0", deadline=time.monotonic() + seconds, **values)


def menu(*texts: str) -> bytes:
    widgets = [Widget(0.4, 0.1 * i, 0.6, 0.1 * i + 0.05, True, 0, t) for i, t in enumerate(texts)]
    state = GameState(fields=FieldGroup.EVERYTHING, menu="Main", paused=True, widgets=widgets)
    return state.pack()

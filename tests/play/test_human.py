"""A person at the arena: real window events on a display without a screen."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from metabonk.errors import ConfigError, MissingExtraError, SpecError
from metabonk.games.level import Level
from metabonk.play import controls, human
from metabonk.play.human import Session
from metabonk.records import Widget

pygame = pytest.importorskip("pygame")


@pytest.fixture(autouse=True)
def _no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


class Clock:
    """Time that passes when somebody waits: a test runs as fast as it can, tick for tick."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def session() -> Iterator[Session]:
    clock = Clock()
    opened = Session(None, seed=3, clock=clock, sleep=clock.sleep)
    yield opened
    opened.close()


def frames(session: Session, count: int) -> None:
    for _ in range(count):
        assert session.frame()


def until(session: Session, done: Callable[[], bool], most: int = 30) -> None:
    for _ in range(most):
        if done():
            return
        assert session.frame()
    assert done()


def key(code: int, down: bool) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=code))


def tap(session: Session, code: int) -> None:
    key(code, True)
    frames(session, 2)
    key(code, False)
    frames(session, 2)


def click(session: Session, widget: Widget) -> None:
    middle = (widget.x0 + widget.x1) / 2, (widget.y0 + widget.y1) / 2
    position = session.window_position(*middle)
    for kind in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
        pygame.event.post(pygame.event.Event(kind, button=1, pos=position))
    frames(session, 3)


def named(session: Session, text: str) -> Widget:
    return next(w for w in session.state.widgets if w.text == text)


def start(session: Session) -> None:
    tap(session, pygame.K_2)  # quick start
    until(session, lambda: session.state.menu == "None")


def test_clicks_lead_through_the_menus_into_a_run(session: Session) -> None:
    assert session.state.menu == "MainMenu"
    click(session, named(session, "Play"))
    assert session.state.menu == "CharacterMenu"
    click(session, named(session, "Rogue"))
    assert session.state.menu == "MapMenu"
    click(session, session.state.widgets[1])
    state = session.state
    assert state.menu == "None"
    assert state.tier == 2
    assert state.character == 5


def test_a_click_beside_the_widgets_does_nothing(session: Session) -> None:
    click(session, Widget(x0=0.01, y0=0.96, x1=0.02, y1=0.98))
    assert session.state.menu == "MainMenu"


@pytest.mark.parametrize(("code", "ahead", "aside"), [(pygame.K_w, 1, 0), (pygame.K_LEFT, 0, -1)])
def test_keys_move_the_player(session: Session, code: int, ahead: int, aside: int) -> None:
    start(session)
    before = session.state
    key(code, True)
    frames(session, 45)
    after = session.state
    dx, dy = (after.position[i] - before.position[i] for i in (0, 1))
    forward = dx * math.cos(before.yaw) + dy * math.sin(before.yaw)
    right = dx * math.sin(before.yaw) - dy * math.cos(before.yaw)
    assert forward * ahead + right * aside > 2.0
    assert abs(forward * aside) + abs(right * ahead) < 1.0
    key(code, False)
    frames(session, 30)
    stopped = session.state
    assert math.hypot(*stopped.velocity[:2]) < 0.5


def test_space_jumps(session: Session) -> None:
    start(session)
    until(session, lambda: bool(session.state.grounded), 60)
    key(pygame.K_SPACE, True)
    until(session, lambda: not session.state.grounded, 5)


def test_the_mouse_turns_as_far_as_it_moves(session: Session) -> None:
    start(session)
    before = session.state.yaw
    for _ in range(10):
        pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(10, 0), pos=(5, 5)))
        frames(session, 1)
    frames(session, 5)
    # to the right is clockwise
    assert session.state.yaw - before == pytest.approx(-100 * 0.0035, rel=0.05)
    frames(session, 5)
    assert session.state.yaw - before == pytest.approx(-100 * 0.0035, rel=0.05)


def test_escape_pauses_goes_on_and_leaves(session: Session) -> None:
    start(session)
    time = session.state.time
    tap(session, pygame.K_ESCAPE)
    assert session.state.menu == "Pause"
    paused = session.state.time
    frames(session, 10)
    assert session.state.time == paused >= time
    tap(session, pygame.K_ESCAPE)
    assert session.state.menu == "None"
    tap(session, pygame.K_ESCAPE)
    click(session, named(session, "Give up"))
    assert session.state.menu == "Death"  # and it stays: no other run begins by itself
    frames(session, 20)
    click(session, named(session, "Main menu"))
    assert session.state.menu == "MainMenu"
    key(pygame.K_ESCAPE, True)
    assert not session.frame()


def test_closing_the_window_ends_it(session: Session) -> None:
    frames(session, 2)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert not session.frame()


def test_ticks_keep_to_real_time(session: Session) -> None:
    clock = session._clock
    assert isinstance(clock, Clock)
    began, ticks = clock.now, session.ticks
    frames(session, 50)
    assert session.ticks - ticks == pytest.approx((clock.now - began) * 60, abs=2)
    clock.now += 10.0  # a long halt is not caught up with
    ticks = session.ticks
    frames(session, 1)
    assert 1 <= session.ticks - ticks <= 8


def shown(session: Session) -> np.ndarray:
    return np.swapaxes(pygame.surfarray.array3d(pygame.display.get_surface()), 0, 1)


def test_the_window_shows_the_frame_enlarged(session: Session) -> None:
    tap(session, pygame.K_F1)  # without the overlay
    frames(session, 1)
    window = shown(session)
    assert window.shape == (720, 1280, 3)
    frame = session._arena.picture()
    assert np.array_equal(window[::2, ::2], frame)
    assert np.array_equal(window[1::2, 1::2], frame)
    assert frame.std() > 10


def test_the_overlay_lists_every_control(session: Session) -> None:
    frames(session, 2)
    with_help = shown(session)
    tap(session, pygame.K_F1)
    assert not np.array_equal(shown(session), with_help)
    text = "\n".join(controls.lines())
    for control in controls.CONTROLS:
        assert control.text in text


def test_every_input_of_the_table_exists(session: Session) -> None:
    for name in controls.NAME_OF_INPUT:
        if not name.startswith("mouse"):
            assert pygame.key.name(pygame.key.key_code(name)) == name
    assert len(controls.NAME_OF_INPUT) == sum(len(c.inputs) for c in controls.CONTROLS)


def test_what_points_at_a_widget_frames_it(session: Session) -> None:
    tap(session, pygame.K_F1)
    before = shown(session)
    widget = named(session, "Play")
    position = session.window_position((widget.x0 + widget.x1) / 2, (widget.y0 + widget.y1) / 2)
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, rel=(1, 1), pos=position))
    frames(session, 2)
    x, y = session.window_position(widget.x0, (widget.y0 + widget.y1) / 2)
    assert tuple(shown(session)[y, x]) == (255, 255, 255)
    assert tuple(before[y, x]) != (255, 255, 255)


def test_play_runs_in_real_time_and_returns_the_last_state() -> None:
    began = time.monotonic()
    played = human.play(seed=1, size=(160, 90), max_seconds=0.4)
    assert played.state.menu == "MainMenu"
    assert 1 < played.ticks <= 60 * (time.monotonic() - began) + 1


def test_levels_are_played_tick_by_tick_from_the_menu() -> None:
    level = human.for_people(Level(tier=3))
    assert (level.time.skip_min, level.time.skip_max, level.start) == (1, 1, "main_menu")
    assert level.tier == 3
    with pytest.raises(SpecError):
        human.play({"tier": 9}, max_seconds=0.1)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be within"):
        human.play(size=(4, 90), max_seconds=0.1)


def test_without_pygame_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingExtraError, match=r"\binstall .*games"):
        human.play(max_seconds=0.1)

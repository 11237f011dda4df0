"""Pictures of screens: which are of another one, and what merely moves behind their buttons."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from metabonk.cognition.menus.goal import Goal
from metabonk.cognition.menus.navigator import Navigator
from metabonk.cognition.menus.scenery import Scenery
from metabonk.cognition.question import Press
from metabonk.protocols import Array
from metabonk.records import FieldGroup, GameState

MAIN = GameState(fields=FieldGroup.MENU, menu="Main")  # a menu that is known by pictures alone
RATE = 30  # looks a second
Scene = Callable[[float], Array]


def walks(seconds: float) -> Array:
    """Posts pass by: what is seen through a window of a train."""
    columns = np.arange(320) + 160.0 * seconds
    row = np.where(columns // 40 % 2, 60, 160).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (180, 320, 3)).copy()


def turns(seconds: float) -> Array:
    """Light that goes round, once in three seconds."""
    y, x = np.mgrid[-90:90, -160:160]
    light = 120.0 + 100.0 * np.sin(np.arctan2(y, x) - 2.0 * np.pi * seconds / 3.0)
    return np.repeat(light.astype(np.uint8)[..., None], 3, 2)


def drifts(seconds: float) -> Array:
    """A sky that grows lighter: by more than what makes another screen, in three seconds."""
    sky = np.linspace(20, 60, 180) + 4.0 * seconds
    return np.broadcast_to(sky.astype(np.uint8)[:, None, None], (180, 320, 3)).copy()


def panel(scene: Array, buttons: tuple[int, ...]) -> Array:
    """A scene with a menu's buttons before it, in the middle third."""
    scene[20:160, 100:220] = 30
    for button in buttons:
        scene[button : button + 20, 115:205] = 220
    return scene


def others(picture: Scene, seconds: float) -> list[float]:
    """When another screen was seen."""
    scenery = Scenery()
    times = [tick / RATE for tick in range(round(RATE * seconds))]
    return [now for now in times if scenery.look(now, picture(now))]


@pytest.mark.parametrize("scene", [walks, turns, drifts])
def test_what_moves_behind_the_buttons_is_soon_no_other_screen(scene: Scene) -> None:
    found = others(lambda now: panel(scene(now), (40, 80, 120)), 20.0)
    assert all(now < 2.5 for now in found)
    # The control: before anything is known of it, it was taken for one.
    assert bool(found) is (scene is not drifts)


@pytest.mark.parametrize("scene", [walks, turns, drifts])
def test_other_buttons_before_it_are_another_one(scene: Scene) -> None:
    def opens(now: float) -> Array:
        return panel(scene(now), (40, 80, 120) if now < 10.0 else (25, 60, 100, 137))

    assert [now for now in others(opens, 20.0) if now > 2.5] == [10.0]


def test_a_screen_that_fades_in_is_seen() -> None:
    seconds = 0.5
    before = panel(drifts(0.0), (40, 80, 120)).astype(np.float32)
    after = panel(drifts(9.0), (25, 60, 100, 137)).astype(np.float32)

    def fades(now: float) -> Array:
        share = float(np.clip((now - 5.0) / seconds, 0.0, 1.0))
        return np.asarray(before + share * (after - before), np.uint8)

    found = others(fades, 10.0)
    assert found
    assert all(5.0 < now <= 5.0 + seconds for now in found)


def test_a_menu_after_a_picture_that_moves_everywhere_is_another_one() -> None:
    """A title's film: nothing of it is still, and what ends it says so by standing still."""
    menu = panel(drifts(0.0), (40, 80, 120))
    found = others(lambda now: walks(now) if now < 10.0 else menu, 20.0)
    (noticed,) = [now for now in found if now > 2.5]
    assert 10.0 < noticed <= 11.5


def test_screens_that_fade_in_one_after_the_other_are_all_seen() -> None:
    first, second = (
        panel(drifts(9.0 * i), buttons).astype(np.float32)
        for i, buttons in enumerate([(40, 80, 120), (25, 60, 100, 137)])
    )
    for between in (1.0, 1.5, 2.5):

        def fades(now: float, between: float = between) -> Array:
            number, since = divmod(now, between)
            share = min(1.0, since / 0.5)
            old, new = (second, first) if number % 2 else (first, second)
            return np.asarray(old + share * (new - old), np.uint8)

        found = others(fades, 12.0)
        seen = {int(now // between) for now in found}
        assert seen == set(range(math.ceil(12.0 / between))), between


@pytest.mark.parametrize("between", [0.4, 0.8, 1.0])
def test_cuts_between_rare_looks_are_all_seen(between: float) -> None:
    scenery = Scenery()
    pictures = [panel(drifts(0.0), b) for b in ((40, 80, 120), (25, 60, 100, 137))]
    found = [scenery.look(i * between, pictures[i // 2 % 2]) for i in range(24)]
    assert found == [i > 0 and i % 2 == 0 for i in range(24)]


def test_what_changes_bit_by_bit_is_another_screen_in_the_end() -> None:
    """Rows of a list that come one after the other."""

    def fills(now: float) -> Array:
        rows = tuple(25 + 28 * i for i in range(min(5, int(now))))
        return panel(drifts(0.0), rows)

    assert others(fills, 8.0)


def test_a_scene_that_stands_still_again_counts_again() -> None:
    def stops(now: float) -> Array:
        return walks(min(now, 10.0) if now < 18.0 else 0.25)

    *stopped, moved = (now for now in others(stops, 20.0) if now > 2.5)
    assert stopped
    assert all(11.0 <= now < 11.5 for now in stopped)
    assert moved == 18.0


def test_rare_looks_are_compared_with_the_last_one() -> None:
    scenery = Scenery()
    pictures = [panel(drifts(0.0), b) for b in ((40, 80), (40, 80), (20, 60, 100), (20, 60, 100))]
    found = [scenery.look(5.0 * i, picture) for i, picture in enumerate(pictures)]
    assert found == [False, False, True, False]
    scenery.forget()
    assert not scenery.look(20.0, pictures[0])


def presses(scene: Scene, changes: bool) -> int:
    """Of twelve seconds, by a model that answers two seconds late. changes: the buttons become
    others every second."""
    asked: list[float] = []
    now, pressed = 0.0, 0
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(now), patience=60.0)
    for tick in range(RATE * 12):
        now = tick / RATE
        if asked and now - asked[0] >= 2.0:
            navigator.answered(Press("click_xy", 0, 0.5, 0.3), asked.pop(0))
        odd = changes and int(now) % 2
        shown = panel(scene(now), (25, 60, 100, 137) if odd else (40, 80, 120))
        pressed += navigator.look(MAIN, now, shown).press.kind == "click_xy"
    return pressed


@pytest.mark.parametrize("scene", [walks, turns, drifts])
def test_an_answer_finds_its_screen_though_the_scene_goes_on(scene: Scene) -> None:
    assert presses(scene, changes=False) >= 3
    assert presses(scene, changes=True) == 0

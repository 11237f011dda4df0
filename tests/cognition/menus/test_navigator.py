"""The navigator at work: with and without a model, on the arena's menus in random layouts."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from metabonk.cognition.menus.goal import Goal
from metabonk.cognition.menus.menu import NOOP, Screen, allowed
from metabonk.cognition.menus.navigator import PATIENCE, STUBBORN, Navigator, NavigatorCounts
from metabonk.cognition.menus.screens import Debounced, MenuClassifier
from metabonk.cognition.question import Press
from metabonk.games import arena
from metabonk.games.menu_layouts import MenuLayout
from metabonk.protocols import Array
from metabonk.records import Action, FieldGroup, GameState, Offer, Widget

TICK = 1 / 60
CHOICE, CLICK = 9, slice(10, 12)  # columns of an arena's action row

Model = Callable[[Screen], Press | None]


def menu_state(*texts: str, name: str = "MainMenu") -> GameState:
    widgets = [Widget(0.1, 0.1 * i, 0.9, 0.1 * i + 0.08, True, 0, t) for i, t in enumerate(texts)]
    fields = FieldGroup.PLAYER | FieldGroup.MENU | FieldGroup.WIDGETS
    return GameState(fields=fields, menu=name, widgets=widgets)


PLAYING = GameState(fields=FieldGroup.PLAYER | FieldGroup.MENU, playing=True, menu="None")


class Played:
    """A layout, its navigator and a model that answers `late` ticks later."""

    def __init__(self, seed: int, model: Model | None, late: int = 0) -> None:
        self.layout = MenuLayout(seed)
        self.goal = Goal.read(self.layout.goal)
        self.navigator = Navigator(self.goal, ask=self._asked if model else None)
        self.pressed: list[str] = []
        self._model, self._late = model, late
        self._waiting: list[tuple[int, float, Press | None]] = []
        self._tick = 0

    def _asked(self) -> None:
        assert self._model is not None
        answer = self._model(Screen.of(self.layout.state))
        self._waiting.append((self._tick + self._late, self._tick * TICK, answer))

    def run(self, ticks: int = 6000) -> bool:
        """Whether the wanted run began."""
        try:
            while self._tick < ticks and not self.layout.running and not self.layout.trapped:
                self.step()
            return self.layout.reached
        finally:
            self.layout.close()

    def step(self) -> None:
        for due in [w for w in self._waiting if w[0] <= self._tick]:
            self._waiting.remove(due)
            self.navigator.answered(due[2], due[1])
        step = self.navigator.look(self.layout.state, self._tick * TICK)
        assert step.active != self.layout.running
        if step.press.kind == "click":
            self.pressed.append(step.press.text)
        self.layout.step(Action(choice=step.press.choice))
        self._tick += 1


def by_text(goal: Goal) -> Model:
    from metabonk.cognition.menus.menu import MenuRules

    rules = MenuRules()
    return lambda screen: rules.press("model", goal, screen)


def test_without_a_model_texts_lead_to_the_run() -> None:
    assert all(Played(seed, None).run() for seed in range(20))


def test_a_model_leads_to_the_run_and_is_asked_once_per_screen() -> None:
    for seed in range(20):
        goal = Goal.read(_goal_of(seed))
        played = Played(seed, by_text(goal), late=20)
        assert played.run()
        counts = played.navigator.counts
        assert counts.asked == counts.presses == len(played.pressed)
        assert counts.fallbacks == counts.refused == 0


def test_garbage_of_a_model_is_refused_and_texts_lead_on() -> None:
    def garbage(screen: Screen) -> Press:
        return Press("click", 99)

    played = Played(3, garbage, late=2)
    assert played.run()
    assert played.navigator.counts.refused > 0
    assert played.navigator.counts.fallbacks == played.navigator.counts.presses


def test_a_model_that_wants_to_quit_never_does() -> None:
    def quit_it(screen: Screen) -> Press:
        bad = [i for i, w in enumerate(screen.widgets, 1) if not allowed(Goal.read(""), w.text)]
        return Press("click", bad[0]) if bad else NOOP

    traps = 0
    for seed in range(30):
        played = Played(seed, quit_it)
        texts = [w.text for w in played.layout.state.widgets]
        traps += any(not allowed(played.goal, text) for text in texts)
        assert played.run()
        assert not played.layout.trapped
    assert traps > 5  # else nothing was tempting


def test_a_model_that_waits_for_ever_or_is_not_there_is_done_without() -> None:
    for model in (lambda _: NOOP, lambda _: None):
        played = Played(4, model)
        assert played.run()
        assert played.navigator.counts.fallbacks > 0
    silent = Played(4, by_text(Goal.read(_goal_of(4))), late=10**9)
    assert silent.run(20_000)
    assert silent.navigator.counts.fallbacks == silent.navigator.counts.presses


def test_a_model_that_goes_in_circles_is_done_without() -> None:
    asked = []
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(1), settle=0.1)
    shown = menu_state("Settings", "Play")
    pressed, now = [], 0.0
    for _ in range(400):
        step = navigator.look(shown, now)
        if step.press.kind == "click":
            pressed.append(step.press.text)
        if len(asked) > len(pressed):
            navigator.answered(Press("click", 1), now)
        now += TICK
        if pressed.count("Play"):
            break
    assert pressed == ["Settings"] * STUBBORN + ["Play"]


def test_an_answer_about_a_screen_that_is_gone_is_not_carried_out() -> None:
    asked = []
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(1))
    navigator.look(menu_state("Play", "Settings"), 0.0)
    navigator.look(menu_state("Alpha", "Beta", name="Other"), 1.0)
    navigator.answered(Press("click", 1), 0.0)
    assert navigator.counts.stale == 1
    assert navigator.look(menu_state("Alpha", "Beta", name="Other"), 1.1).press == NOOP
    assert len(asked) == 2  # about what is shown now
    navigator.answered(Press("click", 2), 1.1)
    assert navigator.look(menu_state("Alpha", "Beta", name="Other"), 1.2).press.text == "Beta"


def test_a_question_that_brought_nothing_is_not_waited_for_on_another_screen() -> None:
    """As where its run ended, or the server refused it, just before that screen came."""
    asked: list[float] = []
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(now))
    other = menu_state("Alpha", "Beta", name="Other")
    now = 0.0
    navigator.look(menu_state("Play", "Settings"), now)
    navigator.answered(None, now)
    now = 1.0
    assert navigator.look(other, now).press == NOOP
    assert asked == [0.0, 1.0]
    navigator.answered(Press("click", 2), now)
    assert navigator.look(other, 1.1).press.text == "Beta"
    assert navigator.counts.fallbacks == 0


def test_nor_is_it_after_a_while_on_a_menu_of_pictures() -> None:
    """Where it is shown again it is asked about after a while, not at every look."""
    asked: list[float] = []
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(now))
    dark, light = (np.full((60, 80, 3), value, np.uint8) for value in (20, 200))
    for tick in range(30):
        now = tick / 30
        navigator.look(MAIN, now, dark)
        if tick == 0:
            navigator.answered(None, now)
    assert asked == [0.0]
    now = 1.0
    navigator.look(MAIN, now, light)
    assert asked == [0.0, 1.0]


def test_an_answer_is_not_carried_out_where_its_place_is_another_buttons() -> None:
    navigator = Navigator(Goal.read("start"), ask=lambda: None)
    navigator.look(menu_state("Play", "Settings"), 0.0)
    navigator.look(menu_state("Settings", "Play"), 1.0)
    assert not navigator.answered(Press("click", 1), 0.0)
    assert navigator.look(menu_state("Settings", "Play"), 1.1).press == NOOP


def test_a_press_goes_out_once_and_again_only_if_nothing_came_of_it() -> None:
    navigator = Navigator(Goal.read("start"), settle=0.5)
    shown = menu_state("Play")
    pressed = [k * TICK for k in range(64) if navigator.look(shown, k * TICK).press.kind == "click"]
    assert len(pressed) == 3
    assert min(np.diff(pressed)) >= 0.5


def test_active_from_the_menu_until_the_game_runs() -> None:
    navigator = Navigator(Goal.read("Fox"))
    assert not navigator.look(PLAYING, 0.0).active
    assert navigator.look(menu_state("Play"), 0.1).active
    assert not navigator.look(PLAYING, 0.2).active
    counts = navigator.counts
    assert (counts.menus, counts.reached, counts.unmet) == (1, 1, 1)  # no menu had a Fox


def test_offers_are_left_to_the_policy_unless_asked_for() -> None:
    shown = menu_state("Sword", "Bow", name="LevelUp")
    shown.widgets[0].offer, shown.widgets[1].offer = 1, 2
    shown.offers = [Offer(rarity=0), Offer(rarity=3)]
    assert not Navigator(Goal.read("")).look(shown, 0.0).active
    assert Navigator(Goal.read(""), offers=True).look(shown, 0.0).press.text == "Bow"


class Says:
    """A classifier that says what it is told."""

    def __init__(self) -> None:
        self.menu = False

    def is_menu(self, frame: object) -> bool:
        return self.menu


def test_with_pixels_only_the_classifier_says_whether_a_menu_is_open() -> None:
    says = Says()
    asked = []
    classifier: MenuClassifier = says  # type: ignore[assignment]
    navigator = Navigator(
        Goal.read("start"), ask=lambda: asked.append(1), classifier=Debounced(classifier, 2)
    )
    nothing, frame = GameState(), np.zeros((60, 80, 3), np.uint8)
    assert not navigator.look(nothing, 0.0, frame).active
    says.menu = True
    assert not navigator.look(nothing, 0.1, frame).active  # one frame is a flash
    assert navigator.look(nothing, 0.2, frame).active
    navigator.answered(Press("click_xy", 0, 0.25, 0.75), 0.2)
    step = navigator.look(nothing, 0.3, frame)
    assert (step.press.kind, step.press.x, step.press.y) == ("click_xy", 0.25, 0.75)
    says.menu = False
    navigator.look(nothing, 0.4, frame)
    assert not navigator.look(nothing, 0.5, frame).active
    assert not Navigator(Goal.read("")).look(nothing, 0.0, frame).active  # nobody can tell


MAIN = GameState(fields=FieldGroup.MENU, menu="Main")  # a menu that is known by pictures alone


class Watched:
    """A menu of pictures, at 30 looks a second, and a model that answers `late` seconds later."""

    def __init__(self, picture: Callable[[int], Array], late: float = 1.0) -> None:
        self.navigator = Navigator(Goal.read("start"), ask=self._asked)
        self.pressed: list[float] = []
        self._picture, self._late = picture, late
        self._waiting: list[float] = []
        self._now = 0.0

    def _asked(self) -> None:
        self._waiting.append(self._now)

    def run(self, seconds: float, state: GameState = MAIN) -> NavigatorCounts:
        for tick in range(round(30 * seconds)):
            self._now = tick / 30
            while self._waiting and self._now - self._waiting[0] >= self._late:
                place = Press("click_xy", 0, 0.5, 0.05)
                self.navigator.answered(place, self._waiting.pop(0))
            step = self.navigator.look(state, self._now, self._picture(tick))
            assert step.active
            if step.press.kind != "noop":
                self.pressed.append(self._now)
        return self.navigator.counts


def screens_of(size: tuple[int, int]) -> list[tuple[str, Array]]:
    """The arena's menus as they are drawn, each with its name, with and without what is chosen."""
    game = arena.make("", 1, level="main_menu", threads=1)
    rows, reward = np.zeros((1, 12), np.float32), np.zeros(1, np.float32)
    rows[:, CLICK] = -1.0
    observation = {"dt": np.zeros((1, 1), np.float32)}
    ends = [np.zeros(1, np.bool_) for _ in range(3)]
    game.reset_into(observation, [1])
    found = []
    for choice in (0, 1, 0, 0, 3, 0, 0):
        rows[0, CHOICE] = choice
        game.step_into(rows, observation, reward, *ends)
        found.append((game.game_state(0).menu, np.array(game.batch.render(0, *size))))
    game.close()
    return found


@pytest.mark.parametrize("size", [(360, 640), (120, 160)])
def test_noise_and_what_blinks_are_no_other_screen(size: tuple[int, int]) -> None:
    random, still = np.random.default_rng(0), screens_of(size)[0][1]
    height, width = size

    def noisy(_: int) -> Array:
        moved = still.astype(np.int16) + random.integers(-4, 5, still.shape)
        return np.asarray(moved.clip(0, 255), np.uint8)

    def blinking(tick: int) -> Array:
        shown = still.copy()
        if tick // 10 % 2:
            shown[7 * height // 10 : 8 * height // 10, 7 * width // 20 : 13 * width // 20] ^= 0x80
        return shown

    for picture in (noisy, blinking):
        counts = Watched(picture).run(10.0)
        assert counts.stale == 0
        assert counts.presses >= max(6, counts.asked - 1)


@pytest.mark.parametrize("size", [(360, 640), (120, 160), (84, 84)])
def test_other_menus_are_other_screens(size: tuple[int, int]) -> None:
    """An answer about one of the arena's menus presses nothing on another one."""
    screens = screens_of(size)
    names = [name for name, _ in screens]
    assert {"MainMenu", "CharacterMenu", "MapMenu"} <= set(names)
    for (name, before), (other, after) in itertools.permutations(screens, 2):
        if name == other:
            continue
        navigator = Navigator(Goal.read("start"), ask=lambda: None)
        navigator.look(MAIN, 0.0, before)
        navigator.look(MAIN, 1.0, after)
        assert not navigator.answered(Press("click_xy", 0, 0.5, 0.5), 0.0), (name, other)
        assert navigator.look(MAIN, 1.1, after).press == NOOP


def test_a_picture_that_stands_still_is_pressed_on_again_and_again() -> None:
    """Where there is nothing to read the next answer is the only way on."""
    still = np.full((60, 80, 3), 90, np.uint8)
    counts = Watched(lambda _: still).run(30.0)
    assert counts.presses >= max(4 * STUBBORN, counts.asked - 1)


def test_texts_lead_on_where_every_answer_comes_too_late_for_its_screen() -> None:
    """A clock among the buttons: every answer is about a screen that is gone."""
    asked: list[float] = []
    navigator = Navigator(Goal.read("start"), ask=lambda: asked.append(now))
    pressed = []
    for tick in range(30 * 10):
        now = tick / 30
        if asked and now - asked[0] >= 1.0:
            navigator.answered(Press("click", 1), asked.pop(0))
        step = navigator.look(menu_state("Settings", "Play", f"0:{tick // 15:02}"), now)
        if step.press.kind == "click":
            pressed.append((step.press.text, now))
    assert navigator.counts.stale >= 6
    assert pressed[0][0] == "Play"
    assert pressed[0][1] == pytest.approx(PATIENCE)
    assert len(pressed) == navigator.counts.fallbacks >= 2


def _goal_of(seed: int) -> str:
    layout = MenuLayout(seed)
    layout.close()
    return layout.goal

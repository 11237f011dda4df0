"""games/bonklink.py against plugins that tell states and nothing else: no rewards and no ends, in
Unity's axes; one takes no resets, the other does, as in the real game."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from metabonk import games, machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk.errors import GameError
from metabonk.games.batch import allocate
from metabonk.games.source import Flags
from metabonk.link.bonklink import Arrival, Reset, Server
from metabonk.link.wire import Capability, InputSnapshot
from metabonk.records import Action, Entity, FieldGroup, GameState, Widget

REWARD = {"level": {"reward": {"alive": 1.0, "damage_taken": -1.0, "death": -10.0, "level": 5.0}}}
FRAME = np.zeros((36, 64, 3), np.uint8)  # v1's clicks are pixels of it
HUMAN = InputSnapshot((0.5, -0.5), (0.0, 1.0), True, False, True, True, (0.25, 0.75))
IDLE = HUMAN._replace(ui_click=False, click=(0.0, 0.0))


def playing(time: float, health: float = 50.0, **more: Any) -> GameState:
    told = {
        "fields": FieldGroup.EVERYTHING,
        "position": (1.0, 2.0, 3.0),
        "max_health": 100.0,
        "playing": True,
        "menu": "Gameplay",
    }
    enemies = [Entity(position=(4.0, 5.0, 6.0), health=7.0)]
    return GameState(time=time, health=health, entities=enemies, **{**told, **more})


@contextmanager
def plugin(
    script: Callable[[int, Action | None], GameState | None],
    protocol: str = "v1",
    person: Callable[[int], InputSnapshot] = lambda number: HUMAN,
) -> Iterator[int]:
    """A plugin that shows `script(number, newest action)`, one state per answer, and what `person`
    does then."""
    capabilities = Capability.EXTRA | Capability.INPUT if protocol != "v1" else Capability(0)
    server = Server(
        "tcp://127.0.0.1:0",
        protocol=protocol,  # type: ignore[arg-type]
        axes="unity",
        extra_in_v1=False,
        capabilities=capabilities,
    )
    over = threading.Event()

    def play() -> None:
        number, connection, action = 0, 0, None
        while not over.is_set():
            if server.connected and server.connection != connection:
                connection = server.connection
                server.send(script(number, None) or playing(0.0), FRAME, input=person(number))
            got = server.poll(0.02)
            if isinstance(got, Arrival):
                action = Action.from_row(got.row)
                state = script(number + 1, action)
                if state is not None:
                    number += 1
                    server.send(state, FRAME, input=person(number))

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield int(server.address.rpartition(":")[2])
    finally:
        over.set()
        thread.join()
        server.close()


def step(game: Any, observation: dict[str, np.ndarray], **what: Any) -> Flags:
    flags = Flags(1)
    game.step_into(Action(**what).row()[None], observation, *flags.arrays())
    return flags


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_run_is_followed_by_its_states_alone(protocol: str) -> None:
    pressed: list[Action] = []

    def script(number: int, action: Action | None) -> GameState | None:
        told = [
            playing(1.0),
            playing(1.5, 30.0),
            playing(2.0, 40.0, menu="LevelUp"),
            playing(2.0, 40.0, playing=False, menu="LevelUp"),  # as some plugins say it
            playing(2.5, 40.0),
            playing(3.0, 0.0, playing=False, menu="Death"),
        ]
        if number < len(told):
            return told[number]
        if number == len(told) and action is not None:  # the run begins by a press
            pressed.append(action)
            if action.click is None and not action.choice:
                return None
            return playing(0.1)
        return playing(0.1 + 0.5 * (number - len(told)))

    with plugin(script, protocol) as port:
        game = games.make("bonklink", 1, port=port, protocol=protocol, **REWARD)
        observation = allocate(game.observation_space, 1)
        game.reset_into(observation, [0])
        state = game.game_state(0)
        assert state.position == (1.0, 2.0, 3.0)  # through Unity's axes and back
        assert state.entities[0].position == (4.0, 5.0, 6.0)
        if protocol == "v1":
            assert state.fields & FieldGroup.EVERYTHING != FieldGroup.EVERYTHING
        inputs = game.inputs()[0]
        assert inputs[:4].tolist() == [0.5, -0.5, 0.0, 1.0]
        assert inputs[6:9].tolist() == [1.0, 1.0, 0.0]
        assert inputs[10:].tolist() == [0.25, 0.75]
        assert np.isnan(inputs[[4, 5, 9]]).all()
        rewards = []
        for expected_end in (False, False, False, False, True):
            flags = step(game, observation)
            rewards.append(float(flags.reward[0]))
            assert flags.terminated[0] == expected_end
            assert not flags.truncated[0]
        # half a second and 20 health; half a second and a level; nothing; half a second; death
        level = 5.0 if protocol == "v1" else 0.0  # where levels are carried, they are looked at
        assert rewards == pytest.approx([0.5 - 20.0, 0.5 + level, 0.0, 0.5, 0.5 - 40.0 - 10.0])
        flags = step(game, observation)
        assert flags.is_reset[0]
        assert flags.reward[0] == 0.0
        assert game.game_state(0).time == pytest.approx(0.1)
        assert any(action.click or action.choice for action in pressed)
        flags = step(game, observation)
        assert flags.reward[0] == pytest.approx(0.5)
        assert game.episode_info()["lost"][0] == 0
        game.close()


def test_a_run_that_begins_anew_unasked_ends_the_episode_as_truncated() -> None:
    times = [5.0, 5.5, 0.1, 0.6]

    def script(number: int, action: Action | None) -> GameState:
        return playing(times[number] if number < len(times) else 0.6 + 0.5 * (number - 3))

    with plugin(script) as port:
        game = games.make("bonklink", 1, port=port, protocol="v1", **REWARD)
        observation = allocate(game.observation_space, 1)
        game.reset_into(observation, [0])
        assert step(game, observation).reward[0] == pytest.approx(0.5)
        flags = step(game, observation)
        assert flags.truncated[0]
        assert flags.reward[0] == 0.0
        assert game.game_state(0).time == 5.5  # the last of that run
        flags = step(game, observation)
        assert flags.is_reset[0]
        assert game.game_state(0).time == pytest.approx(0.1)
        assert step(game, observation).reward[0] == pytest.approx(0.5)
        game.close()


def test_several_states_are_one_decision() -> None:
    with plugin(lambda number, action: playing(float(number))) as port:
        game = games.make("bonklink", 1, port=port, protocol="v1", frame_skip=3, **REWARD)
        observation = allocate(game.observation_space, 1)
        game.reset_into(observation, [0])
        for expected in (3.0, 6.0):
            flags = step(game, observation)
            assert flags.reward[0] == pytest.approx(3.0)
            assert game.game_state(0).time == expected
            assert observation["dt"][0, 0] == pytest.approx(3.0)
        game.close()


@pytest.mark.parametrize("skip", [1, 3])
def test_a_press_of_the_person_is_one_click_with_its_place(skip: int) -> None:
    """However long it is held; two presses are two, and one without a place is none."""
    here, there = HUMAN, HUMAN._replace(click=(0.5, 0.5))
    nowhere = HUMAN._replace(click=(float("nan"), 2.0))
    told = [IDLE, here, here, here, IDLE, here, there, there, nowhere, IDLE, IDLE, IDLE, IDLE]

    def person(number: int) -> InputSnapshot:
        return told[min(number, len(told) - 1)]

    with plugin(lambda number, action: playing(float(number)), person=person) as port:
        game = games.make("bonklink", 1, port=port, protocol="v1", frame_skip=skip, **REWARD)
        observation = allocate(game.observation_space, 1)
        game.reset_into(observation, [0])
        clicks = [tuple(game.inputs()[0, 10:].tolist())]
        for _ in range(12 // skip):
            step(game, observation)
            clicks.append(tuple(game.inputs()[0, 10:].tolist()))
        assert game.inputs()[0, 0] == 0.5  # the rest is told all along
        game.close()
    none, one, two = (-1.0, -1.0), (0.25, 0.75), (0.5, 0.5)
    # The first three, and the one after a pause; then elsewhere.
    expected = {
        1: [none, one, none, none, none, one, two, *[none] * 6],
        3: [none, one, two, none, none],
    }
    assert clicks == expected[skip]


class RealTime:
    """A game in its main menu, which goes on by itself and is told by a plugin that offers RESET
    and says no STEP. There is no player in the main menu: no health, no clock, and nothing that
    RESET could begin anew. heeds: what reaches it. speed: of its clock. buttons: of its main menu,
    of which the last one begins a run."""

    def __init__(
        self,
        heeds: tuple[str, ...] = ("press", "reset"),
        speed: float = 1.0,
        buttons: tuple[str, ...] = ("Settings", "Start"),
    ) -> None:
        self.seeds: list[int | None] = []  # of the runs that RESET began
        self.pressed: set[str] = set()
        self._buttons = buttons
        self.begun = self.refused = self.shown = 0
        self._heeds, self._speed = heeds, speed
        self._time: float | None = None

    def leave(self) -> None:
        self._time = None

    def reset(self, seed: int | None) -> None:
        if self._time is None or "reset" not in self._heeds:
            self.refused += 1
            return
        self.seeds.append(seed)
        self._time = -0.1  # the clock stands at 0 for some states

    def press(self, action: Action) -> None:
        if self._time is not None or not action.choice:
            return
        self.pressed.add(self._buttons[int(action.choice) - 1])
        if int(action.choice) == len(self._buttons) and "press" in self._heeds:
            self.begun += 1
            self._time = -0.1

    def state(self) -> GameState:
        self.shown += 1
        if self._time is None:
            widgets = [Widget(text=text) for text in self._buttons]
            return GameState(fields=FieldGroup.EVERYTHING, menu="MainMenu", widgets=widgets)
        self._time += 0.02 * self._speed
        return playing(max(0.0, self._time))


@contextmanager
def in_real_time(shown: RealTime) -> Iterator[int]:
    """Its port; a hundred states a second and more."""
    capabilities = Capability.EXTRA | Capability.RESETS
    server = Server("tcp://127.0.0.1:0", capabilities=capabilities)
    over = threading.Event()

    def play() -> None:
        while not over.is_set():
            got = server.poll(0.01)
            if isinstance(got, Reset):
                shown.reset(got.seed)
            elif isinstance(got, Arrival):
                shown.press(Action.from_row(got.row))
            server.send(shown.state())

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield int(server.address.rpartition(":")[2])
    finally:
        over.set()
        thread.join()
        server.close()


def test_reset_is_sent_into_a_run_that_the_menus_began() -> None:
    shown = RealTime()
    with in_real_time(shown) as port:
        game = games.make("bonklink", 1, port=port, patience=10.0)
        observation = allocate(game.observation_space, 1)
        for seeds in ([7], [7, 8]):  # the second at once: that run's clock has not left 0 yet
            game.reset_into(observation, seeds[-1:])
            assert game.game_state(0).playing
            assert game.game_state(0).time < 0.5
            assert shown.seeds == seeds
        assert (shown.begun, shown.refused) == (1, 0)
        assert not step(game, observation).truncated[0]
        game.close()


def test_a_run_that_the_menus_began_will_do_where_no_seed_was_asked_for() -> None:
    shown = RealTime()
    with in_real_time(shown) as port:
        game = games.make("bonklink", 1, port=port, patience=10.0, limit=2)
        observation = allocate(game.observation_space, 1)
        game.reset_into(observation, [7])
        assert [bool(step(game, observation).truncated[0]) for _ in range(2)] == [False, True]
        shown.leave()
        left = shown.shown
        while shown.shown < left + 20:  # until the menu has been told
            time.sleep(0.01)
        assert step(game, observation).is_reset[0]
        assert game.game_state(0).playing
        assert (shown.begun, shown.refused, shown.seeds) == (2, 0, [7])
        game.close()


@pytest.mark.parametrize(
    ("buttons", "pressed"),
    [
        (("Quit", "Player stats", "Play"), {"Play"}),
        (("Exit to desktop", "Options", "Onwards"), {"Options", "Onwards"}),
        (("Quit",), {"Quit"}),
    ],
    ids=["by its name", "by trying", "nothing else is there"],
)
def test_a_game_is_not_quit_where_another_button_can_be_tried(
    buttons: tuple[str, ...], pressed: set[str]
) -> None:
    shown = RealTime(buttons=buttons)
    with in_real_time(shown) as port:
        game = games.make("bonklink", 1, port=port, patience=30.0)
        game.reset_into(allocate(game.observation_space, 1), [7])
        game.close()
    assert (shown.begun, shown.pressed) == (1, pressed)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (RealTime(("press",)), "no episode began after RESET .* 'Gameplay' is open: begin a run"),
        (RealTime(()), "no run began within 2 seconds; the menu 'MainMenu' .* game.restart_click"),
        (RealTime(speed=0.0), "the clock of the run did not reach 0.5 s within 2 .*: go on with"),
    ],
    ids=["no RESET is heeded", "no press is heeded", "the clock stands"],
)
def test_a_run_that_does_not_begin_is_named_with_the_remedy(shown: RealTime, message: str) -> None:
    with in_real_time(shown) as port:
        game = games.make("bonklink", 1, port=port, patience=2.0)
        with pytest.raises(GameError, match=message):
            game.reset_into(allocate(game.observation_space, 1), [7])
        game.close()

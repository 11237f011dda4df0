"""games/host.py and hosted.py: what a hosted game shows, when it steps, what it counts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np
import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from metabonk import games
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.host import Answer, Host, Pace
from metabonk.games.hosted import HostedArena, Moment, make_hosted, neutral, press, ticks_of
from metabonk.games.source import Flags
from metabonk.records import Action, FieldGroup, GameState

SIZE = (24, 32)
LEVEL = {"time": {"duration": 2.0, "boss_at": -1.0}}


class Script:
    """A link that answers as told: one entry of `answers` per wait, None for silence."""

    def __init__(self, answers: list[Answer | None], visitor: int = 1) -> None:
        self.answers = deque(answers)
        self.shown: list[Moment] = []
        self.taken: list[int] = []
        self.there = visitor

    def publish(self, moment: Moment, capture_ns: int, taken: int) -> int:
        self.shown.append(moment)
        self.taken.append(taken)
        return len(self.shown)

    def wait(self, timeout: float) -> Answer | None:
        return self.answers.popleft() if self.answers else None

    def visitor(self) -> int:
        return self.there

    def status(self) -> str:
        return "a script"

    def counters(self) -> Mapping[str, int]:
        return {}

    def close(self) -> None:
        pass

    @property
    def over(self) -> bool:
        return not self.answers


def row(x: float = 0.0, choice: int = 0) -> np.ndarray:
    made = neutral()
    made[0], made[9] = x, choice
    return made


def test_an_arena_shows_what_the_same_arena_shows_here() -> None:
    game = games.make("arena", 1, level=LEVEL, pixels=SIZE, frame_skip=4)
    observation, flags = allocate(game.observation_space, 1), Flags(1)
    game.reset_into(observation, [9])
    hosted = make_hosted("arena", LEVEL, SIZE, 15.0)
    moment = hosted.begin(9)
    assert moment.first
    assert (moment.episode, moment.step, moment.reward) == (1, 0, 0.0)
    firsts, returned = 1, 0.0
    rng = np.random.default_rng(0)
    for _ in range(100):
        np.testing.assert_array_equal(moment.pixels, observation["pixels"][0])
        assert GameState.unpack(moment.state) == game.game_state(0)
        assert GameState.unpack(moment.state).fields == FieldGroup.EVERYTHING
        action = row(rng.uniform(-1, 1))
        game.step_into(action[None], observation, *flags.arrays())
        moment = hosted.step(action)
        returned = 0.0 if moment.first else returned + moment.reward
        assert moment.returned == pytest.approx(returned, abs=1e-9)
        assert moment.reward == flags.reward[0]
        assert (moment.terminated, moment.first) == (flags.terminated[0], flags.is_reset[0])
        firsts += moment.first
    assert firsts == moment.episode == 4
    hosted.close()


def test_menus_begin_a_run_where_they_are_to() -> None:
    hosted = HostedArena(LEVEL, SIZE, 4, "menu")
    moment = hosted.begin(1)
    assert moment.menu == "MainMenu"
    moment = hosted.step(row(choice=2))  # quick start
    assert moment.menu == "None"
    while not moment.ended:
        moment = hosted.step(row())
    for _ in range(5):
        moment = hosted.step(row())
        assert moment.ended
        assert not moment.first
    moment = hosted.step(row(choice=1))  # try again
    assert moment.first
    assert not moment.ended
    assert moment.episode == 2
    hosted.close()


def test_locked_steps_once_per_answer_and_passes_over_old_ones() -> None:
    answers = [
        Answer(row(), answers=1, sequence=7),
        None,
        Answer(row(), answers=1, sequence=8),
        Answer(row(), answers=2, sequence=9),
    ]
    link = Script(answers)
    host = Host(make_hosted("arena", LEVEL, SIZE, 15.0), link, Pace(locked=True))
    host.run(lambda: link.over)
    assert [moment.step for moment in link.shown] == [0, 1, 2]
    assert link.taken == [0, 7, 9]  # 8 went into no moment
    assert (host.counts.actions, host.counts.passed_over, host.counts.visitors) == (2, 1, 1)


def test_resets_with_and_without_a_seed() -> None:
    link = Script([Answer(None, seed=77), Answer(row(), sequence=3), Answer(None), Answer(None)])
    host = Host(make_hosted("arena", LEVEL, SIZE, 15.0), link, Pace(locked=True), seed=5)
    host.run(lambda: link.over)
    seeds = [GameState.unpack(moment.state).run_seed for moment in link.shown]
    assert link.taken == [0, 0, 3, 0, 0]
    assert seeds == [5, 77, 77, 78, 78]  # the last had not begun: nothing to reset
    assert [moment.step for moment in link.shown] == [0, 0, 1, 0, 0]
    assert host.counts.resets == 3


def test_a_reset_after_the_end_goes_on_to_the_next_episode_of_the_seed() -> None:
    one = make_hosted("arena", LEVEL, SIZE, 15.0)
    moment = one.begin(5)
    steps = 0
    while not moment.ended:
        moment, steps = one.step(row()), steps + 1
    expected = one.step(row())
    link = Script([*[Answer(row())] * steps, Answer(None)])
    host = Host(make_hosted("arena", LEVEL, SIZE, 15.0), link, Pace(locked=True), seed=5)
    host.run(lambda: link.over)
    assert link.shown[-2].ended
    assert link.shown[-1].first
    assert link.shown[-1].state == expected.state


def test_real_time_holds_an_action_and_lets_go_of_an_old_one() -> None:
    """At a thousand times real time, so that every wait is over at once."""
    for stale, moves in ((1e9, True), (1e-9, False)):
        link = Script([Answer(row(1.0, choice=3)), *[None] * 30])
        level = {"time": {"duration": 60.0}, "enemies": {"rate": 0.0}}
        hosted = make_hosted("arena", level, SIZE, 60.0)
        host = Host(hosted, link, Pace(speed=1000.0, stale=stale))
        host.run(lambda link=link: len(link.shown) > 20)
        places = [GameState.unpack(moment.state).position for moment in link.shown[-10:]]
        assert (math.dist(places[0], places[-1]) > 0.1) == moves
        assert host.counts.held > 10
        assert (host.counts.stale > 10) != moves


def test_the_last_moment_stays_until_it_is_answered() -> None:
    link = Script([])
    hosted = make_hosted("arena", LEVEL, SIZE, 15.0)
    host = Host(hosted, link, Pace(speed=1000.0, linger=1e9))

    def wait(timeout: float) -> Answer | None:
        if not host.now.ended:
            return None
        link.waits = getattr(link, "waits", 0) + 1
        if link.waits == 3:
            return Answer(row(), answers=1)  # of an earlier moment: it does not count
        return Answer(row(), answers=len(link.shown)) if link.waits == 50 else None

    link.wait = wait  # type: ignore[method-assign]
    host.run(lambda: host.counts.episodes == 2)
    assert link.waits == 50
    assert [moment.ended for moment in link.shown].count(True) == 1


def test_a_press_that_is_overtaken_in_its_tick_is_not_lost() -> None:
    link = Script([])
    host = Host(make_hosted("arena", LEVEL, SIZE, 15.0), link, Pace(speed=1.0))
    stepped: list[np.ndarray] = []
    step = host.game.step
    host.game.step = lambda row: stepped.append(row.copy()) or step(row)  # type: ignore[method-assign]
    answers = deque([Answer(row(0.5, choice=3)), Answer(row(-0.5))])
    link.wait = lambda timeout: answers.popleft() if answers else None  # type: ignore[method-assign]
    host.run(lambda: len(stepped) >= 2)
    assert stepped[0][0] == -0.5
    assert stepped[0][9] == 3
    assert stepped[1][9] == 0


def test_a_menu_after_the_end_is_no_end_again() -> None:
    """People sit in it as long as they like, and it is drawn all the time."""
    link = Script([])
    host = Host(HostedArena(LEVEL, SIZE, 4, "menu"), link, Pace(speed=1000.0, linger=1e9))
    waits = 0

    def ends() -> int:
        return [moment.ended for moment in link.shown].count(True)

    def wait(timeout: float) -> Answer | None:
        nonlocal waits
        waits += 1
        if host.now.menu == "MainMenu":
            return Answer(row(choice=2))
        # Only the first moment of the end is answered.
        return Answer(row(), answers=len(link.shown)) if ends() == 1 else None

    link.wait = wait  # type: ignore[method-assign]
    host.run(lambda: ends() > 5 or waits > 100_000)
    assert ends() > 5
    assert host.counts.episodes == 1


def test_nobody_there_no_time_passes() -> None:
    link = Script([None] * 50, visitor=0)
    host = Host(make_hosted("arena", LEVEL, SIZE, 60.0), link)
    host.run(lambda: link.over)
    assert host.counts.moments == 0
    assert not link.shown


@pytest.mark.parametrize(("hz", "ticks"), [(0, 1), (60, 1), (30, 2), (15, 4), (8.571, 7)])
def test_rates_divide_the_games_ticks(hz: float, ticks: int) -> None:
    assert ticks_of(60, hz, "arena") == ticks


def test_what_cannot_be_hosted_is_named() -> None:
    for hz in (45.0, 61.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="hz: arena has 60 ticks"):
            make_hosted("arena", None, SIZE, hz)
    with pytest.raises(ConfigError, match="cannot be hosted"):
        make_hosted("grid64/key_door", None, SIZE, 0)
    with pytest.raises(ConfigError, match="restart"):
        make_hosted("arena", None, SIZE, 0, "never")
    with pytest.raises(ConfigError, match="arena:"):
        make_hosted("arena", None, (3, 3), 0)
    with pytest.raises(ConfigError, match="linger"):
        Pace(linger=0.0)


def test_doom_is_pressed_by_what_an_action_says() -> None:
    columns = ["move_left_right", "attack", "turn_left_right_delta", "select_weapon1"]
    pressed = press(columns, Action(move=(-1.0, 0.0), look=(0.5, 0.0), fire=True))
    assert pressed.tolist() == [1.0, 1.0, 0.5, 0.0]
    assert press(["turn_left_right"], Action(look=(1.0, 0.0))).tolist() == [2.0]


def test_doom_is_hosted() -> None:
    pytest.importorskip("vizdoom")
    hosted = make_hosted("doom/health_gathering", None, (30, 40), 0)
    assert hosted.hz == 35.0
    moment = hosted.begin(3)
    state = GameState.unpack(moment.state)
    assert 0.0 < state.health <= 100.0
    assert state.playing
    assert moment.pixels.shape == (30, 40, 3)
    for _ in range(5):
        moment = hosted.step(Action(move=(0.0, 1.0)).row())
    assert moment.step == 5
    assert GameState.unpack(moment.state).time == pytest.approx(5 / 35)
    hosted.close()

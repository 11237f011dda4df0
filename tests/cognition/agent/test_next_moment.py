"""cognition/agent/next_moment.py: what waits for a game's next moment, and what does not."""

from __future__ import annotations

import pytest

from metabonk.cognition.agent.next_moment import MOST, NextMoment

NOW = 1_000_000_000


class Game:
    """Shows moments when the test says so."""

    def __init__(self) -> None:
        self.wanted = False
        self.wants = 0

    def want(self) -> None:
        self.wanted = True
        self.wants += 1

    def fileno(self) -> int:
        return 7


@pytest.fixture
def game() -> Game:
    return Game()


def nothing_waits(moment: NextMoment) -> bool:
    """Else whoever waits until it is due would wake at once, again and again."""
    return moment.fileno == -1 and moment.due(9 * NOW) == 9 * NOW


def test_a_regular_question_waits_until_the_next_moment_is_shown(game: Game) -> None:
    moment = NextMoment(game)
    assert nothing_waits(moment)
    assert moment.awaited("period", NOW)
    assert moment.fileno == 7
    assert moment.due(9 * NOW) == NOW + MOST
    assert moment.due(NOW + 1) == NOW + 1
    assert moment.awaited("period", NOW + 1)
    assert game.wants == 1
    assert not moment.came
    game.wanted = False  # it is shown
    assert not moment.awaited("period", NOW + 2)
    assert moment.came
    assert nothing_waits(moment)
    assert moment.awaited("period", NOW + 3)  # the next question waits for a moment of its own
    assert game.wants == 2


def test_what_is_urgent_does_not_wait(game: Game) -> None:
    moment = NextMoment(game)
    assert not moment.awaited("health", NOW)
    assert game.wants == 0
    assert moment.awaited("period", NOW)
    assert not moment.awaited("boss", NOW + 1)
    assert nothing_waits(moment)


def test_nothing_waits_any_more_once_nothing_is_wanted(game: Game) -> None:
    moment = NextMoment(game)
    assert moment.awaited("period", NOW)
    assert not moment.awaited(None, NOW + 1)
    assert nothing_waits(moment)


def test_nothing_waits_where_nobody_says_when_moments_are_shown() -> None:
    moment = NextMoment(None)
    assert not moment.awaited("period", NOW)
    assert nothing_waits(moment)


def test_a_game_that_shows_nothing_is_not_waited_for_long(game: Game) -> None:
    moment = NextMoment(game)
    assert moment.awaited("period", NOW)
    assert moment.awaited("period", NOW + MOST - 1)
    assert not moment.awaited("period", NOW + MOST)
    assert not moment.came
    assert nothing_waits(moment)

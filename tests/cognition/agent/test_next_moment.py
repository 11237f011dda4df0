"""cognition/agent/next_moment.py: what waits for a game's next moment, and what does not."""

from __future__ import annotations

from metabonk.cognition.agent.next_moment import MOST, SHOWN, NextMoment

NOW, SOON = 1_000_000_000, 1_009_000_000


def test_a_regular_question_waits_until_the_next_moment_is_shown() -> None:
    asked: list[int] = []

    def comes() -> int:
        asked.append(SOON)
        return SOON

    moment = NextMoment(comes)
    assert moment.due(2 * NOW) == 2 * NOW
    assert moment.awaited("period", NOW)
    assert moment.due(2 * NOW) == SOON + SHOWN
    assert moment.due(NOW + 1) == NOW + 1
    assert moment.awaited("period", SOON)
    assert asked == [SOON]  # it is wanted once
    assert not moment.awaited("period", SOON + SHOWN)
    assert moment.due(2 * NOW) == 2 * NOW
    assert moment.awaited("period", SOON - 1)  # the next question waits for a moment of its own


def test_what_is_urgent_does_not_wait() -> None:
    moment = NextMoment(lambda: SOON)
    assert not moment.awaited("health", NOW)
    assert moment.awaited("period", NOW)
    assert not moment.awaited("boss", NOW + 1)
    assert moment.due(2 * NOW) == 2 * NOW


def test_nothing_waits_any_more_once_nothing_is_wanted() -> None:
    """Else whoever waits until it is due would wake at once, again and again."""
    moment = NextMoment(lambda: SOON)
    assert moment.awaited("period", NOW)
    assert not moment.awaited(None, SOON + 2 * SHOWN)
    assert moment.due(2 * NOW) == 2 * NOW


def test_nothing_waits_for_moments_that_nobody_knows() -> None:
    assert not NextMoment(None).awaited("period", NOW)


def test_a_slow_game_is_not_waited_for_long() -> None:
    moment = NextMoment(lambda: 10 * NOW)
    assert moment.awaited("period", NOW)
    assert moment.due(20 * NOW) == NOW + MOST
    assert not moment.awaited("period", NOW + MOST)

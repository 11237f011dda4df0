"""breaker.py: opens after a run of failures, tries again one call at a time, forgets in the end."""

from __future__ import annotations

from metabonk.cognition.backends.breaker import Breaker, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock, failures: int = 3) -> Breaker:
    breaker = Breaker(failures, pause=1.0, longest_pause=4.0, clock=clock)
    for _ in range(failures):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_only_a_run_of_failures_opens_it() -> None:
    clock = Clock()
    breaker = Breaker(3, clock=clock)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert opened(clock).state is State.OPEN


def test_open_means_no_calls_and_says_for_how_long() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert not breaker.allows()
    assert breaker.wait() == 1.0
    clock.now += 0.6
    assert abs(breaker.wait() - 0.4) < 1e-9
    assert not breaker.allows()


def test_one_trial_at_a_time() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1.0
    assert breaker.state is State.HALF_OPEN
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.allows()


def test_failed_trials_make_the_pause_longer_up_to_a_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    pauses = []
    for _ in range(5):
        clock.now += breaker.wait()
        breaker.failed(breaker.allows())
        pauses.append(breaker.wait())
    assert pauses == [2.0, 4.0, 4.0, 4.0, 4.0]
    clock.now += 4.0
    assert breaker.allows()
    breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    assert breaker.wait() == 1.0, "a success forgets the long pauses"


def test_who_is_not_there_is_looked_for_in_short_pauses() -> None:
    """A server that is being started again: its connections are refused, which costs nobody."""
    clock = Clock()
    breaker = opened(clock)
    for _ in range(5):
        clock.now += breaker.wait()
        breaker.failed(breaker.allows(), away=True)
        assert breaker.wait() == 1.0
    pauses = []
    for _ in range(3):  # it is there, and has trouble
        clock.now += breaker.wait()
        breaker.failed(breaker.allows())
        pauses.append(breaker.wait())
    assert pauses == [1.0, 2.0, 4.0]
    clock.now += breaker.wait()
    breaker.failed(breaker.allows(), away=True)
    assert breaker.wait() == 1.0, "it was ended: the next one is another one"


def test_a_trial_that_was_given_up_lets_another_one_try() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1.0
    breaker.gave_up(breaker.allows())
    assert breaker.state is State.HALF_OPEN
    assert breaker.allows()


def test_calls_of_before_do_not_open_it_again() -> None:
    clock = Clock()
    breaker = opened(clock)
    before = breaker.wait()
    for _ in range(20):  # were in flight when it opened
        breaker.failed()
    assert breaker.wait() == before
    assert breaker.opened == 1
    clock.now += before
    trial = breaker.allows()
    breaker.failed()  # another one of before
    assert not breaker.allows(), "the trial still runs"
    breaker.succeeded(trial)
    assert breaker.state is State.CLOSED

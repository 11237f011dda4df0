"""cognition/broker/pace.py: what was slow once is not believed for ever."""

from __future__ import annotations

from metabonk.cognition.broker.pace import ServiceTime

DEADLINE = 1.0
QUICK = 0.07


def test_a_slow_start_is_over_when_the_backend_is_quick() -> None:
    """One slow answer makes requests of a short deadline be refused; then one is let through."""
    time = ServiceTime()
    time.add(0.9, 0.9)
    assert time.expected(1.0) > DEADLINE
    let_through = 5.0
    assert time.expected(let_through) == 0.0  # nothing was heard for long
    time.add(QUICK, let_through + QUICK)
    assert time.expected(let_through + QUICK) < 2 * QUICK  # and the next ones go through, too


def test_a_backend_that_is_still_slow_is_still_refused() -> None:
    time = ServiceTime()
    time.add(0.9, 0.9)
    time.add(0.9, 5.9)  # asked at 5.0, when nothing had been heard for long
    assert time.expected(6.0) > DEADLINE


def test_one_quick_answer_among_slow_ones_changes_little() -> None:
    time = ServiceTime()
    for number in range(20):
        time.add(0.9, 0.9 * (number + 1))
    before = time.expected(18.1)
    time.add(QUICK, 18.2)
    assert time.expected(18.2) > 0.8 * before

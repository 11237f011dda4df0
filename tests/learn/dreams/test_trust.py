"""How long dreams are: what was asked for, else what was measured, else nothing."""

from __future__ import annotations

import msgspec
import pytest

from metabonk.config import DreamConfig
from metabonk.learn.dreams.trust import Trust


def test_nothing_is_dreamed_before_it_was_measured() -> None:
    trust = Trust(DreamConfig())
    assert trust.horizon == 0
    trust.unjudged += 1
    assert trust.horizon == 0
    trust.note(7)
    assert trust.horizon == 7


@pytest.mark.parametrize("measured", [(), (0,), (3,), (15,)])
def test_a_horizon_that_was_asked_for_wins_over_all(measured: tuple[int, ...]) -> None:
    """Also over the longest that is trusted."""
    trust = Trust(DreamConfig(horizon=30, longest=15))
    for found in measured:
        trust.note(found)
    assert trust.horizon == 30


def test_what_was_measured_lasts_no_longer_than_the_longest() -> None:
    trust = Trust(DreamConfig(longest=4))
    trust.note(9)
    assert trust.horizon == 4


def test_the_first_measure_counts_alone_and_later_ones_by_their_share() -> None:
    trust = Trust(DreamConfig(), memory=0.5)
    seen = []
    for found in (8, 0, 0, 0, 0):
        trust.note(found)
        seen.append((trust.steps, trust.horizon))
    assert seen == [(8.0, 8), (4.0, 4), (2.0, 2), (1.0, 1), (0.5, 0)]


def test_it_goes_on_as_it_was() -> None:
    trust, other = Trust(DreamConfig(), 0.5), Trust(DreamConfig(), 0.5)
    for found in (3, 6):
        trust.note(found)
    trust.unjudged = 2
    other.load(msgspec.json.decode(msgspec.json.encode(trust.details())))
    assert other.details() == trust.details() == {"trust": 4.5, "judged": 2, "unjudged": 2}
    trust.note(1)
    other.note(1)
    assert other.steps == trust.steps


@pytest.mark.parametrize(("was", "horizon"), [(6.0, 6), (1.0, 0)])
def test_of_before_it_was_counted_what_says_nothing_is_not_trusted(
    was: float, horizon: int
) -> None:
    trust = Trust(DreamConfig(), 0.5)
    trust.load({"trust": was})
    assert trust.horizon == horizon

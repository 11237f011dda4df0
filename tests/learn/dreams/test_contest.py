"""Who leads is told by what both returned, and chance alone leads nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from ring_world import LAYOUT, SPACE

from metabonk.errors import CheckpointError
from metabonk.learn.collector import DREAMER
from metabonk.learn.dreams.contest import KEPT, LEAST, Contest, lead_of
from metabonk.learn.rollout import Rollout


def rollout_of(policy: Sequence[float] = (), dreamer: Sequence[float] = ()) -> Rollout:
    out = Rollout.allocate(SPACE, LAYOUT, 2, 1)
    out.episodes = {"return": list(policy), DREAMER: list(dreamer)}
    return out


def contest_of(policy: Sequence[float], dreamer: Sequence[float]) -> Contest:
    contest = Contest()
    note(contest, policy, dreamer)
    return contest


def note(contest: Contest, policy: Sequence[float] = (), dreamer: Sequence[float] = ()) -> None:
    """Episodes that ended, of games of which nothing else is told."""
    contest.note(rollout_of(policy, dreamer), np.zeros(2, np.float32))


def early(ours: Sequence[float], theirs: Sequence[float]) -> Contest:
    """What games of the policy and of the dreamer brought beyond what was expected."""
    contest, games = Contest(), len(ours) + len(theirs)
    out = Rollout.allocate(SPACE, LAYOUT, games, 1)
    out.others = len(theirs)
    contest.note(out, np.array([*ours, *theirs], np.float32))
    return contest


def test_the_interval_is_students_where_spreads_are_alike() -> None:
    """Eight of each and the same variance: 14 degrees of freedom, whose quantile is 2.145."""
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    lead = lead_of(list(values + 3.0), list(values))
    half = 2.145 * math.sqrt(2.0 * 6.0 / 8.0)  # their variance is 6
    assert lead == pytest.approx((3.0, 3.0 - half, 3.0 + half))
    again = lead_of(list(values), list(values + 3.0))
    assert again == pytest.approx((-3.0, -3.0 - half, -3.0 + half))


@pytest.mark.parametrize(("sizes", "spread"), [((8, 8), 1.0), ((4, 8), 5.0), ((8, 4), 5.0)])
def test_chance_leads_nobody(sizes: tuple[int, int], spread: float) -> None:
    """Equal players are told apart in 2.5 % of the cases by the design; five times as far apart as
    they spread they are in most."""
    random = np.random.default_rng(3)
    ours = random.normal(0.0, 1.0, (2000, sizes[0]))
    theirs = random.normal(0.0, spread, (2000, sizes[1]))
    pairs = list(zip(ours, theirs, strict=True))
    led = [lead_of(list(a), list(b)).low > 0.0 for a, b in pairs]
    assert np.mean(led) <= 0.035
    far = [lead_of(list(a + 5.0 * spread), list(b)).low > 0.0 for a, b in pairs]
    assert np.mean(far) > 0.9


def test_nothing_is_said_before_both_played_enough() -> None:
    contest = contest_of([0.0] * LEAST, [9.0] * (LEAST - 1))
    assert contest.lead is None
    assert not contest.led
    note(contest, dreamer=[9.0])
    assert contest.lead == (9.0, 9.0, 9.0)
    assert contest.led


def test_who_leads_follows_the_newest_returns() -> None:
    """And a lead within what returns spread by is none."""
    low, high = [1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]
    assert contest_of(low, high).led
    assert not contest_of(high, low).led
    assert not contest_of(low, [v + 1.0 for v in low]).led
    contest = contest_of(low, high)
    for _ in range(KEPT):
        note(contest, policy=[50.0])
    assert contest.policy == [50.0] * KEPT
    assert not contest.led


def test_before_episodes_end_what_games_brought_beyond_the_expected_leads() -> None:
    random = np.random.default_rng(0)
    usual, better = random.normal(0.0, 1.0, 24), random.normal(8.0, 1.0, 8)
    assert early(usual, better).led
    assert not early(usual, better - 8.0).led
    assert not early(better, usual[:8]).led
    assert early(usual, better[: LEAST - 1]).lead is None  # too few games
    assert early([*usual, math.nan], [*better, math.inf]).led
    contest = early(usual, better)
    note(contest)  # nobody but the policy played
    assert contest.lead is None


def test_true_returns_correct_what_was_expected_wrongly() -> None:
    contest = early([0.0, 1.0] * 4, [9.0, 8.0] * 4)
    assert contest.led
    contest.policy, contest.dreamer = [5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0]
    assert contest.led
    contest.dreamer = [0.0, 1.0, 2.0, 3.0]
    assert not contest.led
    assert contest.lead == lead_of(contest.dreamer, contest.policy)


def test_what_returns_leave_open_the_newest_rollout_decides() -> None:
    """As where good play keeps a game alive, so that the episodes that ended are the bad ones."""
    contest = early([0.0, 1.0] * 4, [9.0, 8.0] * 4)
    contest.policy, contest.dreamer = [5.0, 6.0, 7.0, 8.0], [5.5, 6.5, 7.5, 8.5]
    assert contest.led
    contest.beyond = contest.beyond[::-1]
    assert contest.lead is not None
    assert contest.lead.high < 0.0
    contest.beyond = ([0.0, 1.0] * 4, [1.0, 0.0] * 4)  # nor does that
    assert contest.lead == lead_of(contest.dreamer, contest.policy)


def test_returns_that_are_no_numbers_are_left_out() -> None:
    contest = contest_of([1.0, math.nan, 2.0], [math.inf, 3.0])
    assert (contest.policy, contest.dreamer) == ([1.0, 2.0], [3.0])


def test_returns_beyond_measure_lead_nobody() -> None:
    assert not contest_of([0.0, 1.0, 2.0, 3.0], [1e300, -1e300, 1e300, 1e300]).led


def test_a_contest_goes_on_from_a_checkpoint() -> None:
    """Through JSON, as cards are."""
    returned = contest_of([0.1, 1.0 / 3.0, 2.0, 3.0], [9.0, 8.0, 7.5, 1e-9])
    other = Contest()
    for contest in (returned, early([0.1, 1.0 / 3.0, 2.0, 3.0], [9.0, 8.0, 7.5, 1e-9])):
        other.load(msgspec.json.decode(msgspec.json.encode(contest.details())))
        assert vars(other) == vars(contest)
        assert other.lead == contest.lead is not None
    other.load({})  # a checkpoint from before there were contests
    assert other.lead is None


@pytest.mark.parametrize("values", [["1"], "many", [None], [1.0] * (KEPT + 1), {"0": 1.0}])
def test_damage_is_refused(values: object) -> None:
    contest = contest_of([1.0], [2.0])
    with pytest.raises(CheckpointError, match="the checkpoint's contest says dreamer = "):
        contest.load({"policy": [5.0], "dreamer": values})
    assert (contest.policy, contest.dreamer) == ([1.0], [2.0])

"""data/sampling.py: every capture once, at the rate, and nothing lost between two rows."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces as gs
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.data.sampling import CAPTURE, DECISIONS, Stream
from metabonk.errors import ConfigError
from metabonk.records import ACTION_LAYOUT, Action
from metabonk.spaces import ActionLayout

PLAIN = ActionLayout.of(gs.Discrete(3))
MS = 1_000_000


def play(stream: Stream, captures: list[int], length: int = 10**9) -> list[dict[str, Any]]:
    """A decision per capture, each with reward 1; episodes of `length` decisions, the last of which
    terminates them, and a last observation."""
    rows = []
    at = 0
    for t, capture in enumerate(captures):
        first, last = at == 0, at == length
        if stream.due(capture, first=first, last=last):
            seen = {"observation/t": np.array(t)}
            done = stream.open(seen, np.array([t], np.float32), capture, first=first, last=last)
            rows += [done] if done is not None else []
        if not last:
            stream.add(np.array([t], np.float32), 1.0, at == length - 1, False)
        at = 0 if last else at + 1
    done = stream.finish()
    return rows + ([done] if done is not None else [])


def seen(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["observation/t"]) for row in rows]


def test_every_decision_is_a_row_without_a_rate() -> None:
    rows = play(Stream(0.0, PLAIN), [0, 5, 5, 9])
    assert seen(rows) == [0, 1, 2, 3]
    assert [float(r["reward"]) for r in rows] == [1.0] * 4


def test_a_slower_rate_adds_up() -> None:
    stream = Stream(10.0, PLAIN)
    rows = play(stream, [round(t * 1e9 / 60) for t in range(60)])
    assert seen(rows) == list(range(0, 60, 6))
    assert sum(float(r["reward"]) for r in rows) == 60.0
    assert sum(int(r[DECISIONS]) for r in rows) == 60
    assert stream.counts.empty == 0


@settings(max_examples=50)
@given(
    st.floats(1.0, 240.0),
    st.floats(0.985, 1.015),
    st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=300),
)
def test_captures_of_a_running_game_at_about_the_rate_are_all_kept_once(
    rate: float, true: float, jitter: list[float]
) -> None:
    rate = round(rate, 3)
    captures = [round((t + j) * 1e9 / (rate * true)) for t, j in enumerate([0.0, *jitter])]
    stream = Stream(rate, PLAIN, live=True)
    assert seen(play(stream, captures)) == list(range(len(captures)))
    assert stream.counts.empty == 0


@pytest.mark.parametrize("fps", [30.0, 59.0, 144.0])
def test_a_running_game_is_thinned_out_to_the_rate(fps: float) -> None:
    random = np.random.default_rng(1)
    times = (np.arange(int(fps * 60)) + random.uniform(-0.2, 0.2, int(fps * 60))) / fps
    stream = Stream(10.0, PLAIN, live=True)
    rows = play(stream, (times * 1e9).astype(int).tolist())
    assert abs(len(rows) - 600) <= 1
    assert stream.counts.empty == 0


@settings(max_examples=50)
@given(st.floats(1.0, 100.0), st.lists(st.integers(1, 50), min_size=1, max_size=300))
def test_rows_come_at_the_rate_from_any_captures(rate: float, gaps: list[int]) -> None:
    milli = round(rate * 1000)
    captures = (np.cumsum([0, *gaps]) * MS).tolist()
    stream = Stream(milli / 1000, PLAIN)
    rows = play(stream, captures)
    early = Fraction(1, 100)

    def period(capture: int) -> int:
        return floor(Fraction(capture * milli, 10**12) + early)

    periods = [period(int(r[CAPTURE])) for r in rows]
    assert len(set(periods)) == len(periods)  # nothing twice in one
    assert set(periods) == {period(c) for c in captures}  # and a row wherever there was a capture
    assert stream.counts.empty == periods[-1] + 1 - len(periods)
    assert sum(int(r[DECISIONS]) for r in rows) == len(captures)


def test_the_row_at_hand_is_copied_at_first_and_then_now_and_then() -> None:
    stream = Stream(1.0, PLAIN)
    assert stream.at_hand(0.0) is None
    stream.open({"observation/t": np.array(7)}, np.array([1.0]), 0, first=True, last=False)
    stream.add(np.array([1.0]), 2.0, False, False)
    first = stream.at_hand(10.0)
    assert first is not None
    assert stream.at_hand(20.0) is None  # as it was
    stream.add(np.array([1.0]), 2.0, True, False)
    assert stream.at_hand(10.01) is None  # too soon
    later = stream.at_hand(20.0)
    assert later is not None
    for copy, reward in ((first, 2.0), (later, 4.0)):
        assert float(copy["reward"]) == reward  # what came later is not in the copy before
        assert int(copy["observation/t"]) == 7
    assert (bool(first["terminated"]), bool(later["terminated"])) == (False, True)
    stream.finish()
    assert stream.at_hand(30.0) is None


def test_episodes_keep_their_ends() -> None:
    rows = play(Stream(10.0, PLAIN), [t * 20 * MS for t in range(24)], length=7)
    firsts = [r for r in rows if r["is_first"]]
    lasts = [r for r in rows if r["is_last"]]
    assert seen(firsts) == [0, 8, 16]
    assert seen(lasts) == [7, 15, 23]
    assert [int(r[DECISIONS]) for r in lasts] == [0, 0, 0]
    ended = [i for i, r in enumerate(rows) if r["terminated"]]
    assert [bool(rows[i + 1]["is_last"]) for i in ended] == [True] * 3
    assert sum(float(r["reward"]) for r in rows) == 21.0


def test_the_same_capture_of_a_running_game_is_one_row() -> None:
    stream = Stream(0.0, PLAIN, live=True)
    rows = play(stream, [0, 0, 10, 10, 10, 5, 20])
    assert seen(rows) == [0, 2, 6]
    assert stream.counts.repeated == 4


def test_a_press_between_two_rows_is_in_the_first() -> None:
    stream = Stream(10.0, ACTION_LAYOUT)
    actions = [
        Action(move=(1.0, 0.0)),
        Action(move=(0.0, 1.0), jump=True),
        Action(click=(0.25, 0.5)),
        Action(choice=3, click=(0.75, 0.5)),
        Action(choice=5),
    ]
    rows = []
    for t, action in enumerate(actions * 2):
        capture = t * 20 * MS
        if stream.due(capture, first=t == 0, last=False):
            done = stream.open({}, action.row(), capture, first=t == 0, last=False)
            rows += [done] if done is not None else []
        stream.add(action.row(), 0.0, False, False)
    merged = Action.from_row(rows[0]["action"])
    assert merged.move == (1.0, 0.0)
    assert merged.jump
    assert merged.click == (0.25, 0.5)
    assert merged.choice == 3


def test_other_games_keep_their_own_action() -> None:
    rows = play(Stream(10.0, PLAIN), [t * 20 * MS for t in range(10)])
    assert [float(r["action"][0]) for r in rows] == [float(t) for t in seen(rows)]


@pytest.mark.parametrize("rate", [-1.0, 1e6, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="hz"):
        Stream(rate, PLAIN)

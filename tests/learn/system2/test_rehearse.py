"""Rehearsals: the log of who is followed, in the game's time, and of who only corrects."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk import games
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log.rows import Log, Row
from metabonk.errors import ConfigError
from metabonk.games.level import parse
from metabonk.games.scripted import Habits, ScriptedPolicy
from metabonk.learn.system2.rehearse import Rehearsal, open_log
from metabonk.play.dual import DualSettings
from metabonk.records import GAME_STATE

LEVEL = parse({"time": {"duration": 12.0}})
ELSEWHERE = v.Directive(v.Verb.MOVE, v.Compass(3), 4.0, v.Priority.CRITICAL)


class Always:
    """Gives one directive, or none; keeps what it was asked."""

    def __init__(self, directive: v.Directive | None) -> None:
        self.directive = directive
        self.asked: list[bytes] = []

    def plan(self, packed: bytes, in_force: v.Directive | None) -> v.Directive | None:
        self.asked.append(packed)
        return self.directive


def rehearsed(folder: Path, **given: Any) -> list[Row]:
    """The rows of two episodes, by agent and in their order."""
    game = games.make("arena", 2, level=LEVEL, threads=1)
    motor = ScriptedPolicy(Habits(size=LEVEL.terrain.size))
    try:
        with open_log(folder) as journal:
            Rehearsal(game, motor, journal, level=LEVEL.pack(), **given).run(2, 5)
    finally:
        game.close()
    with Log(folder) as log:
        rows = list(log.rows())
        assert log.refused.total == 0
    assert len(rows) >= 10
    return rows


def seconds(row: Row) -> float:
    return float(np.frombuffer(row.packed, GAME_STATE)[0]["time"])


def test_what_is_in_force_is_what_had_come_when_it_was_asked(tmp_path: Path) -> None:
    settings = DualSettings(every=2.0, latency=0.5)
    prompt = rehearsed(tmp_path / "prompt")
    late = rehearsed(tmp_path / "late", settings=settings)
    assert all(row.came.age_ms == 0.0 for row in prompt)
    assert {row.came.age_ms for row in late if row.came.applied} == {500.0}
    patient = DualSettings(every=2.0, latency=3.0, urgent=0.0)
    rows = rehearsed(tmp_path / "patient", settings=patient)
    by_run: dict[Any, list[Row]] = {}
    for row in rows:
        by_run.setdefault((row.agent, row.episode), []).append(row)
    assert len(by_run) >= 2
    for run in by_run.values():
        assert seconds(run[0]) < 0.1, "a run's last state is nobody's question"
        assert [row.in_force for row in run[:2]] == [None, None][: len(run)], "3 s are not over"


def test_what_comes_too_late_was_not_followed(tmp_path: Path) -> None:
    """Every directive holds for at most four seconds from its question."""
    settings = DualSettings(every=2.0, latency=math.nextafter(4.0, 5.0) + 0.1)
    rows = rehearsed(tmp_path, settings=settings)
    assert not any(row.came.applied for row in rows)
    assert not any(row.in_force for row in rows)


@pytest.mark.parametrize("latency", [1.9, 2.0, 2.1])
def test_what_comes_as_a_run_ends_is_of_that_run(tmp_path: Path, latency: float) -> None:
    """A question of second 10 and runs of twelve: its answer comes just before the end, with it, or
    never."""
    settings = DualSettings(every=2.0, latency=latency, urgent=0.0)
    rows = rehearsed(tmp_path, settings=settings)
    first = [row for row in rows if seconds(row) < 0.1]
    assert len(first) >= 2
    assert not any(row.in_force for row in first)
    last = [row.came.applied for row in rows if 9.9 < seconds(row) < 10.1]
    assert len(last) >= 2
    assert all(last) if latency < 2.0 else not any(last)


def test_a_player_leads_and_the_strategist_says_what_it_would_have_done(tmp_path: Path) -> None:
    player = Always(ELSEWHERE)
    rows = rehearsed(tmp_path, player=player)
    assert len(player.asked) >= len(rows)
    strategist = Strategist()
    for row in rows:
        assert row.directive is not None
        assert row.directive != ELSEWHERE, "the label is the strategist's"
        assert row.in_force in (None, ELSEWHERE), "what leads is the player's"
        assert not row.came.applied
        verdict = strategist.decide(row.packed, row.in_force)
        assert row.directive.action.value in verdict.probabilities
    assert sum(row.in_force == ELSEWHERE for row in rows) > len(rows) / 2


def test_a_player_that_agrees_is_what_was_logged(tmp_path: Path) -> None:
    """The negative control: the rules as the player give the very log of the rules."""
    alone = rehearsed(tmp_path / "alone", settings=DualSettings(latency=0.5))
    led = rehearsed(tmp_path / "led", settings=DualSettings(latency=0.5), player=Strategist())
    told = [(row.packed, row.directive, row.in_force, row.came.applied) for row in alone]
    assert told == [(row.packed, row.directive, row.in_force, row.came.applied) for row in led]
    assert any(row.came.applied for row in alone)


def test_a_player_that_says_nothing_leaves_it_to_system_1(tmp_path: Path) -> None:
    rows = rehearsed(tmp_path, player=Always(None))
    assert not any(row.came.applied or row.in_force for row in rows)


def test_what_is_tried_at_random_is_told_from_what_the_strategist_says(tmp_path: Path) -> None:
    rows = rehearsed(tmp_path, explore=0.5)
    tried, own = [r for r in rows if r.explored], [r for r in rows if not r.explored]
    assert len(tried) >= 3
    assert len(own) >= 3
    for row in rows:
        assert row.directive is not None
        share = row.probabilities[row.directive.action.value]
        assert row.confidence == pytest.approx(share, abs=1e-4)
        assert (row.mode, bool(row.reasoning)) == (
            ("explore", False) if row.explored else ("rules", True)
        )
    strategist = Strategist()
    for row in tried:
        assert row.directive is not None
        said = strategist.decide(row.packed, row.in_force).directive.action
        assert row.directive.action is not said


def test_a_player_does_not_explore(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"explore: 0\.1"):
        rehearsed(tmp_path, player=Always(None), explore=0.1)

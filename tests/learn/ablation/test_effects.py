"""Verdicts of ablations: what is inert is said to be, and nothing else is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metabonk.learn.ablation.effects import (
    CONTROL,
    INTACT,
    Mode,
    Trial,
    chance_of,
    effects_of,
    findings_of,
    interval95,
)
from metabonk.learn.student import STUDENT

SEEDS = range(1, 6)


def trials(part: str, mode: Mode, returns: list[float], moved: float) -> list[Trial]:
    return [
        Trial(seed=seed, part=part, mode=mode, return_mean=value, moved=moved)
        for seed, value in zip(SEEDS, returns, strict=True)
    ]


RETURNS = [10.0, 12.0, 8.0, 11.0, 9.0]


def found(*others: list[Trial], control: float = 0.0) -> dict[str, str]:
    every = trials(INTACT, "again", RETURNS, 0.5) + trials(CONTROL, "again", RETURNS, control)
    every += [t for one in others for t in one]
    findings = findings_of(effects_of(every), chance_of(every))
    return {finding.part: finding.verdict for finding in findings}


def test_a_part_is_inert_only_if_nothing_done_to_it_changes_the_policy() -> None:
    same = trials("charm", "zero", RETURNS, 0.0)
    assert found(same) == {"charm": "inert"}
    assert found(same, trials("charm", "shuffle", RETURNS, 1e-9)) == {"charm": "inert"}
    # Behaviour that moved is no proof of worth, but of effect.
    assert found(same, trials("charm", "shuffle", RETURNS, 0.01)) == {"charm": "undecided"}


def test_one_seed_in_which_it_has_an_effect_is_enough() -> None:
    mostly = trials("part", "zero", RETURNS, 0.0)
    mostly[3] = Trial(seed=4, part="part", mode="zero", return_mean=11.0, moved=0.2)
    assert found(mostly) == {"part": "undecided"}


def test_what_the_control_moves_by_itself_proves_nothing() -> None:
    """Where trainings do not repeat, moving no further than the control is inert."""
    little = trials("part", "zero", RETURNS, 0.01)
    assert found(little) == {"part": "undecided"}
    assert found(little, control=0.02) == {"part": "inert"}


@pytest.mark.parametrize(("lost", "verdict"), [(3.0, "helps"), (-3.0, "hurts"), (0.0, "undecided")])
def test_what_it_is_worth_is_a_paired_difference(lost: float, verdict: str) -> None:
    """Seeds differ by more than the part is worth; pairs show it all the same."""
    noise = [0.3, -0.2, 0.1, -0.3, 0.2]
    without = [r - lost + n for r, n in zip(RETURNS, noise, strict=True)]
    part = trials("part", "zero", without, 0.4)
    assert found(part) == {"part": verdict}
    (effect,) = [
        e for e in effects_of([*trials(INTACT, "again", RETURNS, 0.0), *part]) if e.part == "part"
    ]
    assert effect.difference == pytest.approx(-lost + np.mean(noise))
    low, high = effect.ci95
    assert low < effect.difference < high
    assert high - low < 1.0


def test_the_interval_is_students() -> None:
    """Against a simulation: 95 % of the intervals of five numbers hold their mean."""
    generator = np.random.default_rng(0)
    held = 0
    for values in generator.normal(2.0, 3.0, (4000, 5)):
        low, high = interval95(values.tolist())
        held += low < 2.0 < high
    assert held / 4000 == pytest.approx(0.95, abs=0.01)
    assert all(math.isnan(bound) for bound in interval95([1.0]))
    assert list(STUDENT) == sorted(STUDENT, reverse=True)
    low, high = interval95([0.0, 1.0] * 40)
    assert high - low == pytest.approx(2 * 1.96 * np.std([0.0, 1.0] * 40, ddof=1) / math.sqrt(80))


def test_few_seeds_are_no_interval() -> None:
    """However alike two differences are."""
    every = [t for t in trials(INTACT, "again", RETURNS, 0.5) if t.seed < 3]
    every += [
        Trial(seed=t.seed, part="part", mode="zero", return_mean=t.return_mean - 1.0, moved=0.4)
        for t in every
    ]
    (finding,) = findings_of(effects_of(every), chance_of(every))
    assert finding.verdict == "undecided"
    assert "5 seeds at least" in finding.why


def test_a_seed_without_its_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="seed 1: there is no intact training"):
        effects_of(trials("part", "zero", RETURNS, 0.0))

"""Expected free energy where the rules are known: its identities, its limits, the T-maze."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metabonk.bench.efe import CUE, tmaze, tmaze_rows

from metabonk.learn.dreams.pomdp import Doubles, Planner, Rules, lowest, precise


def random_rules(seed: int, states: int = 5, actions: int = 3) -> Rules:
    generator = np.random.default_rng(seed)

    def columns(*shape: int) -> Doubles:
        table = generator.random(shape)
        return np.asarray(table / table.sum(0))

    return Rules(
        (columns(4, states), columns(3, states)),
        columns(states, states, actions),
        (generator.normal(size=4), generator.normal(size=3)),
        columns(states),
    )


@pytest.mark.parametrize("seed", range(5))
def test_both_ways_of_writing_it_are_equal(seed: int) -> None:
    """risk + ambiguity = -utility - information gain, and each part by its own formula."""
    planner = Planner(random_rules(seed))
    belief = planner.rules.prior
    cost = planner.cost(belief)
    assert cost.risk + cost.ambiguity == pytest.approx(-cost.utility - cost.gain, abs=1e-12)
    likelihood, preference = planner.likelihood, planner.preference
    seen = likelihood @ belief
    assert seen.sum() == pytest.approx(1.0)
    assert np.exp(preference).sum() == pytest.approx(1.0)
    assert cost.risk == pytest.approx(float((seen * (np.log(seen) - preference)).sum()))
    # The gain is what an observation is expected to tell of the state.
    told = 0.0
    for probability, after in planner._outcomes(belief):
        told += probability * float((after * np.log(after / belief)).sum())
    assert cost.gain == pytest.approx(told)
    assert cost.gain > 0.0
    assert cost.risk > 0.0


def test_what_tells_nothing_gains_nothing_however_unpredictable() -> None:
    """The television of a known world: its entropy is all ambiguity."""
    noise = Rules(
        (np.full((8, 2), 1.0 / 8.0),), np.eye(2)[:, :, None], (np.zeros(8),), np.array([0.5, 0.5])
    )
    cost = Planner(noise).cost(noise.prior)
    assert cost.gain == pytest.approx(0.0, abs=1e-12)
    assert cost.ambiguity == pytest.approx(math.log(8.0))
    assert cost.energy("constant") == pytest.approx(0.0, abs=1e-12)
    sure = dataclasses.replace(noise, likelihood=(np.eye(8)[:, [0, 1]],))
    assert Planner(sure).cost(sure.prior).gain == pytest.approx(math.log(2.0))
    # Taken for constant, ambiguity makes noise better than a truth that tells something.
    assert Planner(sure).cost(sure.prior).energy("constant") > cost.energy("constant")
    assert Planner(sure).cost(sure.prior).energy() < cost.energy()


def test_beliefs_follow_bayes() -> None:
    rules = random_rules(3)
    planner = Planner(rules)
    moved = planner.predict(rules.prior, 1)
    after = planner.update(moved, (2, 0))
    joint = (
        rules.likelihood[0][2] * rules.likelihood[1][0] * (rules.transition[:, :, 1] @ rules.prior)
    )
    np.testing.assert_allclose(after, joint / joint.sum())
    with pytest.raises(ValueError, match=r"seen\[1\]: 3; wanted 0 to 2"):
        planner.update(moved, (0, 3))


def test_an_impossible_observation_is_refused() -> None:
    rules = Rules((np.eye(2),), np.eye(2)[:, :, None], (np.zeros(2),), np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="cannot be seen in any state that is believed in"):
        Planner(rules).update(rules.prior, (1,))


def test_one_step_plans_and_policies_agree_and_waiting_never_costs_more() -> None:
    planner = Planner(random_rules(1))
    belief = planner.rules.prior
    _, energies = planner.policies(belief, 1, "utility")
    np.testing.assert_allclose(energies, planner.plan(belief, 1, "utility"))
    found, energies = planner.policies(belief, 2, "utility")
    waiting = planner.plan(belief, 2, "utility")
    for action in range(3):
        blind = min(e for p, e in zip(found, energies, strict=True) if p[0] == action)
        assert waiting[action] <= blind + 1e-12


def test_what_is_preferred_cannot_be_changed_and_is_a_copy() -> None:
    liked = np.array([0.0, 1.0])
    rules = Rules((np.eye(2),), np.eye(2)[:, :, None], (liked,), np.array([0.5, 0.5]))
    liked[0] = 9.0
    assert rules.preference[0][0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        rules.preference[0][0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        rules.prior = liked  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": np.array([0.5, 0.4])}, "prior: its columns are no distributions"),
        ({"transition": np.ones((2, 3, 1))}, r"transition: shape \(2, 3, 1\); wanted \(2, 2, 1\)"),
        ({"likelihood": (np.eye(2), np.eye(2))}, "preference: 1 modalities, likelihood has 2"),
        ({"likelihood": (np.eye(3)[:, :2],)}, r"likelihood\[0\]: shape \(3, 2\); wanted \(2, 2\)"),
        ({"preference": (np.array([0.0, -math.inf]),)}, r"preference\[0\]: .* wanted finite"),
    ],
)
def test_rules_that_are_none_are_refused(change: dict[str, object], message: str) -> None:
    good = Rules((np.eye(2),), np.eye(2)[:, :, None], (np.zeros(2),), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(good, **change)  # type: ignore[arg-type]


def test_precision_goes_from_indifference_to_the_least() -> None:
    energies = np.array([1.0, 0.0, 2.0])
    np.testing.assert_allclose(precise(energies, 0.0), 1.0 / 3.0)
    assert precise(energies, 50.0)[1] == pytest.approx(1.0)
    generator = np.random.default_rng(0)
    tied = [lowest(np.array([1.0, 0.0, 1e-12]), generator) for _ in range(50)]
    assert set(tied) == {1, 2}


def test_the_cue_is_looked_up_by_whoever_knows_what_it_tells() -> None:
    """Expected free energy looks it up in at least .95 of the trials; with constant ambiguity, and
    for reward alone without waiting for what is seen, in at most half of them."""
    rows = {row.name: row for row in tmaze_rows(trials=300)}
    assert rows["expected free energy, 2 steps"].cue >= 0.95
    assert rows["expected free energy, 2 steps"].win >= 0.9
    assert rows["expected free energy, 1 step"].cue >= 0.95
    assert rows["constant ambiguity, 2 steps"].cue <= 0.5
    assert rows["constant ambiguity, 2 steps"].win <= 0.6
    assert rows["reward only, 2 steps"].cue <= 0.5
    assert rows["reward only, plans that wait for what is seen"].cue >= 0.95
    assert rows["random"].win <= 0.5


def test_a_cue_that_tells_nothing_is_not_looked_up() -> None:
    """The control: the same maze, the same agent, a cue that is right by chance."""
    rows = {row.name: row for row in tmaze_rows(trials=100, rules=tmaze(cue=0.5))}
    assert rows["expected free energy, 2 steps"].cue == 0.0
    assert CUE == 1


KEPT = json.loads((Path(__file__).parent / "pymdp_cases.json").read_text())


@pytest.mark.parametrize("case", KEPT["cases"], ids=lambda c: f"{c['what']}, {c['depth']} deep")
def test_it_is_what_pymdp_gave(case: dict[str, Any]) -> None:
    """Kept, so that it needs no pymdp; test_pomdp_pymdp.py asks it anew where it is installed. It
    adds exp(-16) to every probability under a logarithm."""
    rules = Rules(
        tuple(np.array(a) for a in case["likelihood"]),
        np.array(case["transition"]),
        tuple(np.array(a) for a in case["preference"]),
        np.array(case["prior"]),
    )
    _, ours = Planner(rules).policies(rules.prior, case["depth"])
    theirs = np.array(case["negative_g"])
    np.testing.assert_allclose(-ours, theirs, atol=2e-5 * case["depth"])
    assert np.ptp(theirs) > 0.01
    # The control: without information gain it is another number.
    _, blind = Planner(rules).policies(rules.prior, case["depth"], "utility")
    assert np.abs(-blind - theirs).max() > 0.01

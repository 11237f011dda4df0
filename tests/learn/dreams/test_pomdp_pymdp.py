"""Expected free energy where the rules are known equals pymdp's (Heins et al. 2022), policy by
policy: on random worlds, on its own T-maze, and in what is believed and chosen.

It brings JAX and is in no extra: `pip install inferactively-pymdp==1.0.4`, then pytest as ever.
`python tests/learn/dreams/test_pomdp_pymdp.py FILE` writes what it gives, which is kept as
pymdp_cases.json for machines without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metabonk.learn.dreams.pomdp import Doubles, Planner, Rules, precise

control = pytest.importorskip("pymdp.legacy.control")
tmaze = pytest.importorskip("pymdp.legacy.envs.tmaze")

# It adds exp(-16) to every probability under a logarithm.
WITHIN = 2e-5


def listed(*arrays: Any) -> Any:
    """As it takes several arrays."""
    out = np.empty(len(arrays), object)
    for i, array in enumerate(arrays):
        out[i] = np.array(array)
    return out


def theirs(rules: Rules, belief: Doubles, depth: int, **terms: bool) -> tuple[Doubles, Doubles]:
    """Probabilities of the policies and their negative G, in our order of policies."""
    policies = control.construct_policies([len(belief)], [rules.actions], depth)
    found = control.update_posterior_policies(
        listed(belief),
        listed(*rules.likelihood),
        listed(rules.transition),
        listed(*rules.preference),
        policies,
        gamma=4.0,
        **terms,
    )
    order = np.lexsort(np.array([p[:, 0] for p in policies]).T[::-1])
    return np.asarray(found[0]).reshape(-1)[order], np.asarray(found[1])[order]


def random_rules(seed: int) -> Rules:
    generator = np.random.default_rng(seed)
    states, actions = int(generator.integers(2, 6)), int(generator.integers(2, 4))
    sizes = generator.integers(2, 5, int(generator.integers(1, 4)))

    def columns(*shape: int) -> Doubles:
        table = generator.gamma(0.5, size=shape) + 1e-3
        return np.asarray(table / table.sum(0))

    return Rules(
        tuple(columns(size, states) for size in sizes),
        columns(states, states, actions),
        tuple(2.0 * generator.normal(size=size) for size in sizes),
        columns(states),
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_random_worlds(seed: int, depth: int) -> None:
    rules = random_rules(seed)
    _, ours = Planner(rules).policies(rules.prior, depth)
    chances, negative = theirs(rules, rules.prior, depth)
    np.testing.assert_allclose(-ours, negative, atol=depth * WITHIN)
    np.testing.assert_allclose(precise(ours, 4.0), chances, atol=1e-4)
    # The control: other worlds have other values.
    assert np.ptp(ours) > 100.0 * depth * WITHIN


@pytest.mark.parametrize("seed", range(4))
def test_its_parts_by_themselves(seed: int) -> None:
    rules = random_rules(seed)
    planner = Planner(rules)
    found, _ = planner.policies(rules.prior, 2)
    costs = [planner.policy(rules.prior, policy) for policy in found]
    _, utility = theirs(rules, rules.prior, 2, use_states_info_gain=False)
    _, gain = theirs(rules, rules.prior, 2, use_utility=False)
    np.testing.assert_allclose([c.utility for c in costs], utility, atol=2 * WITHIN)
    np.testing.assert_allclose([c.gain for c in costs], gain, atol=2 * WITHIN)


def its_maze() -> tuple[Rules, Any, Any, Any]:
    """Its T-maze, whose states have two factors, with both of them in one."""
    maze = tmaze.TMazeEnv(reward_probs=[0.98, 0.02])
    likelihood, transition = maze.get_likelihood_dist(), maze.get_transition_dist()
    preference = listed(np.zeros(4), np.array([0.0, 3.0, -3.0]), np.zeros(2))
    joint = np.einsum("ija,kl->ikjla", transition[0], transition[1][:, :, 0]).reshape(8, 8, 4)
    prior = np.kron([1.0, 0.0, 0.0, 0.0], [0.5, 0.5])
    rules = Rules(tuple(a.reshape(len(a), 8) for a in likelihood), joint, tuple(preference), prior)
    return rules, likelihood, transition, preference


@pytest.mark.parametrize("depth", [1, 2])
def test_its_own_maze(depth: int) -> None:
    rules, likelihood, transition, preference = its_maze()
    policies = control.construct_policies([4, 2], [4, 1], depth, control_fac_idx=[0])
    belief = listed([1.0, 0.0, 0.0, 0.0], [0.5, 0.5])
    found = control.update_posterior_policies(
        belief, likelihood, transition, preference, policies, gamma=4.0
    )
    order = np.lexsort(np.array([p[:, 0] for p in policies]).T[::-1])
    ours, energies = Planner(rules).policies(rules.prior, depth)
    assert [tuple(policies[i][:, 0]) for i in order] == ours
    np.testing.assert_allclose(-energies, np.asarray(found[1])[order], atol=depth * WITHIN)
    best = ours[int(energies.argmin())]
    assert best[0] == 3  # where the cue is


def test_beliefs_after_an_observation() -> None:
    inference = pytest.importorskip("pymdp.legacy.inference")
    for seed in range(8):
        rules = random_rules(seed)
        planner = Planner(rules)
        seen = [0] * len(rules.likelihood)
        theirs_ = inference.update_posterior_states(
            listed(*rules.likelihood), seen, prior=listed(rules.prior)
        )
        np.testing.assert_allclose(planner.update(rules.prior, seen), theirs_[0], atol=1e-4)


def cases() -> list[dict[str, Any]]:
    """Worlds and what it makes of them, as plain data."""
    depths = (1, 2, 2, 3, 2, 1)
    worlds = [(f"random world {n}", random_rules(n), depth) for n, depth in enumerate(depths)]
    worlds += [("T-maze", its_maze()[0], depth) for depth in (1, 2)]
    return [
        {
            "what": what,
            "depth": depth,
            "likelihood": [table.tolist() for table in rules.likelihood],
            "transition": rules.transition.tolist(),
            "preference": [row.tolist() for row in rules.preference],
            "prior": rules.prior.tolist(),
            "negative_g": theirs(rules, rules.prior, depth)[1].tolist(),
        }
        for what, rules, depth in worlds
    ]


if __name__ == "__main__":
    import importlib.metadata
    import json
    import sys
    from pathlib import Path

    version = importlib.metadata.version("inferactively-pymdp")
    Path(sys.argv[1]).write_text(json.dumps({"pymdp": version, "cases": cases()}))

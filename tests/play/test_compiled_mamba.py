"""Compiled Mamba over many steps: torch's decisions without drift, new weights, flat memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import NETWORKS, observations

from metabonk.models.actor import Actor
from metabonk.models.policy import ActorCritic
from metabonk.play.compiled import CompiledPolicy, compile
from metabonk.protocols import Array

BATCH = 4


def worst(model: ActorCritic, policy: CompiledPolicy, seen: list[dict[str, Array]]) -> float:
    """The largest difference from torch's likeliest actions and recurrent state over all steps;
    of numbers beyond 1 as a part of them."""
    actor, first = Actor(model, sampled=False), np.ones(BATCH, np.bool_)
    state, most = actor.reset(BATCH), 0.0
    policy.reset()
    for observation in seen:
        rows, state = actor.act(observation, state, first)
        first[:] = False
        found, (carried,) = policy.step(observation), policy.states()
        for mine, theirs in ((found, rows), (carried, state.hidden.numpy())):
            apart = np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1.0)
            most = max(most, float(apart.max()))
    return most


def test_hundreds_of_steps_without_a_reset_do_not_drift() -> None:
    model = NETWORKS["mamba"]()
    seen = observations(model, BATCH, 400)
    assert worst(model, compile(model, batch=BATCH, sampled=False), seen) < 1e-5
    other = compile(NETWORKS["mamba"](1), batch=BATCH, sampled=False)
    assert worst(model, other, seen) > 1e-2  # the control: other weights


def test_new_weights_reach_every_part_of_the_cell() -> None:
    """Also those of which the program keeps only what follows from them, as exp(A_log)."""
    model = NETWORKS["mamba"]()
    policy = compile(model, batch=BATCH, sampled=False)
    seen = observations(model, BATCH, 20)
    generator = torch.Generator().manual_seed(4)
    cell = [p for name, p in model.named_parameters() if name.startswith("mamba.")]
    assert len(cell) > 8
    for parameter in cell:
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        assert worst(model, policy, seen) > 1e-4  # what it had is not what there is now
        policy.refresh()
        assert worst(model, policy, seen) < 1e-5
        with torch.no_grad():
            parameter.copy_(before)
        policy.refresh()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_is_flat_over_ten_thousand_decisions() -> None:
    model = NETWORKS["mamba"]()
    policy = compile(model, batch=BATCH)
    bound = policy.bind(observations(model, BATCH, 1)[0])
    (state,) = policy.states()
    size = state.shape

    def pages(steps: int) -> int:
        for _ in range(steps):
            bound.step()
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = pages(200)
    assert pages(10_000) - before < 64
    assert policy.states()[0].shape == size == (BATCH, model.state_size)
    assert np.isfinite(state).all()
    assert np.abs(state).max() > 0

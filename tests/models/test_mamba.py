"""Mamba: steps and sequences, forgetting, the true time step, what is kept, and what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import ModelConfig
from metabonk.models.mamba import Mamba, Mixer
from metabonk.models.policy import MambaPilot, build
from metabonk.spaces import ActionLayout

STEPS, BATCH, WIDTH = 9, 3, 6


def problem(module: Mixer | Mamba) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, state, dt and keep, in float64; a row forgets twice in a row."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, BATCH, WIDTH, generator=g, dtype=torch.float64)
    state = torch.randn(BATCH, module.state_size, generator=g, dtype=torch.float64)
    dt = torch.rand(STEPS, BATCH, 1, generator=g, dtype=torch.float64) * 3
    keep = torch.ones(STEPS, BATCH, 1, dtype=torch.float64)
    keep[[2, 3, 7], [0, 0, 1]] = 0.0
    return x, state, dt, keep


def shaken(module: Mixer | Mamba) -> Mixer | Mamba:
    """In float64, with weights that all matter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return module.double()


MODULES = {
    "mixer": lambda: Mixer(WIDTH, states=5),
    "one tap": lambda: Mixer(WIDTH, states=5, taps=1),
    "two taps": lambda: Mixer(WIDTH, states=2, taps=2),
    "constant": lambda: Mixer(WIDTH, states=3, selective=False),
    "two layers": lambda: Mamba(WIDTH, 2, states=3),
}


@pytest.mark.parametrize("name", MODULES)
def test_single_steps_equal_the_sequence(name: str) -> None:
    module = shaken(MODULES[name]())
    x, state, dt, keep = problem(module)
    whole, last = module.sequence(x, state, dt, keep)
    for t in range(STEPS):
        out, state = module(x[t], state, dt[t], keep[t])
        torch.testing.assert_close(out, whole[t], atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(state, last, atol=1e-12, rtol=1e-12)
    assert last.shape == (BATCH, module.state_size)


@pytest.mark.parametrize("name", MODULES)
def test_gradients_of_steps_equal_those_of_the_sequence(name: str) -> None:
    module = shaken(MODULES[name]())
    x, state, dt, keep = problem(module)
    found = []
    for stepped in (False, True):
        leaves = [t.clone().requires_grad_() for t in (x, state, dt)]
        carried, out = leaves[1], []
        if stepped:
            for t in range(STEPS):
                y, carried = module(leaves[0][t], carried, leaves[2][t], keep[t])
                out.append(y)
            loss = torch.stack(out).square().sum() + carried.sum()
        else:
            y, carried = module.sequence(leaves[0], carried, leaves[2], keep)
            loss = y.square().sum() + carried.sum()
        found.append(torch.autograd.grad(loss, [*leaves, *module.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("name", MODULES)
def test_what_is_forgotten_leaves_no_trace_in_numbers_or_gradients(name: str) -> None:
    module = shaken(MODULES[name]())
    x, state, dt, keep = problem(module)
    x.requires_grad_()
    state.requires_grad_()
    whole, last = module.sequence(x, state, dt, keep)
    fresh, ended = module.sequence(x[3:], torch.zeros_like(state), dt[3:])
    torch.testing.assert_close(whole[3:, 0], fresh[:, 0], atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(last[0], ended[0], atol=1e-12, rtol=1e-12)
    assert not torch.allclose(whole[3:, 2], fresh[:, 2])  # the control: this row kept everything
    d_x, d_state = torch.autograd.grad(whole[3:].sum() + last.sum(), [x, state])
    assert (d_x[:3, 0] == 0).all()
    assert (d_state[0] == 0).all()
    assert d_x[2, 2].abs().max() > 0
    assert d_state[2].abs().max() > 0


def test_the_true_time_step_is_what_passes() -> None:
    """With nothing written, three steps of 1 are one of 3, and a step of 0 leaves all as it is."""
    module = Mixer(WIDTH, states=4, taps=1).double()
    with torch.no_grad():
        module.x_proj.weight.zero_()
    x, state, _, _ = problem(module)
    ones = torch.ones(BATCH, 1, dtype=torch.float64)
    after = state
    for _ in range(3):
        _, after = module(x[0], after, ones)
    torch.testing.assert_close(module(x[0], state, 3 * ones)[1], after)
    assert torch.equal(module(x[0], state, 0 * ones)[1], state)
    assert not torch.allclose(after, state)
    assert torch.equal(module(x[0], state, ones)[1], module(x[0], state)[1])


def test_it_begins_with_step_sizes_between_a_thousandth_and_a_tenth() -> None:
    sizes = nn.functional.softplus(Mixer(64).dt_proj.bias.detach())
    assert 0.99e-3 < sizes.min() < 3e-3
    assert 0.03 < sizes.max() < 0.101


def test_errors_name_the_argument() -> None:
    for wrong in ({"states": 0}, {"taps": 0}, {"expand": -1}, {"layers": 0}):
        (name,) = wrong
        with pytest.raises(ValueError, match=f"{name}: .*wanted 1 or more"):
            Mamba(4, **wrong)
    for module in (Mixer(4), Mamba(4, 2)):
        wanted = rf"state: \[2, 3\]; wanted \[2, {module.state_size}\]"
        with pytest.raises(ValueError, match=wanted):
            module(torch.zeros(2, 4), torch.zeros(2, 3))


# In a process of its own: what other tests left free would take in much of what is kept.
GROWN = """
import gc, resource, torch
from pathlib import Path
from metabonk.models.mamba import Mixer

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def added(steps, hoard=None):
    torch.manual_seed(0)
    module = Mixer(16)
    state, x = module.initial_state(4), torch.randn(4, 16)
    size = state.shape
    with torch.no_grad():
        for t in range(200 + steps):
            if t == 200:
                gc.collect()
                before = resident()
            y, state = module(x, state)
            if hoard is not None:
                hoard.append(state)
    assert state.shape == size
    assert torch.isfinite(state).all()
    assert torch.isfinite(y).all()
    return resident() - before

print(added(10_000), added(6_000, []))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_is_flat_over_ten_thousand_steps() -> None:
    """The control keeps every state, 9.7 kB each, and is seen to."""
    done = subprocess.run([sys.executable, "-c", GROWN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    flat, grown = map(int, done.stdout.split())
    assert flat < 2**20
    assert grown > 32 * 2**20


def policy(timed: bool = True) -> MambaPilot:
    space = {"x": gs.Box(-1.0, 1.0, (5,), np.float32)}
    if timed:
        space["dt"] = gs.Box(0.0, 10.0, (1,), np.float32)
    layout = ActionLayout.of(gs.Discrete(3))
    model = build(gs.Dict(space), layout, ModelConfig(name="mamba", hidden=16), seed=2)
    assert isinstance(model, MambaPilot)
    return model


def test_the_policy_carries_one_tensor_of_its_state_size() -> None:
    model = policy()
    assert model.state_size == 16 * 2 * (16 + 3)
    seen = {"x": torch.rand(4, 5), "dt": torch.full((4, 1), 0.1)}
    out = model.step(seen, model.initial_state(4), torch.ones(4, dtype=torch.bool))
    assert out.state.shape == (4, model.state_size)
    assert out.parameters.shape == (4, 3)


def test_a_first_observation_is_remembered_whatever_its_time() -> None:
    model, first = policy(), torch.tensor([True])
    seen = torch.rand(1, 5)
    start, later = model.initial_state(1), torch.zeros(1, dtype=torch.bool)
    scan = 16 * 2 * 3  # where the scan's state begins
    states = [
        model.step({"x": seen, "dt": torch.full((1, 1), dt)}, start, is_first).state[:, scan:]
        for dt, is_first in ((0.0, first), (3.0, first), (0.0, later))
    ]
    assert torch.equal(states[0], states[1])
    assert states[0].abs().max() > 0
    assert (states[2] == 0).all()  # the control: no time passed, so nothing came in


def test_without_a_time_every_step_is_usual() -> None:
    timed, untimed = policy(), policy(timed=False)
    untimed.load_state_dict(timed.state_dict())
    x = torch.rand(6, 2, 5)
    first = torch.zeros(6, 2, dtype=torch.bool)
    state = torch.randn(2, timed.state_size)
    usual = torch.full((6, 2, 1), 1.0 / 15.0)
    one = timed.sequence({"x": x, "dt": usual}, state, first)
    other = untimed.sequence({"x": x}, state, first)
    torch.testing.assert_close(one.parameters, other.parameters)
    slow = timed.sequence({"x": x, "dt": 4 * usual}, state, first)
    assert not torch.allclose(slow.parameters, other.parameters)

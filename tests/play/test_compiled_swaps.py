"""Compiled policies whose weights change: swapped between two steps, or followed as they learn."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import NETWORKS, observations

from metabonk import _core
from metabonk.errors import CompileError
from metabonk.play.compiled import compile, load

TIERS = ("baseline", "avx2", "avx512")


def test_weights_are_swapped_between_two_steps() -> None:
    one, other = (compile(NETWORKS["pilot"](seed), sampled=False) for seed in (0, 1))
    (seen,) = observations(NETWORKS["pilot"](), 1, 1)
    wanted = []
    for policy in (one, other):
        policy.reset()
        wanted.append(policy.step(seen).copy())
    assert not np.array_equal(*wanted)
    for source, want in (
        (other, wanted[1]),
        (compile(NETWORKS["pilot"](0), sampled=False), wanted[0]),
    ):
        one.swap(source)
        one.reset()
        assert np.array_equal(one.step(seen), want)
    assert one.swaps == 2
    with pytest.raises(CompileError, match="another program"):
        one.swap(compile(NETWORKS["pilot"](0), "int8", sampled=False))


@pytest.mark.parametrize("way", ["swap", "refresh"])
@pytest.mark.parametrize("capped", TIERS)
def test_new_weights_are_read_as_the_first_ones_when_the_tier_was_capped_since(
    capped: str, way: str
) -> None:
    """Packed for the kernels that the policy has, not for those that are active by now: 24 units
    are no multiple of AVX-512's vectors, so that panels of another width end too early."""
    detected = str(_core.support.detected_tier())
    if TIERS.index(capped) > TIERS.index(detected):
        pytest.skip(f"this processor has no {capped}")
    model, other = NETWORKS["pilot"](0), NETWORKS["pilot"](1)
    policy = compile(model, sampled=False)
    wanted = compile(other, sampled=False)
    seen = observations(model, 1, 4)
    model.load_state_dict(other.state_dict())
    wanted.reset()
    rows = [wanted.step(one).copy() for one in seen]
    try:
        _core.support.cap_tier(capped)
        if way == "swap":
            policy.swap(wanted)
        else:
            policy.refresh()
        policy.reset()
        found = [policy.step(one).copy() for one in seen]
    finally:
        _core.support.cap_tier(detected)
    assert np.array_equal(found, rows)


def test_swapping_from_another_thread_tears_nothing() -> None:
    policies = [compile(NETWORKS["mlp"](seed), sampled=False) for seed in (0, 1)]
    (seen,) = observations(NETWORKS["mlp"](), 1, 1)
    allowed = [policy.step(seen).copy() for policy in policies]
    runner = compile(NETWORKS["mlp"](0), sampled=False)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for policy in policies:
                runner.swap(policy)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        rows = []
        while runner.swaps <= 10:
            rows.append(runner.step(seen).copy())
    finally:
        over.set()
        thread.join()
    assert all(any(np.array_equal(row, one) for one in allowed) for row in rows)


def test_a_network_that_learns_is_followed(tmp_path: Path) -> None:
    model = NETWORKS["arena"]()
    policy = compile(model, batch=2, sampled=False)
    (seen,) = observations(model, 2, 1)
    policy.reset()
    before = policy.step(seen).copy()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-1.5)
        for key, buffer in model.named_buffers():
            if key.endswith("mean"):
                buffer.add_(0.1)
    policy.save(tmp_path / "before")  # until it is told to follow, nothing of it changes
    saved = load(tmp_path / "before")
    for one in (policy, saved):
        one.reset()
        assert np.array_equal(one.step(seen), before)
    policy.refresh()
    policy.reset()
    fresh = compile(model, batch=2, sampled=False)
    after = policy.step(seen)
    assert np.array_equal(after, fresh.step(seen))
    assert not np.array_equal(after, before)
    for key, tensor in fresh.program.tensors.items():
        assert np.array_equal(tensor, policy.program.tensors[key]), key


@pytest.mark.parametrize("way", ["flat", "assigned"])
def test_a_network_whose_parameters_moved_is_followed(way: str) -> None:
    """To other memory, as optimisers do that keep all of it in one piece."""
    model, other = NETWORKS["pilot"](0), NETWORKS["pilot"](1)
    policy, wanted = compile(model, sampled=False), compile(other, sampled=False)
    (seen,) = observations(model, 1, 1)
    if way == "assigned":
        model.load_state_dict(other.state_dict(), assign=True)
    else:
        with torch.no_grad():
            for parameter, theirs in zip(model.parameters(), other.parameters(), strict=True):
                parameter.data = theirs.detach().clone()
        model.load_state_dict(other.state_dict())  # and the statistics
    for one in (policy, wanted):
        one.reset()
    assert not np.array_equal(policy.step(seen), wanted.step(seen))
    policy.refresh()
    for one in (policy, wanted):
        one.reset()
    assert np.array_equal(policy.step(seen), wanted.step(seen))


def test_a_network_that_became_another_is_refused() -> None:
    model = NETWORKS["mlp"]()
    policy = compile(model, sampled=False)
    (seen,) = observations(model, 1, 1)
    before = policy.step(seen).copy()
    name, parameter = next(iter(model.named_parameters()))
    exact = parameter.data
    parameter.data = exact.half()
    with pytest.raises(CompileError, match=f"{name} is torch.float16 .*compiled as torch.float32"):
        policy.refresh()
    parameter.data = exact[:-1]
    with pytest.raises(CompileError, match=f"{name} is torch.float32 .*compile the network anew"):
        policy.refresh()
    path, _, last = name.rpartition(".")
    delattr(model.get_submodule(path), last)
    with pytest.raises(CompileError, match=f"no model.{name} any more"):
        policy.refresh()
    assert policy.swaps == 0
    assert np.array_equal(policy.step(seen), before)

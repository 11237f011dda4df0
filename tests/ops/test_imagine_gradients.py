"""Gradients of dreams: every backend on every tier against the formula in float64, torch's own
checks of the op, and refusals."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from imagine_cases import (
    CASES,
    GIVEN,
    Case,
    Start,
    exact_gradients,
    fresh,
    leaves_of,
    settings,
    start,
    starts_of,
    with_gradients,
)
from rssm_cases import Size, Within
from torch import Tensor

from metabonk.ops import imagine as op
from metabonk.ops.rssm_weights import RssmWeights


@pytest.mark.parametrize("case", CASES)
def test_every_gradient_follows_the_formula(
    way: tuple[str, str], within: Within, case: Case
) -> None:
    backend, loops = way
    for given in starts_of(case):
        dream, found = with_gradients(op.imagine, given, **settings(case), backend=backend)
        for mine, theirs in zip(found, exact_gradients(given, case, dream), strict=True):
            assert mine.shape == theirs.shape
            worst = (mine - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-3)
            within("imagine, gradients", loops, worst)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("of", [*((name,) for name in GIVEN), ("policy", "log_prob")])
@pytest.mark.parametrize("case", [CASES[1], CASES[2]])
def test_gradients_of_single_results(
    tier: str, backend: str, of: tuple[str, ...], case: Case
) -> None:
    given = start(case)
    dream, found = with_gradients(op.imagine, given, of=of, **settings(case), backend=backend)
    for mine, theirs in zip(found, exact_gradients(given, case, dream, of=of), strict=True):
        size = max(theirs.abs().max().item(), 1e-3)
        torch.testing.assert_close(mine, theirs.float(), atol=1e-5 * size, rtol=0)


def test_the_gradient_of_squashed_gaussians_is_the_derivative() -> None:
    case = Case(Size(2, 2, 2, 0, 3, 3, 2, 0), (3,), True)
    given = fresh(start(case, torch.float64))

    def run(*leaves: Tensor) -> tuple[Tensor, ...]:
        weights, actor = RssmWeights(*leaves[2:12]), leaves[12:]
        layers = list(zip(actor[::2], actor[1::2], strict=True))
        noises = given.noise, given.action_noise
        dream = op.imagine(*leaves[:2], *noises, weights, layers, **settings(case))
        return tuple(getattr(dream, name) for name in GIVEN)

    assert torch.autograd.gradcheck(run, leaves_of(given))


def test_gradients_stay_finite_where_actions_saturate(tier: str) -> None:
    case = CASES[2]
    given = start(case)
    far = given._replace(action_noise=given.action_noise * 1e3)
    for backend in ("native", "torch"):
        _, found = with_gradients(op.imagine, far, **settings(case), backend=backend)
        assert all(g.isfinite().all() for g in found)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("case", [CASES[1], CASES[2], CASES[4]])
def test_recording_changes_nothing(tier: str, backend: str, case: Case) -> None:
    given = start(case)
    with torch.inference_mode():
        plain = op.imagine(*given, **settings(case), backend=backend)
    recorded = op.imagine(*fresh(given), **settings(case), backend=backend)
    for one, two in zip(plain, recorded, strict=True):
        assert one is two is None or torch.equal(one, two.detach())


def test_gradients_do_not_depend_on_threads(tier: str) -> None:
    case, before = CASES[2], torch.get_num_threads()
    case = case._replace(size=case.size._replace(steps=15, batch=301, hidden=96, deter=80))
    given = start(case)
    try:
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(with_gradients(op.imagine, given, **settings(case), backend="native")[1])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
        assert one.abs().max() > 0


def arguments_of(given: Start, case: Case, saving: bool) -> tuple[Any, ...]:
    """As torch.ops.metabonk.imagine takes them."""
    flat = [t for layer in given.actor for t in layer]
    weights = given.weights.prior().given()
    numbers = case.squashed, case.size.classes, 0.01, 0.1, 0.1
    return (*given[:4], weights, flat, *numbers, saving, "native")


@pytest.mark.parametrize("saving", [False, True])
def test_torch_finds_nothing_wrong_with_the_op(saving: bool) -> None:
    for case in (CASES[1], CASES[4]):
        given = fresh(start(case)) if saving else start(case)
        arguments = arguments_of(given, case, saving)
        torch.library.opcheck(torch.ops.metabonk.imagine.default, arguments)


def test_it_is_one_node_of_a_compiled_graph() -> None:
    case = CASES[1]
    given = fresh(start(case))
    run = functools.partial(op.imagine, **settings(case))
    compiled = torch.compile(run, fullgraph=True)
    for mine, theirs in zip(
        torch.autograd.grad(compiled(*given).log_prob.sum(), leaves_of(given), allow_unused=True),
        torch.autograd.grad(run(*given).log_prob.sum(), leaves_of(given), allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_a_gradient_of_what_was_not_computed_is_refused() -> None:
    case = CASES[1]
    given = start(case)
    *arguments, _, backend = arguments_of(given, case, True)
    saved = torch.ops.metabonk.imagine(*arguments, True, backend)
    pulls = [torch.ones_like(saved[i]) for i in (0, 1, 2, 4, 5, 6)]
    run = torch.ops.metabonk.imagine_backward
    leaves, numbers = arguments[:6], arguments[6:]
    assert len(run(pulls, *leaves, saved, *numbers, backend)) == 2 + 10 + 4
    for at, name in ((0, "deter"), (3, "indices"), (5, "log_prob"), (8, "gates"), (10, "units")):
        wrong = [t[:-1] if i == at else t for i, t in enumerate(saved)]
        with pytest.raises(ValueError, match=f"imagine: the saved {name} is .*; wanted"):
            run(pulls, *leaves, wrong, *numbers, backend)
    with pytest.raises(ValueError, match=r"imagine: the gradient of action is .*; wanted"):
        run([*pulls[:3], pulls[3][:1], *pulls[4:]], *leaves, saved, *numbers, backend)
    unsaved = torch.ops.metabonk.imagine(*arguments_of(fresh(given), case, False))
    with pytest.raises(RuntimeError, match="called with saving=False"):
        unsaved[0].sum().backward()
    again = fresh(given)
    dream = op.imagine(*again, **settings(case))
    (first,) = torch.autograd.grad(dream.deter.sum(), again.deter, create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of its own"):
        torch.autograd.grad(first.sum(), again.deter)

"""The backend "triton" of dreams, in the interpreter, against the formula in float64: results,
gradients through what it saved, samples, registration, and what it refuses."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from metabonk.kernels.cases import Case, cases
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import imagine as op
from metabonk.ops.rssm_weights import RssmWeights

DREAMS = [case for case in cases(("imagine",)) if case.small]
# The largest error that was seen over these sizes, norm over norm; twice as much fails.
WORST, WORST_GRADIENT = 2e-7, 3e-7


class Given(NamedTuple):
    """The arguments of `imagine` in order."""

    deter: Tensor
    stoch: Tensor
    noise: Tensor
    action_noise: Tensor
    weights: RssmWeights
    actor: list[tuple[Tensor, Tensor]]

    def leaves(self) -> list[Tensor]:
        state = [t for t in self[:2] if t.is_floating_point()]
        return [*state, *self.weights.given(), *(t for layer in self.actor for t in layer)]

    def double(self) -> Given:
        """In float64, with classes as they are."""

        def wide(t: Tensor) -> Tensor:
            return t.detach().double() if t.is_floating_point() else t

        weights = RssmWeights(*(wide(w) for w in self.weights.given()))
        return Given(*map(wide, self[:4]), weights, [(wide(w), wide(b)) for w, b in self.actor])


def problem(case: Case, seed: int = 0) -> tuple[Given, dict[str, Any]]:
    """A small case's arguments, and what else the op wants to know of them."""
    given = case.make("cpu", seed)
    names = "w_in", "b_in", "w_ih", "w_hh", "b_ih", "b_hh", "w_prior", "b_prior"
    weights = RssmWeights(*(given[n] for n in (*names, "w_prior_out", "b_prior_out")))
    count = sum(name.startswith("w_actor") for name in given)
    actor = [(given[f"w_actor_{i}"], given[f"b_actor_{i}"]) for i in range(count)]
    starts = (given[n] for n in ("deter", "stoch", "noise", "action_noise"))
    classes = 0 if given["stoch"].is_floating_point() else len(weights.b_prior_out)
    how = {
        "squashed": "squashed" in case.name,
        "classes": classes // given["noise"].shape[-1],
    }
    return Given(*starts, weights, actor), how


def distance(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    found, wanted = found.detach().double(), wanted.detach()
    return float((found - wanted).norm() / (wanted.norm() or 1.0))


@pytest.mark.parametrize("case", DREAMS, ids=lambda case: case.name.replace(" ", "-"))
@pytest.mark.parametrize("numbers", [False, True])
def test_results_and_gradients(case: Case, numbers: bool, guard: Any) -> None:
    given, how = problem(case)
    generator = torch.Generator().manual_seed(2)
    if numbers and how["classes"]:  # a state that is no classes yet
        columns = given.stoch.shape[1] * how["classes"]
        wide = torch.randn(len(given.stoch), columns, generator=generator)
        given = given._replace(stoch=wide)
    exact = given.double()
    for leaf in (*given.leaves(), *exact.leaves()):
        leaf.requires_grad_()
    found = op.imagine(*given, **how, backend="triton")
    choice = None if how["squashed"] else found.action.detach().argmax(-1, keepdim=True).int()
    wanted = op.reference(*exact, **how, index=found.indices, choice=choice)
    parts = [
        (mine, theirs)
        for name, mine, theirs in zip(found._fields, found, wanted, strict=True)
        if name != "indices"
    ]
    assert max(distance(mine, theirs) for mine, theirs in parts) <= 2 * WORST
    pulls = [torch.randn(mine.shape, generator=generator) for mine, _ in parts]
    mine_all = torch.autograd.grad([m for m, _ in parts], given.leaves(), pulls)
    theirs_all = torch.autograd.grad(
        [w for _, w in parts], exact.leaves(), [p.double() for p in pulls]
    )
    worst = max(map(distance, mine_all, theirs_all))
    assert worst <= 2 * WORST_GRADIENT


@pytest.mark.parametrize("case", DREAMS, ids=lambda case: case.name.replace(" ", "-"))
def test_draws_what_noise_picks_and_saving_changes_nothing(case: Case, guard: Any) -> None:
    given, how = problem(case, seed=1)
    found = op.imagine(*given, **how, backend="triton")
    torchs = op.imagine(*given, **how, backend="torch")
    if not how["squashed"]:
        assert torch.equal(found.action, torchs.action)
    if how["classes"]:
        assert found.indices is not None
        assert torchs.indices is not None
        assert torch.equal(found.indices, torchs.indices)
    given.deter.requires_grad_()
    saved = op.imagine(*given, **how, backend="triton")
    for one, two in zip(found, saved, strict=True):
        assert one is two is None or torch.equal(one, two.detach())  # type: ignore[union-attr]


def test_what_it_cannot_take_goes_to_torch_or_is_refused() -> None:
    """Also with "auto", which takes neither native code nor this for float64."""
    given, how = problem(DREAMS[0])
    wide = given.double()
    assert op.backends() == ("native", "triton", "torch")
    assert op.imagine(*wide, **how).deter.dtype == torch.float64
    with pytest.raises(BackendError, match=r"triton cannot take deter of torch\.float64"):
        op.imagine(*wide, **how, backend="triton")
    weight, bias = given.actor[0]
    given.actor[0] = (weight.t().contiguous().t(), bias)
    with pytest.raises(BackendError, match=r"triton cannot take actor\[0\] weight with strides"):
        op.imagine(*given, **how, backend="triton")
    given, how = problem(DREAMS[0])
    given.stoch[1, 0] = how["classes"]
    with pytest.raises(ValueError, match="no class"):
        op.imagine(*given, **how, backend="triton")


def test_registration_holds() -> None:
    given, how = problem(DREAMS[-1])
    for leaf in given.leaves():
        leaf.requires_grad_()
    flat = [t for layer in given.actor for t in layer]
    numbers = how["squashed"], how["classes"], 0.01, 0.1, 0.1, True, "triton"
    arguments = (*given[:4], given.weights.given(), flat, *numbers)
    torch.library.opcheck(torch.ops.metabonk.imagine, arguments)

"""Plans of dreams: equal to the op, following their memory, without allocation, refusing what
cannot be bound."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from allocations import allocated
from imagine_cases import CASES, Case, Start, settings, start, starts_of
from rssm_cases import classes_of, same
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import imagine as op

SMALL = CASES[1]


def native(given: Start, case: Case) -> op.Dream:
    return op.imagine(*given, **settings(case), backend="native")


@pytest.mark.parametrize("case", CASES)
def test_a_plan_equals_the_op_and_follows_its_memory(tier: str, case: Case) -> None:
    for given in starts_of(case):
        plan = op.plan(*given, **settings(case))
        assert plan.tier == {"baseline": "portable"}.get(tier, tier)
        for _ in range(2):
            plan.step()
            assert same(plan.out, native(given, case))
            given.deter.neg_()
            given.action_noise.mul_(0.5)


def test_a_plan_takes_threads_where_there_is_work_and_gives_the_same() -> None:
    case = CASES[2]
    size = case.size._replace(steps=15, batch=301, hidden=96, deter=80)
    large = case._replace(size=size)
    given = start(large)
    plans = [op.plan(*given, **settings(large), threads=n) for n in (1, 3)]
    assert [plan.threads for plan in plans] == [1, 3]
    assert op.plan(*start(case), **settings(case), threads=3).threads == 1
    for plan in plans:
        plan.step()
    assert same(plans[0].out, plans[1].out)


def test_a_plan_stays_on_its_tier_and_takes_new_weights() -> None:
    given = start(SMALL)
    plan = op.plan(*given, **settings(SMALL))
    made_on, before = plan.tier, _core.support.active_tier()
    try:
        _core.support.cap_tier("baseline")
        plan.step()
        assert plan.tier == made_on
    finally:
        _core.support.cap_tier(before)
    old = plan.out.deter.clone()
    for tensor in (*given.weights.given(), *(t for layer in given.actor for t in layer)):
        tensor.mul_(0.5)
    plan.step()
    assert torch.equal(plan.out.deter, old)  # it has its own copy, of biases too
    plan.load(given.weights, given.actor)
    plan.step()
    assert same(plan.out, native(given, SMALL))
    assert not torch.equal(plan.out.deter, old)
    with pytest.raises(ValueError, match=r"imagine: w_hh is .*wanted"):
        plan.load(given.weights._replace(w_hh=given.weights.w_hh[:4]), given.actor)
    with pytest.raises(ValueError, match="actor has 1 layers; wanted 2 as in the plan"):
        plan.load(given.weights, given.actor[:1])
    (weight, bias), last = given.actor
    with pytest.raises(ValueError, match=r"actor\[0\] weight is .*wanted"):
        plan.load(given.weights, [(weight[:-1], bias), last])
    with pytest.raises(ValueError, match=r"cannot bind actor\[0\] weight with strides"):
        plan.load(given.weights, [(weight.t().contiguous().t(), bias), last])
    plan.step()
    assert same(plan.out, native(given, SMALL))


def test_a_step_alone_holds_the_memory_it_was_bound_to() -> None:
    given = start(SMALL)
    want = native(given, SMALL)
    held = [weakref.ref(t) for t in given[:4]]
    plan = op.plan(*given, **settings(SMALL))
    step, out = plan.step, plan.out
    del plan, given
    gc.collect()
    assert all(ref() is not None for ref in held)
    step()
    assert same(out, want)
    del step
    assert all(ref() is None for ref in held)


def test_a_step_allocates_nothing() -> None:
    plan = op.plan(*start(CASES[2]), **settings(CASES[2]))
    plan.step()
    found = allocated(plan.step)
    assert found.kept == 0
    assert found.peak < 256  # the loop's own counter


def test_an_index_that_is_no_class_is_refused_before_anything_is_written() -> None:
    given = start(SMALL)._replace(stoch=classes_of(SMALL.size))
    plan = op.plan(*given, **settings(SMALL))
    plan.step()
    old = plan.out.deter.clone()
    given.stoch[3, 2] = SMALL.size.classes
    given.deter.neg_()
    with pytest.raises(ValueError, match=r"stoch: row 3 holds 5, .*wanted 0 to 4"):
        plan.step()
    assert torch.equal(plan.out.deter, old)


def test_what_cannot_be_bound_is_named() -> None:
    given = start(SMALL)
    out = native(given, SMALL)
    good: dict[str, Any] = settings(SMALL)

    def refused(what: str, *arguments: Any, **more: Any) -> None:
        with pytest.raises(ValueError, match=f"imagine: {what}"):
            op.plan(*arguments, **(good | more))

    def strided(t: Tensor) -> Tensor:
        return t.repeat_interleave(2, -1)[..., ::2]

    for name in ("deter", "stoch", "noise"):
        bad = given._replace(**{name: strided(getattr(given, name))})
        refused(f"cannot bind {name} with strides", *bad)
    refused("w_hh requires a gradient", *given._replace(
        weights=given.weights._replace(w_hh=given.weights.w_hh.clone().requires_grad_())
    ))  # fmt: skip
    refused(r"out\.prior shares memory with deter", *given._replace(
        deter=out.prior.flatten()[: given.deter.numel()].view_as(given.deter)
    ), out=out)  # fmt: skip
    refused(r"out\.deter is .*wanted", *given, out=out._replace(deter=out.deter[:-1]))
    refused(r"out\.indices is None; wanted \[4, 5, 4\]", *given, out=out._replace(indices=None))
    refused(r"out\.action is None; wanted", *given, out=out._replace(action=None))  # type: ignore[arg-type]
    refused("threads is 0", *given, threads=0)
    with pytest.raises(BackendError, match="no plan of backend 'torch'; here are: native"):
        op.plan(*given, **good, backend="torch")
    gaussian = start(CASES[3])
    indexed = native(gaussian, CASES[3])._replace(indices=classes_of(SMALL.size))
    with pytest.raises(ValueError, match=r"out\.indices is given; wanted None"):
        op.plan(*gaussian, **settings(CASES[3]), out=indexed)

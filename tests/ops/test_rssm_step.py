"""RSSM steps: the traced door against the sequence, and plans: equal, without allocation, carrying
their state, refusing what cannot be bound."""

from __future__ import annotations

import functools
import gc
import weakref

import pytest
import torch
from allocations import allocated
from rssm_cases import (
    NAMES,
    SIZES,
    Problem,
    Size,
    Within,
    classes_of,
    fresh,
    one_step,
    problem,
    same,
    with_gradients,
)

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import rssm_scan as scan
from metabonk.ops import rssm_step as op
from metabonk.ops.rssm_weights import RssmWeights

SMALL = SIZES[1]


@pytest.mark.parametrize("size", SIZES)
def test_steps_follow_the_formula(way: tuple[str, str], within: Within, size: Size) -> None:
    backend, loops = way
    p = one_step(problem(size))
    found = op.rssm_step(*p, classes=size.classes, backend=backend)
    given = fresh(p, torch.float64)
    exact = op.reference(*given, classes=size.classes, index=found.indices)
    rows = ("states", "samples", "parameters", "parameters")
    for row, mine, theirs in zip(rows, found, exact, strict=False):
        if mine is not None:
            worst = (mine - theirs.detach()).abs().max().item()  # type: ignore[union-attr]
            within(f"rssm_step, {row}", loops, worst)


@pytest.mark.parametrize("backend", op.backends())
@pytest.mark.parametrize("size", SIZES)
def test_a_step_is_a_sequence_of_one(tier: str, backend: str, size: Size) -> None:
    p = problem(size)
    first = Problem(p.deter, p.stoch, *(None if t is None else t[:1] for t in p[2:6]), p.weights)  # type: ignore[arg-type]
    run = functools.partial(op.rssm_step, classes=size.classes, backend=backend)
    found, gradients = with_gradients(run, one_step(p))
    want, exact = with_gradients(
        functools.partial(scan.rssm_scan, classes=size.classes, backend=backend), first
    )
    for mine, theirs in zip(found, want, strict=True):
        assert mine is theirs is None or torch.equal(mine, theirs[0])
    for mine, theirs in zip(gradients, exact, strict=True):
        assert torch.equal(mine.flatten(), theirs.flatten())


def test_torch_finds_nothing_wrong_with_the_op() -> None:
    p = fresh(one_step(problem(SMALL)))
    given = (*p[:6], p.weights.given(), SMALL.classes, 0.01, 0.1, True, "native")
    torch.library.opcheck(torch.ops.metabonk.rssm_step.default, given)


def test_it_is_one_node_of_a_compiled_graph() -> None:
    p = fresh(one_step(problem(SMALL)))
    run = functools.partial(op.rssm_step, classes=SMALL.classes)
    compiled = torch.compile(run, fullgraph=True)
    torch.testing.assert_close(compiled(*p).posterior, run(*p).posterior)


@pytest.mark.parametrize("batch", [1, 2, 7, 49, 256, 257, 600])
@pytest.mark.parametrize("size", [SIZES[1], SIZES[2], SIZES[4], SIZES[5]])
def test_a_plan_equals_the_op_and_follows_its_memory(tier: str, batch: int, size: Size) -> None:
    p = one_step(problem(size._replace(batch=batch)))
    states = [p.stoch] + ([classes_of(size._replace(batch=batch))] if size.classes else [])
    for stoch in states:
        given = p._replace(stoch=stoch, action=p.action.clone())
        plan = op.plan(*given, classes=size.classes)
        assert plan.tier == {"baseline": "portable"}.get(tier, tier)
        for _ in range(2):
            plan.step()
            assert same(plan.out, op.rssm_step(*given, classes=size.classes, backend="native"))
            given.action.neg_()
    without = op.plan(*p._replace(keep=None), classes=size.classes)
    without.step()
    want = op.rssm_step(*p._replace(keep=None), classes=size.classes, backend="native")
    assert same(without.out, want)


@pytest.mark.parametrize("size", [SIZES[1], SIZES[2], SIZES[4]])
def test_a_plan_carries_the_state_in_place(tier: str, size: Size) -> None:
    p = one_step(problem(size._replace(batch=300)))
    p = p._replace(stoch=classes_of(size._replace(batch=300)) if size.classes else p.stoch)
    fresh_out = op.rssm_step(*p, classes=size.classes, backend="native")
    out = fresh_out._replace(deter=p.deter)
    out = out._replace(indices=p.stoch) if size.classes else out._replace(stoch=p.stoch)
    state = p.deter.clone(), p.stoch.clone()
    plan = op.plan(*p, classes=size.classes, out=out)
    for _ in range(3):
        want = op.rssm_step(*state, *p[2:], classes=size.classes, backend="native")
        plan.step()
        assert same(plan.out, want)
        state = want.deter, want.stoch if want.indices is None else want.indices


def test_a_plan_may_leave_the_prior_out() -> None:
    p = one_step(problem(SMALL))
    want = op.rssm_step(*p, classes=SMALL.classes, backend="native")
    out = op.RssmStates(*(torch.zeros_like(t) for t in want if t is not None))
    plan = op.plan(*p, classes=SMALL.classes, out=out._replace(prior=None))  # type: ignore[arg-type]
    plan.step()
    assert torch.equal(plan.out.stoch, want.stoch)
    assert torch.equal(out.posterior, want.posterior)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 49, 259])
@pytest.mark.parametrize("size", SIZES[1:])
def test_a_plan_of_a_sequence_equals_the_op(tier: str, batch: int, size: Size) -> None:
    size = size._replace(batch=batch)
    p = problem(size)
    for stoch in [p.stoch] + ([classes_of(size)] if size.classes else []):
        given = p._replace(stoch=stoch, action=p.action.clone())
        plan = scan.plan(*given, classes=size.classes)
        for _ in range(2):
            plan.step()
            assert same(plan.out, scan.rssm_scan(*given, classes=size.classes, backend="native"))
            given.action.neg_()


@pytest.mark.parametrize("precision", op.PRECISIONS)
def test_a_plan_of_a_sequence_is_one_of_steps(precision: op.Precision) -> None:
    p = problem(SMALL)
    whole = scan.plan(*p, classes=SMALL.classes, precision=precision)
    whole.step()
    deter, stoch = p.deter, p.stoch
    for t in range(SMALL.steps):
        now = [None if v is None else v[t] for v in p[2:6]]
        one = op.plan(deter, stoch, *now, p.weights, classes=SMALL.classes, precision=precision)  # type: ignore[arg-type]
        one.step()
        assert same(one.out, [None if v is None else v[t] for v in whole.out])
        deter, stoch = one.out.deter, one.out.indices  # type: ignore[assignment]
    assert allocated(whole.step).kept == 0


def test_a_plan_of_a_sequence_refuses_what_it_cannot_bind() -> None:
    p = problem(SMALL)
    out = scan.rssm_scan(*p, classes=SMALL.classes, backend="native")
    run = functools.partial(scan.plan, *p, classes=SMALL.classes)
    with pytest.raises(ValueError, match=r"rssm_scan: out\.deter is .*; wanted"):
        run(out=out._replace(deter=out.deter[0]))
    with pytest.raises(ValueError, match=r"rssm_scan: out\.deter shares memory with deter"):
        scan.plan(*p._replace(deter=out.deter[0]), classes=SMALL.classes, out=out)
    with pytest.raises(ValueError, match="rssm_scan: precision is 'fp8'; wanted 'fp32' or"):
        run(precision="fp8")
    with pytest.raises(BackendError, match="rssm_scan: no plan of backend 'torch'"):
        run(backend="torch")
    index = classes_of(SMALL)
    plan = scan.plan(*p._replace(stoch=index), classes=SMALL.classes)
    index[4, 1] = -1
    with pytest.raises(ValueError, match=r"stoch: row 4 holds -1, .*wanted 0 to 4"):
        plan.step()


def test_a_plan_stays_on_its_tier_and_takes_new_weights() -> None:
    p = one_step(problem(SIZES[3]))
    plan = op.plan(*p, classes=SIZES[3].classes)
    made_on, before = plan.tier, _core.support.active_tier()
    try:
        _core.support.cap_tier("baseline")
        plan.step()
        assert plan.tier == made_on
    finally:
        _core.support.cap_tier(before)
    old = plan.out.deter.clone()
    for weight in p.weights.given():
        weight.mul_(0.5)
    plan.step()
    assert torch.equal(plan.out.deter, old)  # it has its own copy
    plan.load(p.weights)
    plan.step()
    assert same(plan.out, op.rssm_step(*p, classes=SIZES[3].classes, backend="native"))
    with pytest.raises(ValueError, match=r"w_hh is .*wanted"):
        plan.load(p.weights._replace(w_hh=p.weights.w_hh[:4]))
    with pytest.raises(ValueError, match="cannot bind w_hh with strides"):
        plan.load(p.weights._replace(w_hh=p.weights.w_hh.t().contiguous().t()))
    with pytest.raises(ValueError, match="w_post is there or not unlike in the plan"):
        plan.load(p.weights.prior())


def test_a_step_alone_holds_the_memory_it_was_bound_to() -> None:
    p = one_step(problem(SMALL))
    want = op.rssm_step(*p, classes=SMALL.classes, backend="native")
    held = [weakref.ref(t) for t in p[:6]]
    plan = op.plan(*p, classes=SMALL.classes)
    step, out = plan.step, plan.out
    del plan, p
    gc.collect()
    assert all(ref() is not None for ref in held)
    step()
    assert same(out, want)
    del step
    assert all(ref() is None for ref in held)


def test_a_step_allocates_nothing() -> None:
    plan = op.plan(*one_step(problem(SIZES[6])), classes=SIZES[6].classes)
    plan.step()
    found = allocated(plan.step)
    assert found.kept == 0
    assert found.peak < 256  # the loop's own counter


def test_an_index_that_is_no_class_is_refused_before_anything_is_written() -> None:
    p = one_step(problem(SMALL))._replace(stoch=classes_of(SMALL))
    plan = op.plan(*p, classes=SMALL.classes)
    plan.step()
    old = plan.out.deter.clone()
    for wrong in (-1, SMALL.classes, 2**31 - 1):
        p.stoch[3, 2] = wrong
        p.action.neg_()
        with pytest.raises(ValueError, match=rf"stoch: row 3 holds {wrong}, .*wanted 0 to 4"):
            plan.step()
        assert torch.equal(plan.out.deter, old)


@pytest.mark.parametrize("name", [*NAMES, *RssmWeights._fields, *op.RssmStates._fields])
@pytest.mark.parametrize("fault", ["strided", "float64", "misaligned", "meta", "graph", "shape"])
def test_what_cannot_be_bound_is_named_and_out_is_left_alone(name: str, fault: str) -> None:
    p = one_step(problem(SMALL))
    written = op.rssm_step(*p, classes=SMALL.classes, backend="native")
    out = op.RssmStates(*(torch.full_like(t, 7) for t in written if t is not None))
    is_out = name not in NAMES and name not in RssmWeights._fields
    places = [out] if is_out else [out, p] if name in ("deter", "stoch") else [p]
    for place in places:
        owner = p.weights if name in RssmWeights._fields else place
        bad = broken(getattr(owner, name), fault)
        given, room = p, out
        if owner is p.weights:
            given = p._replace(weights=p.weights._replace(**{name: bad}))
        elif place is p:
            given = p._replace(**{name: bad})
        else:
            room = out._replace(**{name: bad})
        # Some tensors say how wide others must be: the first to disagree is named.
        culprit = (
            "(deter|noise)" if name == "action" else r"(w_in|b_in)" if name == "b_in" else name
        )
        culprit = rf"(out\.)?({culprit}|{name})"
        with pytest.raises(ValueError, match=rf"rssm_step: (cannot bind )?{culprit} "):
            op.plan(*given, classes=SMALL.classes, out=room)
        assert all((t == 7).all() for t in out if t is not None)


def broken(good: torch.Tensor, fault: str) -> torch.Tensor:
    shape = good.shape
    if fault == "strided":
        wide = torch.zeros(*shape[:-1], 2 * shape[-1], dtype=good.dtype)[..., ::2]
        return torch.zeros(2 * shape[0], *shape[1:])[::2] if wide.is_contiguous() else wide
    if fault == "float64":
        return good.double()
    if fault == "misaligned":
        raw = torch.zeros(4 * good.numel() + 1, dtype=torch.uint8).numpy()
        flat = torch.frombuffer(raw, dtype=good.dtype, count=good.numel(), offset=1)
        return flat.view(shape)
    if fault == "meta":
        return good.to("meta")
    if fault == "graph":
        return good.clone().requires_grad_() if good.is_floating_point() else good.double()
    return torch.zeros(*shape, 1, dtype=good.dtype)


def test_outputs_share_memory_with_nothing_but_the_state_that_is_carried() -> None:
    p = one_step(problem(SMALL._replace(deter=5, classes=5, groups=1)))
    written = op.rssm_step(*p, classes=5, backend="native")
    with pytest.raises(ValueError, match=r"out\.prior shares memory with out\.posterior"):
        op.plan(*p, classes=5, out=written._replace(prior=written.posterior))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"out\.deter shares memory with stoch"):
        op.plan(*p, classes=5, out=written._replace(deter=p.stoch))
    room = torch.zeros(8, 5)
    with pytest.raises(ValueError, match=r"out\.deter shares memory with deter"):
        op.plan(*p._replace(deter=room[:5]), classes=5, out=written._replace(deter=room[2:7]))
    with pytest.raises(ValueError, match=r"out\.indices is None; wanted \[5, 1\]"):
        op.plan(*p, classes=5, out=written._replace(indices=None))


def test_absent_backends_are_named() -> None:
    p = one_step(problem(SMALL))
    with pytest.raises(BackendError, match="no plan of backend 'torch'; here are: native"):
        op.plan(*p, classes=SMALL.classes, backend="torch")
    with pytest.raises(BackendError, match="no backend 'triton'; here are: native, torch"):
        op.rssm_step(*p, classes=SMALL.classes, backend="triton")


def test_gru_weights_are_torch_s_own() -> None:
    size = SIZES[2]
    p = one_step(problem(size))._replace(keep=None)
    cell = torch.nn.GRUCell(size.hidden, size.deter)
    w = p.weights
    cell.load_state_dict(
        {"weight_ih": w.w_ih, "weight_hh": w.w_hh, "bias_ih": w.b_ih, "bias_hh": w.b_hh}
    )
    joined = torch.cat([p.stoch, p.action], 1)
    with torch.no_grad():
        want = cell(torch.nn.functional.elu(joined @ w.w_in.t() + w.b_in), p.deter)
    out = op.rssm_step(*p, classes=size.classes, backend="native")
    torch.testing.assert_close(out.deter, want, atol=1e-6, rtol=0)

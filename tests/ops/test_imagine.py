"""Dreams: every backend on every tier against the formula in float64, samples, torch's own checks
of an op, and refusals."""

from __future__ import annotations

import functools

import pytest
import torch
from imagine_cases import CASES, NAMES, Case, double, settings, start, starts_of
from rssm_cases import Size, Within, classes_of

from metabonk.errors import BackendError
from metabonk.ops import imagine as op
from metabonk.ops import rssm_step

# Rows of bench/tolerances.toml.
ROWS = {
    "deter": "states",
    "stoch": "samples",
    "prior": "parameters",
    "policy": "parameters",
    "action": "actions",
    "log_prob": "log-probabilities",
}


def compare(found: op.Dream, exact: op.Dream, loops: str, within: Within) -> None:
    for name, mine, theirs in zip(found._fields, found, exact, strict=True):
        if mine is None or theirs is None:
            assert mine is theirs
        elif mine.is_floating_point():
            assert mine.shape == theirs.shape
            within(f"imagine, {ROWS[name]}", loops, (mine - theirs).abs().max().item())


@pytest.mark.parametrize("case", CASES)
def test_dreams_follow_the_formula(way: tuple[str, str], within: Within, case: Case) -> None:
    backend, loops = way
    for given in starts_of(case):
        found = op.imagine(*given, **settings(case), backend=backend)
        choice = None if case.squashed else found.action.argmax(-1, keepdim=True).int()
        exact = op.reference(*double(given), **settings(case), index=found.indices, choice=choice)
        compare(found, exact, loops, within)


@pytest.mark.parametrize("backend", op.backends())
def test_a_dream_is_steps_of_the_prior(tier: str, backend: str) -> None:
    case = CASES[1]
    given = start(case)
    dream = op.imagine(*given, **settings(case), backend=backend)
    deter, stoch = given.deter, given.stoch
    for t in range(case.size.steps):
        want = rssm_step.rssm_step(
            deter, stoch, dream.action[t], None, None, given.noise[t], given.weights,
            classes=case.size.classes, backend=backend,
        )  # fmt: skip
        torch.testing.assert_close(dream.deter[t], want.deter, atol=1e-6, rtol=0)
        torch.testing.assert_close(dream.prior[t], want.prior, atol=5e-6, rtol=0)
        assert torch.equal(dream.indices[t], want.indices)  # type: ignore[index, arg-type]
        deter, stoch = dream.deter[t], dream.stoch[t]


@pytest.mark.parametrize("backend", op.backends())
def test_choices_follow_their_noise_and_densities_integrate(tier: str, backend: str) -> None:
    case = CASES[1]
    given = start(case)
    dream = op.imagine(*given, **settings(case), backend=backend)
    share = dream.policy.double().exp()
    torch.testing.assert_close(share.sum(-1), torch.ones_like(share[..., 0]), atol=1e-5, rtol=0)
    taken = dream.action.argmax(-1, keepdim=True)
    assert torch.equal(dream.action.sum(-1), torch.ones(4, 5))
    torch.testing.assert_close(dream.log_prob, dream.policy.gather(-1, taken)[..., 0])
    above = share.cumsum(-1).gather(-1, taken)
    assert (given.action_noise < above + 1e-5).all()
    assert (given.action_noise > above - share.gather(-1, taken) - 1e-5).all()
    # Of one squashed number: the density summed over a grid of its noise is that of all of it.
    wide = Case(Size(1, 4001, 1, 0, 3, 3, 2, 0), (), True)
    given = start(wide)
    same = given._replace(deter=given.deter[:1].expand(4001, -1).contiguous())
    same = same._replace(stoch=given.stoch[:1].expand(4001, -1).contiguous())
    same = same._replace(action_noise=torch.linspace(-8, 8, 4001)[None, :, None].contiguous())
    dream = op.imagine(*same, **settings(wide), backend=backend)
    a, density = dream.action[0, :, 0].double(), dream.log_prob[0].double().exp()
    assert abs(torch.trapezoid(density, a).item() - 1.0) < 1e-3


def test_extreme_actions_have_finite_densities(tier: str) -> None:
    case = CASES[2]
    given = start(case)
    far = given._replace(action_noise=given.action_noise * 1e3)
    dream = op.imagine(*far, **settings(case), backend="native")
    assert dream.log_prob.isfinite().all()
    assert (dream.action.abs() <= 1.0).all()


def test_threads_and_neighbours_change_nothing(tier: str) -> None:
    case, before = CASES[2], torch.get_num_threads()
    case = case._replace(size=case.size._replace(steps=15, batch=301, hidden=96, deter=80))
    given = start(case)
    try:
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(op.imagine(*given, **settings(case), backend="native"))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*runs, strict=True):
        assert one is two is None or torch.equal(one, two)
    few = slice(46, 50)
    inside = given._replace(deter=given.deter[few], stoch=given.stoch[few])
    inside = inside._replace(noise=given.noise[:, few].contiguous())
    inside = inside._replace(action_noise=given.action_noise[:, few].contiguous())
    alone = op.imagine(*inside, **settings(case), backend="native")
    assert torch.equal(alone.deter, runs[0].deter[:, few])
    assert torch.equal(alone.log_prob, runs[0].log_prob[:, few])


def test_what_the_core_cannot_take_goes_to_torch_or_is_refused() -> None:
    case = CASES[1]
    given = start(case)
    run = functools.partial(op.imagine, **settings(case))
    wide = given.noise.repeat_interleave(2, -1)[..., ::2]
    with pytest.raises(BackendError, match=r"native cannot take noise with strides"):
        run(*given._replace(noise=wide), backend="native")
    torch.testing.assert_close(run(*given._replace(noise=wide)).deter, run(*given).deter)
    weight, bias = given.actor[0]
    strided = [(weight.t().contiguous().t(), bias), *given.actor[1:]]
    with pytest.raises(BackendError, match=r"cannot take actor\[0\] weight with strides"):
        run(*given._replace(actor=strided), backend="native")
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        run(*given, backend="cuda")
    assert run(*double(given)).deter.dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_shapes_dtypes_and_ranks_that_do_not_fit_name_the_argument(name: str) -> None:
    case = CASES[1]
    for wrong in (lambda t: t[..., :-1], lambda t: t[None], lambda t: t.long()):
        given = start(case)
        given = given._replace(**{name: wrong(getattr(given, name))})
        culprit = {"deter": "(deter|w_ih|w_hh)", "noise": "(noise|stoch)"}.get(name, name)
        with pytest.raises(ValueError, match=rf"imagine: {culprit} is .*; wanted"):
            op.imagine(*given, **settings(case))


def test_actors_that_fit_nothing_are_refused() -> None:
    case = CASES[1]
    given = start(case)
    (weight, bias), last = given.actor
    for actor, what in (
        ([], "actor has 0 layers; wanted 1 to 16"),
        ([(weight, bias)] * 17, "actor has 17 layers"),
        ([(weight[:, :-1], bias), last], r"actor\[0\] weight is .*; wanted"),
        ([(weight, bias[:-1]), last], r"actor\[0\] weight is .*; wanted"),
        ([(weight, bias), (last[0], last[1][:-1])], "(w_in|actor.1. weight) is .*; wanted"),
        ([(weight.double(), bias), last], r"actor\[0\] weight is torch.float64"),
    ):
        with pytest.raises(ValueError, match=f"imagine: {what}"):
            op.imagine(*given._replace(actor=actor), **settings(case))
    with pytest.raises(ValueError, match="puts out 3 numbers, which are no distribution"):
        op.imagine(*given, squashed=True, classes=5)
    with pytest.raises(ValueError, match="actor_min_std is -1"):
        op.imagine(*given, **settings(case), actor_min_std=-1.0)
    for backend in op.backends():
        index = classes_of(case.size)
        index[1, 2] = 5
        with pytest.raises(ValueError, match="no class: wanted 0 to 4"):
            op.imagine(*given._replace(stoch=index), **settings(case), backend=backend)

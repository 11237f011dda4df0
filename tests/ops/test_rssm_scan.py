"""RSSM sequences: every backend on every tier against the formula in float64, gradients, samples,
torch's own checks of an op, and refusals."""

from __future__ import annotations

import functools

import pytest
import torch
from rssm_cases import (
    NAMES,
    SIZES,
    Problem,
    Size,
    Within,
    classes_of,
    fresh,
    leaf_names,
    leaves_of,
    problem,
    with_gradients,
)

from metabonk.errors import BackendError
from metabonk.ops import rssm_scan as op
from metabonk.ops.rssm_weights import RssmWeights

# Rows of bench/tolerances.toml: results are held absolutely, gradients relative to their largest.
ROWS = {"deter": "states", "stoch": "samples", "prior": "parameters", "posterior": "parameters"}
SMALL = SIZES[1]


def compare(size: Size, p: Problem, way: tuple[str, str], within: Within) -> None:
    """Results and gradients against float64, which takes the same classes."""
    backend, loops = way
    run = functools.partial(op.rssm_scan, classes=size.classes, backend=backend)
    found, gradients = with_gradients(run, p)
    exact_run = functools.partial(op.reference, classes=size.classes, index=found[4])
    exact, exact_gradients = with_gradients(exact_run, p, torch.float64)
    for name, mine, theirs in zip(op.RssmStates._fields[:4], found, exact, strict=False):
        if mine is not None:
            within(f"rssm_scan, {ROWS[name]}", loops, (mine - theirs).abs().max().item())
    for name, mine, theirs in zip(leaf_names(p), gradients, exact_gradients, strict=True):
        assert mine.shape == theirs.shape, name
        worst = (mine - theirs).abs().max().item() / max(theirs.abs().max().item(), 1e-3)
        within("rssm_scan, gradients", loops, worst)


@pytest.mark.parametrize("size", SIZES)
def test_results_and_every_gradient_follow_the_formula(
    way: tuple[str, str], within: Within, size: Size
) -> None:
    compare(size, problem(size), way, within)


@pytest.mark.parametrize("size", [SIZES[1], SIZES[2], SIZES[6]])
def test_classes_are_the_rows_that_they_pick(
    way: tuple[str, str], within: Within, size: Size
) -> None:
    p = problem(size)._replace(stoch=classes_of(size))
    compare(size, p, way, within)
    hot = torch.nn.functional.one_hot(p.stoch.long(), size.classes).flatten(-2).float()
    run = functools.partial(op.rssm_scan, classes=size.classes, backend=way[0])
    torch.testing.assert_close(run(*p).deter, run(*p._replace(stoch=hot)).deter, atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", op.backends())
@pytest.mark.parametrize("size", [SIZES[1], SIZES[3]])
def test_samples_lie_where_the_cumulative_distribution_passes_the_noise(
    tier: str, backend: str, size: Size
) -> None:
    p = problem(size)
    out = op.rssm_scan(*p, classes=size.classes, backend=backend)
    assert out.indices is not None
    assert out.posterior is not None
    hot = torch.nn.functional.one_hot(out.indices.long(), size.classes).flatten(-2)
    assert torch.equal(out.stoch, hot.float())
    share = out.posterior.double().exp().unflatten(-1, (-1, size.classes))
    torch.testing.assert_close(share.sum(-1), torch.ones_like(share[..., 0]), atol=1e-5, rtol=0)
    assert share.min() >= 0.0099 / size.classes
    above = share.cumsum(-1).gather(-1, out.indices.long()[..., None])[..., 0]
    below = above - share.gather(-1, out.indices.long()[..., None])[..., 0]
    assert (p.noise > below - 1e-5).all()
    assert (p.noise < above + 1e-5).all()


@pytest.mark.parametrize("backend", op.backends())
def test_the_ends_of_the_noise_are_the_first_and_the_last_class(tier: str, backend: str) -> None:
    p = problem(SMALL)
    for noise, want in ((0.0, 0), (1.0 - 2.0**-24, SMALL.classes - 1), (1.0, SMALL.classes - 1)):
        given = p._replace(noise=torch.full_like(p.noise, noise))
        out = op.rssm_scan(*given, classes=SMALL.classes, backend=backend)
        assert out.indices is not None
        assert (out.indices == want).all()


@pytest.mark.parametrize("backend", op.backends())
@pytest.mark.parametrize("unimix", [0.0, 0.01, 0.5])
def test_mixtures_and_certain_logits(tier: str, backend: str, unimix: float) -> None:
    p = problem(SMALL)
    sharp = p.weights._replace(w_post_out=p.weights.w_post_out * 100.0)  # type: ignore[operator]
    run = functools.partial(op.rssm_scan, classes=SMALL.classes, unimix=unimix, backend=backend)
    found, gradients = with_gradients(run, p._replace(weights=sharp))
    exact, exact_gradients = with_gradients(
        functools.partial(op.reference, classes=SMALL.classes, unimix=unimix, index=found[4]),
        p._replace(weights=sharp),
        torch.float64,
    )
    for mine, theirs in zip((*found[:4], *gradients), (*exact[:4], *exact_gradients), strict=True):
        assert mine.isfinite().all()
        size = max(theirs.abs().max().item(), 1.0)  # logits of some hundreds are 3e-5 apart
        torch.testing.assert_close(mine.double(), theirs, atol=1e-4 * size, rtol=0)


@pytest.mark.parametrize("backend", op.backends())
def test_without_resets_keep_is_one_and_a_reset_forgets_everything(tier: str, backend: str) -> None:
    p = problem(SMALL)
    run = functools.partial(op.rssm_scan, classes=SMALL.classes, backend=backend)
    assert p.keep is not None
    plain = run(*p._replace(keep=None))
    ones = run(*p._replace(keep=torch.ones_like(p.keep)))
    torch.testing.assert_close(plain.deter, ones.deter)
    none = p._replace(keep=torch.zeros_like(p.keep))
    one, two = run(*none), run(*none._replace(deter=p.deter + 1, stoch=p.stoch - 1))
    assert torch.equal(one.deter, two.deter)
    assert torch.equal(one.deter[0, 0], one.deter[1, 1])


@pytest.mark.parametrize("given", [(0,), (1,), (2,), (3,), (0, 3)])
@pytest.mark.parametrize("backend", op.backends())
def test_gradients_of_single_results(tier: str, backend: str, given: tuple[int, ...]) -> None:
    p = problem(SMALL)

    def pick(run: object, q: Problem, **more: object) -> list[torch.Tensor]:
        out = run(*q, classes=SMALL.classes, **more)  # type: ignore[operator]
        loss = sum(
            (out[i] * torch.arange(out[i].numel()).view_as(out[i]).sin()).sum() for i in given
        )
        return [*torch.autograd.grad(loss, leaves_of(q), allow_unused=True), out[4]]

    *found, index = pick(op.rssm_scan, fresh(p), backend=backend)
    *exact, _ = pick(op.reference, fresh(p, torch.float64), index=index)
    for mine, theirs in zip(found, exact, strict=True):
        want = torch.zeros_like(mine) if theirs is None else theirs.float()
        size = max(want.abs().max().item(), 1e-3)
        torch.testing.assert_close(mine, want, atol=3e-6 * size, rtol=0)


def test_the_gradient_of_gaussians_is_the_derivative() -> None:
    size = Size(2, 2, 2, 2, 3, 3, 2, 0)
    p = fresh(problem(size, torch.float64))

    def run(*leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = op.rssm_scan(*leaves[:4], p.keep, p.noise, RssmWeights(*leaves[4:]), classes=0)
        return tuple(t for t in out if t is not None)

    assert torch.autograd.gradcheck(run, leaves_of(p))


@pytest.mark.parametrize("backend", op.backends())
def test_recording_changes_nothing(tier: str, backend: str) -> None:
    for size in (SIZES[3], SIZES[2], SIZES[4]):
        p = problem(size)
        with torch.inference_mode():
            plain = op.rssm_scan(*p, classes=size.classes, backend=backend)
        recorded = op.rssm_scan(*fresh(p), classes=size.classes, backend=backend)
        for one, two in zip(plain, recorded, strict=True):
            assert one is two is None or torch.equal(one, two.detach())


def test_a_row_does_not_depend_on_its_neighbours_or_on_threads(tier: str) -> None:
    size = Size(3, 200, 5, 24, 96, 80, 4, 8)
    p, before = problem(size), torch.get_num_threads()
    run = functools.partial(op.rssm_scan, classes=size.classes, backend="native")
    try:
        runs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            runs.append(with_gradients(run, p))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(runs[0][0] + runs[0][1], runs[1][0] + runs[1][1], strict=True):
        assert torch.equal(one, two)
    for rows in (slice(0, 1), slice(47, 50), slice(199, 200)):
        inside = [None if t is None else t[:, rows].contiguous() for t in p[2:6]]
        alone = run(p.deter[rows], p.stoch[rows], *inside, p.weights)
        assert torch.equal(alone.deter, runs[0][0][0][:, rows])
        assert torch.equal(alone.posterior, runs[0][0][3][:, rows])


def test_nan_stays_in_its_row_and_large_values_saturate(tier: str) -> None:
    for size in (SIZES[3], SIZES[4]):
        p = problem(size)._replace(keep=None)
        p.action[0, 0, 0], p.action[0, 1, 0], p.action[0, 2, 0] = 1e30, -1e30, torch.nan
        out = op.rssm_scan(*p, classes=size.classes, backend="native")
        assert out.deter[:, 2].isnan().all()
        rest = [i for i in range(size.batch) if i != 2]
        assert out.deter[:, rest].isfinite().all()
        assert out.deter[:, rest].abs().max() <= 1.0 + p.deter.abs().max()


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("size", [SIZES[1], SIZES[5]])
def test_torch_finds_nothing_wrong_with_the_op(saving: bool, size: Size) -> None:
    p = fresh(problem(size)) if saving else problem(size)
    given = (*p[:6], p.weights.given(), size.classes, 0.01, 0.1, saving, "native")
    torch.library.opcheck(torch.ops.metabonk.rssm_scan.default, given)


def test_it_is_one_node_of_a_compiled_graph() -> None:
    p = fresh(problem(SMALL))
    run = functools.partial(op.rssm_scan, classes=SMALL.classes)
    compiled = torch.compile(run, fullgraph=True)
    for mine, theirs in zip(
        torch.autograd.grad(compiled(*p).posterior.square().sum(), leaves_of(p)),
        torch.autograd.grad(run(*p).posterior.square().sum(), leaves_of(p)),  # type: ignore[union-attr]
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_what_the_core_cannot_take_goes_to_torch_or_is_refused() -> None:
    p = problem(SMALL)
    run = functools.partial(op.rssm_scan, classes=SMALL.classes)
    want = run(*p, backend="torch")
    raw = torch.zeros(4 * p.action.numel() + 1, dtype=torch.uint8).numpy()
    askew = torch.frombuffer(raw, dtype=torch.float32, count=p.action.numel(), offset=1)
    askew = askew.view_as(p.action).copy_(p.action)
    wide = p.action.repeat_interleave(2, -1)[..., ::2]
    for action in (wide, askew):
        with pytest.raises(BackendError, match=r"native cannot take action .*native, torch"):
            run(*p._replace(action=action), backend="native")
        torch.testing.assert_close(run(*p._replace(action=action)).deter, want.deter)
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        run(*p, backend="cuda")
    strided = p.weights._replace(w_hh=p.weights.w_hh.t().contiguous().t())
    with pytest.raises(BackendError, match="cannot take w_hh with strides"):
        run(*p._replace(weights=strided), backend="native")


@pytest.mark.parametrize("name", [*NAMES, *RssmWeights._fields])
def test_shapes_dtypes_and_ranks_that_do_not_fit_name_the_argument(name: str) -> None:
    for wrong in (lambda t: t[..., :-1], lambda t: t[None], lambda t: t.long()):
        p = problem(SMALL)
        if name in NAMES:
            p = p._replace(**{name: wrong(getattr(p, name))})
        else:
            bad = wrong(getattr(p.weights, name))
            p = p._replace(weights=p.weights._replace(**{name: bad}))
        # Some tensors say how wide others must be: a narrower one makes its neighbour wrong.
        culprit = {
            "deter": "(deter|w_ih|w_hh)",
            "action": "(action|deter|w_in)",
            "noise": "(noise|stoch)",
            "embed": "(embed|w_post)",
            "b_in": "(b_in|w_in)",
        }.get(name, name)
        with pytest.raises(ValueError, match=rf"rssm_scan: {culprit} is .*; wanted"):
            op.rssm_scan(*p, classes=SMALL.classes)


def test_numbers_that_make_no_sense_are_refused() -> None:
    p = problem(SMALL)
    for more, what in (
        ({"classes": 1}, "classes is 1"),
        ({"classes": -2}, "classes is -2"),
        ({"classes": 5, "unimix": 1.0}, "unimix is 1.0"),
        ({"classes": 5, "min_std": -0.1}, "min_std is -0.1"),
    ):
        with pytest.raises(ValueError, match=f"rssm_scan: {what}"):
            op.rssm_scan(*p, **more)  # type: ignore[arg-type]
    for at in (-1, SMALL.classes):
        index = classes_of(SMALL)
        index[2, 1] = at
        for backend in op.backends():
            with pytest.raises(ValueError, match=r"rssm: stoch.* no class: wanted 0 to 4"):
                op.rssm_scan(*p._replace(stoch=index), classes=SMALL.classes, backend=backend)
    with pytest.raises(ValueError, match="Gaussians have no classes"):
        op.rssm_scan(*problem(SIZES[4])._replace(stoch=classes_of(SMALL)), classes=0)
    with pytest.raises(ValueError, match="keep requires a gradient"):
        op.rssm_scan(*p._replace(keep=torch.ones(3, 5, 1).requires_grad_()), classes=5)
    with pytest.raises(ValueError, match=r"action is \[3, 0, 3\]; wanted one row or more"):
        op.rssm_scan(*p._replace(action=p.action[:, :0]), classes=SMALL.classes)
    with pytest.raises(ValueError, match="deter is on meta, action on cpu"):
        op.rssm_scan(*p._replace(deter=p.deter.to("meta")), classes=SMALL.classes)
    with pytest.raises(ValueError, match="w_post is given without embed"):
        op.rssm_scan(*p._replace(embed=None), classes=SMALL.classes)
    with pytest.raises(ValueError, match="w_post is None"):
        op.rssm_scan(*p._replace(weights=p.weights.prior()), classes=SMALL.classes)


def test_a_gradient_of_what_was_not_computed_is_refused() -> None:
    p = problem(SMALL)
    weights, settings = p.weights.given(), (SMALL.classes, 0.01, 0.1)
    saved = torch.ops.metabonk.rssm_scan(*p[:6], weights, *settings, True, "native")
    given = [torch.ones_like(t) for t in saved[:4]]
    run = torch.ops.metabonk.rssm_scan_backward
    assert len(run(given, *p[:6], weights, saved, *settings, "native")) == 4 + len(weights)
    for at, name in ((0, "deter"), (3, "posterior"), (4, "indices"), (6, "gates")):
        wrong = [t[:-1] if i == at else t for i, t in enumerate(saved)]
        with pytest.raises(ValueError, match=f"rssm_scan: the saved {name} is .*; wanted"):
            run(given, *p[:6], weights, wrong, *settings, "native")
    with pytest.raises(ValueError, match=r"rssm_scan: the gradient of prior is .*; wanted"):
        run([*given[:2], given[2][:1], given[3]], *p[:6], weights, saved, *settings, "native")
    with pytest.raises(ValueError, match="rssm_scan: 8 saved, 4 given; wanted 9, 4"):
        run(given, *p[:6], weights, saved[:8], *settings, "native")


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    p = fresh(problem(SMALL))
    out = op.rssm_scan(*p, classes=SMALL.classes)
    (first,) = torch.autograd.grad(out.deter.sum(), p.action, create_graph=True)
    with pytest.raises(RuntimeError, match="no gradient of its own"):
        torch.autograd.grad(first.sum(), p.action)

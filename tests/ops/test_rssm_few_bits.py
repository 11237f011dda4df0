"""RSSM plans whose weights are kept in bf16 or int8: equal to what these precisions are defined by,
what they lose, what has no codes."""

from __future__ import annotations

import pytest
import torch
from rssm_cases import SIZES, Problem, Size, Within, classes_of, fresh, one_step, problem, same
from torch import Tensor

from metabonk.ops import qlinear, rssm_torch
from metabonk.ops import rssm_step as op
from metabonk.ops.rssm_weights import Distribution

SMALL = SIZES[1]


@pytest.mark.parametrize("batch", [1, 3, 50])
@pytest.mark.parametrize("size", SIZES)
def test_a_plan_in_bf16_is_one_of_rounded_weights(
    instructions: str, batch: int, size: Size
) -> None:
    p = one_step(problem(size._replace(batch=batch)))
    states = [p.stoch] + ([classes_of(size._replace(batch=batch))] if size.classes else [])
    matrices = {n: w for n, w in p.weights._asdict().items() if w is not None and w.dim() == 2}
    rounded = p.weights._replace(**{n: w.bfloat16().float() for n, w in matrices.items()})
    for stoch in states:
        plan = op.plan(*p._replace(stoch=stoch), classes=size.classes, precision="bf16")
        want = op.plan(*p._replace(stoch=stoch, weights=rounded), classes=size.classes)
        plan.step()
        want.step()
        assert same(plan.out, want.out)
        plan.load(p.weights)
        plan.step()
        assert same(plan.out, want.out)
    with pytest.raises(ValueError, match="precision is 'fp8'; wanted 'fp32' or 'bf16' or 'int8'"):
        op.plan(*p, classes=size.classes, precision="fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", op.PRECISIONS[1:])
@pytest.mark.parametrize("batch", [1, 3, 50])
@pytest.mark.parametrize("size", SIZES)
def test_what_a_plan_in_few_bits_loses(
    instructions: str, within: Within, size: Size, batch: int, precision: op.Precision
) -> None:
    size = size._replace(batch=batch)
    p = one_step(problem(size))
    states = [p.stoch] + ([classes_of(size)] if size.classes else [])
    for stoch in states:
        given = p._replace(stoch=stoch)
        plan = op.plan(*given, classes=size.classes, precision=precision)
        plan.step()
        exact = op.reference(*fresh(given, torch.float64), classes=size.classes).deter.detach()
        error = (plan.out.deter - exact).abs().max().item()
        within(f"rssm_step, {precision} plan", instructions, error)


@torch.no_grad()
def in_int8(p: Problem, size: Size) -> tuple[Tensor, Tensor, Tensor | None]:
    """deter, prior and posterior of a step in float64 by the definition: every part of the weights
    as its codes say, rows as `qlinear` rounds them; rows that classes pick are not rounded."""

    def product(x: Tensor, weight: Tensor, bias: Tensor | None, rounded: bool = True) -> Tensor:
        packed = qlinear.pack(weight.contiguous(), "int8")
        bias = None if bias is None else bias.double()
        return qlinear.reference(x, packed, bias, rounded=rounded)

    def head(sums: Tensor, out: Tensor, bias: Tensor) -> Tensor:
        numbers = product(torch.nn.functional.elu(sums), out, bias)
        return rssm_torch.distribution(numbers, Distribution(size.classes, 0.01, 0.1))

    w, stoch = p.weights, p.stoch
    if picked := not stoch.is_floating_point():
        stoch = torch.nn.functional.one_hot(stoch.long(), size.classes).flatten(-2)
    keep = p.keep.double()  # type: ignore[union-attr]
    stoch, action, before = stoch.double() * keep, p.action.double() * keep, p.deter.double() * keep
    wide = stoch.shape[1]
    x = product(action, w.w_in[:, wide:], w.b_in)
    x = torch.nn.functional.elu(x + product(stoch, w.w_in[:, :wide], None, not picked))
    from_x, from_h = product(x, w.w_ih, w.b_ih), product(before, w.w_hh, w.b_hh)
    (rx, zx, nx), (rh, zh, nh) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    r, z = (rx + rh).sigmoid(), (zx + zh).sigmoid()
    deter = (1.0 - z) * (nx + r * nh).tanh() + z * before
    prior = head(product(deter, w.w_prior, w.b_prior), w.w_prior_out, w.b_prior_out)
    if p.embed is None or w.w_post is None or w.w_post_out is None or w.b_post_out is None:
        return deter, prior, None
    sums = product(deter, w.w_post[:, : size.deter], w.b_post)
    sums = sums + product(p.embed.double(), w.w_post[:, size.deter :], None)
    return deter, prior, head(sums, w.w_post_out, w.b_post_out)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("size", [SIZES[0], SIZES[1], SIZES[2], SIZES[4], SIZES[5]])
def test_a_plan_in_int8_is_a_step_by_codes(
    instructions: str, within: Within, size: Size, classes: bool
) -> None:
    if classes and not size.classes:
        pytest.skip("Gaussians have no classes")
    size = size._replace(batch=3)
    p = one_step(problem(size))
    given = p._replace(stoch=classes_of(size)) if classes else p
    plan = op.plan(*given, classes=size.classes, precision="int8")
    plan.step()
    row = "rssm_step int8, beside the rounded rows and weights"
    made = plan.out.deter, plan.out.prior, plan.out.posterior
    for mine, theirs in zip(made, in_int8(given, size), strict=True):
        if theirs is not None:
            within(row, instructions, (mine - theirs).abs().max().item())


def test_weights_that_int8_has_no_codes_for_are_named_and_the_old_ones_stay() -> None:
    p = one_step(problem(SMALL))
    plan = op.plan(*p, classes=SMALL.classes, precision="int8")
    plan.step()
    before = plan.out.deter.clone()
    for name, weight in p.weights._asdict().items():
        if weight is None or weight.dim() != 2:
            continue
        bad = weight.clone()
        bad[1, 2] = torch.inf
        wrong = p.weights._replace(**{name: bad})
        with pytest.raises(ValueError, match=rf"{name}: must be finite"):
            plan.load(wrong)
        with pytest.raises(ValueError, match=rf"{name}: must be finite"):
            op.plan(*p._replace(weights=wrong), classes=SMALL.classes, precision="int8")
        plan.step()
        assert torch.equal(plan.out.deter, before)
    plan.load(p.weights._replace(w_hh=p.weights.w_hh * 0.5))
    plan.step()
    assert not torch.equal(plan.out.deter, before)

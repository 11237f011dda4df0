"""Merges: every backend and tier against the formulas, and refusals."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from allocations import allocated
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import merge as op

Within = Callable[[str, str, float], None]

SIZES = [1, 2, 15, 16, 511, 512, 513, 5000]


def numbers(size: int, models: int) -> tuple[Tensor, list[Tensor]]:
    """Multiples of 2^-10, whose differences are exact, with ties and agreement among them."""
    generator = torch.Generator().manual_seed(size + models)
    base = torch.randint(-2000, 2000, (size,), generator=generator) / 1024.0
    moves = torch.randint(-300, 300, (models, size), generator=generator) / 1024.0
    return base, list(base + moves)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("models", [1, 2, 5])
def test_ties_follows_the_formula(
    way: tuple[str, str], within: Within, size: int, models: int
) -> None:
    base, others = numbers(size, models)
    weights = [1.0 + 0.5 * m for m in range(models)]
    for density in (0.01, 0.2, 0.5, 1.0):
        found = op.ties(
            base,
            others,
            density=density,
            scale=0.7,
            weights=weights,
            backend=way[0],  # type: ignore[arg-type]
        )
        keep = max(1, round(density * size))
        want = op.ties_reference(base.double(), [m.double() for m in others], weights, keep, 0.7)
        within("merge.ties", way[1], float((found.double() - want).abs().max()))


@pytest.mark.parametrize("size", SIZES)
def test_weighted_follows_the_formula(way: tuple[str, str], within: Within, size: int) -> None:
    _, models = numbers(size, 4)
    weights = [0.1, -0.2, 0.7, 0.4]
    found = op.weighted(models, weights, backend=way[0])  # type: ignore[arg-type]
    want = op.weighted_reference([m.double() for m in models], weights)
    within("merge.weighted", way[1], float((found.double() - want).abs().max()))


def test_ties_by_hand(way: tuple[str, str]) -> None:
    """Four entries: agreement, a conflict that the larger side wins, trimming, and a standstill."""
    base = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0])
    models = [
        base + torch.tensor([4.0, 3.0, 0.1, 2.0, 0.0]),
        base + torch.tensor([2.0, -5.0, 0.2, -2.0, 0.1]),
    ]
    found = op.ties(base, models, density=0.6, backend=way[0])  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor([4.0, -4.0, 1.0, 1.0, 1.0]))


def test_one_model_that_is_kept_whole_is_itself(way: tuple[str, str]) -> None:
    base, models = numbers(700, 1)
    assert torch.equal(op.ties(base, models, density=1.0, backend=way[0]), models[0])  # type: ignore[arg-type]
    assert torch.equal(op.ties(base, [base], backend=way[0]), base)  # type: ignore[arg-type]


def test_the_edge_is_exact_for_any_numbers() -> None:
    """As many entries stay as were asked for, when all sizes differ."""
    generator = torch.Generator().manual_seed(0)
    base = torch.zeros(3001)
    model = torch.randn(3001, generator=generator) * torch.logspace(-30, 30, 3001)
    for keep in (1, 2, 600, 1500, 3001):
        found = op.ties(base, [model], density=keep / 3001, backend="native")
        assert int((found != 0).sum()) == keep
        assert set(found.abs().topk(keep).indices.tolist()) == set(
            model.abs().topk(keep).indices.tolist()
        )


def test_instruction_sets_give_the_same_bits(everywhere: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    base, *models = (torch.randn(3000, generator=generator) for _ in range(4))

    def run() -> list[Tensor]:
        name = _core.nn.merge_kernels()
        assert name == _core.support.active_tier().replace("baseline", "portable")
        return [op.ties(base, models, density=0.3), op.weighted(models, [0.2, 0.3, 0.5])]

    found = everywhere(run)
    for other in found.values():
        assert all(torch.equal(a, b) for a, b in zip(found["portable"], other, strict=True))


def test_plans_are_the_ops_and_make_no_objects(instructions: str) -> None:
    base, models = numbers(1000, 3)
    out = torch.full((1000,), 7.0)
    plans = [
        (
            op.plan_ties(base, models, density=0.3, scale=0.5, weights=[1.0, 2.0, 0.5], out=out),
            lambda: op.ties(base, models, density=0.3, scale=0.5, weights=[1.0, 2.0, 0.5]),
        ),
        (op.plan_weighted(models, [0.5, 0.3, 0.2]), lambda: op.weighted(models, [0.5, 0.3, 0.2])),
    ]
    assert (out == 7.0).all()
    for plan, run in plans:
        for _ in range(2):
            models[1].mul_(-0.75)
            plan.step()
            assert torch.equal(plan.out, run())
        assert allocated(plan.step).peak < 512


def test_a_plan_may_move_base_itself() -> None:
    base, models = numbers(700, 2)
    want = op.ties(base, models)
    plan = op.plan_ties(base, models, out=base)
    plan.step()
    assert torch.equal(base, want)
    with pytest.raises(ValueError, match=r"out shares memory with models\[1\]"):
        op.plan_ties(base, models, out=models[1])
    with pytest.raises(ValueError, match="out shares memory with base"):
        op.plan_ties(base[1:], [m[1:] for m in models], out=base[:-1])


def test_a_step_taken_from_its_plan_holds_the_memory() -> None:
    out = torch.empty(3000)

    def taken() -> Callable[[], None]:
        base, models = numbers(3000, 2)
        return op.plan_ties(base, models, out=out).step

    step = taken()
    gc.collect()
    others = [torch.full((3000,), torch.nan) for _ in range(50)]
    step()
    assert torch.equal(out, op.ties(*numbers(3000, 2)))
    assert len(others) == 50


def test_a_step_that_is_refused_leaves_what_was_there() -> None:
    base, models = numbers(600, 2)
    plan = op.plan_ties(base, models, out=torch.full((600,), 7.0))
    models[1][513] = torch.nan
    with pytest.raises(ValueError, match=r"models\[1\]: entry 513 less base is not finite"):
        plan.step()
    assert (plan.out == 7.0).all()


def test_gradients_are_refused_and_not_wrong() -> None:
    base, models = numbers(20, 2)
    models[0].requires_grad_()
    for found in (op.ties(base, models), op.weighted(models, [0.5, 0.5])):
        with pytest.raises(RuntimeError, match="has no gradient of its own"):
            found.sum().backward()


def test_no_weights_at_all(way: tuple[str, str]) -> None:
    empty = torch.zeros(0)
    assert op.ties(empty, [empty, empty], backend=way[0]).shape == (0,)  # type: ignore[arg-type]
    assert op.weighted([empty], [1.0], backend=way[0]).shape == (0,)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_go_to_torch(dtype: torch.dtype) -> None:
    base, models = numbers(30, 3)
    base, models = base.to(dtype), [m.to(dtype) for m in models]
    assert op.ties(base, models).dtype == dtype
    with pytest.raises(BackendError, match=r"base of .*, wanted torch\.float32"):
        op.ties(base, models, backend="native")


@pytest.mark.parametrize("backend", op.backends())
def test_opcheck_and_compile(backend: op.Backend) -> None:
    base, models = numbers(30, 3)
    ops = torch.ops.metabonk
    torch.library.opcheck(ops.merge_ties.default, (base, models, [1.0, 1.0, 2.0], 6, 1.0, backend))
    torch.library.opcheck(ops.merge_weighted.default, (models, [0.5, 0.25, 0.25], backend))
    whole = torch.compile(lambda b, m: op.ties(b, m, backend=backend) * 2.0, fullgraph=True)
    torch.testing.assert_close(whole(base, models), op.ties(base, models) * 2.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_and_named(way: tuple[str, str], bad: float) -> None:
    base, models = numbers(600, 3)
    models[2][513] = bad
    with pytest.raises(ValueError, match=r"ties: models\[2\]: entry 513 less base is not finite"):
        op.ties(base, models, backend=way[0])  # type: ignore[arg-type]


def test_bad_input_is_named() -> None:
    base, models = numbers(20, 3)
    with pytest.raises(ValueError, match="models is empty"):
        op.weighted([], [])
    with pytest.raises(ValueError, match=r"weights are \[1.0\]; wanted 3 finite numbers"):
        op.weighted(models, [1.0])
    with pytest.raises(ValueError, match=r"weights are .*nan"):
        op.ties(base, models, weights=[1.0, float("nan"), 1.0])
    with pytest.raises(ValueError, match=r"models\[1\] is torch\.float32 \[19\]"):
        op.ties(base, [models[0], models[1][1:]])
    with pytest.raises(ValueError, match=r"models\[0\] is torch\.float64"):
        op.ties(base, [models[0].double()])
    with pytest.raises(ValueError, match=r"base is .* \[4, 5\]; wanted a floating \[P\]"):
        op.ties(base.view(4, 5), models)
    for density in (0.0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="density, scale are"):
            op.ties(base, models, density=density)
    with pytest.raises(ValueError, match="wanted 0 or more"):
        op.ties(base, models, weights=[1.0, -1.0, 1.0])
    strided = torch.zeros(40)[::2]
    with pytest.raises(BackendError, match=r"models\[0\] with strides"):
        op.ties(base, [strided], backend="native")
    torch.testing.assert_close(op.ties(base, [strided]), op.ties(base, [strided.clone()]))

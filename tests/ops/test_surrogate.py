"""PPO's loss by hand: every instruction set has the formula's gradients, clipped where it clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal

from metabonk.errors import BackendError
from metabonk.ops import surrogate
from metabonk.ops.surrogate import Columns, Done, Outcome, Slopes, Terms

Within = Callable[[str, str, float], None]
TERMS = Terms(clip=0.2, value_clip=0.0, value_coef=0.5, entropy_coef=0.01, share=0.125)
KINDS = {
    "choices": (0, (2, 3, 2)),
    "columns": (3, ()),
    "both": (2, (17, 2)),
    "one choice": (0, (4,)),
    "nothing to choose": (1, (1,)),
}


class Case(NamedTuple):
    parameters: Tensor
    value: Tensor
    log_std: Tensor
    columns: Columns
    sizes: tuple[int, ...]
    done: Done
    outcome: Outcome

    def to(self, dtype: torch.dtype) -> Case:
        def cast(item: Any) -> Any:
            if isinstance(item, Tensor):
                return item.to(dtype) if item.is_floating_point() else item
            kind = type(item)
            return kind(*map(cast, item)) if hasattr(item, "_fields") else item

        return Case(*map(cast, self))


def case(kind: str, rows: int, masked: bool = False, seed: int = 0) -> Case:
    columns, sizes = KINDS[kind]
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    chosen = [torch.randint(size, (rows,), generator=random) for size in sizes]
    allowed = None
    if masked:
        allowed = torch.rand(rows, sum(sizes), generator=random) > 0.4
        for start, choice in zip([sum(sizes[:i]) for i in range(len(sizes))], chosen, strict=True):
            allowed[torch.arange(rows), start + choice] = True
    bounded = torch.arange(columns) % 2 == 0
    limits = Columns(torch.where(bounded, 2.0, 1.0), torch.where(bounded, 0.5, 0.0), bounded)
    done = Done(
        normal(rows, columns),
        torch.stack(chosen, 1) if sizes else torch.zeros(rows, 0, dtype=torch.int64),
        allowed,
    )
    empty = Outcome(*(torch.zeros(rows),) * 5)
    made = Case(
        normal(rows, columns + sum(sizes)),
        normal(rows),
        0.3 * normal(columns) - 0.5,
        limits,
        sizes,
        done,
        empty,
    )
    # Not far from what the policy says now, or all would be clipped.
    log_prob = log_probs(made) + 0.2 * normal(rows)
    weight = (torch.rand(rows, generator=random) > 0.2).float()
    outcome = Outcome(log_prob, normal(rows), normal(rows), normal(rows), weight)
    return made._replace(outcome=outcome)


def policies(made: Case) -> tuple[Normal, list[Categorical]]:
    """The distributions, as torch has them."""
    u = made.parameters[:, : len(made.log_std)]
    half, middle, bounded = made.columns
    mean = middle + half * torch.where(bounded, u.tanh(), u)
    logits = made.parameters[:, len(made.log_std) :]
    if made.done.allowed is not None:
        logits = logits.masked_fill(~made.done.allowed, -math.inf)
    choices = [Categorical(logits=part) for part in logits.split(list(made.sizes), 1)]
    return Normal(mean, half * made.log_std.exp()), choices


def log_probs(made: Case) -> Tensor:
    normal, choices = policies(made)
    total = normal.log_prob(made.done.taken).sum(1)
    for choice, chosen in zip(choices, made.done.chosen.unbind(1), strict=True):
        total = total + choice.log_prob(chosen)
    return total


def run(made: Case, terms: Terms = TERMS, backend: Any = "native") -> Slopes:
    return surrogate.surrogate(*made, terms, backend=backend)


def exact(made: Case, terms: Terms = TERMS) -> Slopes:
    """In float64, by autograd over the formula."""
    *leaves, columns, sizes, done, outcome = made.to(torch.float64)
    for leaf in leaves:
        leaf.requires_grad_()
    loss, statistics = surrogate.reference(*leaves, columns, sizes, done, outcome, terms)
    return Slopes(*torch.autograd.grad(loss, leaves), statistics)


@pytest.mark.parametrize("value_clip", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_has_the_formulas_gradients(
    kind: str, masked: bool, value_clip: float, way: tuple[str, str], within: Within
) -> None:
    terms = Terms(0.2, value_clip, 0.5, 0.01, 0.125)
    for rows in (1, 16, 37):
        made = case(kind, rows, masked and bool(KINDS[kind][1]), seed=rows)
        got, wanted = run(made, terms, way[0]), exact(made, terms)
        for name, one, other in zip(Slopes._fields, got, wanted, strict=True):
            assert one.shape == other.shape, name
            if other.numel():
                error = (one.double() - other).abs().max() / other.abs().max().clamp(min=1.0)
                within(f"surrogate, {name}", way[1], float(error))


def test_the_formula_is_that_of_torchs_distributions() -> None:
    made = case("both", 40, masked=True).to(torch.float64)
    normal, choices = policies(made)
    ratio = (log_probs(made) - made.outcome.log_prob).exp()
    advantage, weight = made.outcome.advantage, made.outcome.weight
    gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    entropy = normal.entropy().sum(1) + sum(choice.entropy() for choice in choices)
    loss, statistics = surrogate.reference(*made, TERMS)
    each = gain - 0.25 * (made.value - made.outcome.returns).square() + 0.01 * entropy
    torch.testing.assert_close(loss, -0.125 * (weight * each).sum())
    torch.testing.assert_close(statistics[0], -0.125 * (weight * gain).sum())
    torch.testing.assert_close(statistics[2], 0.125 * (weight * entropy).sum())
    assert 0.0 < statistics[4] < 0.125 * weight.sum(), "some are clipped, and some are not"


def test_what_went_too_far_pulls_no_further(way: tuple[str, str]) -> None:
    made = case("choices", 4)
    log_prob = log_probs(made)
    apart = torch.tensor([0.5, -0.5, 0.5, -0.5])  # log ratio
    outcome = made.outcome._replace(
        log_prob=log_prob - apart,
        advantage=torch.tensor([1.0, -1.0, -1.0, 1.0]),
        weight=torch.ones(4),
    )
    slopes = run(made._replace(outcome=outcome), Terms(0.2, 0.0, 0.5, 0.0, 1.0), way[0])
    moved = slopes.parameters.abs().amax(1) > 1e-4
    assert moved.tolist() == [False, False, True, True]


def test_samples_without_weight_count_for_nothing(way: tuple[str, str]) -> None:
    made = case("both", 20, masked=True)
    keep = made.outcome.weight > 0
    assert 0 < int(keep.sum()) < 20
    outcome = made.outcome._replace(
        advantage=torch.where(keep, made.outcome.advantage, 1e6),
        returns=torch.where(keep, made.outcome.returns, -1e6),
    )
    there, changed = run(made, backend=way[0]), run(made._replace(outcome=outcome), backend=way[0])
    for one, other in zip(there, changed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["parameters", "value", "advantage", "log_prob", "returns"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_shows(name: str, bad: float, way: tuple[str, str]) -> None:
    made = case("both", 18)
    ones = made.outcome._replace(weight=torch.ones(18))
    given = {"parameters": made.parameters, "value": made.value, **ones._asdict()}
    given[name].view(18, -1)[3, 0] = bad
    sound = (name, bad) in {("parameters", math.inf), ("log_prob", math.inf)}
    slopes = run(made._replace(outcome=ones), backend=way[0])
    # tanh of infinity is 1, and what was certain then has ratio 0 now: both are numbers.
    everything = torch.cat([t.reshape(-1) for t in (slopes[:3] if sound else slopes)])
    assert bool(everything.isfinite().all()) == sound


def test_bits_are_those_of_the_rows_alone() -> None:
    made = case("both", 64, masked=True)
    first, again = run(made), run(made)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_a_choice_that_there_is_not_is_refused(way: tuple[str, str]) -> None:
    for bad in (-1, 2):
        made = case("choices", 5)
        made.done.chosen[3, 0] = bad
        with pytest.raises(IndexError, match=r"chosen\[3\]"):
            run(made, backend=way[0])


def test_more_outputs_than_there_is_room_for_go_to_torch() -> None:
    made = case("choices", 3)
    many = made._replace(
        parameters=torch.zeros(3, 300),
        sizes=(300,),
        done=Done(made.done.taken, made.done.chosen[:, :1].contiguous(), None),
    )
    with pytest.raises(BackendError, match="parameters of 300 outputs, wanted 256 or fewer"):
        run(many)
    assert run(many, backend="auto").parameters.shape == (3, 300)


def test_the_op_is_sound_and_one_node_of_a_graph() -> None:
    made = case("both", 8, masked=True)
    numbers = TERMS.clip, TERMS.value_clip, TERMS.value_coef, TERMS.entropy_coef, TERMS.share
    for backend in surrogate.backends():
        given = (*made[:3], *made.columns, list(made.sizes), *made.done, *made.outcome)
        torch.library.opcheck(torch.ops.metabonk.surrogate.default, (*given, *numbers, backend))
    compiled: Callable[[Case], Slopes] = torch.compile(run, fullgraph=True, backend="aot_eager")
    for one, other in zip(compiled(made), run(made), strict=True):
        assert torch.equal(one, other)

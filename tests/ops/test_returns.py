"""Returns: every backend and tier against the formulas in float64, gradients, plans, refusals."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from metabonk.errors import BackendError
from metabonk.ops import returns as op

Within = Callable[[str, str, float], None]

SIZES = [(1, 1), (2, 3), (7, 16), (5, 17), (128, 67), (3, 1000)]


def batch(steps: int, columns: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """reward, value, terminated, truncated, is_reset, gamma per step."""
    generator = torch.Generator().manual_seed(1000 * seed + steps + columns)
    numbers = functools.partial(torch.randn, generator=generator, dtype=dtype)
    chance = functools.partial(torch.rand, steps, columns, generator=generator)
    gamma = 0.9 + 0.1 * chance().to(dtype)
    flags = [chance() < p for p in (0.1, 0.1, 0.15)]
    return numbers(steps, columns), numbers(steps + 1, columns), *flags, gamma


def variants(steps: int, columns: int, dtype: torch.dtype = torch.float32) -> Iterator[Any]:
    """Arguments of gae: with and without resets, one gamma and many, both kinds of flags."""
    for seed, (resets, many) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        reward, value, terminated, truncated, is_reset, gamma = batch(steps, columns, seed, dtype)
        if seed % 2:
            terminated, truncated = terminated.byte() * 3, truncated.byte()
        yield (
            (reward, value, terminated, truncated, is_reset if resets else None),
            {"gamma": gamma if many else 0.97, "gae_lambda": 0.9},
        )


def exact(arguments: Any) -> Any:
    return [t.double() if t is not None and t.is_floating_point() else t for t in arguments]


def gradients(function: Callable[..., Tensor], floats: list[Tensor], *rest: Any) -> list[Tensor]:
    """The output and its gradients with respect to `floats`, for a fixed weight of the output."""
    leaves = [t.detach().clone().requires_grad_() for t in floats]
    out = function(*leaves, *rest)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.parametrize(("steps", "columns"), SIZES)
def test_advantages_and_gradients_follow_the_formula(
    way: tuple[str, str], within: Within, steps: int, columns: int
) -> None:
    for arguments, settings in variants(steps, columns):
        found = gradients(
            functools.partial(op.gae, backend=way[0], **settings), arguments[:2], *arguments[2:]
        )
        precise = exact(arguments)
        gamma = settings["gamma"]
        gamma = gamma.double() if isinstance(gamma, Tensor) else gamma
        want = gradients(op.gae_reference, precise[:2], *precise[2:], gamma, 0.9)
        for a, b in zip(found, want, strict=True):
            assert a.dtype == torch.float32
            within("gae", way[1], float((a.double() - b).abs().max()))


@pytest.mark.parametrize(("steps", "columns"), SIZES)
def test_lambda_returns_and_gradients_follow_the_formula(
    way: tuple[str, str], within: Within, steps: int, columns: int
) -> None:
    reward, value, terminated, *_, gamma = batch(steps, columns)
    floats = [reward, value, gamma * ~terminated]
    for lambda_ in (0.0, 0.95, 1.0):
        run = functools.partial(op.lambda_returns, lambda_=lambda_, backend=way[0])
        found = gradients(run, floats)
        want = gradients(
            functools.partial(op.lambda_returns_reference, lambda_=lambda_), exact(floats)
        )
        for a, b in zip(found, want, strict=True):
            within("lambda_returns", way[1], float((a.double() - b).abs().max()))


def test_the_references_gradients_are_those_of_finite_differences() -> None:
    for arguments, settings in variants(4, 3, torch.float64):
        floats = [t.requires_grad_() for t in arguments[:2]]
        for function in (
            lambda r, v, a=arguments, s=settings: op.gae_reference(r, v, *a[2:], *s.values()),
            lambda r, v, a=arguments, s=settings: op.gae(r, v, *a[2:], **s),
        ):
            assert torch.autograd.gradcheck(function, floats)
    reward, value, *_, gamma = batch(4, 3, 0, torch.float64)
    floats = [t.requires_grad_() for t in (reward, value, gamma)]
    for function in (op.lambda_returns_reference, op.lambda_returns):
        assert torch.autograd.gradcheck(lambda *a, f=function: f(*a, 0.9), floats)


def test_gae_and_lambda_returns_are_one_thing() -> None:
    """Advantage + value is the lambda-return, where nothing ends."""
    reward, value, *_, gamma = batch(30, 5)
    never = torch.zeros(30, 5, dtype=torch.bool)
    advantage = op.gae(reward, value, never, never, gamma=gamma, gae_lambda=0.8)
    found = op.lambda_returns(reward, value, gamma, 0.8)
    torch.testing.assert_close(found, advantage + value[:-1], atol=1e-5, rtol=1e-5)


def test_what_flags_switch_off_may_be_nan(way: tuple[str, str]) -> None:
    reward, value, terminated, truncated, is_reset, gamma = batch(40, 21)
    # As environments do: the step after an ending resets.
    is_reset[0] = False
    is_reset[1:] = (terminated | truncated)[:-1]
    terminated, truncated = terminated & ~is_reset, truncated & ~is_reset
    is_reset[1:] = (terminated | truncated)[:-1]
    settings: dict[str, Any] = {"gamma": gamma, "gae_lambda": 0.9, "backend": way[0]}
    clean = op.gae(reward, value, terminated, truncated, is_reset, **settings)
    reward[is_reset] = torch.nan
    # The value of a terminal observation, which the reset step sees as its own.
    value[1:][terminated] = torch.nan
    found = op.gae(reward, value, terminated, truncated, is_reset, **settings)
    assert torch.equal(found, clean)
    assert found.isfinite().all()
    assert (found[is_reset] == 0).all()


def test_instruction_sets_give_the_same_bits(everywhere: Any) -> None:
    arguments, settings = list(variants(33, 101))[3]
    run = functools.partial(op.gae, backend="native", **settings)
    found = everywhere(lambda: gradients(run, arguments[:2], *arguments[2:]))
    for other in found.values():
        assert all(torch.equal(a, b) for a, b in zip(found["portable"], other, strict=True))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_empty_batches_give_empty_results(way: tuple[str, str], shape: tuple[int, int]) -> None:
    reward, value, terminated, truncated, is_reset, gamma = batch(*shape)
    found = op.gae(
        reward, value, terminated, truncated, is_reset, gamma=0.9, gae_lambda=0.9, backend=way[0]
    )
    assert found.shape == shape
    found = op.lambda_returns(reward, value, gamma, 0.9, backend=way[0])
    assert found.shape == shape


@pytest.mark.parametrize("backend", op.backends())
def test_opcheck(backend: str) -> None:
    for arguments, settings in variants(4, 3):
        gamma = settings["gamma"]
        each, even = (gamma, 1.0) if isinstance(gamma, Tensor) else (None, gamma)
        floats = [t.clone().requires_grad_() for t in arguments[:2]]
        torch.library.opcheck(
            torch.ops.metabonk.gae.default,
            (*floats, *arguments[2:], each, even, 0.9, backend),
        )
    reward, value, *_, gamma = batch(4, 3)
    floats = [t.clone().requires_grad_() for t in (reward, value, gamma)]
    torch.library.opcheck(torch.ops.metabonk.lambda_returns.default, (*floats, 0.9, backend))


def test_compiles_whole() -> None:
    arguments, settings = list(variants(6, 5))[3]

    def step(reward: Tensor, value: Tensor, discount: Tensor) -> Tensor:
        advantage = op.gae(reward * 2.0, value, *arguments[2:], **settings)
        return advantage.square() + op.lambda_returns(reward, value, discount, 0.9)

    floats = [*arguments[:2], settings["gamma"]]
    whole = torch.compile(step, fullgraph=True)
    for a, b in zip(gradients(step, floats), gradients(whole, floats), strict=True):
        torch.testing.assert_close(a, b)


def test_plans_are_the_ops(way: tuple[str, str]) -> None:
    if way[0] != "native":
        pytest.skip("plans are native")
    for arguments, settings in variants(9, 30):
        out = torch.empty(9, 30)
        plan = op.plan_gae(*arguments, **settings, out=out)
        arguments[0].normal_()
        plan.step()
        assert torch.equal(out, op.gae(*arguments, **settings))
    reward, value, *_, gamma = batch(9, 30)
    plan = op.plan_lambda_returns(reward, value, gamma, 0.9, out=out)
    value.normal_()
    plan.step()
    assert torch.equal(out, op.lambda_returns(reward, value, gamma, 0.9))


def test_a_step_taken_from_its_plan_holds_the_memory() -> None:
    out, returns = torch.empty(9, 300), torch.empty(9, 300)

    def taken() -> list[Callable[[], None]]:
        reward, value, *flags, gamma = batch(9, 300)
        return [
            op.plan_gae(reward, value, *flags, gamma=gamma, gae_lambda=0.9, out=out).step,
            op.plan_lambda_returns(reward, value, gamma, 0.9, out=returns).step,
        ]

    steps = taken()
    gc.collect()
    others = [torch.full((9 + i % 2, 300), torch.nan) for i in range(60)]
    for step in steps:
        step()
    reward, value, *flags, gamma = batch(9, 300)
    assert torch.equal(out, op.gae(reward, value, *flags, gamma=gamma, gae_lambda=0.9))
    assert torch.equal(returns, op.lambda_returns(reward, value, gamma, 0.9))
    assert len(others) == 60


def test_second_derivatives_are_refused_and_not_wrong() -> None:
    reward, value, terminated, truncated, _, gamma = batch(4, 3)
    value.requires_grad_()
    runs: list[Callable[[], Tensor]] = [
        lambda: op.gae(reward, value, terminated, truncated, gamma=gamma, gae_lambda=0.9),
        lambda: op.lambda_returns(reward, value, gamma, 0.9),
    ]
    for run in runs:
        out = run()
        weight = torch.ones_like(out, requires_grad=True)
        (first,) = torch.autograd.grad(out, value, weight, create_graph=True)
        with pytest.raises(RuntimeError, match="no gradient of its own"):
            torch.autograd.grad(first.sum(), weight)


def test_bad_input_is_named() -> None:
    (reward, value, terminated, truncated, _), _ = next(variants(4, 3))
    settings: dict[str, Any] = {"gamma": 0.9, "gae_lambda": 0.9}
    with pytest.raises(ValueError, match=r"gae: value is .* \[4, 3\]; wanted .* \[5, 3\]"):
        op.gae(reward, value[:-1], terminated, truncated, **settings)
    with pytest.raises(ValueError, match=r"value is torch\.float64"):
        op.gae(reward, value.double(), terminated, truncated, **settings)
    with pytest.raises(ValueError, match=r"terminated is torch\.float32"):
        op.gae(reward, value, terminated.float(), truncated, **settings)
    with pytest.raises(ValueError, match=r"truncated is torch\.bool \[3, 3\]"):
        op.gae(reward, value, terminated, truncated[1:], **settings)
    with pytest.raises(ValueError, match=r"is_reset is torch\.int64"):
        op.gae(reward, value, terminated, truncated, terminated.long(), **settings)
    with pytest.raises(ValueError, match="gamma is"):
        op.gae(reward, value, terminated, truncated, gamma=value, gae_lambda=0.9)
    with pytest.raises(ValueError, match=r"reward is .* \[4\]"):
        op.gae(reward[:, 0], value, terminated, truncated, **settings)
    with pytest.raises(ValueError, match="discount is"):
        op.lambda_returns(reward, value, value, 0.9)
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        op.gae(reward, value, terminated, truncated, **settings, backend="cuda")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["reward", "value", "terminated", "truncated", "gamma"])
def test_native_copies_nothing_silently(name: str) -> None:
    reward, value, terminated, truncated, _, gamma = batch(4, 3)
    tensors = {
        "reward": reward,
        "value": value,
        "terminated": terminated,
        "truncated": truncated,
        "gamma": gamma,
    }
    tensors[name] = tensors[name].t().contiguous().t()
    with pytest.raises(BackendError, match=f"native cannot take {name} with strides"):
        op.gae(**tensors, gae_lambda=0.9, backend="native")
    out = torch.full((4, 3), -7.0)
    with pytest.raises(ValueError, match=f"cannot bind {name} with strides"):
        op.plan_gae(**tensors, gae_lambda=0.9, out=out)
    want = op.gae_reference(reward, value, terminated, truncated, None, gamma, 0.9)
    torch.testing.assert_close(op.gae(**tensors, gae_lambda=0.9), want)
    assert (out == -7.0).all()


def test_a_plan_refuses_an_out_of_another_kind() -> None:
    reward, value, terminated, truncated, _, gamma = batch(4, 3)
    for out, why in (
        (torch.zeros(4, 3, dtype=torch.float64), "out is torch.float64"),
        (torch.zeros(3, 3), r"out is .* \[3, 3\]"),
        (torch.zeros(3, 4).t(), "out with strides"),
        (torch.zeros(4, 3, requires_grad=True), "out requires a gradient"),
        (reward, "out shares memory with reward"),
        (value[1:], "out shares memory with value"),
    ):
        with pytest.raises(ValueError, match=why):
            op.plan_gae(reward, value, terminated, truncated, gamma=0.9, gae_lambda=0.9, out=out)
        with pytest.raises(ValueError, match=why):
            op.plan_lambda_returns(reward, value, gamma, 0.9, out=out)

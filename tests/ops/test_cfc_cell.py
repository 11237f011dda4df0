"""CfC steps: the traced door against the sequence, and plans: equal, without allocation, refusing
what cannot be bound."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from allocations import allocated
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import cfc_cell as op
from metabonk.ops import cfc_scan

NAMES = ("x", "h", "dt", "keep", "w_in", "b_in", "w_heads", "b_heads")
Within = Callable[[str, str, float], None]


def tensors(
    batch: int = 4,
    inputs: int = 3,
    hidden: int = 5,
    backbone: int = 6,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(batch)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype) * scale

    return [
        normal(batch, inputs),
        normal(batch, hidden, scale=0.5),
        normal(batch, 1).abs(),
        (torch.rand(batch, 1, generator=generator) > 0.3).to(dtype),
        normal(backbone, inputs + hidden, scale=(inputs + hidden) ** -0.5),
        normal(backbone, scale=0.1),
        normal(4 * hidden, backbone, scale=backbone**-0.5),
        normal(4 * hidden, scale=0.1),
    ]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 128, 128, 128), (7, 20, 33, 17), (100, 9, 70, 65)]
)
def test_a_step_and_its_gradients_follow_the_formula(
    way: tuple[str, str], within: Within, shape: tuple[int, int, int, int]
) -> None:
    leaves = [t.requires_grad_() for t in tensors(*shape)]
    exact = [t.detach().double().requires_grad_() for t in leaves]
    out, want = op.cfc_cell(*leaves, backend=way[0]), op.reference(*exact)
    within("cfc_cell", way[1], (out - want).abs().max().item())
    d_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(out, leaves, d_out)
    for mine, theirs in zip(found, torch.autograd.grad(want, exact, d_out.double()), strict=True):
        size = max(theirs.abs().max().item(), 1e-3)
        within("cfc_cell, gradients", way[1], (mine - theirs).abs().max().item() / size)


def test_torch_finds_nothing_wrong_with_the_op() -> None:
    leaves = [t.requires_grad_() for t in tensors()]
    torch.library.opcheck(torch.ops.metabonk.cfc_cell.default, (*leaves, True, "auto"))
    assert torch.autograd.gradcheck(
        op.cfc_cell, [t.requires_grad_() for t in tensors(2, 2, 3, 3, torch.float64)]
    )


def test_it_is_one_node_of_a_compiled_graph() -> None:
    leaves = [t.requires_grad_() for t in tensors()]
    compiled = torch.compile(op.cfc_cell, fullgraph=True)
    torch.testing.assert_close(compiled(*leaves), op.cfc_cell(*leaves))


@pytest.mark.parametrize("batch", [1, 2, 7, 96, 97, 256])
def test_a_plan_equals_the_op_and_follows_its_memory(instructions: str, batch: int) -> None:
    given = tensors(batch, 20, 33, 40)
    plan = op.plan(*given)
    assert plan.tier == {"vnni": "avx512", "bf16": "avx512", "amx": "avx512"}.get(
        instructions, instructions
    )
    for _ in range(3):
        plan.step()
        assert torch.equal(plan.out, op.cfc_cell(*given, backend="native"))
        given[0].neg_()
        given[2].mul_(1.5)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 6, 97, 256])
def test_a_plan_of_bf16_weights_is_the_op_on_rounded_ones(
    instructions: str, within: Within, batch: int
) -> None:
    """Bit for bit; and what the rounding costs."""
    given = tensors(batch, 20, 33, 40)
    plan = op.plan(*given, precision="bf16")
    plan.step()
    w_in, w_heads = (given[i].bfloat16().float() for i in (4, 6))
    rounded = [*given[:4], w_in, given[5], w_heads, given[7]]
    assert torch.equal(plan.out, op.cfc_cell(*rounded, backend="native"))
    exact = op.reference(*(t.double() for t in given))
    within("cfc_cell, bf16 plan", instructions, (plan.out - exact).abs().max().item())
    given[6].mul_(0.5)
    plan.load(*given[4:])
    plan.step()
    rounded[6] = given[6].bfloat16().float()
    assert torch.equal(plan.out, op.cfc_cell(*rounded, backend="native"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_threads_change_nothing_and_few_rows_take_one(precision: Any) -> None:
    for batch, most in ((1, 1), (2, 1), (700, 3)):
        given = tensors(batch, 60, 64, 96)
        want = None
        for threads in (1, 2, 3):
            plan = op.plan(*given, precision=precision, threads=threads)
            assert plan.threads == min(threads, most)
            plan.step()
            want = plan.out if want is None else want
            assert torch.equal(plan.out, want)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert op.plan(*given).threads == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_plan_of_a_sequence_is_the_scan(instructions: str, batch: int) -> None:
    x, h, dt, keep, *weights = tensors(batch, 20, 33, 40)
    steps = [torch.stack([t, t * 0.5, -t]) for t in (x, dt)]
    keeps = torch.stack([keep, torch.zeros_like(keep), torch.ones_like(keep)])
    given = [steps[0], h, steps[1].abs(), keeps, *weights]
    want = cfc_scan.cfc_scan(*given, backend="native")
    for threads in (1, 2):
        plan = op.plan(*given, threads=threads)
        plan.step()
        assert torch.equal(plan.out, want)
    plain = op.plan(steps[0], h, None, None, *weights, precision="bf16")
    plain.step()
    assert plain.out.shape == (3, batch, 33)
    with pytest.raises(ValueError, match="cfc_scan: out shares memory with h"):
        op.plan(steps[0][:1], h, None, None, *weights, out=h[None])
    with pytest.raises(ValueError, match=r"cfc_scan: out is .* \[4, 33\]; wanted"):
        op.plan(*given, out=torch.zeros(4, 33))


def test_a_plan_carries_the_state_in_place(instructions: str) -> None:
    for keep in (True, False):
        given = tensors(130, 9, 24, 24)
        if not keep:
            given[3] = None  # type: ignore[call-overload]
        state = given[1].clone()
        plan = op.plan(*given, out=given[1])
        for _ in range(3):
            state = op.cfc_cell(given[0], state, *given[2:], backend="native")
            plan.step()
            assert torch.equal(given[1], state)


def test_a_plan_stays_on_its_tier_and_takes_new_weights() -> None:
    given = tensors(3, 9, 24, 24)
    plan = op.plan(*given)
    made_on, before = plan.tier, _core.support.active_tier()
    try:
        _core.support.cap_tier("baseline")
        plan.step()
        assert plan.tier == made_on
    finally:
        _core.support.cap_tier(before)
    old = plan.out.clone()
    given[4].mul_(0.5)
    plan.step()
    assert torch.equal(plan.out, old)  # it has its own copy
    plan.load(*given[4:])
    plan.step()
    assert torch.equal(plan.out, op.cfc_cell(*given, backend="native"))
    with pytest.raises(ValueError, match=r"w_heads is .*wanted"):
        plan.load(given[4], given[5], given[6][:4], given[7])
    with pytest.raises(ValueError, match="cannot bind w_in with strides"):
        plan.load(given[4].t().contiguous().t(), *given[5:])


def test_a_step_alone_holds_the_memory_it_was_bound_to() -> None:
    given = tensors(64, 16, 24, 24)
    want = op.cfc_cell(*given, backend="native")
    held = [weakref.ref(t) for t in given[:4]]
    plan = op.plan(*given)
    step, out = plan.step, plan.out
    del plan, given
    gc.collect()
    assert all(ref() is not None for ref in held)
    step()
    assert torch.equal(out, want)
    del step
    assert all(ref() is None for ref in held)


def test_a_step_allocates_nothing() -> None:
    plan = op.plan(*tensors(64, 128, 128, 128))
    plan.step()
    found = allocated(plan.step)
    assert found.kept == 0
    assert found.peak < 256  # the loop's own counter


@pytest.mark.parametrize("name", [*NAMES, "out"])
@pytest.mark.parametrize("fault", ["strided", "float64", "misaligned", "meta", "graph", "shape"])
def test_what_cannot_be_bound_is_named_and_out_is_left_alone(name: str, fault: str) -> None:
    given = dict(zip([*NAMES, "out"], [*tensors(), torch.full((4, 5), 7.0)], strict=True))
    good, out = given[name], given["out"]
    shape = good.shape
    if fault == "strided":
        wide = torch.zeros(*shape[:-1], 2 * shape[-1])
        given[name] = wide[..., ::2]
        if given[name].is_contiguous():  # of one column: rows apart instead
            given[name] = torch.zeros(2 * shape[0], *shape[1:])[::2]
    elif fault == "float64":
        given[name] = good.double()
    elif fault == "misaligned":
        raw = torch.zeros(4 * good.numel() + 1, dtype=torch.uint8).numpy()
        flat = torch.frombuffer(raw, dtype=torch.float32, count=good.numel(), offset=1)
        given[name] = flat.view(shape)
    elif fault == "meta":
        given[name] = good.to("meta")
    elif fault == "graph":
        given[name] = good.clone().requires_grad_()
    else:
        given[name] = torch.zeros(*shape, 1)
    # Of x everything else follows, so the first to disagree with it may be the one that is named.
    culprit = (
        r"(x|h|dt|keep|w_in|b_in)" if name == "x" else rf"({name}|w_in)" if name == "b_in" else name
    )
    if name == "h" and fault in ("float64", "meta", "shape"):
        culprit = "(h|out)"
    with pytest.raises(ValueError, match=rf"cfc_(cell|scan): (cannot bind )?{culprit} "):
        op.plan(*(given[n] for n in NAMES), out=given["out"])
    if fault != "meta" or name != "out":
        assert (out == 7.0).all()


def test_out_may_be_h_and_nothing_else() -> None:
    given = tensors(4, 5, 5, 6)
    with pytest.raises(
        ValueError, match="out shares memory with x; of one step h may be out itself"
    ):
        op.plan(*given, out=given[0])
    room = torch.zeros(8, 5)
    given[1] = room[:4]
    with pytest.raises(ValueError, match="out shares memory with h"):
        op.plan(*given, out=room[2:6])


def test_absent_backends_are_named() -> None:
    with pytest.raises(ValueError, match="precision is 'fp16'; wanted 'fp32' or 'bf16'"):
        op.plan(*tensors(), precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads is 0; wanted 1 to 1,024"):
        op.plan(*tensors(), threads=0)
    with pytest.raises(BackendError, match="no plan of backend 'torch'; here are: native"):
        op.plan(*tensors(), backend="torch")
    with pytest.raises(BackendError, match="no backend 'triton'; here are: native, torch"):
        op.cfc_cell(*tensors(), backend="triton")


def test_numpy_arrays_reach_the_core_only_as_addresses() -> None:
    plan = _core.nn.CfcPlan
    with pytest.raises(TypeError):
        plan((3, 5, 6), 1, 4, (torch.zeros(3).numpy(),) * 4, (0, 0, 0, 0), 0, (), False, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 or more"):
        plan((0, 5, 6), 1, 4, (0, 0, 0, 0), (0, 0, 0, 0), 0, (), False, 1)

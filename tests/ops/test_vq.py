"""Nearest codes: every backend and tier against the formula in float64, plans, and refusals."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from allocations import allocated
from torch import Tensor

from metabonk import _core
from metabonk.errors import BackendError
from metabonk.ops import vq as op

EPS = torch.finfo(torch.float32).eps
Within = Callable[[str, str, float], None]
SIZES = [
    (1, 1, 1),
    (5, 3, 2),
    (7, 17, 16),
    (64, 65, 31),
    (193, 512, 128),
    (50, 1000, 3),
    (6, 9, 200),
]


def numbers(rows: int, codes: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 * seed + rows + codes + width)
    return (
        torch.randn(rows, width, generator=generator),
        torch.randn(codes, width, generator=generator),
    )


def farther(x: Tensor, codebook: Tensor, index: Tensor, metric: op.Metric) -> float:
    """By how much the chosen codes are worse than the best, in units of D eps |x| max |c|."""
    x, codebook = x.double(), codebook.double()
    score = x @ codebook.t()
    if metric == "euclidean":
        score = score - codebook.square().sum(-1) / 2
    loss = score.max(-1).values - score.gather(-1, index[:, None])[:, 0]
    unit = x.shape[-1] * EPS * x.norm(dim=-1) * codebook.norm(dim=-1).max()
    return float((loss / unit).max())


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
@pytest.mark.parametrize(("rows", "codes", "width"), SIZES)
def test_takes_the_nearest_code(
    way: tuple[str, str], within: Within, rows: int, codes: int, width: int, metric: op.Metric
) -> None:
    for seed in range(3):
        x, codebook = numbers(rows, codes, width, seed)
        found = op.vq_lookup(x, codebook, metric=metric, backend=way[0])  # type: ignore[arg-type]
        within("vq_lookup", way[1], farther(x, codebook, found.indices, metric))
        assert torch.equal(found.quantized, codebook[found.indices])
        if way[0] == "native" and metric == "euclidean":
            assert _core.nn.vq_kernels() == way[1].replace("vnni", "avx512")


def test_the_tolerance_sees_a_second_best_code() -> None:
    x, codebook = numbers(64, 65, 31)
    score = x @ codebook.t() - codebook.square().sum(-1) / 2
    second = score.topk(2, -1).indices[:, 1]
    assert farther(x, codebook, second, "euclidean") > 10.0


def test_where_numbers_are_whole_the_answer_is_the_references(way: tuple[str, str]) -> None:
    """Small integers are exact in float32, ties among them too."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(-2, 3, (400, 4), generator=generator).float()
    codebook = torch.randint(-2, 3, (150, 4), generator=generator).float()
    for metric in ("euclidean", "dot"):
        found = op.vq_lookup(x, codebook, metric=metric, backend=way[0])  # type: ignore[arg-type]
        assert torch.equal(found.indices, op.reference(x, codebook, metric).indices)


def test_of_equal_codes_the_lowest_is_taken(way: tuple[str, str]) -> None:
    if way[0] != "native":
        pytest.skip("a BLAS may round equal columns differently")
    x, codebook = numbers(97, 40, 37)
    for copies in (2, 5, 30):
        repeated = codebook.repeat(copies, 1)
        found = op.vq_lookup(x, repeated, backend="native").indices
        assert int(found.max()) < 40
        assert torch.equal(found, op.vq_lookup(x, codebook, backend="native").indices)


def test_a_row_does_not_depend_on_the_others(way: tuple[str, str]) -> None:
    if way[0] != "native":
        pytest.skip("a BLAS may round otherwise for another number of rows")
    x, codebook = numbers(61, 90, 20)
    many = op.vq_lookup(x, codebook, backend="native").indices
    one = [op.vq_lookup(row[None], codebook, backend="native").indices for row in x]
    assert torch.equal(many, torch.cat(one))


def test_threads_change_nothing() -> None:
    x, codebook = numbers(3000, 700, 64)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found = op.vq_lookup(x, codebook, backend="native")
            sums = op.vq_statistics(x, found.indices, 700, backend="native")
            results.append((*found, *sums))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_any_number_of_leading_dimensions_and_none(way: tuple[str, str]) -> None:
    _, codebook = numbers(1, 12, 5)
    for shape in ((5,), (3, 5), (2, 0, 5), (2, 3, 4, 5), (0, 5)):
        found = op.vq_lookup(torch.randn(shape), codebook, backend=way[0])  # type: ignore[arg-type]
        assert found.quantized.shape == shape
        assert found.indices.shape == shape[:-1]


def test_the_gradient_goes_straight_through(way: tuple[str, str]) -> None:
    x, codebook = numbers(20, 9, 6)
    x.requires_grad_()
    codebook.requires_grad_()
    weight = torch.randn(20, 6)
    found = op.vq_lookup(x, codebook, backend=way[0])  # type: ignore[arg-type]
    assert not found.indices.requires_grad
    (found.quantized * weight).sum().backward()
    exact = x.detach().double().requires_grad_()
    want = op.reference(exact, codebook.double()).quantized
    (want * weight.double()).sum().backward()
    torch.testing.assert_close(x.grad, exact.grad.float())
    assert codebook.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_go_to_torch(dtype: torch.dtype) -> None:
    x, codebook = (t.to(dtype) for t in numbers(30, 20, 4))
    assert op.vq_lookup(x, codebook).quantized.dtype == dtype
    with pytest.raises(BackendError, match=r"x of .*, wanted torch.float32; here are: native"):
        op.vq_lookup(x, codebook, backend="native")


@pytest.mark.parametrize("backend", op.backends())
def test_statistics_are_sums_over_one_hot_rows(backend: op.Backend) -> None:
    for rows, codes, width in SIZES:
        x, _ = numbers(rows, codes, width)
        index = torch.randint(-1, codes, (rows,), generator=torch.Generator().manual_seed(rows))
        found = op.vq_statistics(x, index, codes, backend=backend)
        taken = torch.nn.functional.one_hot(index + 1, codes + 1)[:, 1:].double()
        torch.testing.assert_close(found.counts.double(), taken.sum(0))
        torch.testing.assert_close(
            found.sums.double(), taken.t() @ x.double(), atol=1e-5, rtol=1e-5
        )


def test_ema_is_the_formula() -> None:
    x, codebook = numbers(40, 7, 3)
    index = op.vq_lookup(x, codebook).indices
    new = op.vq_statistics(x, index, 7)
    size, total = torch.ones(7), codebook.clone()
    op.ema_update_(codebook, size, total, new, decay=0.9, eps=1e-3)
    want_size = 0.9 + 0.1 * new.counts
    n = (want_size + 1e-3) / (want_size.sum() + 7e-3) * want_size.sum()
    torch.testing.assert_close(size, want_size)
    torch.testing.assert_close(codebook, total / n[:, None])


@pytest.mark.parametrize("backend", op.backends())
def test_opcheck(backend: str) -> None:
    x, codebook = numbers(9, 5, 4)
    for metric in ("euclidean", "dot"):
        for leading in (x, x.view(3, 3, 4)):
            torch.library.opcheck(
                torch.ops.metabonk.vq_lookup.default,
                (leading.clone().requires_grad_(), codebook, metric, backend),
            )
    index = torch.arange(9) % 5
    torch.library.opcheck(torch.ops.metabonk.vq_statistics.default, (x, index, 5, backend))


def test_compiles_whole() -> None:
    x, codebook = numbers(33, 10, 8)

    def step(x: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        found = op.vq_lookup(x * 2.0, codebook)
        new = op.vq_statistics(x, found.indices, 10)
        return found.quantized.square().sum(), new.sums

    def run(function: object) -> tuple[Tensor, ...]:
        leaf = x.clone().requires_grad_()
        loss, sums = function(leaf, codebook)  # type: ignore[operator]
        loss.backward()
        return loss.detach(), sums, leaf.grad

    for mine, whole in zip(run(step), run(torch.compile(step, fullgraph=True)), strict=True):
        torch.testing.assert_close(mine, whole)


def test_a_plan_is_the_op_and_makes_no_objects(way: tuple[str, str]) -> None:
    """That the core allocates nothing either is tested in tests/csrc/nn/vq_test.cc."""
    if way[0] != "native":
        pytest.skip("plans are native")
    x, codebook = numbers(100, 50, 16)
    index, quantized = torch.empty(100, dtype=torch.int64), torch.empty(100, 16)
    plan = op.plan(x, codebook, index, quantized)
    for _ in range(2):
        x.normal_()
        plan.step()
        want = op.vq_lookup(x, codebook, backend="native")
        assert torch.equal(index, want.indices)
        assert torch.equal(quantized, want.quantized)
    codebook.normal_()
    plan.repack()
    plan.step()
    assert torch.equal(index, op.vq_lookup(x, codebook, backend="native").indices)
    assert allocated(plan.step).peak < 512


def test_a_plan_has_threads_of_its_own_where_they_are_asked_for() -> None:
    x, codebook = numbers(3000, 40, 64)  # enough work to be shared
    want = op.vq_lookup(x, codebook, backend="native").indices
    tasks = Path("/proc/self/task")
    for threads in (1, 3):
        index = torch.empty(3000, dtype=torch.int64)
        before = len(list(tasks.iterdir()))
        plan = op.plan(x, codebook, index, threads=threads)
        # One that another test let go may have been seen a moment longer.
        assert len(list(tasks.iterdir())) >= before + threads - 2
        plan.step()
        assert torch.equal(index, want)
        assert plan.threads == threads
    assert op.plan(x, codebook, index).threads == torch.get_num_threads()
    with pytest.raises(ValueError, match="threads is 0; wanted 1 to 1,024"):
        op.plan(x, codebook, index, threads=0)


def test_a_step_taken_from_its_plan_holds_the_memory() -> None:
    index = torch.empty(300, dtype=torch.int64)

    def taken() -> Callable[[], None]:
        x, codebook = numbers(300, 50, 64)
        return op.plan(x, codebook, index, torch.empty(300, 64)).step

    step = taken()
    gc.collect()
    others = [torch.full((300, 64), torch.nan) for _ in range(50)]
    step()
    x, codebook = numbers(300, 50, 64)
    assert torch.equal(index, op.vq_lookup(x, codebook).indices)
    assert len(others) == 50


def test_what_is_not_finite_is_refused_and_named(way: tuple[str, str]) -> None:
    for bad in (float("nan"), float("inf"), -float("inf")):
        x, codebook = numbers(20, 30, 5)
        x[13, 2] = bad
        with pytest.raises(ValueError, match=r"vq_lookup: x: row 13 holds NaN"):
            op.vq_lookup(x, codebook, backend=way[0])  # type: ignore[arg-type]
        x, codebook = numbers(20, 30, 5)
        codebook[7, 4] = bad
        with pytest.raises(ValueError, match=r"vq_lookup: codebook: code 7 holds NaN"):
            op.vq_lookup(x, codebook, backend=way[0])  # type: ignore[arg-type]


def test_a_step_that_is_refused_leaves_what_was_there() -> None:
    x, codebook = numbers(20, 30, 5)
    index, quantized = torch.full((20,), -7), torch.full((20, 5), -7.0)
    plan = op.plan(x, codebook, index, quantized)
    x[19, 0] = torch.nan
    with pytest.raises(ValueError, match="row 19"):
        plan.step()
    assert (index == -7).all()
    assert (quantized == -7.0).all()
    codebook[3] = torch.inf
    with pytest.raises(ValueError, match="code 3"):
        plan.repack()
    x[19, 0] = 0.0
    plan.step()  # with the codes that were packed before
    assert (index >= 0).all()


def test_bad_input_is_named() -> None:
    x, codebook = numbers(8, 6, 4)
    index = torch.zeros(8, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"codebook is torch.float32 \[6, 4\]; wanted .* \[K, 3\]"):
        op.vq_lookup(x[:, :3], codebook)
    with pytest.raises(ValueError, match=r"codebook is torch.float64"):
        op.vq_lookup(x, codebook.double())
    with pytest.raises(ValueError, match="codebook has 0 codes"):
        op.vq_lookup(x, codebook[:0])
    with pytest.raises(ValueError, match=r"x is torch.int64"):
        op.vq_lookup(index[:, None], codebook)
    with pytest.raises(ValueError, match=r"x is torch.float32"):
        op.vq_lookup(torch.tensor(1.0), codebook)
    with pytest.raises(ValueError, match="metric is 'cosine'"):
        op.vq_lookup(x, codebook, metric="cosine")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="no backend 'cuda'; here are: native, torch"):
        op.vq_lookup(x, codebook, backend="cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="codes is 0"):
        op.vq_statistics(x, index, 0)
    with pytest.raises(ValueError, match=r"index is torch.int32 \[8\]; wanted torch.int64 \[8\]"):
        op.vq_statistics(x, index.int(), 6)
    for backend in op.backends():
        for bad in (-2, 6):
            index[5] = bad
            with pytest.raises(ValueError, match="entry 5 is no code's: wanted -1 to 5"):
                op.vq_statistics(x, index, 6, backend=backend)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", ["strided", "misaligned", "elsewhere"])
def test_native_copies_nothing_silently(what: str) -> None:
    x, codebook = numbers(8, 6, 4)
    raw = memoryview(bytearray(8 * 4 * 4 + 1))
    bad = {
        "strided": torch.randn(8, 8)[:, ::2],
        "misaligned": torch.frombuffer(raw[1:], dtype=torch.float32).view(8, 4),
        "elsewhere": x.to("meta"),
    }[what]
    index = torch.full((8,), -7)
    with pytest.raises(
        ValueError, match=r"vq_lookup: (cannot bind x|codebook is on cpu, x on meta)"
    ):
        op.plan(bad, codebook, index)
    if what != "elsewhere":
        with pytest.raises(BackendError, match="native cannot take x"):
            op.vq_lookup(bad, codebook, backend="native")
        assert torch.equal(op.vq_lookup(bad, codebook).indices, op.reference(bad, codebook).indices)


def test_a_plan_refuses_outputs_of_another_kind() -> None:
    x, codebook = numbers(8, 6, 4)
    index, quantized = torch.full((8,), -7), torch.full((8, 4), -7.0)
    with pytest.raises(ValueError, match=r"index of torch.int32"):
        op.plan(x, codebook, index.int())
    with pytest.raises(ValueError, match=r"index is \[7\]; wanted \[8\]"):
        op.plan(x, codebook, index[:7])
    with pytest.raises(ValueError, match="index with strides"):
        op.plan(x, codebook, torch.zeros(16, dtype=torch.int64)[::2])
    with pytest.raises(ValueError, match=r"quantized of torch.float64"):
        op.plan(x, codebook, index, quantized.double())
    with pytest.raises(ValueError, match=r"quantized is \[8, 3\]; wanted \[8, 4\]"):
        op.plan(x, codebook, index, torch.zeros(8, 3))
    with pytest.raises(ValueError, match="quantized shares memory with x"):
        op.plan(x, codebook, index, x)
    with pytest.raises(ValueError, match="x requires a gradient"):
        op.plan(x.clone().requires_grad_(), codebook, index)
    assert (index == -7).all()
    assert (quantized == -7.0).all()

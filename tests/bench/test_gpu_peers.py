"""bench.gpu's peers on the processor: that they do the work of the cases, that work on other
numbers is told from it, and that torch can trace what is to be compiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from metabonk.bench.gpu import __main__ as gpu
from metabonk.bench.gpu import contest, cuda_frames, cuda_imagine, cuda_rssm, cuda_work, peers
from metabonk.bench.gpu.plain import Plain, cloned

pytest.importorskip("triton", reason="needs Triton")

from metabonk.kernels.cases import Case, Inputs, cases


class Cuda:
    """As much of metabonk._cuda as making inputs needs."""

    @staticmethod
    def rssm_scratch(sizes: tuple[int, ...]) -> int:
        return 64

    @staticmethod
    def linear_fp4_scratch(inputs: int) -> int:
        return 64

    @staticmethod
    def resize_axis(source: int, target: int, area: bool) -> tuple[int, list[int], list[int]]:
        return 1, [0] * target, [0] * target


def every() -> list[Case]:
    works = cuda_work, cuda_rssm, cuda_imagine, cuda_frames
    return cases() + [case for work in works for case in work.cases(Cuda)]


SMALL = [case for case in every() if case.small]
# One of every kernel, the largest of the small ones: sizes that are no multiples show the most.
ONE_EACH = {contest.kernel_of(case.name): case for case in SMALL}

# What may lie between a peer and the reference in float64, by norm: what its formats round, and of
# frames the difference of a byte. Rows that eager keeps in float32 are rounded in the reference.
ALLOWED = {
    "vq": 1.0,
    "linear int8": 0.01,
    "linear e4m3": 0.04,
    "linear nvfp4": 0.15,
    "linear bf16": 0.005,
    "quantize": 1e-6,
    "cfc": 1e-5,
    "rssm_layer": 0.01,
    "gru": 0.01,
    "rssm": 2e-5,
    "imagine": 2e-5,
    "squashed": 2e-6,
    "gaussian": 2e-6,
    "categorical": 2e-6,
    "gae": 4e-6,
    "lambda_returns": 4e-6,
    "cuda cfc": 1e-5,
    "cuda linear": 0.01,
    "cuda linear nvfp4 by nvfp4": 0.15,
    "cuda rssm": 1e-4,
    "cuda imagine": 1e-4,
    "cuda normalise": 1e-6,
    "cuda": 1.0,
}


def allowed(case: Case) -> float:
    if case.name.endswith(" fp32"):
        return 1e-6
    return ALLOWED[max((name for name in ALLOWED if case.name.startswith(name)), key=len)]


def distance(case: Case, given: Inputs, found: Any) -> float:
    """From the case's reference, as ALLOWED says."""
    wanted = case.reference(given)
    if case.op.startswith("frames."):
        return float((found[0].double() - wanted[0].double()).abs().max())
    if case.judge is not None:
        return case.judge(given, found, wanted) * case.tolerance
    pairs = zip(found, wanted, strict=False)  # peers leave out what only a gradient needs
    return max(float((f.double() - w).norm() / (w.norm() or 1.0)) for f, w in pairs)


def ids(case: Case) -> str:
    return case.name.replace(" ", "-")


@pytest.mark.parametrize("case", SMALL, ids=ids)
def test_what_is_eager_does_the_work(case: Case) -> None:
    given = case.make("cpu", 1)
    plain = peers.eager(case, given)
    assert plain is not None
    assert distance(case, given, plain.run()) <= allowed(case)


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=ids)
def test_work_on_other_numbers_is_seen(case: Case) -> None:
    other = peers.eager(case, case.make("cpu", 2))
    assert other is not None
    assert distance(case, case.make("cpu", 1), other.run()) > allowed(case)


@pytest.mark.parametrize("case", ONE_EACH.values(), ids=ids)
def test_what_is_compiled_can_be_traced_and_does_the_work(case: Case) -> None:
    given = case.make("cpu", 1)
    plain = peers.compiled(case, given)
    assert plain is not None
    found = plain.compiled(backend="aot_eager").run()
    assert distance(case, given, found) <= allowed(case)


def linear() -> list[Case]:
    return [case for case in SMALL if "weights" in case.facts]


@pytest.mark.parametrize("case", linear(), ids=ids)
def test_libraries_multiply_in_the_format_of_the_weights(case: Case) -> None:
    given, weights = case.make("cpu", 1), case.facts["weights"]
    formats = "bf16", "int8", "fp8"
    found = {name: peers.AT_ONCE[f"cuBLASLt {name}"](case, given) for name in formats}
    assert found["bf16"] is not None
    assert (found["int8"] is None) == (weights != "int8")
    assert (found["fp8"] is None) == (weights != "fp8")
    # Rows are brought to the format of the product.
    rounding = {"bf16": 0.01, "int8": 0.01, "fp8": 0.04}
    for name, plain in found.items():
        if plain is not None:
            error = distance(case, given, plain.run())
            assert error <= max(rounding[name], allowed(case)), name


def test_the_layer_in_few_bits_is_the_kernels_own_product() -> None:
    """int8 by int8 is exact but for the last products: nothing of float32's layer is in it."""
    case = next(case for case in SMALL if case.name == "linear int8 x int8 70x96x40")
    given = case.make("cpu", 1)
    stored, whole = peers.compiled(case, given), peers.eager(case, given)
    assert stored is not None
    assert whole is not None
    assert distance(case, given, stored.run()) < 1e-6 < distance(case, given, whole.run())


@pytest.mark.parametrize("name", ["gru 70x16 to 40 fp32", "cfc 1x3 5-9-7"])
def test_cudnn_runs_the_layer_or_another_cell_of_its_size(name: str) -> None:
    case = next(case for case in SMALL if case.name == name)
    given = case.make("cpu", 1)
    plain = peers.cudnn_gru(case, given)
    assert plain is not None
    (found,) = plain.run()
    wanted = case.reference(given)[0]
    assert found.shape[1:] == wanted.shape[-2:]
    if name.startswith("gru"):
        assert distance(case, given, (found[0],)) < 1e-5


def test_every_kernel_that_is_timed_has_peers() -> None:
    timed = {contest.kernel_of(case.name) for case in every() if not case.small}
    assert timed == set(ONE_EACH)
    for case in SMALL:
        given = case.make("cpu", 0)
        assert peers.eager(case, given) is not None
        assert peers.compiled(case, given) is not None
    names = {contest.kernel_of(case.name) for case in gpu.all_cases(None) if not case.small}
    assert names - timed == {"tick of"}  # test_gpu_tick.py


def test_an_unknown_op_has_none() -> None:
    case = next(iter(SMALL))
    unknown = Case("?", "?", case.make, case.run, case.reference, case.cost, 1.0)
    assert peers.eager(unknown, {}) is None
    assert peers.compiled(unknown, {}) is None
    assert all(make(unknown, {}) is None for make in peers.AT_ONCE.values())


def test_numbers_again_lie_in_other_memory() -> None:
    gru = torch.nn.GRU(3, 2)
    first = Plain({"x": torch.ones(2), "n": 3, "gru": gru}, lambda x, n, gru: (x * n,))
    again = first.again()
    first.inputs["x"].zero_()
    assert again.run()[0].tolist() == [3.0, 3.0]
    other = cloned(first.inputs)["gru"]
    assert torch.equal(other.weight_hh_l0, gru.weight_hh_l0)
    assert other.weight_hh_l0.data_ptr() != gru.weight_hh_l0.data_ptr()

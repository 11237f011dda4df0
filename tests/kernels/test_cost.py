"""The model of bytes and operations: against counts made by hand and the figures of the design."""

from __future__ import annotations

import pytest
from metabonk.kernels.architectures import ARCHITECTURES, BF16, FP4, FP8
from metabonk.kernels.cost import Cost


def test_the_longest_of_bytes_operations_and_launches() -> None:
    floor = Cost(6_000_000, 3_000_000).floor("sm_90")
    assert floor is not None
    assert floor.seconds == pytest.approx(3e-6)
    assert (floor.bound, floor.measured) == ("bytes", True)
    floor = Cost(0, 0, {BF16: 798_000_000_000}, nodes=4).floor("sm_90")
    assert floor is not None
    assert (floor.seconds, floor.bound, floor.measured) == (pytest.approx(1e-3), BF16, True)
    floor = Cost(0, 0, nodes=4).floor("sm_90")
    assert floor is not None
    assert (floor.seconds, floor.bound) == (pytest.approx(5.2e-6), "nodes")


def test_what_is_read_in_a_paper_is_not_called_measured() -> None:
    floor = Cost(0, 0, {FP8: 10**12}).floor("sm_90")
    assert floor is not None
    assert not floor.measured
    for name in ("sm_100", "sm_120"):
        assert not ARCHITECTURES[name].measured
    assert Cost(0, 0, {FP4: 1}).floor("sm_90") is None


def test_floors_of_the_design() -> None:
    """H100: exact codes of 64 k x 128 against 512 take 10.8 us of products, a CfC step a node."""
    pytest.importorskip("triton")
    from metabonk.kernels.work import cfc, vq

    products = vq.cost(65536, 512, 128).operations[BF16]
    assert products / ARCHITECTURES["sm_90"].rates[BF16] == pytest.approx(10.8e-6, rel=0.01)
    step = cfc.cost(1, 16, 256, 256, 256).floor("sm_90")
    assert step is not None
    assert (step.seconds, step.bound) == (1.3e-6, "nodes")


def test_costs_are_what_the_tensors_hold() -> None:
    """Bytes of every case: no less than its results, and its inputs where each is read once."""
    pytest.importorskip("triton")
    from metabonk.kernels.cases import cases

    for case in cases():
        if not case.small:
            continue
        wanted = case.reference(case.make("cpu", 0))
        assert case.cost.bytes > 0
        assert all(n >= 0 for n in case.cost.operations.values())
        largest = max(t.numel() for t in wanted)
        assert case.cost.written >= largest / 2, case.name  # NVFP4 takes half a byte


def test_cases_have_names_of_their_own() -> None:
    pytest.importorskip("triton")
    from metabonk.kernels.cases import cases

    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert {case.op for case in cases()} >= {"vq_lookup", "qlinear", "cfc_scan", "gae"}

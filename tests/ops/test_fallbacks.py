"""What torch's definition takes because no kernel can read it is counted, and said once."""

from __future__ import annotations

import warnings

import pytest
import torch

from metabonk.ops import dense, fallbacks, library, qlinear, vq
from metabonk.ops.fallbacks import FallbackWarning, Reason


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallbacks, "_counts", type(fallbacks._counts)())


def test_a_strided_tensor_is_counted_and_said_once() -> None:
    wide, packed = torch.randn(4, 40), qlinear.pack(torch.randn(8, 32), "int8")
    with pytest.warns(FallbackWarning, match=r"qlinear: .* x with strides \(40, 1\)") as said:
        _ = [qlinear.qlinear(wide[:rows, :32], packed) for rows in (4, 3, 2)]
    assert len(said) == 1
    assert fallbacks.seen() == {("qlinear", "x is strided"): 3}


def test_every_kind_has_a_count_of_its_own() -> None:
    x, codes = torch.randn(8, 4), torch.randn(3, 4)
    narrow = x[:, :2], codes[:, :2].contiguous()
    with pytest.warns(FallbackWarning) as said:
        _ = [vq.vq_lookup(*pair) for pair in ((x.double(), codes.double()), narrow, narrow)]
    assert len(said) == 2
    assert fallbacks.seen() == {
        ("vq_lookup", "x of torch.float64"): 1,
        ("vq_lookup", "x is strided"): 2,
    }


def test_on_a_device_its_own_kernels_reason_counts() -> None:
    """That main memory is wanted by others is none; nor is it that a tensor lies elsewhere."""
    away = Reason("x on cuda:0, wanted main memory", "x on cuda:0", placed=True)
    strided = Reason("x with strides (9, 1), wanted a contiguous one", "x is strided")
    there = ("native", "triton", "torch")
    with pytest.warns(FallbackWarning, match=r"an_op: .*strides \(9, 1\)"):
        assert library.choose("an_op", "auto", there, away, strided) == "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        assert library.choose("an_op", "auto", there, away, "no GPU that torch can use") == "torch"
        assert library.choose("an_op", "auto", there, away) == "triton"
        assert library.choose("an_op", "torch", there, strided, strided) == "torch"
    assert fallbacks.seen() == {("an_op", "x is strided"): 1}


def test_what_is_no_fallback_is_not_counted() -> None:
    """Kernels that take the tensors, definitions that were asked for, and too few rows for a kernel
    to be worth it."""
    x, packed = torch.randn(4, 32), qlinear.pack(torch.randn(8, 32), "int8")
    few = torch.randn(1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        qlinear.qlinear(x, packed)
        qlinear.qlinear(torch.randn(4, 40)[:, :32], packed, backend="torch")
        dense.dense(torch.randn(5), [few], [torch.randn(5, 8)])
    assert fallbacks.seen() == {}


def test_a_watch_counts_from_when_it_was_made() -> None:
    """And each call once, in words that say op and reason."""
    wide, packed = torch.randn(4, 40), qlinear.pack(torch.randn(8, 32), "int8")
    with pytest.warns(FallbackWarning):
        qlinear.qlinear(wide[:, :32], packed)
    watch = fallbacks.Watch()
    assert watch.news() == {}
    for _ in range(2):
        qlinear.qlinear(wide[:, :32], packed)
    with pytest.warns(FallbackWarning):
        vq.vq_lookup(torch.randn(8, 4)[:, :2], torch.randn(3, 2))
    news = watch.news()
    assert news == {"qlinear, x is strided": 2, "vq_lookup, x is strided": 1}
    assert watch.news() == {}
    said = fallbacks.told(news)
    assert said.endswith("qlinear, x is strided: 2; vq_lookup, x is strided: 1.")

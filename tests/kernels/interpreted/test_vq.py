"""That screening decides exactly: equal codes, near ties, odd sizes of numbers, and bad rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from metabonk.kernels.triton import vq
from torch import Tensor


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def nearest(x: Tensor, codebook: Tensor, euclidean: bool = True) -> Tensor:
    score = x.double() @ codebook.double().t()
    if euclidean:
        score -= codebook.double().square().sum(-1) / 2
    return score.argmax(-1)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each lookup left to float32."""
    counts: list[int] = []
    run = vq.EXACT.function

    class Counting:
        def __getitem__(self, grid: Any) -> Any:
            def launch(*arguments: Any, **options: Any) -> None:
                counts.append(int(arguments[6]))
                run[grid](*arguments, **options)

            return launch

    monkeypatch.setattr(vq, "EXACT", vq.Kernel("vq_exact", Counting(), vq.EXACT.types))
    return counts


def test_screening_decides_nearly_all_rows(listed: list[int]) -> None:
    """Of normal numbers, 512 codes of 64: a list that held everything would be exact and slow."""
    x, codebook = randn(512, 64), randn(512, 64, seed=1)
    _, index = vq.lookup(x, vq.prepare(codebook))
    assert torch.equal(index, nearest(x, codebook))
    assert listed == [pytest.approx(0, abs=40)]  # seen: 13


@pytest.mark.parametrize("euclidean", [True, False])
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e4, 1e12])
def test_any_size_of_numbers(scale: float, euclidean: bool, listed: list[int]) -> None:
    """Far beyond float16's range, of rows that differ by twelve orders of magnitude."""
    x = randn(70, 20) * torch.logspace(-6, 6, 70)[:, None] * scale
    codebook = randn(33, 20, seed=1) * scale
    _, index = vq.lookup(x, vq.prepare(codebook, euclidean))
    x, codebook = x.double() / scale, codebook.double() / scale
    assert torch.equal(index, nearest(x, codebook, euclidean))
    assert listed[0] < 20


def test_equal_codes_give_the_lowest(listed: list[int]) -> None:
    codebook = randn(100, 16)
    codebook[77], codebook[64], codebook[99] = codebook[3], codebook[3], codebook[0]
    x = codebook[[3, 0, 50]] + 0.01
    _, index = vq.lookup(x, vq.prepare(codebook))
    assert index.tolist() == [3, 0, 50]
    assert listed == [2]


def test_near_ties_are_decided_in_float32() -> None:
    """Codes that differ by less than float16 can say, in both orders."""
    base = randn(1, 32).repeat(64, 1)
    codebook = base + 1e-5 * randn(64, 32, seed=1)
    x = codebook + 1e-7
    _, index = vq.lookup(x, vq.prepare(codebook))
    score = x.double() @ codebook.double().t() - codebook.double().square().sum(-1) / 2
    lost = score.max(-1).values - score.gather(-1, index[:, None])[:, 0]
    unit = 32 * 2.0**-23 * x.double().norm(dim=-1) * codebook.double().norm(dim=-1).max()
    assert float((lost / unit).max()) < 1.0  # worst seen 0.01


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 3e38])
@pytest.mark.parametrize("width", [16, 300])
def test_rows_without_a_finite_score_have_no_code(bad: float, width: int) -> None:
    x, codebook = randn(9, width), randn(40, width, seed=1)
    x[4] = bad
    _, index = vq.lookup(x, vq.prepare(codebook))
    good = torch.arange(9) != 4
    assert torch.equal(index[good], nearest(x[good], codebook))
    assert index[4] == -1


def test_a_codebook_of_zeros_and_an_empty_batch() -> None:
    codebook = torch.zeros(5, 4)
    assert vq.lookup(randn(3, 4), vq.prepare(codebook))[1].tolist() == [0, 0, 0]
    quantized, index = vq.lookup(randn(0, 4), vq.prepare(codebook))
    assert quantized.shape == (0, 4)
    assert index.shape == (0,)

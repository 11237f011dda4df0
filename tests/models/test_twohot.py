"""Two-hot numbers: exact means, bounded gradients, zero before anything is learned."""

from __future__ import annotations

import pytest
import torch

from metabonk.models.twohot import TwoHot, symexp, symlog


def test_symexp_is_the_inverse_of_symlog() -> None:
    x = torch.tensor([-3e4, -1.0, -1e-3, 0.0, 1e-3, 2.5, 1e4], dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(x)), x)


def test_a_number_is_two_neighbouring_bins_whose_mean_it_is() -> None:
    code = TwoHot()
    x = torch.cat([torch.linspace(-50, 50, 401), torch.tensor([0.0, 1e-4, -9e4, 1.5e5])])
    weights = code.encode(x)
    assert int((weights > 0).sum(-1).max()) <= 2
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(x))
    torch.testing.assert_close(
        weights.double() @ code.bins.double(), x.double(), rtol=1e-4, atol=1e-4
    )


def test_beyond_the_outermost_bin_a_number_counts_as_that_bin() -> None:
    code = TwoHot(11, 2.0)
    most = code.bins[-1]
    far = code.encode(torch.tensor([1e9, -1e9]))
    torch.testing.assert_close(far @ code.bins, torch.stack([most, -most]))


def test_nothing_known_means_zero_exactly() -> None:
    assert float(TwoHot().mean(torch.full_like(TwoHot().bins, 0.3))) == 0.0


def test_the_mean_of_a_random_number_is_learned() -> None:
    """A coin of 0 and 100: what minimises the loss expects 50, as squared error would, and the
    gradient's size does not depend on the numbers."""
    code = TwoHot()
    logits = torch.zeros_like(code.bins, requires_grad=True)
    values = torch.tensor([0.0, 100.0])
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(400):
        optimizer.zero_grad()
        code.loss(logits.expand(2, -1), values).mean().backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert float(logits.grad.norm()) < 1.0
        optimizer.step()
    assert float(code.mean(logits.detach())) == pytest.approx(50.0, rel=0.03)


def test_small_numbers_are_told_apart() -> None:
    """What it costs to take one small reward for another: near nothing where both are between the
    same two bins."""

    def missed(code: TwoHot) -> float:
        weights = code.encode(torch.tensor([0.005, 0.06]))
        guessed = weights.flip(0).clamp_min(1e-3).log()
        return float((code.loss(guessed, torch.tensor([0.005, 0.06]))).mean())

    assert missed(TwoHot()) > 3.0 * missed(TwoHot(127, 12.0, unit=1.0))


def test_an_even_number_of_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="count: 10 bins; wanted an odd number"):
        TwoHot(10)

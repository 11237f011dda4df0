"""The ensemble of one-step models: chance stays, ignorance goes, and where nothing was seen it
stays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from metabonk.learn.optimizer import FlatAdam
from metabonk.models.forward import ForwardEnsemble

GROUPS, CLASSES = 2, 4
KNOWN, CHANCE, UNSEEN = torch.eye(3)


def outcomes(kind: int, num: int, generator: torch.Generator, classes: int) -> Tensor:
    """What comes after each kind of input: always the same, or anything."""
    if not classes:
        drawn = torch.randn(num, GROUPS, generator=generator)
        return drawn if kind == 1 else 0.01 * drawn + 0.5
    drawn = torch.randint(0, classes, (num, GROUPS), generator=generator)
    drawn = drawn if kind == 1 else torch.ones_like(drawn)
    return torch.nn.functional.one_hot(drawn, classes).float().flatten(1)


def learned(classes: int, updates: int = 400, prior: float = 3.0) -> ForwardEnsemble:
    torch.manual_seed(0)
    ensemble = ForwardEnsemble(5, 3, GROUPS, classes, hidden=32, prior=prior)
    optimizer = FlatAdam(ensemble.online)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.cat([KNOWN.expand(64, 3), CHANCE.expand(64, 3)])
    for _ in range(updates):
        target = torch.cat([outcomes(kind, 64, generator, classes) for kind in (0, 1)])
        optimizer.zero()
        ensemble.losses(inputs, target).mean(1).sum().backward()
        optimizer.clip(10.0)
        optimizer.step(3e-3)
    return ensemble


@pytest.mark.parametrize("classes", [CLASSES, 0])
def test_gain_is_high_only_where_nothing_was_learned(classes: int) -> None:
    ensemble = learned(classes)
    with torch.no_grad():
        found = ensemble.uncertainty(torch.stack([KNOWN, CHANCE, UNSEEN]))
    known, chance, unseen = found.gain.tolist()
    assert unseen > 5.0 * max(known, chance)
    # The mistake, predictive entropy, cannot tell chance from ignorance.
    assert found.total[1] > found.total[0] + 1.0
    if classes:
        assert float(found.aleatoric[1]) == pytest.approx(GROUPS * math.log(CLASSES), rel=0.1)
        assert float(found.aleatoric[0]) < 0.2


def test_without_priors_of_their_own_members_agree_too_soon() -> None:
    """The control: what makes them differ is what no data reached."""
    apart, alike = (
        float(learned(CLASSES, prior=p).uncertainty(UNSEEN[None]).gain.detach()) for p in (3.0, 0.0)
    )
    assert apart > 1.5 * alike


@pytest.mark.parametrize("classes", [CLASSES, 0])
def test_the_gain_is_total_minus_aleatoric_and_never_negative(classes: int) -> None:
    torch.manual_seed(1)
    ensemble = ForwardEnsemble(3, 6, GROUPS, classes, hidden=8)
    inputs = torch.randn(50, 6)
    with torch.no_grad():
        out, found = ensemble(inputs), ensemble.uncertainty(inputs)
    assert bool((found.gain >= 0.0).all())
    torch.testing.assert_close(found.gain, found.total - found.aleatoric)
    if classes:
        mean = out.exp().mean(0)
        total = -(mean * mean.log()).sum((-1, -2))
        each = -(out.exp() * out).sum((-1, -2)).mean(0)
        torch.testing.assert_close(found.total, total)
        torch.testing.assert_close(found.aleatoric, each)
        torch.testing.assert_close(out.exp().sum(-1), torch.ones(3, 50, GROUPS))
    else:
        mean, std = out[..., 0], out[..., 1].exp()
        variance = (mean.square() + std.square()).mean(0) - mean.mean(0).square()
        gaussian = torch.distributions.Normal(torch.zeros_like(variance), variance.sqrt())
        torch.testing.assert_close(found.total, gaussian.entropy().sum(-1))
        assert float(out[..., 1].abs().max()) < 4.0


def test_losses_are_those_of_torch_and_members_learn_alone() -> None:
    torch.manual_seed(2)
    ensemble = ForwardEnsemble(3, 6, GROUPS, 0, hidden=8)
    inputs, target = torch.randn(4, 6), torch.randn(4, GROUPS)
    out = ensemble(inputs)
    expected = -torch.distributions.Normal(out[..., 0], out[..., 1].exp()).log_prob(target).sum(-1)
    losses = ensemble.losses(inputs, target)
    torch.testing.assert_close(losses, expected)
    losses[1].sum().backward()
    for weight in ensemble.online.weights:
        assert weight.grad is not None
        assert float(weight.grad[1].abs().max()) > 0.0
        assert float(weight.grad[[0, 2]].abs().max()) == 0.0
    assert all(p.grad is None for p in ensemble.prior.parameters())


def test_one_member_is_refused() -> None:
    with pytest.raises(ValueError, match="members: 1; give at least 2"):
        ForwardEnsemble(1, 3, 2, 2)

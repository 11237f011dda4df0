"""The Q ensemble: sure where it learned, unsure elsewhere, and unsure of what leads elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from metabonk.bench.judges import GAMMA, MEMBERS, inside, learned, ratio, spread

from metabonk.config import CpqeConfig
from metabonk.models.ensemble import QEnsemble, bootstrap, lower_bound


@pytest.fixture(scope="module")
def own() -> QEnsemble:
    return learned("own")


def test_it_is_far_less_sure_where_it_learned_nothing(own: QEnsemble) -> None:
    assert ratio(own) >= 20.0


def test_what_is_served_is_far_less_sure_where_it_learned_nothing() -> None:
    """With the width and the prior that motors have, and the control beside it."""
    served = CpqeConfig()
    assert served.members == MEMBERS
    sizes = {"hidden": served.hidden, "prior": served.prior}
    motor, mean = learned("own", **sizes), learned("through the mean", **sizes)
    assert ratio(motor) >= 20.0 > ratio(mean)


def test_trained_through_its_mean_it_is_unsure_everywhere() -> None:
    """The control: members that answer for their mean only drift apart where all is known."""
    assert ratio(learned("through the mean")) < 20.0


def test_it_is_right_where_it_learned(own: QEnsemble) -> None:
    points = 0.9 * inside(500, 7)
    wanted, here = torch.zeros(500), points
    for step in range(20):
        wanted += GAMMA**step * (torch.sin(2.0 * here[:, 0]) + here[:, 1])
        here = 0.5 * here
    with torch.no_grad():
        found = own.agreed(points)[0]
    assert float((found - wanted).abs().mean()) < 0.1 * float(wanted.std())


def test_not_to_know_what_comes_is_not_to_know() -> None:
    """Every member bootstraps from its own target, so that doubt about what comes next reaches what
    leads there. One target for all takes it away: the control."""
    points = 0.9 * inside(500, 7)
    doubt = spread(learned("own", leads_out=True), points)
    assert doubt > 5.0 * spread(learned("shared target", leads_out=True), points)


def test_no_member_learns_for_another() -> None:
    """Gradients of one member's loss reach that member only; its mask decides from what."""
    ensemble = QEnsemble(3, 2, 8)
    mask = torch.zeros(3, 16, dtype=torch.bool)
    mask[1, :5] = True
    x, targets = inside(16, 3), torch.randn(3, 16)
    ensemble.losses(x, targets, mask).sum().backward()
    for weight in ensemble.online.parameters():
        moved = weight.grad.flatten(1).abs().sum(1) > 0
        assert moved.tolist() == [False, True, False]
    first = ensemble.online.weights[0].grad.clone()
    ensemble.zero_grad()
    targets[1, 5:] += 100.0  # of rows that are not its own
    ensemble.losses(x, targets, mask).sum().backward()
    assert torch.equal(first, ensemble.online.weights[0].grad)


def test_targets_follow_their_own_members_only() -> None:
    ensemble = QEnsemble(3, 2, 8)
    before = ensemble.target(inside(16, 3))
    with torch.no_grad():
        for weight in ensemble.online.parameters():
            weight[2] += 1.0
    assert torch.equal(before, ensemble.target(inside(16, 3)))
    ensemble.follow(1.0)
    after = ensemble.target(inside(16, 3))
    assert torch.equal(before[:2], after[:2])
    torch.testing.assert_close(after, ensemble(inside(16, 3)).detach())


def test_bootstraps_differ_between_members_and_not_between_calls() -> None:
    masks = bootstrap(4, 4000, 3)
    assert np.array_equal(masks, bootstrap(4, 4000, 3))
    shared = (masks[0] & masks[1]).mean()
    assert 0.2 < shared < 0.3  # a quarter, as of independent halves
    assert bootstrap(2, 4000, 3, 0.9).mean() == pytest.approx(0.9, abs=0.02)


def test_what_one_member_only_hopes_for_does_not_count() -> None:
    values = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 8.0]])
    mean, std = values.mean(0), values.std(0, correction=0)
    assert int(lower_bound(mean, std, 0.0).argmax()) == 1
    assert int(lower_bound(mean, std, 1.0).argmax()) == 0


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="members: 1"):
        QEnsemble(1, 2, 8)

"""A world model learns a small world: it sees further than persistence, and knows why it can."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from ring_world import LAYOUT, SMALL, SPACE, trained, walk

from metabonk.learn.dreams.foresight import Foresight, area_under_curve, foresight
from metabonk.learn.dreams.world import Batch, WorldLearner
from metabonk.models.world import build


def test_it_sees_ahead_by_knowing_what_actions_do() -> None:
    """Shuffled actions, the control, leave it no better than the mean."""
    test = Batch.of(walk(16, 128, seed=10_001))
    good = foresight(trained(250).model, test, context=4)
    assert good.error[-1] < 0.3 * good.persistence[-1]
    assert good.error[-1] < 0.3 * good.mean[-1]
    assert good.reward_auc > 0.95
    assert good.trust == 12
    blind = foresight(trained(250, shuffled=True).model, test, context=4)
    assert blind.error[-1] > 0.8 * blind.mean[-1]
    assert blind.trust == 0
    once = foresight(trained(250, shuffled=True).model, test, context=4, draws=1)
    assert once.error[-1] > 1.3 * blind.error[-1]  # chance errs twice where the mean errs once


@pytest.mark.parametrize(
    ("error", "trust"),
    [
        ([0.1, 0.1, 0.1, 0.1], 4),
        ([0.1, 0.1, 0.1, 0.5], 3),
        ([0.1, 0.5, 0.1, 0.5], 3),  # what comes after a gap counts
        ([0.9, 0.9, 0.9, 0.1], 0),  # one step that happens to be right does not
        ([0.46, 0.46, 0.46, 0.46], 0),  # nor does a little less
        ([float("nan")] * 4, 0),
    ],
)
def test_trust_goes_to_the_furthest_step_that_clearly_beats_both(
    error: list[float], trust: int
) -> None:
    still, mean = np.full(4, 0.5, np.float32), np.full(4, 0.6, np.float32)
    for a, b in ((still, mean), (mean, still)):
        seen = Foresight(np.array(error, np.float32), a, b, still, 1.0, 1)
        assert seen.trust == trust


def test_a_tolerable_error_is_trusted_where_nothing_moves() -> None:
    still, error = np.full(4, 0.01, np.float32), np.array([0.01, 0.02, 0.04, 0.06], np.float32)
    assert Foresight(error, still, still, still, 1.0, 1).trust == 0
    assert Foresight(error, still, still, still, 1.0, 1, tolerable=0.05).trust == 3


def test_the_divergence_neither_vanishes_nor_pays_below_the_free_nats() -> None:
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL, seed=0)
    metrics = [learner.update(walk(16, 16, seed=i))[0] for i in range(150)]
    assert metrics[0]["wm_kl"] < 0.1  # nothing is known yet
    assert max(m["wm_kl"] for m in metrics) > 0.3
    generous = msgspec.structs.replace(SMALL, free_nats=50.0)
    learner.config = generous
    batch = Batch.of(walk(16, 16, seed=0))
    terms = learner.losses(batch, learner.states(batch))
    paid = terms["loss"] - terms["wm_recon"] - terms["wm_reward"] - terms["wm_continue"]
    assert paid.item() == pytest.approx(50.0 * (1.0 + 0.1), rel=1e-4)


def test_the_burn_in_counts_only_after_a_beginning() -> None:
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL)
    is_first = torch.zeros(6, 2, dtype=torch.bool)
    is_first[1, 1] = True
    counts = learner._counts(is_first)
    assert counts[:, 0].tolist() == [False] * 3 + [True] * 3
    assert counts[:, 1].tolist() == [False] + [True] * 5


def test_equal_seeds_are_equal_bit_for_bit() -> None:
    one, two = trained(5), trained(5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["reward", "observation"])
def test_what_is_no_number_changes_nothing_and_is_counted(bad: float, where: str) -> None:
    learner = trained(2)
    before = [p.detach().clone() for p in learner.model.state_dict().values()]
    sequences = walk(16, 16, seed=3)
    array = sequences.reward if where == "reward" else sequences.observation["observation"]
    array[7, 3] = bad
    metrics, _ = learner.update(sequences)
    after = list(learner.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert metrics["wm_skipped"] == 1
    assert learner.update(walk(16, 16, seed=4))[0]["wm_skipped"] == 1


def test_sequences_with_a_reset_are_not_judged() -> None:
    sequences = walk(8, 4, seed=0)
    sequences.is_first[5, 1:] = True
    model = build(SPACE, LAYOUT, SMALL, seed=0)
    assert foresight(model, Batch.of(sequences), context=3).sequences == 1
    sequences.is_first[5] = True
    with pytest.raises(ValueError, match="every sequence holds a reset"):
        foresight(model, Batch.of(sequences), context=3)


def test_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.randint(0, 6, (80,), generator=generator).float()
    positive = torch.rand(80, generator=generator) < 0.3
    pairs = score[positive][:, None] - score[~positive]
    expected = float((pairs > 0).float().mean() + 0.5 * (pairs == 0).float().mean())
    assert area_under_curve(score, positive) == pytest.approx(expected)
    assert np.isnan(area_under_curve(score, torch.zeros(80, dtype=torch.bool)))

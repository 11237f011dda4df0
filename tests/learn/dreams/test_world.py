"""A world model learns a small world: it sees further than persistence, and knows why it can."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from dreamers import SMALL as DREAMS
from dreamers import dreamer_of
from ring_world import LAYOUT, SMALL, SPACE, trained, walk

from metabonk import games
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.foresight import Foresight, _paid_more, area_under_curve, foresight
from metabonk.learn.dreams.world import Batch, WorldLearner, beginnings
from metabonk.learn.replay import Sequences
from metabonk.models.rssm import Latent, RssmStates
from metabonk.models.world import build


def test_it_sees_ahead_by_knowing_what_actions_do() -> None:
    """Shuffled actions, the control, leave it no better than the mean."""
    test = Batch.of(walk(16, 128, seed=10_001))
    good = foresight(trained(250).model, test, context=4)
    assert good.error[-1] < 0.3 * good.persistence[-1]
    assert good.error[-1] < 0.3 * good.mean[-1]
    assert good.reward_auc > 0.95
    assert good.seen_auc > 0.95
    assert good.trust == 12
    blind = foresight(trained(250, shuffled=True).model, test, context=4)
    assert blind.error[-1] > 0.8 * blind.mean[-1]
    assert blind.trust == 0
    once = foresight(trained(250, shuffled=True).model, test, context=4, draws=1)
    assert once.error[-1] > 1.3 * blind.error[-1]  # chance errs twice where the mean errs once


@pytest.mark.parametrize(
    ("paid", "more"),
    [
        ([0.0, 0.0, 0.0, 1.0], [0, 0, 0, 1]),
        ([0.1, 0.1, 0.1, 0.3, -2.0], [0, 0, 0, 1, 0]),  # every step pays a little
        ([1.0, 1.0, 1.0, 0.0], [1, 1, 1, 0]),  # most pay all there is
    ],
)
def test_what_pays_is_told_from_what_steps_usually_pay(paid: list[float], more: list[int]) -> None:
    assert _paid_more(torch.tensor(paid)).tolist() == [bool(one) for one in more]


def test_the_rewards_weight_is_what_it_is_told_by() -> None:
    """Of nothing, nothing is learned of it; what else is learned needs none."""
    batch = Batch.of(walk(16, 128, seed=10_001))
    told = [foresight(trained(250, reward=weight).model, batch, context=4) for weight in (0.0, 1.0)]
    assert abs(told[0].seen_auc - 0.5) < 0.2
    assert told[1].seen_auc > 0.95
    assert told[0].error[-1] < 0.3 * told[0].mean[-1]


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
        seen = Foresight(np.array(error, np.float32), a, b, still, 1.0, 1.0, 1)
        assert seen.trust == trust


def test_a_tolerable_error_is_trusted_where_nothing_moves() -> None:
    still, error = np.full(4, 0.01, np.float32), np.array([0.01, 0.02, 0.04, 0.06], np.float32)
    assert Foresight(error, still, still, still, 1.0, 1.0, 1).trust == 0
    assert Foresight(error, still, still, still, 1.0, 1.0, 1, tolerable=0.05).trust == 3


def test_the_divergence_neither_vanishes_nor_pays_below_the_free_nats() -> None:
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL, seed=0)
    metrics = [learner.update(walk(16, 16, seed=i))[0] for i in range(150)]
    assert metrics[0]["wm_kl"] < 0.2  # hardly anything is known yet
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


def test_dreams_start_where_it_is_known_what_went_before() -> None:
    sequences = walk(6, 3, seed=0)
    sequences.is_first[:] = False
    sequences.is_first[1, 1] = sequences.is_first[0, 2] = True
    number = torch.arange(18.0)[:, None]
    start = beginnings(Latent(number, -number), sequences, burn_in=3)
    places = start.deter[:, 0].long()
    assert [sorted((places[places % 3 == env] // 3).tolist()) for env in range(3)] == [
        [3, 4, 5], [1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]
    ]  # fmt: skip
    assert torch.equal(start.stoch, -start.deter)
    nothing = Latent(number[:0], number[:0])
    assert len(beginnings(nothing, sequences, burn_in=3).deter) == 0


def short(length: int, num: int, episode: int) -> Sequences:
    """The ring in episodes of `episode` steps."""
    sequences = walk(length, num, seed=2)
    sequences.is_first[::episode] = True
    sequences.action[::episode] = 0.0
    sequences.reward[::episode] = 0.0
    sequences.terminated[episode - 1 :: episode] = True
    return sequences


def test_episodes_shorter_than_a_sequence_are_learned_from_as_by_themselves() -> None:
    """Three of them after one another, and the same three side by side."""
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL)
    whole = Batch.of(short(9, 5, episode=3))
    noise = learner.model.rssm.noise(9, 5, generator=torch.Generator().manual_seed(0))

    def apart(tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat(list(tensor.split(3)), 1)

    def losses(batch: Batch, noise: torch.Tensor) -> dict[str, torch.Tensor]:
        before = learner.model.init(noise.shape[1])
        states = learner.model.sequence(
            before, batch.action, batch.observation, batch.is_first, noise
        )
        return learner.losses(batch, states)

    seen = {key: apart(value) for key, value in whole.observation.items()}
    side_by_side = losses(Batch(seen, *(apart(tensor) for tensor in whole[1:])), apart(noise))
    for key, value in losses(whole, noise).items():
        torch.testing.assert_close(value, side_by_side[key], rtol=1e-5, atol=1e-5)
    endless = whole.is_first.clone()
    endless[1:] = False
    other = losses(whole._replace(is_first=endless), noise)
    assert abs(float((other["loss"] - side_by_side["loss"]).detach())) > 1e-3


def test_batches_of_nothing_but_ends_are_learned_from() -> None:
    """Soon it knows that nothing goes on, and no dream from there counts."""
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL)
    for _ in range(80):
        metrics, states = learner.update(short(16, 16, episode=2))
    assert metrics["wm_skipped"] == 0
    _, going = learner.model.outcome(states.features)
    assert float(going.view(16, 16)[1::2].max()) < 0.2
    dreamer = DreamLearner(learner.model, dreamer_of(learner.model), DREAMS)
    ended = Latent(states.deter.view(16, 16, -1)[1::2], states.stoch.view(16, 16, -1)[1::2])
    told = dreamer.update(Latent(ended.deter.flatten(0, 1), ended.stoch.flatten(0, 1)), 3)
    assert all(np.isfinite(value) for value in told.values())
    assert told["dream_skipped"] == 0


def test_batches_of_nothing_but_first_steps_have_neither_reward_nor_end() -> None:
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0), SMALL)
    metrics, states = learner.update(short(16, 16, episode=1))
    assert (metrics["wm_reward"], metrics["wm_continue"], metrics["wm_skipped"]) == (0.0, 0.0, 0.0)
    assert metrics["wm_recon"] > 0.0
    assert bool(states.features.isfinite().all())


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


def test_states_losses_and_gradients_lie_where_the_model_does() -> None:
    """On a device that holds no numbers, which any machine has: what was left in main memory would
    not go with it. What looks at numbers, as at those of frames, is left out."""
    game = games.make("arena")
    space, layout = game.observation_space, game.action_layout
    game.close()
    model = build(space, layout, SMALL, seed=0).to("meta")
    model.actions.forward = model.actions.trusted  # type: ignore[method-assign]
    learner = WorldLearner(model, SMALL, seed=0)
    there = learner.optimizer.flat.device
    assert there.type == "meta"
    lead, columns = (12, 3), sum(branch.width for branch in layout.branches)
    observation = {
        key: torch.zeros(*lead, *box.shape, dtype=torch.from_numpy(np.zeros(0, box.dtype)).dtype)
        for key, box in space.spaces.items()
    }
    flags = (torch.zeros(lead), torch.zeros(lead, dtype=torch.bool))
    batch = Batch(observation, torch.zeros(*lead, columns), *flags, flags[1]).to(there)
    model.learn_scales({key: value.flatten(0, 1) for key, value in batch.observation.items()})
    states = learner.states(batch)
    terms = learner.losses(batch, states)
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    assert {tensor.device for tensor in (*terms.values(), learner.optimizer.gradient)} == {there}
    elsewhere = batch._replace(is_first=torch.zeros(lead, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="device"):
        learner.losses(elsewhere, states)


def test_an_update_moves_what_was_drawn_to_the_model() -> None:
    learner = WorldLearner(build(SPACE, LAYOUT, SMALL, seed=0).to("meta"), SMALL, seed=0)
    seen: list[Batch] = []

    class Enough(Exception):
        pass

    def states(batch: Batch) -> RssmStates:
        seen.append(batch)
        raise Enough

    learner.states = states  # type: ignore[method-assign]
    with pytest.raises(Enough):
        learner.update(walk(6, 2, seed=0))
    (batch,) = seen
    there = {tensor.device.type for tensor in (*batch.observation.values(), *batch[1:])}
    assert there == {"meta"}

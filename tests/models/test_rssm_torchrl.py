"""The RSSM, its divergence and two-hot numbers are TorchRL's, on copied weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabonk.models.rssm import RSSM, Latent
from metabonk.models.twohot import TwoHot

model_based = pytest.importorskip("torchrl.modules.models.model_based")
losses = pytest.importorskip("torchrl.objectives.dreamer_v3")

STEPS, ROWS, DETER, STOCH, EMBED, ACTION = 7, 5, 12, 6, 9, 3


class Spec:
    shape = (ACTION,)


def pair() -> tuple[RSSM, torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    # The least deviation is 0: they cut at it where the paper, and we, add it.
    prior = model_based.RSSMPrior(Spec(), DETER, DETER, STOCH, scale_lb=0.0, action_dim=ACTION)
    posterior = model_based.RSSMPosterior(
        DETER, STOCH, scale_lb=0.0, rnn_hidden_dim=DETER, obs_embed_dim=EMBED
    )
    ours = RSSM(ACTION, EMBED, deter=DETER, groups=STOCH, classes=0, hidden=DETER, min_std=0.0)
    copies = [
        (ours.input, prior.action_state_projector[0]),
        (ours.rnn, prior.rnn),
        (ours.prior, prior.rnn_to_prior_projector[0]),
        (ours.prior_out, prior.rnn_to_prior_projector[2]),
        (ours.post, posterior.obs_rnn_to_post_projector[0]),
        (ours.post_out, posterior.obs_rnn_to_post_projector[2]),
    ]
    for mine, theirs in copies:
        weights = {key: value.clone() for key, value in theirs.state_dict().items()}
        mine.load_state_dict(weights)
    return ours, prior, posterior


def unrolled(
    prior: torch.nn.Module, posterior: torch.nn.Module, action: Tensor, embed: Tensor, noise: Tensor
) -> dict[str, Tensor]:
    belief, state = torch.zeros(ROWS, DETER), torch.zeros(ROWS, STOCH)
    rows: dict[str, list[Tensor]] = {"deter": [], "stoch": [], "prior": [], "posterior": []}
    for t in range(STEPS):
        mean, std, _, belief = prior(state, belief, action[t], noise=noise[t])
        rows["prior"].append(torch.cat([mean, std], -1))
        mean, std, state = posterior(belief, embed[t], noise=noise[t])
        rows["posterior"].append(torch.cat([mean, std], -1))
        rows["deter"].append(belief)
        rows["stoch"].append(state)
    return {key: torch.stack(value) for key, value in rows.items()}


def test_a_sequence_and_its_gradients_are_theirs() -> None:
    ours, prior, posterior = pair()
    generator = torch.Generator().manual_seed(1)
    action = torch.randn(STEPS, ROWS, ACTION, generator=generator)
    embed = torch.randn(STEPS, ROWS, EMBED, generator=generator)
    noise = torch.randn(STEPS, ROWS, STOCH, generator=generator)
    theirs = unrolled(prior, posterior, action, embed, noise)
    before = Latent(torch.zeros(ROWS, DETER), torch.zeros(ROWS, STOCH))
    found = ours.sequence(before, action, embed, None, noise)
    total, expected = torch.zeros(()), torch.zeros(())
    for key, value in theirs.items():
        mine = getattr(found, key)
        torch.testing.assert_close(mine, value, rtol=1e-5, atol=1e-5)
        weight = torch.randn(value.shape, generator=generator)
        total = total + (mine * weight).sum()
        expected = expected + (value * weight).sum()
    total.backward()  # type: ignore[no-untyped-call]
    expected.backward()  # type: ignore[no-untyped-call]
    pairs = [
        (ours.rnn.weight_hh, prior.rnn.weight_hh),
        (ours.input.weight, prior.action_state_projector[0].weight),
        (ours.post.weight, posterior.obs_rnn_to_post_projector[0].weight),
        (ours.prior_out.bias, prior.rnn_to_prior_projector[2].bias),
    ]
    for mine, value in pairs:
        torch.testing.assert_close(mine.grad, value.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("free", [0.0, 2.0])
def test_divergences_are_theirs(free: float) -> None:
    rssm = RSSM(2, 3, deter=8, groups=4, classes=6, hidden=8)
    generator = torch.Generator().manual_seed(2)
    posterior, prior = torch.randn(2, 11, 4, 6, generator=generator)
    dynamics, representation = losses.categorical_kl_terms(posterior, prior, free, rssm.unimix)

    def mixed(logits: Tensor) -> Tensor:
        share = (1.0 - rssm.unimix) * logits.softmax(-1) + rssm.unimix / 6
        return share.log().flatten(-2)

    ours = rssm.divergence(mixed(posterior), mixed(prior)).clamp(min=free).mean()
    torch.testing.assert_close(ours, dynamics)
    torch.testing.assert_close(ours, representation)


def test_two_hot_numbers_are_theirs() -> None:
    code = TwoHot(41, 6.0)
    generator = torch.Generator().manual_seed(3)
    value = torch.randn(50, generator=generator) * 30.0
    logits = torch.randn(50, 41, generator=generator)
    torch.testing.assert_close(code.encode(value), model_based.two_hot_encode(value, code.bins))
    theirs = -(model_based.two_hot_encode(value, code.bins) * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(code.loss(logits, value), theirs)
    torch.testing.assert_close(
        code.mean(logits), model_based.two_hot_decode(logits, code.bins), rtol=1e-4, atol=1e-3
    )

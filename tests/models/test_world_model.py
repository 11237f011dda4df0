"""World models: actions as numbers, decoders, divergences, and the four verbs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional

from metabonk.config import WorldConfig
from metabonk.models.actions import ActionCode
from metabonk.models.decoder import Frame, ObservationDecoder
from metabonk.models.rssm import RSSM, Latent
from metabonk.models.world import WorldModel, build
from metabonk.protocols import WorldModel as WorldProtocol
from metabonk.spaces import ActionLayout

SPACE = gs.Dict(
    {
        "state": gs.Box(-np.inf, np.inf, (5,), np.float32),
        "entities": gs.Box(-4, 4, (3, 2), np.float32),
        "entities_mask": gs.Box(0, 1, (3,), np.uint8),
        "cells": gs.Box(0, 15, (16, 12), np.uint8),
        "pixels": gs.Box(0, 255, (20, 16, 3), np.uint8),
        "action_mask": gs.Box(0, 1, (4,), np.uint8),
        "dt": gs.Box(0, 1, (1,), np.float32),
    }
)
LAYOUT = ActionLayout.of(
    gs.Dict({"move": gs.Box(-2.0, 4.0, (2,)), "press": gs.Discrete(4)}), masked=("press",)
)
SMALL = WorldConfig(deter=24, groups=4, classes=6, hidden=32)


def seen(*lead: int, seed: int = 0) -> dict[str, Tensor]:
    generator = np.random.default_rng(seed)
    found = {}
    for key, sub in SPACE.spaces.items():
        assert isinstance(sub, gs.Box)
        shape = (*lead, *sub.shape)
        if sub.dtype == np.uint8:
            array = generator.integers(0, int(sub.high.max()) + 1, shape, np.uint8)
        else:
            array = generator.normal(0.5, 3.0, shape).astype(np.float32)
        found[key] = torch.from_numpy(array)
    return found


def rows(*lead: int, seed: int = 0) -> Tensor:
    generator = np.random.default_rng(seed)
    out = np.zeros((*lead, 3), np.float32)
    out[..., :2] = generator.uniform(-2, 4, (*lead, 2))
    out[..., 2] = generator.integers(0, 4, lead)
    return torch.from_numpy(out)


def test_actions_are_scaled_and_one_hot() -> None:
    code = ActionCode(LAYOUT)
    out = code(torch.tensor([[-2.0, 1.0, 3.0], [9.0, 2.5, 0.0]]))
    expected = [[-1.0, 0.0, 0, 0, 0, 1], [1.0, 0.5, 1, 0, 0, 0]]
    torch.testing.assert_close(out, torch.tensor(expected))
    with pytest.raises(ValueError, match="action press: choices 0 to 4; wanted 0 to 3"):
        code(torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("classes", [5, 0])
def test_divergence_is_that_of_torchs_distributions(classes: int) -> None:
    rssm = RSSM(2, 3, deter=8, groups=3, classes=classes, hidden=8)
    generator = torch.Generator().manual_seed(0)
    if classes:
        a, b = torch.randn(2, 7, 3, 5, generator=generator, dtype=torch.float64).log_softmax(-1)
        oracle = kl_divergence(Categorical(logits=a), Categorical(logits=b)).sum(-1)
        got = rssm.divergence(a.flatten(-2), b.flatten(-2))
    else:
        m, n = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
        s, t = torch.rand(2, 7, 3, generator=generator, dtype=torch.float64) + 0.1
        oracle = kl_divergence(Normal(m, s), Normal(n, t)).sum(-1)
        got = rssm.divergence(torch.cat([m, s], -1), torch.cat([n, t], -1))
    torch.testing.assert_close(got, oracle)
    assert bool((got > 0.1).all())


def test_a_decoder_learns_every_kind_of_key() -> None:
    """Four observations from four one-hot features: all come back. Before, none does."""
    torch.manual_seed(0)
    decoder = ObservationDecoder(4, SPACE)
    observation = seen(4)
    decoder.learn(observation)
    features = torch.eye(4)
    optimizer = torch.optim.Adam(decoder.parameters(), 1e-2)
    losses = {key: decoder.loss(key, features, observation) for key in decoder.parts}
    before = {k: float(v.detach().mean()) for k, v in losses.items()}
    for _ in range(300):
        optimizer.zero_grad()
        losses = {key: decoder.loss(key, features, observation) for key in decoder.parts}
        torch.stack(list(losses.values())).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = {k: float(v.detach().mean()) for k, v in losses.items()}
    assert set(after) == set(SPACE.spaces)
    for key, loss in after.items():
        assert loss < 0.2 * before[key], key
    with torch.no_grad():
        back = decoder.expect(decoder(features))
    assert torch.equal(back["action_mask"], observation["action_mask"])
    assert float((back["cells"] == observation["cells"]).float().mean()) > 0.9
    torch.testing.assert_close(back["state"], observation["state"], rtol=0.2, atol=0.5)
    for key, value in back.items():
        assert value.shape == observation[key].shape


@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)])
def test_frames_are_told_from_their_mean(shape: tuple[int, ...]) -> None:
    """A network that says nothing draws the mean of all that was seen; before, nothing at all."""
    frame = Frame(4, shape)
    for parameter in frame.grow[-1].parameters():
        nn.init.zeros_(parameter)
    silent = frame(torch.randn(1, 4))
    assert not silent.any(), "nothing was seen"
    seen = torch.randint(0, 16, (8, *shape), dtype=torch.uint8)
    seen[:, 3, 4] = 7
    for part in (seen[:2], seen[2:]):
        frame.learn("frame", {"frame": part})
    if frame.cells:
        said = frame(torch.randn(1, 4)).softmax(1)
        shares = functional.one_hot(seen.long(), 16).double().mean(0).permute(2, 0, 1)
        expected = 0.99 * shares + 0.01 / 16
    else:
        said, expected = frame(torch.randn(1, 4)), (seen / 255.0).double().mean(0).permute(2, 0, 1)
    torch.testing.assert_close(said[0].double(), expected, rtol=1e-4, atol=1e-6)


def test_rows_that_are_not_there_cost_nothing() -> None:
    decoder = ObservationDecoder(4, SPACE)
    observation = seen(6)
    there = observation["entities_mask"].bool()[..., None]
    other = dict(observation)
    other["entities"] = torch.where(there, observation["entities"], 1e6)
    one, two = (decoder.loss("entities", torch.ones(6, 4), each) for each in (observation, other))
    assert torch.equal(one, two)
    assert bool((one > 0).any())


@pytest.fixture
def model() -> WorldModel:
    return build(SPACE, LAYOUT, SMALL, seed=3)


def test_a_world_model_fits_the_protocol(model: WorldModel) -> None:
    assert isinstance(model, WorldProtocol)


def test_weights_follow_from_the_seed_alone(model: WorldModel) -> None:
    torch.manual_seed(99)
    again, other = build(SPACE, LAYOUT, SMALL, seed=3), build(SPACE, LAYOUT, SMALL, seed=4)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(
        not torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


@torch.no_grad()
def test_steps_are_the_sequence(model: WorldModel) -> None:
    """Observing step by step equals observing at once; a first step forgets what came before."""
    length, num = 6, 3
    observation, action = seen(length, num), rows(length, num)
    is_first = torch.zeros(length, num, dtype=torch.bool)
    is_first[0] = is_first[3, 1] = True
    noise = model.rssm.noise(length, num, generator=torch.Generator().manual_seed(1))
    whole = model.sequence(model.init(num), action, observation, is_first, noise)
    state = Latent(torch.randn(num, 24), torch.randn(num, 24))
    for t in range(length):
        now = {key: value[t] for key, value in observation.items()}
        state = model.observe(state, action[t], now, is_first[t], noise[t])
        torch.testing.assert_close(state.deter, whole.deter[t], rtol=1e-5, atol=1e-5)
        assert torch.equal(state.stoch, whole.stoch[t])


@torch.no_grad()
def test_dreams_depend_on_the_action_and_the_noise_only(model: WorldModel) -> None:
    state = model.init(4)
    noise = model.rssm.noise(4, generator=torch.Generator().manual_seed(2))
    one = model.imagine(state, rows(4), noise)
    assert torch.equal(model.imagine(state, rows(4), noise).deter, one.deter)
    assert not torch.equal(model.imagine(state, rows(4, seed=1), noise).deter, one.deter)


@torch.no_grad()
def test_what_is_decoded_fits_the_space(model: WorldModel) -> None:
    decoded = model.decode(model.imagine(model.init(5), rows(5)))
    for key, value in decoded.observation.items():
        sub = SPACE[key]
        assert isinstance(sub, gs.Box)
        assert value.shape == (5, *sub.shape)
        assert (value.dtype == torch.uint8) == (sub.dtype == np.uint8)
    assert torch.equal(decoded.reward, torch.zeros(5))  # nothing is learned yet
    assert bool(((decoded.going > 0) & (decoded.going < 1)).all())

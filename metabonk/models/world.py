"""A world model: encoder, RSSM, and heads for the observation, the reward and the episode's end.

Knows observations, actions as rows of a layout, and the RSSM. Does not know replay, optimisers or
who asks. Its four verbs are protocols.WorldModel: `init`, `observe`, `imagine`, `decode`; dreams,
planners and twins use only these.

Time: the action of a step is the one that led to its observation, as the reward and the end are the
ones that came with it; the first step of an episode has neither (Hafner et al. 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import WorldConfig
from metabonk.models.actions import ActionCode
from metabonk.models.decoder import ObservationDecoder
from metabonk.models.encoders import ObservationReader, Tensors
from metabonk.models.layers import Dense, linear, mlp
from metabonk.models.rssm import RSSM, Latent, RssmStates
from metabonk.models.twohot import TwoHot
from metabonk.spaces import ActionLayout

__all__ = ["Decoded", "Latent", "WorldModel", "build"]


class Decoded(NamedTuple):
    """observation: by key [B, ...] in the observation's units. reward [B], expected. going [B]:
    probability that the episode went on."""

    observation: dict[str, Tensor]
    reward: Tensor
    going: Tensor


class WorldModel(nn.Module):
    """See the module."""

    def __init__(self, space: gs.Dict, layout: ActionLayout, config: WorldConfig) -> None:
        super().__init__()
        self.space, self.layout, self.config = space, layout, config
        width = config.hidden
        self.reader = ObservationReader(space, time=True, normalize=True)
        self.actions = ActionCode(layout)
        self.input = Dense(self.reader.widths, width)
        self.layers = mlp(width, width, 1)
        self.rssm = RSSM(
            self.actions.width,
            width,
            deter=config.deter,
            groups=config.groups,
            classes=config.classes,
            hidden=width,
            unimix=config.unimix,
        )
        features = self.rssm.features
        self.decoder_input = mlp(features, width, 2)
        self.decoder = ObservationDecoder(width, space)
        self.values = TwoHot()
        self.reward = nn.Sequential(mlp(features, width, 1), _still(width, len(self.values.bins)))
        self.going = nn.Sequential(mlp(features, width, 1), linear(width, 1, 0.01))

    def embed(self, observation: Tensors) -> Tensor:
        """Observations [..., *shape] by key -> [..., E]."""
        lead = _lead(observation, self.space)
        flat = {key: value.flatten(0, len(lead) - 1) for key, value in observation.items()}
        out: Tensor = self.layers(self.input(*self.reader(flat).parts))
        return out.view(*lead, -1)

    def init(self, num: int) -> Latent:
        """The state of `num` worlds in which nothing happened yet."""
        return self.rssm.initial(num)

    def sequence(
        self,
        before: Latent,
        action: Tensor,
        observation: Tensors,
        is_first: Tensor,
        noise: Tensor,
    ) -> RssmStates:
        """T observed steps: action rows [T, B, columns] that led to each (ignored where is_first),
        observation [T, B, ...], is_first bool [T, B], noise [T, B, groups]."""
        keep = (~is_first).to(noise.dtype)[..., None]
        return self.rssm.sequence(
            before, self.actions(action), self.embed(observation), keep, noise
        )

    def observe(
        self,
        state: Latent,
        action: Tensor,
        observation: Tensors,
        is_first: Tensor,
        noise: Tensor | None = None,
    ) -> Latent:
        """One observed step: rows [B, columns], observation [B, ...], is_first bool [B], noise
        [B, groups], drawn from torch's generator where it is not given."""
        noise = self.rssm.noise(len(is_first)) if noise is None else noise
        seen = {key: value[None] for key, value in observation.items()}
        out = self.sequence(state, action[None], seen, is_first[None], noise[None])
        return Latent(out.deter[0], out.stoch[0])

    def imagine(self, state: Latent, action: Tensor, noise: Tensor | None = None) -> Latent:
        """One step that nobody sees, after rows [B, columns]; noise as in `observe`."""
        noise = self.rssm.noise(len(action)) if noise is None else noise
        return self.rssm.step(state, self.actions(action), noise)

    def decode(self, state: Latent) -> Decoded:
        """What a state [B, ...] looks like."""
        features = state.features
        observation = self.decoder.expect(self.decoder(self.decoder_input(features)))
        return Decoded(observation, *self.outcome(features))

    def outcome(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Expected reward and probability of going on, [...], of features [..., F]."""
        flat = features.flatten(0, -2)
        reward = self.values.mean(self.reward(flat)).view(features.shape[:-1])
        return reward, torch.sigmoid(self.going(flat)).view(features.shape[:-1])

    def learn_scales(self, observation: Tensors) -> None:
        """Shows observations [B, ...] to every normaliser; between updates only."""
        self.reader.learn(observation)
        self.decoder.learn(observation)


def _still(inputs: int, outputs: int) -> nn.Linear:
    """Zero weights: before anything is learned every reward is expected to be 0."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _lead(observation: Tensors, space: gs.Dict) -> tuple[int, ...]:
    """The axes of an observation in front of the space's own."""
    key, value = next(iter(observation.items()))
    return tuple(value.shape[: value.dim() - len(cast(Any, space[key]).shape)])


def build(space: gs.Dict, layout: ActionLayout, config: WorldConfig, *, seed: int) -> WorldModel:
    """A world model of one environment's space, its weights drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WorldModel(space, layout, config)


def observations(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Arrays as tensors over the same memory."""
    return {key: torch.as_tensor(value) for key, value in arrays.items()}

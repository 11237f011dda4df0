"""An actor and a critic that read a world model's states. Knows heads; no losses, no games.

A dream here goes step by step through `rssm_step` and the policy's own head, not through
`ops.imagine`, which makes one call of it. That op has one kind of actor: layers of elu with one
choice among all, or numbers squashed by tanh whose deviation depends on the state. The dreamer's
has to be the policy's (heads.py), or neither could teach the other: layers of tanh; any number of
choices and columns at once; Gaussians that the game clips, of a deviation of their own; branches
that are fixed, steered or decisive; exploration around all of it; and choices that are masked by
what the world model's decoder believes allowed in each dreamed state. Another activation would not
be enough, as the mask needs the decoder inside of the loop.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.config import ModelConfig
from metabonk.models.heads import ActionHead
from metabonk.models.layers import mlp
from metabonk.models.policy import listed
from metabonk.models.rssm import Latent
from metabonk.models.twohot import TwoHot
from metabonk.models.world import WorldModel, observations
from metabonk.protocols import BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout

MASK = "action_mask"
DREAMER_STREAM = 15


class Dream(NamedTuple):
    """features [H + 1, B, F]: of the start and after every step. rows [H, B, columns]: what was
    done. mask [H, B, choices] or None: what was believed allowed there, uint8. log_prob [H, B]: of
    what was done, under whoever did it."""

    features: Tensor
    rows: Tensor
    mask: Tensor | None
    log_prob: Tensor


class Dreamer(nn.Module):
    """features [B, F] of a world model's states -> the action's parameters, and values.

    model: the policy's own settings, so that the head's parameters mean what the policy's do.
    """

    def __init__(
        self,
        features: int,
        layout: ActionLayout,
        hidden: int,
        model: ModelConfig,
        fixed: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.actor = mlp(features, hidden, 2)
        self.head = ActionHead(
            hidden, layout, fixed, listed(model.decisive), model.steer, model.press
        )
        self.values = TwoHot()
        self.critic = _critic(features, hidden, len(self.values.bins))
        self.slow = _critic(features, hidden, len(self.values.bins))
        self.slow.load_state_dict(self.critic.state_dict())
        self.slow.requires_grad_(False)

    def parameters_of(self, features: Tensor) -> Tensor:
        """Of the action's distribution, [B, outputs]."""
        return cast(Tensor, self.head(self.actor(features)))

    def value(self, features: Tensor) -> Tensor:
        """Expected returns [...] of features [..., F]."""
        return self.values.mean(self.critic(features.flatten(0, -2))).view(features.shape[:-1])

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Moves the slow critic towards the critic."""
        for slow, fast in zip(self.slow.parameters(), self.critic.parameters(), strict=True):
            slow.lerp_(fast, share)


def _critic(features: int, hidden: int, bins: int) -> nn.Sequential:
    """Expects 0 of everything before it learned."""
    last = nn.Linear(hidden, bins)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(mlp(features, hidden, 2), last)


@torch.no_grad()
def dream(
    world: WorldModel,
    dreamer: Dreamer,
    start: Latent,
    horizon: int,
    generator: torch.Generator | None = None,
    noise: float = 0.0,
) -> Dream:
    """`horizon` steps from states [B, ...] in which nobody but the dreamer chooses. noise: how far
    it explores, see ActionHead.explored."""
    head, num = dreamer.head, len(start.deter)
    state, features, rows, masks, log_probs = start, [start.features], [], [], []
    for _ in range(horizon):
        mask = believed(world, state)
        parameters, log_std = dreamer.parameters_of(features[-1]), None
        if noise:
            parameters, log_std = head.explored(parameters, mask, noise)
        row = torch.empty(num, head.layout.columns)
        each = torch.empty(num, len(head.layout.branches))
        uniform = torch.rand(num, head.categorical, generator=generator)
        normal = torch.randn(num, head.continuous, generator=generator)
        head.sample(parameters, mask, uniform, normal, row, each, log_std)
        state = world.imagine(state, row, world.rssm.noise(num, generator=generator))
        features.append(state.features)
        rows.append(row)
        masks.append(mask)
        log_probs.append(each.sum(-1))
    allowed = [m for m in masks if m is not None]
    mask = torch.stack(allowed) if allowed else None
    return Dream(torch.stack(features), torch.stack(rows), mask, torch.stack(log_probs))


def believed(world: WorldModel, state: Latent) -> Tensor | None:
    """The action mask that the world model expects, uint8 [B, choices]; None without one."""
    if MASK not in world.decoder.parts:
        return None
    part = world.decoder.part(MASK)
    return part.expect(part(world.decoder_input(state.features)))


class DreamerState(NamedTuple):
    """latent: of every environment. row [N, columns]: what it did last. step: decisions so far."""

    latent: Latent
    row: Tensor
    step: int


class DreamerPolicy:
    """A dreamer as a Policy: it is awake, its world model sees what the game shows.

    sampled: it acts as while it learned, else it takes the likeliest action.
    """

    def __init__(
        self, world: WorldModel, dreamer: Dreamer, *, sampled: bool = True, seed: int = 0
    ) -> None:
        self.world, self.dreamer = world, dreamer
        self.sampled, self.seed = sampled, seed

    def reset(self, num_envs: int) -> DreamerState:
        """The state before the first observation."""
        row = torch.zeros(num_envs, self.dreamer.head.layout.columns)
        return DreamerState(self.world.init(num_envs), row, 0)

    @torch.no_grad()
    def act(
        self, observation: Observation, state: DreamerState, is_first: BoolArray
    ) -> tuple[FloatArray, DreamerState]:
        """Action rows float32 [N, columns] and the next state."""
        philox = np.random.Philox(key=[self.seed, DREAMER_STREAM], counter=[0, 0, 0, state.step])
        generator = torch.Generator().manual_seed(int(philox.random_raw()) >> 1)
        head, num = self.dreamer.head, len(is_first)
        seen = observations(observation)
        noise = self.world.rssm.noise(num, generator=generator)
        latent = self.world.observe(
            state.latent, state.row, seen, torch.from_numpy(np.array(is_first)), noise
        )
        parameters = self.dreamer.parameters_of(latent.features)
        mask = seen.get(MASK)
        if self.sampled:
            row = torch.empty(num, head.layout.columns)
            head.sample(
                parameters,
                mask,
                torch.rand(num, head.categorical, generator=generator),
                torch.randn(num, head.continuous, generator=generator),
                row,
                torch.empty(num, len(head.layout.branches)),
            )
        else:
            row = head.mode(parameters, mask)
        return row.numpy(), DreamerState(latent, row.clone(), state.step + 1)

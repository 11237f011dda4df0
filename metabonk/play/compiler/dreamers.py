"""A dreamer as one decision: its world model sees what the game shows, its actor acts on that.

Knows the dreamer and its world model; does not know programs. Decoder, reward and prior are left
behind: who is awake looks at the game.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.models.actor import Actor
from metabonk.models.dreamer import MASK, Dreamer, DreamerPolicy
from metabonk.models.heads import ActionHead
from metabonk.models.policy import ActorCritic
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.play.compiler.tracing import Deciding, Decision


class DreamerDecision(Deciding):
    """Of a dreamer. What it carries is the latent state and the row that led to it; the state is
    drawn too, with the first of the random numbers."""

    def __init__(self, world: WorldModel, dreamer: Dreamer, sampled: bool) -> None:
        super().__init__(sampled)
        self.world, self.dreamer = world, dreamer

    @property
    def space(self) -> gs.Dict:
        return self.world.space

    @property
    def head(self) -> ActionHead:
        return self.dreamer.head

    @property
    def state_size(self) -> int:
        return self.world.rssm.features + self.head.layout.columns

    @property
    def uniforms(self) -> int:
        return self.head.categorical + (self.world.rssm.groups if self.world.rssm.classes else 0)

    @property
    def normals(self) -> int:
        return self.head.continuous + (0 if self.world.rssm.classes else self.world.rssm.groups)

    def forward(
        self,
        observation: Mapping[str, Tensor],
        state: Tensor,
        is_first: Tensor,
        uniform: Tensor,
        normal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        world, rssm = self.world, self.world.rssm
        deter, stoch = state[:, : rssm.deter], state[:, rssm.deter : rssm.features]
        row = state[:, rssm.features :]
        groups = rssm.groups
        if rssm.classes:
            noise, uniform = uniform[:, :groups], uniform[:, groups:]
        else:
            noise, normal = normal[:, :groups], normal[:, groups:]
        # world.observe, of rows that are its own: that they can be is not looked at again.
        seen = world.embed({key: value[None] for key, value in observation.items()})
        keep = (~is_first).to(noise.dtype)[None, :, None]
        action = world.actions.trusted(row)[None]
        out = rssm.sequence(Latent(deter, stoch), action, seen, keep, noise[None])
        latent = Latent(out.deter[0], out.stoch[0])
        features = latent.features
        parameters = self.dreamer.parameters_of(features)
        rows, log_prob = self.act(parameters, observation.get(MASK), uniform, normal)
        return rows, log_prob, self.dreamer.value(features), torch.cat([features, rows], -1)


def decision_of(policy: ActorCritic | Actor | DreamerPolicy, sampled: bool) -> Deciding:
    """What is to be traced of a policy."""
    if isinstance(policy, DreamerPolicy):
        return DreamerDecision(policy.world, policy.dreamer, sampled)
    return Decision(policy if isinstance(policy, ActorCritic) else policy.model, sampled)

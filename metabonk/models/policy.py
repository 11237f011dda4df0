"""Actor and critic over any observation and action space, recurrent or not.

Knows encoders, heads and the CfC cell; does not know games, losses or how it is trained. Three
networks behind one interface, chosen by name:

- `mlp`: two towers of tanh layers, one for the actor and one for the critic.
- `conv`: the same behind shared convolutions where the observation has frames.
- `pilot`: an encoder, then a CfC cell that is told the true time step; both heads see the
  encoder's features and the cell's state.

Recurrent state is one tensor [B, state_size], explicit, carried by the caller; width 0 where there
is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import ModelConfig
from metabonk.models.cfc import CfCCell
from metabonk.models.encoders import ObservationReader, Tensors
from metabonk.models.heads import ActionHead
from metabonk.models.layers import Dense, linear, mlp
from metabonk.spaces import ActionLayout

DEFAULT_DT = 1.0 / 15.0  # seconds; the unit in which the cell is told time, near 1 for usual steps


class Output(NamedTuple):
    """parameters: of the action head, [..., outputs]. value: [...]. state: [B, state_size]."""

    parameters: Tensor
    value: Tensor
    state: Tensor


class ActorCritic(nn.Module, ABC):
    """What every network here does.

    `step` takes one observation per environment, `sequence` T of them; both forget the past of
    environments where `is_first` is set before they look at the observation.
    """

    state_size: int = 0
    head: ActionHead
    reader: ObservationReader

    def step(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        """observation [B, ...], state [B, state_size], is_first bool [B]."""
        whole = {key: value[None] for key, value in observation.items()}
        out = self.sequence(whole, state, is_first[None])
        return Output(out.parameters[0], out.value[0], out.state)

    @abstractmethod
    def sequence(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        """observation [T, B, ...], state [B, state_size], is_first bool [T, B]."""

    def initial_state(self, batch: int) -> Tensor:
        """The state before the first observation, [batch, state_size]."""
        return torch.zeros(batch, self.state_size)


class Towers(ActorCritic):
    """Actor and critic apart: `layers` tanh layers of `hidden` units each."""

    def __init__(
        self,
        space: gs.Dict,
        layout: ActionLayout,
        config: ModelConfig,
        fixed: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.reader = ObservationReader(space, time=True, normalize=config.normalize)
        widths, hidden = self.reader.widths, config.hidden
        self.actor_input, self.critic_input = Dense(widths, hidden), Dense(widths, hidden)
        self.actor = mlp(hidden, hidden, config.layers - 1)
        self.critic = mlp(hidden, hidden, config.layers - 1)
        self.head = ActionHead(config.hidden, layout, fixed, listed(config.decisive))
        self.value = linear(config.hidden, 1, 1.0)

    def step(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        parts = self.reader(observation)
        value = self.value(self.critic(self.critic_input(*parts)))[:, 0]
        return Output(self.head(self.actor(self.actor_input(*parts))), value, state)

    def sequence(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        steps, batch = is_first.shape
        flat = {key: value.flatten(0, 1) for key, value in observation.items()}
        out = self.step(flat, state, is_first)
        parameters = out.parameters.view(steps, batch, -1)
        return Output(parameters, out.value.view(steps, batch), state)


class Pilot(ActorCritic):
    """Encoder, CfC and two heads; state [B, hidden] is the cell's."""

    def __init__(
        self,
        space: gs.Dict,
        layout: ActionLayout,
        config: ModelConfig,
        fixed: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.state_size = config.hidden
        self.timed = "dt" in space.spaces
        self.reader = ObservationReader(space, time=False, normalize=config.normalize)
        self.input = Dense(self.reader.widths, config.hidden)
        self.layers = mlp(config.hidden, config.hidden, config.layers - 1)
        self.rnn_cell = CfCCell(config.hidden, config.hidden, config.hidden)
        self.head = ActionHead(2 * config.hidden, layout, fixed, listed(config.decisive))
        self.value = linear(2 * config.hidden, 1, 1.0)

    def sequence(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        steps, batch = is_first.shape
        flat = {key: value.flatten(0, 1) for key, value in observation.items()}
        features = self.layers(self.input(*self.reader(flat)))
        keep = (~is_first).to(features.dtype)[..., None]
        dt = observation["dt"] / DEFAULT_DT if self.timed else torch.ones_like(keep)
        hidden = self.rnn_cell.sequence(features.view(steps, batch, -1), state, dt, keep)
        joined = torch.cat([features, hidden.flatten(0, 1)], 1)
        parameters = self.head(joined).view(steps, batch, -1)
        return Output(parameters, self.value(joined).view(steps, batch), hidden[-1])


def listed(text: str) -> list[str]:
    """The names in `a, b`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def build(
    space: gs.Dict,
    layout: ActionLayout,
    config: ModelConfig,
    *,
    seed: int,
    fixed: Mapping[str, float] | None = None,
) -> ActorCritic:
    """The network that `config` names, its weights drawn from `seed` alone.

    space: one environment's observations. fixed: see ActionHead.
    """
    kind = Pilot if "pilot" in config.name else Towers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(space, layout, config, fixed)

"""Actor and critic over any observation and action space, recurrent or not.

Knows encoders, heads and recurrent cells; does not know games, losses or how it is trained. Four
networks behind one interface, chosen by name:

- `mlp`: two towers of tanh layers, one for the actor and one for the critic.
- `conv`: the same behind shared convolutions where the observation has frames.
- `pilot`: an encoder, then a CfC cell that is told the true time step; both heads see the
  encoder's features and the cell's state.
- `mamba`: the same with a selective state space in the cell's place, whose step sizes the true time
  step scales.

Where the game shows what lies around, directions are scored one by one; where it shows offers,
these are: both by the same weights for all of them, added to what the head says.

Recurrent state is one tensor [B, state_size], explicit, carried by the caller; width 0 where there
is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.config import ModelConfig
from metabonk.models.cfc import CfCCell
from metabonk.models.compass import Steering
from metabonk.models.encoders import ObservationReader, Reading, Tensors
from metabonk.models.heads import ActionHead
from metabonk.models.layers import Dense, linear, mlp
from metabonk.models.mamba import Mamba
from metabonk.models.offers import OfferScores
from metabonk.ops.radar import SECTORS
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
    space: gs.Dict  # of one environment's observations
    head: ActionHead
    reader: ObservationReader

    def __init__(self, space: gs.Dict, config: ModelConfig, *, time: bool) -> None:
        super().__init__()
        self.space = space
        self.reader = ObservationReader(space, time=time, normalize=config.normalize)
        self.steering: Steering | None = None
        self.offers: OfferScores | None = None

    def _decide_by(
        self,
        features: int,
        space: gs.Dict,
        layout: ActionLayout,
        config: ModelConfig,
        fixed: Mapping[str, float] | None,
    ) -> None:
        """Makes what turns `features` and the reading into parameters."""
        decisive = listed(config.decisive)
        self.head = ActionHead(features, layout, fixed, decisive, config.steer, config.press)
        steered, chosen = self.head.logits_of(config.steer), self.head.logits_of("choice")
        if steered is not None and self.reader.compass is not None:
            self.steering = Steering(self.reader.compass.width, features)
            self._steered = steered.start
        if chosen is not None and OfferScores.fits(space):
            self.offers = OfferScores(features)
            self._chosen = chosen.start

    def _decide(self, features: Tensor, reading: Reading, observation: Tensors) -> Tensor:
        """Parameters [B, outputs] for features [B, C]."""
        parameters = self.head(features)
        if self.steering is not None and reading.directions is not None:
            scores = self.steering(reading.directions, features)
            after = self.head.outputs - self._steered - SECTORS
            parameters = parameters + nn.functional.pad(scores, (self._steered, after))
        if self.offers is not None:
            choices, scores = self.offers(
                observation["offers"], observation["offers_mask"], reading.sets["offers"], features
            )
            parameters = parameters.scatter_add(1, choices + self._chosen, scores)
        return cast(Tensor, parameters)

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
        super().__init__(space, config, time=True)
        widths, hidden = self.reader.widths, config.hidden
        self.actor_input, self.critic_input = Dense(widths, hidden), Dense(widths, hidden)
        self.actor = mlp(hidden, hidden, config.layers - 1)
        self.critic = mlp(hidden, hidden, config.layers - 1)
        self._decide_by(hidden, space, layout, config, fixed)
        self.value = linear(config.hidden, 1, 1.0)

    def step(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        reading = self.reader(observation)
        value = self.value(self.critic(self.critic_input(*reading.parts)))[:, 0]
        features = self.actor(self.actor_input(*reading.parts))
        return Output(self._decide(features, reading, observation), value, state)

    def sequence(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        steps, batch = is_first.shape
        flat = {key: value.flatten(0, 1) for key, value in observation.items()}
        out = self.step(flat, state, is_first)
        parameters = out.parameters.view(steps, batch, -1)
        return Output(parameters, out.value.view(steps, batch), state)


class Recurrent(ActorCritic):
    """Encoder, a recurrent cell that is told the time, and two heads that see both."""

    def __init__(
        self,
        space: gs.Dict,
        layout: ActionLayout,
        config: ModelConfig,
        fixed: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(space, config, time=False)
        self.timed = "dt" in space.spaces
        self.input = Dense(self.reader.widths, config.hidden)
        self.layers = mlp(config.hidden, config.hidden, config.layers - 1)
        self.state_size = self._make_cell(config.hidden)
        self._decide_by(2 * config.hidden, space, layout, config, fixed)
        self.value = linear(2 * config.hidden, 1, 1.0)

    @abstractmethod
    def _make_cell(self, hidden: int) -> int:
        """Makes the cell, of `hidden` inputs and outputs; returns its state's width."""

    @abstractmethod
    def _unroll(
        self, features: Tensor, state: Tensor, dt: Tensor | None, keep: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What the cell gives for features [T, B, hidden], dt and keep [T, B, 1], and its state
        after the last step [B, state_size]; dt in units of DEFAULT_DT, None for 1."""

    def sequence(self, observation: Tensors, state: Tensor, is_first: Tensor) -> Output:
        steps, batch = is_first.shape
        flat = {key: value.flatten(0, 1) for key, value in observation.items()}
        reading = self.reader(flat)
        features = self.layers(self.input(*reading.parts))
        keep = (~is_first).to(features.dtype)[..., None]
        dt = observation["dt"] / DEFAULT_DT if self.timed else None
        given, state = self._unroll(features.view(steps, batch, -1), state, dt, keep)
        joined = torch.cat([features, given.flatten(0, 1)], 1)
        parameters = self._decide(joined, reading, flat).view(steps, batch, -1)
        return Output(parameters, self.value(joined).view(steps, batch), state)


class Pilot(Recurrent):
    """With a CfC cell; state [B, hidden]."""

    def _make_cell(self, hidden: int) -> int:
        self.rnn_cell = CfCCell(hidden, hidden, hidden)
        return hidden

    def _unroll(
        self, features: Tensor, state: Tensor, dt: Tensor | None, keep: Tensor
    ) -> tuple[Tensor, Tensor]:
        dt = torch.ones_like(keep) if dt is None else dt
        hidden = self.rnn_cell.sequence(features, state, dt, keep)
        return hidden, hidden[-1]


class MambaPilot(Recurrent):
    """With a layer of Mamba; state [B, state_size], 38 numbers per unit of it.

    A first observation has none before it, so that its time says nothing: it is written into the
    state as if a usual step had passed. Games that say 0 there would have it forgotten otherwise.
    """

    def _make_cell(self, hidden: int) -> int:
        self.mamba = Mamba(hidden)
        return self.mamba.state_size

    def _unroll(
        self, features: Tensor, state: Tensor, dt: Tensor | None, keep: Tensor
    ) -> tuple[Tensor, Tensor]:
        if dt is not None:
            dt = dt * keep + (1.0 - keep)
        return self.mamba.sequence(features, state, dt, keep)


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
    kinds = {"pilot": Pilot, "mamba": MambaPilot}
    kind = next((kinds[part] for part in kinds if part in config.name), Towers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(space, layout, config, fixed)

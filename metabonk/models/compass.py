"""A compass: what lies in each of sixteen directions, read by the same weights in all of them.

Knows torch, the radar and those features of observations that have a place or a direction. Does not
know games or actions.

Which way to go depends on what is there, not on where "there" is: what is learned of orbs on the
left holds for those in front. So each direction is described in its own frame: radars of everything
around, velocities along and across it, where in the world it leads.

    p_d = tanh(W x_d + b)                                              `Compass`, x_d as said
    q_d = tanh(sum_k V_k p_{d + k} + U features + c),  k = -1, 0, 1     `Steering`, round the circle
    logit_d = w . q_d

In the arena, after a million decisions at 3.75 a second, a policy that scores directions so had
returns of 15.8, one that reads the same radars through a layer and moves by a Gaussian 9.
"""

from __future__ import annotations

import math

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn

from metabonk.models.layers import Dense, fast_tanh, linear
from metabonk.observations import ENTITY_FEATURES, OBSERVATION_SPACE, STATE_FEATURES
from metabonk.ops.radar import SECTORS, radar

PLACED = ("entities", "pickups")  # sets whose rows begin with a place
RINGS = (0.05, 0.15, 0.35, 0.8)  # distances in units of a relative position
REACH = 0.8  # beyond the last ring, where a thing has faded out
OWN = 4  # features of a direction that are not from radars
NEIGHBOURS = (-1, 0, 1)

_STATE = {name: i for i, name in enumerate(STATE_FEATURES)}
_VELOCITY = ENTITY_FEATURES.index("velocity_right") - 1  # among a radar's sums


def fits(space: gs.Dict) -> bool:
    """Whether observations say what a compass reads."""
    return all(
        key in space.spaces and space[key].shape == OBSERVATION_SPACE[key].shape
        for key in ("state", *PLACED)
    )


def _angles() -> Tensor:
    return torch.arange(SECTORS) * (2.0 * math.pi / SECTORS)


class Compass(nn.Module):
    """Observations [B, ...] -> directions [SECTORS, B, width] and their summary [B, outputs]."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, width: int = 32, summary: int = 8) -> None:
        super().__init__()
        sums = sum(self._features(key) - 1 for key in PLACED)
        self.width = width
        self.outputs = SECTORS * summary
        self.point = Dense([OWN + len(RINGS) * sums], width)
        self.summary = linear(width, summary, 1.0)
        self.register_buffer("cosine", _angles().cos(), persistent=False)
        self.register_buffer("sine", _angles().sin(), persistent=False)

    @staticmethod
    def _features(key: str) -> int:
        shape = OBSERVATION_SPACE[key].shape
        assert shape is not None
        return int(shape[-1])

    def forward(self, observation: dict[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """state: the observation's, scaled about its mean; a place is then relative to where the
        player usually is."""
        parts = [self._own(observation["state"], state)]
        for key in PLACED:
            mask = observation[f"{key}_mask"]
            sums = radar(observation[key], mask, RINGS, REACH)
            sums = sums.view(len(sums), SECTORS, len(RINGS), -1)
            if key == "entities":
                self._turn(sums)
            parts.append(sums.flatten(2))
        x = torch.cat(parts, 2)
        seen = self.point(x.flatten(0, 1))
        summary = self.summary(seen).view(len(x), -1)
        return seen.view(len(x), SECTORS, -1).transpose(0, 1).contiguous(), summary

    def _own(self, raw: Tensor, scaled: Tensor) -> Tensor:
        """The player's velocity and place, along and across each direction, [B, SECTORS, OWN]."""
        right, forward = self._columns(raw, "velocity_right", "velocity_forward")
        sine, cosine = self._columns(raw, "heading_sin", "heading_cos")
        x, y = self._columns(scaled, "x", "y")
        dx = cosine * self.sine + sine * self.cosine  # of the direction, in the world
        dy = sine * self.sine - cosine * self.cosine
        along = right * self.cosine + forward * self.sine
        across = forward * self.cosine - right * self.sine
        return torch.stack([along, across, x * dx + y * dy, x * dy - y * dx], 2)

    @staticmethod
    def _columns(state: Tensor, *names: str) -> list[Tensor]:
        return [state[:, _STATE[name], None] for name in names]

    def _turn(self, sums: Tensor) -> None:
        """Summed velocities [B, SECTORS, RINGS, F]: right and forward become along and across."""
        right, forward = sums[..., _VELOCITY], sums[..., _VELOCITY + 1]
        cosine, sine = self.cosine[:, None], self.sine[:, None]
        along = right * cosine + forward * sine
        forward.mul_(cosine).sub_(right * sine)
        right.copy_(along)


class Steering(nn.Module):
    """Directions [SECTORS, B, width] in the light of features [B, F] -> logits [B, SECTORS]."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.circle = linear(len(NEIGHBOURS) * width, width)
        self.context = nn.Linear(features, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.orthogonal_(self.score.weight, 0.01)

    def forward(self, directions: Tensor, features: Tensor) -> Tensor:
        sectors, batch, width = directions.shape
        heard = self.context(features) + self.circle.bias
        heard = heard.expand(sectors, -1, -1).reshape(-1, width)
        # Sectors come first in memory, so that each neighbour of all of them is one matrix.
        edge = NEIGHBOURS[-1]
        round_ = torch.cat([directions[-edge:], directions, directions[:edge]]).flatten(0, 1)
        for k, weight in enumerate(self.circle.weight.chunk(len(NEIGHBOURS), 1)):
            near = round_[k * batch : (k + sectors) * batch]
            heard = torch.addmm(heard, near, weight.t())
        logits: Tensor = self.score(fast_tanh(heard))
        return logits.view(sectors, batch).t()

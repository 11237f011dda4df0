"""How far two observations are apart, and a dreamed one from a real one.

Knows the world model's decoder; does not know what is compared. What counts, and in which units,
is what foresight judges by (dreams/measure.py); keys weigh by their elements.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metabonk.errors import ConfigError
from metabonk.learn.dreams import measure
from metabonk.learn.dreams.foresight import CLEARLY
from metabonk.models.world import WorldModel

Doubles = npt.NDArray[np.float64]
UNSURE = 2.0  # times the error while awake, up to which a dream is as good as seeing


class Ruler:
    """Measures in the units of one world model. Raises ConfigError for an observation of which
    nothing counts."""

    def __init__(self, world: WorldModel) -> None:
        self.world = world
        self.parts = measure.judged(world.decoder)
        if not self.parts:
            raise ConfigError(
                f"observation {sorted(world.decoder.parts)}: nothing of it is a number or a frame, "
                "so that dreams of it cannot be measured"
            )

    @torch.no_grad()
    def seen(self, observation: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Real observations [S, ...] by key, in units."""
        return {key: measure.real(part, observation[key]) for key, part in self.parts.items()}

    @torch.no_grad()
    def dreamed(self, features: Tensor) -> dict[str, Tensor]:
        """What features [S, draws, F] show on average over the draws, [S, ...] by key."""
        steps, draws = features.shape[:2]
        hidden = self.world.decoder_input(features.flatten(0, 1))
        hidden = hidden.unflatten(0, (steps, draws))
        return {key: measure.shown(part, hidden) for key, part in self.parts.items()}

    def apart(self, one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> Doubles:
        """[S], of what `seen` or `dreamed` gave; one step stands beside any number."""
        total: Doubles = np.zeros(1)
        elements = 0
        for key, part in self.parts.items():
            each = measure.apart(part, one[key], two[key])
            width = int(np.prod(each.shape[1:]))
            total = total + each.flatten(1).mean(1).numpy() * width
            elements += width
        return np.asarray(total / elements)


def first_apart(error: Doubles, persistence: Doubles, mean: Doubles, awake: Doubles) -> int | None:
    """The first step [S] in which a dream is as far from what is real as what needs no model is on
    average, or nearly, and twice as far as the model is while it sees; None if there is none.

    On average, because at single steps a game is by chance as it was, and nothing beats that.
    """
    level = _modelless(persistence, mean)
    lost = np.flatnonzero((error >= level) & (error > UNSURE * awake))
    return int(lost[0]) if len(lost) else None


def unseeing(persistence: Doubles, mean: Doubles, awake: Doubles) -> bool:
    """Whether a model is on average no better than what needs no model even while it sees: then it
    says nothing that its dreams do not come apart."""
    return float(awake.mean()) >= _modelless(persistence, mean)


def _modelless(persistence: Doubles, mean: Doubles) -> float:
    return CLEARLY * min(float(persistence.mean()), float(mean.mean()))

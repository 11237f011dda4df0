"""How far two observations are apart, and a dreamed one from a real one.

Knows the world model's decoder; does not know what is compared. The units are those of foresight:
numbers in squared deviations of what the model saw, cells as the share that differs, pixels in
squared parts of full brightness; keys weigh by their elements. Sets and masks do not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from metabonk.errors import ConfigError
from metabonk.learn.dreams.foresight import CLEARLY
from metabonk.models.decoder import Frame, Numbers, Part
from metabonk.models.world import WorldModel

Doubles = npt.NDArray[np.float64]
UNSURE = 2.0  # times the error while awake, up to which a dream is as good as seeing


class Ruler:
    """Measures in the units of one world model. Raises ConfigError for an observation of which
    nothing counts."""

    def __init__(self, world: WorldModel) -> None:
        self.world = world
        parts = {key: world.decoder.part(key) for key in world.decoder.parts}
        self.parts = {key: part for key, part in parts.items() if _counts(part)}
        if not self.parts:
            raise ConfigError(
                f"observation {sorted(parts)}: nothing of it is a number or a frame, so that "
                "dreams of it cannot be measured"
            )

    @torch.no_grad()
    def seen(self, observation: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Real observations [S, ...] by key, in units."""
        return {key: _real(part, observation[key]) for key, part in self.parts.items()}

    @torch.no_grad()
    def dreamed(self, features: Tensor) -> dict[str, Tensor]:
        """What features [S, draws, F] show on average over the draws, [S, ...] by key."""
        steps, draws = features.shape[:2]
        hidden = self.world.decoder_input(features.flatten(0, 1))
        found: dict[str, Tensor] = {}
        for key, part in self.parts.items():
            raw = part(hidden).unflatten(0, (steps, draws))
            if isinstance(part, Frame):
                # Of colours their probabilities are averaged, of brightness itself the mean.
                raw = raw.softmax(2).mean(1) if part.cells else raw.mean(1)
                found[key] = raw.argmax(1).to(torch.uint8) if part.cells else raw
            else:
                found[key] = raw.mean(1)
        return found

    def apart(self, one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> Doubles:
        """[S], of what `seen` or `dreamed` gave; one step stands beside any number."""
        total: Doubles = np.zeros(1)
        elements = 0
        for key, part in self.parts.items():
            a, b = one[key], two[key]
            cells = isinstance(part, Frame) and part.cells
            each = (a != b).double() if cells else (a.double() - b.double()).square()
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


def _counts(part: Part) -> bool:
    return isinstance(part, Frame) or (isinstance(part, Numbers) and not part.rows)


def _real(part: Part, value: Tensor) -> Tensor:
    if isinstance(part, Frame):
        return value if part.cells else value.permute(0, 3, 1, 2).float() / 255.0
    assert isinstance(part, Numbers)
    scaled: Tensor = part.scale(value.float())
    return scaled

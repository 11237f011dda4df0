"""Decoders: features become the observation that they stand for.

Knows the same conventions of observations as encoders.py, and torch. Does not know what made the
features, or losses over time. Each key of the space has a part that predicts it:

- numbers [*shape]: means in units of their running deviation; loss 1/2 squared error, summed.
- sets `X` [K, F] beside `X_mask`: the rows likewise where they are there, and whether they are.
- masks, `action_mask` among them: a probability for each element.
- cells [H, W], palette: a distribution over the colours of each.
- pixels [H, W, C]: their brightness 0..1; loss 1/2 squared error in units of 0.1.
A frame's places count 1/16 each, summed: what moves covers many, which are told by the same thing.
If every place counted, what is expected would hardly matter beside what is drawn. So do the rows of
a set: a crowd has thirty times as many numbers as whoever stands in it, and would be all that is
learned.

Of frames what is predicted is how they differ from the mean of all that were seen. A network that
has to draw the mean itself does so first, by driving hidden layers to their bounds, and is stuck.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn
from torch.nn import functional

from metabonk.errors import ConfigError
from metabonk.models.encoders import CELL_COLOURS, Tensors, is_image
from metabonk.models.layers import linear
from metabonk.models.scale import Scale

PIXEL_DEVIATION = 0.1
PLACE = 1.0 / 16.0  # that each of a frame counts, and each row of a set
SEED = 8  # places along each side from which frames are grown
PATCH = 2  # doublings that the last layer does at once
UNSEEN = 0.01  # of a cell's mean: share of the uniform distribution, for colours to come
PICTURED = 64  # frames of an update that the mean is taken from


class Part(nn.Module, ABC):
    """Predicts one key. `forward` gives raw predictions [B, ...]."""

    @abstractmethod
    def loss(self, raw: Tensor, key: str, observation: Tensors) -> Tensor:
        """[B], of observations [B, ...]."""

    @abstractmethod
    def expect(self, raw: Tensor) -> Tensor:
        """The likeliest value [B, ...] in the observation's units, float32 or uint8."""

    def learn(self, key: str, observation: Tensors) -> None:
        """Takes statistics from observations [B, ...]; between updates only."""


class Numbers(Part):
    """A vector, or with `rows` a set whose mask says which rows are there."""

    def __init__(self, features: int, shape: tuple[int, ...], rows: bool) -> None:
        super().__init__()
        self.shape, self.rows = shape, rows
        self.scale = Scale(shape[1:] if rows else shape)
        self.linear = linear(features, int(np.prod(shape)), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features)).view(-1, *self.shape)

    def loss(self, raw: Tensor, key: str, observation: Tensors) -> Tensor:
        error = (raw - self.scale(observation[key].float())).square()
        if self.rows:
            error = PLACE * torch.where(_there(key, observation), error, 0.0)
        total: Tensor = 0.5 * error.flatten(1).sum(1)
        return total

    def expect(self, raw: Tensor) -> Tensor:
        mean: Tensor = raw / self.scale.inverse + self.scale.mean
        return mean

    def learn(self, key: str, observation: Tensors) -> None:
        if not self.rows:
            self.scale.learn(observation[key].float())
            return
        rows = observation[key].float().flatten(0, 1)
        self.scale.learn(rows, _there(key, observation).flatten(0, 1))


class Flags(Part):
    """A mask, with `rows` that of a set."""

    def __init__(self, features: int, shape: tuple[int, ...], rows: bool) -> None:
        super().__init__()
        self.shape, self.rows = shape, rows
        self.linear = linear(features, int(np.prod(shape)), 0.01)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features)).view(-1, *self.shape)

    def loss(self, raw: Tensor, key: str, observation: Tensors) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(
            raw, observation[key].float(), reduction="none"
        )
        return (PLACE if self.rows else 1.0) * each.flatten(1).sum(1)

    def expect(self, raw: Tensor) -> Tensor:
        return (raw > 0.0).to(torch.uint8)


class Frame(Part):
    """Grows a frame from an 8 x 8 seed by doubling, and draws each place of what that is in one
    step as a patch of 4 x 4, which learns sprites in fewer updates than two more doublings do;
    sides that do not fit are cut.

    Cells of a palette [H, W] or pixels [H, W, C]. mean [C or colours, H, W]: of the `count` frames
    seen so far, as raw predictions are: of cells the logarithms of the shares of colours; zeros
    before the first.
    """

    mean: Tensor
    total: Tensor
    count: Tensor

    def __init__(self, features: int, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        self.shape, self.cells = shape, len(shape) == 2
        outputs = CELL_COLOURS if self.cells else shape[2]
        whole = (outputs, *shape[:2])
        self.register_buffer("mean", torch.zeros(whole))
        self.register_buffer("total", torch.zeros(whole, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        doublings = max(1, int(np.ceil(np.log2(max(shape[:2]) / SEED))))
        self.width = width
        self.seed = linear(features, self.width * SEED * SEED)
        layers: list[nn.Module] = []
        for _ in range(doublings - PATCH):
            layers += [nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU(inplace=True)]
        side = 2 ** min(doublings, PATCH)
        self.grow = nn.Sequential(*layers, nn.ConvTranspose2d(width, outputs, side, side))

    def forward(self, features: Tensor) -> Tensor:
        """[B, C or colours, H, W]."""
        seed = torch.relu(self.seed(features)).view(-1, self.width, SEED, SEED)
        grown = cast(Tensor, self.grow(seed))
        if grown.shape[2:] != self.shape[:2]:  # a cut of nothing has a gradient of its own
            grown = grown[:, :, : self.shape[0], : self.shape[1]]
        return grown + self.mean

    def loss(self, raw: Tensor, key: str, observation: Tensors) -> Tensor:
        seen = observation[key]
        if self.cells:
            each = functional.cross_entropy(raw, seen.long(), reduction="none")
            return PLACE * each.flatten(1).sum(1)
        error = raw - seen.permute(0, 3, 1, 2).float() * (1.0 / 255.0)
        return 0.5 * PLACE * (error / PIXEL_DEVIATION).square().flatten(1).sum(1)

    def expect(self, raw: Tensor) -> Tensor:
        if self.cells:
            return raw.argmax(1).to(torch.uint8)
        return (raw * 255.0).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    @torch.no_grad()
    def learn(self, key: str, observation: Tensors) -> None:
        seen = observation[key]
        if len(seen) > PICTURED:
            seen = seen[torch.linspace(0, len(seen) - 1, PICTURED).long().to(seen.device)]
        if self.cells:
            each = seen.flatten(1).long() * self.mean[0].numel()
            each += torch.arange(each.shape[1], device=each.device)
            found = torch.bincount(each.flatten(), minlength=self.mean.numel())
            self.total += found.view_as(self.mean)
        else:
            self.total += (seen.double().sum(0) / 255.0).permute(2, 0, 1)
        self.count += len(seen)
        mean = self.total / self.count
        if self.cells:
            mean = torch.log((1.0 - UNSEEN) * mean + UNSEEN / CELL_COLOURS)
        self.mean.copy_(mean)


class ObservationDecoder(nn.Module):
    """Features [B, features] -> every key of `space`."""

    def __init__(self, features: int, space: gs.Dict) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for key, sub in sorted(space.spaces.items()):
            if not isinstance(sub, gs.Box):
                raise ConfigError(f"observation {key!r}: {sub} is no Box, convert it in the game")
            if key.endswith("_mask"):
                rows = key.removesuffix("_mask") in space.spaces
                self.parts[key] = Flags(features, sub.shape, rows)
            elif is_image(sub):
                self.parts[key] = Frame(features, sub.shape)
            else:
                rows = f"{key}_mask" in space.spaces
                self.parts[key] = Numbers(features, sub.shape, rows)

    def part(self, key: str) -> Part:
        return cast(Part, self.parts[key])

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {key: part(features) for key, part in self.parts.items()}

    def loss(self, key: str, features: Tensor, observation: Tensors) -> Tensor:
        """[B], of features [B, features] against that key of observations [B, ...]."""
        part = self.part(key)
        return part.loss(part(features), key, observation)

    def expect(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The likeliest observation [B, ...] by key."""
        return {key: self.part(key).expect(value) for key, value in raw.items()}

    def learn(self, observation: Tensors) -> None:
        """Shows observations [B, ...] to the scales; between updates only."""
        for key in self.parts:
            self.part(key).learn(key, observation)


def _there(key: str, observation: Tensors) -> Tensor:
    return observation[f"{key}_mask"].bool()[..., None]

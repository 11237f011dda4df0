"""Encoders: an observation of any Dict space becomes flat parts that a layer can read.

Knows Gymnasium's Dict and Box spaces and, of observations, these conventions:

- uint8 [H, W, C]: pixels, channels last. uint8 [H, W] with values below 16: palette cells.
- `X_mask` [K] beside `X` [K, F]: a set of K rows, of which the mask's rows are there; rows that
  are not must not matter, whatever they hold.
- `action_mask`: for the heads, no input. `dt` [1]: seconds since the last observation; the
  recurrent cell's time step, an ordinary input where there is no such cell.
- anything else: a float vector once flattened.

Does not know games, actions or recurrence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from gymnasium import spaces as gs
from torch import Tensor, nn
from torch.nn import functional

from metabonk.errors import ConfigError
from metabonk.models.compass import PLACED, Compass, fits
from metabonk.models.layers import linear
from metabonk.models.scale import Scale

CELL_COLOURS = 16
CELL_EMBEDDING = 4
Tensors = Mapping[str, Tensor]


class Reading(NamedTuple):
    """parts: [B, width] each. sets: rows [B, K, F] by key, scaled, zero where there is none.
    directions: of a compass [SECTORS, B, width], or None."""

    parts: list[Tensor]
    sets: dict[str, Tensor]
    directions: Tensor | None


def is_image(space: gs.Space[object]) -> bool:
    """True for pixels [H, W, C] and palette cells [H, W], both uint8."""
    return isinstance(space, gs.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


class ImageEncoder(nn.Module):
    """Convolutions over frames: uint8 [B, H, W, C] or palette cells [B, H, W] -> [B, features].

    Pixels are scaled to 0..1. A cell's colour is looked up in a learned table. The frame is read
    through strides until at most 10 x 10 places are left (Mnih et al. 2015, narrower).
    """

    def __init__(self, shape: tuple[int, ...], features: int, width: int = 16) -> None:
        super().__init__()
        self.cells = len(shape) == 2
        height, wide = shape[:2]
        channels = CELL_EMBEDDING if self.cells else shape[2]
        if self.cells:
            self.colours = nn.Embedding(CELL_COLOURS, CELL_EMBEDDING)
        layers: list[nn.Module] = []
        for kernel, stride in _strides(min(height, wide)):
            conv = nn.Conv2d(channels, width, kernel, stride)
            nn.init.orthogonal_(conv.weight, 2.0**0.5)
            nn.init.zeros_(cast(Tensor, conv.bias))
            layers += [conv, nn.ReLU(inplace=True)]
            channels, width = width, min(2 * width, 64)
            height, wide = (height - kernel) // stride + 1, (wide - kernel) // stride + 1
        if not layers:
            raise ConfigError(f"a frame of {shape} is too small to convolve: flatten it instead")
        self.convolutions = nn.Sequential(*layers)
        for layer in self.convolutions:
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.project = linear(channels * height * wide, features)

    def forward(self, frames: Tensor) -> Tensor:
        learning = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if learning and self.cells and (found := distinct(frames)) is not None:
            each, which = found
            return self._read(frames[each], learning).index_select(0, which)
        return self._read(frames, learning)

    def _read(self, frames: Tensor, learning: bool) -> Tensor:
        if learning:
            first, *others = self.convolutions
            x = self._first(frames, cast(nn.Conv2d, first))
            for layer in others:
                x = layer(x)
        else:
            x = self.colours(frames.long()) if self.cells else _unit(frames)
            x = self.convolutions(x.permute(0, 3, 1, 2))
        return torch.relu(cast(Tensor, self.project(x.flatten(1))))

    def _first(self, frames: Tensor, conv: nn.Conv2d) -> Tensor:
        """The first convolution where its gradient is asked for, which of a few channels and large
        strides is slow: blocks as large as a stride become one place of many channels before
        colours are looked up, so that nothing but bytes has to move."""
        size, stride = conv.kernel_size[0], conv.stride[0]
        height, width = frames.shape[1:3]
        side = 1 if size % stride or height % stride or width % stride else stride
        blocks = (len(frames), height // side, side, width // side, side, *frames.shape[3:])
        folded = frames.reshape(blocks).transpose(2, 3).contiguous()
        if not self.cells:
            seen = _unit(folded)
        elif folded.numel() % 2:
            seen = self.colours(folded.long())
        else:
            seen = cast(Tensor, _Lookup.apply(folded, self.colours.weight))  # type: ignore[no-untyped-call]
        outputs, channels = conv.weight.shape[:2]
        kernel = conv.weight.view(outputs, channels, size // side, side, size // side, side)
        kernel = kernel.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(
            seen.flatten(3).permute(0, 3, 1, 2), kernel, conv.bias, stride // side
        )


def distinct(frames: Tensor) -> tuple[Tensor, Tensor] | None:
    """Frames uint8 [B, ...] that are all there are, and which of these each is: (indices [U],
    places [B]), with frames[indices][places] equal to frames. None where a quarter of them would
    not be spared. Who walks into a wall sees the same cells again, and games of few rooms show the
    same ones to all their players; they need to be read once.
    """
    batch, size = len(frames), frames[0].numel() if len(frames) else 0
    if batch < 2 or size % 8:
        return None
    words = frames.reshape(batch, size).view(torch.int64)
    odd = _odd(words.shape[1]).to(words.device)
    found, which = torch.unique((words * odd).sum(1), return_inverse=True)
    if 4 * len(found) > 3 * batch:
        return None
    last = which.new_full((len(found),), batch)
    numbers = torch.arange(batch, device=which.device)
    each = last.scatter_reduce_(0, which, numbers, "amin")
    if not torch.equal(words[each].index_select(0, which), words):  # two frames have one sum
        return None
    return each, which


@functools.cache
def _odd(count: int) -> Tensor:
    """[count] odd numbers int64 without a pattern, which frames that are alike could share."""
    numbers = np.random.Generator(np.random.Philox(0)).integers(-(2**62), 2**62, count)
    return torch.from_numpy(2 * numbers + 1)


class _Lookup(torch.autograd.Function):
    """Colours uint8 [...] below CELL_COLOURS and a table of them [COLOURS, F] -> [..., F].

    Two neighbours at a time, out of a table of all pairs; its gradient is one sum by pair. torch's
    own takes each of millions of places by itself, which takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, colours: Tensor, table: Tensor) -> Tensor:
        if int(colours.max()) >= len(table):  # pairs of them would be other colours
            raise ValueError(f"cells: colour {int(colours.max())}; wanted 0 to {len(table) - 1}")
        first, second = colours.reshape(-1, 2).unbind(1)
        pairs = (first * len(table) + second).long()
        ctx.save_for_backward(pairs)
        ctx.shape = table.shape
        count = len(table)
        both = torch.cat([table.repeat_interleave(count, 0), table.repeat(count, 1)], 1)
        return functional.embedding(pairs, both).view(*colours.shape, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (pairs,), (count, width) = ctx.saved_tensors, ctx.shape
        rows = gradients[0].reshape(-1, 2 * width)
        total = rows.new_zeros(count**2, 2 * width).index_add_(0, pairs, rows)
        first, second = total.view(count, count, 2, width).unbind(2)
        return None, first.sum(1) + second.sum(0)


def _unit(frames: Tensor) -> Tensor:
    """Bytes as 0..1."""
    return frames.float().mul_(1.0 / 255.0)


def _strides(size: int) -> list[tuple[int, int]]:
    """(kernel, stride) of each convolution for a frame whose shorter side is `size`."""
    steps: list[tuple[int, int]] = []
    while size >= 4 and (size > 10 or not steps):
        kernel, stride = (8, 4) if size >= 60 else (4, 2) if size > 6 else (3, 1)
        steps.append((kernel, stride))
        size = (size - kernel) // stride + 1
    return steps


class ObservationReader(nn.Module):
    """A Dict observation [B, ...] -> parts [B, width] for a Dense layer, which has `widths`.

    time: whether `dt` is an ordinary input. normalize: numbers go through a Scale. frame: features
    of each image. What lies around is read by a compass where the observation suits one; other sets
    are flattened in the order given, absent rows zeroed.
    """

    def __init__(
        self,
        space: gs.Dict,
        *,
        time: bool,
        normalize: bool = False,
        frame: int = 128,
    ) -> None:
        super().__init__()
        self.keys: list[str] = []
        self.widths: list[int] = []
        self.compass = Compass() if fits(space) else None
        self.images = nn.ModuleDict()
        self.scales = nn.ModuleDict()
        self.sets: set[str] = set()
        for key, sub in sorted(space.spaces.items()):
            if key.endswith("_mask") or (key == "dt" and not time):
                continue
            if self.compass is not None and key in PLACED:
                continue
            if not isinstance(sub, gs.Box):
                raise ConfigError(f"observation {key!r}: {sub} is no Box, convert it in the game")
            width = int(np.prod(sub.shape))
            scaled = sub.shape
            if f"{key}_mask" in space.spaces:
                self.sets.add(key)
                scaled = sub.shape[1:]  # rows are alike, wherever they stand
            elif is_image(sub):
                self.images[key] = ImageEncoder(sub.shape, frame)
                width = frame
            if normalize and key not in self.images:
                self.scales[key] = Scale(scaled)
            self.keys.append(key)
            self.widths.append(width)
        if not self.keys:
            raise ConfigError(f"observation space {space} has nothing that a network can read")
        if self.compass is not None:
            self.widths.append(self.compass.outputs)

    def forward(self, observation: Tensors) -> Reading:
        read = {key: self._read(key, observation) for key in self.keys}
        parts = [x.flatten(1) for x in read.values()]
        sets = {key: read[key] for key in self.sets}
        if self.compass is None:
            return Reading(parts, sets, None)
        directions, summary = self.compass(observation, read["state"])
        return Reading([*parts, summary], sets, directions)

    def _read(self, key: str, observation: Tensors) -> Tensor:
        x = observation[key]
        if key in self.images:
            return cast(Tensor, self.images[key](x))
        if key in self.scales:
            x = self.scales[key](x)
        if key in self.sets:
            x = torch.where(self._there(key, observation), x, 0.0)
        return x if x.dtype == torch.float32 else x.float()

    def _there(self, key: str, observation: Tensors) -> Tensor:
        return observation[f"{key}_mask"].bool()[..., None]

    def learn(self, observation: Tensors, average: Callable[[Tensor], None] | None = None) -> None:
        """Shows observations [B, ...] to the scales; rows that are masked do not count.

        average: of several learners, called once with what the scales add, to average in place.
        """
        if not self.scales:
            return
        scales = [cast(Scale, scale) for scale in self.scales.values()]
        parts = [
            self._moments(key, scale, observation)
            for key, scale in zip(self.scales, scales, strict=True)
        ]
        flat = torch.cat([part.flatten() for part in parts])
        if average is not None:
            average(flat)
        start = 0
        for scale, part in zip(scales, parts, strict=True):
            scale.add(flat[start : start + part.numel()].view_as(part))
            start += part.numel()

    def _moments(self, key: str, scale: Scale, observation: Tensors) -> Tensor:
        x = observation[key]
        if key not in self.sets:
            return scale.moments(x)
        return scale.moments(x.flatten(0, 1), self._there(key, observation).flatten(0, 1))

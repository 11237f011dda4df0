"""What of an observation a world model is judged by, and in which units.

Knows the decoder's parts; does not know what is compared, or over which steps. Numbers count in
squared deviations of what the model saw, cells as the share that differs, pixels in squared parts
of full brightness. The rows of a set do not: they may trade places from one step to the next, so
that what stands in a row says nothing of what stood there, and masks say which rows there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metabonk.models.decoder import PIXEL_DEVIATION, Frame, Numbers, ObservationDecoder, Part

FRAMES = 128  # that are decoded at once: they take a thousand times the memory of numbers
TOLERABLE = 0.05  # squared deviations of all that was ever seen, a fifth of one deviation


def judged(decoder: ObservationDecoder) -> dict[str, Part]:
    """The parts that count, by key; none for an observation of sets and masks alone."""
    parts = {key: decoder.part(key) for key in decoder.parts}
    return {key: part for key, part in parts.items() if _counts(part)}


def left_out(decoder: ObservationDecoder) -> tuple[str, ...]:
    """The keys that do not count."""
    return tuple(key for key in decoder.parts if not _counts(decoder.part(key)))


def _counts(part: Part) -> bool:
    return isinstance(part, Frame) or (isinstance(part, Numbers) and not part.rows)


def is_pixels(part: Part) -> bool:
    """Whether it is a frame of brightness, not of cells."""
    return isinstance(part, Frame) and not part.cells


def is_cells(part: Part) -> bool:
    """Whether it is a frame of a palette's colours."""
    return isinstance(part, Frame) and part.cells


def real(part: Part, value: Tensor) -> Tensor:
    """A real observation [..., *shape] of a key in units; pixels become float32 [..., C, H, W]."""
    if isinstance(part, Frame):
        return value if part.cells else value.movedim(-1, -3).float() / 255.0
    assert isinstance(part, Numbers)
    scaled: Tensor = part.scale(value.float())
    return scaled


def shown(part: Part, hidden: Tensor) -> Tensor:
    """What the decoder's inputs [N, draws, width] show of a key on average over the draws, [N, ...]
    in units: of colours the probabilities are averaged, of numbers and brightness the means."""
    draws = hidden.shape[1]
    some = max(1, FRAMES // draws) if isinstance(part, Frame) else max(1, len(hidden))
    found = []
    for first in range(0, len(hidden), some):
        few = hidden[first : first + some]
        raw = part(few.flatten(0, 1)).unflatten(0, (len(few), draws))
        mean = raw.softmax(2).mean(1).argmax(1).to(torch.uint8) if is_cells(part) else raw.mean(1)
        found.append(mean)
    return torch.cat(found)


def apart(part: Part, one: Tensor, two: Tensor) -> Tensor:
    """How far each element of one is from the other's, in units; float64, as many sum up."""
    return (one != two).double() if is_cells(part) else (one.double() - two.double()).square()


def tolerable(part: Part) -> float:
    """An error of an element that is small whatever else could be said; none is of cells."""
    if is_pixels(part):
        return TOLERABLE * PIXEL_DEVIATION**2
    return 0.0 if is_cells(part) else TOLERABLE

"""Whether a menu is open, from pixels alone: for games whose state says nothing about menus.

Knows a small convolutional network, its weights on disk and how frames are shrunk for it; runs on
numpy, a fraction of a millisecond a frame. Does not know how it was trained
(learn/system2/screens.py) or what is done about a menu. Weights are an artifact: nothing in them
can run code.

The network: 3x3 convolutions of stride 2 with ReLU over 48x64 RGB in -0.5..0.5 (3 -> 8 -> 16 -> 24
channels), the mean and the maximum over what is left, one linear layer: a logit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.errors import CorruptError

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

KIND = "screens"
WEIGHTS = "weights.safetensors"
DEFAULT = Path(__file__).parent / "weights" / "screens"  # trained on the arena's and Doom's screens
SIZE = (48, 64)  # height and width that frames are shrunk to
CHANNELS = (3, 8, 16, 24)
SHAPES: Mapping[str, tuple[int, ...]] = {
    **{
        f"{part}.{name}": shape
        for part, (into, out) in enumerate(itertools.pairwise(CHANNELS))
        for name, shape in (("weight", (out, into, 3, 3)), ("bias", (out,)))
    },
    "head.weight": (1, 2 * CHANNELS[-1]),
    "head.bias": (1,),
}


def shrink(frame: Array) -> FloatArray:
    """A frame uint8 [H, W, 3] as the network sees it, float32 [3, 48, 64] in -0.5..0.5.

    Each cell is the mean of the pixels it covers; of a smaller frame pixels are repeated. Raises
    ValueError for anything but a picture.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        raise ValueError(f"frame: {frame.dtype} {list(frame.shape)}; wanted uint8 [H, W, 3]")
    rows, columns = _cells(frame.shape[0], SIZE[0]), _cells(frame.shape[1], SIZE[1])
    sums = _reduced(_reduced(frame.astype(np.float32), rows, 0), columns, 1)
    return np.ascontiguousarray((sums / 255.0 - 0.5).transpose(2, 0, 1), np.float32)


class MenuClassifier:
    """Tells screens with a menu from screens of a running game.

    threshold: probability from which on a screen counts as a menu. weights: by name, as SHAPES.
    artifact: where they are from, if they were loaded.
    """

    def __init__(self, weights: Mapping[str, Array], threshold: float = 0.5) -> None:
        """Raises CorruptError for weights that are not of this network, or not finite."""
        for name, shape in SHAPES.items():
            found = weights.get(name)
            if found is None or found.shape != shape or found.dtype != np.float32:
                got = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
                raise CorruptError(f"screens: {name} is {got}; wanted float32 {list(shape)}")
            if not np.isfinite(found).all():
                raise CorruptError(f"screens: {name} holds numbers that are not finite")
        self.threshold = threshold
        self.weights = {name: np.array(weights[name]) for name in SHAPES}
        self.artifact: Artifact | None = None
        self._layers = [
            (
                np.ascontiguousarray(weights[f"{part}.weight"].reshape(CHANNELS[part + 1], -1).T),
                np.array(weights[f"{part}.bias"]),
            )
            for part in range(len(CHANNELS) - 1)
        ]
        self._head = np.array(weights["head.weight"][0]), float(weights["head.bias"][0])

    @classmethod
    def load(cls, path: Path | str = DEFAULT) -> MenuClassifier:
        """The weights of an artifact; by default those that come with the package.

        Raises CorruptError for a damaged one, FileNotFoundError if there is none.
        """
        found = artifact.load(path, kind=KIND)
        threshold = found.card.details.get("threshold", 0.5)
        if not isinstance(threshold, float) or not 0.0 < threshold < 1.0:
            raise CorruptError(f"{path}: threshold {threshold!r}; wanted a number within 0 and 1")
        made = cls(found.tensors(WEIGHTS), threshold)
        made.artifact = found
        return made

    def probability(self, frame: Array) -> float:
        """That a menu is on the frame, uint8 [H, W, 3]. Raises ValueError as `shrink` does."""
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, self.logit(shrink(frame))))))

    def is_menu(self, frame: Array) -> bool:
        """Whether a menu is on the frame."""
        return self.probability(frame) >= self.threshold

    def logit(self, seen: FloatArray) -> float:
        """Of a frame as `shrink` gives it, [3, 48, 64]."""
        maps = seen
        for weight, bias in self._layers:
            patches = _patches(maps)  # [h, w, in * 9]
            maps = np.maximum(patches @ weight + bias, 0.0).transpose(2, 0, 1)
        flat = maps.reshape(len(maps), -1)
        pooled = np.concatenate([flat.mean(1), flat.max(1)])
        head, offset = self._head
        return float(pooled @ head) + offset


class Debounced:
    """A classifier whose answer changes only after `steady` frames in a row that say so: a flash is
    no menu."""

    def __init__(self, classifier: MenuClassifier, steady: int = 3) -> None:
        self.classifier, self.steady = classifier, steady
        self.open = False
        self._against = 0

    def look(self, frame: Array) -> bool:
        """Whether a menu is open, this frame included."""
        said = self.classifier.is_menu(frame)
        self._against = self._against + 1 if said != self.open else 0
        if self._against >= self.steady:
            self.open, self._against = said, 0
        return self.open


def _cells(large: int, small: int) -> Array:
    """Where each of `small` cells begins among `large` pixels, and the end."""
    return np.arange(small + 1) * large // small


def _reduced(picture: Array, edges: Array, axis: int) -> Array:
    """Means of the slices between edges; an empty one takes the pixel at its beginning."""
    starts, counts = edges[:-1], np.diff(edges)
    if not counts.all():
        return np.take(picture, starts, axis)
    shape = [1] * picture.ndim
    shape[axis] = len(counts)
    sums: Array = np.add.reduceat(picture, starts, axis)
    return sums / counts.reshape(shape)


def _patches(maps: FloatArray) -> FloatArray:
    """The 3x3 surroundings of every second pixel, zeros outside: [C, H, W] -> [H/2, W/2, C * 9]."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    height, width = windows.shape[1:3]
    rows = windows.transpose(1, 2, 0, 3, 4).reshape(height, width, -1)
    return np.ascontiguousarray(rows, np.float32)

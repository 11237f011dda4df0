"""The film of a dream: reality above, the dream below, error over time under both.

Knows dreamed episodes, twins and pictures of observations; does not know runs or how anything
learned. What policies see is drawn the same way for both, so that a difference is the dream's and
not the drawing's; beside reality stands what the game shows people, where it shows itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metabonk.errors import MissingExtraError
from metabonk.learn.viewer.distance import Doubles
from metabonk.learn.viewer.episode import Dreamt, Episode
from metabonk.learn.viewer.pictures import PAPER, Painter, Picture, fitted
from metabonk.learn.viewer.twin import Twin
from metabonk.models.decoder import Numbers
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import Array

SIZE = 240  # pixels of each picture
GAP = 8
LETTERS = 15  # pixels high, so that films of half the size can be read
TITLE = 22
CHART = 150
MOST_RATE = 15.0  # pictures a second that eyes can compare
SLOWEST = 4.0
INK, SOFT = (28, 33, 38), (105, 114, 124)
RED, BLUE, GREEN, GREY = (200, 40, 40), (31, 111, 235), (47, 158, 68), (128, 136, 146)


@dataclass(frozen=True)
class Line:
    """A curve of the chart. values: one an observation from `first` on."""

    name: str
    values: Doubles
    first: int
    colour: tuple[int, int, int]


def rate_of(episode: Episode) -> float:
    """Pictures a second of a film of it: as fast as the game, but so that eyes can follow."""
    return min(max(episode.rate, SLOWEST), MOST_RATE) if episode.rate else MOST_RATE


def painter_of(world: WorldModel, size: int = SIZE) -> Painter:
    """Draws observations about what the model saw on average."""
    middle: dict[str, Array] = {}
    width: dict[str, Array] = {}
    for key in world.decoder.parts:
        part = world.decoder.part(key)
        if isinstance(part, Numbers) and not part.rows:
            middle[key] = part.scale.mean.numpy()
            width[key] = 1.0 / part.scale.inverse.numpy()
    return Painter(world.space, size, middle, width)


@torch.no_grad()
def decoded(world: WorldModel, features: torch.Tensor) -> list[dict[str, Array]]:
    """What single dreams [S, F] look like, by key, step by step."""
    deter = world.rssm.deter
    shown = world.decode(Latent(features[:, :deter], features[:, deter:])).observation
    arrays = {key: value.numpy() for key, value in shown.items()}
    return [{key: value[t] for key, value in arrays.items()} for t in range(len(features))]


def film(world: WorldModel, episode: Episode, dreamt: Dreamt) -> Iterator[Picture]:
    """One picture per observation, uint8 [H, W, 3]."""
    painter = painter_of(world)
    dreams = decoded(world, dreamt.features[:, 0])
    first = dreamt.context
    lines = [
        Line("dream", dreamt.error, first, BLUE),
        Line("nothing changes", dreamt.persistence, first, GREY),
        Line("awake", dreamt.awake, first, GREEN),
    ]
    sheet = Sheet(len(episode) + 1, 2 if episode.pictures else 1, 2, lines, dreamt.diverged)
    total = np.concatenate([[0.0], np.cumsum(episode.reward)])
    expected = np.concatenate([[0.0], np.cumsum(dreamt.reward)])
    for t in range(len(episode) + 1):
        seen = painter.draw(_row(episode.observation, t))
        asleep = t >= first
        below = painter.draw(dreams[t - first]) if asleep else seen
        titles = [f"reality   step {t}   earned {total[t]:.2f}"]
        if asleep:
            so_far = total[first - 1] + expected[t - first + 1]
            lost = dreamt.diverged is not None and t >= dreamt.diverged
            titles.append(f"dream   earned {so_far:.2f}{'   apart' if lost else ''}")
        else:
            titles.append("awake: watches what is real")
        above = [seen, *episode.pictures[t : t + 1]]
        yield sheet.picture(t, [above, [below]], titles)


def twin_film(world: WorldModel, episode: Episode, twin: Twin) -> Iterator[Picture]:
    """The steps after a fork: what was, what came instead, and what was dreamed of that."""
    painter = painter_of(world)
    dreams = decoded(world, twin.features[:, 0])
    first, count = twin.at + 1, len(twin.error)
    lines = [
        Line("dream of it", twin.error, first, BLUE),
        Line("what the action changed", twin.effect, first, RED),
        Line("dream of the other", twin.unchanged, first, GREY),
    ]
    shown = bool(twin.pictures) and bool(episode.pictures)
    sheet = Sheet(first + count, 2 if shown else 1, 3, lines, twin.diverged, start=first)
    for step in range(count):
        t = first + step
        was = min(t, len(episode))
        above = [painter.draw(_row(episode.observation, was)), *episode.pictures[was : was + 1]]
        came = [painter.draw(_row(twin.observation, step)), *twin.pictures[step : step + 1]]
        titles = [
            f"what was done   step {t}",
            "what came of the other action" + ("   apart" if _apart(twin, t) else ""),
            "what was dreamed of it",
        ]
        yield sheet.picture(t, [above, came, [painter.draw(dreams[step])]], titles)


def _apart(twin: Twin, t: int) -> bool:
    return twin.forked is not None and t >= twin.forked


def _row(observation: dict[str, Array], t: int) -> dict[str, Array]:
    return {key: value[t] for key, value in observation.items()}


class Sheet:
    """Lays rows of pictures over a chart. columns, rows: of pictures. marked: observation at which
    a red line stands. start: first observation of the chart."""

    def __init__(
        self,
        length: int,
        columns: int,
        rows: int,
        lines: Sequence[Line],
        marked: int | None,
        *,
        start: int = 0,
    ) -> None:
        self._draw, self._image, self._font = _pil()
        self.columns, self.rows = columns, rows
        self.width = max(2, columns) * (SIZE + GAP) + GAP
        self.height = rows * (SIZE + TITLE + GAP) + CHART + GAP
        self.start, self.length = start, max(1, length - 1 - start)
        self._ceiling = 0  # of the chart, below the names of its curves
        self._chart = self._charted(lines, marked)

    def picture(self, t: int, rows: Sequence[Sequence[Picture]], titles: Sequence[str]) -> Picture:
        """One picture of the film; rows of pictures under their titles, the chart below."""
        out = np.full((self.height, self.width, 3), PAPER, np.uint8)
        for index, row in enumerate(rows):
            top = index * (SIZE + TITLE + GAP) + TITLE
            for column, shown in enumerate(row):
                left = GAP + column * (SIZE + GAP)
                out[top : top + SIZE, left : left + SIZE] = fitted(shown, SIZE, SIZE)
        chart = self._chart.copy()
        x = self._x(t)
        chart[self._ceiling :, x : x + 2] = INK
        out[-CHART:] = chart
        image = self._image.fromarray(out)
        drawing = self._draw.Draw(image)
        for index, title in enumerate(titles):
            self._write(drawing, GAP, index * (SIZE + TITLE + GAP), title, INK)
        return np.asarray(image)

    def _write(self, drawing: Any, x: float, y: float, text: str, colour: tuple[int, ...]) -> None:
        drawing.text((x, y + 2), text, fill=colour, font=self._font)

    def _x(self, t: float) -> int:
        return int(GAP + (t - self.start) / self.length * (self.width - 2 * GAP - 2))

    def _charted(self, lines: Sequence[Line], marked: int | None) -> Picture:
        image = self._image.new("RGB", (self.width, CHART), PAPER)
        drawing = self._draw.Draw(image)
        known = np.concatenate([line.values for line in lines])
        top = float(np.quantile(known, 0.98)) if len(known) else 1.0
        top = top or 1.0
        named = [(line.name, line.colour) for line in lines]
        ceiling = self._ceiling = self._legend(
            drawing, [*named, (f"error, full height {top:.3g}", SOFT)]
        )
        floor = CHART - 6

        def y(value: float) -> int:
            return int(floor - min(value / top, 1.0) * (floor - ceiling))

        drawing.line([(GAP, floor), (self.width - GAP, floor)], fill=SOFT)
        for line in lines:
            at = [(self._x(line.first + i), y(v)) for i, v in enumerate(line.values)]
            if len(at) > 1:
                drawing.line(at, fill=line.colour, width=2)
        if marked is not None:
            x, text = self._x(marked), f"apart at {marked}"
            drawing.line([(x, ceiling), (x, floor)], fill=RED, width=2)
            room = self.width - GAP - drawing.textlength(text, font=self._font)
            self._write(drawing, min(x + 5, room), ceiling, text, RED)
        return np.asarray(image)

    def _legend(self, drawing: Any, named: Sequence[tuple[str, tuple[int, int, int]]]) -> int:
        """Writes names in their colours over the chart, in as many rows as they take; returns where
        curves may begin."""
        left, row = float(GAP), 0
        for name, colour in named:
            wide = drawing.textlength(name, font=self._font)
            if left > GAP and left + wide > self.width - GAP:
                left, row = float(GAP), row + 1
            self._write(drawing, left, row * TITLE, name, colour)
            left += wide + 2 * GAP
        return (row + 1) * TITLE


def _pil() -> tuple[Any, Any, Any]:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("pillow", "train", "the film of a dream") from error
    return ImageDraw, Image, ImageFont.load_default(LETTERS)

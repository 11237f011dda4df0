"""Action rows as points of a real space, and back. Knows layouts and torch; no networks, no games.

Diffusion needs a continuous space in which every action is a point. A row [columns] of any layout
becomes a point [width], branch by branch, each coordinate spread about as far as `SIGMA_DATA`:

- bounded columns: -1..1 between their bounds; back: cut at the bounds.
- unbounded columns: half their deviations from the mean of the actions that `learn` was shown.
- continuous columns that never varied there: 0; back: what they always were.
- a choice of K: K coordinates, +0.5 where it was chosen and -0.5 elsewhere ("analog bits", Chen et
  al. 2022); back: the largest coordinate among the choices that the mask allows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metabonk.models.actions import ActionCode
from metabonk.spaces import ActionLayout, Branch

SIGMA_DATA = 0.5
FLOOR = 1e-6  # of a deviation, below which a column counts as constant


class ActionPoints(nn.Module):
    """Rows float32 [..., columns] of `layout` <-> points float32 [..., width]."""

    shift: Tensor
    spread: Tensor

    def __init__(self, layout: ActionLayout) -> None:
        super().__init__()
        self.layout = layout
        self.code = ActionCode(layout)
        self.width = self.code.width
        self.register_buffer("shift", torch.zeros(self.width))
        self.register_buffer("spread", torch.ones(self.width))
        start = 0
        self._spans: list[tuple[Branch, slice]] = []
        for branch in layout.branches:
            stop = start + (branch.size or branch.width)
            self._spans.append((branch, slice(start, stop)))
            start = stop
        for branch, span in self._spans:
            if branch.kind == "categorical":
                self.shift[span] = 0.5

    @torch.no_grad()
    def learn(self, rows: Tensor) -> None:
        """Takes the units of continuous columns from rows [N, columns]; once, before anything is
        learned in them."""
        code = self.code(rows).double()
        mean, deviation = code.mean(0), code.std(0, correction=0)
        for branch, span in self._spans:
            for column, index in enumerate(range(span.start, span.stop)):
                constant = float(deviation[index]) <= FLOOR
                if branch.kind == "continuous" and (constant or not _bounded(branch, column)):
                    self.shift[index] = mean[index]
                    self.spread[index] = 0.0 if constant else deviation[index] / SIGMA_DATA

    def encode(self, rows: Tensor) -> Tensor:
        """Raises ValueError for a choice that does not exist."""
        return self._pointed(self.code(rows))

    def settle(self, points: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The rows that `decode` gives, and the points that are theirs."""
        rows = self.decode(points, mask)
        return rows, self._pointed(self.code.trusted(rows))

    def _pointed(self, code: Tensor) -> Tensor:
        scale = torch.where(self.spread > 0.0, 1.0 / self.spread, 0.0)
        return (code - self.shift) * scale

    def decode(self, points: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: the observation's `action_mask` [..., choices], uint8 or bool, or None."""
        code = points * self.spread + self.shift
        rows = points.new_zeros(*points.shape[:-1], self.layout.columns)
        for branch, span in self._spans:
            columns = slice(branch.column, branch.column + branch.width)
            part = code[..., span]
            if branch.kind == "categorical":
                if mask is not None and branch.mask is not None:
                    allowed = mask[..., slice(*branch.mask)].bool()
                    part = part.masked_fill(~allowed, -math.inf)
                rows[..., columns] = part.argmax(-1, keepdim=True).to(rows.dtype)
            else:
                rows[..., columns] = _unscaled(part, branch)
        return rows


def _bounded(branch: Branch, column: int) -> bool:
    low, high = branch.low[column], branch.high[column]
    return math.isfinite(low) and math.isfinite(high) and high > low


def _unscaled(part: Tensor, branch: Branch) -> Tensor:
    """Inverse of ActionCode for one continuous branch [..., W]; what has one bound is cut there."""
    out = []
    for column, value in enumerate(part.unbind(-1)):
        low, high = branch.low[column], branch.high[column]
        if _bounded(branch, column):
            value = (low + high) / 2.0 + (high - low) / 2.0 * value
        out.append(value.clamp(low, high))
    return torch.stack(out, -1)

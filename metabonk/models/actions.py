"""Action rows as numbers that a network can read. Knows layouts and torch; no games."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metabonk.spaces import ActionLayout


class ActionCode(nn.Module):
    """Rows [..., columns] of a layout -> float32 [..., width].

    Bounded columns are cut at their bounds and become -1..1, unbounded ones stay; a choice becomes
    one-hot. A choice that does not exist raises ValueError.
    """

    def __init__(self, layout: ActionLayout) -> None:
        super().__init__()
        self.layout = layout
        self.width = sum(b.size or b.width for b in layout.branches)

    def forward(self, rows: Tensor) -> Tensor:
        for branch in self.layout.branches:
            choice = rows[..., branch.column].long()
            if branch.kind == "categorical" and bool(
                ((choice < 0) | (choice >= branch.size)).any()
            ):
                raise ValueError(
                    f"action {branch.name}: choices {int(choice.min())} to "
                    f"{int(choice.max())}; wanted 0 to {branch.size - 1}"
                )
        return self.trusted(rows)

    def trusted(self, rows: Tensor) -> Tensor:
        """The same of rows whose choices are known to exist, without looking at them."""
        parts: list[Tensor] = []
        for branch in self.layout.branches:
            columns = rows[..., branch.column : branch.column + branch.width]
            if branch.kind == "categorical":
                choices = torch.arange(branch.size, device=rows.device)
                parts.append((columns.long() == choices).float())
            else:
                parts.append(_scaled(columns, branch.low, branch.high))
        return torch.cat(parts, -1)


def _scaled(columns: Tensor, low: tuple[float, ...], high: tuple[float, ...]) -> Tensor:
    """Columns [..., W] between -1 and 1 where they are bounded."""
    out = []
    for column, least, most in zip(columns.unbind(-1), low, high, strict=True):
        if math.isfinite(least) and math.isfinite(most) and most > least:
            middle, half = (most + least) / 2.0, (most - least) / 2.0
            column = ((column - middle) / half).clamp(-1.0, 1.0)
        out.append(column)
    return torch.stack(out, -1)

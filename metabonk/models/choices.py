"""Choices: branches of an action in which one of a few possibilities is taken.

Knows layouts and torch; no features, no probabilities. Choices of one size are computed together. A
choice is a categorical branch, or a steered one: two bounded columns, right and forward, that hold
one of sixteen directions or stand still. A Gaussian has one mean; at an obstacle, going left and
going right are both good and between them is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabonk.errors import ConfigError
from metabonk.ops.radar import SECTORS
from metabonk.spaces import ActionLayout, Branch

STANDING = SECTORS  # the choice after all directions
STEERS = SECTORS + 1
_ANGLES = torch.arange(SECTORS) * (2.0 * math.pi / SECTORS)
_DIRECTIONS = torch.cat([torch.stack([_ANGLES.cos(), _ANGLES.sin()], 1), torch.zeros(1, 2)])
_STILL = 0.25  # squared length below which a vector stands for no direction


@dataclass(frozen=True)
class Group:
    """Choices of one size.

    logits: their slice of all choices' logits, [count * size]. members: their places in the layout;
    branches: the same as an index. columns: where they stand in an action row. steered: whether
    each fills two columns with a direction.
    """

    size: int
    count: int
    logits: slice
    members: tuple[int, ...]
    branches: slice | list[int]
    columns: slice | list[int]
    steered: bool

    def read(self, rows: Tensor) -> Tensor:
        """What was chosen in rows [B, columns]: int64 [B, count]."""
        held = rows[:, self.columns]
        if not self.steered:
            return held.long()
        right, forward = held.view(-1, self.count, 2).unbind(-1)
        turns = torch.atan2(forward, right) * (SECTORS / (2.0 * math.pi))
        still = right.square() + forward.square() < _STILL
        return torch.where(still, STANDING, turns.round().long() % SECTORS)

    def write(self, rows: Tensor, choice: Tensor) -> None:
        """Puts choices int64 [B, count] into rows [B, columns]."""
        values = _DIRECTIONS[choice].flatten(1) if self.steered else choice.to(rows.dtype)
        rows[:, self.columns] = values


def group(layout: ActionLayout, free: Sequence[int], steered: str) -> list[Group]:
    """Groups of the categorical branches among `free`, places in the layout, by size, then of the
    branch called `steered`, none if that is empty. Raises ConfigError if it cannot be steered."""
    branches = layout.branches
    categorical = [i for i in free if branches[i].kind == "categorical"]
    groups: list[Group] = []
    start = 0
    for size in sorted({branches[i].size for i in categorical}):
        members = [i for i in categorical if branches[i].size == size]
        columns = [branches[i].column for i in members]
        groups.append(_group(size, members, columns, start, steered=False))
        start = groups[-1].logits.stop
    if steered:
        member = _steered(layout, free, steered)
        column = branches[member].column
        groups.append(_group(STEERS, [member], [column, column + 1], start, steered=True))
    return groups


def span(indices: list[int]) -> slice | list[int]:
    """Consecutive indices as a slice, which reads and writes without a copy."""
    if not indices:
        return slice(0, 0)
    first, last = indices[0], indices[-1]
    return slice(first, last + 1) if indices == list(range(first, last + 1)) else indices


def mask_index(layout: ActionLayout, groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    """Which entry of the action mask allows each logit; logits of unmasked branches always."""
    index: list[int] = []
    always: list[bool] = []
    for one in groups:
        for i in one.members:
            masked = layout.branches[i].mask
            index += range(*masked) if masked else [0] * one.size
            always += [masked is None] * one.size
    return torch.tensor(index, dtype=torch.long), torch.tensor(always)


def _group(size: int, members: list[int], columns: list[int], start: int, steered: bool) -> Group:
    count = len(members)
    logits = slice(start, start + count * size)
    return Group(size, count, logits, tuple(members), span(members), span(columns), steered)


def _steered(layout: ActionLayout, free: Sequence[int], name: str) -> int:
    """Place of the branch that is steered."""
    for i in free:
        branch = layout.branches[i]
        if branch.name == name and _is_disc(branch):
            return i
    raise ConfigError(
        f"steer: {name!r} is not a free action of two columns from -1 to 1; free are "
        f"{', '.join(layout.branches[i].name for i in free)}"
    )


def _is_disc(branch: Branch) -> bool:
    return branch.low == (-1.0, -1.0) and branch.high == (1.0, 1.0)

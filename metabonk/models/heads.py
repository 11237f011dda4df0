"""Action heads: features become distributions over rows of any ActionLayout.

Knows layouts (metabonk.spaces) and torch. Does not know observations (masks are handed in), games
or losses. One head gives one log-probability: the sum over the branches, which are independent
given the features. Continuous branches are diagonal Gaussians whose mean is bounded by the space
and whose samples are not (the game clips, the likelihood is that of the unclipped sample);
categorical branches choose among what their mask allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metabonk.errors import ConfigError
from metabonk.models.layers import fast_tanh, linear
from metabonk.spaces import ActionLayout, Branch

FORBIDDEN = -1e9  # finite, so that p log p of a forbidden choice is 0 and not NaN
HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
INITIAL_LOG_STD = -0.5
FEW_CHOICES = 16


@dataclass(frozen=True)
class Group:
    """Categorical branches of one size, computed together.

    logits: their slice of the head's categorical outputs, [count * size]. members: their places in
    the layout; branches: the same as an index. columns: where their choices stand in an action row.
    """

    size: int
    count: int
    logits: slice
    members: tuple[int, ...]
    branches: slice | list[int]
    columns: slice | list[int]


class ActionHead(nn.Module):
    """Distributions over action rows.

    features: width of the input. decisive: masked branches whose choice 0, which passes, is taken
    only where nothing else is allowed: who may wait in a menu for ever never meets what comes
    after. fixed: value of each branch, by name, that is not the policy's to choose; such a branch
    has log-probability and entropy 0.

    Parameters of the distributions come as one tensor [B, outputs]: the means of all continuous
    columns, then the logits group by group. `mask` is the observation's `action_mask`
    [B, choices], uint8 or bool, or None; random numbers are handed in, so that sampling is a pure
    function.
    """

    _rest: Tensor
    _mask_index: Tensor
    _always: Tensor
    _bounded: Tensor
    _half: Tensor
    _middle: Tensor
    _owner: Tensor

    def __init__(
        self,
        features: int,
        layout: ActionLayout,
        fixed: Mapping[str, float] | None = None,
        decisive: Sequence[str] = (),
    ) -> None:
        super().__init__()
        fixed = dict(fixed or {})
        self.fixed = bool(fixed)
        names = [b.name for b in layout.branches]
        if unknown := sorted(set(fixed) - set(names)):
            raise ConfigError(f"fixed: no action branch {unknown[0]!r}, it has {', '.join(names)}")
        self.layout = layout
        free = [(i, b) for i, b in enumerate(layout.branches) if b.name not in fixed]
        self._gaussian = [(i, b) for i, b in free if b.kind == "continuous"]
        self.continuous = sum(b.width for _, b in self._gaussian)
        categorical = [(i, b) for i, b in free if b.kind == "categorical"]
        self.groups = _groups(categorical)
        self.choices = sum(b.size for _, b in categorical)
        self.categorical = len(categorical)
        self.outputs = self.continuous + self.choices
        if not self.outputs:
            raise ConfigError("fixed: every action branch is fixed, nothing is left to learn")
        self.linear = linear(features, self.outputs, 0.01)
        self.log_std = nn.Parameter(torch.full((self.continuous,), INITIAL_LOG_STD))
        rest = torch.zeros(layout.columns)
        for branch in layout.branches:
            if branch.name in fixed:
                rest[branch.column : branch.column + branch.width] = float(fixed[branch.name])
        self._constant("_rest", rest)
        index, always = _mask_index(layout, self.groups)
        self.masked = not bool(always.all())
        self._constant("_mask_index", index)
        self._constant("_always", always)
        self._decisive = [self._pass_of(name) for name in decisive]
        self._bounds()

    def _pass_of(self, name: str) -> tuple[int, slice]:
        """Among all logits, choice 0 of a branch and its other choices."""
        branches = self.layout.branches
        for group in self.groups:
            for i, member in enumerate(group.members):
                if branches[member].name == name and branches[member].mask:
                    start = group.logits.start + i * group.size
                    return start, slice(start + 1, start + group.size)
        raise ConfigError(f"decisive: there is no masked choice {name!r} that is free")

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def _bounds(self) -> None:
        low = torch.tensor([v for _, b in self._gaussian for v in b.low])
        high = torch.tensor([v for _, b in self._gaussian for v in b.high])
        bounded = torch.isfinite(low) & torch.isfinite(high)
        half = torch.where(bounded, 0.5 * (high - low), torch.ones_like(low))
        self._constant("_bounded", bounded)
        self._constant("_half", half)
        self._constant("_middle", torch.where(bounded, low + half, torch.zeros_like(low)))
        self._columns = _span([b.column + j for _, b in self._gaussian for j in range(b.width)])
        self._gaussian_branches = _span([i for i, _ in self._gaussian])
        owner = torch.zeros(self.continuous, len(self._gaussian))
        position = 0
        for i, (_, branch) in enumerate(self._gaussian):
            owner[position : position + branch.width, i] = 1.0
            position += branch.width
        self._constant("_owner", owner)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, features] -> parameters [B, outputs]."""
        out: Tensor = self.linear(features)
        return out

    @torch.no_grad()
    def sample(
        self,
        parameters: Tensor,
        mask: Tensor | None,
        uniform: Tensor,
        normal: Tensor,
        rows: Tensor,
        log_prob: Tensor,
    ) -> None:
        """Writes `rows` [B, columns] and log-probabilities per branch `log_prob` [B, branches].

        uniform: [B, categorical] in [0, 1); normal: [B, continuous], standard; all float32. A
        choice is the inverse of its cumulative distribution at one uniform number.
        """
        if self.fixed:
            rows.copy_(self._rest)
            log_prob.zero_()
        if self.continuous:
            scale = self.log_std.exp()
            action = torch.addcmul(self._mean(parameters), self._half * scale, normal)
            rows[:, self._columns] = action
            each = self._gaussian_log_prob(normal) @ self._owner
            log_prob[:, self._gaussian_branches] = each
        position = 0
        for group, log_p in self._log_probs(parameters, mask):
            cumulative = log_p.exp().cumsum(-1)
            # A little below the total, so that rounding cannot reach a forbidden last choice.
            point = uniform[:, position : position + group.count] * (1.0 - 2.0**-20)
            point = (point * cumulative[..., -1])[..., None]
            choice = (cumulative <= point).sum(-1)
            position += group.count
            rows[:, group.columns] = choice.to(rows.dtype)
            log_prob[:, group.branches] = log_p.gather(-1, choice[..., None])[..., 0]

    def mode(self, parameters: Tensor, mask: Tensor | None) -> Tensor:
        """The most probable row, float32 [B, columns]."""
        rows = self._rest.repeat(len(parameters), 1)
        if self.continuous:
            rows[:, self._columns] = self._mean(parameters)
        for group, log_p in self._log_probs(parameters, mask):
            rows[:, group.columns] = log_p.argmax(-1).float()
        return rows

    def log_prob(
        self, parameters: Tensor, mask: Tensor | None, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of rows [B, columns] and entropy, both [B], summed over branches."""
        total, entropy = parameters.new_zeros(()), parameters.new_zeros(())
        if self.continuous:
            scale = self._half * self.log_std.exp()
            normal = (rows[:, self._columns] - self._mean(parameters)) / scale
            total = total + self._gaussian_log_prob(normal).sum(-1)
            each = 0.5 + HALF_LOG_TAU + self.log_std + self._half.log()
            entropy = entropy + each.sum()
        for group, log_p in self._log_probs(parameters, mask):
            choice = rows[:, group.columns].long()[..., None]
            total = total + log_p.gather(-1, choice).sum((-1, -2))
            entropy = entropy - (log_p.exp() * log_p).sum((-1, -2))
        return total, entropy.expand(len(rows))

    def _mean(self, parameters: Tensor) -> Tensor:
        raw = parameters[:, : self.continuous]
        raw = torch.where(self._bounded, fast_tanh(raw), raw)
        return torch.addcmul(self._middle, self._half, raw)

    def _gaussian_log_prob(self, normal: Tensor) -> Tensor:
        """Per column [B, continuous], of samples that lie `normal` deviations from the mean."""
        constant = HALF_LOG_TAU + self.log_std + self._half.log()
        return -0.5 * normal.square() - constant

    def _log_probs(self, parameters: Tensor, mask: Tensor | None) -> list[tuple[Group, Tensor]]:
        """Log-probabilities [B, count, size] of each group, forbidden choices near -1e9."""
        if not self.groups:
            return []
        logits = parameters[:, self.continuous :]
        if mask is not None and self.masked:
            allowed = mask.view(torch.bool) if mask.dtype == torch.uint8 else mask
            allowed = allowed[:, self._mask_index] | self._always
            for passing, others in self._decisive:
                allowed[:, passing] &= ~allowed[:, others].any(1)
            logits = torch.where(allowed, logits, FORBIDDEN)
        return [
            (g, _log_softmax(logits[:, g.logits].reshape(-1, g.count, g.size))) for g in self.groups
        ]


def _log_softmax(logits: Tensor) -> Tensor:
    """Over the last axis of [B, count, size].

    torch goes along the last axis of memory row by row, which for a few choices takes five times as
    long as going through all rows at once, choice by choice: so few choices are laid out that way,
    and what is computed from the result keeps that layout.
    """
    if logits.shape[-1] > FEW_CHOICES:
        return logits.log_softmax(-1)
    return logits.permute(2, 0, 1).contiguous().log_softmax(0).permute(1, 2, 0)


def _groups(branches: list[tuple[int, Branch]]) -> list[Group]:
    groups: list[Group] = []
    start = 0
    for size in sorted({b.size for _, b in branches}):
        members = [(i, b) for i, b in branches if b.size == size]
        stop = start + size * len(members)
        groups.append(
            Group(
                size,
                len(members),
                slice(start, stop),
                tuple(i for i, _ in members),
                _span([i for i, _ in members]),
                _span([b.column for _, b in members]),
            )
        )
        start = stop
    return groups


def _span(indices: list[int]) -> slice | list[int]:
    """Consecutive indices as a slice, which reads and writes without a copy."""
    if not indices:
        return slice(0, 0)
    first, last = indices[0], indices[-1]
    return slice(first, last + 1) if indices == list(range(first, last + 1)) else indices


def _mask_index(layout: ActionLayout, groups: list[Group]) -> tuple[Tensor, Tensor]:
    """Which entry of the action mask allows each logit; logits of unmasked branches always."""
    index: list[int] = []
    always: list[bool] = []
    for group in groups:
        for i in group.members:
            span = layout.branches[i].mask
            index += range(*span) if span else [0] * group.size
            always += [span is None] * group.size
    return torch.tensor(index, dtype=torch.long), torch.tensor(always)

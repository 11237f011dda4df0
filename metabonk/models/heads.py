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

import torch
from torch import Tensor, nn

from metabonk.errors import ConfigError
from metabonk.models.choices import Group, group, mask_index, span
from metabonk.models.layers import fast_tanh, linear
from metabonk.ops.surrogate import FORBIDDEN, HALF_LOG_TAU, Columns, Done
from metabonk.spaces import ActionLayout

INITIAL_LOG_STD = -0.5
FEW_CHOICES = 16


class ActionHead(nn.Module):
    """Distributions over action rows.

    features: width of the input. decisive: masked branches whose choice 0, which passes, is taken
    only where nothing else is allowed: who may wait in a menu for ever never meets what comes
    after. fixed: value of each branch, by name, that is not the policy's to choose; such a branch
    has log-probability and entropy 0. steer: a branch of two columns that is one of sixteen
    directions or none instead of a Gaussian. press: probability of choice 1 in every choice of two,
    before anything is learned.

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
        steer: str = "",
        press: float = 0.5,
    ) -> None:
        super().__init__()
        fixed = dict(fixed or {})
        self.fixed = bool(fixed)
        names = [b.name for b in layout.branches]
        if unknown := sorted(set(fixed) - set(names)):
            raise ConfigError(f"fixed: no action branch {unknown[0]!r}, it has {', '.join(names)}")
        self.layout = layout
        free = [i for i, b in enumerate(layout.branches) if b.name not in fixed]
        self.groups = group(layout, free, steer)
        chosen = {i for one in self.groups for i in one.members}
        self._gaussian = [(i, layout.branches[i]) for i in free if i not in chosen]
        self.continuous = sum(b.width for _, b in self._gaussian)
        self.choices = sum(one.size * one.count for one in self.groups)
        self.sizes = [one.size for one in self.groups for _ in range(one.count)]
        self.categorical = len(self.sizes)
        self.outputs = self.continuous + self.choices
        if not self.outputs:
            raise ConfigError("fixed: every action branch is fixed, nothing is left to learn")
        self.linear = linear(features, self.outputs, 0.01)
        self._lean(press)
        self.log_std = nn.Parameter(torch.full((self.continuous,), INITIAL_LOG_STD))
        rest = torch.zeros(layout.columns)
        for branch in layout.branches:
            if branch.name in fixed:
                rest[branch.column : branch.column + branch.width] = float(fixed[branch.name])
        self._constant("_rest", rest)
        index, always = mask_index(layout, self.groups)
        self.masked = not bool(always.all())
        self._constant("_mask_index", index)
        self._constant("_always", always)
        self._decisive = [self._pass_of(name) for name in decisive]
        self._bounds()

    def _lean(self, press: float) -> None:
        for one in self.groups:
            if one.size == 2:
                first = self.continuous + one.logits.start
                with torch.no_grad():
                    odds = math.log(press / (1.0 - press))
                    self.linear.bias[first + 1 : first + 2 * one.count : 2] = odds

    def logits_of(self, name: str) -> slice | None:
        """Where the logits of a choice stand among the outputs; None if there is no such choice."""
        for one in self.groups:
            for i, member in enumerate(one.members):
                if self.layout.branches[member].name == name:
                    start = self.continuous + one.logits.start + i * one.size
                    return slice(start, start + one.size)
        return None

    def _pass_of(self, name: str) -> tuple[int, slice]:
        """Among all choices' logits, choice 0 of a branch and its other choices."""
        found = self.logits_of(name)
        branch = next((b for b in self.layout.branches if b.name == name), None)
        if found is None or branch is None or not branch.mask:
            raise ConfigError(f"decisive: there is no masked choice {name!r} that is free")
        start = found.start - self.continuous
        return start, slice(start + 1, found.stop - self.continuous)

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
        self._columns = span([b.column + j for _, b in self._gaussian for j in range(b.width)])
        self._gaussian_branches = span([i for i, _ in self._gaussian])
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
        log_std: Tensor | None = None,
    ) -> None:
        """Writes `rows` [B, columns] and log-probabilities per branch `log_prob` [B, branches].

        uniform: [B, categorical] in [0, 1); normal: [B, continuous], standard; all float32. A
        choice is the inverse of its cumulative distribution at one uniform number. log_std: instead
        of the head's own, as `explored` gives it.
        """
        log_std = self.log_std if log_std is None else log_std
        if self.fixed:
            rows.copy_(self._rest)
            log_prob.zero_()
        if self.continuous:
            scale = log_std.exp()
            action = torch.addcmul(self._mean(parameters), self._half * scale, normal)
            rows[:, self._columns] = action
            each = self._gaussian_log_prob(normal, log_std) @ self._owner
            log_prob[:, self._gaussian_branches] = each
        position = 0
        for one, log_p in self._log_probs(parameters, mask):
            cumulative = log_p.exp().cumsum(-1)
            # A little below the total, so that rounding cannot reach a forbidden last choice.
            point = uniform[:, position : position + one.count] * (1.0 - 2.0**-20)
            point = (point * cumulative[..., -1])[..., None]
            choice = (cumulative <= point).sum(-1)
            position += one.count
            one.write(rows, choice)
            log_prob[:, one.branches] = log_p.gather(-1, choice[..., None])[..., 0]

    @torch.no_grad()
    def explored(
        self, parameters: Tensor, mask: Tensor | None, noise: float
    ) -> tuple[Tensor, Tensor]:
        """Parameters and `log_std` for `sample` of a policy that explores around this one: every
        choice is with probability `noise` a random one of those allowed, and columns have a further
        deviation of `noise` half ranges."""
        wider = 0.5 * torch.log(torch.exp(2.0 * self.log_std) + noise * noise)
        chosen = [parameters[:, : self.continuous]]
        for _, log_p in self._log_probs(parameters, mask):
            allowed = log_p > 0.5 * FORBIDDEN
            even = allowed / allowed.sum(-1, keepdim=True)
            mixed = torch.log((1.0 - noise) * log_p.exp() + noise * even)
            chosen.append(torch.where(allowed, mixed, FORBIDDEN).flatten(1))
        return torch.cat(chosen, 1), wider

    def mode(self, parameters: Tensor, mask: Tensor | None) -> Tensor:
        """The most probable row, float32 [B, columns]."""
        rows = self._rest.repeat(len(parameters), 1)
        if self.continuous:
            rows[:, self._columns] = self._mean(parameters)
        for one, log_p in self._log_probs(parameters, mask):
            one.write(rows, log_p.argmax(-1))
        return rows

    def log_prob(
        self,
        parameters: Tensor,
        mask: Tensor | None,
        rows: Tensor,
        log_std: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of rows [B, columns] and entropy, both [B], summed over branches.
        log_std: another head's, instead of its own."""
        log_std = self.log_std if log_std is None else log_std
        total, entropy = parameters.new_zeros(()), parameters.new_zeros(())
        if self.continuous:
            scale = self._half * log_std.exp()
            normal = (rows[:, self._columns] - self._mean(parameters)) / scale
            total = total + self._gaussian_log_prob(normal, log_std).sum(-1)
            each = 0.5 + HALF_LOG_TAU + log_std + self._half.log()
            entropy = entropy + each.sum()
        for one, log_p in self._log_probs(parameters, mask):
            choice = one.read(rows)[..., None]
            total = total + log_p.gather(-1, choice).sum((-1, -2))
            entropy = entropy - (log_p.exp() * log_p).sum((-1, -2))
        return total, entropy.expand(len(rows))

    @property
    def columns(self) -> Columns:
        """The Gaussian columns as `ops.surrogate` wants them."""
        return Columns(self._half, self._middle, self._bounded)

    def done(self, mask: Tensor | None, rows: Tensor) -> Done:
        """What rows [B, columns] say was done, as `ops.surrogate` wants it."""
        taken = rows[:, self._columns] if self.continuous else rows[:, :0]
        chosen = [one.read(rows) for one in self.groups]
        allowed = self._allowed(mask)
        return Done(
            taken.contiguous(),
            torch.cat(chosen, 1) if chosen else rows[:, :0].long(),
            None if allowed is None else allowed.contiguous(),
        )

    def divergence(
        self, teacher: Tensor, teacher_log_std: Tensor, parameters: Tensor, mask: Tensor | None
    ) -> Tensor:
        """KL(teacher || this head) in nats, [B], of parameters [B, outputs] of two heads of one
        kind; teacher_log_std [continuous] is the teacher's `log_std`."""
        total = parameters.new_zeros(len(parameters))
        if self.continuous:
            std, other = self._half * teacher_log_std.exp(), self._half * self.log_std.exp()
            apart = (self._mean(teacher) - self._mean(parameters)) / other
            ratio = std / other
            each = 0.5 * (ratio.square() + apart.square() - 1.0) - ratio.log()
            total = total + each.sum(-1)
        pairs = zip(self._log_probs(teacher, mask), self._log_probs(parameters, mask), strict=True)
        for (_, wanted), (_, had) in pairs:
            total = total + (wanted.exp() * (wanted - had)).sum((-1, -2))
        return total

    def _mean(self, parameters: Tensor) -> Tensor:
        raw = parameters[:, : self.continuous]
        raw = torch.where(self._bounded, fast_tanh(raw), raw)
        return torch.addcmul(self._middle, self._half, raw)

    def _gaussian_log_prob(self, normal: Tensor, log_std: Tensor) -> Tensor:
        """Per column [B, continuous], of samples that lie `normal` deviations from the mean."""
        constant = HALF_LOG_TAU + log_std + self._half.log()
        return -0.5 * normal.square() - constant

    def _log_probs(self, parameters: Tensor, mask: Tensor | None) -> list[tuple[Group, Tensor]]:
        """Log-probabilities [B, count, size] of each group, forbidden choices near -1e9."""
        if not self.groups:
            return []
        logits = parameters[:, self.continuous :]
        allowed = self._allowed(mask)
        if allowed is not None:
            logits = torch.where(allowed, logits, FORBIDDEN)
        return [
            (g, _log_softmax(logits[:, g.logits].reshape(-1, g.count, g.size))) for g in self.groups
        ]

    def _allowed(self, mask: Tensor | None) -> Tensor | None:
        """Which logits may be chosen, bool [B, choices]; None if all of them may."""
        if mask is None or not self.masked:
            return None
        allowed = mask.bool()[:, self._mask_index] | self._always
        for passing, others in self._decisive:
            allowed[:, passing] &= ~allowed[:, others].any(1)
        return allowed


def _log_softmax(logits: Tensor) -> Tensor:
    """Over the last axis of [B, count, size].

    torch goes along the last axis of memory row by row, which for a few choices takes five times as
    long as going through all rows at once, choice by choice: so few choices are laid out that way,
    and what is computed from the result keeps that layout.
    """
    if logits.shape[-1] > FEW_CHOICES:
        return logits.log_softmax(-1)
    return logits.permute(2, 0, 1).contiguous().log_softmax(0).permute(1, 2, 0)

"""Dropped frames: what a recurrent cell makes of time that does not pass evenly.

A point goes around a circle at a speed of its own, seen with a little noise at a tenth of a second,
but for the frames that were dropped; where it will be a while after each frame is asked. The speed
is what changed over the time that passed, so that whoever is not told the time has to guess it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from metabonk.models.cfc import CfC

Kind = Literal["cfc", "gru", "gru told the time"]
KINDS: tuple[Kind, ...] = ("cfc", "gru", "gru told the time")
FRAMES, TICK, AHEAD = 16, 0.1, 0.3  # of a sequence; seconds between frames, and into the future
FASTEST, NOISE = 3.0, 0.02  # radians a second; deviation of what is seen
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # of the frames that are dropped
FIRST = 4  # frames before which nobody can know the speed


def draw(num: int, dropped: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences: what is seen [T, num, 2], seconds since the frame before [T, num, 1] and where the
    point will be [T, num, 2]. dropped [num]: the share of the frames that are."""
    uniform = torch.rand(FRAMES, num, generator=generator)
    odds = torch.log(dropped.clamp(min=1e-9))
    missing = torch.where(dropped > 0.0, torch.floor(torch.log(uniform) / odds), 0.0)
    passed = TICK * (1.0 + missing.clamp(max=8.0))
    speed = (2.0 * torch.rand(num, generator=generator) - 1.0) * FASTEST
    begins = 2.0 * torch.pi * torch.rand(num, generator=generator)
    angle = begins + speed * passed.cumsum(0)
    seen = _circle(angle) + NOISE * torch.randn(FRAMES, num, 2, generator=generator)
    return seen, passed[..., None], _circle(angle + speed * AHEAD)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


class Follower(nn.Module):
    """A recurrent cell of `hidden` units and a readout."""

    def __init__(self, kind: Kind, hidden: int) -> None:
        super().__init__()
        self.kind: Kind = kind
        self.cell: nn.Module
        if kind == "cfc":
            self.cell = CfC(2, hidden, batch_first=False, backbone_units=hidden)
        else:
            self.cell = nn.GRU(3 if kind == "gru told the time" else 2, hidden)
        self.readout = nn.Linear(hidden, 2)

    def forward(self, seen: Tensor, passed: Tensor) -> Tensor:
        """Where the point will be [T, B, 2]."""
        if self.kind == "cfc":
            out, _ = self.cell(seen, timespans=passed[..., 0] / TICK)
        elif self.kind == "gru":
            out, _ = self.cell(seen)
        else:
            out, _ = self.cell(torch.cat([seen, passed / TICK], -1))
        return seen + cast(Tensor, self.readout(out))


def errors(
    kind: Kind, *, updates: int, hidden: int, seed: int = 0, shares: Sequence[float] = SHARES
) -> dict[str, float]:
    """Mean squared error by share of dropped frames, as `0.3`, after learning from all shares; and
    that of a point that stays where it was seen, as `still 0.3`. parameters: of the network."""
    torch.manual_seed(seed)
    model = Follower(kind, hidden)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        dropped = torch.rand(64, generator=generator) * max(shares)
        seen, passed, truth = draw(64, dropped, generator)
        loss = (model(seen, passed) - truth)[FIRST:].square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = {"parameters": float(sum(p.numel() for p in model.parameters()))}
    with torch.no_grad():
        for share in shares:
            fresh = torch.Generator().manual_seed(10_000 + seed)
            seen, passed, truth = draw(2048, torch.full((2048,), share), fresh)
            error = (model(seen, passed) - truth)[FIRST:].square().mean()
            found[f"{share:g}"] = float(error)
            found[f"still {share:g}"] = float((seen - truth)[FIRST:].square().mean())
    return found

"""Mamba: a recurrent layer that chooses what it remembers (Gu & Dao 2023).

    u, z    = W_in s                          two branches of `inner` channels
    u       = silu(conv(u))                   each channel over its own last `taps` steps
    r, B, C = W_x u                           the selection: what follows from the input
    delta   = softplus(W_dt r + b) dt         how far every channel moves, after the true time dt
    y       = scan(u, delta, A, B, C) + D u   metabonk.ops.selective_scan, A = -exp(A_log)
    out     = W_out (y silu(z))

Knows torch and the operation; does not know observations, actions or where the time step comes
from. Names and shapes of the parameters are those of the authors' `Mamba` and of transformers'
`MambaMixer`, so that weights can be exchanged. What these keep in two caches is one tensor here,
[B, state_size]: the last taps - 1 inputs of the convolution, the oldest first, then the state
[inner, states] of the scan. Its size does not depend on how many steps there were.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from metabonk.ops.selective_scan import selective_scan

SLOWEST, FASTEST = 1e-3, 0.1  # step sizes that channels begin with lie between these


class Mixer(nn.Module):
    """One Mamba layer of `width` inputs and outputs.

    states: N, numbers per channel. taps: steps that the convolution sees. expand: channels per
    input. selective: False makes delta, B and C constants that are learned, as in the state spaces
    before Mamba: what is remembered then does not depend on what is seen. `forward` is one step,
    `sequence` T of them; both forget the past where told.
    """

    def __init__(
        self,
        width: int,
        *,
        states: int = 16,
        taps: int = 4,
        expand: int = 2,
        selective: bool = True,
    ) -> None:
        super().__init__()
        _expect_counts(width=width, states=states, taps=taps, expand=expand)
        inner, rank = expand * width, math.ceil(width / 16)
        self.inner, self.states, self.taps, self.rank = inner, states, taps, rank
        self.selective = selective
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, taps, groups=inner)
        self.dt_proj = nn.Linear(rank, inner)
        chosen = rank + 2 * states
        if selective:
            self.x_proj = nn.Linear(inner, chosen, bias=False)
        else:
            self.constants = nn.Parameter(torch.randn(chosen))
        counted = torch.arange(1, states + 1, dtype=torch.float32).repeat(inner, 1)
        self.A_log = nn.Parameter(counted.log())
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self._begin_with_step_sizes()

    @property
    def state_size(self) -> int:
        """Width of the state, a row per environment."""
        return self.inner * (self.taps - 1 + self.states)

    def _begin_with_step_sizes(self) -> None:
        """Channels that remember for long beside such that forget soon (section 3.6 there)."""
        spread = math.log(FASTEST) - math.log(SLOWEST)
        sizes = (torch.rand(self.inner) * spread + math.log(SLOWEST)).exp()
        with torch.no_grad():
            self.dt_proj.bias.copy_(sizes + (-(-sizes).expm1()).log())  # softplus gives them back
            nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)

    def initial_state(self, batch: int) -> Tensor:
        """The state before the first step: zeros [batch, state_size]."""
        return self.D.new_zeros(batch, self.state_size)

    def forward(
        self, x: Tensor, state: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step: x [B, width], state [B, state_size], dt [B, 1] the time since the step before
        in units in which usual steps are about 1 (None for 1), keep [B, 1] (0 forgets the past)
        -> [B, width] and the next state."""
        out, state = self.sequence(
            x[None], state, None if dt is None else dt[None], None if keep is None else keep[None]
        )
        return out[0], state

    def sequence(
        self, x: Tensor, state: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scans: x [T, B, width], state [B, state_size], dt and keep [T, B, 1] -> [T, B, width]
        and the state after the last step. The same numbers as T calls of `forward`. Raises
        ValueError for a state of another shape."""
        batch, inner = x.shape[1], self.inner
        _expect_state(state, batch, self.state_size)
        window, h = torch.split(state, [inner * (self.taps - 1), inner * self.states], 1)
        u, z = torch.split(_rows(self.in_proj, x), [inner, inner], -1)
        u, window = self._convolve(u, window.reshape(batch, self.taps - 1, inner), keep)
        u = nn.functional.silu(u)
        delta, b, c = self._select(u)
        if dt is not None:
            delta = delta * dt
        a = -torch.exp(self.A_log)
        y, h = selective_scan(u, delta, a, b, c, h.reshape(batch, inner, self.states), keep)
        out = _rows(self.out_proj, (y + self.D * u) * nn.functional.silu(z))
        return out, torch.cat([window.flatten(1), h.flatten(1)], 1)

    def _select(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of u [T, B, inner]: delta [T, B, inner], b and c [T, B, states]."""
        if self.selective:
            chosen = _rows(self.x_proj, u)
        else:
            chosen = self.constants.expand(*u.shape[:2], -1)
        r, b, c = torch.split(chosen, [self.rank, self.states, self.states], -1)
        return nn.functional.softplus(_rows(self.dt_proj, r)), b, c

    def _convolve(self, u: Tensor, window: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
        """Each channel of u [T, B, inner] over its last taps, those before u from window
        [B, taps - 1, inner], and the window behind u. Nothing reaches over a step that forgets."""
        steps, taps = len(u), self.taps
        weight = self.conv1d.weight[:, 0]  # [inner, taps], the oldest first
        seen = torch.cat([window.transpose(0, 1), u])  # u[t] is seen[taps - 1 + t]
        out = u * weight[:, taps - 1] + cast(Tensor, self.conv1d.bias)
        left: list[Tensor] = [seen[-1]] if taps > 1 else []
        alive: Tensor | None = None  # [T, B, 1]: 0 where a step since then has forgotten
        for lag in range(1, taps):
            if keep is not None:
                alive = keep if alive is None else alive * _later(keep, lag - 1)
            past = seen[taps - 1 - lag : taps - 1 - lag + steps]
            out = out + (past if alive is None else past * alive) * weight[:, taps - 1 - lag]
            if lag < taps - 1:
                last = seen[len(seen) - 1 - lag]
                left.append(last if alive is None else last * alive[-1])
        return out, torch.stack(left[::-1], 1) if left else window


class Norm(nn.Module):
    """x / sqrt(mean(x^2) + eps) times a weight, over the last axis (Zhang & Sennrich 2019)."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Mamba(nn.Module):
    """`layers` of x + mixer(norm(x)), and a norm behind them; the arguments are Mixer's.

    state [B, state_size]: the mixers', side by side.
    """

    def __init__(
        self,
        width: int,
        layers: int = 1,
        *,
        states: int = 16,
        taps: int = 4,
        expand: int = 2,
        selective: bool = True,
    ) -> None:
        super().__init__()
        _expect_counts(layers=layers)
        self.mixers = nn.ModuleList(
            Mixer(width, states=states, taps=taps, expand=expand, selective=selective)
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(Norm(width) for _ in range(layers))
        self.norm = Norm(width)
        self._widths = [mixer.state_size for mixer in self.mixers if isinstance(mixer, Mixer)]
        self.state_size = sum(self._widths)

    def initial_state(self, batch: int) -> Tensor:
        """The state before the first step: zeros [batch, state_size]."""
        return self.norm.weight.new_zeros(batch, self.state_size)

    def forward(
        self, x: Tensor, state: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step: shapes as of Mixer.forward."""
        out, state = self.sequence(
            x[None], state, None if dt is None else dt[None], None if keep is None else keep[None]
        )
        return out[0], state

    def sequence(
        self, x: Tensor, state: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """T steps: shapes as of Mixer.sequence."""
        _expect_state(state, x.shape[1], self.state_size)
        after: list[Tensor] = []
        parts = torch.split(state, self._widths, 1)
        for mixer, norm, part in zip(self.mixers, self.norms, parts, strict=True):
            assert isinstance(mixer, Mixer)
            out, part = mixer.sequence(norm(x), part, dt, keep)
            x = x + out
            after.append(part)
        return self.norm(x), torch.cat(after, 1)


def _expect_counts(**given: int) -> None:
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name}: {value}; wanted 1 or more")


def _expect_state(state: Tensor, batch: int, width: int) -> None:
    if state.shape != (batch, width):
        raise ValueError(
            f"state: {list(state.shape)}; wanted [{batch}, {width}], a row of state_size numbers "
            "for each of x's; see initial_state()"
        )


def _rows(layer: nn.Module, x: Tensor) -> Tensor:
    """layer of x [T, B, C] as one matrix of T B rows: what a compiled policy knows as product."""
    out: Tensor = layer(x.flatten(0, 1))
    return out.view(*x.shape[:2], -1)


def _later(keep: Tensor, steps: int) -> Tensor:
    """keep [T, B, 1] as it was `steps` before, 1 before the first: what the state holds is what
    was kept till then."""
    if not steps:
        return keep
    ones = torch.ones_like(keep[:1]).expand(steps, -1, -1)
    return torch.cat([ones, keep])[: len(keep)]

"""Denoisers of action points: an EDM teacher, and a consistency student that needs one step.

Knows points [.., width], noise levels and what an observation was read as; does not know layouts,
losses, replay or games. Teacher and student are one network with one difference, `boundary`:

    D(x, sigma) = c_skip x + c_out F(c_in x, ln(sigma) / 4, context)
    c_skip = sd^2 / ((sigma - boundary)^2 + sd^2)
    c_out = sd (sigma - boundary) / sqrt(sigma^2 + sd^2)
    c_in = 1 / sqrt(sigma^2 + sd^2)

with sd the deviation of the data. At boundary 0 these are EDM's (Karras et al. 2022, table 1); at
boundary = SIGMA_MIN they are those of a consistency model (Song et al. 2023, appendix C), for which
D(x, SIGMA_MIN) = x whatever F says. The context is a function of the observation in which the
action is chosen and of nothing else: what came after it has no way in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from metabonk.models.layers import Dense
from metabonk.models.points import SIGMA_DATA

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0
FREQUENCIES = 6  # of the noise level's Fourier features


def karras_sigmas(steps: int) -> Tensor:
    """`steps` noise levels [steps] from SIGMA_MAX down to SIGMA_MIN (Karras et al. 2022, eq. 5).

    Raises ValueError for fewer than 2."""
    if steps < 2:
        raise ValueError(f"steps: {steps} noise levels; give at least 2, both ends count")
    share = torch.arange(steps, dtype=torch.float64) / (steps - 1)
    most, least = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    sigmas: Tensor = ((most + share * (least - most)) ** RHO).float()
    sigmas[0], sigmas[-1] = SIGMA_MAX, SIGMA_MIN  # powers round, and the boundary must be exact
    return sigmas


class Denoiser(nn.Module):
    """What a noisy action point was before the noise, in the light of an observation.

    parts: widths of the observation's parts. points: width of an action point. layers: residual
    layers of `hidden` units. boundary: noise level at which the output is the input; 0 for EDM.
    """

    def __init__(
        self, parts: Sequence[int], points: int, hidden: int, layers: int, boundary: float
    ) -> None:
        super().__init__()
        self.boundary = boundary
        self.points = points
        self.read = Dense(parts, hidden)
        self.understand = nn.Linear(hidden, hidden)
        self.point = nn.Linear(points, hidden)
        self.level = nn.Linear(1 + 2 * FREQUENCIES, hidden, bias=False)
        self.layers = nn.ModuleList(_Residual(hidden) for _ in range(layers))
        self.out = nn.Linear(hidden, points)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def context(self, parts: Sequence[Tensor]) -> Tensor:
        """What the network keeps of an observation's parts [B, width] -> [B, hidden]; of use for
        any number of points."""
        read: Tensor = self.read(*parts)
        return read + torch.nn.functional.silu(self.understand(read))

    def forward(self, noisy: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        """noisy [..., points], sigma [..., 1] and context [..., hidden], broadcast together."""
        least, data = self.boundary, SIGMA_DATA**2
        above = sigma - least
        root = torch.rsqrt(sigma.square() + data)
        skip, gain = data / (above.square() + data), SIGMA_DATA * above * root
        hidden = self.point(root * noisy) + self.level(_fourier(sigma.log() / 4.0)) + context
        for layer in self.layers:
            hidden = layer(hidden)
        out: Tensor = self.out(torch.nn.functional.silu(hidden))
        return skip * noisy + gain * out


class _Residual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.nn.functional.silu(self.first(self.norm(x)))
        out: Tensor = x + self.second(inner)
        return out


def _fourier(level: Tensor) -> Tensor:
    """[..., 1], within about -1.6..1.1 -> [..., 1 + 2 * FREQUENCIES]."""
    angle = level * 2.0 ** torch.arange(FREQUENCIES, dtype=level.dtype)
    return torch.cat([level, angle.sin(), angle.cos()], -1)


Denoise = Callable[[Tensor, Tensor], Tensor]


def heun_step(denoise: Denoise, noisy: Tensor, sigma: Tensor, lower: Tensor) -> Tensor:
    """One step of the probability-flow ODE from `sigma` to `lower` > 0 (Karras et al. 2022,
    algorithm 1, deterministic); both [..., 1]."""
    slope = (noisy - denoise(noisy, sigma)) / sigma
    euler = noisy + (lower - sigma) * slope
    after = (euler - denoise(euler, lower)) / lower
    return noisy + (lower - sigma) * 0.5 * (slope + after)


def heun(denoise: Denoise, noise: Tensor, steps: int) -> Tensor:
    """Samples by the ODE from standard normal noise [..., points]: `steps` steps, 2 steps - 1 calls
    of `denoise`, the last of them straight to no noise at all."""
    sigmas = karras_sigmas(steps)[:, None]
    x = noise * SIGMA_MAX
    for sigma, lower in itertools.pairwise(sigmas):
        x = heun_step(denoise, x, sigma, lower)
    return denoise(x, sigmas[-1])


def one_step(denoise: Denoise, noise: Tensor) -> Tensor:
    """Samples of a consistency model from standard normal noise [..., points]: one call."""
    return denoise(noise * SIGMA_MAX, torch.full((1,), SIGMA_MAX))

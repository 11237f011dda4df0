"""Nearest codes as plain torch has them: all distances, then the least. Knows the cases' inputs."""

from __future__ import annotations

import torch
from metabonk.kernels.cases import Case, Inputs
from torch import Tensor

from .plain import Plain


def codes(case: Case, given: Inputs) -> Plain:
    """cdist, argmin and the codes themselves."""
    return Plain({name: given[name] for name in ("x", "codebook")}, _codes)


def _codes(x: Tensor, codebook: Tensor) -> tuple[Tensor, ...]:
    index = torch.cdist(x, codebook).argmin(-1)
    return codebook[index], index

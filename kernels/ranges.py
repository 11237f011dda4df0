"""Named ranges (NVTX) round ops and ticks, for profilers. Nothing but a test of a flag when off.

Knows torch's NVTX calls. `scripts/gpu_profile` turns ranges on; so does whoever profiles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_on = False


def enable(on: bool = True) -> None:
    """From now on ranges are pushed, or not. Needs a torch that was built with CUDA to be seen."""
    global _on
    _on = on


def enabled() -> bool:
    return _on


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """What runs inside carries this name in a profile."""
    if not _on:
        yield
        return
    torch.cuda.nvtx.range_push(name)
    try:
        yield
    finally:
        torch.cuda.nvtx.range_pop()

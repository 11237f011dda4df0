"""A Triton function with what it takes to compile it without a GPU and to launch it with one.

Knows Triton, torch's devices and tiles; no family of kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..architectures import architecture_for
from ..tiles import Tile, choose
from . import interpreting

if interpreting():
    from ..interpreter import repair

    repair()


@dataclass(frozen=True)
class Kernel:
    """name: in configs. function: under `triton.jit`. types: of the arguments that are no
    constants, in order, as `triton.compile` writes them; "i32:16" where launches pass multiples of
    16. options: of the compiler, besides the tile's."""

    name: str
    function: Any
    types: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(
        self, grid: tuple[int, ...], tile: Tile, *arguments: Any, **constants: Any
    ) -> None:
        """Enqueues it on torch's current stream of the device of the first tensor."""
        device = next(a.device for a in arguments if isinstance(a, Tensor))
        with _on(device):
            self.function[grid](
                *arguments, **tile.constants, **constants, **tile.options, **self.options
            )


def tile_for(kernel: Kernel, device: torch.device, **sizes: Any) -> Tile:
    """The checked-in tile for work of these sizes on a device; the interpreter takes those of
    sm_100, which has tiles for every kernel."""
    if device.type == "cuda":
        return choose(
            kernel.name, architecture_for(torch.cuda.get_device_capability(device)), **sizes
        )
    return choose(kernel.name, "sm_100", **sizes)


def multiprocessors(device: torch.device) -> int:
    """How many blocks a device runs at least at a time; the interpreter counts as two."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).multi_processor_count
    return 2


def blocks(count: int, size: int) -> int:
    """How many blocks of `size` hold `count`."""
    return -(-count // size)


def power_above(count: int, least: int = 16) -> int:
    """The power of two that holds `count`, and `least`, which is what a product needs."""
    return max(least, 1 << (count - 1).bit_length())


def _on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda":
        return torch.cuda.device(device)
    return contextlib.nullcontext()

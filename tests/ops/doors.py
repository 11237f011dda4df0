"""What a door to native code is, for the tests that every one of them refuses what it cannot read:
a way in, what goes through it, and which native entries it reaches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Arrays = dict[str, Any]
SENTINEL = 7


@dataclass(frozen=True)
class Door:
    """reaches: native entries. arrays: good ones by the name that errors give them. call: with all
    of them. outputs: those that are written. follow: what others are held against, so that the
    first of those may be named when one of these is at fault."""

    reaches: tuple[str, ...]
    arrays: Callable[[], Arrays]
    call: Callable[[Arrays], Any]
    outputs: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def flags(*shape: int) -> Tensor:
    return numbers(*shape) > 0.8


def out(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full(shape, SENTINEL, dtype=dtype)

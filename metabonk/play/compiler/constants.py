"""A tensor that a network holds while it is traced, and how to get what it holds later.

By name, from the network itself: an optimiser may have moved a parameter to other memory
(`parameter.data = ...`), a state dict may have been assigned, and whoever kept the tensor would
follow memory that nobody trains any more. Knows modules and their names; no graphs and no programs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from metabonk.errors import CompileError


@dataclass(frozen=True)
class Constant:
    """value: as it was traced. now: as it is, of the same dtype and shape."""

    value: Tensor
    now: Callable[[], Tensor]


def fixed(value: Tensor) -> Constant:
    """One that belongs to no module: it never changes."""
    return Constant(value, lambda: value)


def held(module: nn.Module, name: str) -> Constant:
    """The parameter or buffer of that name, as `named_parameters` writes it.

    Its `now` raises CompileError where the name is gone or stands for another dtype or shape.
    """
    value = _named(module, name)

    def now() -> Tensor:
        found = _named(module, name)
        if found.dtype != value.dtype or found.shape != value.shape:
            raise CompileError(
                f"refresh: {name} is {found.dtype} {list(found.shape)} now; it was compiled as "
                f"{value.dtype} {list(value.shape)}: compile the network anew"
            )
        return found

    return Constant(value, now)


def _named(module: nn.Module, name: str) -> Tensor:
    path, _, last = name.rpartition(".")
    try:
        found = getattr(module.get_submodule(path), last)
    except AttributeError:
        found = None
    if not isinstance(found, Tensor):
        raise CompileError(f"refresh: the network has no {name} any more: compile it anew")
    return found.detach()

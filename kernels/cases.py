"""Every kernel on work of a real size: inputs, the launch, a reference in float64, and its cost.

Tests run the small ones in Triton's interpreter, `scripts/gpu_check` all of them on a device. Knows
the families of kernels; a family is imported when its cases are asked for, because that needs
Triton. The references are written here in plain torch, apart from `metabonk.ops`, which kernels do
not know; tests hold both against each other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .cost import Cost

FAMILIES = ("vq", "linear", "quantize", "cfc", "rssm", "imagine", "sample", "returns")
Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One kernel on one size of work.

    op: of `metabonk.ops` that it serves or will; name: kernel and size. make(device, seed): the
    inputs. run(inputs): the results on that device; all that a graph would replay.
    reference(inputs): the same results in float64 on the processor. Right is what differs from it
    by no more than `tolerance`, norm of the error over norm of the reference, or what `judge` says:
    of indices, where the reference's own rounding could have decided otherwise. cost: bytes and
    operations at least. small: a size for the interpreter and for compute-sanitizer, not for
    timing. facts: what inputs alone do not say, for whoever does the same work in another way:
    formats, classes. waits: the work waits for the device itself, so that no graph can hold it and
    the clock of the host times it.
    """

    op: str
    name: str
    make: Callable[[torch.device | str, int], Inputs]
    run: Callable[[Inputs], tuple[Tensor, ...]]
    reference: Callable[[Inputs], tuple[Tensor, ...]]
    cost: Cost
    tolerance: float
    small: bool = False
    minimum: int = 80  # capability that the kernel needs
    judge: Callable[[Inputs, Sequence[Tensor], Sequence[Tensor]], float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    waits: bool = False

    def error(self, inputs: Inputs, found: Sequence[Tensor]) -> float:
        """The largest of all results, in units of the tolerance: up to 1 is right. NaN and results
        of another shape are infinitely wrong."""
        wanted = self.reference(inputs)
        if self.judge is not None:
            return self.judge(inputs, found, wanted)
        return max(self._distance(f, w) for f, w in zip(found, wanted, strict=True))

    def _distance(self, found: Tensor, wanted: Tensor) -> float:
        if found.shape != wanted.shape:
            return float("inf")
        if not wanted.numel():
            return 0.0
        difference = found.detach().cpu().double() - wanted.double()
        size = float(wanted.double().norm()) or 1.0
        ratio = float(difference.norm()) / size / self.tolerance
        return ratio if ratio == ratio else float("inf")


def cases(families: Sequence[str] = FAMILIES) -> list[Case]:
    """Of these families of kernels, or of all. Needs Triton."""
    found: list[Case] = []
    for family in families:
        found += importlib.import_module(f".work.{family}", __package__).cases()
    return found


def generator(seed: int) -> torch.Generator:
    """Of numbers on the processor: inputs are the same on every device."""
    return torch.Generator().manual_seed(seed)

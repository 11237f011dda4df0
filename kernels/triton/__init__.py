"""Kernels in Triton, one file per family, and the launches that ops call.

Importing this package needs no Triton; importing a family does. Knows no op. A launch takes tensors
that somebody has checked: contiguous, on one device, of the dtypes and shapes in its docstring; it
chooses a tile, allocates what it returns and enqueues on torch's current stream. With
TRITON_INTERPRET=1, set before the first import of Triton, launches take tensors in main memory and
run in Triton's interpreter, whose faults `metabonk.kernels.interpreter` repairs.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from typing import Any

FAMILIES = ("cfc", "linear", "quantize", "returns", "rssm", "sample", "vq")  # that hold kernels


def problem() -> str:
    """Why Triton cannot be imported, or ""."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    return ""


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on tensors in main memory. Imports Triton, which
    takes a while, only where somebody else has or the environment asks for the interpreter."""
    asked = "triton" in sys.modules or os.environ.get("TRITON_INTERPRET")
    if not asked or problem():
        return False
    return bool(importlib.import_module("triton").knobs.runtime.interpret)


def kernels() -> Mapping[str, Any]:
    """All kernels (kernel.py) by the names that configs use. Needs Triton."""
    found: dict[str, Any] = {}
    for family in FAMILIES:
        module = importlib.import_module(f".{family}", __package__)
        found |= module.KERNELS
    return found

"""Which device kernels are here, and why they cannot take some tensors.

Knows whether Triton and a GPU are there, and tensors' devices; no op and no kernel. Kernels are
imported when the first op runs on a device, so that this costs nothing where there is none. With
TRITON_INTERPRET=1 Triton's kernels run on tensors in main memory too, for tests: only where the
backend "triton" is asked for by name.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metabonk.kernels import triton as kernels
from metabonk.ops.fallbacks import Reason

LEAST = (8, 0)  # compute capability that Triton's kernels are built for


@functools.cache
def problem() -> str:
    """Why the backend "triton" is not here, or ""."""
    if reason := kernels.problem():
        return str(reason)
    if torch.cuda.is_available() or kernels.interpreting():
        return ""
    return "no GPU that torch can use"


def backends() -> tuple[str, ...]:
    """("triton",) where it can run, else ()."""
    return () if problem() else ("triton",)


def refusal(
    tensors: Mapping[str, Tensor | None],
    asked: str,
    dtype: torch.dtype = torch.float32,
    least: tuple[int, int] = LEAST,
) -> str:
    """Why Triton's kernels cannot take these as they lie, or "": they must be contiguous, of
    `dtype` and on a GPU of capability `least` or newer. asked: the backend that was asked for.
    Names the argument, what it is and what is wanted."""
    if reason := problem():
        return reason
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.device.type != "cuda" and not _interpreted(tensor, asked):
            where = f"{name} on {tensor.device}"
            return Reason(f"{where}, wanted a GPU", where, placed=True)
        if tensor.is_cuda and (found := _capability(tensor.device)) < least:
            have, want = (".".join(map(str, version)) for version in (found, least))
            return f"{name} on a device of capability {have}, wanted {want} or newer"
        if tensor.dtype != dtype:
            what = f"{name} of {tensor.dtype}"
            return Reason(f"{what}, wanted {dtype}", what)
        if not tensor.is_contiguous():
            how = f"{name} with strides {tensor.stride()}, wanted a contiguous one"
            return Reason(how, f"{name} is strided")
    return ""


def family(name: str) -> Any:
    """The launches of a family of Triton kernels (`metabonk.kernels.triton`)."""
    return importlib.import_module(f"metabonk.kernels.triton.{name}")


def capturing(tensor: Tensor) -> bool:
    """Whether work on this tensor is being recorded into a graph, where nothing can be asked."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def _interpreted(tensor: Tensor, asked: str) -> bool:
    return asked == "triton" and tensor.is_cpu and bool(kernels.interpreting())


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)

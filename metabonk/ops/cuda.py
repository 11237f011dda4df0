"""Whether the CUDA kernels (metabonk._cuda) can run here, and why they cannot take some tensors.

Knows the module, its driver's word and tensors' devices; no op. The backend "cuda" rounds to bf16
where ops say so and is taken only where it is asked for by name: no kernel is chosen for a user
that has not been measured on that user's kind of device (bench/pending.json).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

_MODULE = "metabonk._cuda"


@functools.cache
def problem() -> str:
    """Why the backend "cuda" is not here, or ""."""
    try:
        native = importlib.import_module(_MODULE)
    except ModuleNotFoundError as error:
        if error.name != _MODULE:
            raise
        return "metabonk._cuda is not built; METABONK_CUDA=ON needs nvcc"
    if reason := str(native.why_not()):
        return reason
    return "" if torch.cuda.is_available() else "torch finds no GPU"


def backends() -> tuple[str, ...]:
    """("cuda",) where it can run, else ()."""
    return () if problem() else ("cuda",)


def refusal(
    tensors: Mapping[str, Tensor | None], asked: str, dtype: torch.dtype = torch.float32
) -> str:
    """Why CUDA kernels cannot take these as they lie, or "": they must be asked for by name,
    contiguous, on one GPU that has code, aligned to 16 bytes and of `dtype`."""
    if asked != "cuda":
        return "what it is not asked for by name"
    if reason := problem():
        return reason
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.device.type != "cuda":
            return f"{name} on {tensor.device}, wanted a GPU"
        if not _runs(tensor.device):
            return f"{name} on {tensor.device}, for which the module has no code"
        if tensor.dtype != dtype:
            return f"{name} of {tensor.dtype}, wanted {dtype}"
        if not tensor.is_contiguous():
            return f"{name} with strides {tensor.stride()}, wanted a contiguous one"
        if tensor.data_ptr() % 16:
            return f"{name} at an address that is not a multiple of 16 bytes"
    return ""


def module() -> Any:
    """metabonk._cuda. Ask `problem` first."""
    return importlib.import_module(_MODULE)


@contextlib.contextmanager
def launching(tensor: Tensor) -> Iterator[int]:
    """The tensor's device is the current one inside; yields torch's stream there, as kernels take
    it. For a tensor in main memory, which only a module that tests play can take, 0."""
    if not tensor.is_cuda:
        yield 0
        return
    with torch.cuda.device(tensor.device):
        yield int(torch.cuda.current_stream(tensor.device).cuda_stream)


def address(tensor: Tensor | None) -> int:
    """As kernels take it; 0 for None and for what has no elements."""
    return 0 if tensor is None or not tensor.numel() else tensor.data_ptr()


@functools.cache
def _runs(device: torch.device) -> bool:
    return bool(module().has_code_for(*torch.cuda.get_device_capability(device)))

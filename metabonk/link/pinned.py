"""Memory of a ring that a device has been told about, so that it reads there by itself.

Knows addresses and CUDA's host registration through torch; no frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metabonk import extras
from metabonk.errors import LinkError

Register = Callable[[int, int], None]  # address, bytes
Unregister = Callable[[int], None]


class Pinned:
    """A ring's pixels as long as a device knows them: frames keep it, so that it outlives them."""

    def __init__(
        self,
        region: Any,
        session: int,
        register: Register,
        unregister: Unregister,
    ) -> None:
        register(region.address, region.bytes)
        self._region, self._unregister, self.session = region, unregister, session

    def __del__(self) -> None:
        if hasattr(self, "_region"):
            self._unregister(self._region.address)


def cuda_host_registration() -> tuple[Register, Unregister]:
    """cudaHostRegister and cudaHostUnregister through torch. Raises LinkError without CUDA."""
    try:
        import torch
    except ImportError:
        raise LinkError(f"pin_memory: needs torch: {extras.install('train')}") from None
    if not torch.cuda.is_available():
        raise LinkError("pin_memory: torch sees no CUDA device here")
    cuda: Any = torch.cuda
    runtime = cuda.cudart()

    def register(address: int, size: int) -> None:
        _cuda(runtime.cudaHostRegister(address, size, 0), "cudaHostRegister")

    def unregister(address: int) -> None:
        _cuda(runtime.cudaHostUnregister(address), "cudaHostUnregister")

    return register, unregister


def _cuda(result: Any, call: str) -> None:
    if int(result) != 0:
        raise LinkError(f"pin_memory: {call} failed with {result}")

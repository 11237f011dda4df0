"""Arrays of other libraries that lie on a CUDA device, taken as they are.

Knows `__cuda_array_interface__` (version 3) and DLPack by their definitions, and torch; never
copies. What a kernel cannot take as it lies is refused with the argument's name, what it is and
what is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    "|u1": torch.uint8,
    "|i1": torch.int8,
    "|b1": torch.bool,
    "<i2": torch.int16,
    "<i4": torch.int32,
    "<i8": torch.int64,
    "<f2": torch.float16,
    "<f4": torch.float32,
    "<f8": torch.float64,
}
_DLPACK_CUDA, _DLPACK_MANAGED = 2, 13


@dataclass(frozen=True)
class DeviceArray:
    """Contiguous memory on a device. pointer: its address; stream: whose work must be done before
    it is read, 0 for none; owner: kept, so that the memory stays."""

    pointer: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    stream: int
    owner: object

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def device_array(
    name: str,
    value: Any,
    shape: Sequence[int],
    dtype: torch.dtype,
    *,
    writeable: bool = False,
    alignment: int = 16,
) -> DeviceArray:
    """`value` as a kernel takes it: torch tensors, and whatever has one of the two interfaces.

    shape: -1 is any length. writeable: whether the kernel writes to it. alignment: of the address,
    in bytes. Raises ValueError that names the argument; TypeError for what is no array on a device.
    """
    if isinstance(value, Tensor):
        found = _of_tensor(name, value)
    elif hasattr(value, "__cuda_array_interface__"):
        found = _of_interface(name, value, writeable)
    elif hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        found = _of_dlpack(name, value)
    else:
        raise TypeError(f"{name} is {type(value).__name__}; wanted an array on a CUDA device")
    _expect(name, found, shape, dtype, alignment)
    return found


def as_tensor(name: str, value: Any) -> Tensor:
    """A tensor over the same memory, on whose current stream work may follow: it waits for the
    stream that the array names. Raises as `device_array` for what is not on a device."""
    if isinstance(value, Tensor):
        _of_tensor(name, value)
        return value
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _from_dlpack(name, value)
    if hasattr(value, "__cuda_array_interface__"):
        found = _of_interface(name, value, writeable=False)
        tensor = torch.as_tensor(value, device="cuda")
        if tensor.numel() and tensor.data_ptr() != found.pointer:
            raise ValueError(
                f"{name} is on another device than {tensor.device}; wanted the current one "
                f"(torch.cuda.device), which it would have been copied to"
            )
        if found.stream:
            _follow(tensor.device, found.stream)
        return tensor
    raise TypeError(f"{name} is {type(value).__name__}; wanted an array on a CUDA device")


def _follow(device: torch.device, stream: int) -> None:
    """Lets the device's current stream wait for the work of another; `stream`: its handle."""
    other = torch.cuda.ExternalStream(stream, device)
    torch.cuda.current_stream(device).wait_stream(other)


def _expect(
    name: str, found: DeviceArray, shape: Sequence[int], dtype: torch.dtype, alignment: int
) -> None:
    fits = len(found.shape) == len(shape) and all(
        want in (-1, got) for got, want in zip(found.shape, shape, strict=True)
    )
    if not fits or found.dtype != dtype:
        wanted = ", ".join("any" if n == -1 else str(n) for n in shape)
        raise ValueError(f"{name} is {found.dtype} {list(found.shape)}; wanted {dtype} [{wanted}]")
    if found.pointer % alignment:
        raise ValueError(
            f"{name} is at an address of {found.pointer % alignment} modulo {alignment}; wanted "
            f"a multiple of {alignment}"
        )


def _of_tensor(name: str, tensor: Tensor) -> DeviceArray:
    if tensor.device.type != "cuda":
        raise ValueError(f"{name} is on {tensor.device}; wanted a CUDA device")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} has strides {tensor.stride()}; wanted a contiguous one")
    if tensor.requires_grad:
        raise ValueError(f"{name} requires a gradient, which kernels do not give; detach it")
    return DeviceArray(tensor.data_ptr(), tuple(tensor.shape), tensor.dtype, 0, tensor)


def _of_interface(name: str, value: Any, writeable: bool) -> DeviceArray:
    """numba's definition, version 3: shape, typestr, data, strides, mask, stream."""
    found = value.__cuda_array_interface__
    version = found.get("version", 0)
    if version < 2:
        raise ValueError(f"{name} has version {version} of the interface; wanted 2 or 3")
    shape, typestr = tuple(found["shape"]), found["typestr"]
    if typestr not in _TYPES:
        raise ValueError(f"{name} is of type {typestr!r}; wanted one of {', '.join(_TYPES)}")
    if found.get("mask") is not None:
        raise ValueError(f"{name} has a mask; wanted an array without")
    pointer, read_only = found["data"]
    if read_only and writeable:
        raise ValueError(f"{name} is read-only; wanted an array that can be written")
    dtype = _TYPES[typestr]
    strides = found.get("strides")
    if strides is not None and not _is_contiguous(shape, tuple(strides), dtype.itemsize):
        raise ValueError(f"{name} has strides {tuple(strides)} in bytes; wanted a contiguous one")
    stream = found.get("stream")
    if stream == 0:
        raise ValueError(
            f"{name} names stream 0, which the interface forbids; wanted 1 or a handle"
        )
    return DeviceArray(int(pointer or 0), shape, dtype, int(stream or 0), value)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    if 0 in shape:
        return True
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def _of_dlpack(name: str, value: Any) -> DeviceArray:
    found = _of_tensor(name, _from_dlpack(name, value))
    return DeviceArray(found.pointer, found.shape, found.dtype, found.stream, value)


def _from_dlpack(name: str, value: Any) -> Tensor:
    kind, _ = value.__dlpack_device__()
    if int(kind) not in (_DLPACK_CUDA, _DLPACK_MANAGED):
        raise ValueError(f"{name} is on a device of DLPack's type {int(kind)}; wanted 2, CUDA")
    tensor: Tensor = torch.from_dlpack(value)
    return tensor

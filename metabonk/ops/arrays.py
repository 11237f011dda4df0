"""Arrays of other libraries as the tensors that ops take, over the same memory: nothing is copied.

    x = tensor("x", cupy_array)              [.., n] on its device, of its dtype
    y = qlinear(x, weight)
    cupy.from_dlpack(y)                      and back, as nothing is copied there either

Taken are torch tensors as they are; on a CUDA device whatever has DLPack or, in version 2 or 3,
`__cuda_array_interface__` (CuPy, Numba, JAX), where torch's current stream waits for the work that
the array still expects; in main memory numpy arrays and whatever has DLPack. Ops only read what
they are given; an `out` is written where it lies. Which dtypes and strides an op takes is for the
op to say. Knows torch, numpy and the two interfaces; no op.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from metabonk.kernels.arrays import as_tensor

MAIN_MEMORY = 1  # DLPack's kDLCPU


def tensor(name: str, array: Any) -> Tensor:
    """`array` as a tensor over its memory, which it keeps alive. name: of the argument, for errors.

    Raises TypeError for what is no array, ValueError for one that torch cannot hold as it lies:
    read-only, of a dtype that torch has not, or with strides below zero.
    """
    if isinstance(array, Tensor):
        return array
    if isinstance(array, np.ndarray):
        return _of_numpy(name, array)
    if _in_main_memory(array):
        try:
            return from_dlpack(array)
        except (BufferError, TypeError, ValueError) as error:
            raise ValueError(f"{name} cannot be taken as it lies: {error}") from error
    if hasattr(array, "__dlpack__") or hasattr(array, "__cuda_array_interface__"):
        found: Tensor = as_tensor(name, array)
        return found
    raise TypeError(
        f"{name} is {type(array).__name__}; wanted a torch tensor, a numpy array, or an array with "
        "DLPack or __cuda_array_interface__"
    )


def _in_main_memory(array: Any) -> bool:
    if not hasattr(array, "__dlpack__") or not hasattr(array, "__dlpack_device__"):
        return False
    return int(array.__dlpack_device__()[0]) == MAIN_MEMORY


def _of_numpy(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, which no tensor can be; wanted {name}.copy()")
    if any(stride < 0 for stride in array.strides):
        raise ValueError(
            f"{name} has strides {array.strides} in bytes; wanted none below zero "
            f"(numpy.ascontiguousarray)"
        )
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise ValueError(f"{name} is of {array.dtype}, which torch has not: {error}") from error

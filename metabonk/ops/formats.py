"""Numbers in 16, 8 and 4 bits: float32 to codes and back, bit for bit as hardware converts.

    bf16   the upper half of a float32                                  codes uint16
    e4m3   s eeee mmm, bias 7, largest 448, no infinity, NaN 0x7F       codes uint8
    e2m1   s ee m, bias 1, largest 6, no infinity, no NaN               codes uint8, lower half
    e8m0   2^(code - 127), NaN 0xFF                                     codes uint8

(OCP 8-bit floating point 1.0 and microscaling formats 1.0.) Rounding is to nearest, ties to even;
e8m0 rounds down or up. What is too large, infinity included, becomes the largest number; bf16 has
an infinity and rounds to it. NaN becomes the one positive NaN; bf16 has many and keeps the sign,
e2m1 has none and takes +6.

Two doors, numpy arrays and torch tensors, over the same native code (csrc/nn/formats.h); what goes
in decides what comes out. Knows single numbers; not the scales that go with them (qweight.py).
Does not import torch.
"""

from __future__ import annotations

import sys
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from metabonk import _core

NumberFormat = Literal["bf16", "e4m3", "e2m1", "e8m0"]
Rounding = Literal["nearest", "down", "up"]

LARGEST = {"bf16": 3.3895313892515355e38, "e4m3": 448.0, "e2m1": 6.0, "e8m0": 2.0**127}
_INDEX = {"bf16": 0, "e4m3": 1, "e2m1": 2, "e8m0": 3}
T = TypeVar("T")  # numpy array or torch tensor


def encode(numbers: T, format: NumberFormat, rounding: Rounding | None = None) -> T:
    """float32 numbers of any shape -> their codes, of the same kind and shape.

    rounding: of e8m0 only, "down" or "up" (the default); others round to nearest. Takes C-ordered
    float32 in main memory. Raises ValueError for others, TypeError for what is no array or tensor.
    """
    index = _index(format)
    if format == "e8m0":
        if rounding not in (None, "down", "up"):
            raise ValueError(f"encode: rounding is {rounding!r}; e8m0 rounds 'down' or 'up'")
        index += rounding != "down"
    elif rounding not in (None, "nearest"):
        raise ValueError(f"encode: rounding is {rounding!r}; {format} rounds to 'nearest'")
    given = readable("encode", "numbers", numbers, np.dtype(np.float32))
    codes = np.empty(given.shape, code_type(format))
    _core.nn.encode_numbers(index, given.ctypes.data, given.size, codes.ctypes.data)
    return _like(numbers, codes)


def decode(codes: T, format: NumberFormat) -> T:
    """Codes of any shape -> float32, of the same kind and shape. Raises ValueError as `encode`."""
    index = _index(format)
    given = readable("decode", "codes", codes, code_type(format))
    numbers = np.empty(given.shape, np.float32)
    _core.nn.decode_numbers(index, given.ctypes.data, given.size, numbers.ctypes.data)
    return _like(codes, numbers)


def code_type(format: NumberFormat) -> np.dtype[Any]:
    """uint16 for bf16, uint8 for all others."""
    return np.dtype(np.uint16 if format == "bf16" else np.uint8)


def is_tensor(value: object) -> bool:
    """Whether this is a torch tensor; does not import torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def readable(op: str, name: str, value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The memory of an array or tensor as an array, never a copy.

    Raises ValueError that names the argument unless it is of `dtype`, C-ordered, aligned and in
    main memory, TypeError for what is neither.
    """
    array = value
    if is_tensor(value):
        if value.device.type != "cpu":
            raise ValueError(f"{op}: {name} is on {value.device}; wanted main memory")
        array = value.detach().numpy()
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{op}: {name} is {type(value).__name__}; wanted an array or a tensor")
    if array.dtype != dtype:
        raise ValueError(f"{op}: {name} is {array.dtype}; wanted {dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{op}: {name} has strides {array.strides}; wanted a contiguous one")
    if not array.flags.aligned:
        raise ValueError(f"{op}: {name} is not aligned to its {dtype}")
    return array


def _like(given: T, array: npt.NDArray[Any]) -> T:
    if is_tensor(given):
        return sys.modules["torch"].from_numpy(array)  # type: ignore[no-any-return]
    return array  # type: ignore[return-value]


def _index(format: str) -> int:
    if format not in _INDEX:
        raise ValueError(f"format is {format!r}; there are {', '.join(_INDEX)}")
    return _INDEX[format]

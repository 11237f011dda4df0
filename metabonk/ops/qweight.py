"""A matrix of weights in few bits: codes, scales, and what that costs.

    format  codes [outputs, ..]                scales                            bits per weight
    int8    int8 [inputs]                      float32 [outputs]                 8
    int4    uint8 [inputs / 2], -7..7          uint16 (bf16) [outputs, blocks]   4.5, blocks of 32
    bf16    uint16 [inputs]                    none                              16
    fp8     uint8 (e4m3) [inputs]              float32 [outputs]                 8
    nvfp4   uint8 (e2m1) [inputs / 2]          uint8 (e4m3) [outputs, blocks]    4.5, blocks of 16
                                               and one float32 for the matrix
    mxfp8   uint8 (e4m3) [inputs]              uint8 (e8m0) [outputs, blocks]    8.25, blocks of 32

weight = code x scale (nvfp4: code x (scale x the matrix's)). Two codes share a byte, the one of the
even input in the lower half. A scale maps the largest |weight| that it covers to the largest code
(127, 7, 448, 6); e8m0 takes the next power of two above. csrc/nn/weights.h is the definition.

`pack` brings codes and scales into the order in which kernels read them (csrc/nn/panels.h), for
`metabonk.ops.qlinear`; `unpack` brings them back, bit for bit. Knows numpy and the core; does not
import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from metabonk import _core
from metabonk.ops.formats import readable

WeightFormat = Literal["int8", "int4", "bf16", "fp8", "nvfp4", "mxfp8"]
FORMATS: tuple[WeightFormat, ...] = get_args(WeightFormat)  # in the core's order
Array = npt.NDArray[Any]

_CODES: Mapping[str, type] = {"int8": np.int8, "bf16": np.uint16}
_SCALES: Mapping[str, type] = {"int8": np.float32, "fp8": np.float32, "int4": np.uint16}
_LINE = 64  # bytes of a cache line, where panels begin


class Loss(NamedTuple):
    """What a format costs on one matrix.

    relative: root of the mean squared error over that of the weights; largest: |error|; bits: per
    weight, scales included.
    """

    relative: float
    largest: float
    bits: float


@dataclass(frozen=True)
class QuantizedWeight:
    """Codes and scales as in the module's table. Arrays are C-ordered.

    scales: without elements for bf16; tensor_scale: float32 [1] for nvfp4, else without elements.
    Raises ValueError for arrays that do not fit the format and each other.
    """

    format: WeightFormat
    inputs: int
    codes: Array
    scales: Array
    tensor_scale: Array

    def __post_init__(self) -> None:
        shapes = _shapes(self.format, len(self.codes), self.inputs)
        for name, (shape, dtype) in shapes.items():
            array = readable("QuantizedWeight", name, getattr(self, name), np.dtype(dtype))
            object.__setattr__(self, name, array)  # of a tensor the same memory
            if array.shape != shape:
                raise ValueError(
                    f"QuantizedWeight: {name} is {list(array.shape)}; wanted {list(shape)} for "
                    f"{self.format} of {len(self.codes)} x {self.inputs}"
                )

    @property
    def outputs(self) -> int:
        return len(self.codes)

    @property
    def bits(self) -> float:
        """Per weight, scales included."""
        arrays = self.codes, self.scales, self.tensor_scale
        return 8.0 * sum(a.nbytes for a in arrays) / (self.outputs * self.inputs)

    def dequantize(self) -> npt.NDArray[np.float32]:
        """[outputs, inputs]."""
        weight = np.empty((self.outputs, self.inputs), np.float32)
        _core.nn.dequantize_weights(*self._numbers(), *self._addresses(), weight.ctypes.data)
        return weight

    def loss(self, weight: npt.NDArray[np.float32]) -> Loss:
        """Against the weights that it was made from."""
        exact = np.asarray(weight, np.float64)
        error = self.dequantize() - exact
        size = float(np.sqrt(np.mean(exact**2)))
        rms = float(np.sqrt(np.mean(error**2)))
        return Loss(rms / size if size else 0.0, float(np.abs(error).max()), self.bits)

    def pack(self) -> npt.NDArray[np.uint8]:
        """In the order in which kernels read, one array of bytes that begins with a cache line.

        Raises ValueError if a code or scale is NaN or infinite.
        """
        panels = aligned(panel_bytes(self.format, self.outputs, self.inputs))
        _core.nn.pack_panels(*self._numbers(), *self._addresses(), panels.ctypes.data)
        return panels

    def _numbers(self) -> tuple[int, int, int]:
        return FORMATS.index(self.format), self.outputs, self.inputs

    def _addresses(self) -> tuple[int, int, int]:
        tensor_scale = self.tensor_scale.ctypes.data if self.tensor_scale.size else 0
        return self.codes.ctypes.data, self.scales.ctypes.data, tensor_scale


def quantize(weight: npt.NDArray[np.float32], format: WeightFormat) -> QuantizedWeight:
    """weight [outputs, inputs], C-ordered float32.

    Raises ValueError for another dtype, rank or order, for no outputs or inputs, for more than
    65,536 inputs, and for NaN or infinity.
    """
    given = readable("quantize", "weight", weight, np.dtype(np.float32))
    if given.ndim != 2:
        raise ValueError(f"quantize: weight is {list(given.shape)}; wanted [outputs, inputs]")
    empty = _empty(format, *given.shape)
    _core.nn.quantize_weights(*empty._numbers(), given.ctypes.data, *empty._addresses())
    return empty


def unpack(panels: Array, format: WeightFormat, outputs: int, inputs: int) -> QuantizedWeight:
    """The inverse of `pack`. Raises ValueError for an array that cannot be such panels."""
    given = readable("unpack", "panels", panels, np.dtype(np.uint8))
    size = panel_bytes(format, outputs, inputs)
    if given.shape != (size,):
        raise ValueError(
            f"unpack: panels is {list(given.shape)}; wanted [{size}] for {format} of "
            f"{outputs} x {inputs}"
        )
    empty = _empty(format, outputs, inputs)
    _core.nn.unpack_panels(*empty._numbers(), given.ctypes.data, *empty._addresses())
    return empty


def panel_bytes(format: WeightFormat, outputs: int, inputs: int) -> int:
    """Size of what `pack` returns. Raises ValueError for sizes out of bounds."""
    return _bytes(format, outputs, inputs)[2]


def aligned(size: int) -> npt.NDArray[np.uint8]:
    """Bytes that begin with a cache line; kernels read them as well from anywhere, but slower."""
    whole = np.empty(size + _LINE, np.uint8)
    first = -whole.ctypes.data % _LINE
    return whole[first : first + size]


def _index(format: str) -> int:
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; there are {', '.join(FORMATS)}")
    return FORMATS.index(format)


def _bytes(format: str, outputs: int, inputs: int) -> tuple[int, int, int]:
    """Of codes, scales and panels."""
    for name, size in (("outputs", outputs), ("inputs", inputs)):
        if size >= 1 << 31:  # smaller ones the core refuses itself
            raise ValueError(f"{name}: {size:,} are more than any matrix has here")
    found: tuple[int, int, int] = _core.nn.weight_bytes(_index(format), outputs, inputs)
    return found


def _shapes(
    format: WeightFormat, outputs: int, inputs: int
) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and dtype of codes, scales and tensor_scale."""
    code_bytes, scale_bytes, _ = _bytes(format, outputs, inputs)
    codes, scales = _CODES.get(format, np.uint8), _SCALES.get(format, np.uint8)
    count = scale_bytes // np.dtype(scales).itemsize
    per_output = format in ("int8", "fp8")
    scale_shape = (outputs,) if per_output else (outputs, count) if count else (0,)
    return {
        "codes": ((outputs, code_bytes // np.dtype(codes).itemsize), codes),
        "scales": (scale_shape, scales),
        "tensor_scale": ((int(format == "nvfp4"),), np.float32),
    }


def _empty(format: WeightFormat, outputs: int, inputs: int) -> QuantizedWeight:
    arrays: dict[str, Array] = {
        name: np.empty(shape, dtype)
        for name, (shape, dtype) in _shapes(format, outputs, inputs).items()
    }
    return QuantizedWeight(format, inputs, **arrays)

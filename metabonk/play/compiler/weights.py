"""Weights of a layer as a program keeps them: float32, or codes and scales in few bits.

Knows the formats of metabonk.ops.qweight and where a layer's tensors stand in its instruction; does
not know graphs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from metabonk.errors import CompileError
from metabonk.ops import qweight
from metabonk.play.compiler.program import Activation, Builder, Source
from metabonk.play.compiler.views import View

PrecisionName = Literal["fp32", "bf16", "int8", "fp8", "nvfp4", "int4", "mxfp8"]
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
SMALL = 1024  # weights; a layer of fewer stays float32, where few bits would save nothing

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Precision:
    """Of a policy's layers: `fp32` as they were trained, else a format of qweight."""

    name: PrecisionName = "fp32"

    def __post_init__(self) -> None:
        if self.name not in PRECISIONS:
            raise CompileError(f"precision: no {self.name!r}; there are {', '.join(PRECISIONS)}")

    @property
    def exact(self) -> bool:
        """Whether weights are kept as they are."""
        return self.name == "fp32"

    def format_of(self, outputs: int, inputs: int) -> qweight.WeightFormat | None:
        """How a matrix of this size is kept, None for float32."""
        if self.name == "fp32" or outputs * inputs < SMALL:
            return None
        return self.name


def linear_tensors(
    build: Builder, precision: Precision, name: str, weight: Source, bias: Source | None
) -> tuple[int, ...]:
    """Adds the tensors of a layer and returns its instruction's integers.

    weight gives float32 [outputs, inputs], bias [outputs]; name: with it its tensors' names begin.
    """

    def add(kind: str, source: Source) -> int:
        return build.tensor(f"{name}.{kind}", source(), source).storage.number

    outputs, inputs = weight().shape
    bias_at = -1 if bias is None else add("bias", bias)
    format = precision.format_of(outputs, inputs)
    if format is None:
        return add("weight", weight), bias_at, Activation.NONE, -1, -1, -1

    def part(key: str) -> Source:
        def source() -> Array:
            array: Array = getattr(qweight.quantize(weight(), format), key)
            return array if key == "tensor_scale" else _bytes(array)

        return source

    sizes = {key: part(key)().size for key in ("scales", "tensor_scale")}
    codes = add("codes", part("codes"))
    scales, tensor_scale = (add(key, part(key)) if n else -1 for key, n in sizes.items())
    place = qweight.FORMATS.index(format)
    return codes, bias_at, Activation.NONE, place, scales, tensor_scale


def takes_rows(view: View, exact: bool) -> bool:
    """Whether a layer can read x [rows, inputs] as it lies."""
    return view.is_dense if not exact else view.sizes[1] == 1 or view.strides[1] == 1


def _bytes(array: Array) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)

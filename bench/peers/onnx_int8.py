"""ONNX Runtime's own way to int8: its dynamic quantisation of a finished model. Knows the format
only.

Weights of matrix products become codes with a scale per output, rows are quantised as they come.
Convolutions stay as they are: for these it wants statistics of real inputs, which is another thing
than what we compare it with, and its integer kernels are slower than its float ones without.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic


def quantized(model: bytes) -> bytes:
    """A model with the same inputs and outputs whose matrix products are int8."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, made = Path(folder) / "given.onnx", Path(folder) / "made.onnx"
        given.write_bytes(_without_inner_shapes(model))
        quantize_dynamic(
            given,
            made,
            op_types_to_quantize=["MatMul"],  # Gemm becomes one first
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return made.read_bytes()


def _without_inner_shapes(model: bytes) -> bytes:
    """The exporter notes shapes of what lies between nodes, some of them wrong: onnx infers others,
    and refuses a model that contradicts it."""
    loaded = onnx.load_from_string(model)
    del loaded.graph.value_info[:]
    return bytes(loaded.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without its advice to preprocess, which the exporter has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

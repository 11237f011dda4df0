"""A linear layer over int8 weights as an ONNX graph: ONNX Runtime's own fused operation, rows
quantised as they come, one scale per output. Knows the format only."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def model(codes: Any, scales: Any, bias: Any, unsigned: bool) -> bytes:
    """Input x [rows, inputs], output y. codes int8 [outputs, inputs], scales and bias float32.

    unsigned: keep the weights as bytes 0..255 with a zero point of 128, which some of its kernels
    prefer.
    """
    outputs, inputs = codes.shape
    matrix = np.ascontiguousarray(codes.T)
    zero = np.zeros(outputs, np.int8)
    if unsigned:
        matrix = (matrix.astype(np.int16) + 128).astype(np.uint8)
        zero = np.full(outputs, 128, np.uint8)
    constants = {"codes": matrix, "scales": scales, "zero": zero, "bias": bias}
    node = helper.make_node(
        "DynamicQuantizeMatMul",
        ["x", "codes", "scales", "zero", "bias"],
        ["y"],
        domain="com.microsoft",
    )
    graph = helper.make_graph(
        [node],
        "qlinear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(made.SerializeToString())

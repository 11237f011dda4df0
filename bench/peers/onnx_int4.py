"""A linear layer over int4 weights as an ONNX graph: ONNX Runtime's own operation for weights in
blocks. Knows the format only."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

BLOCK = 32
MIDDLE = 0x88  # of two codes that it reads as 0..15 less 8, where ours are two's complement


def model(codes: Any, scales: Any, bias: Any, level: int) -> bytes:
    """Input x [rows, inputs], output y. codes uint8 [outputs, inputs / 2], two in a byte; scales
    uint16 [outputs, blocks], bfloat16's bits; bias float32.

    level: how exactly it multiplies: 0 for float32, 4 for rows that become int8 as they come.
    """
    outputs, inputs = len(codes), 2 * codes.shape[1]
    blocks = inputs // BLOCK
    wide = (np.asarray(scales, np.uint32) << 16).view(np.float32)
    constants = {
        "codes": (codes ^ MIDDLE).reshape(outputs, blocks, BLOCK // 2),
        "scales": wide.reshape(-1),
        "bias": bias,
    }
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales", "", "", "bias"],
        ["y"],
        domain="com.microsoft",
        K=inputs,
        N=outputs,
        bits=4,
        block_size=BLOCK,
        accuracy_level=level,
    )
    graph = helper.make_graph(
        [node],
        "int4",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(made.SerializeToString())

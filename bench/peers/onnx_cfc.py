"""A CfC step as an ONNX graph, as an exporter at its best would write it: the four heads are one
product. Knows the format only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(batch: int, w_in: Any, b_in: Any, w_heads: Any, b_heads: Any) -> bytes:
    """Inputs x [batch, inputs], h [batch, hidden], dt [batch, 1]; output out. Weights as numpy."""
    hidden = len(b_heads) // 4
    constants = {"w_in": w_in, "b_in": b_in, "w_heads": w_heads, "b_heads": b_heads}
    constants |= {"slope": np.float32(0.666), "scale": np.float32(1.7159)}
    nodes = [
        ("Concat", ["x", "h"], ["joined"], {"axis": 1}),
        ("Gemm", ["joined", "w_in", "b_in"], ["sum"], {"transB": 1}),
        ("Mul", ["sum", "slope"], ["sloped"], {}),
        ("Tanh", ["sloped"], ["bent"], {}),
        ("Mul", ["bent", "scale"], ["z"], {}),
        ("Gemm", ["z", "w_heads", "b_heads"], ["heads"], {"transB": 1}),
        ("Split", ["heads"], ["s1", "s2", "a", "s"], {"axis": 1, "num_outputs": 4}),
        ("Tanh", ["s1"], ["f1"], {}),
        ("Tanh", ["s2"], ["f2"], {}),
        ("Mul", ["a", "dt"], ["timed"], {}),
        ("Add", ["timed", "s"], ["gate"], {}),
        ("Sigmoid", ["gate"], ["t"], {}),
        ("Sub", ["f2", "f1"], ["way"], {}),
        ("Mul", ["t", "way"], ["gone"], {}),
        ("Add", ["f1", "gone"], ["out"], {}),
    ]
    widths = {"x": w_in.shape[1] - hidden, "h": hidden, "dt": 1}
    graph = helper.make_graph(
        [helper.make_node(kind, given, made, **more) for kind, given, made, more in nodes],
        "cfc",
        [_value(name, [batch, width]) for name, width in widths.items()],
        [_value("out", [batch, hidden])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _value(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

"""An RSSM step without observation as an ONNX graph, as an exporter at its best would write it: the
gates of either input are one product. Ends with the prior's mixed probabilities or its means and
deviations; samples are the caller's. Knows the format only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Node = tuple[str, list[str], list[str], dict[str, Any]]


def model(
    batch: int, weights: dict[str, Any], classes: int, unimix: float, min_std: float
) -> bytes:
    """Inputs deter [batch, D], stoch [batch, S], action [batch, A]; outputs out (deter), prior.

    weights: the first ten of RssmWeights by name, as numpy.
    """
    deter, stoch = weights["w_hh"].shape[1], weights["w_prior_out"].shape[0]
    stoch = stoch if classes else stoch // 2
    action = weights["w_in"].shape[1] - stoch
    nodes: list[Node] = [
        ("Concat", ["stoch", "action"], ["joined"], {"axis": 1}),
        _layer("joined", "w_in", "b_in", "in"),
        ("Elu", ["in"], ["x"], {}),
        _layer("x", "w_ih", "b_ih", "from_x"),
        _layer("deter", "w_hh", "b_hh", "from_h"),
        ("Split", ["from_x"], ["xr", "xz", "xn"], {"axis": 1, "num_outputs": 3}),
        ("Split", ["from_h"], ["hr", "hz", "hn"], {"axis": 1, "num_outputs": 3}),
        ("Add", ["xr", "hr"], ["sr"], {}),
        ("Sigmoid", ["sr"], ["r"], {}),
        ("Add", ["xz", "hz"], ["sz"], {}),
        ("Sigmoid", ["sz"], ["z"], {}),
        ("Mul", ["r", "hn"], ["held"], {}),
        ("Add", ["xn", "held"], ["sn"], {}),
        ("Tanh", ["sn"], ["n"], {}),
        ("Sub", ["deter", "n"], ["way"], {}),
        ("Mul", ["z", "way"], ["gone"], {}),
        ("Add", ["n", "gone"], ["out"], {}),
        _layer("out", "w_prior", "b_prior", "hidden_in"),
        ("Elu", ["hidden_in"], ["hidden"], {}),
        _layer("hidden", "w_prior_out", "b_prior_out", "put_out"),
        *(_categorical() if classes else _gaussian()),
    ]
    constants: dict[str, Any] = dict(weights)
    if classes:
        constants |= {"pure": np.float32(1.0 - unimix), "rest": np.float32(unimix / classes)}
        constants |= {"by_class": np.array([batch, -1, classes]), "flat": np.array([batch, -1])}
    else:
        constants["floor"] = np.float32(min_std)
    width = stoch if classes else 2 * stoch
    graph = helper.make_graph(
        [helper.make_node(kind, given, made, **more) for kind, given, made, more in nodes],
        "rssm",
        [
            _value(n, [batch, w])
            for n, w in (("deter", deter), ("stoch", stoch), ("action", action))
        ],
        [_value("out", [batch, deter]), _value("prior", [batch, width])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _layer(x: str, weight: str, bias: str, y: str) -> Node:
    return ("Gemm", [x, weight, bias], [y], {"transB": 1})


def _categorical() -> list[Node]:
    return [
        ("Reshape", ["put_out", "by_class"], ["logits"], {}),
        ("Softmax", ["logits"], ["share"], {"axis": -1}),
        ("Mul", ["share", "pure"], ["scaled"], {}),
        ("Add", ["scaled", "rest"], ["mixed"], {}),
        ("Log", ["mixed"], ["logs"], {}),
        ("Reshape", ["logs", "flat"], ["prior"], {}),
    ]


def _gaussian() -> list[Node]:
    return [
        ("Split", ["put_out"], ["mean", "raw"], {"axis": 1, "num_outputs": 2}),
        ("Softplus", ["raw"], ["soft"], {}),
        ("Add", ["soft", "floor"], ["std"], {}),
        ("Concat", ["mean", "std"], ["prior"], {"axis": 1}),
    ]


def _value(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

"""Peers of the compiled policy: every row has those that the issue of speed names."""

from __future__ import annotations

import numpy as np
import pytest
from metabonk.bench import policy

PEERS = {"torch", "torch.compile", "ONNX Runtime"}


def test_every_precision_meets_torch_its_compiler_and_onnx_runtime() -> None:
    rows = {case.name: {peer.name for peer in case.peers} for case in policy.cases()}
    decided = {name: peers for name, peers in rows.items() if "motor" not in name}
    assert len(decided) > len(policy.PRECISIONS)
    for name, peers in decided.items():
        assert peers >= PEERS, name
        assert ("ONNX Runtime int8" in peers) == name.endswith("int8"), name


def test_onnx_runtime_quantises_what_it_is_compared_in() -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from metabonk.bench.peers import onnx_cfc, onnx_int8

    draw = np.random.default_rng(0)
    weights = [
        draw.standard_normal(shape).astype(np.float32) * 0.3
        for shape in ((16, 24), (16,), (64, 16), (64,))
    ]
    exact = onnx_cfc.model(2, *weights)
    few = onnx_int8.quantized(exact)
    kinds = [node.op_type for node in onnx.load_from_string(few).graph.node]
    assert kinds.count("MatMulInteger") == 2
    assert not {"Gemm", "MatMul"} & set(kinds)
    given = {
        "x": draw.standard_normal((2, 8)).astype(np.float32),
        "h": draw.standard_normal((2, 16)).astype(np.float32),
        "dt": np.ones((2, 1), np.float32),
    }
    found = [
        runtime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, given)[0]
        for model in (exact, few)
    ]
    np.testing.assert_allclose(*found, atol=0.05)
    assert not np.array_equal(*found)  # the control: something was rounded

"""Peers of operations: torch.compile in every row, and results compared before anybody is timed."""

from __future__ import annotations

import numpy as np
import pytest
from metabonk.bench import ops
from metabonk.bench.agreement import DisagreementError, agreeing
from metabonk.bench.case import Case, attempt
from metabonk.bench.meter import Timed
from metabonk.bench.peers.compiled import compiled
from metabonk.bench.versus import Contender

WANTED = np.array([1.0, -2.0, 4.0])
ASTRAY = np.array([1.0, -2.0, 13.0])


def test_every_row_meets_torchs_compiler() -> None:
    rows = {case.name: [peer.name for peer in case.peers] for case in ops.cases()}
    assert len(rows) > 40
    without = [name for name, peers in rows.items() if not any("compile" in p for p in peers)]
    assert without == []


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([WANTED * 1.1], "3 of 3 numbers .* by up to 0.1"),
        ([WANTED + np.array([0.0, 0.0, np.nan])], "1 of 3"),
        ([WANTED[:2]], r"is \[2\]; the reference\'s \[3\]"),
        ([WANTED, WANTED], "2 results; the reference has 1"),
    ],
)
def test_who_computes_something_else_is_no_contender(found: list[object], says: str) -> None:
    with pytest.raises(DisagreementError, match=says):
        agreeing("peer", Timed(lambda: found), [WANTED])


def test_what_is_as_near_as_rounding_is_agrees() -> None:
    agreeing("peer", Timed(lambda: [WANTED * (1.0 + 5e-5)]), [WANTED])
    agreeing("peer", Timed(lambda: None), [WANTED], got=lambda: [WANTED.tolist()])
    agreeing("peer", Timed(lambda: [ASTRAY]), [WANTED], strays=0.4)
    with pytest.raises(DisagreementError, match="1 of 3"):
        agreeing("peer", Timed(lambda: [ASTRAY]), [WANTED], strays=0.3)


def test_a_case_with_such_a_peer_is_not_measured() -> None:
    def wrong() -> Timed:
        return agreeing("another formula", Timed(lambda: [-WANTED]), [WANTED])

    ours = Contender("metabonk", lambda: Timed(lambda: None, 1.0, seconds=0.001, warm=0.0))
    found = attempt(Case("ops", "x", "calls/s", ours, (Contender("peer", wrong),), rounds=1))
    assert "another formula: result 0 is not the reference's" in found["unmeasured"]


def test_what_cannot_be_compiled_is_an_absent_contender() -> None:
    torch = pytest.importorskip("torch")

    def breaks(x: object) -> object:
        torch._dynamo.graph_break()
        return x

    def opened() -> Timed:
        run = compiled(breaks, fullgraph=True, backend="eager")
        return agreeing("torch.compile", Timed(lambda: [run(torch.ones(3))]), [np.ones(3)])

    ours = Contender("metabonk", lambda: Timed(lambda: None, 1.0, seconds=0.001, warm=0.0))
    found = attempt(Case("ops", "x", "calls/s", ours, (Contender("peer", opened),), rounds=1))
    assert "torch.compile cannot have this" in found["peers"]["peer"]["skipped"]
    whole = compiled(lambda x: 2.0 * x, fullgraph=True, backend="eager")  # the control
    agreeing("torch.compile", Timed(lambda: [whole(torch.ones(3))]), [2.0 * np.ones(3)])


def test_onnx_runtimes_int4_reads_our_codes() -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from metabonk.bench.peers import onnx_int4

    from metabonk.ops import qweight

    draw = np.random.default_rng(0)
    weight = draw.standard_normal((24, 96)).astype(np.float32)
    x, bias = (draw.standard_normal(shape).astype(np.float32) for shape in ((3, 96), (24,)))
    packed = qweight.quantize(weight, "int4")
    model = onnx_int4.model(packed.codes, packed.scales, bias, 0)
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(found, x @ packed.dequantize().T + bias, rtol=1e-4, atol=1e-4)
    assert not np.allclose(found, x @ weight.T + bias, atol=1e-2)  # the control

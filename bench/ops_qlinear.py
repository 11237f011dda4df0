"""Suite `ops`, linear layers over weights in few bits: on one thread, 960 -> 2560, one row as a
play loop has it and 64 as batches have; against torch, ONNX Runtime's int8 on the same codes, and
what the core can do at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import peaks
from .case import Case
from .meter import Meter, Timed, fastest
from .ops_cfc import OneThread
from .peers import require
from .versus import Contender

INPUTS, OUTPUTS = 960, 2560
FORMATS = ("int8", "int4", "bf16", "fp8", "nvfp4", "mxfp8")
BITS = {"int8": 8, "int4": 4.5, "bf16": 16, "fp8": 8, "nvfp4": 4.5, "mxfp8": 8.25}


def cases() -> list[Case]:
    return [_case(name, rows) for rows in (1, 64) for name in FORMATS]


def _case(name: str, rows: int) -> Case:
    peers: list[tuple[str, Callable[[], Meter]]] = [("torch float32", lambda: _torch(rows, False))]
    if name == "int8":
        peers.append(("ONNX Runtime int8", lambda: _onnx(rows)))
    else:
        peers.append(("torch bfloat16", lambda: _torch(rows, True)))
    peers.append(("floor", lambda: _floor(name, rows)))
    return Case(
        "ops",
        f"qlinear {name} {INPUTS}x{OUTPUTS}, {rows} row{'s' if rows > 1 else ''}",
        "calls/s",
        Contender("metabonk", lambda: OneThread(_plan(name, rows))),
        tuple(Contender(n, lambda make=make: OneThread(make())) for n, make in peers),
    )


def _tensors(rows: int) -> tuple[Any, Any, Any]:
    """x, weight and bias; the same ones for all."""
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(0)
    shapes = (rows, INPUTS), (OUTPUTS, INPUTS), (OUTPUTS,)
    x, weight, bias = (torch.randn(*shape, generator=generator) for shape in shapes)
    return x, weight, bias


def _plan(name: str, rows: int) -> Timed:
    from metabonk.ops import qlinear

    x, weight, bias = _tensors(rows)
    plan = qlinear.plan(x, qlinear.pack(weight, name), bias, threads=1)  # type: ignore[arg-type]
    return Timed(plan.step, 1.0)


def _torch(rows: int, half: bool) -> Timed:
    torch = require("torch", "train")
    tensors = _tensors(rows)
    if half:
        tensors = tuple(t.bfloat16() for t in tensors)

    def run() -> None:
        with torch.inference_mode():
            torch.nn.functional.linear(*tensors)

    return Timed(run, 1.0)


def _onnx(rows: int) -> Timed:
    """At its best: signed or unsigned weights, arrays handed over in every call or bound once."""
    onnxruntime = require("onnxruntime")
    require("onnx")
    from metabonk.ops import qweight

    from .peers.onnx_qlinear import model

    x, weight, bias = (t.numpy() for t in _tensors(rows))
    quantized = qweight.quantize(weight, "int8")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    meters = []
    for unsigned in (False, True):
        session = onnxruntime.InferenceSession(
            model(quantized.codes, quantized.scales, bias, unsigned),
            options,
            providers=["CPUExecutionProvider"],
        )
        binding = session.io_binding()
        given = onnxruntime.OrtValue.ortvalue_from_numpy(x)
        made = onnxruntime.OrtValue.ortvalue_from_shape_and_type([rows, OUTPUTS], x.dtype)
        binding.bind_ortvalue_input("x", given)
        binding.bind_ortvalue_output("y", made)

        def hand_over(session: Any = session) -> None:
            session.run(["y"], {"x": x})

        def bound(
            session: Any = session, binding: Any = binding, held: Any = (given, made)
        ) -> None:
            session.run_with_iobinding(binding)

        meters += [Timed(hand_over, 1.0), Timed(bound, 1.0)]
    return fastest(meters)


def _floor(name: str, rows: int) -> Timed:
    """Of one row reading the weights, of many multiplying by them."""
    weights = INPUTS * OUTPUTS
    if rows == 1:
        return peaks.reads(int(weights * BITS[name] / 32))
    return (peaks.byte_products if name == "int8" else peaks.bf16_products)(weights * rows)

"""Suite `ops`, linear layers over weights in few bits: on one thread, 960 -> 2560, one row as a
play loop has it and 64 as batches have; against torch, ONNX Runtime's int8 and int4 on the same
codes, and what the core can do at most.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from . import peaks
from .agreement import EXACT, agreeing
from .case import Case
from .meter import Meter, Timed, fastest
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

INPUTS, OUTPUTS = 960, 2560
FORMATS = ("int8", "int4", "bf16", "fp8", "nvfp4", "mxfp8")
# What a format may cost of the largest result, against float32.
LOST = {"int8": 0.03, "int4": 0.2, "bf16": 0.02, "fp8": 0.1, "nvfp4": 0.3, "mxfp8": 0.1}
BITS = {"int8": 8, "int4": 4.5, "bf16": 16, "fp8": 8, "nvfp4": 4.5, "mxfp8": 8.25}


def cases() -> list[Case]:
    return [_case(name, rows) for rows in (1, 64) for name in FORMATS]


def _case(name: str, rows: int) -> Case:
    half = name != "int8"
    peers: list[tuple[str, Callable[[], Meter]]] = [
        ("torch float32", lambda: _torch(rows, False)),
        ("torch.compile", lambda: _torch(rows, half, compile_=True)),
    ]
    if half:
        peers.append(("torch bfloat16", lambda: _torch(rows, True)))
    if name == "int8":
        peers.append(("torch int8", lambda: _torch_int8(rows)))
        peers.append(("ONNX Runtime int8", lambda: _onnx(rows)))
    if name == "int4":
        peers.append(("ONNX Runtime int4", lambda: _onnx_int4(rows)))
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
    return agreeing(name, Timed(plan.step, 1.0), _wanted(rows), LOST[name], got=lambda: [plan.out])


def _wanted(rows: int) -> list[Any]:
    torch = require("torch", "train")
    return [torch.nn.functional.linear(*_tensors(rows))]


def _torch(rows: int, half: bool, *, compile_: bool = False) -> Timed:
    torch = require("torch", "train")
    tensors = _tensors(rows)
    if half:
        tensors = tuple(t.bfloat16() for t in tensors)
    linear = torch.nn.functional.linear
    linear = compiled(lambda *given: torch.nn.functional.linear(*given)) if compile_ else linear

    def run() -> Any:
        with torch.inference_mode():
            return [linear(*tensors)]

    return agreeing("torch", Timed(run, 1.0), _wanted(rows), LOST["bf16"] if half else EXACT)


def _torch_int8(rows: int) -> Timed:
    """Its own dynamic quantisation, a scale per output, which it has announced to take away."""
    torch = require("torch", "train")
    x, weight, bias = _tensors(rows)
    scales, zeros = weight.abs().amax(1) / 127.0, torch.zeros(OUTPUTS, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        codes = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(codes, bias)
    linear = torch.ops.quantized.linear_dynamic
    return agreeing(
        "torch int8", Timed(lambda: [linear(x, packed, False)], 1.0), _wanted(rows), LOST["int8"]
    )


def _onnx(rows: int) -> Timed:
    """At its best: signed or unsigned weights, arrays handed over in every call or bound once."""
    require("onnxruntime")
    require("onnx")
    from metabonk.ops import qweight

    from .peers.onnx_qlinear import model

    _, weight, bias = (t.numpy() for t in _tensors(rows))
    quantized = qweight.quantize(weight, "int8")
    models = (
        model(quantized.codes, quantized.scales, bias, unsigned) for unsigned in (False, True)
    )
    return _best(models, rows, LOST["int8"])


def _onnx_int4(rows: int) -> Timed:
    """At its best: rows as they are, or quantised as they come."""
    require("onnxruntime")
    require("onnx")
    from metabonk.ops import qweight

    from .peers.onnx_int4 import model

    _, weight, bias = (t.numpy() for t in _tensors(rows))
    quantized = qweight.quantize(weight, "int4")
    models = (model(quantized.codes, quantized.scales, bias, level) for level in (0, 4))
    return _best(models, rows, LOST["int4"])


def _best(models: Iterable[bytes], rows: int, within: float) -> Timed:
    """The quickest of them, its arrays handed over in every call or bound once."""
    onnxruntime = require("onnxruntime")
    x = _tensors(rows)[0].numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    meters = []
    for one in models:
        session = onnxruntime.InferenceSession(one, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        given = onnxruntime.OrtValue.ortvalue_from_numpy(x)
        made = onnxruntime.OrtValue.ortvalue_from_shape_and_type([rows, OUTPUTS], x.dtype)
        binding.bind_ortvalue_input("x", given)
        binding.bind_ortvalue_output("y", made)

        def hand_over(session: Any = session) -> Any:
            return session.run(["y"], {"x": x})

        def bound(
            session: Any = session, binding: Any = binding, held: Any = (given, made)
        ) -> None:
            session.run_with_iobinding(binding)

        wanted = _wanted(rows)
        meters += [
            agreeing("ONNX Runtime", Timed(hand_over, 1.0), wanted, within),
            agreeing(
                "ONNX Runtime", Timed(bound, 1.0), wanted, within, got=binding.copy_outputs_to_cpu
            ),
        ]
    return fastest(meters)


def _floor(name: str, rows: int) -> Timed:
    """Of one row reading the weights, of many multiplying by them."""
    weights = INPUTS * OUTPUTS
    if rows == 1:
        return peaks.reads(int(weights * BITS[name] / 32))
    return (peaks.byte_products if name == "int8" else peaks.bf16_products)(weights * rows)

"""Suite `ops`, CfC: single steps on one thread as the play loop takes them, and sequences forwards
and backwards as training does; against ncps, torch and ONNX Runtime on the same weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import peaks
from .agreement import EXACT, agreeing
from .case import Case
from .meter import Meter, Timed, fastest
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

UNITS = 128  # inputs, state and backbone
STEPS, BATCH = 16, 64  # of a training minibatch


def cases() -> list[Case]:
    return [_step(1), _step(1, "bf16"), _step(256), _train()]


class OneThread:
    """A meter whose torch has one thread while it runs: a step of a loop that must not wait."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._torch = require("torch", "train")

    def prepare(self) -> None:
        self._alone(self._meter.prepare)

    def measure(self) -> float:
        return self._alone(self._meter.measure)

    def close(self) -> None:
        self._meter.close()

    def _alone(self, run: Callable[[], Any]) -> Any:
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            return run()
        finally:
            self._torch.set_num_threads(before)


def _step(batch: int, precision: str = "fp32") -> Case:
    """Of one row the floor is reading the weights, of many multiplying by them."""
    weights = 2 * UNITS * UNITS + UNITS * 4 * UNITS
    half = precision == "bf16"
    read = weights // 2 if half else weights
    peers: tuple[tuple[str, Callable[[], Meter]], ...] = (
        ("ncps", lambda: _torch_step(batch, _ncps_cell, False)),
        ("ncps, torch.compile", lambda: _torch_step(batch, _ncps_cell, True)),
        ("torch", lambda: _torch_step(batch, _formula, False)),
        ("ONNX Runtime", lambda: _onnx_step(batch)),
        (
            "floor",
            lambda: peaks.reads(read) if batch == 1 else peaks.multiply_adds(weights * batch),
        ),
    )
    return Case(
        "ops",
        f"cfc step, batch {batch}, {UNITS} units" + (", bf16 weights" if half else ""),
        "steps/s",
        Contender("metabonk", lambda: OneThread(_plan(batch, precision))),
        tuple(Contender(n, lambda make=make: OneThread(make())) for n, make in peers),
    )


def _train() -> Case:
    ways: tuple[tuple[str, Callable[[list[Any]], Unroll]], ...] = (
        ("metabonk", _scan),
        ("ncps", functools.partial(_one_by_one, _ncps_cell)),
        ("torch", functools.partial(_one_by_one, _formula)),
        ("torch.compile, each step", functools.partial(_one_by_one, _compiled)),
    )
    ours, *peers = (Contender(n, lambda n=n, m=m: OneThread(_training(n, m))) for n, m in ways)
    return Case(
        "ops",
        f"cfc {STEPS} steps x {BATCH}, {UNITS} units, forward and backward",
        "sequences/s",
        ours,
        tuple(peers),
    )


def _tensors(steps: int, batch: int) -> tuple[Any, ...]:
    """x [T, B, units], h, dt [T, B, 1], and the four weights; the same ones for all."""
    torch = require("torch", "train")
    from metabonk.models.cfc import CfCCell

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = [w.detach().clone() for w in CfCCell(UNITS, UNITS, UNITS).weights()]
        x, h = torch.randn(steps, batch, UNITS), torch.randn(batch, UNITS) * 0.5
        return x, h, torch.rand(steps, batch, 1) + 0.5, weights


Cell = Callable[[Any, Any, Any], Any]  # x [B, units], h, dt [B, 1] -> h'


def _formula(weights: list[Any]) -> Cell:
    from metabonk.ops import cfc_cell

    return lambda x, h, dt: cfc_cell.reference(x, h, dt, None, *weights)


def _ncps_cell(weights: list[Any]) -> Cell:
    ncps = require("ncps.torch")
    cell = ncps.CfCCell(UNITS, UNITS, backbone_units=UNITS)
    w_in, b_in, w_heads, b_heads = weights
    state = {"backbone.0.weight": w_in, "backbone.0.bias": b_in}
    heads = zip(("ff1", "ff2", "time_a", "time_b"), w_heads.chunk(4), b_heads.chunk(4), strict=True)
    for name, weight, bias in heads:
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    cell.load_state_dict(state)
    return lambda x, h, dt: cell(x, h, dt)[0]


def _torch_step(batch: int, make: Callable[[list[Any]], Cell], compile_: bool) -> Timed:
    torch = require("torch", "train")
    x, h, dt, weights = _tensors(1, batch)
    cell = make(weights)
    if compile_:
        cell = compiled(cell)

    def step() -> Any:
        with torch.inference_mode():
            return [cell(x[0], h, dt[0])]

    return agreeing(make.__name__, Timed(step, 1.0), _wanted(batch))


def _wanted(batch: int) -> list[Any]:
    """What a step is by the formula."""
    x, h, dt, weights = _tensors(1, batch)
    return [_formula(weights)(x[0], h, dt[0])]


def _plan(batch: int, precision: Any) -> Timed:
    from metabonk.ops import cfc_cell

    x, h, dt, weights = _tensors(1, batch)
    plan = cfc_cell.plan(x[0], h, dt[0], None, *weights, precision=precision, threads=1)
    within = EXACT if precision == "fp32" else 0.05
    return agreeing(
        f"plan, {precision}", Timed(plan.step, 1.0), _wanted(batch), within, got=lambda: [plan.out]
    )


def _onnx_step(batch: int) -> Timed:
    """At its best: with arrays handed over in every call, or bound once."""
    onnxruntime = require("onnxruntime")
    require("onnx")
    from .peers.onnx_cfc import model

    x, h, dt, weights = _tensors(1, batch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    w_in, b_in, w_heads, b_heads = (w.numpy() for w in weights)
    session = onnxruntime.InferenceSession(
        model(batch, w_in, b_in, w_heads, b_heads), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"x": x[0].numpy(), "h": h.numpy(), "dt": dt[0].numpy()}
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    binding.bind_ortvalue_output("out", onnxruntime.OrtValue.ortvalue_from_numpy(h.numpy() * 0.0))

    def bound() -> None:
        session.run_with_iobinding(binding)

    ways = Timed(lambda: session.run(["out"], feeds), 1.0), Timed(bound, 1.0)
    results = None, binding.copy_outputs_to_cpu
    return fastest(
        [
            agreeing("ONNX Runtime", way, _wanted(batch), got=got)
            for way, got in zip(ways, results, strict=True)
        ]
    )


Unroll = Callable[[Any, Any, Any], Any]  # x [T, B, units], h, dt [T, B, 1] -> [T, B, units]


def _scan(weights: list[Any]) -> Unroll:
    from metabonk.ops.cfc_scan import cfc_scan

    return lambda x, h, dt: cfc_scan(x, h, dt, None, *weights)


def _one_by_one(make: Callable[[list[Any]], Cell], weights: list[Any]) -> Unroll:
    torch = require("torch", "train")
    cell = make(weights)

    def run(x: Any, h: Any, dt: Any) -> Any:
        states = []
        for i in range(len(x)):
            h = cell(x[i], h, dt[i])
            states.append(h)
        return torch.stack(states)

    return run


def _compiled(weights: list[Any]) -> Cell:
    """To compile all steps as one graph takes it minutes."""
    return compiled(_formula(weights))


def _training(who: str, make: Callable[[list[Any]], Unroll]) -> Timed:
    """Gradients of the input and, except for ncps, whose weights are its own, of ours."""
    x, h, dt, weights = _tensors(STEPS, BATCH)
    for leaf in (x, *weights):
        leaf.requires_grad_()

    def gradient(run: Unroll) -> list[Any]:
        x.grad = None
        run(x, h, dt).sum().backward()
        return [x.grad]

    wanted = [found.clone() for found in gradient(_one_by_one(_formula, weights))]
    run = make(weights)
    return agreeing(who, Timed(lambda: gradient(run), 1.0), wanted)

"""Suite `policy`: one decision of a compiled policy, for one and sixteen games, at each precision,
against the same network in torch, under torch.compile and in ONNX Runtime.

A decision is everything from the observation to the action row: encoder, cell, heads, the likeliest
choice. Peers run the network written in plain torch operators: our own kernels stay ours.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from .case import Case
from .meter import Meter, Reading, Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
from .versus import Contender

BATCHES = (1, 16)
TICKS = 60.0  # decisions per second of the control loop
PRECISIONS = ("bf16", "int8", "fp8", "nvfp4")
Make = Callable[[], Any]


def cases() -> list[Case]:
    networks: dict[str, Make] = {"mlp 2 x 64": _mlp, "arena pilot": _arena, "pixels pilot": _pixels}
    exact = [_exact(name, make, batch) for name, make in networks.items() for batch in BATCHES]
    few = [
        _few(name, make, batch, precision)
        for name, make in networks.items()
        if name != "mlp 2 x 64"  # its layers are too small to be kept in few bits
        for batch in BATCHES
        for precision in PRECISIONS
    ]
    return [*exact, *few, _motor()]


def _motor() -> Case:
    """Eight candidates of one step, judged; beside torch, the teacher's forty steps, and as many
    decisions as the control loop asks for."""
    return Case(
        "policy",
        "arena motor, 8 candidates, batch 1",
        "decisions/s",
        Contender("metabonk", lambda: OneThread(_compiled_motor())),
        (
            Contender("torch", lambda: OneThread(_torch_motor("student"))),
            Contender("teacher, 40 steps", lambda: OneThread(_torch_motor("teacher"))),
            Contender("60 Hz", lambda: Reading(lambda: TICKS)),
        ),
    )


def _exact(name: str, make: Make, batch: int) -> Case:
    peers: tuple[tuple[str, Callable[[], Meter]], ...] = (
        ("torch", lambda: _torch(make, batch, False)),
        ("torch.compile", lambda: _torch(make, batch, True)),
        ("ONNX Runtime", lambda: OneThread(_onnx(make, batch))),
    )
    return Case(
        "policy",
        f"{name}, batch {batch}",
        "decisions/s",
        Contender("metabonk", lambda: OneThread(_ours(make, batch, "fp32"))),
        tuple(Contender(n, start) for n, start in peers),
    )


def _few(name: str, make: Make, batch: int, precision: str) -> Case:
    peers: list[tuple[str, Callable[[], Meter]]] = [
        ("metabonk fp32", lambda: OneThread(_ours(make, batch, "fp32"))),
        ("torch", lambda: _torch(make, batch, False)),
        ("torch.compile", lambda: _torch(make, batch, True)),
        ("ONNX Runtime", lambda: OneThread(_onnx(make, batch))),
    ]
    if precision == "int8":  # the one of these that it has a way to of its own
        peers.append(("ONNX Runtime int8", lambda: OneThread(_onnx(make, batch, int8=True))))
    return Case(
        "policy",
        f"{name}, batch {batch}, {precision}",
        "decisions/s",
        Contender("metabonk", lambda: OneThread(_ours(make, batch, precision))),
        tuple(Contender(n, start) for n, start in peers),
    )


def _network(space: Any, actions: Any, name: str, hidden: int) -> Any:
    from metabonk.config import ModelConfig
    from metabonk.models.policy import build
    from metabonk.spaces import ActionLayout

    config = ModelConfig(name=name, hidden=hidden)
    return build(space, ActionLayout.of(actions), config, seed=0)


def _mlp() -> Any:
    import numpy as np
    from gymnasium import spaces as gs

    space = gs.Dict({"observation": gs.Box(-1.0, 1.0, (4,), np.float32)})
    return _network(space, gs.Discrete(2), "mlp", 64)


def _pixels() -> Any:
    import numpy as np
    from gymnasium import spaces as gs

    space = gs.Dict({"pixels": gs.Box(0, 255, (84, 84, 3), np.uint8)})
    return _network(space, gs.MultiDiscrete([3, 3, 2]), "conv pilot", 256)


def _arena() -> Any:
    from metabonk import games
    from metabonk.config import load
    from metabonk.learn.presets import preset
    from metabonk.learn.trainer import parse_fixed
    from metabonk.models.policy import build

    config = load(environ={}, flags={"game.name": "arena", **preset("arena")})
    game = games.make("arena", 1)
    fixed = parse_fixed(config.model.fixed)
    try:
        return build(game.observation_space, game.action_layout, config.model, seed=0, fixed=fixed)
    finally:
        game.close()


def _arena_motor() -> Any:
    from metabonk import games
    from metabonk.config import CpqeConfig
    from metabonk.models.motor import build

    require("torch", "train")
    game = games.make("arena", 1)
    try:
        return build(game.observation_space, game.action_layout, CpqeConfig(), seed=0)
    finally:
        game.close()


def _compiled_motor() -> Timed:
    from metabonk.models.motor import MotorPolicy
    from metabonk.play.compiler.motors import compile_motor
    from metabonk.play.compiler.tracing import example

    motor = _arena_motor()
    seen = {key: t.numpy() for key, t in example(motor, 1).items()}
    policy = compile_motor(MotorPolicy(motor))
    return Timed(policy.bind(seen).step, 1.0)


def _torch_motor(sampler: Any) -> Timed:
    import numpy as np

    from metabonk.models.motor import MotorPolicy
    from metabonk.play.compiler.tracing import example

    motor = _arena_motor()
    seen = {key: t.numpy() for key, t in example(motor, 1).items()}
    policy, first = MotorPolicy(motor, sampler=sampler), np.zeros(1, np.bool_)
    state = policy.reset(1)
    return Timed(lambda: policy.act(seen, state, first), 1.0)


def _ours(make: Make, batch: int, precision: Any) -> Timed:
    require("torch", "train")
    from metabonk.play.compiled import compile
    from metabonk.play.compiler.tracing import example

    model = make()
    policy = compile(model, precision, batch=batch, sampled=False)
    step = policy.bind({key: t.numpy() for key, t in example(model, batch).items()}).step
    return Timed(step, float(batch))


def _arguments(model: Any, batch: int) -> tuple[Any, ...]:
    """Of a Decision: observation, state, is_first and random numbers that are not used."""
    torch = require("torch", "train")
    from metabonk.play.compiler.tracing import example

    nothing = torch.zeros(batch, 0)
    first = torch.zeros(batch, dtype=torch.bool)
    return example(model, batch), model.initial_state(batch), first, nothing, nothing


class Plain:
    """A meter whose network runs in plain torch operators while it is measured."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def prepare(self) -> None:
        with plain():
            self._meter.prepare()

    def measure(self) -> float:
        with plain():
            return self._meter.measure()

    def close(self) -> None:
        self._meter.close()


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Networks use the definitions of our operations instead of their kernels."""
    from metabonk.models import cfc_cell as cell_module
    from metabonk.models import compass, layers
    from metabonk.ops import cfc_scan, dense, radar

    with (
        mock.patch.object(layers, "dense", dense.reference),
        mock.patch.object(cell_module, "cfc_scan", cfc_scan.reference),
        mock.patch.object(compass, "radar", radar.reference),
    ):
        yield


def _torch(make: Make, batch: int, compile_: bool) -> Meter:
    torch = require("torch", "train")
    from metabonk.play.compiler.tracing import Decision

    model = make()
    decision, arguments = Decision(model, False), _arguments(model, batch)
    call = compiled(decision, fullgraph=True) if compile_ else decision

    def step() -> None:
        with torch.inference_mode():
            call(*arguments)

    return OneThread(Plain(Timed(step, float(batch))))


def _onnx(make: Make, batch: int, int8: bool = False) -> Timed:
    """Its inputs and outputs bound once. int8: quantised as it does that itself."""
    onnxruntime = require("onnxruntime")
    model, named = _exported(make, batch)
    if int8:
        from .peers.onnx_int8 import quantized

        model = quantized(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for one in session.get_inputs():
        binding.bind_cpu_input(one.name, named[one.name].numpy())
    for out in session.get_outputs():
        binding.bind_output(out.name)
    return Timed(lambda: session.run_with_iobinding(binding), float(batch))


def _exported(make: Make, batch: int) -> tuple[bytes, dict[str, Any]]:
    """The network as an ONNX model, and an example of each of its inputs."""
    require("onnx")
    require("onnxscript")
    torch = require("torch", "train")
    from metabonk.play.compiler.tracing import Decision

    model = make().requires_grad_(False)
    arguments = _arguments(model, batch)
    observation = arguments[0]
    named = {**observation, "recurrent": arguments[1], "is_first": arguments[2]}
    file = io.BytesIO()
    with plain(), torch.no_grad():
        torch.onnx.export(
            _flat(Decision(model, False), list(observation)),
            tuple(named.values()),
            file,
            input_names=list(named),
            dynamo=True,
            verbose=False,
            custom_translation_table={torch.ops.aten.view.dtype: _truth},
        )
    return file.getvalue(), named


def _truth(x: Any, dtype: Any) -> Any:
    """Bytes seen as truth values, in ONNX."""
    from onnx import TensorProto
    from onnxscript import opset18

    return opset18.Cast(x, to=TensorProto.BOOL)


def _flat(decision: Any, keys: list[str]) -> Any:
    """A Decision that takes its tensors one by one, as ONNX wants them."""
    torch = require("torch", "train")

    class Flat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.decision = decision

        def forward(self, *tensors: Any) -> Any:
            observation = dict(zip(keys, tensors, strict=False))
            state, first = tensors[len(keys) :]
            nothing = torch.zeros(len(first), 0)
            return self.decision(observation, state, first, nothing, nothing)

    return Flat()

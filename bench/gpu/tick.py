"""Cases of StepGraph: the tick's GPU part as one CUDA graph, against the same work launched piece
by piece.

A tick takes every agent's frame from pinned main memory, looks at it through two convolutions,
takes a step of the closed-form cell and leaves logits and actions in pinned main memory, where the
control loop reads them. Both ways copy the same bytes and wait for the device at the end, so that
the clock of the host times them. One of the cases changes its weights first, so that the second
graph is held against the reference too.

Knows the op and StepGraph; of a device only what StepGraph's `Runtime` says, so that tests can play
one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from metabonk.kernels.architectures import TF32
from metabonk.kernels.cases import Case, Inputs, generator
from metabonk.kernels.cost import Cost
from metabonk.kernels.graph import Runtime, StepGraph, Tensors, TorchRuntime
from torch import Tensor
from torch.nn import functional

from metabonk.ops.cfc_scan import cfc_scan

from .plain import Plain, Step

SIDE, CHANNELS = 84, 3
UNITS, HIDDEN, ACTIONS = 256, 256, 18
SEEN = 64 * 9 * 9  # numbers behind both convolutions
TOLERANCE = 5e-3  # convolutions of float32 may go through tf32
Runtimes = Callable[[torch.device | str], Runtime]
CELL = "cell_in", "cell_in_bias", "cell_heads", "cell_heads_bias"


class Size(NamedTuple):
    """swapped: whether newer weights were loaded before the step that counts."""

    agents: int
    swapped: bool


SIZES = Size(1, False), Size(16, True)


def cases(runtime: Runtimes = TorchRuntime) -> list[Case]:
    """runtime: makes what StepGraph runs on, of a device."""
    return [_case(size, runtime) for size in SIZES]


def _case(size: Size, runtime: Runtimes) -> Case:
    shapes = _shapes()
    weights = sum(torch.Size(shape).numel() for shape in shapes.values())
    frame = size.agents * SIDE * SIDE * CHANNELS
    convolutions = 20 * 20 * 32 * 8 * 8 * CHANNELS + 9 * 9 * 64 * 4 * 4 * 32
    layers = UNITS * SEEN + UNITS * (UNITS + HIDDEN) + 4 * HIDDEN * UNITS + ACTIONS * HIDDEN
    return Case(
        "step_graph",
        f"tick of {size.agents}" + (" with newer weights" if size.swapped else ""),
        functools.partial(make, size, runtime),
        run,
        reference,
        Cost(
            frame + 4 * (weights + size.agents * HIDDEN),
            size.agents * (4 * ACTIONS + 8),
            {TF32: 2 * size.agents * (convolutions + layers)},
        ),
        TOLERANCE,
        judge=judge,
        waits=True,
    )


def _shapes() -> dict[str, tuple[int, ...]]:
    return {
        "near": (32, CHANNELS, 8, 8),
        "far": (64, 32, 4, 4),
        "seen": (UNITS, SEEN),
        "cell_in": (UNITS, UNITS + HIDDEN),
        "cell_heads": (4 * HIDDEN, UNITS),
        "head": (ACTIONS, HIDDEN),
    }


def _weights(seed: int) -> dict[str, Tensor]:
    numbers, made = generator(seed), {}
    for name, shape in _shapes().items():
        scale = torch.Size(shape[1:]).numel() ** -0.5
        made[name] = torch.randn(shape, generator=numbers) * scale
        made[f"{name}_bias"] = torch.randn(shape[0], generator=numbers) / 4
    return made


def body(inputs: Tensors, weights: Tensors, backend: str = "auto") -> dict[str, Tensor]:
    """frames uint8 [B, 84, 84, 3] and h [B, 256] -> logits [B, 18], actions int64 [B], in the
    dtype of the weights. backend: of the cell's step."""
    w = weights
    x = inputs["frames"].to(w["near"].dtype).permute(0, 3, 1, 2) / 255.0
    x = functional.relu(functional.conv2d(x, w["near"], w["near_bias"], 4))
    x = functional.relu(functional.conv2d(x, w["far"], w["far_bias"], 2)).flatten(1)
    x = functional.relu(functional.linear(x, w["seen"], w["seen_bias"]))
    cell = (w[name] for name in CELL)
    h = cfc_scan(x[None].contiguous(), inputs["h"], None, None, *cell, backend)[0]
    logits = functional.linear(h, w["head"], w["head_bias"])
    return {"logits": logits, "actions": logits.argmax(-1)}


def make(size: Size, runtime: Runtimes, device: torch.device | str, seed: int) -> dict[str, Any]:
    """graph: captured, and with the newer weights where the size says so; frames in main memory; h
    and weights on the device."""
    numbers = generator(seed)
    frames = torch.randint(
        0, 256, (size.agents, SIDE, SIDE, CHANNELS), generator=numbers, dtype=torch.uint8
    )
    h = torch.randn(size.agents, HIDDEN, generator=numbers).tanh().to(device)
    weights, plays = {n: t.to(device) for n, t in _weights(seed).items()}, runtime(device)
    # What lies on the device is read where it is; a played device has none and copies it.
    there = h.is_cuda
    inputs = {"frames": frames} if there else {"frames": frames, "h": h}
    graph = StepGraph(body, inputs, weights, {"h": h} if there else None, plays)
    if not there:
        graph.inputs["h"].copy_(h)
    if size.swapped:
        weights = {n: t.to(device) for n, t in _weights(seed + 1).items()}
        graph.load(weights)
        while graph.pending:
            graph.step()
    return {"graph": graph, "frames": frames, "h": h, "weights": weights, "runtime": plays}


def run(given: Inputs) -> tuple[Tensor, ...]:
    """logits and actions in main memory, by the graph."""
    graph: StepGraph = given["graph"]
    graph.inputs["frames"].copy_(given["frames"])
    graph.step()
    return graph.results["logits"], graph.results["actions"]


def reference(given: Inputs) -> tuple[Tensor, ...]:
    """In float64 on the processor, by torch's definition of the cell."""
    weights = {name: t.cpu().double() for name, t in given["weights"].items()}
    inputs = {"frames": given["frames"], "h": given["h"].cpu().double()}
    found = body(inputs, weights, backend="torch")
    return found["logits"], found["actions"]


def judge(given: Inputs, found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    """Logits by their error over their norm; an action may differ only where the reference's best
    is ahead of it by that much or less."""
    logits, actions = (t.cpu() for t in found)
    if logits.shape != wanted[0].shape or bool(((actions < 0) | (actions >= ACTIONS)).any()):
        return float("inf")
    error = float((logits.double() - wanted[0]).norm() / wanted[0].norm())
    behind = wanted[0].amax(-1) - wanted[0].gather(-1, actions[:, None])[:, 0]
    error = max(error, float((behind / wanted[0].norm(dim=-1)).max()))
    return error / TOLERANCE if error == error else float("inf")


def launched(case: Case, given: Inputs) -> Plain:
    """The same work without a graph: copies in, every kernel, copies out, a wait."""
    device, runtime = given["h"].device, given["runtime"]
    pinned = runtime.pinned(given["frames"])
    results = {n: runtime.pinned(t) for n, t in given["graph"].results.items()}
    inputs = {"frames": given["frames"], "pinned": pinned, "results": results}
    inputs |= {"there": runtime.resident(pinned), "h": given["h"], "weights": given["weights"]}
    return Plain(inputs, body, functools.partial(_launched, device))


def _launched(device: torch.device, step: Step, inputs: Mapping[str, Any]) -> tuple[Tensor, ...]:
    inputs["pinned"].copy_(inputs["frames"])
    inputs["there"].copy_(inputs["pinned"], non_blocking=True)
    found = step({"frames": inputs["there"], "h": inputs["h"]}, inputs["weights"])
    for name, result in inputs["results"].items():
        result.copy_(found[name], non_blocking=True)
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    return inputs["results"]["logits"], inputs["results"]["actions"]

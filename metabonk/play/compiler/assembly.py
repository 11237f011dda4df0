"""From a network to a program: trace it, lower what was traced, name what goes in and out.

The only module that brings tracing and lowering together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metabonk.play.compiler import activations, axes, elements, layers, scans, worlds
from metabonk.play.compiler.lowering import TYPES, Lowering
from metabonk.play.compiler.program import Builder, Program
from metabonk.play.compiler.tracing import ACTION, OUTPUTS, STATE, Deciding, trace
from metabonk.play.compiler.weights import Precision, PrecisionName

RULE_MODULES = (elements, activations, axes, layers, scans, worlds)  # imported for their rules


def assemble(
    decision: Deciding,
    precision: PrecisionName = "fp32",
    *,
    batch: int,
    carried: bool = True,
    outputs: Sequence[str] = (ACTION,),
) -> Program:
    """The program of one decision of `batch` rows.

    carried: the recurrent state is kept in the program from step to step; else it is the input and
    the output `recurrent`. outputs: which of `tracing.OUTPUTS` are wanted.
    """
    traced = trace(decision, batch=batch)
    build = Builder()
    values: dict[str, Any] = dict(traced.constants)
    read = {node.name for node in traced.graph.nodes if node.op == "placeholder" and node.users}
    for name, (place, tensor) in traced.inputs.items():
        type_, sizes = TYPES[tensor.dtype], tuple(tensor.shape)
        if name == STATE and carried:
            values[place] = build.new(type_, sizes)
            if decision.state_size:
                build.states[name] = values[place]
        else:
            values[place] = build.input(name, type_, sizes) if place in read else None
    lower = Lowering(build, Precision(precision))
    results = dict(zip(OUTPUTS, lower.run(traced.graph, values), strict=True))
    for name in outputs:
        view = lower.view(results[name])
        if not view.count:
            continue
        build.outputs[name] = view if _can_stay(view) else build.copy(view)
    if carried and decision.state_size:
        build.copy(lower.view(results[STATE]), into=build.states[STATE])
    return build.finish()


def _can_stay(view: Any) -> bool:
    return bool(view.storage.kind == "arena" and view.is_whole)

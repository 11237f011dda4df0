"""A motor as one native call: the reader, all candidates in one step, their judges, the choice.

Knows the motor and how graphs become programs; does not know who plays. The teacher is left behind:
what is compiled has no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metabonk.errors import CompileError
from metabonk.models.motor import Motor, MotorPolicy
from metabonk.play.compiled import CompiledPolicy, Terms
from metabonk.play.compiler.assembly import RULE_MODULES
from metabonk.play.compiler.lowering import TYPES, Lowering
from metabonk.play.compiler.program import Builder, Program
from metabonk.play.compiler.tracing import ACTION, NORMAL, capture, example
from metabonk.play.compiler.weights import Precision, PrecisionName

CANDIDATE, SCORE = "candidate", "score"
OUTPUTS = (ACTION, CANDIDATE, SCORE)
assert RULE_MODULES  # imported for their rules


class MotorDecision(nn.Module):
    """One decision as a pure function of tensors."""

    def __init__(self, motor: Motor, beta: float) -> None:
        super().__init__()
        self.motor, self.beta = motor, beta

    def forward(
        self, observation: Mapping[str, Tensor], normal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Action [B, columns], candidate [B] and its score [B]; normal [B, N, width]."""
        chosen = self.motor.decide(observation, normal, beta=self.beta)
        return chosen.rows, chosen.candidate, chosen.score


def compile_motor(
    policy: MotorPolicy, precision: PrecisionName = "fp32", *, batch: int = 1
) -> CompiledPolicy:
    """Compiles what a MotorPolicy does for `batch` games; its outputs are `action`, `candidate`
    int32 [B] and `score` float32 [B].

    The noise is the compiled policy's own, drawn from the policy's seed, or handed in as `normal`
    [B, N, width]. Raises CompileError for a policy that samples its teacher, or that names what
    cannot be compiled.
    """
    if policy.sampler != "student":
        raise CompileError("sampler: the teacher takes many steps; compile the student")
    if batch < 1:
        raise CompileError(f"batch: {batch} rows; wanted one or more")
    program = _assemble(policy, precision, batch)
    columns = policy.motor.layout.columns
    terms = Terms(batch=batch, precision=precision, sampled=True, seed=policy.seed, columns=columns)
    return CompiledPolicy(program, terms)


def _assemble(policy: MotorPolicy, precision: PrecisionName, batch: int) -> Program:
    motor = policy.motor
    given = example(motor, batch)
    if NORMAL in given:
        raise CompileError(f"observation: {NORMAL} is the name of the motor's own input; rename it")
    normal = torch.zeros(batch, policy.candidates, motor.points.width)
    decision = MotorDecision(motor, policy.beta)
    graph, places, values = capture(decision, (given, normal))
    used = {node.name for node in graph.nodes if node.op == "placeholder" and node.users}
    build, read = Builder(), dict[str, Any](values)
    for (name, tensor), place in zip({**given, NORMAL: normal}.items(), places, strict=True):
        type_ = TYPES[tensor.dtype]
        read[place] = build.input(name, type_, tuple(tensor.shape)) if place in used else None
    low = Lowering(build, Precision(precision))
    for name, result in zip(OUTPUTS, low.run(graph, read), strict=True):
        build.outputs[name] = build.copy(low.view(result))
    return build.finish()

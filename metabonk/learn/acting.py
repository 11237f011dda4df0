"""Acting in a rollout: a network decides for all games at once and writes into the rollout's slots.

Knows ActorCritic, compiled policies and rollouts; does not know games or losses. The two ways give
the same decisions up to rounding: torch, and the network compiled to one native call, whose weights
are taken anew before every rollout.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metabonk.learn.rollout import Rollout
from metabonk.models.policy import ActorCritic, Output
from metabonk.play.compiled import CompiledPolicy, Team, Terms

ROUNDS = 5
SHARED = 128  # games that are worth a thread of their own
WORTH_IT = 0.9  # part of torch's time that the compiled network must stay below


class Acting(Protocol):
    """Fills the slots of one rollout: `take_place`, then for every rollout `begin`, `decide` step
    by step, and `evaluate` for the last slot."""

    name: str

    def take_place(self, rollout: Rollout) -> None:
        """From now on slots are those of `rollout`."""

    def begin(self, uniform: Tensor, normal: Tensor) -> None:
        """A rollout begins, with random numbers [S, N, choices] and [S, N, columns]."""

    def decide(self, t: int) -> None:
        """From slot t: its value, the action, its log-probabilities, the state of slot t + 1."""

    def evaluate(self, t: int) -> None:
        """From slot t: its value alone."""


class TorchActing:
    """The network as torch runs it."""

    name = "torch"

    def __init__(self, model: ActorCritic) -> None:
        self.model = model

    def take_place(self, rollout: Rollout) -> None:
        self._tensors = tensors = rollout.tensors()
        keys = list(rollout.observation)
        self._seen = [
            {key: tensors[f"observation.{key}"][t] for key in keys}
            for t in range(len(rollout.value))
        ]

    def begin(self, uniform: Tensor, normal: Tensor) -> None:
        self._uniform, self._normal = uniform, normal

    def decide(self, t: int) -> None:
        tensors = self._tensors
        out = self._evaluate(t)
        if self.model.state_size:
            tensors["state"][t + 1] = out.state
        self.model.head.sample(
            out.parameters,
            self._seen[t].get("action_mask"),
            self._uniform[t],
            self._normal[t],
            tensors["action"][t],
            tensors["log_prob"][t],
        )

    def evaluate(self, t: int) -> None:
        self._evaluate(t)

    def _evaluate(self, t: int) -> Output:
        tensors = self._tensors
        out = self.model.step(self._seen[t], tensors["state"][t], tensors["is_first"][t])
        tensors["value"][t] = out.value
        return out


class CompiledActing:
    """The network as native calls, one per step, compiled for `batch` games: in as many parts as
    there are `threads` and games enough, which decide side by side. Every game's numbers are the
    same in any number of parts. Raises CompileError for a network that cannot be compiled."""

    name = "compiled"

    def __init__(self, model: ActorCritic, batch: int, threads: int = 1) -> None:
        parts = max(1, min(threads, batch // SHARED))
        ends = [batch * part // parts for part in range(parts + 1)]
        self.model = model
        self._rows = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.policies = [_compiled(model, rows.stop - rows.start) for rows in self._rows]
        self._team = Team(self.policies) if parts > 1 else None

    def take_place(self, rollout: Rollout) -> None:
        steps, batch = rollout.reward.shape
        head = self.model.head
        self._uniform = np.zeros((steps, batch, head.categorical), np.float32)
        self._normal = np.zeros((steps, batch, head.continuous), np.float32)
        self._steps = [self._bind(rollout, t) for t in range(steps + 1)]

    def _bind(self, rollout: Rollout, t: int) -> Callable[[], object]:
        """Slot t: all there is to decide, or its value alone if it is the last one."""
        inputs = {key: array[t] for key, array in rollout.observation.items()}
        inputs |= {"recurrent": rollout.state[t], "is_first": rollout.is_first[t]}
        outputs = {"value": rollout.value[t]}
        if t < len(rollout.reward):
            inputs |= {"uniform": self._uniform[t], "normal": self._normal[t]}
            outputs |= {"action": rollout.action[t], "log_prob": rollout.log_prob[t]}
            if self.model.state_size:
                outputs["recurrent"] = rollout.state[t + 1]
        bound = []
        for policy, rows in zip(self.policies, self._rows, strict=True):
            read = {name: inputs[name][rows] for name in policy.inputs if name in inputs}
            written = {name: array[rows] for name, array in outputs.items()}
            bound.append(policy.bind_all(read, written))
        return bound[0].step if self._team is None else self._team.bind(bound)

    def begin(self, uniform: Tensor, normal: Tensor) -> None:
        np.copyto(self._uniform, uniform.numpy())
        np.copyto(self._normal, normal.numpy())
        for policy in self.policies:
            policy.refresh()

    def decide(self, t: int) -> None:
        self._steps[t]()

    def evaluate(self, t: int) -> None:
        self._steps[t]()


def _compiled(model: ActorCritic, batch: int) -> CompiledPolicy:
    from metabonk.play.compiler.assembly import assemble
    from metabonk.play.compiler.tracing import OUTPUTS, Decision

    program = assemble(Decision(model, True), batch=batch, carried=False, outputs=OUTPUTS)
    columns = model.head.layout.columns
    terms = Terms(batch=batch, precision="fp32", sampled=True, seed=0, columns=columns)
    return CompiledPolicy(program, terms)


def quicker(
    model: ActorCritic, rollout: Rollout, threads: int = 1
) -> tuple[Acting, dict[str, float]]:
    """The way that fills a rollout of these sizes in less time, and the seconds that each takes.
    threads: that the compiled network may use.

    Measured on a rollout of its own: nothing that is given changes and no random number is drawn.
    """
    scratch = Rollout.like(rollout)
    ways: list[Acting] = [TorchActing(model), CompiledActing(model, rollout.num_envs, threads)]
    uniform = torch.zeros(*rollout.reward.shape, model.head.categorical)
    normal = torch.zeros(*rollout.reward.shape, model.head.continuous)
    seconds: dict[str, float] = {}
    for acting in ways:
        acting.take_place(scratch)
        seconds[acting.name] = min(_seconds(acting, uniform, normal) for _ in range(ROUNDS))
    first, second = ways
    better = seconds[second.name] < WORTH_IT * seconds[first.name]
    return (second if better else first), seconds


def _seconds(acting: Acting, uniform: Tensor, normal: Tensor) -> float:
    began = time.perf_counter()
    with torch.inference_mode():
        acting.begin(uniform, normal)
        for t in range(len(uniform)):
            acting.decide(t)
    return time.perf_counter() - began

"""From a policy to a graph: what one decision computes, as torch exports it.

Knows networks and their heads; does not know programs.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces as gs
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from metabonk.errors import CompileError
from metabonk.models.heads import ActionHead
from metabonk.models.motor import Motor
from metabonk.models.policy import ActorCritic
from metabonk.play.compiler.constants import Constant, fixed, held

ACTION, LOG_PROB, VALUE, STATE = "action", "log_prob", "value", "recurrent"
IS_FIRST, UNIFORM, NORMAL = "is_first", "uniform", "normal"


class Deciding(nn.Module, ABC):
    """One step of whoever decides, with its action: a pure function of tensors.

    sampled: the action is drawn with `uniform` [B, uniforms] and `normal` [B, normals], else it is
    the likeliest.
    """

    def __init__(self, sampled: bool) -> None:
        super().__init__()
        self.sampled = sampled

    @property
    @abstractmethod
    def space(self) -> gs.Dict:
        """Of one game's observations."""

    @property
    @abstractmethod
    def head(self) -> ActionHead: ...

    @property
    @abstractmethod
    def state_size(self) -> int:
        """Numbers that are carried from step to step."""

    @property
    def uniforms(self) -> int:
        return self.head.categorical

    @property
    def normals(self) -> int:
        return self.head.continuous

    @abstractmethod
    def forward(
        self,
        observation: Mapping[str, Tensor],
        state: Tensor,
        is_first: Tensor,
        uniform: Tensor,
        normal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Action [B, columns], log-probability [B, branches] (zeros unless sampled), value [B] and
        the next state [B, state_size]."""

    def act(
        self, parameters: Tensor, mask: Tensor | None, uniform: Tensor, normal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Action and log-probability for parameters [B, outputs] of the head."""
        head, batch = self.head, len(parameters)
        log_prob = torch.zeros(batch, len(head.layout.branches))
        if not self.sampled:
            return head.mode(parameters, mask), log_prob
        rows = torch.zeros(batch, head.layout.columns)
        head.sample(parameters, mask, uniform, normal, rows, log_prob)
        return rows, log_prob


class Decision(Deciding):
    """Of a network."""

    def __init__(self, model: ActorCritic, sampled: bool) -> None:
        super().__init__(sampled)
        self.model = model

    @property
    def space(self) -> gs.Dict:
        return self.model.space

    @property
    def head(self) -> ActionHead:
        return self.model.head

    @property
    def state_size(self) -> int:
        return self.model.state_size

    def forward(
        self,
        observation: Mapping[str, Tensor],
        state: Tensor,
        is_first: Tensor,
        uniform: Tensor,
        normal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = self.model.step(observation, state, is_first)
        mask = observation.get("action_mask")
        rows, log_prob = self.act(out.parameters, mask, uniform, normal)
        return rows, log_prob, out.value, out.state


OUTPUTS = (ACTION, LOG_PROB, VALUE, STATE)  # in the order in which a decision returns them


@dataclass(frozen=True)
class Trace:
    """graph: of ATen's operators and ours. inputs: example of each input that is the caller's, by
    name, with the placeholder that stands for it. constants: by placeholder."""

    graph: torch.fx.Graph
    inputs: dict[str, tuple[str, Tensor]]
    constants: dict[str, Constant]


def example(model: ActorCritic | Motor | Deciding, batch: int) -> dict[str, Tensor]:
    """An observation of zeros for every input, by key in sorted order."""
    spaces = sorted(model.space.spaces.items())
    return {
        key: torch.zeros((batch, *(sub.shape or ())), dtype=_dtype(key, sub.dtype))
        for key, sub in spaces
    }


def _dtype(key: str, dtype: object) -> torch.dtype:
    found: torch.dtype = getattr(torch, str(dtype))
    if found not in (torch.float32, torch.int32, torch.uint8, torch.bool):
        raise CompileError(
            f"observation {key!r} is {dtype}; compiled are float32, int32, uint8 and bool"
        )
    return found


def trace(decision: Deciding, *, batch: int) -> Trace:
    """What one decision of `batch` rows computes. Its networks are left as they are."""
    observation = example(decision, batch)
    given = {
        **observation,
        STATE: torch.zeros(batch, decision.state_size),
        IS_FIRST: torch.zeros(batch, dtype=torch.bool),
        UNIFORM: torch.zeros(batch, decision.uniforms),
        NORMAL: torch.zeros(batch, decision.normals),
    }
    if len(given) != len(observation) + 4:
        raise CompileError(
            f"observation: {', '.join((STATE, IS_FIRST, UNIFORM, NORMAL))} are names of the "
            "policy's own inputs; rename the game's"
        )
    arguments = (observation, *(given[key] for key in (STATE, IS_FIRST, UNIFORM, NORMAL)))
    graph, placeholders, constants = capture(decision, arguments)
    inputs = {name: (place, given[name]) for name, place in zip(given, placeholders, strict=True)}
    return Trace(graph, inputs, constants)


def capture(
    module: nn.Module, arguments: tuple[object, ...]
) -> tuple[torch.fx.Graph, list[str], dict[str, Constant]]:
    """What a module computes: its graph, the placeholders of the tensors among `arguments` in their
    order, and by placeholder the module's own tensors, which follow its training."""
    with torch.no_grad(), warnings.catch_warnings():
        # torch's own, about a name that it uses itself.
        warnings.filterwarnings("ignore", "`isinstance\\(treespec", FutureWarning)
        exported = torch.export.export(module, arguments, strict=False)
        table = torch.export.default_decompositions()
        # A part that is written is to stay that, and not become a choice for every element.
        # The same of functions that are one instruction.
        aten = torch.ops.aten
        for whole in (aten.select_scatter.default, aten.softplus.default, aten.silu.default):
            del table[whole]
        exported = exported.run_decompositions(table)
    constants: dict[str, Constant] = {}
    placeholders: list[str] = []
    for spec in exported.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            placeholders.append(spec.arg.name)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            constants[spec.arg.name] = fixed(exported.constants[spec.target])
        else:
            constants[spec.arg.name] = held(module, str(spec.target))
    return exported.graph_module.graph, placeholders, constants

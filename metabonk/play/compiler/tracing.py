"""From a policy to a graph: what one decision computes, as torch exports it.

Knows networks and their heads; does not know programs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from metabonk.errors import CompileError
from metabonk.models.motor import Motor
from metabonk.models.policy import ActorCritic

ACTION, LOG_PROB, VALUE, STATE = "action", "log_prob", "value", "recurrent"
IS_FIRST, UNIFORM, NORMAL = "is_first", "uniform", "normal"


class Decision(nn.Module):
    """One step of a policy with its action: a pure function of tensors.

    sampled: the action is drawn with `uniform` and `normal`, else it is the likeliest.
    """

    def __init__(self, model: ActorCritic, sampled: bool) -> None:
        super().__init__()
        self.model = model
        self.sampled = sampled

    def forward(
        self,
        observation: Mapping[str, Tensor],
        state: Tensor,
        is_first: Tensor,
        uniform: Tensor,
        normal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Action [B, columns], log-probability [B, branches] (zeros unless sampled), value [B] and
        the next state [B, S]."""
        head, batch = self.model.head, len(is_first)
        out = self.model.step(observation, state, is_first)
        mask = observation.get("action_mask")
        log_prob = torch.zeros(batch, len(head.layout.branches))
        if self.sampled:
            rows = torch.zeros(batch, head.layout.columns)
            head.sample(out.parameters, mask, uniform, normal, rows, log_prob)
        else:
            rows = head.mode(out.parameters, mask)
        return rows, log_prob, out.value, out.state


OUTPUTS = (ACTION, LOG_PROB, VALUE, STATE)  # in the order in which Decision returns them


@dataclass(frozen=True)
class Trace:
    """graph: of ATen's operators and ours. inputs: example of each input that is the caller's, by
    name, with the placeholder that stands for it. constants: by placeholder."""

    graph: torch.fx.Graph
    inputs: dict[str, tuple[str, Tensor]]
    constants: dict[str, Tensor]


def example(model: ActorCritic | Motor, batch: int) -> dict[str, Tensor]:
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


def trace(model: ActorCritic, *, batch: int, sampled: bool) -> Trace:
    """What one decision of `batch` rows computes. The model is left as it is."""
    observation, head = example(model, batch), model.head
    given = {
        **observation,
        STATE: model.initial_state(batch),
        IS_FIRST: torch.zeros(batch, dtype=torch.bool),
        UNIFORM: torch.zeros(batch, head.categorical),
        NORMAL: torch.zeros(batch, head.continuous),
    }
    if len(given) != len(observation) + 4:
        raise CompileError(
            f"observation: {', '.join((STATE, IS_FIRST, UNIFORM, NORMAL))} are names of the "
            "policy's own inputs; rename the game's"
        )
    arguments = (observation, *(given[key] for key in (STATE, IS_FIRST, UNIFORM, NORMAL)))
    graph, placeholders, constants = capture(Decision(model, sampled), arguments)
    inputs = {name: (place, given[name]) for name, place in zip(given, placeholders, strict=True)}
    return Trace(graph, inputs, constants)


def capture(
    module: nn.Module, arguments: tuple[object, ...]
) -> tuple[torch.fx.Graph, list[str], dict[str, Tensor]]:
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
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    constants: dict[str, Tensor] = {}
    placeholders: list[str] = []
    for spec in exported.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            placeholders.append(spec.arg.name)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            constants[spec.arg.name] = exported.constants[spec.target]
        else:
            constants[spec.arg.name] = held[spec.target].detach()
    return exported.graph_module.graph, placeholders, constants

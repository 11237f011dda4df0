"""The closed-form continuous-time cell with the true time step (Hasani et al. 2022).

Knows torch and the operations `cfc_cell` and `cfc_scan`, where the formula is. Does not know
observations, actions or where the time step comes from.

Parameter names and shapes are those of the `ncps` package's `CfCCell` in its default mode with one
backbone layer, so that weights can be exchanged and parity can be tested; in memory the four heads
are one layer.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from metabonk.ops.cfc_cell import cfc_cell
from metabonk.ops.cfc_scan import cfc_scan

HEADS = ("ff1", "ff2", "time_a", "time_b")  # in the order of the fused layer's rows


class CfCCell(nn.Module):
    """One CfC layer: `inputs`, `hidden` and `backbone` are widths.

    `forward` is one step, `sequence` unrolls T of them; both reset where told and take the time
    step of every element in units in which typical steps are about 1.
    """

    def __init__(self, inputs: int, hidden: int, backbone: int = 128) -> None:
        super().__init__()
        self.input_size = inputs
        self.hidden_size = hidden
        self.backbone = nn.Sequential(nn.Linear(inputs + hidden, backbone))
        self.heads = nn.Linear(backbone, len(HEADS) * hidden)
        nn.init.xavier_uniform_(self.backbone[0].weight)  # type: ignore[arg-type]
        for weight in self.heads.weight.detach().chunk(len(HEADS)):
            nn.init.xavier_uniform_(weight)
        self.register_state_dict_post_hook(_split_heads)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_join_heads)  # type: ignore[no-untyped-call]

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As the operations take them: w_in, b_in, w_heads, b_heads."""
        first = cast(nn.Linear, self.backbone[0])
        return first.weight, first.bias, self.heads.weight, self.heads.bias

    def forward(
        self, x: Tensor, h: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """One step: x [B, inputs], h [B, hidden], dt [B, 1], keep [B, 1] (0 forgets) -> h'."""
        return cfc_cell(x, h, dt, keep, *self.weights())

    def sequence(
        self, x: Tensor, h: Tensor, dt: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Unrolls: x [T, B, inputs], h [B, hidden], dt and keep [T, B, 1] -> [T, B, hidden]."""
        return cfc_scan(x, h, dt, keep, *self.weights())


def _split_heads(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    for kind in ("weight", "bias"):
        parts = state.pop(f"{prefix}heads.{kind}").chunk(len(HEADS))
        state.update({f"{prefix}{name}.{kind}": p for name, p in zip(HEADS, parts, strict=True)})


def _join_heads(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for kind in ("weight", "bias"):
        names = [f"{prefix}{name}.{kind}" for name in HEADS]
        if all(name in state for name in names):
            state[f"{prefix}heads.{kind}"] = torch.cat([state.pop(name) for name in names])

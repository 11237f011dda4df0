"""CfC: a recurrent network of closed-form continuous-time cells (Hasani et al. 2022), in place of
`ncps.torch.CfC`: the same constructor, the same names in the state_dict, the same results.

Knows torch and the cells (cfc_cell.py, cfc_general.py); does not know observations or actions. The
default form, one backbone layer with LeCun's tanh, runs through the operation `cfc_scan`; the
others run in plain torch.

One thing is as ncps says and not as it does: `timespans` holds one number per row and step.
Version 1.0.1 multiplies a row's number along the units instead, which fails unless the batch is 1
or happens to equal the number of units.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from metabonk.models.cfc_cell import HEADS, CfCCell
from metabonk.models.cfc_general import GeneralCfCCell, Mode, WiredCfCCell, Wiring, activation
from metabonk.ops import cfc_scan

__all__ = ["HEADS", "CfC", "CfCCell", "GeneralCfCCell", "WiredCfCCell"]

State = Tensor | tuple[Tensor, Tensor]


class LSTMCell(nn.Module):
    """The memory beside the state of `mixed_memory` (Lechner & Hasani 2020): an LSTM whose forget
    gate starts open."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_map = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent_map = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        nn.init.xavier_uniform_(self.input_map.weight)
        nn.init.uniform_(self.input_map.bias, -0.1, 0.1)
        nn.init.orthogonal_(self.recurrent_map.weight)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, inputs], h and c [B, hidden] -> the next h and c."""
        new, write, keep, show = (self.input_map(x) + self.recurrent_map(h)).chunk(4, 1)
        c = c * torch.sigmoid(keep + 1.0) + torch.tanh(new) * torch.sigmoid(write)
        return torch.tanh(c) * torch.sigmoid(show), c


class CfC(nn.Module):
    """Arguments as `ncps.torch.CfC` has them.

    input_size: features of the input; None with a wiring that is built. units: of the state, or a
    wiring of ncps. proj_size: outputs of a linear layer behind it, None for none.
    return_sequences: all steps' outputs or the last one's. batch_first: [B, L, C] or [L, B, C].
    mixed_memory: an LSTM's memory beside the state. mode: default, pure or no_gate. activation, and
    backbone_units (128), backbone_layers (1), backbone_dropout (0): of the backbone; not with a
    wiring. Raises ValueError that names the argument.
    """

    def __init__(
        self,
        input_size: int | None,
        units: int | Wiring,
        proj_size: int | None = None,
        return_sequences: bool = True,
        batch_first: bool = True,
        mixed_memory: bool = False,
        mode: Mode = "default",
        activation: str = "lecun_tanh",
        backbone_units: int | None = None,
        backbone_layers: int | None = None,
        backbone_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.proj_size = proj_size
        self.return_sequences = return_sequences
        self.batch_first = batch_first
        self.use_mixed = mixed_memory
        backbone = {
            "backbone_units": backbone_units,
            "backbone_layers": backbone_layers,
            "backbone_dropout": backbone_dropout,
        }
        self.rnn_cell: CfCCell | GeneralCfCCell | WiredCfCCell
        if isinstance(units, int):
            self.state_size = self.output_size = units
            self.rnn_cell = _cell(
                _given("input_size", input_size),
                units,
                mode,
                activation,
                128 if backbone_units is None else backbone_units,
                1 if backbone_layers is None else backbone_layers,
                backbone_dropout or 0.0,
            )
        else:
            for name, value in backbone.items():
                if value is not None:
                    raise ValueError(f"{name}: {value}; a wired cell has no backbone")
            self.rnn_cell = WiredCfCCell(input_size, units, mode)
            self.state_size = units.units
            self.output_size = _given("the wiring's output_dim", units.output_dim)
        if mixed_memory:
            self.lstm = LSTMCell(_given("input_size", input_size), self.state_size)
        self.fc = nn.Identity() if proj_size is None else nn.Linear(self.output_size, proj_size)

    def forward(
        self, input: Tensor, hx: State | None = None, timespans: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The outputs and the state after the last step.

        input: [B, L, C], or [L, B, C] unless batch_first, or [L, C] without a batch. hx: [B, units]
        or without a batch [units]; zeros if None; two of them with mixed_memory. timespans: one
        per row and step, [B, L] or [B, L, 1] in the order of the input; 1 if None. Raises
        ValueError.
        """
        alone = input.dim() == 2
        if alone:
            input = input[None] if self.batch_first else input[:, None]
        if input.dim() != 3 or 0 in input.shape:
            raise ValueError(f"input: {list(input.shape)}; wanted three lengths of 1 or more")
        x = input.transpose(0, 1).contiguous() if self.batch_first else input.contiguous()
        h, c = self._start(hx, x, alone)
        dt = self._spans(timespans, x, alone)
        if self.use_mixed:
            out, h, c = self._mixed(x, h, cast(Tensor, c), dt)
        else:
            out, h = self._run(x, h, dt)
        out = self.fc(out if self.return_sequences else out[-1])
        if self.return_sequences and self.batch_first:
            out = out.transpose(0, 1)
        if alone:
            out = out.squeeze(0 if self.batch_first or not self.return_sequences else 1)
            h, c = h[0], None if c is None else c[0]
        return out, h if c is None else (h, c)

    def _run(self, x: Tensor, h: Tensor, dt: Tensor | None) -> tuple[Tensor, Tensor]:
        """Steps in a row: x [T, B, inputs], h [B, units], dt [T, B, 1] -> outputs and state."""
        cell = self.rnn_cell
        if isinstance(cell, WiredCfCCell):
            return cell.sequence(x, h, dt)
        if isinstance(cell, GeneralCfCCell):
            out = cell.sequence(x, h, dt)
        elif dt is not None and dt.shape[2] != 1:  # per unit, as ncps can be made to take it
            out = cfc_scan.reference(x, h, dt, None, *cell.weights())
        else:
            out = cell.sequence(x, h, dt)
        return out, out[-1]

    def _mixed(
        self, x: Tensor, h: Tensor, c: Tensor, dt: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        out = []
        for i in range(len(x)):
            h, c = self.lstm(x[i], h, c)
            step, h = self._run(x[i : i + 1], h, None if dt is None else dt[i : i + 1])
            out.append(step[0])
        return torch.stack(out), h, c

    def _start(self, hx: State | None, x: Tensor, alone: bool) -> tuple[Tensor, Tensor | None]:
        """h, and c with mixed memory, [B, units] each."""
        shape = (x.shape[1], self.state_size)
        if hx is None:
            zeros = x.new_zeros(shape)
            return zeros, zeros if self.use_mixed else None
        if isinstance(hx, Tensor) == self.use_mixed:
            raise ValueError("hx: a tensor, or with mixed_memory a pair of them")
        states = [hx] if isinstance(hx, Tensor) else list(hx)
        for state in states:
            if tuple(state.shape) != (shape[1:] if alone else shape):
                wanted = list(shape[1:] if alone else shape)
                raise ValueError(f"hx: {list(state.shape)}; wanted {wanted}")
        states = [state.reshape(shape) for state in states]
        return states[0], states[1] if self.use_mixed else None

    def _spans(self, timespans: Tensor | None, x: Tensor, alone: bool) -> Tensor | None:
        """As [T, B, 1], or [T, B, units] for one per unit."""
        if timespans is None:
            return None
        dt = timespans
        if alone:
            dt = dt[None] if self.batch_first else dt[:, None]
        dt = dt[..., None] if dt.dim() == 2 else dt
        dt = dt.transpose(0, 1) if self.batch_first and dt.dim() == 3 else dt
        if dt.shape[:-1] != x.shape[:2] or dt.shape[-1] not in (1, self.state_size):
            raise ValueError(f"timespans: {list(timespans.shape)}; wanted one per row and step")
        return dt.to(x.dtype).contiguous()


def _given(name: str, value: int | None) -> int:
    if value is None:
        raise ValueError(f"{name}: None; wanted a number")
    return value


def _cell(
    inputs: int, units: int, mode: Mode, bend: str, width: int, layers: int, dropout: float
) -> CfCCell | GeneralCfCCell:
    """The form with an operation of its own where it is asked for."""
    activation(bend)
    if mode == "default" and bend == "lecun_tanh" and layers == 1:
        return CfCCell(inputs, units, width)
    return GeneralCfCCell(inputs, units, mode, bend, width, layers, dropout)

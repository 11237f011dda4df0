"""CfC cells in every form that the `ncps` package has: other modes, activations and depths of the
backbone, sparse weights, and layers of cells along a wiring.

Knows torch and the rules of those forms; does not know sequences in batches first, projections or
memory beside the state (cfc.py). These run in plain torch; the form that is used most has an
operation of its own (cfc_cell.py). Parameter names and shapes are ncps's.

    u  = the backbone's output, or [x, h] without one
    f1 = tanh(F1 u),  f2 = tanh(F2 u),  t = sigmoid((A u) dt + B u)       F1 and F2 times the mask
    h' = (1 - t) f1 + t f2                                       mode default
    h' = f1 + t f2                                               mode no_gate
    h' = a - a exp(-dt (|w| + |F1 u|)) F1 u                      mode pure
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Mode = Literal["default", "pure", "no_gate"]
MODES = ("default", "pure", "no_gate")


class LecunTanh(nn.Module):
    """1.7159 tanh(0.666 x) (LeCun et al. 1998)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(0.666 * x)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "lecun_tanh": LecunTanh,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}


class Wiring(Protocol):
    """What a wiring of ncps says of itself; which neuron may hear which."""

    units: int
    input_dim: int | None
    output_dim: int | None
    adjacency_matrix: NDArray[np.int32]
    sensory_adjacency_matrix: NDArray[np.int32]

    @property
    def num_layers(self) -> int: ...
    def get_neurons_of_layer(self, layer_id: int) -> list[int]: ...
    def is_built(self) -> bool: ...
    def build(self, input_dim: int) -> None: ...


def activation(name: str) -> type[nn.Module]:
    """The module of this name. Raises ValueError that lists those there are."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: {name!r}; wanted one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class GeneralCfCCell(nn.Module):
    """One cell; arguments as ncps's `CfCCell` has them.

    sparsity_mask [inputs + hidden, hidden], as a wiring's adjacency has it: ff1 and ff2 see only
    what is not 0 there. Without a backbone only.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        mode: Mode = "default",
        backbone_activation: str = "lecun_tanh",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        backbone_dropout: float = 0.0,
        sparsity_mask: NDArray[np.generic] | None = None,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode: {mode!r}; wanted one of {', '.join(MODES)}")
        self.input_size, self.hidden_size, self.mode = input_size, hidden_size, mode
        self.sparsity_mask = None
        if sparsity_mask is not None:
            mask = torch.from_numpy(np.abs(sparsity_mask.T).astype(np.float32))
            self.sparsity_mask = nn.Parameter(mask, requires_grad=False)
        bend = activation(backbone_activation)
        width = input_size + hidden_size
        layers: list[nn.Module] = []
        for i in range(backbone_layers):
            layers += [nn.Linear(width, backbone_units), bend()]
            if i > 0 and backbone_dropout > 0.0:  # as ncps has it: none after the first layer
                layers.append(nn.Dropout(backbone_dropout))
            width = backbone_units
        self.backbone = nn.Sequential(*layers) if layers else None
        self.ff1 = nn.Linear(width, hidden_size)
        if mode == "pure":
            self.w_tau = nn.Parameter(torch.zeros(1, hidden_size))
            self.A = nn.Parameter(torch.ones(1, hidden_size))
        else:
            self.ff2 = nn.Linear(width, hidden_size)
            self.time_a = nn.Linear(width, hidden_size)
            self.time_b = nn.Linear(width, hidden_size)
        for parameter in self.parameters():
            if parameter.dim() == 2 and parameter.requires_grad:
                nn.init.xavier_uniform_(parameter)

    def _first(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the layer that sees [x, h]: the backbone's first, or all heads."""
        if self.backbone is not None:
            first = cast(nn.Linear, self.backbone[0])
            return first.weight, first.bias
        return self._heads()

    def _heads(self) -> tuple[Tensor, Tensor]:
        """Weight [heads * hidden, width] and bias of all heads as one layer, masks applied."""
        masked = [self.ff1] if self.mode == "pure" else [self.ff1, self.ff2]
        plain = [] if self.mode == "pure" else [self.time_a, self.time_b]
        mask = 1.0 if self.sparsity_mask is None else self.sparsity_mask
        weights = [layer.weight * mask for layer in masked] + [layer.weight for layer in plain]
        return torch.cat(weights), torch.cat([layer.bias for layer in masked + plain])

    def sequence(self, x: Tensor, h: Tensor, dt: Tensor | None) -> Tensor:
        """x [T, B, inputs], h [B, hidden], dt [T, B, 1] or [T, B, hidden] -> [T, B, hidden]."""
        weight, bias = self._first()
        w_x, w_h = weight.tensor_split([self.input_size], 1)
        driven = F.linear(x, w_x, bias)  # of all steps in one product
        heads = self._heads() if self.backbone is not None else None
        out = []
        for i in range(len(x)):
            u = torch.addmm(driven[i], h, w_h.t())
            if heads is not None:
                for layer in list(cast(nn.Sequential, self.backbone))[1:]:
                    u = layer(u)
                u = F.linear(u, *heads)
            h = self._mix(u, None if dt is None else dt[i])
            out.append(h)
        return torch.stack(out)

    def _mix(self, heads: Tensor, dt: Tensor | None) -> Tensor:
        """The next state from the heads' sums."""
        if self.mode == "pure":
            rate = self.w_tau.abs() + heads.abs()
            return self.A - self.A * torch.exp(-(rate if dt is None else rate * dt)) * heads
        f1, f2, a, b = heads.chunk(4, 1)
        gate = torch.sigmoid((a if dt is None else a * dt) + b)
        if self.mode == "no_gate":
            return torch.tanh(f1) + gate * torch.tanh(f2)
        return torch.lerp(torch.tanh(f1), torch.tanh(f2), gate)


class WiredCfCCell(nn.Module):
    """Layers of cells along a wiring: each hears the one below where the wiring has a synapse, and
    itself. Its state is all layers' side by side, its output the last layer's."""

    def __init__(self, input_size: int | None, wiring: Wiring, mode: Mode = "default") -> None:
        super().__init__()
        if input_size is not None:
            wiring.build(input_size)
        if not wiring.is_built() or wiring.input_dim is None:
            raise ValueError("input_size: None, and the wiring is not built; give one of the two")
        self.layer_sizes: list[int] = []
        below: Sequence[int] | None = None
        inputs = wiring.input_dim
        for i in range(wiring.num_layers):
            neurons = wiring.get_neurons_of_layer(i)
            heard = (
                wiring.sensory_adjacency_matrix[:, neurons]
                if below is None
                else wiring.adjacency_matrix[:, neurons][below, :]
            )
            mask = np.concatenate([heard, np.ones((len(neurons), len(neurons)))])
            cell = GeneralCfCCell(inputs, len(neurons), mode, backbone_layers=0, sparsity_mask=mask)
            self.add_module(f"layer_{i}", cell)
            self.layer_sizes.append(len(neurons))
            below, inputs = neurons, len(neurons)

    def sequence(self, x: Tensor, h: Tensor, dt: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [T, B, inputs], h [B, units] -> the last layer's states [T, B, outputs], and those of
        all layers after the last step [B, units]. A layer runs through all steps before the next
        one starts: nothing goes down again within a step."""
        states = []
        for cell, state in zip(self.children(), torch.split(h, self.layer_sizes, 1), strict=True):
            per_unit = dt is not None and dt.shape[2] > 1
            if per_unit:
                raise ValueError("timespans: a wired cell takes one per row and step")
            x = cast(GeneralCfCCell, cell).sequence(x, state, dt)
            states.append(x[-1])
        return x, torch.cat(states, 1)

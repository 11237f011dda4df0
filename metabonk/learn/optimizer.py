"""Adam over one flat vector. Knows torch; does not know losses.

All parameters of a module move into one contiguous buffer and all gradients into another; the
module's own tensors become views. A step, a norm and a reduction across processes are then one call
each, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from metabonk.errors import CheckpointError
from metabonk.protocols import Array

ADAM_EPSILON = 1e-5  # larger than torch's default, as usual for PPO (Huang et al. 2022)


class FlatAdam:
    """Adam (Kingma & Ba 2015) for `module`, which keeps working as before.

    gradient: float32 [parameters], accumulated by backward passes until `zero`.
    """

    def __init__(self, module: nn.Module) -> None:
        parameters = list(module.parameters())
        flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.flat = nn.Parameter(flat)
        self.gradient = self.share(module)
        self.flat.grad = self.gradient
        self._adam = torch.optim.Adam([self.flat], eps=ADAM_EPSILON, fused=True)

    def share(self, module: nn.Module) -> Tensor:
        """Gives these weights to `module`, which has the same parameters, and returns a gradient
        [parameters] of its own, into which its backward passes add up."""
        gradient = torch.zeros(self.flat.numel())
        start = 0
        for parameter in module.parameters():
            stop = start + parameter.numel()
            parameter.data = self.flat.detach()[start:stop].view_as(parameter)
            parameter.grad = gradient[start:stop].view_as(parameter)
            start = stop
        return gradient

    def zero(self) -> None:
        self.gradient.zero_()

    def clip(self, longest: float) -> Tensor:
        """Scales the gradient to length `longest` if it is longer; returns its length before."""
        norm: Tensor = self.gradient.norm()
        self.gradient.mul_(torch.clamp(longest / (norm + 1e-6), max=1.0))
        return norm

    def step(self, learning_rate: float) -> None:
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()

    def state(self) -> dict[str, Array]:
        """Moments and step count, in the order of the module's parameters; empty before a step."""
        state = self._adam.state.get(self.flat, {})
        return {key: value.detach().numpy() for key, value in state.items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Inverse of `state`. Raises CheckpointError if it is of another network."""
        for key, value in state.items():
            if key != "step" and value.size != self.flat.numel():
                raise CheckpointError(
                    f"optimizer {key}: {value.size} numbers, the network has {self.flat.numel()}"
                )
        self._adam.state[self.flat] = {
            key: torch.from_numpy(np.array(value)) for key, value in state.items()
        }
        if not state:
            del self._adam.state[self.flat]

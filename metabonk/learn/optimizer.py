"""Adam over one flat vector. Knows torch and the step; does not know losses.

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
from metabonk.ops import adam
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
        self._steps = 0
        self._mean, self._square = torch.zeros_like(flat), torch.zeros_like(flat)

    def share(self, module: nn.Module) -> Tensor:
        """Gives these weights to `module`, which has the same parameters, and returns a gradient
        [parameters] of its own, into which its backward passes add up."""
        gradient = torch.zeros(self.flat.numel(), device=self.flat.device)
        start = 0
        for parameter in module.parameters():
            stop = start + parameter.numel()
            parameter.data = self.flat.detach()[start:stop].view_as(parameter)
            parameter.grad = gradient[start:stop].view_as(parameter)
            start = stop
        return gradient

    def zero(self) -> None:
        self.gradient.zero_()

    def clip(self, longest: float) -> float:
        """Scales the gradient to length `longest` if it is longer; returns its length before."""
        return adam.clip(self.gradient, longest)

    def step(self, learning_rate: float) -> None:
        self._steps += 1
        adam.step(
            self.flat.detach(),
            self.gradient,
            self._mean,
            self._square,
            count=self._steps,
            rate=learning_rate,
            epsilon=ADAM_EPSILON,
        )

    def state(self) -> dict[str, Array]:
        """Moments and step count, in the order of the module's parameters; empty before a step."""
        if not self._steps:
            return {}
        step = np.array(self._steps, np.float32)
        moments = {"exp_avg": self._mean, "exp_avg_sq": self._square}
        return {"step": step} | {name: tensor.cpu().numpy() for name, tensor in moments.items()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Inverse of `state`. Raises CheckpointError if it is of another network."""
        for key, value in state.items():
            if key != "step" and value.size != self.flat.numel():
                raise CheckpointError(
                    f"optimizer {key}: {value.size} numbers, the network has {self.flat.numel()}: "
                    "give it the settings that it learned with, or start a new run (--run DIR)"
                )
        self._steps = int(state.get("step", np.zeros(())))
        for into, key in ((self._mean, "exp_avg"), (self._square, "exp_avg_sq")):
            into.copy_(torch.from_numpy(np.array(state[key]))) if state else into.zero_()

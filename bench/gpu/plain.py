"""The work of a case as plain torch does it: what peers are made of.

`step` is what torch.compile takes: the whole work, or one step of a sequence, because a compiled
loop takes minutes to unroll; `whole` does everything by calling it. Knows torch; no case.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

Inputs = Mapping[str, Any]
Step = Callable[..., Any]


def _at_once(step: Step, inputs: Inputs) -> tuple[Tensor, ...]:
    return tuple(step(**inputs))


class Plain(NamedTuple):
    """inputs: by name, as this way of doing it keeps them. step: see the module; without another
    `whole` it takes all the inputs and gives all results. whole(step, inputs): results in the order
    of the case's, or the first of them."""

    inputs: Inputs
    step: Step
    whole: Callable[[Step, Inputs], tuple[Tensor, ...]] = _at_once

    def run(self) -> tuple[Tensor, ...]:
        """All of it, as torch runs it."""
        return self.whole(self.step, self.inputs)

    def again(self) -> Plain:
        """The same numbers in other memory."""
        return self._replace(inputs=cloned(self.inputs))

    def compiled(self, backend: str = "inductor") -> Plain:
        """With the step compiled for the shapes that it will meet; compiles when it is first run.

        Whatever was compiled before is forgotten: torch keeps a few variants of a function only.
        """
        torch.compiler.reset()
        step = torch.compile(self.step, fullgraph=True, dynamic=False, backend=backend)
        return self._replace(step=step)


def cloned(inputs: Inputs) -> dict[str, Any]:
    """The same numbers in other memory: of tensors and of torch's recurrent modules, which keep
    their weights in one piece."""
    return {name: _clone(value) for name, value in inputs.items()}


def _clone(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, torch.nn.RNNBase):
        value = copy.deepcopy(value)
        value.flatten_parameters()
    return value

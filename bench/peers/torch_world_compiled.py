"""The same update in torch through torch.compile, with CUDA graphs where there is a GPU: what goes
on between two launches is left out, as in whatever else graphs are of.
"""

from __future__ import annotations

import functools

import torch

from metabonk.config import WorldConfig
from metabonk.learn.dreams.world import Batch
from metabonk.learn.replay import Sequences
from metabonk.models.rssm import Latent, RssmStates
from metabonk.models.world import WorldModel

from .torch_world import TorchLearner


class CompiledLearner(TorchLearner):
    """What is compiled are three parts that need no look at a number in between; which frames
    are drawn is said before. backend: of torch.compile."""

    def __init__(
        self, model: WorldModel, config: WorldConfig, *, seed: int = 0, backend: str = "inductor"
    ) -> None:
        super().__init__(model, config, seed=seed)
        mode = {"mode": "reduce-overhead"} if backend == "inductor" else {}
        compiled = functools.partial(torch.compile, dynamic=False, backend=backend, **mode)
        self._embed, self._sequence = compiled(model.embed), compiled(model.rssm.sequence)
        self._losses = compiled(super().losses)

    def update(self, sequences: Sequences) -> tuple[dict[str, float], Latent]:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        found, after = super().update(sequences)
        return found, Latent(after.deter.clone(), after.stoch.clone())  # the next replay's memory

    def states(self, batch: Batch) -> RssmStates:
        length, num = batch.is_first.shape
        noise, before = self.noise(length, num), self.model.init(num)
        keep = (~batch.is_first).to(noise.dtype)[..., None]
        action, seen = self.model.actions(batch.action), self._embed(batch.observation)
        found: RssmStates = self._sequence(before, action, seen, keep, noise)
        return found

    def losses(self, batch: Batch, states: RssmStates) -> dict[str, torch.Tensor]:
        self._some = super()._drawn(self._counts(batch.is_first).flatten())
        found: dict[str, torch.Tensor] = self._losses(batch, states)
        return found

    def _drawn(self, counts: torch.Tensor) -> torch.Tensor:
        return self._some

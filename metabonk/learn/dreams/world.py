"""The world model's loss and its updates (Hafner et al. 2023).

Knows the world model, sequences and the flat optimiser; does not know games, replay or files.

    loss = sum over keys of the observation's loss
         + weight * two-hot cross-entropy of the reward + cross-entropy of going on
         + kl_dynamics       max(free, KL(sg(posterior) || prior))
         + kl_representation max(free, KL(posterior || sg(prior)))

averaged over the steps that count: all but a sequence's first `burn_in`, where its state is still
that of an episode that began just now. Reward and end have no loss where a step is an episode's
first. An update whose input, loss or gradient is not finite changes nothing and is counted.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metabonk.config import WorldConfig
from metabonk.learn import faults
from metabonk.learn.faults import Faults
from metabonk.learn.optimizer import FlatAdam
from metabonk.learn.replay import Sequences
from metabonk.models.decoder import Frame
from metabonk.models.rssm import Latent, RssmStates
from metabonk.models.world import WorldModel, observations
from metabonk.protocols import Array

WORLD_STREAM, FRAMES_STREAM = 7, 8
STATISTICS = ("wm_recon", "wm_reward", "wm_continue", "wm_kl")


class Batch(NamedTuple):
    """Sequences as tensors; see Sequences."""

    observation: dict[str, Tensor]
    action: Tensor
    reward: Tensor
    terminated: Tensor
    is_first: Tensor

    @classmethod
    def of(cls, sequences: Sequences) -> Batch:
        return cls(
            observations(sequences.observation),
            torch.from_numpy(sequences.action),
            torch.from_numpy(sequences.reward),
            torch.from_numpy(sequences.terminated),
            torch.from_numpy(sequences.is_first),
        )

    def to(self, device: torch.device) -> Batch:
        """The same on a device; where it is there already over the same memory."""
        seen = {key: value.to(device) for key, value in self.observation.items()}
        return Batch(seen, *(tensor.to(device) for tensor in self[1:]))

    def arrays(self) -> dict[str, Array]:
        """All of it by name; observations as `observation.<key>`."""
        seen = {f"observation.{key}": value for key, value in self.observation.items()}
        others = {name: getattr(self, name) for name in self._fields if name != "observation"}
        return {name: tensor.cpu().numpy() for name, tensor in {**seen, **others}.items()}


class WorldLearner:
    """Updates `model` from sequences, on the device that it is on. updates: done so far. faults: of
    them, those without effect, whose batches are kept in the directory `run`."""

    def __init__(
        self,
        model: WorldModel,
        config: WorldConfig,
        *,
        seed: int = 0,
        run: Path | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.seed = seed
        self.optimizer = FlatAdam(model)
        self.updates = 0
        self.faults = Faults("world", run)

    def update(self, sequences: Sequences) -> tuple[dict[str, float], Latent]:
        """One gradient step; returns its metrics and the posterior states [L * B, ...] detached, of
        which dreams may start from `beginnings`; none where it was skipped. Raises DivergedError
        for the third skipped in a row."""
        batch = Batch.of(sequences)
        if unsound := faults.unsound(batch.arrays()):
            return self._skip(batch, unsound)
        batch = batch.to(self.optimizer.flat.device)
        if self.updates == 0:  # nothing was seen: losses would be of numbers in their own units
            self.model.learn_scales(_flat(batch.observation))
        states = self.states(batch)
        terms = self.losses(batch, states)
        loss = terms["loss"]
        self.optimizer.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.optimizer.clip(self.config.max_grad_norm)
        if not (math.isfinite(loss.item()) and math.isfinite(norm)):
            return self._skip(batch, "the loss or its gradient")
        self.faults.passed()
        self.updates += 1
        self.optimizer.step(self.config.learning_rate)
        self.model.learn_scales(_flat(batch.observation))
        metrics = {name: float(terms[name]) for name in STATISTICS}
        metrics |= {"wm_gradient_norm": norm, "wm_skipped": float(self.faults.skipped)}
        after = Latent(states.deter.flatten(0, 1), states.stoch.flatten(0, 1))
        return metrics, after.detach()

    def _skip(self, batch: Batch, what: str) -> tuple[dict[str, float], Latent]:
        self.updates += 1
        self.faults.failed(what, batch.arrays(), self.updates)
        return {"wm_skipped": float(self.faults.skipped)}, self.model.init(0)

    def states(self, batch: Batch) -> RssmStates:
        """Posterior states of sequences, from nothing at their beginnings. The random numbers are a
        function of the seed and the update's number."""
        length, num = batch.is_first.shape
        noise = self.noise(length, num)
        before = self.model.init(num)
        return self.model.sequence(before, batch.action, batch.observation, batch.is_first, noise)

    def noise(self, *shape: int) -> Tensor:
        philox = np.random.Philox(key=[self.seed, WORLD_STREAM], counter=[0, 0, 0, self.updates])
        generator = torch.Generator().manual_seed(int(philox.random_raw()) >> 1)
        return self.model.rssm.noise(*shape, generator=generator)

    def losses(self, batch: Batch, states: RssmStates) -> dict[str, Tensor]:
        """Scalars: `loss`, and the terms of STATISTICS, which are means per step."""
        assert states.posterior is not None
        model, config = self.model, self.config
        counts = self._counts(batch.is_first)
        features = Latent(states.deter, states.stoch).features.flatten(0, 1)
        recon = self._reconstruction(features, _flat(batch.observation), counts.flatten())
        came = counts & ~batch.is_first
        logits = model.reward(features).unflatten(0, came.shape)
        reward = _mean(model.values.loss(logits, batch.reward), came)
        going = model.going(features)[:, 0].unflatten(0, came.shape)
        target = (~batch.terminated).float()
        ends = _mean(
            functional.binary_cross_entropy_with_logits(going, target, reduction="none"), came
        )
        posterior, prior = states.posterior, states.prior
        dynamics = self.model.rssm.divergence(posterior.detach(), prior)
        representation = self.model.rssm.divergence(posterior, prior.detach())
        free = config.free_nats
        loss = recon + config.reward * reward + ends
        loss = loss + config.kl_dynamics * _mean(dynamics.clamp(min=free), counts)
        loss = loss + config.kl_representation * _mean(representation.clamp(min=free), counts)
        return {
            "loss": loss,
            "wm_recon": recon.detach(),
            "wm_reward": reward.detach(),
            "wm_continue": ends.detach(),
            "wm_kl": _mean(dynamics.detach(), counts),
        }

    def _reconstruction(
        self, features: Tensor, observation: dict[str, Tensor], counts: Tensor
    ) -> Tensor:
        """Mean over the steps that count, of all keys together; of frames, which cost a thousand
        times a number, only some steps of every update are drawn."""
        decoder = self.model.decoder
        hidden = self.model.decoder_input(features)
        frames = {key for key in decoder.parts if isinstance(decoder.part(key), Frame)}
        some = self._drawn(counts) if frames else counts
        total: Tensor = hidden.new_zeros(())
        for key in decoder.parts:
            if key in frames:
                seen = {key: observation[key][some]}
                total = total + decoder.loss(key, hidden[some], seen).sum() / max(1, len(some))
            else:
                total = total + _mean(decoder.loss(key, hidden, observation), counts)
        return total

    def _drawn(self, counts: Tensor) -> Tensor:
        """Indices of at most `frames` of the steps [N] that count."""
        some = torch.nonzero(counts)[:, 0]
        if len(some) > self.config.frames:
            philox = np.random.Philox(
                key=[self.seed, FRAMES_STREAM], counter=[0, 0, 0, self.updates]
            )
            order = np.random.Generator(philox).permutation(len(some))
            some = some[torch.from_numpy(order[: self.config.frames]).to(some.device)]
        return some

    def _counts(self, is_first: Tensor) -> Tensor:
        return known(is_first, self.config.burn_in)


def known(is_first: Tensor, burn_in: int) -> Tensor:
    """Steps [L, B] of sequences whose state knows what went before: those after the burn-in, or
    after an episode's beginning."""
    ahead = torch.arange(len(is_first), device=is_first.device)[:, None] >= burn_in
    return ahead | (is_first.cumsum(0) > 0)


def beginnings(seen: Latent, drawn: Sequences, burn_in: int) -> Latent:
    """Of states `seen` [L * B, ...] that sequences `drawn` went through, those from which dreams
    may start: where it is known what went before. None if `seen` is empty."""
    if not len(seen.deter):
        return seen
    there = known(torch.from_numpy(drawn.is_first), burn_in).flatten().to(seen.deter.device)
    return Latent(seen.deter[there], seen.stoch[there])


def _flat(observation: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.flatten(0, 1) for key, value in observation.items()}


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Over the steps that count; 0 where there are none."""
    counted = torch.where(counts, values, 0.0)
    return counted.sum() / counts.sum().clamp(min=1)

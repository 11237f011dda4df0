"""Active inference beside the policy: an actor that seeks what is preferred and what is unknown.

Knows the world model's training, rollouts and the learner of efe.py; does not know PPO's loss. It
sleeps, wakes, follows what is played and teaches as the dreamer does (dreams.py), with a weight
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from torch import Tensor

from metabonk.config import Config
from metabonk.errors import CheckpointError
from metabonk.learn.auxiliary.dreams import DreamTraining
from metabonk.learn.auxiliary.world import check_sizes, sizes
from metabonk.learn.checkpoint import load_weights, weights_of
from metabonk.learn.dreams.efe import EfeLearner
from metabonk.learn.dreams.world import WorldLearner, beginnings
from metabonk.learn.replay import Sequences
from metabonk.learn.teachers import Teacher
from metabonk.models.rssm import Latent
from metabonk.protocols import Array, BatchGame

SIZES = ("members", "hidden")
OWN = ("ensemble", "forward")  # parts of the state that the dreamer's training has not


class ActiveInference(DreamTraining):
    """See the module."""

    learner: EfeLearner

    def __init__(
        self, game: BatchGame, config: Config, world: WorldLearner, fixed: dict[str, float]
    ) -> None:
        efe = config.efe
        dream = msgspec.structs.replace(
            config.dream, starts=efe.starts, distill_coef=efe.distill_coef, share=0.0
        )
        super().__init__(game, msgspec.structs.replace(config, dream=dream), world, fixed)
        self.learner = EfeLearner(
            world.model,
            self.learner.dreamer,
            dream,
            config.efe,
            seed=self.seed,
            run=world.faults.run,
        )

    def learn(self, seen: Latent, drawn: Sequences) -> dict[str, float]:
        """One update of what is known from sequences `drawn`, which went through states `seen`
        [L * B, ...], and one of the actor once the world model woke."""
        burn_in = self.world.config.burn_in
        metrics = self.learner.study(seen, drawn, burn_in)
        if not self.awake:
            return metrics
        metrics |= self.learner.update(beginnings(seen, drawn, burn_in), self.horizon)
        return metrics | {"efe_horizon": float(self.horizon)}

    def teach(self, features: Tensor) -> Teacher | None:
        """What the actor would do in states of these features [T, N, F]; None before it woke."""
        teacher = super().teach(features)
        if teacher is None:
            return None
        return teacher._replace(name="efe_kl", proven=self.learner.efe.proven)

    def state(self) -> dict[str, Array]:
        """Arrays by dotted name."""
        weights = weights_of(self.learner.ensemble)
        moments = self.learner.forward_optimizer.state()
        own = {f"ensemble.{k}": v for k, v in weights.items()}
        return super().state() | own | {f"forward.{k}": v for k, v in moments.items()}

    def details(self) -> dict[str, Any]:
        return super().details() | {"ensemble": sizes(self.learner.efe, SIZES)}

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        """Inverse of `state` and `details`. Raises CheckpointError naming what does not fit."""
        if not details:
            raise CheckpointError(
                "the checkpoint has no active inference: go on without --set efe.enabled=1, "
                "or start a new run with it"
            )
        check_sizes("efe", details.get("ensemble", {}), self.learner.efe)
        parts: dict[str, dict[str, Array]] = {name: {} for name in (*OWN, "")}
        for key, array in state.items():
            part, name = key.split(".", 1)
            mine = part in OWN
            parts[part if mine else ""][name if mine else key] = array
        super().load(parts[""], details)
        load_weights(self.learner.ensemble, parts["ensemble"])
        self.learner.forward_optimizer.load(parts["forward"])

"""Dreams beside the policy: how far they may go, when they begin, and what they teach the policy.

Knows the world model's training, the dreamer and rollouts; does not know PPO's loss. The dreamer's
states follow the rollouts as they are played: at every step it says what it would do, and the
policy is drawn towards that. Where it also plays, what both earn decides: it teaches while it leads
(dreams/contest.py), else it has to prove itself on every rollout (teachers.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metabonk.config import Config, DreamConfig
from metabonk.errors import CheckpointError
from metabonk.learn.auxiliary.world import check_sizes, sizes
from metabonk.learn.checkpoint import load_weights, weights_of
from metabonk.learn.dreams import measure, stretches
from metabonk.learn.dreams.acting import games_of
from metabonk.learn.dreams.contest import Contest
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.foresight import foresight
from metabonk.learn.dreams.trust import Trust
from metabonk.learn.dreams.world import WorldLearner, beginnings
from metabonk.learn.replay import Sequences
from metabonk.learn.rollout import Rollout
from metabonk.learn.teachers import Teacher
from metabonk.metrics import declare
from metabonk.models.dreamer import Dreamer
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import Array, BatchGame, FloatArray

TEACH_STREAM, FORESIGHT_STREAM, ACT_STREAM = 11, 12, 16
SIZES = ("hidden",)
TRUST_MEMORY = 0.5  # of the running trust horizon, from rollout to rollout
PICTURED = 8  # sequences of a rollout whose pixels are compared; to decode more takes longer than
# the world model's own updates from that rollout do

declare("wm_unjudged", "", "Rollouts so far by which nobody could tell how far the model is right")


class DreamTraining:
    """trust: how far the model is seen to be right. games: how many the dreamer plays itself, 0 for
    none. contest: what these return beside the policy's."""

    def __init__(
        self,
        game: BatchGame,
        config: Config,
        world: WorldLearner,
        fixed: dict[str, float],
    ) -> None:
        self.config, self.world, self.seed = config.dream, world, config.run.seed
        layout = game.action_layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            dreamer = Dreamer(
                world.model.rssm.features, layout, config.dream.hidden, config.model, fixed
            )
        self.learner = DreamLearner(
            world.model, dreamer, config.dream, seed=self.seed, run=world.faults.run
        )
        self.trust = Trust(config.dream, TRUST_MEMORY)
        self._warned = False
        self.games = _games(game, config.dream)
        self.contest = Contest()
        self._latent = world.model.init(game.num_envs)
        self._action = np.zeros((game.num_envs, layout.columns), np.float32)
        self._taught = 0  # rollouts that were gone through

    @property
    def horizon(self) -> int:
        """Of the next dreams; 0 while there are none to be."""
        return self.trust.horizon

    @property
    def awake(self) -> bool:
        """Whether the world model knows enough to dream of: it has learned for a while and, unless
        a horizon was asked for, can be trusted for one step at least."""
        return self.horizon > 0 and self.world.updates >= self.config.warm_up

    @property
    def leads(self) -> bool:
        """Whether the dreamer is ahead of the policy where both play. One that fell asleep plays no
        more, and what it returned was in a world model that it no longer has: it leads nobody."""
        return self.awake and self.contest.led

    def due(self, planned: int) -> str:
        """When dreams will begin in a run of `planned` steps of all games, 0 if that is not known,
        in words."""
        world, left = self.world.config, self.config.warm_up - self.world.updates
        steps = math.ceil(max(0, left) * world.batch * world.sequence / world.ratio)
        right = "" if self.config.horizon else ", where the world model is seen to be right"
        if not planned or steps < planned:
            return f"dreams begin after {steps:,} steps{right}" if steps else f"dreams begin{right}"
        return (
            f"nothing will be dreamed: dreams begin after {steps:,} steps and the run has "
            f"{planned:,}; train longer, or set world.ratio = {_above(world.ratio, steps, planned)}"
        )

    @property
    def waits(self) -> str:
        """What dreams that never began wait for, in words."""
        updates, warm_up = self.world.updates, self.config.warm_up
        remedies = ["train longer"]
        remedies += ["lower dream.warm_up or raise world.ratio"] if updates < warm_up else []
        remedies += ["set dream.horizon to dream all the same"] if not self.horizon else []
        return (
            f"the world model had {updates} updates of dream.warm_up = {warm_up}, and its trust "
            f"horizon is {self.horizon}; {', or '.join(remedies)}"
        )

    def judge(self, rollout: Rollout) -> dict[str, float]:
        """Takes the measure of the world model on a rollout that it has not learned from, over as
        many steps as lie between its resets; counts those by which that cannot be done, and warns
        once where none was ever and nothing can be dreamed for it."""
        model = self.world.model
        found = None
        if measure.judged(model.decoder):
            found = stretches.of_rollout(rollout, self.config.longest)
        if found is None:
            self.trust.unjudged += 1
            self._warn()
            return {"wm_unjudged": float(self.trust.unjudged)}
        seen = foresight(
            model, found.batch, found.context, seed=self.seed + self._taught, pictured=PICTURED
        )
        self.trust.note(seen.trust)
        return {
            "wm_trust": self.trust.steps,
            "wm_ahead": float(seen.error[-1] / max(float(seen.persistence[-1]), 1e-9)),
            "wm_unjudged": float(self.trust.unjudged),
        }

    def _warn(self) -> None:
        if self._warned or self.trust.judged or self.config.horizon:
            return
        self._warned = True
        decoder = self.world.model.decoder
        why = "no two steps of it follow one another without a reset"
        if not measure.judged(decoder):
            why = f"nothing of the observation {sorted(decoder.parts)} is a number or a frame"
        warnings.warn(
            f"how far the world model is right cannot be told by what was played: {why}; "
            "until it can nothing is dreamed: set dream.horizon to dream all the same",
            stacklevel=3,
        )

    def compete(self, rollout: Rollout, beyond: FloatArray) -> dict[str, float]:
        """Notes what either returned, and what their games [N] brought beyond what was expected;
        nothing where the dreamer does not play, and no lead before enough was played."""
        if not self.games:
            return {}
        self.contest.note(rollout, beyond)
        lead = self.contest.lead
        return {} if lead is None else {"dream_lead": lead.mean, "dream_lead_low": lead.low}

    def dream(self, seen: Latent, drawn: Sequences) -> dict[str, float]:
        """One update from states `seen` [L * B, ...] that sequences `drawn` went through; nothing
        before the world model woke."""
        if not self.awake:
            return {}
        start = beginnings(seen, drawn, self.world.config.burn_in)
        return self.learner.update(start, self.horizon) | {"dream_horizon": float(self.horizon)}

    @torch.no_grad()
    def follow(self, rollout: Rollout) -> torch.Tensor:
        """Goes along with a rollout; returns features [T, N, F] of what it believes in at every
        step that is learned from."""
        model, start = self.world.model, rollout.first
        slots = slice(start, len(rollout.reward))
        observation = {k: torch.from_numpy(v[slots]) for k, v in rollout.observation.items()}
        before = np.concatenate([self._action[None], rollout.action[slots][:-1]])
        is_first = torch.from_numpy(rollout.is_first[slots])
        generator = torch.Generator().manual_seed(self._seed(TEACH_STREAM))
        noise = model.rssm.noise(*is_first.shape, generator=generator)
        states = model.sequence(
            self._latent, torch.from_numpy(before), observation, is_first, noise
        )
        self._latent = Latent(states.deter[-1].clone(), states.stoch[-1].clone())
        self._action = rollout.action[-1].copy()
        self._taught += 1
        ahead = rollout.horizon
        return Latent(states.deter[-ahead:], states.stoch[-ahead:]).features

    @torch.no_grad()
    def teach(self, features: torch.Tensor) -> Teacher | None:
        """What the dreamer would do in states of these features [T, N, F], as `follow` gives them;
        None before it woke, and where it plays itself, while it does not lead."""
        if not self.awake or not self.config.distill_coef:
            return None
        if self.games and not self.leads:
            return None
        dreamer = self.learner.dreamer
        parameters = dreamer.parameters_of(features.flatten(0, 1)).view(*features.shape[:2], -1)
        log_std = dreamer.head.log_std.detach().clone()
        coef, passes = self.config.distill_coef, self.config.passes if self.games else 0
        return Teacher(parameters, log_std, coef, proven=not self.games, passes=passes)

    def following(self) -> tuple[WorldModel, Dreamer, Latent, torch.Tensor, torch.Generator]:
        """See dreams.acting.Sleeper."""
        generator = torch.Generator().manual_seed(self._seed(ACT_STREAM))
        before = torch.from_numpy(self._action.copy())
        return self.world.model, self.learner.dreamer, self._latent, before, generator

    def forget(self) -> None:
        """What was played cannot be followed: states begin anew from what is seen next."""
        self._latent = self.world.model.init(len(self._action))
        self._action[:] = 0.0

    def _seed(self, stream: int) -> int:
        philox = np.random.Philox(key=[self.seed, stream], counter=[0, 0, 0, self._taught])
        return int(philox.random_raw()) >> 1

    def state(self) -> dict[str, Array]:
        """Arrays by dotted name."""
        own = {
            "deter": self._latent.deter.numpy().copy(),
            "stoch": self._latent.stoch.numpy().copy(),
            "action": self._action.copy(),
        }
        weights = {f"weights.{k}": v for k, v in weights_of(self.learner.dreamer).items()}
        moments = {f"optimizer.{k}": v for k, v in self.learner.state().items()}
        return weights | moments | {f"own.{k}": v for k, v in own.items()}

    def details(self) -> dict[str, Any]:
        own = {"taught": self._taught, "sizes": sizes(self.config, SIZES), **self.trust.details()}
        return self.learner.details() | own | {"contest": self.contest.details()}

    def load(self, state: Mapping[str, Array], details: Mapping[str, Any]) -> None:
        """Inverse of `state` and `details`. Raises CheckpointError naming what does not fit."""
        if not details:
            raise CheckpointError(
                "the checkpoint has no dreams: go on without --set dream.enabled=1, "
                "or start a new run with it"
            )
        check_sizes("dream", details.get("sizes", {}), self.config)
        parts: dict[str, dict[str, Array]] = {"weights": {}, "optimizer": {}, "own": {}}
        for key, array in state.items():
            part, name = key.split(".", 1)
            parts[part][name] = array
        load_weights(self.learner.dreamer, parts["weights"])
        self.learner.load(parts["optimizer"], details)
        own = {key: np.array(value) for key, value in parts["own"].items()}
        self._latent = Latent(torch.from_numpy(own["deter"]), torch.from_numpy(own["stoch"]))
        self._action = own["action"]
        self.trust.load(details)
        self._taught = int(details["taught"])
        self.contest.load(details.get("contest", {}))


def _above(ratio: float, steps: int, planned: int) -> int:
    """A ratio by which dreams begin within a tenth of the run instead."""
    return math.ceil(10.0 * ratio * steps / planned)


def _games(game: BatchGame, config: DreamConfig) -> int:
    """How many games the dreamer plays. Where there is only one game that is the policy's, if the
    dreamer can teach instead; else ConfigError is raised."""
    alone = game.num_envs < 2 and config.distill_coef > 0.0
    return games_of(config.share, game.num_envs) if config.share and not alone else 0

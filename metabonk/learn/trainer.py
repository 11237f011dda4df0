"""One learner: a game, a network, PPO, and everything that has to be saved to go on exactly.

Knows how collecting and updating alternate and how far the run is. Does not know files, clocks that
end a run, evaluations or sinks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.errors import CheckpointError, ConfigError
from metabonk.learn import backends
from metabonk.learn.acting import Acting, CompiledActing, TorchActing, quicker
from metabonk.learn.auxiliary.dreams import DreamTraining
from metabonk.learn.auxiliary.parts import Imagination, Lesson
from metabonk.learn.auxiliary.world import WorldTraining
from metabonk.learn.checkpoint import (
    ANEW,
    Snapshot,
    check_description,
    describe,
    load_weights,
    weights_of,
)
from metabonk.learn.collector import DREAMER, Collector
from metabonk.learn.dreams import versions as dreams
from metabonk.learn.dreams.acting import DreamActing
from metabonk.learn.motors.training import MotorTraining
from metabonk.learn.players import Players
from metabonk.learn.ppo import PPO
from metabonk.learn.replicas import one_thread
from metabonk.learn.rollout import Rollout
from metabonk.models.policy import build
from metabonk.protocols import Array, BatchGame

GAME_STREAM = 5
STATE_VERSION = 1
MEANS = {"return": "return_mean", DREAMER: "dreamer_return_mean"}  # the others: episode_<key>


class Trainer:
    """Alternates `Collector.collect` and `PPO.update`, and what learns beside it.

    directory: where what learns beside it keeps what was played; not used without a world model.
    planned: environment steps of the whole run, which schedules count against; 0 while unknown.
    restarted: whether the last `restore` had to begin new episodes. differs: what rounds otherwise
    than before it, in words.
    """

    def __init__(
        self,
        game: BatchGame,
        config: Config,
        *,
        directory: Path | None = None,
        planned: int = 0,
        average: Callable[[torch.Tensor], None] | None = None,
    ) -> None:
        self.game = game
        self.config = config
        self.seed = config.run.seed
        self.planned = planned
        self.restarted = False
        self.differs: list[str] = []
        self.restarts = 0
        self.fixed = parse_fixed(config.model.fixed)
        with one_thread():  # orthogonal weights round by threads, and a seed is to mean one network
            self.model = build(
                game.observation_space,
                game.action_layout,
                config.model,
                seed=self.seed,
                fixed=self.fixed,
            )
        self.ppo = PPO(
            self.model,
            config.ppo,
            num_envs=game.num_envs,
            seed=self.seed,
            average=average,
            run=directory,
        )
        self.collector = Collector(
            game,
            self.model,
            horizon=config.ppo.horizon,
            burn_in=config.ppo.burn_in,
            seed=self.seed,
        )
        with one_thread():  # as above
            self.imagination = Imagination(game, config, directory, self.fixed)
        self.motor: MotorTraining | None = None
        if config.cpqe.enabled and config.model.is_pilot:
            if directory is None:
                raise ConfigError("cpqe.enabled: a directory is needed to keep what was played")
            shared = None if self.world is None else self.world.replay
            self.motor = MotorTraining(game, config, directory, shared)
        self._act_by(TorchActing(self.model))

    @property
    def world(self) -> WorldTraining | None:
        """The world model's training; None where it is off."""
        return self.imagination.world

    @property
    def dreams(self) -> DreamTraining | None:
        """The dreamer's training; None where it is off."""
        return self.imagination.dreams

    @property
    def players(self) -> Players:
        """Who can play for the run as it is, and who of them leads."""
        dreams = self.dreams
        if dreams is None or not dreams.games:
            return Players(self.model)
        both = (dreams.world.model, dreams.learner.dreamer)
        return Players(self.model, both, "dreamer" if dreams.leads else "policy")

    @property
    def steps(self) -> int:
        """Environment steps taken, of all environments together."""
        return self.collector.steps

    @property
    def remaining(self) -> float:
        """The part of the run still to come, 1 to 0; 1 while its length is unknown."""
        return max(0.0, 1.0 - self.steps / self.planned) if self.planned else 1.0

    def act_as(self, name: str) -> None:
        """Rollouts are acted by `torch` or by the `compiled` network from now on. Raises
        CompileError if that is asked for and the network cannot be compiled."""
        if name == "compiled":
            threads = torch.get_num_threads()
            self._act_by(CompiledActing(self.model, self.game.num_envs, threads))
        else:
            self._act_by(TorchActing(self.model))

    def _act_by(self, acting: Acting) -> None:
        """A dreamer that has games of its own plays these."""
        if self.dreams is not None and self.dreams.games:
            acting = DreamActing(acting, self.dreams, self.dreams.games)
        self.collector.act_by(acting)

    def act_quickly(self) -> dict[str, float]:
        """Measures both ways and takes the quicker one; returns the seconds per rollout of each.
        Raises CompileError for a network that cannot be compiled: it goes on as before."""
        with one_thread() as threads:
            acting, seconds = quicker(self.model, self.collector.rollout, threads)
        self._act_by(acting)
        return seconds

    def dream_on(self) -> Artifact | None:
        """Takes up the dreams that `world.start` names, before anything is learned; None if it
        names none. Raises CheckpointError for those of another game or size."""
        if not self.config.world.start or self.world is None:
            return None
        learner = None if self.dreams is None else self.dreams.learner
        return dreams.begin(self.config, self.world.learner, learner)

    def start(self) -> None:
        """Begins episodes in every environment."""
        self.collector.start(game_seeds(self.seed, self.restarts, self.game.num_envs))

    def iterate(self, watch: Callable[[Rollout], None] | None = None) -> dict[str, float]:
        """One rollout and one update; returns what was measured.

        watch: sees the rollout before the network learns from it.
        """
        began = time.perf_counter()
        config = self.ppo.config
        shape = (self.collector.rollout.horizon, self.collector.rollout.burn_in)
        if shape != (config.horizon, config.burn_in):
            self.collector.resize(config.horizon, config.burn_in)
        self.collector.noise.memory = config.noise_memory
        remaining = self.remaining
        before = self.steps
        with one_thread():  # a row per game is too little to share
            rollout = self.collector.collect(self.ppo.version)
        if watch is not None:
            watch(rollout)
        lesson = Lesson({})
        if self.ppo.unsound(rollout):
            self._mend()
        else:
            lesson = self.imagination.learn(
                rollout, lambda played: self.ppo.beyond(played, remaining)
            )
            if self.motor is not None:
                self.motor.learn(rollout)
        imagined = time.perf_counter()
        metrics = dict(lesson.metrics)
        metrics |= self.ppo.update(lesson.rewarded(rollout), remaining, lesson.teachers)
        ended = time.perf_counter()
        seconds = self.collector.seconds
        metrics |= {
            "seconds_env": seconds["env"],
            "seconds_policy": seconds["policy"],
            "seconds_update": ended - imagined,
            "steps_per_second": (self.steps - before) / (ended - began),
        }
        for key, values in rollout.episodes.items():
            if values:
                name = MEANS.get(key, f"episode_{key}")
                metrics[name] = float(np.mean(values))
        metrics["episodes"] = len(rollout.episodes.get("return", ()))
        return metrics

    def _mend(self) -> None:
        """A rollout is not finite: nothing of it is to last. States that saw it begin anew."""
        self.collector.forget()
        self.imagination.forget()
        if self.motor is not None:
            self.motor.skip()

    def snapshot(self) -> Snapshot:
        """Everything that the future of this run depends on."""
        state = {f"collector.{k}": v for k, v in self.collector.state().items()}
        state |= {f"return_scale.{k}": v for k, v in self.ppo.return_scale.state().items()}
        state["random.torch"] = torch.get_rng_state().numpy()
        if self.game.snapshots:
            state["game"] = np.frombuffer(self.game.clone_state(), np.uint8)
        state |= self.imagination.state()
        players = self.players
        return Snapshot(
            step=self.steps,
            seed=self.seed,
            weights=weights_of(self.model),
            optimizer=self.ppo.optimizer.state(),
            state=state,
            details={
                **describe(self.game.observation_space, self.game.action_layout),
                "state_version": STATE_VERSION,
                "game": self.game.name,
                "num_envs": self.game.num_envs,
                "model": msgspec.structs.asdict(self.config.model),
                "hyperparameters": self.ppo.hyperparameters,
                "schedule": {"planned": self.planned},
                "faults": self.ppo.faults.details(),
                "counters": {
                    "updates": self.ppo.version,
                    "rollouts": self.collector.count,
                    "restarts": self.restarts,
                },
                "random": {"generator": "philox", "key": self.seed},
                "backends": backends.here(self.collector.acting.name),
                "motor": {} if self.motor is None else self.motor.details(),
                **({} if players.rival is None else {"serves": players.serves}),
                **self.imagination.details(),
            },
        )

    def restore(self, saved: Snapshot) -> None:
        """Goes on from a snapshot of the same game and network.

        A game without snapshots begins new episodes, and `restarted` says so. Raises
        CheckpointError naming what does not fit.
        """
        details = saved.details
        self._check(details)
        before, run = details["backends"], self.config.run
        backends.adopt(before, threads=run.torch_threads, cpu=self.config.native.cpu)
        self.act_as(run.acting if run.acting != "auto" else before.get("acting", "torch"))
        self.differs = backends.differences(before, self.collector.acting.name)
        load_weights(self.model, saved.weights)
        self.ppo.optimizer.load(saved.optimizer)
        self.ppo.set_hyperparameters(**details["hyperparameters"])
        self.ppo.return_scale.load(_under(saved.state, "return_scale"))
        self.imagination.load(saved.state, details)
        if self.motor is not None:
            self.motor.load(details.get("motor", {}))
        self.ppo.version = int(details["counters"]["updates"])
        self.ppo.faults.load(details.get("faults", {}))
        self.restarts = int(details["counters"]["restarts"])
        self.planned = int(details["schedule"]["planned"])
        torch.set_rng_state(torch.from_numpy(np.array(saved.state["random.torch"])))
        self.collector.resize(self.ppo.config.horizon, self.ppo.config.burn_in)
        self.collector.load(_under(saved.state, "collector"))
        self.restarted = "game" not in saved.state
        if self.restarted:
            self.restarts += 1
            self.start()
        else:
            self._begin_game()
            self.game.restore_state(saved.state["game"].tobytes())

    def _begin_game(self) -> None:
        """Some games have to run before a state can be put into them."""
        scratch = {k: np.zeros_like(v[0]) for k, v in self.collector.rollout.observation.items()}
        self.game.reset_into(scratch, game_seeds(self.seed, 0, self.game.num_envs))

    def _check(self, details: Mapping[str, Any]) -> None:
        if details["state_version"] != STATE_VERSION:
            raise CheckpointError(
                f"the checkpoint has version {details['state_version']}, "
                f"this program reads {STATE_VERSION}: use the version that wrote it"
            )
        was, now = (details["game"], details["num_envs"]), (self.game.name, self.game.num_envs)
        if was != now:
            wanted = [f"game.envs={was[1]}"] if was[1] != now[1] else []
            wanted += [f"game.name={was[0]}"] if was[0] != now[0] else []
            raise CheckpointError(
                f"the checkpoint is of {was[1]} x {was[0]}, not of {now[1]} x {now[0]}: "
                f"set {' and '.join(wanted)}, or {ANEW}"
            )
        check_description(details, self.game.observation_space, self.game.action_layout)


def game_seeds(seed: int, restarts: int, count: int) -> list[int]:
    """Seeds of the training environments, 31 bits."""
    state = np.random.SeedSequence([GAME_STREAM, seed, restarts]).generate_state(count, np.uint32)
    return [int(s) >> 1 for s in state]


def parse_fixed(text: str) -> dict[str, float]:
    """`click=-1,jump=0` as values by branch. Raises ConfigError for anything else."""
    fixed: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        try:
            fixed[name.strip()] = float(value)
        except ValueError as error:
            raise ConfigError(
                f"model.fixed: {part!r} is not branch=number, as in click=-1,jump=0"
            ) from error
        if not equals:
            raise ConfigError(f"model.fixed: {part!r} lacks its value, as in click=-1")
    return fixed


def _under(state: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    start = prefix + "."
    return {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}

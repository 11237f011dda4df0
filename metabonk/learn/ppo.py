"""Proximal policy optimisation (Schulman et al. 2017, with the details of Huang et al. 2022).

Knows rollouts, networks and the flat optimiser. Does not know games, processes or files. Every
hyper-parameter can be read and set between updates and takes effect in the next one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from metabonk.config import PPOConfig
from metabonk.errors import ConfigError
from metabonk.learn import faults
from metabonk.learn.faults import Faults
from metabonk.learn.minibatch import Minibatch, Piece, Targets, samples, sequences, spread
from metabonk.learn.optimizer import FlatAdam
from metabonk.learn.replicas import Replicas, one_thread
from metabonk.learn.returns import ReturnScale, advantages, explained_variance, spread_about
from metabonk.learn.rollout import Rollout
from metabonk.learn.teachers import Teacher, heeded
from metabonk.models.policy import DEFAULT_DT, ActorCritic
from metabonk.ops.surrogate import STATISTICS, Outcome, Terms, surrogate
from metabonk.protocols import Array, FloatArray

SHUFFLE_STREAM = 2
SCALE_SAMPLES = 2048  # observations of each rollout that the input scales see
KL = STATISTICS.index("kl")
NO_STATE = torch.zeros(1, 0)


class PPO:
    """Updates `model` from rollouts.

    average: what makes several learners one; called with one flat tensor at a time, to average in
    place over all of them: the gradient before it is clipped, and the sums behind everything that
    is normalised or decided by statistics (inputs, rewards, advantages, the early stop). Learners
    of equal settings call it equally often and stay equal; with one minibatch they equal a single
    learner that has all of their rollouts. run: the run's directory, where batches that were not
    finite are kept. version: number of updates done. faults: those that were skipped.
    """

    def __init__(
        self,
        model: ActorCritic,
        config: PPOConfig,
        *,
        num_envs: int,
        seed: int = 0,
        average: Callable[[Tensor], None] | None = None,
        run: Path | None = None,
    ) -> None:
        self.model = model
        self.config = msgspec.structs.replace(config)
        self.faults = Faults("ppo", run)
        self.optimizer = FlatAdam(model)
        self.replicas = Replicas(model, self.optimizer)
        self.average = average
        self.seed = seed
        self.version = 0
        self.return_scale = ReturnScale(num_envs)
        self._teachers: tuple[Teacher, ...] = ()  # of the update under way

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Every hyper-parameter by name."""
        return msgspec.structs.asdict(self.config)

    def set_hyperparameters(self, **values: Any) -> None:
        """Changes hyper-parameters from the next update on. Raises ConfigError if out of range."""
        try:
            self.config = msgspec.convert({**self.hyperparameters, **values}, PPOConfig)
        except msgspec.ValidationError as error:
            raise ConfigError(f"hyper-parameter: {error}") from error

    def update(
        self, rollout: Rollout, remaining: float = 1.0, teachers: Sequence[Teacher] = ()
    ) -> dict[str, float]:
        """Learns from one rollout; returns the update's metrics.

        remaining: the part of the run still to come, 1 to 0, which `anneal` multiplies the learning
        rate with and `gamma_end` lengthens the horizon by. teachers: pull the policy towards them.
        A rollout that is not finite teaches nothing, and a gradient that is not moves nothing.
        Raises DivergedError for the third in a row of either.
        """
        with one_thread() as threads:
            return self._update(rollout, remaining, teachers, threads)

    def _update(
        self, rollout: Rollout, remaining: float, teachers: Sequence[Teacher], threads: int
    ) -> dict[str, float]:
        config = self.config
        self._teachers = tuple(teachers)
        promises: dict[str, float] = {}
        if unsound := self.unsound(rollout):
            return self._skip(rollout, unsound)
        rate = config.learning_rate * (remaining if config.anneal else 1.0)
        targets, variance = self._targets(rollout, remaining)
        if teachers:
            self._teachers, promises = heeded(
                self._teachers, self.model.head, rollout, targets, self._average_array
            )
            targets.teacher = torch.cat([t.parameters for t in teachers], -1).numpy()
        philox = np.random.Philox(key=[self.seed, SHUFFLE_STREAM], counter=[0, 0, 0, self.version])
        shuffle = np.random.Generator(philox)
        totals: list[Tensor] = []
        for epochs in range(1, config.epochs + 1):  # noqa: B007
            mark = len(totals)
            for minibatch in self._cut(rollout, targets, shuffle, threads):
                statistics = self._descend(minibatch, rate, threads)
                if statistics is not None:
                    totals.append(statistics)
            if config.target_kl and self._kl(totals[mark:]) > config.target_kl:
                break
        self._imitate(rollout, targets, shuffle, rate, threads)
        self.version += 1
        self.model.reader.learn(spread(rollout, SCALE_SAMPLES), self.average)
        return {
            **self._means(totals),
            **promises,
            "ppo_skipped": float(self.faults.skipped),
            "learning_rate": rate,
            "gamma": self._discount(remaining),
            "epochs": epochs,
            "explained_variance": variance,
        }

    def unsound(self, rollout: Rollout) -> str:
        """The name of an array of the rollout that is not finite, here or at a learner that this
        one averages with; empty if there is none."""
        arrays = rollout.arrays()
        # What was seen and earned first: all else follows from it.
        causes = {k: v for k, v in arrays.items() if k.startswith("observation.") or k == "reward"}
        found = faults.unsound({**causes, **arrays})
        if self.average is not None:
            flag = np.array([float(bool(found))])
            self._average_array(flag)
            found = found or ("another learner's rollout" if flag[0] else "")
        return found

    def _skip(self, rollout: Rollout, unsound: str) -> dict[str, float]:
        """An update without effect: statistics that it fed would never forget what they saw."""
        self.version += 1
        self.faults.failed(f"{unsound} of the rollout", rollout.arrays(), self.version)
        return self._means([]) | {"ppo_skipped": float(self.faults.skipped)}

    def rehearse(self, rollout: Rollout) -> None:
        """Does the work of one pass over a rollout and forgets it: to measure how long it takes."""
        shape = (rollout.horizon, rollout.num_envs)
        zeros, valid = np.zeros(shape, np.float32), np.ones(shape, np.bool_)
        targets = Targets(zeros, zeros, zeros, zeros, valid)
        with one_thread() as threads:
            for minibatch in self._cut(rollout, targets, np.random.default_rng(0), threads):
                self.replicas.total(
                    lambda model, piece: self._learn(model, piece(), 1.0),
                    minibatch.pieces,
                    threads,
                )
        self.optimizer.zero()

    def _kl(self, totals: list[Tensor]) -> float:
        """How far the policy moved in one epoch, over all learners."""
        mean = torch.stack(totals)[:, KL].mean() if totals else torch.zeros(())
        if self.average is not None:
            self.average(mean)
        return float(mean)

    def _average_array(self, sums: Array) -> None:
        if self.average is not None:
            self.average(torch.from_numpy(sums))

    def _cut(
        self, rollout: Rollout, targets: Targets, shuffle: np.random.Generator, threads: int
    ) -> Iterator[Minibatch]:
        if self.model.state_size:
            length = self.config.sequence or rollout.horizon
            return sequences(rollout, targets, self.config.minibatches, length, shuffle, threads)
        return samples(rollout, targets, self.config.minibatches, shuffle, threads)

    def _discount(self, remaining: float) -> float:
        """Between `gamma` and `gamma_end`: the horizon 1 / (1 - gamma) grows evenly in proportion.
        What pays off soon is learned soon, and what pays off late rests on it."""
        gamma, end = self.config.gamma, self.config.gamma_end
        if not end or gamma >= 1.0:
            return gamma
        short = (1.0 - gamma) ** remaining * (1.0 - end) ** (1.0 - remaining)
        return float(1.0 - short)

    def beyond(self, rollout: Rollout, remaining: float = 1.0) -> FloatArray:
        """What each game [N] brought in a rollout beyond what the critic expected of the policy
        there: the sum of its temporal-difference errors, in the game's units. Over who else played
        it too, this is how much better he is (Kakade and Langford 2002, lemma 6.1), as far as the
        critic is right."""
        start = rollout.burn_in
        reward, gamma = self._flow(rollout, remaining)
        errors = advantages(
            reward,
            rollout.value[start:] / np.float32(self.return_scale.factor),
            rollout.terminated[start:],
            rollout.truncated[start:],
            rollout.is_first[start + 1 :],
            gamma=gamma,
            gae_lambda=0.0,
        )
        found: FloatArray = errors.sum(0)
        return found

    def _flow(self, rollout: Rollout, remaining: float) -> tuple[FloatArray, float | FloatArray]:
        """Rewards [T, N] as the policy learns from them, unscaled, and what discounts them."""
        start = rollout.burn_in
        reward, discount = rollout.reward[start:], self._discount(remaining)
        if "dt" not in rollout.observation:
            return reward, discount
        passed = rollout.observation["dt"][start + 1 :, :, 0]
        idle = (passed == 0.0) & ~rollout.is_first[start + 1 :]
        reward = reward - np.float32(self.config.idle_cost) * idle
        if not self.config.discount_time:
            return reward, discount
        # Time that does not pass does not discount: hiding in a menu puts nothing off.
        return reward, np.power(discount, passed / DEFAULT_DT, dtype=np.float32)

    def _targets(self, rollout: Rollout, remaining: float = 1.0) -> tuple[Targets, float]:
        """What the network is pulled to, and the variance that the critic explained."""
        config, start = self.config, rollout.burn_in
        value = rollout.value[start:]
        reward, gamma = self._flow(rollout, remaining)
        terminated, truncated = rollout.terminated[start:], rollout.truncated[start:]
        is_reset = rollout.is_first[start + 1 :]
        left_out = is_reset.copy()
        left_out[:, rollout.own.stop :] = True  # what others did is no sample of this policy's
        if config.normalize_rewards:
            scale = self.return_scale.update(
                reward, terminated | truncated, left_out, gamma, self._average_array
            )
            reward = reward * np.float32(scale)
        advantage = advantages(
            reward,
            value,
            terminated,
            truncated,
            is_reset,
            gamma=gamma,
            gae_lambda=config.gae_lambda,
        )
        returns = advantage + value[:-1]
        valid = ~left_out
        variance = explained_variance(value[:-1][valid], returns[valid])
        if config.normalize_advantages:
            size, mean, squares = spread_about(0.0, advantage[valid], self._average_array)
            advantage -= np.float32(mean)
            advantage /= np.float32(math.sqrt(squares / max(size, 1e-9)) + 1e-8)
        log_prob = rollout.log_prob[start:].sum(-1)
        return Targets(advantage, returns, log_prob, value[:-1], valid), variance

    def _imitate(
        self,
        rollout: Rollout,
        targets: Targets,
        shuffle: np.random.Generator,
        rate: float,
        threads: int,
    ) -> None:
        """Passes in which the policy learns from the teachers that ask for them and from nothing
        else: nothing is gained by what was done, nor by chance. The critic goes on, with which the
        policy may share what it sees by (as in the auxiliary phase of Cobbe et al. 2021)."""
        config, heard = self.config, self._teachers
        passes = np.array([max((t.passes for t in heard if t.weight), default=0)], np.float64)
        self._average_array(passes)  # learners go through as many, also who has no such teacher
        if not passes[0]:
            return
        targets = dataclasses.replace(targets, advantage=np.zeros_like(targets.advantage))
        self.config = msgspec.structs.replace(config, entropy_coef=0.0)
        self._teachers = tuple(t if t.passes else t._replace(weight=0.0) for t in heard)
        try:
            for _ in range(math.ceil(passes[0])):
                for minibatch in self._cut(rollout, targets, shuffle, threads):
                    self._descend(minibatch, rate, threads)
        finally:
            self.config, self._teachers = config, heard

    def _descend(self, minibatch: Minibatch, rate: float, threads: int) -> Tensor | None:
        """One gradient step; returns what `_means` names as a tensor, or None if there are no
        samples or the gradient is not finite."""
        self.optimizer.zero()
        count = np.array([float(minibatch.count)])
        self._average_array(count)
        if not count[0]:
            return None
        share = 1.0 / float(count[0])
        total = torch.zeros(len(STATISTICS) + len(self._teachers))
        if minibatch.pieces:
            total += self.replicas.total(
                lambda model, piece: self._learn(model, piece(), share), minibatch.pieces, threads
            )
        if self.average is not None:
            self.average(self.optimizer.gradient)
        norm = self.optimizer.clip(self.config.max_grad_norm)
        if not math.isfinite(norm):
            self.faults.failed("the gradient", _batch(minibatch), self.version)
            return None
        self.faults.passed()
        self.optimizer.step(rate)
        return torch.cat([total, torch.tensor([norm])])

    def _learn(self, model: ActorCritic, piece: Piece, share: float) -> Tensor:
        """Adds the gradient of the piece's part of the minibatch's loss, each sample weighing
        `share`; returns its part of STATISTICS and of the teachers' divergences."""
        parameters, value = self._forward(model, piece)
        slopes = surrogate(
            parameters.detach(),
            value.detach(),
            model.head.log_std.detach(),
            model.head.columns,
            model.head.sizes,
            model.head.done(piece.mask, piece.action),
            Outcome(piece.log_prob, piece.advantage, piece.returns, piece.value, piece.weight),
            self._terms(share),
        )
        roots, pulls = [parameters, value], [slopes.parameters, slopes.value]
        if model.head.continuous:
            roots.append(model.head.log_std)
            pulls.append(slopes.log_std)
        taught: list[Tensor] = []
        if piece.teacher is not None:
            parts = piece.teacher.chunk(len(self._teachers), 1)
            for teacher, part in zip(self._teachers, parts, strict=True):
                each = model.head.divergence(part, teacher.log_std, parameters, piece.mask)
                apart = share * torch.dot(each, piece.weight)
                roots.append(apart)
                pulls.append(apart.new_tensor(teacher.weight))
                taught.append(apart.detach())
        torch.autograd.backward(roots, pulls)
        return torch.cat([slopes.statistics, torch.stack(taught)]) if taught else slopes.statistics

    def _terms(self, share: float) -> Terms:
        config = self.config
        return Terms(config.clip, config.value_clip, config.value_coef, config.entropy_coef, share)

    def _means(self, totals: list[Tensor]) -> dict[str, float]:
        """Over gradient steps. Nothing is known of an update without a step."""
        names = (*STATISTICS, *(teacher.name for teacher in self._teachers), "gradient_norm")
        means = torch.stack(totals).mean(0).tolist() if totals else [math.nan] * len(names)
        return dict(zip(names, means, strict=True))

    @staticmethod
    def _forward(model: ActorCritic, piece: Piece) -> tuple[Tensor, Tensor]:
        """Parameters [B, outputs] and values [B] of the piece's samples."""
        if piece.state is None:
            out = model.step(piece.observation, NO_STATE, NO_STATE)
            return out.parameters, out.value
        state = piece.state
        if piece.warm_up is not None:
            with torch.no_grad():
                seen, first = piece.warm_up
                state = model.sequence(seen, state, first).state
        out = model.sequence(piece.observation, state, piece.is_first)
        return out.parameters.flatten(0, 1), out.value.flatten(0, 1)


def _batch(minibatch: Minibatch) -> dict[str, Array]:
    """What a minibatch learns from, by number of the piece and name."""
    found: dict[str, Array] = {}
    for number, make in enumerate(minibatch.pieces):
        piece = make()
        names = ("action", "log_prob", "advantage", "returns", "value", "weight")
        tensors = {name: getattr(piece, name) for name in names}
        tensors |= {f"observation.{k}": v for k, v in piece.observation.items()}
        found |= {f"{number}.{name}": tensor.numpy() for name, tensor in tensors.items()}
    return found

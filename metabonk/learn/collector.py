"""The collector: plays a game with a network and fills rollouts.

Knows BatchGame, ActorCritic and numpy, and the two ways of acting. Does not know losses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.learn.acting import Acting, TorchActing
from metabonk.learn.rollout import Rollout
from metabonk.models.policy import ActorCritic
from metabonk.protocols import Array, BatchGame

NOISE_STREAM = 1
DREAMER = "dreamer_return"  # of episodes that somebody else than the policy ended


@dataclass
class Noise:
    """Random numbers for every step of a rollout, drawn in one call each.

    Counter-based (Philox, Salmon et al. 2011): the numbers are a pure function of the seed and the
    rollout's number, so that a resumed run needs no generator state.

    memory: correlation of the normal numbers from one step to the next, 0 for none. What takes
    seconds to pay off, as running through a crowd, is never tried by noise that points elsewhere
    ten times a second. Each number by itself stays standard normal, and that is what
    log-probabilities are of (Eberhard et al. 2023; for PPO Hollenstein et al. 2024).
    """

    seed: int
    memory: float = 0.0

    def draw(
        self, rollout: int, shape: tuple[int, int], model: ActorCritic
    ) -> tuple[Tensor, Tensor]:
        """uniform [T, N, categorical] in [0, 1) and normal [T, N, continuous]."""
        philox = np.random.Philox(key=[self.seed, NOISE_STREAM], counter=[0, 0, 0, rollout])
        generator = np.random.Generator(philox)
        uniform = generator.random((*shape, model.head.categorical), np.float32)
        normal = generator.standard_normal((*shape, model.head.continuous), np.float32)
        if self.memory:
            fresh = np.float32(np.sqrt(1.0 - self.memory**2))
            for t in range(1, len(normal)):
                normal[t] = normal[t] * fresh + normal[t - 1] * np.float32(self.memory)
        return torch.from_numpy(uniform), torch.from_numpy(normal)


class Collector:
    """Plays a game with a policy and fills rollouts.

    `collect` returns the same Rollout object each time, the end of the last one carried over to
    its beginning. seconds: where the time of the last `collect` went, `env` and `policy`.
    """

    def __init__(
        self, game: BatchGame, model: ActorCritic, *, horizon: int, burn_in: int = 0, seed: int = 0
    ) -> None:
        self.game = game
        self.model = model
        self.noise = Noise(seed)
        self.acting: Acting = TorchActing(model)
        self._neutral = game.action_layout.neutral()
        self.hands = np.zeros((2, game.num_envs), np.bool_)  # see `_change_hands`
        self.count = 0  # rollouts collected
        self.steps = 0  # environment steps taken
        self.seconds = {"env": 0.0, "policy": 0.0}
        self.started = False
        self.rollout: Rollout
        self.resize(horizon, burn_in)

    def resize(self, horizon: int, burn_in: int) -> None:
        """Changes the shape of the rollouts to come; episodes go on where they are."""
        previous = self.rollout if self.started else None
        self.rollout = Rollout.allocate(
            self.game.observation_space,
            self.game.action_layout,
            self.game.num_envs,
            horizon,
            state_size=self.model.state_size,
            burn_in=burn_in,
        )
        self._previous = previous or self.rollout
        self._warm = burn_in == 0  # whether the slots before burn_in hold steps that were played
        slots = range(len(self.rollout.reward) + 1)
        seen = self.rollout.observation
        self._slots = [{key: array[t] for key, array in seen.items()} for t in slots]
        self.acting.take_place(self.rollout)

    def act_by(self, acting: Acting) -> None:
        """From now on `acting` decides; it takes this collector's network and rollout."""
        acting.take_place(self.rollout)
        self.acting = acting

    def start(self, seeds: Sequence[int]) -> None:
        """Begins new episodes everywhere; the next `collect` plays on from their beginning."""
        last = len(self.rollout.reward)
        self.game.reset_into(self._slots[last], seeds)
        self.rollout.is_first[last] = True
        self.rollout.state[last] = 0.0
        self.hands[1] = False
        self._previous, self._warm, self.started = self.rollout, self.rollout.burn_in == 0, True

    def collect(self, version: int = 0) -> Rollout:
        """Plays `horizon` steps in every environment (and `burn_in` more before them at first, and
        after what `forget` was told of)."""
        rollout, steps = self.rollout, len(self.rollout.reward)
        first = rollout.burn_in if self._warm else 0
        rollout.carry(self._previous, first)
        self._previous, self._warm = rollout, True
        rollout.version, rollout.first = version, first
        rollout.episodes = {}
        uniform, normal = self.noise.draw(self.count, (steps, rollout.num_envs), self.model)
        clock = time.perf_counter
        began, env = clock(), 0.0
        self.acting.begin(uniform, normal)
        self._change_hands(first)
        with torch.inference_mode():
            for t in range(first, steps):
                self.acting.decide(t)
                if self.model.head.continuous:
                    self._settle(t)
                before = clock()
                self.game.step_into(
                    rollout.action[t],
                    self._slots[t + 1],
                    rollout.reward[t],
                    rollout.terminated[t],
                    rollout.truncated[t],
                    rollout.is_first[t + 1],
                )
                env += clock() - before
                self._note_ends(t)
            self.acting.evaluate(steps)
        self.seconds = {"env": env, "policy": clock() - began - env}
        self.count += 1
        self.steps += (steps - first) * rollout.num_envs
        return rollout

    def _settle(self, t: int) -> None:
        """Has nobody play what is no number, which games and the clipping in front of them take for
        one and keep: of such a row as little is done as can be. That it was decided stays known by
        its log-probability, so that nobody learns from it."""
        action = self.rollout.action[t]
        known = np.isfinite(action)
        if not known.all():
            np.copyto(action, self._neutral, where=~known)
            self.rollout.log_prob[t][~known.all(-1)] = np.nan

    @property
    def cold(self) -> int:
        """Steps that the next `collect` plays before those that are learned from."""
        return 0 if self._warm else self.rollout.burn_in

    def forget(self) -> None:
        """Nothing of the last rollout is to last but where its games are: the next one warms up
        anew, from states that begin anew where they are no numbers."""
        state = self.rollout.state[-1]
        state[~np.isfinite(state).all(-1)] = 0.0
        self._warm = self.rollout.burn_in == 0

    def _change_hands(self, first: int) -> None:
        """Notes who plays which game from now on: `hands` has whether it is somebody else than the
        policy, and whether the episode at hand was begun by the one and is ended by the other. What
        such an episode returns says nothing of either."""
        others, shared = self.hands
        now = np.arange(self.rollout.num_envs) >= self.rollout.own.stop
        shared |= now != others
        shared &= ~self.rollout.is_first[first]
        others[:] = now

    def _note_ends(self, t: int) -> None:
        ended = self.rollout.terminated[t] | self.rollout.truncated[t]
        if ended.any():
            episodes, (others, shared) = self.rollout.episodes, self.hands
            own, theirs = ended & ~shared & ~others, ended & ~shared & others
            shared &= ~ended
            for key, values in self.game.episode_info().items():
                episodes.setdefault(key, []).extend(values[own].tolist())
                if key == "return" and self.rollout.others:
                    episodes.setdefault(DREAMER, []).extend(values[theirs].tolist())

    def state(self) -> dict[str, Array]:
        """What `load` needs to go on exactly here, apart from the game's own state."""
        keep = self.rollout.burn_in
        arrays = {}
        for key, array in self.rollout.arrays().items():
            count = keep + len(array) - len(self.rollout.reward)
            arrays[key] = array[len(array) - count :]
        counters = np.array([self.count, self.steps, int(self._warm)], np.int64)
        return {**arrays, "counters": counters, "hands": self.hands.copy()}

    def load(self, state: Mapping[str, Array]) -> None:
        """Inverse of `state` for a collector of the same shape."""
        for key, array in self.rollout.arrays().items():
            saved = state[key]
            if len(saved):
                array[-len(saved) :] = saved
        self.count, self.steps, warm = (int(v) for v in state["counters"])
        self.hands[:] = state.get("hands", False)  # checkpoints from before it was kept lack it
        self._previous, self._warm, self.started = self.rollout, bool(warm), True

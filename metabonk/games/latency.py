"""Simulated latency: any game as it is met over a link, its actions late and its frames old.

Knows BatchGame and counter-based random numbers; does not know which game it is. Policies that are
to act over a link learn under the delay that they will meet.

What was decided at step t arrives d steps later, d drawn anew for every decision, and a step takes
the newest decision that has arrived: older ones that come after it are lost, as in a mailbox that
holds the latest value, and where nothing new has arrived the last one holds. Before an episode's
first decision arrives nothing is done. Observations are delayed in the same way; an episode's first
is seen at once. Rewards and ends are the game's own and not delayed: they are for the learner, who
does not get them from a camera. Constant delays of either kind make the same decision process
(Katsikopoulos and Engelbrecht 2003).

A delay is a number of whole steps: of 1.5 steps every second one is 1 and every other 2, at random,
so that the mean is what was asked for. Numbers follow from an environment's own seed, the number of
its episode and the step in it: an episode has the same delays whoever plays it, however those
before it went and whatever is played beside it. Snapshots hold everything that is on its way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metabonk.errors import ConfigError, CorruptError
from metabonk.games.batch import allocate, check_seeds
from metabonk.protocols import (
    Array,
    BatchGame,
    BoolArray,
    Captured,
    FloatArray,
    Observation,
    Visible,
)
from metabonk.spaces import ActionLayout

LONGEST = 5.0  # seconds, of a delay with its jitter
_BLOCK = 256  # steps whose random numbers are drawn at once
_STREAM = 0x4C415445  # apart from other uses of the same seeds
_NEVER = -1

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Delays:
    """latency: seconds from a decision until it takes effect. jitter: by how much more at most,
    uniform, for every decision and every observation. observation: seconds until what the game
    shows is seen; 0 is at once, without jitter."""

    latency: float = 0.0
    jitter: float = 0.0
    observation: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.latency or self.jitter or self.observation)


def delayed(game: BatchGame, delays: Delays) -> BatchGame:
    """The game under these delays; the game itself without any, at no cost.

    Raises ConfigError for a delay that is none, for a game that has no time, and for one that runs
    by itself and so has a delay of its own.
    """
    if not delays:
        return game
    for name in ("latency", "jitter", "observation"):
        seconds = getattr(delays, name)
        if not 0.0 <= seconds <= LONGEST:
            setting = "observation_latency" if name == "observation" else name
            raise ConfigError(f"game.{setting}: {seconds:g} s, give 0 to {LONGEST:g}")
    if isinstance(game, Captured):
        raise ConfigError(
            f"game.latency: {game.name} runs by itself and has a delay of its own, leave it out"
        )
    if not isinstance(game, Visible) or not game.frame_rate:
        raise ConfigError(f"game.latency: {game.name} has no time to be late in, leave it out")
    return Delayed(game, delays)


class Delayed:
    """A game that is met over a link; a BatchGame and Visible, as the one inside.

    applied: what the game was given in the last step, float32 [N, columns].
    """

    def __init__(self, game: BatchGame, delays: Delays) -> None:
        if not isinstance(game, Visible):
            raise ConfigError(f"game.latency: {game.name} has no time to be late in")
        self.game, self.delays = game, delays
        self._shown: Visible = game
        self.name, self.num_envs, self.snapshots = game.name, game.num_envs, game.snapshots
        self.observation_space, self.action_layout = game.observation_space, game.action_layout
        self.frame_rate, self.picture_rate = game.frame_rate, game.picture_rate
        num, rate = game.num_envs, game.frame_rate
        idle = np.tile(nothing(game.name, game.action_layout), (num, 1))
        self._idle: FloatArray = idle
        self.applied: FloatArray = idle.copy()
        self._actions = _Line({"action": idle}, delays.latency * rate, delays.jitter * rate)
        self._frames: _Line | None = None
        self._seen: dict[str, Array] = {}
        if delays.observation:
            self._seen = allocate(game.observation_space, num)
            self._frames = _Line(self._seen, delays.observation * rate, delays.jitter * rate)
        self._random = _Random([0] * num)
        self._step = 0

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        check_seeds(seeds, self.num_envs)
        self._random = _Random(seeds)
        self._step = 0
        self.applied[:] = self._idle
        self._actions.clear(np.ones(self.num_envs, np.bool_))
        if self._frames is None:
            self.game.reset_into(observation, seeds)
            return
        self.game.reset_into(self._seen, seeds)
        self._show(observation, np.ones(self.num_envs, np.bool_))

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        delay = self._actions.draw(self._random.line(0))
        self._actions.put(self._step, {"action": actions}, delay)
        self._actions.take(self._step, {"action": self.applied})
        flags = (reward, terminated, truncated, is_reset)
        inside = observation if self._frames is None else self._seen
        self.game.step_into(self.applied, inside, *flags)
        self._step += 1
        self._random.advance(is_reset)
        if is_reset.any():
            self._actions.clear(is_reset)
            self.applied[is_reset] = self._idle[is_reset]
        if self._frames is not None:
            self._show(observation, is_reset)

    def _show(self, observation: Observation, is_first: BoolArray) -> None:
        """What is seen of what the game shows now."""
        assert self._frames is not None
        self._frames.clear(is_first)
        delay = np.where(is_first, 0, self._frames.draw(self._random.line(1)))
        self._frames.put(self._step, self._seen, delay)
        self._frames.take(self._step, observation)

    def clone_state(self) -> bytes:
        """The game's own state and all that is on its way, as safetensors."""
        from safetensors.numpy import save

        arrays = {"game": np.frombuffer(self.game.clone_state(), np.uint8), **self._arrays()}
        return bytes(save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))

    def restore_state(self, state: bytes) -> None:
        """Raises CorruptError for bytes that are no clone under the same delays."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            found: dict[str, Array] = dict(load(state))
        except (SafetensorError, ValueError) as error:
            raise CorruptError(f"{self.name}: no clone of a delayed game: {error}") from error
        here = self._arrays()
        if "key" in found:  # one for all environments: delays depended on what else was played
            raise CorruptError(
                f"{self.name}: a clone of before delays followed from each environment's seed: "
                "go on with the version of metabonk that wrote it, or start anew"
            )
        for key, array in here.items():
            saved = found.get(key)
            if saved is None or (saved.shape, saved.dtype) != (array.shape, array.dtype):
                raise CorruptError(
                    f"{self.name}: a clone under other delays: {key} is not {array.dtype} "
                    f"{array.shape}; set game.latency and game.jitter as they were"
                )
        if "game" not in found:
            raise CorruptError(f"{self.name}: a clone without the game's own state")
        self.game.restore_state(found["game"].tobytes())
        for key, array in here.items():
            array[...] = found[key]
        self._step = int(here["step"][0])
        self._random.forget()

    def _arrays(self) -> dict[str, Array]:
        """What a clone holds besides the game; arrays of this object where they are arrays."""
        found: dict[str, Array] = {
            "step": np.array([self._step], np.int64),
            "applied": self.applied,
            **{f"random.{key}": value for key, value in self._random.arrays().items()},
        }
        for name, line in (("actions", self._actions), ("frames", self._frames)):
            if line is not None:
                found |= {f"{name}.{key}": value for key, value in line.arrays().items()}
        return found

    def episode_info(self) -> Mapping[str, Array]:
        return self.game.episode_info()

    def render(self, index: int) -> Array:
        """What the game shows now, however old what is seen of it."""
        return self._shown.render(index)

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        """As the game will show itself: with the action that arrives, not with `row`."""
        delay = self._actions.draw(self._random.line(0))
        late = self._actions.newest(self._step)[index]
        if not delay[index]:
            arriving = row
        elif late != _NEVER:
            arriving = self._actions.kept["action"][late % self._actions.room, index]
        else:
            arriving = self.applied[index]
        return self._shown.pictures(index, arriving)

    def close(self) -> None:
        self.game.close()


class _Line:
    """Values on their way, per environment; the newest that has arrived is taken.

    mean, more: delay in steps, and by how much longer it is at most. kept: the last `room` values
    by key [room, N, ...], that of step s in place s % room.
    """

    def __init__(self, like: Mapping[str, Array], mean: float, more: float) -> None:
        self._mean, self._more = mean, more
        self.room = math.floor(mean + more + 1e-9) + 2
        num = len(next(iter(like.values())))
        self.kept = {k: np.zeros((self.room, *v.shape), v.dtype) for k, v in like.items()}
        self._due: Longs = np.zeros((self.room, num), np.int64)
        self._sent: Longs = np.full((self.room, num), _NEVER, np.int64)
        self._rows = np.arange(num)

    def draw(self, uniform: npt.NDArray[np.float64]) -> Longs:
        """Delays [N] in steps, from numbers [2, N] in [0, 1)."""
        exact = self._mean + uniform[0] * self._more
        steps: Longs = np.floor(exact + 1e-9 + uniform[1] * (1.0 - 2e-9)).astype(np.int64)
        return steps

    def clear(self, which: BoolArray) -> None:
        """Forgets what is on its way in these environments [N]."""
        self._sent[:, which] = _NEVER

    def put(self, step: int, values: Mapping[str, Array], delay: Longs) -> None:
        at = step % self.room
        for key, kept in self.kept.items():
            if key in values:
                kept[at] = values[key]
        self._due[at] = step + delay
        self._sent[at] = step

    def newest(self, step: int) -> Longs:
        """When the newest value that has arrived was sent [N]; _NEVER where none has."""
        sent: Longs = np.where(self._due <= step, self._sent, _NEVER).max(0)
        return sent

    def take(self, step: int, out: Mapping[str, Array]) -> None:
        """Writes the newest values that have arrived; leaves `out` as it is where none has."""
        sent = self.newest(step)
        there = sent != _NEVER
        if there.all():
            for key, array in out.items():
                array[...] = self.kept[key][sent % self.room, self._rows]
        else:
            for key, array in out.items():
                array[there] = self.kept[key][sent[there] % self.room, self._rows[there]]

    def arrays(self) -> dict[str, Array]:
        return {**self.kept, "due": self._due, "sent": self._sent}


class _Random:
    """Uniform numbers of every environment: a function of its seed, the number of its episode and
    the step in it (Philox, Salmon et al. 2011).

    seeds: one per environment. Numbers of _BLOCK steps are drawn at once.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        num = len(seeds)
        self._keys: npt.NDArray[np.uint64] = np.zeros((num, 2), np.uint64)
        for key, seed in zip(self._keys, seeds, strict=True):
            words = [_STREAM, int(seed) % 2**64]
            key[:] = np.random.SeedSequence(words).generate_state(2, np.uint64)
        self._episodes: Longs = np.zeros(num, np.int64)
        self._steps: Longs = np.zeros(num, np.int64)
        self._rows = np.arange(num)
        self._drawn: npt.NDArray[np.float64] = np.zeros((num, _BLOCK, 2, 2))
        self.forget()

    def line(self, line: int) -> npt.NDArray[np.float64]:
        """Numbers [2, N] in [0, 1) of the present step; line: 0 for actions, 1 for observations."""
        if self._stale.any():
            for env in np.flatnonzero(self._stale).tolist():
                self._draw(env)
            self._stale[:] = False
        drawn: npt.NDArray[np.float64] = self._drawn[self._rows, self._steps % _BLOCK, line]
        return drawn.T

    def advance(self, is_reset: BoolArray) -> None:
        """A step was made; in some environments [N] it began an episode."""
        self._steps += 1
        self._steps[is_reset] = 0
        self._episodes += is_reset
        self._stale |= self._steps % _BLOCK == 0

    def arrays(self) -> dict[str, Array]:
        """What the numbers to come follow from; after it was changed, `forget` what was drawn."""
        return {"keys": self._keys, "episodes": self._episodes, "steps": self._steps}

    def forget(self) -> None:
        self._stale: BoolArray = np.ones(len(self._keys), np.bool_)

    def _draw(self, env: int) -> None:
        counter = [0, 0, int(self._episodes[env]), int(self._steps[env]) // _BLOCK]
        philox = np.random.Philox(key=self._keys[env], counter=counter)
        np.random.Generator(philox).random(out=self._drawn[env])


def nothing(name: str, layout: ActionLayout) -> FloatArray:
    """The row [columns] that comes nearest to doing nothing: no move, the first of every choice, no
    click; grid64 has an action for it."""
    row = np.zeros(layout.columns, np.float32)
    for branch in layout.branches:
        columns = slice(branch.column, branch.column + branch.width)
        if branch.name == "click":
            row[columns] = -1.0
        elif branch.kind == "continuous":
            row[columns] = np.clip(0.0, branch.low, branch.high)
        elif branch.name == "action" and name.startswith("grid64/"):
            row[columns] = -1.0
    return row

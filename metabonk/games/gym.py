"""Any environment registered in Gymnasium, as a BatchGame: `gym/<id>`.

Knows Gymnasium's vector environments and spaces; does not know which environments exist.

Observations are presented as Box spaces only, so that a network needs no case for anything else:
uint8 boxes stay as they are, every other number becomes float32, a choice (`Discrete`,
`MultiDiscrete`) becomes one-hot. Nested spaces get dotted keys; a plain space is called
`observation`. Continuous actions are clipped to the space's bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gs
from gymnasium.vector import AutoresetMode, VectorEnv

from metabonk.errors import ConfigError, GameError, MetabonkError, MissingExtraError
from metabonk.games.batch import EpisodeSums, check_seeds, episode_seed
from metabonk.protocols import Array, BoolArray, FloatArray, Observation
from metabonk.spaces import ActionLayout


def make(
    rest: str,
    num_envs: int,
    kwargs: Mapping[str, Any] | None = None,
    visible: bool = False,
    seeded: bool = False,
) -> GymGame:
    """`num_envs` environments of the registered id `rest`; `kwargs` go to its constructor.

    visible: `render` works. seeded: every episode follows from its environment's seed and its
    number alone, so that it is the same one for whoever plays, however the ones before it went.
    With either each environment steps by itself, which is slower.
    """
    return GymGame(rest, num_envs, dict(kwargs or {}), visible, seeded)


class GymGame:
    """A Gymnasium vector environment that writes into the caller's arrays.

    The id's own vector environment is used where it has one that resets in the next step (the
    whole batch then takes one seed, a hash of all), else `SyncVectorEnv` with one seed each. Both
    go on drawing from what they were seeded with when an episode ends, unless `seeded`.
    """

    snapshots = False

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        kwargs: dict[str, Any],
        visible: bool = False,
        seeded: bool = False,
    ) -> None:
        self.name = f"gym/{env_id}"
        self.num_envs = num_envs
        if visible:
            kwargs = {"render_mode": "rgb_array", **kwargs}
        self._envs, self._seed_each = _make_vector(env_id, num_envs, kwargs, visible, seeded)
        self.frame_rate = self.picture_rate = float(self._envs.metadata.get("render_fps", 30))
        leaves: dict[str, gs.Space[Any]] = {}
        _leaves(self._envs.single_observation_space, "", leaves)
        self._leaves = leaves
        self.observation_space = gs.Dict({k: _as_box(k, s) for k, s in leaves.items()})
        self.action_layout = ActionLayout.of(self._envs.single_action_space)
        self._ended: BoolArray = np.zeros(num_envs, np.bool_)
        self._sums = EpisodeSums(num_envs)

    def reset_into(self, observation: Observation, seeds: Sequence[int]) -> None:
        """Starts every environment with its seed; see the class for ids with one seed for all."""
        check_seeds(seeds, self.num_envs)
        seed: Any = [int(s) for s in seeds]
        if not self._seed_each:
            seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        given, _ = self._envs.reset(seed=seed)
        self._ended[:] = False
        self._sums.reset()
        self._write(given, observation)

    def step_into(
        self,
        actions: FloatArray,
        observation: Observation,
        reward: FloatArray,
        terminated: BoolArray,
        truncated: BoolArray,
        is_reset: BoolArray,
    ) -> None:
        batch, _ = _decode_batch(self._envs.single_action_space, actions, 0)
        given, rewards, terminations, truncations, _ = self._envs.step(batch)
        reward[:] = rewards
        terminated[:] = terminations
        truncated[:] = truncations
        is_reset[:] = self._ended
        np.logical_or(terminated, truncated, out=self._ended)
        self._sums.add(reward, is_reset)
        self._write(given, observation)

    def clone_state(self) -> bytes:
        raise GameError(
            f"{self.name}: Gymnasium environments have no snapshots, restart the episode"
        )

    def restore_state(self, state: bytes) -> None:
        raise GameError(
            f"{self.name}: Gymnasium environments have no snapshots, restart the episode"
        )

    def episode_info(self) -> Mapping[str, Array]:
        return self._sums.info()

    def render(self, index: int) -> Array:
        """What environment `index` shows, uint8 [H, W, 3]. Raises GameError unless `visible`."""
        envs = getattr(self._envs.unwrapped, "envs", None)
        try:
            frame = envs[index].render() if envs is not None else None
        except ImportError as error:  # most draw with pygame
            raise MissingExtraError("pygame", "games", f"a picture of {self.name}") from error
        if not isinstance(frame, np.ndarray):
            raise GameError(f"{self.name}: cannot show itself; make it with visible=True")
        return frame

    def pictures(self, index: int, row: FloatArray) -> Sequence[Array]:
        return [self.render(index)]

    def close(self) -> None:
        self._envs.close()

    def _write(self, given: Any, out: Observation) -> None:
        for key, array in out.items():
            if key not in self._leaves:
                raise ConfigError(
                    f"observation: {self.name} has no key {key!r}, it has {', '.join(self._leaves)}"
                )
            _write_leaf(self._leaves[key], _lookup(given, key), array)


class SeededEpisodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose every episode follows from the seed that it was given and the number of
    the episode; else it draws on from where the last one left its generator."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._given, self._episode = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._given, self._episode = seed, 0
            return self.env.reset(seed=seed, options=options)
        self._episode += 1
        # 31 bits, as some environments take no more.
        drawn = episode_seed(self._given, self._episode) >> 33
        return self.env.reset(seed=drawn, options=options)


def _make_vector(
    env_id: str, num_envs: int, kwargs: dict[str, Any], visible: bool, seeded: bool
) -> tuple[VectorEnv[Any, Any, Any], bool]:
    """The vector environment and whether it takes one seed per environment."""
    each = visible or seeded  # even where the id has a vector environment
    wrappers = [SeededEpisodes] if seeded else None
    try:
        spec = gymnasium.spec(env_id)
        if spec.vector_entry_point is not None and not (spec.additional_wrappers or each):
            envs = gymnasium.make_vec(env_id, num_envs, "vector_entry_point", **kwargs)
            if envs.metadata.get("autoreset_mode") is AutoresetMode.NEXT_STEP:
                return envs, False
            envs.close()
        return gymnasium.make_vec(env_id, num_envs, "sync", wrappers=wrappers, **kwargs), True
    except gymnasium.error.UnregisteredEnv as error:
        why = str(error).rstrip(".")
        raise ConfigError(
            f"game: {why}; `metabonk games --all` lists those that there are"
        ) from error
    except MetabonkError:
        raise
    except (gymnasium.error.Error, ImportError) as error:  # of a package that it needs
        raise GameError(f"gym/{env_id} cannot be made: {error}") from error


def _leaves(space: gs.Space[Any], key: str, out: dict[str, gs.Space[Any]]) -> None:
    if isinstance(space, gs.Dict | gs.Tuple):
        items = space.spaces.items() if isinstance(space, gs.Dict) else enumerate(space.spaces)
        for name, sub in items:
            _leaves(sub, f"{key}.{name}" if key else str(name), out)
    else:
        out[key or "observation"] = space


def _lookup(given: Any, key: str) -> Any:
    """A leaf as one batched array; keys may hold dots themselves, so the longest match wins."""
    if isinstance(given, tuple):
        head, _, tail = key.partition(".")
        return _lookup(given[int(head)], tail)
    if not isinstance(given, dict):
        return given
    for name in sorted(given, key=lambda n: -len(str(n))):
        if key == name:
            return given[name]
        if key.startswith(f"{name}."):
            return _lookup(given[name], key[len(str(name)) + 1 :])
    raise GameError(f"observation: the environment left out {key!r}")


def _as_box(key: str, space: gs.Space[Any]) -> gs.Box:
    if isinstance(space, gs.Box):
        if space.dtype == np.uint8:
            return gs.Box(space.low, space.high, dtype=np.uint8)
        return gs.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)
    if isinstance(space, gs.Discrete):
        return gs.Box(0.0, 1.0, (int(space.n),), np.float32)
    if isinstance(space, gs.MultiDiscrete):
        return gs.Box(0.0, 1.0, (int(space.nvec.sum()),), np.float32)
    if isinstance(space, gs.MultiBinary):
        return gs.Box(0.0, 1.0, space.shape, np.float32)
    raise ConfigError(f"observation {key!r}: {space} has no fixed shape; wrap the environment")


def _write_leaf(space: gs.Space[Any], given: Any, out: Array) -> None:
    if isinstance(space, gs.Discrete):
        out[:] = 0.0
        out[np.arange(len(out)), np.asarray(given) - int(space.start)] = 1.0
    elif isinstance(space, gs.MultiDiscrete):
        values = np.asarray(given).reshape(len(out), -1) - np.ravel(space.start)
        first = np.concatenate([[0], np.cumsum(space.nvec.ravel())[:-1]])
        out[:] = 0.0
        np.put_along_axis(out, values + first, 1.0, axis=1)
    else:
        np.copyto(out, given, casting="unsafe")


def _decode_batch(space: gs.Space[Any], rows: FloatArray, column: int) -> tuple[Any, int]:
    """Rows [N, columns] as one action of the batched space; see ActionLayout.decode for one row."""
    num = len(rows)
    if isinstance(space, gs.Discrete):
        return rows[:, column].astype(np.int64) + int(space.start), column + 1
    if isinstance(space, gs.Dict):
        parts: dict[str, Any] = {}
        for key, sub in space.spaces.items():
            parts[key], column = _decode_batch(sub, rows, column)
        return parts, column
    if isinstance(space, gs.Tuple):
        items: list[Any] = []
        for sub in space.spaces:
            item, column = _decode_batch(sub, rows, column)
            items.append(item)
        return tuple(items), column
    end = column + int(np.prod(space.shape))  # type: ignore[arg-type]
    values = rows[:, column:end].reshape(num, *space.shape)  # type: ignore[misc]
    if isinstance(space, gs.Box):
        return np.clip(values, space.low, space.high).astype(space.dtype), end
    start = space.start if isinstance(space, gs.MultiDiscrete) else 0
    return values.astype(space.dtype) + start, end

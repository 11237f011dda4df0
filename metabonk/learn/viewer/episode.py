"""One real episode, and what the world model dreams of it: error over time, first divergence.

Knows games, recordings and the world model's verbs; does not know pictures or runs. The model
watches the first steps; from there on it dreams under the actions that were really taken, several
times, and is told nothing more until the end, or until so many steps later it looks again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabonk.data.library import Piece
from metabonk.errors import ConfigError, GameError
from metabonk.learn.evaluate import MAX_STEPS, seeds
from metabonk.learn.viewer.distance import Doubles, Ruler, first_apart, unseeing
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import Array, BatchGame, FloatArray, Policy, Visible

DRAWS = 8  # dreams that are dreamed side by side
CONTEXT = 8  # steps that are watched before a dream


@dataclass(frozen=True)
class Episode:
    """T decisions. observation: by key [T + 1, ...], the last one what the episode ended in. action
    float32 [T, columns], reward float32 [T], terminated: whether it ended, and was not cut.
    pictures: what the game showed [T + 1] times, empty for one that cannot be seen. kept: the game
    as it was, by decision."""

    observation: dict[str, Array]
    action: FloatArray
    reward: FloatArray
    terminated: bool
    rate: float
    pictures: list[Array] = field(default_factory=list)
    kept: dict[int, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.action)

    def seen(self) -> dict[str, Tensor]:
        """Observations as tensors over the same memory."""
        return {key: torch.from_numpy(value) for key, value in self.observation.items()}


@dataclass(frozen=True)
class Dreamt:
    """S dreamed steps, of which the first leads to observation `context` of the episode.

    features [S, draws, F]. error, persistence, mean, awake [S]: how far the dreams, the last frame
    that was seen, the mean of all of those, and the model while awake are from what was real.
    reward, going [S]: as dreamed. looked [S]: at which observation the model last looked.
    """

    context: int
    features: Tensor
    error: Doubles
    persistence: Doubles
    mean: Doubles
    awake: Doubles
    reward: Doubles
    going: Doubles
    looked: list[int]

    @property
    def diverged(self) -> int | None:
        """The observation in which the dream comes apart, see `first_apart`; None if it stays
        right."""
        found = first_apart(self.error, self.persistence, self.mean, self.awake)
        return None if found is None else found + self.context

    @property
    def unseeing(self) -> bool:
        """Whether the model, awake, is no better than what needs no model, see `unseeing`."""
        return unseeing(self.persistence, self.mean, self.awake)


class Arrays:
    """What one environment shows and says, written over at every step."""

    def __init__(self, game: BatchGame) -> None:
        if game.num_envs != 1:
            raise ConfigError(f"num_envs: {game.num_envs}; wanted a game of one environment")
        self.observation = {
            key: np.zeros((1, *(sub.shape or ())), sub.dtype)
            for key, sub in game.observation_space.spaces.items()
        }
        self.reward = np.zeros(1, np.float32)
        self.terminated, self.truncated, self.is_reset = (np.zeros(1, np.bool_) for _ in range(3))

    def step(self, game: BatchGame, row: FloatArray) -> None:
        game.step_into(
            row, self.observation, self.reward, self.terminated, self.truncated, self.is_reset
        )

    def copied(self) -> dict[str, Array]:
        return {key: value[0].copy() for key, value in self.observation.items()}

    @property
    def over(self) -> bool:
        return bool(self.terminated[0] or self.truncated[0])


def play(
    game: BatchGame,
    policy: Policy,
    number: int,
    *,
    seed: int = 0,
    keep: Collection[int] = (),
    most: int = MAX_STEPS,
    pictures: bool = False,
) -> Episode:
    """Episode `number` that `policy` plays in `game`, of one environment: those of an evaluation
    with this seed. keep: decisions at which the game is kept. most: decisions after which it is
    cut. pictures: of what a visible game shows. Raises GameError for a game that cannot be kept."""
    if keep and not game.snapshots:
        raise GameError(f"{game.name} cannot be forked: it has no snapshots")
    arrays = Arrays(game)
    game.reset_into(arrays.observation, seeds(seed, 1))
    state, is_first = policy.reset(1), np.ones(1, np.bool_)
    for _ in range(number):
        state = _skip(game, policy, arrays, state, is_first)
    rows: list[dict[str, Any]] = []
    seen, shown = [arrays.copied()], _picture(game, pictures)
    kept: dict[int, bytes] = {}
    while len(rows) < most and not arrays.over:
        if len(rows) in keep:
            kept[len(rows)] = game.clone_state()
        action, state = policy.act(arrays.observation, state, is_first)
        rows.append({"action": np.array(action[0], np.float32)})
        arrays.step(game, action)
        is_first[:] = arrays.is_reset
        rows[-1]["reward"] = float(arrays.reward[0])
        seen.append(arrays.copied())
        shown += _picture(game, pictures)
    if keep and max(keep) >= len(rows):
        cut = "" if arrays.over else "; it was cut there: raise --longest"
        raise ConfigError(f"decision {max(keep)}: the episode has {len(rows)}, from 0 on{cut}")
    return Episode(
        {key: np.stack([one[key] for one in seen]) for key in seen[0]},
        np.stack([row["action"] for row in rows]),
        np.array([row["reward"] for row in rows], np.float32),
        bool(arrays.terminated[0]),
        game.frame_rate if isinstance(game, Visible) else 0.0,
        shown,
        kept,
    )


def _skip(game: BatchGame, policy: Policy, arrays: Arrays, state: Any, is_first: Array) -> Any:
    """Plays an episode to its end and on to the first observation of the next one."""
    for _ in range(MAX_STEPS):
        over = arrays.over
        action, state = policy.act(arrays.observation, state, is_first)
        arrays.step(game, action)
        is_first[:] = arrays.is_reset
        if over:
            return state
    raise GameError(f"{game.name}: an episode has not ended after {MAX_STEPS} decisions")


def _picture(game: BatchGame, wanted: bool) -> list[Array]:
    return [np.array(game.render(0))] if wanted and isinstance(game, Visible) else []


def recorded(piece: Piece, keys: list[str], most: int = MAX_STEPS) -> Episode:
    """An episode as it was recorded. Raises ConfigError for one without these observations."""
    steps = min(piece.steps, most)
    rows = piece.read(0, steps + 1, keys)
    seen = {key: rows[f"observation/{key}"][: steps + 1] for key in keys}
    known = len(next(iter(seen.values())))
    steps = min(steps, known - 1)
    return Episode(
        {key: value[: steps + 1] for key, value in seen.items()},
        rows["action"][:steps],
        rows["reward"][:steps],
        bool(rows["terminated"][steps - 1]) if steps else False,
        piece.header.rate,
    )


@torch.no_grad()
def watch(world: WorldModel, episode: Episode, *, seed: int = 0) -> Latent:
    """The model's states [T + 1, F] while it sees the whole episode."""
    length = len(episode) + 1
    before = np.concatenate([np.zeros_like(episode.action[:1]), episode.action])
    is_first = torch.zeros(length, 1, dtype=torch.bool)
    is_first[0] = True
    noise = world.rssm.noise(length, 1, generator=torch.Generator().manual_seed(seed))
    seen = {key: value[:, None] for key, value in episode.seen().items()}
    states = world.sequence(world.init(1), torch.from_numpy(before)[:, None], seen, is_first, noise)
    return Latent(states.deter[:, 0], states.stoch[:, 0])


@torch.no_grad()
def ahead(world: WorldModel, start: Latent, rows: FloatArray, *, draws: int, seed: int) -> Tensor:
    """Features [S, draws, F] of dreams that begin in one state [F] and do rows [S, columns]."""
    state = Latent(start.deter.repeat(draws, 1), start.stoch.repeat(draws, 1))
    action = world.actions(torch.from_numpy(np.array(rows)))[:, None].repeat(1, draws, 1)
    generator = torch.Generator().manual_seed(seed)
    noise = world.rssm.noise(len(rows), draws, generator=generator)
    states = world.rssm.sequence(state, action, None, None, noise)
    return Latent(states.deter, states.stoch).features


@torch.no_grad()
def dream_of(
    world: WorldModel,
    episode: Episode,
    *,
    context: int = CONTEXT,
    horizon: int = 0,
    draws: int = DRAWS,
    seed: int = 0,
) -> Dreamt:
    """Watches `context` observations and dreams the rest of the episode. horizon: steps after which
    it looks again; 0: never. Raises ConfigError for an episode that is too short."""
    if not 0 < context <= len(episode):
        raise ConfigError(
            f"context: {context}; the episode has {len(episode) + 1} observations, of which one at "
            "least has to be dreamed: watch fewer, or take a longer episode"
        )
    ruler, states = Ruler(world), watch(world, episode, seed=seed)
    last = len(episode) + 1
    every = horizon or last
    pieces: list[Tensor] = []
    looked: list[int] = []
    for start in range(context, last, every):
        stop = min(start + every, last)
        begin = Latent(states.deter[start - 1], states.stoch[start - 1])
        rows = episode.action[start - 1 : stop - 1]
        pieces.append(ahead(world, begin, rows, draws=draws, seed=seed + start))
        looked += [start - 1] * (stop - start)
    features = torch.cat(pieces)
    real = ruler.seen(episode.seen())
    truth = {key: value[context:] for key, value in real.items()}
    awake = ruler.dreamed(states.features[context:, None])
    reward, going = world.outcome(features)
    return Dreamt(
        context,
        features,
        error=ruler.apart(ruler.dreamed(features), truth),
        persistence=ruler.apart({k: v[looked] for k, v in real.items()}, truth),
        mean=ruler.apart(_means(real, looked), truth),
        awake=ruler.apart(awake, truth),
        reward=reward.mean(1).double().numpy(),
        going=going.mean(1).double().numpy(),
        looked=looked,
    )


def _means(real: Mapping[str, Tensor], looked: list[int]) -> dict[str, Tensor]:
    """By key, the mean of all that was seen up to each look [S, ...]; of cells the most common."""
    found: dict[str, Tensor] = {}
    for key, value in real.items():
        by_look = {
            at: value[: at + 1].mode(0).values
            if value.dtype == torch.uint8
            else value[: at + 1].mean(0)
            for at in set(looked)
        }
        found[key] = torch.stack([by_look[at] for at in looked])
    return found

"""The counterfactual twin: a moment of a game, forked under another action, really and in a dream.

Knows games with snapshots, episodes and the world model; does not know pictures or runs. The game
is put back to the moment and does something else once; after that both do what was done before.
What then differs is the action's own doing, and the world model says beforehand what it will be.
The measure is not whether it foresees the game, most of which no action changes, but whether it
foresees the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabonk.errors import ConfigError, GameError
from metabonk.learn.dreams.foresight import CLEARLY
from metabonk.learn.evaluate import seeds
from metabonk.learn.viewer.distance import Doubles, Ruler, first_apart
from metabonk.learn.viewer.episode import Arrays, Episode, ahead, watch
from metabonk.models.actor import Uniform
from metabonk.models.rssm import Latent
from metabonk.models.world import WorldModel
from metabonk.protocols import Array, BatchGame, FloatArray, Visible
from metabonk.spaces import ActionLayout


@dataclass(frozen=True)
class Twin:
    """S steps after decision `at`, of which the first leads to observation `at` + 1.

    instead float32 [columns]: what was done there. observation: by key [S, ...], what then really
    came. pictures: as in Episode. reward [S]: real, under the other action. features [S, draws, F]
    and factual [S, draws, F]: dreams under the other action and under the one that was done, with
    the same random numbers. effect [S]: how far the two real courses are apart. error [S]: the
    dream's, from what really came. persistence [S], mean [S]: of what needs no model. awake [S]: of
    the model while it sees what came. unchanged
    [S]: how far the dream of what was done is from what came instead: the error of a model that
    does not look at actions.
    """

    at: int
    instead: FloatArray
    observation: dict[str, Array]
    pictures: list[Array]
    reward: Doubles
    features: Tensor
    factual: Tensor
    effect: Doubles
    error: Doubles
    persistence: Doubles
    mean: Doubles
    awake: Doubles
    unchanged: Doubles
    ended: bool

    @property
    def forked(self) -> int | None:
        """The first observation in which the two real courses differ at all; None if never."""
        found = np.flatnonzero(self.effect > 0.0)
        return int(found[0]) + self.at + 1 if len(found) else None

    @property
    def diverged(self) -> int | None:
        """The observation in which the dream of the other action comes apart, see `first_apart`;
        None if it stays right."""
        found = first_apart(self.error, self.persistence, self.mean, self.awake)
        return None if found is None else found + self.at + 1


def fork(
    world: WorldModel,
    game: BatchGame,
    episode: Episode,
    at: int,
    instead: FloatArray,
    *,
    steps: int,
    draws: int = 8,
    seed: int = 0,
    pictures: bool = False,
) -> Twin:
    """Forks an episode at decision `at`, at which it was kept. instead [columns]: what is done
    there. steps: how far both are followed, at most to the end of either. Raises GameError for an
    episode that was not kept there."""
    if at not in episode.kept:
        raise GameError(f"{game.name}: the episode was kept at {sorted(episode.kept)}, not at {at}")
    rows = np.concatenate([instead[None], episode.action[at + 1 : at + steps]])
    seen, reward, shown, ended = _play_on(game, episode.kept[at], rows, pictures)
    count = len(reward)
    ruler, states = Ruler(world), watch(world, episode, seed=seed)
    begin = Latent(states.deter[at], states.stoch[at])
    dreamed = ahead(world, begin, rows[:count], draws=draws, seed=seed)
    factual = ahead(world, begin, episode.action[at : at + count], draws=draws, seed=seed)
    real = ruler.seen(episode.seen())
    was = {key: value[at + 1 : at + 1 + count] for key, value in real.items()}
    came = ruler.seen({key: torch.from_numpy(value) for key, value in seen.items()})
    last = {key: value[at : at + 1] for key, value in real.items()}
    common = {
        key: (v[: at + 1].mode(0).values if v.dtype == torch.uint8 else v[: at + 1].mean(0))[None]
        for key, v in real.items()
    }
    return Twin(
        at=at,
        instead=np.array(instead, np.float32),
        observation=seen,
        pictures=shown,
        reward=reward,
        features=dreamed,
        factual=factual,
        effect=ruler.apart(was, came),
        error=ruler.apart(ruler.dreamed(dreamed), came),
        persistence=ruler.apart(last, came),
        mean=ruler.apart(common, came),
        awake=ruler.apart(ruler.dreamed(_awake(world, begin, rows[:count], seen, seed)), came),
        unchanged=ruler.apart(ruler.dreamed(factual), came),
        ended=ended,
    )


@torch.no_grad()
def _awake(
    world: WorldModel, begin: Latent, rows: FloatArray, seen: Mapping[str, Array], seed: int
) -> Tensor:
    """Features [S, 1, F] of the model while it sees what comes of rows [S, columns]."""
    count = len(rows)
    noise = world.rssm.noise(count, 1, generator=torch.Generator().manual_seed(seed))
    states = world.sequence(
        Latent(begin.deter[None], begin.stoch[None]),
        torch.from_numpy(rows)[:, None],
        {key: torch.from_numpy(value)[:, None] for key, value in seen.items()},
        torch.zeros(count, 1, dtype=torch.bool),
        noise,
    )
    return Latent(states.deter, states.stoch).features


def _play_on(
    game: BatchGame, snapshot: bytes, rows: FloatArray, pictures: bool
) -> tuple[dict[str, Array], Doubles, list[Array], bool]:
    """What really comes of rows [S, columns] from a snapshot on: observations, rewards, pictures of
    every step, and whether the episode ended in the last of them."""
    arrays = Arrays(game)
    game.reset_into(arrays.observation, seeds(0, 1))  # some games have to run before
    game.restore_state(snapshot)
    seen: list[dict[str, Array]] = []
    reward: list[float] = []
    shown: list[Array] = []
    for row in rows:
        arrays.step(game, row[None])
        seen.append(arrays.copied())
        reward.append(float(arrays.reward[0]))
        if pictures and isinstance(game, Visible):
            shown.append(np.array(game.render(0)))
        if arrays.over:
            break
    whole = {key: np.stack([one[key] for one in seen]) for key in seen[0]}
    return whole, np.array(reward), shown, arrays.over


def trust(twins: Sequence[Twin]) -> int:
    """The trust horizon over several forks: how many steps, from the first on and without a gap,
    the mean error of the dreams is clearly below those of persistence and of the mean. Steps that
    not all forks reached do not count."""
    steps = min((len(t.error) for t in twins), default=0)
    if not steps:
        return 0
    error, still, mean = (
        np.mean([getattr(t, name)[:steps] for t in twins], 0)
        for name in ("error", "persistence", "mean")
    )
    worse = np.flatnonzero(~(error < CLEARLY * np.minimum(still, mean)))
    return int(worse[0]) if len(worse) else steps


def foreseen(twins: Sequence[Twin]) -> tuple[float, float]:
    """How much of the actions' doing was foreseen: the mean error of the dreams under the other
    action, and of the same dreams under the one that was done, over the steps in which the real
    courses differ; NaN if they never do. A model that knows what actions do has less of the first.
    """
    told = [(t.error[t.effect > 0.0], t.unchanged[t.effect > 0.0]) for t in twins]
    error, unchanged = (np.concatenate(one) for one in zip(*told, strict=True))
    if not len(error):
        return float("nan"), float("nan")
    return float(error.mean()), float(unchanged.mean())


def parse_row(text: str, layout: ActionLayout, row: FloatArray) -> FloatArray:
    """A row [columns] like `row` but for what `text` says: `choice=2`, `move=1:0`, or several with
    commas between. Raises ConfigError for what the game does not have."""
    out = np.array(row, np.float32)
    branches = {b.name: b for b in layout.branches}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, values = part.partition("=")
        branch = branches.get(name.strip())
        if branch is None:
            raise ConfigError(f"instead: no action {name!r}, it has {', '.join(branches)}")
        try:
            found = [float(v) for v in values.split(":")]
        except ValueError as error:
            raise ConfigError(f"instead: {part!r} is not {name}=NUMBER[:NUMBER]") from error
        if len(found) != branch.width:
            raise ConfigError(f"instead: {name} takes {branch.width} numbers, got {len(found)}")
        if not np.isfinite(found).all():
            raise ConfigError(f"instead: {part!r} is not finite, give {name} numbers")
        if branch.kind == "categorical" and found[0] not in range(branch.size):
            raise ConfigError(f"instead: {name} is 0 to {branch.size - 1}, got {found[0]:g}")
        out[branch.column : branch.column + branch.width] = found
    return out


def another(
    layout: ActionLayout,
    row: FloatArray,
    mask: Array | None,
    seed: int,
    fixed: Mapping[str, float] | None = None,
) -> FloatArray | None:
    """A random row [columns] other than `row`, among those that `mask` allows; None where nothing
    else is. fixed: values of branches that are nobody's to choose."""
    policy = Uniform(layout, seed=seed, fixed=fixed)
    observation = {} if mask is None else {"action_mask": mask[None]}
    state = policy.reset(1)
    for _ in range(100):
        rows, state = policy.act(observation, state, np.ones(1, np.bool_))
        if not np.array_equal(rows[0], row):
            drawn: FloatArray = rows[0]
            return drawn
    return None

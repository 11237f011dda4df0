"""What expected free energy has to show: a cue that is looked up, a television that is not watched.

Knows the learners and two small worlds of its own; measures behaviour, not speed. Every row has its
mistakes beside it, the ones that people make: ambiguity taken for a constant, and predictive
entropy taken for curiosity.

- T-maze (Friston et al. 2015): one of two arms is rewarded, a place on the way tells which. The
  rules are known, beliefs are exact.
- Noisy television (Burda et al. 2019): a house with a room that is known, one whose screen shows
  noise for ever, and a wing that was hardly ever visited. Everything is learned from what was seen,
  nothing is rewarded, and the actor only ever dreamed of the house.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.config import DreamConfig, EfeConfig, ModelConfig, WorldConfig
from metabonk.learn.dreams.efe import EfeLearner
from metabonk.learn.dreams.pomdp import Doubles, Planner, Rules, Style, lowest
from metabonk.learn.dreams.world import Batch, WorldLearner
from metabonk.learn.replay import Sequences
from metabonk.models.dreamer import Dreamer
from metabonk.models.rssm import Latent
from metabonk.models.world import build
from metabonk.spaces import ActionLayout

CENTRE, CUE, LEFT, RIGHT = range(4)
MOVES = 2  # of a trial


def tmaze(reward: float = 0.98, cue: float = 1.0, liked: float = 2.0) -> Rules:
    """States are place * 2 + which arm is rewarded; arms are never left. reward: how often the
    right arm pays; cue: how often the cue is right; liked: nats by which a reward is preferred to
    nothing, and nothing to a punishment. Seen are the place, what was got (nothing, a reward, a
    punishment) and a cue, which is random anywhere else than at its place."""
    where, got, told = np.zeros((4, 8)), np.zeros((3, 8)), np.full((2, 8), 0.5)
    transition = np.zeros((8, 8, 4))
    for place in range(4):
        for context in range(2):
            state = place * 2 + context
            where[place, state] = 1.0
            if place in (LEFT, RIGHT):
                pays = reward if (place == RIGHT) == bool(context) else 1.0 - reward
                got[:, state] = 0.0, pays, 1.0 - pays
            else:
                got[0, state] = 1.0
            if place == CUE:
                told[:, state] = 1.0 - cue
                told[context, state] = cue
            for action in range(4):
                stays = place in (LEFT, RIGHT)
                transition[(place if stays else action) * 2 + context, state, action] = 1.0
    prior = np.zeros(8)
    prior[[0, 1]] = 0.5
    preference = (np.zeros(4), np.array([0.0, liked, -liked]), np.zeros(2))
    return Rules((where, got, told), transition, preference, prior)


class Maze(NamedTuple):
    """Shares of the trials in which the cue was looked up, and in which a reward was got."""

    name: str
    cue: float
    win: float


AGENTS: tuple[tuple[str, Style | None, int, bool], ...] = (
    ("expected free energy, 2 steps", "expected", 2, False),
    ("expected free energy, 1 step", "expected", 1, False),
    ("expected free energy, plans that wait for what is seen", "expected", 2, True),
    ("constant ambiguity, 2 steps", "constant", 2, False),
    ("reward only, 2 steps", "utility", 2, False),
    ("reward only, plans that wait for what is seen", "utility", 2, True),
    ("random", None, 0, False),
)


def tmaze_rows(trials: int = 500, seed: int = 0, rules: Rules | None = None) -> list[Maze]:
    """Every agent in the same trials."""
    planner = Planner(rules or tmaze())
    found = []
    for name, style, depth, waits in AGENTS:
        generator = np.random.default_rng(seed)
        cued = won = 0
        for _ in range(trials):
            looked, got = _trial(planner, style, depth, waits, generator)
            cued, won = cued + looked, won + got
        found.append(Maze(name, cued / trials, won / trials))
    return found


def _trial(
    planner: Planner, style: Style | None, depth: int, waits: bool, generator: np.random.Generator
) -> tuple[bool, bool]:
    """Whether the cue was looked up, and whether a reward was got."""
    rules = planner.rules
    state = int(generator.choice(len(rules.prior), p=rules.prior))
    belief: Doubles = rules.prior
    looked = got = False
    for step in range(MOVES):
        if style is None:
            action = int(generator.integers(rules.actions))
        elif waits:
            action = lowest(planner.plan(belief, min(depth, MOVES - step), style), generator)
        else:
            policies, energies = planner.policies(belief, min(depth, MOVES - step), style)
            action = policies[lowest(energies, generator)][0]
        state = int(generator.choice(len(belief), p=rules.transition[:, state, action]))
        seen = [int(generator.choice(len(t), p=t[:, state])) for t in rules.likelihood]
        belief = planner.update(planner.predict(belief, action), seen)
        looked, got = looked or state // 2 == CUE, got or seen[1] == 1
        if state // 2 in (LEFT, RIGHT):
            break
    return looked, got


HALL, KNOWN, TELEVISION, WING = range(4)
PLACES = 8  # of each room, one of which is shown on its screen
STAY = 4  # steps in a room, then the hall again
SELDOM = 25  # updates from one visit to the wing to the next
SPACE = gs.Dict({"observation": gs.Box(0.0, 1.0, (4 + PLACES,), np.float32)})
LAYOUT = ActionLayout.of(gs.Discrete(3))
WORLD = WorldConfig(
    deter=64, groups=8, classes=8, hidden=64, learning_rate=2e-3, burn_in=2, free_nats=0.1
)
DREAM = DreamConfig(hidden=48, learning_rate=2e-3, gamma=0.9, starts=64, entropy_coef=1e-2)
EFE = EfeConfig(hidden=64, learning_rate=3e-3, precision=0.0)


class House:
    """`num` visitors of the house. In the hall the action is the room they go to; in a room it is a
    step to its next place, the one before, or none."""

    def __init__(self, num: int, generator: np.random.Generator) -> None:
        self.generator = generator
        self.room, self.place, self.left = (np.zeros(num, np.int64) for _ in range(3))
        # What is on the wing's screen does not follow from what the known room shows.
        self.order = np.random.default_rng(7).permutation(PLACES)

    def see(self) -> npt.NDArray[np.float32]:
        noise = self.generator.integers(0, PLACES, len(self.room))
        shown = np.select(
            [self.room == TELEVISION, self.room == WING],
            [noise, self.order[self.place]],
            self.place,
        )
        screen = np.eye(PLACES, dtype=np.float32)[shown] * (self.room != HALL)[:, None]
        return np.concatenate([np.eye(4, dtype=np.float32)[self.room], screen], 1)

    def step(self, action: npt.NDArray[np.int64]) -> None:
        inside = self.room != HALL
        self.place = np.where(inside, (self.place + np.array([0, 1, -1])[action]) % PLACES, 0)
        self.left = np.where(inside, self.left - 1, STAY)
        self.room = np.where(inside, np.where(self.left == 0, HALL, self.room), KNOWN + action)


def visits(length: int, num: int, seed: int, *, wing: bool = False) -> Sequences:
    """Sequences that begin in the hall and go to the known room or to the television; `wing`: to
    the wing first, then on as the others."""
    generator = np.random.default_rng(seed)
    house = House(num, generator)
    seen, actions = [house.see()], [np.zeros(num, np.int64)]
    for step in range(length - 1):
        action = generator.integers(0, 3, num)
        rooms = np.full(num, 2) if wing and step == 0 else generator.integers(0, 2, num)
        action = np.where(house.room == HALL, rooms, action)
        house.step(action)
        seen.append(house.see())
        actions.append(action)
    is_first = np.zeros((length, num), np.bool_)
    is_first[0] = True
    return Sequences(
        {"observation": np.stack(seen)},
        np.stack(actions)[..., None].astype(np.float32),
        np.zeros((length, num), np.float32),
        np.zeros((length, num), np.bool_),
        is_first,
    )


class Entropic(EfeLearner):
    """The mistake: predictive entropy, chance included, is what it seeks."""

    def curious(self, inputs: Tensor) -> Tensor:
        return self.ensemble.uncertainty(inputs).total


SEEKERS = {
    "information gain": (EfeLearner, 1.0),
    "predictive entropy": (Entropic, 1.0),
    "neither": (EfeLearner, 0.0),
}


@dataclass(frozen=True)
class Rooms:
    """Shares of the times that somebody left the hall: for the known room, the television and the
    wing. gains: information gain of entering each, in nats."""

    known: float
    television: float
    wing: float
    gains: tuple[float, float, float]

    @property
    def ignored(self) -> bool:
        """Whether the television is watched less than by chance, and less than the wing."""
        return self.television < 1.0 / 3.0 and self.wing > self.television


def noisy_television(
    seed: int, *, updates: int = 400, dreams: int = 200, seekers: Iterable[str] = SEEKERS
) -> dict[str, Rooms]:
    """What each of SEEKERS does in the house, from one world model and one set of visits. updates:
    of the world model and the ensembles; dreams: of the actors, afterwards."""
    world = WorldLearner(build(SPACE, LAYOUT, WORLD, seed=seed), WORLD, seed=seed)
    actors = {name: _actor(world, name, seed) for name in seekers}
    rare = visits(16, 4, 1_000_000 + seed, wing=True)
    seen = world.model.init(0)
    for update in range(updates + dreams):
        drawn = _drawn(rare, update, seed)
        if update < updates:
            _, seen = world.update(drawn)
        else:
            seen = _gone_through(world, drawn)
        for actor in actors.values():
            if update < updates:
                actor.study(seen, drawn, WORLD.burn_in)
            else:
                actor.update(seen, STAY)
    return {name: _visited(world, actor, seed) for name, actor in actors.items()}


def _actor(world: WorldLearner, name: str, seed: int) -> EfeLearner:
    kind, curiosity = SEEKERS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dreamer = Dreamer(world.model.rssm.features, LAYOUT, DREAM.hidden, ModelConfig())
    settings = EfeConfig(
        hidden=EFE.hidden,
        learning_rate=EFE.learning_rate,
        precision=EFE.precision,
        curiosity=curiosity,
    )
    return kind(world.model, dreamer, DREAM, settings, seed=seed)


def _drawn(rare: Sequences, update: int, seed: int) -> Sequences:
    """Fresh visits, and once in a while one of the four to the wing among them."""
    if update % SELDOM:
        return visits(16, 16, seed * 100_000 + update)
    fresh = visits(16, 15, seed * 100_000 + update)
    one = update // SELDOM % rare.is_first.shape[1]

    def join(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([a, b[:, one : one + 1]], 1)

    return Sequences(
        {key: join(value, rare.observation[key]) for key, value in fresh.observation.items()},
        join(fresh.action, rare.action),
        join(fresh.reward, rare.reward),
        join(fresh.terminated, rare.terminated),
        join(fresh.is_first, rare.is_first),
    )


@torch.no_grad()
def _gone_through(world: WorldLearner, drawn: Sequences) -> Latent:
    states = world.states(Batch.of(drawn))
    return Latent(states.deter.flatten(0, 1), states.stoch.flatten(0, 1))


@torch.no_grad()
def _visited(world: WorldLearner, actor: EfeLearner, seed: int, num: int = 64) -> Rooms:
    model = world.model
    house = House(num, np.random.default_rng(seed + 1))
    generator = torch.Generator().manual_seed(seed)
    state, first = model.init(num), torch.ones(num, dtype=torch.bool)
    row = torch.zeros(num, 1)
    left, gains = np.zeros(3), torch.zeros(3)
    for step in range(5 * (STAY + 1)):
        noise = model.rssm.noise(num, generator=generator)
        seen = {"observation": torch.from_numpy(house.see())}
        state = model.observe(state, row, seen, first, noise)
        if step == 0:  # everybody is in the hall
            gains = _gains(actor, state.features)
        head, row = actor.dreamer.head, torch.empty(num, 1)
        uniform = torch.rand(num, 1, generator=generator)
        parameters = actor.dreamer.parameters_of(state.features)
        head.sample(parameters, None, uniform, torch.empty(num, 0), row, torch.empty(num, 1))
        action = row[:, 0].long().numpy()
        left += np.bincount(action[house.room == HALL], minlength=3)
        house.step(action)
        first = torch.zeros(num, dtype=torch.bool)
    known, television, wing = (left / left.sum()).tolist()
    return Rooms(known, television, wing, tuple(gains.tolist()))


def _gains(actor: EfeLearner, features: Tensor) -> Tensor:
    """Information gain of going to each of the rooms, [3]."""
    rows = torch.arange(3.0)[:, None, None].expand(3, len(features), 1)
    code = actor.world.actions(rows)
    inputs = torch.cat([features.expand(3, -1, -1), code], -1)
    gain = actor.ensemble.uncertainty(inputs.flatten(0, 1)).gain
    return gain.view(3, -1).mean(1)

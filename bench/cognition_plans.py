"""What directives are worth in suite `cognition`: System 1 with the rules' directives, against
System 1 alone, on levels that need a plan.

System 1 is the scripted player, which looks two thirds of a second ahead. It is asked to act alone,
under the rules' directives, under one directive and nothing else (each of those that need nothing
to name), and under directives drawn at random; all play the same episodes for the reward of their
level. Directives hold until the next one comes, whoever gives them, so that what is compared is
which, and not how often System 1 is left to itself. Time is the game's: answers come half a
second after the state that was asked about, as from a quick model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.vocabulary import (
    COMPASS_BINS,
    Compass,
    Directive,
    Hold,
    Verb,
)

from .case import Case, Evidence
from .meter import Meter
from .versus import Contender

LEVELS = {
    "regain": "to retreat and regain health",
    "gather": "to collect under pressure",
    "duel": "to beat a boss",
}
EPISODES = 32  # per round, the same ones for all
# Returns of `regain` are of minutes survived, which vary most: it takes more episodes, and of one
# directive always only the nearest to its plan.
ROUNDS = {"regain": 16, "gather": 4, "duel": 4}
ENVS = 16
LATENCY = 0.5
HELD = 4.0  # seconds of a directive: the next one comes before its end
# What needs nothing to name, but standing still, which nobody would ask for all the time.
VERBS = (Verb.ATTACK, Verb.DEFEND, Verb.RETREAT, Verb.COLLECT, Verb.EXPLORE, Verb.INTERACT)
ASKED: dict[str, tuple[Verb, ...]] = {"regain": (Verb.RETREAT,)}


def cases() -> list[Case]:
    return [
        Case(
            "cognition",
            f"return under the rules' directives, level {level}: {what}",
            "reward",
            Contender("metabonk", functools.partial(Played, level, rules)),
            (
                Contender("System 1 alone", functools.partial(Played, level, alone)),
                Contender("random directives", functools.partial(Played, level, anything)),
                *(
                    Contender(f"{verb}, always", functools.partial(Played, level, always[verb]))
                    for verb in ASKED.get(level, VERBS)
                ),
            ),
            rounds=ROUNDS[level],
            evidence=paired,
        )
        for level, what in LEVELS.items()
    ]


class Silent:
    """Nobody plans."""

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        return None


class Always:
    """One directive, and nothing else."""

    def __init__(self, verb: Verb) -> None:
        self._directive = Directive(verb, Hold(), HELD)

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        return self._directive


class Guessing:
    """Any directive that needs nothing to name, all equally likely."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        number = int(self._random.integers(1 + len(VERBS)))
        if number == len(VERBS):
            way = Compass(int(self._random.integers(COMPASS_BINS)))
            return Directive(Verb.MOVE, way, HELD)
        return Directive(VERBS[number], Hold(), HELD)


Planner = Callable[[], Any]
alone, rules, anything = Silent, Strategist, Guessing
always: dict[str, Planner] = {verb.value: functools.partial(Always, verb) for verb in VERBS}
_RETURNS: dict[tuple[str, Planner, int], npt.NDArray[Any]] = {}  # by level, planner and round


class Played:
    """Mean return of episodes; every round plays others. returns: of all so far. Episodes and
    planners are drawn from seeds: what was played once in a process is not played again."""

    def __init__(self, level: str, planner: Planner) -> None:
        from metabonk import games
        from metabonk.games.level import load

        self._name, self._level = level, load(level)
        self._game = games.make("arena", ENVS, level=self._level, threads=1)
        self._planner = planner
        self._round = 0  # that comes next
        self.returns: list[float] = []

    def prepare(self) -> None:
        """Nothing is timed."""

    def measure(self) -> float:
        from metabonk.learn.evaluate import play

        key = self._name, self._planner, self._round
        if key not in _RETURNS:
            _RETURNS[key] = play(self._game, self._policy(), EPISODES, self._round)["return"]
        returns = _RETURNS[key]
        self._round += 1
        self.returns += returns.tolist()
        return float(returns.mean())

    def _policy(self) -> Any:
        from metabonk.games.scripted import Habits, ScriptedPolicy
        from metabonk.play.dual import Dual, DualSettings, states_of

        motor = ScriptedPolicy(Habits(size=self._level.terrain.size))
        if self._planner is Silent:
            return motor
        return Dual(
            motor,
            self._plans(),
            states_of(self._game),
            level=self._level.pack(),
            settings=DualSettings(latency=LATENCY),
        )

    def _plans(self) -> Any:
        """Who plans in this round."""
        return self._planner()

    def close(self) -> None:
        self._game.close()


def paired(ours: Meter, peer: Meter) -> Evidence:
    """Whether ours are more, episode by episode: the whole interval of the difference above 0."""
    from metabonk.learn.evaluate import compare

    assert isinstance(ours, Played)
    assert isinstance(peer, Played)
    found = compare(np.array(ours.returns), np.array(peer.returns))
    low, high = found.bounds
    return Evidence(
        found.better,
        f"{found.difference:+,.2f} in {len(ours.returns)} paired episodes "
        f"(95 %: {low:+,.2f} to {high:+,.2f})",
    )

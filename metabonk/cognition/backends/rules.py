"""The embedded strategist: directives by rules on the true state. The backend `rules`.

The default: it needs no GPU and no weights, answers in microseconds, and stands at the end of every
chain of fallbacks. Knows the records, the vocabulary and five principles (retreat to regain health,
keep to one side of a crowd, collect where the way is clear, kite bosses, keep a way out); sees the
state alone, no pictures and no ground. Does not know who asks or how a directive is carried out.

Every option gets a utility; the best is chosen, and a softmax over the utilities of the actions is
the confidence, which also teaches whoever distils the rules. A directive in force is worth a little
more than another, so that answers do not waver.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from metabonk._core.surroundings import Surroundings
from metabonk.cognition.backends.surroundings import FAR, NEAR, look
from metabonk.cognition.question import Answer, Failure, Question, Undecided
from metabonk.cognition.vocabulary import (
    COMPASS_BINS,
    Compass,
    Directive,
    Entity,
    Hold,
    Pickup,
    Priority,
    Target,
    Verb,
)
from metabonk.errors import CorruptError
from metabonk.records import PickupKind

_NAMES = {int(kind): kind.name.lower() for kind in PickupKind}
_PORTAL = int(PickupKind.PORTAL)


@dataclass(frozen=True)
class Temper:
    """What the rules weigh; distances in metres, health as a fraction of the most.

    weak: health below which nothing counts but getting away. crowd: enemies near from which there
    are too many. near: the distance at which an enemy weighs half. far: at which what is used
    weighs half. stay: bonus of the directive in force. survive, gather, fight, roam: factors on the
    kinds of option, by which a goal speaks.
    """

    weak: float = 0.3
    crowd: int = 10
    near: float = NEAR
    far: float = FAR
    stay: float = 0.2
    temperature: float = 0.25
    survive: float = 1.0
    gather: float = 1.0
    fight: float = 1.0
    roam: float = 1.0


# Words of a goal and what they stress. A goal is the operator's; the screen's never comes here.
_STRESS: Mapping[str, Mapping[str, float]] = {
    "survive": {"survive": 1.3}, "alive": {"survive": 1.3}, "collect": {"gather": 1.5},
    "level": {"gather": 1.3}, "gold": {"gather": 1.3}, "chest": {"gather": 1.3},
    "boss": {"fight": 1.5}, "kill": {"fight": 1.5}, "explore": {"roam": 3.0},
}  # fmt: skip


def temper_of(goal: str, base: Temper | None = None) -> Temper:
    """The rules as a goal in words stresses them; words that are not known change nothing."""
    base = base or Temper()
    factors = {"survive": base.survive, "gather": base.gather, "fight": base.fight,
               "roam": base.roam}  # fmt: skip
    words = goal[:500].lower().split()
    for word, stress in _STRESS.items():
        if any(w.startswith(word) for w in words):
            for name, factor in stress.items():
                factors[name] *= factor
    return dataclasses.replace(
        base,
        survive=factors["survive"],
        gather=factors["gather"],
        fight=factors["fight"],
        roam=factors["roam"],
    )


_HERE = Hold()
_AT_THE_EDGE = 0.2  # how much an enemy threatens that is just near: twice `near` away
_UTILITY = operator.attrgetter("utility")


@dataclass(slots=True)
class _Option:
    utility: float
    verb: Verb
    target: Target = _HERE
    seconds: float = 4.0  # until the next answer comes, which may take a while
    priority: Priority = Priority.NORMAL
    why: str = ""


class Verdict(NamedTuple):
    """directive, and why. probabilities: of every action that was an option. danger, exits: see
    the strategist's docstring; for logs."""

    directive: Directive
    confidence: float
    probabilities: Mapping[str, float]
    reason: str
    danger: float
    exits: int


class Strategist:
    """Directives from packed states; of these nothing is kept.

    The five principles, as options whose utilities compete:
    1. Weak and threatened: retreat, to a heart if the way there is free, else to the widest gap.
    2. A crowd: away from its middle, towards the widest gap.
    3. A clear path: collect, use chests and shrines, explore.
    4. A boss: attack it, which is carried out as kiting; then the portal.
    5. No way out (fewer than four of sixteen directions free): open one before anything else.
    """

    def __init__(self, temper: Temper | None = None) -> None:
        self.temper = temper or Temper()
        self.refused = 0  # states that were none, which `plan` had no answer to

    def plan(self, packed: bytes, in_force: Directive | None = None) -> Directive | None:
        """A directive for a packed state; None, counted, where that is none. For controllers that
        ask in their own thread (play.dual.Planner)."""
        try:
            return self.decide(packed, in_force).directive
        except CorruptError:
            self.refused += 1
            return None

    def decide(self, packed: bytes, in_force: Directive | None = None, crowd: int = 0) -> Verdict:
        """packed: records.GameState.pack() bytes. crowd: enemies that are near beside the state's,
        nobody says where. Raises CorruptError where they are none, or where the player's position
        or health is no number."""
        around = look(packed, self.temper.near, self.temper.far)
        options = self._options(around, crowd)
        if in_force is not None:
            for option in options:
                if option.verb == in_force.action:
                    same = option.target == in_force.target
                    option.utility += self.temper.stay * (1.0 if same else 0.5)
        best = max(options, key=_UTILITY)
        probabilities = self._softmax(options)
        directive = Directive(best.verb, best.target, best.seconds, best.priority)
        return Verdict(
            directive,
            probabilities[best.verb.value],
            probabilities,
            best.why,
            around.danger,
            around.exits,
        )

    def _softmax(self, options: list[_Option]) -> dict[str, float]:
        """Of each action the best option counts."""
        best: dict[str, float] = {}
        for option in options:
            key = option.verb.value
            if option.utility > best.get(key, -math.inf):
                best[key] = option.utility
        top, sharp = max(best.values()), 1.0 / self.temper.temperature
        weights = {key: math.exp((u - top) * sharp) for key, u in best.items()}
        total = sum(weights.values())
        return {key: weight / total for key, weight in weights.items()}

    def _options(self, around: Surroundings, crowd: int) -> list[_Option]:
        if crowd:  # who is among enemies that only it sees does not look for what there is
            begun = self._unseen(around, crowd)
        else:
            begun = [_Option(0.2 * self.temper.roam, Verb.EXPLORE, why="nothing better is known")]
        return [
            *begun,
            *self._retreats(around),
            *self._gathers(around),
            *self._fights(around),
        ]

    def _retreats(self, around: Surroundings) -> list[_Option]:
        temper, danger, weak = self.temper, around.danger, around.health < self.temper.weak
        urgent = Priority.CRITICAL if weak else Priority.HIGH
        found = []
        if danger > 0.2:
            want = self._flight(around.health, danger, around.enemies)
            if around.exits < 4:
                want += 0.6
            why = (
                "weak and threatened" if weak else "a crowd" if around.exits >= 4 else "no way out"
            )
            gap = Compass(around.gap)
            found.append(_Option(temper.survive * want, Verb.RETREAT, gap, 1.0, urgent, why))
        if around.health < 0.9:
            found += self._hearts(around, urgent)
        return found

    def _flight(self, health: float, danger: float, enemies: int) -> float:
        """How much getting away is worth."""
        temper = self.temper
        want = 1.6 * max(0.0, 0.55 - health) * min(danger, 2.0)
        want += 1.2 if health < temper.weak else 0.0
        return want + 0.15 * max(0, enemies - temper.crowd)

    def _unseen(self, around: Surroundings, crowd: int) -> list[_Option]:
        """Away from enemies that nobody says the place of, or against them: where that is, who
        carries it out sees."""
        temper, health, weak = self.temper, around.health, around.health < self.temper.weak
        enemies = around.enemies + crowd
        want = self._flight(health, around.danger + _AT_THE_EDGE * crowd, enemies)
        urgent = Priority.CRITICAL if weak else Priority.HIGH
        why = "weak, and enemies are near" if weak else "enemies are near"
        fight = 0.45 * health - 0.03 * enemies
        return [
            _Option(temper.survive * want, Verb.RETREAT, priority=urgent, why=why),
            _Option(temper.fight * fight, Verb.ATTACK, why=why),
        ]

    def _hearts(self, around: Surroundings, urgent: Priority) -> list[_Option]:
        heart = around.heart
        if heart is None:
            return []
        way = heart.away * (1.0 + heart.blocked)
        want = 3.0 * (1.0 - around.health) / (1.0 + way / 20.0)
        if around.health < self.temper.weak and heart.blocked < 1.0:
            want += 1.2  # as much as getting away, and there is something to gain
        why = "health to regain lies in reach"
        target = Pickup(heart.id)
        return [_Option(self.temper.survive * want, Verb.RETREAT, target, 4.0, urgent, why)]

    def _gathers(self, around: Surroundings) -> list[_Option]:
        temper, found, pull = self.temper, [], around.pull
        if pull > 0.0:
            want = 0.4 + 0.4 * min(pull, 3.0) / 3.0 - 0.1 * around.danger
            found.append(_Option(temper.gather * want, Verb.COLLECT, why="the way is clear"))
        use = around.use
        if use is not None:
            want = temper.gather * (use.worth - 0.05 * around.danger)
            # A portal is meant and no other thing. Of chests and shrines the executor takes the
            # best in every tick, and when one is used up the next, without another answer.
            target: Target = Pickup(use.id) if use.kind == _PORTAL else _HERE
            why = f"a {_NAMES[use.kind]} within reach"
            found.append(_Option(want, Verb.INTERACT, target, why=why))
        return found

    def _fights(self, around: Surroundings) -> list[_Option]:
        temper, found, boss = self.temper, [], around.boss
        if boss is not None:
            want = temper.fight * (1.2 if around.health >= temper.weak else 0.3)
            why = "a boss: kite it"
            found.append(_Option(want, Verb.ATTACK, Entity(boss), 4.0, Priority.HIGH, why))
        if around.opponents:
            want = 0.45 * around.health - 0.03 * around.enemies
            found.append(_Option(temper.fight * want, Verb.ATTACK, why="enemies to be fought"))
        return found


# Answers what the rules cannot: menus, which need more than a state's numbers.
Menus = Callable[[Question], Awaitable[Answer]]


class Rules:
    """The strategist as a backend. menus: who answers questions of the kind `menu`; without it they
    are Undecided(UNSUPPORTED)."""

    name = "rules"
    limit = 0
    sees = False

    def __init__(self, temper: Temper | None = None, menus: Menus | None = None) -> None:
        self._temper = temper or Temper()
        self._menus = menus
        self._by_goal: dict[str, Strategist] = {}

    async def open(self) -> None:
        """Nothing to find out: it is always there."""

    async def close(self) -> None:
        """Nothing is in flight."""

    async def decide(self, question: Question) -> Answer:
        """The answer, at once. Raises Undecided for a state that is none."""
        if question.kind == "menu":
            if self._menus is None:
                raise Undecided(Failure.UNSUPPORTED, "no navigator of menus was given", self.name)
            return await self._menus(question)
        try:
            verdict = self._strategist(question.goal).decide(
                question.packed, question.in_force, question.crowd
            )
        except CorruptError as error:
            raise Undecided(Failure.GARBAGE, str(error), self.name) from error
        return Answer(
            backend=self.name,
            directive=verdict.directive,
            mode="rules",
            confidence=verdict.confidence,
            probabilities=verdict.probabilities,
            reasoning=verdict.reason,
            goal=str(verdict.directive.action),
            strategy=f"danger {verdict.danger:.1f}, {verdict.exits} of {COMPASS_BINS} ways out",
        )

    def _strategist(self, goal: str) -> Strategist:
        if goal not in self._by_goal:
            if len(self._by_goal) >= 256:  # goals are the operators', but memory stays bounded
                self._by_goal.clear()
            self._by_goal[goal] = Strategist(temper_of(goal, self._temper))
        return self._by_goal[goal]

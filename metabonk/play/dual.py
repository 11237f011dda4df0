"""The dual-system controller: System 2 plans, System 1 acts, together one policy.

Knows the Policy protocol, directives and what carries them out; does not know who plans (rules, a
server: `Planner` is handed in) or what System 1 is (scripted, PPO, CfC, a consistency motor). The
live loop does the same natively and in real time (csrc/play/tick.h); this is for games that wait
for their next action: evaluation, recording, watching, training.

The motor sees what it saw in training and never a directive: what a directive asks for is made of
the motor's own action afterwards, by the executor that the live loop uses too. So the motor's input
is the same in training and serving, whoever plans.

Time is the game's. An answer comes `latency` seconds after the state that was asked about, and a
directive ends by its validity, counted from that state: a late answer is used for what is left of
it, and one that comes after its end is dropped and counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol

import numpy as np

from metabonk import _core
from metabonk.cognition.vocabulary import Directive
from metabonk.errors import ConfigError
from metabonk.play.directive import NOTHING, Numbers, numbers
from metabonk.protocols import BatchGame, BoolArray, FloatArray, Observation, Policy
from metabonk.records import GAME_STATE

States = Callable[[int], bytes]

_SECOND = 10**9
_CHANGED, _EXPIRED, _UNGROUNDED = 1, 2, 3  # Applied of csrc/play/directive.h
_URGENT_GAP = 0.5  # seconds between questions at least, however urgent


def _offset(name: str) -> int:
    return int(GAME_STATE.fields[name][1])  # type: ignore[index]


_TIME = struct.Struct("<d")
_HEALTH = struct.Struct("<2f")  # health, max_health: they lie side by side
_TIME_AT, _HEALTH_AT = _offset("time"), _offset("health")
_LONGEST = 1e8  # seconds that a run may last


class Planner(Protocol):
    """System 2 as the controller asks it; it answers at once, however long that takes."""

    def plan(self, packed: bytes, in_force: Directive | None) -> Directive | None:
        """A directive for a packed state, or None: System 1 is to go on by itself."""


@dataclass(frozen=True)
class DualSettings:
    """every: seconds between questions. latency: seconds from a state to its answer. urgent: health
    below which is asked at once, as a fraction of the most. Times are of the game."""

    every: float = 2.0
    latency: float = 0.0
    urgent: float = 0.3

    def __post_init__(self) -> None:
        for name, least in (("every", 0.05), ("latency", 0.0), ("urgent", 0.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= least):
                raise ConfigError(f"{name}: {value!r}; wanted a number, {least:g} or more")


@dataclass
class DualCounts:
    """decisions: of all environments. directed: that a directive changed. asked: questions. silent:
    answers without a directive. late: directives that had ended when they came. refused: of lower
    priority than the one in force. ungrounded: decisions in whose state a directive fitted
    nothing."""

    decisions: int = 0
    directed: int = 0
    asked: int = 0
    silent: int = 0
    late: int = 0
    refused: int = 0
    ungrounded: int = 0

    def __add__(self, other: DualCounts) -> DualCounts:
        return DualCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class _Pending(NamedTuple):
    """An answer on its way. due, until: nanoseconds of the agent's clock."""

    due: int
    until: int
    directive: Directive


@dataclass
class _Agent:
    """What System 2 knows of one environment: times are nanoseconds of game time."""

    executor: Any
    identity: int = 0
    directive: Directive | None = None
    given: Numbers = NOTHING
    until: int = 0
    now: int = _SECOND
    next_question: int = 0
    last_question: int = -_SECOND
    pending: list[_Pending] = field(default_factory=list)

    def begin(self) -> None:
        """A run began: nothing of the one before is in force or on its way."""
        self.directive, self.given, self.until = None, NOTHING, 0
        self.next_question, self.last_question = 0, -_SECOND
        self.pending.clear()


class DualState(NamedTuple):
    """motor: System 1's own state. agents: of System 2, one per environment."""

    motor: Any
    agents: list[_Agent]


class Dual:
    """System 2's directives on System 1's actions. states: the packed state of an environment as
    the motor's observation shows it. level: of the arena, packed, from which the ground follows;
    None: no ground is known. told: called with environment, seconds and every directive that comes
    into force, for logs. received: called with the environment for each directive of the planner's,
    in their order, once it has come: whether it came into force.
    """

    def __init__(
        self,
        motor: Policy,
        planner: Planner,
        states: States,
        *,
        level: bytes | None = None,
        settings: DualSettings = DualSettings(),
        told: Callable[[int, float, Directive], None] | None = None,
        received: Callable[[int, bool], None] | None = None,
    ) -> None:
        self.motor, self.planner, self.settings = motor, planner, settings
        self.counts = DualCounts()
        self._states, self._level = states, level
        self._told, self._received = told, received

    def reset(self, num_envs: int) -> DualState:
        """The state before the first observation; counts go on."""
        agents = [_Agent(_core.play.Executor(self._level)) for _ in range(num_envs)]
        return DualState(self.motor.reset(num_envs), agents)

    def act(
        self, observation: Observation, state: DualState, is_first: BoolArray
    ) -> tuple[FloatArray, DualState]:
        """Action rows float32 [N, columns] and the next state."""
        rows, motor = self.motor.act(observation, state.motor, is_first)
        rows = np.ascontiguousarray(rows, np.float32).copy()
        for env, agent in enumerate(state.agents):
            if is_first[env]:
                agent.begin()
            rows[env] = self._carry(env, agent, self._states(env), rows[env])
        return rows, DualState(motor, state.agents)

    def _carry(self, env: int, agent: _Agent, packed: bytes, row: FloatArray) -> FloatArray:
        seconds = _TIME.unpack_from(packed, _TIME_AT)[0]
        if 0.0 <= seconds < _LONGEST:  # else it is no time, and stands still
            # 0 is "never" to the executor, so that the clock begins a second later.
            agent.now = round(seconds * 1e9) + _SECOND
        now = agent.now
        self._ask(agent, packed, now)
        self._receive(env, agent, now)
        sent, outcome = agent.executor.apply(
            agent.identity, *agent.given, agent.until, packed, now, row
        )
        self.counts.decisions += 1
        self.counts.directed += outcome == _CHANGED
        self.counts.ungrounded += outcome == _UNGROUNDED
        if outcome == _EXPIRED:
            agent.directive, agent.given = None, NOTHING
        return np.asarray(sent, np.float32)

    def _ask(self, agent: _Agent, packed: bytes, now: int) -> None:
        """Where a question is due: every so often, and when health falls low."""
        health, most = _HEALTH.unpack_from(packed, _HEALTH_AT)
        urgent = health < self.settings.urgent * most
        soon = agent.last_question + round(_URGENT_GAP * 1e9)
        if now < agent.next_question and not (urgent and now >= soon):
            return
        agent.last_question = now
        agent.next_question = now + round(self.settings.every * 1e9)
        self.counts.asked += 1
        in_force = agent.directive if now < agent.until else None
        directive = self.planner.plan(packed, in_force)
        if directive is None:
            self.counts.silent += 1
            return
        due = now + round(self.settings.latency * 1e9)
        until = now + round(directive.seconds * 1e9)
        agent.pending.append(_Pending(due, until, directive))

    def _receive(self, env: int, agent: _Agent, now: int) -> None:
        """Puts in force what has come; the newest of what has, if nothing more important is."""
        while agent.pending and agent.pending[0].due <= now:
            _, until, directive = agent.pending.pop(0)
            current, taken = agent.directive, False
            if until <= now:
                self.counts.late += 1
            elif current and now < agent.until and directive.priority < current.priority:
                self.counts.refused += 1
            else:
                agent.identity += 1
                agent.directive, agent.given = directive, numbers(directive)
                agent.until, taken = until, True
                if self._told is not None and directive != current:
                    self._told(env, (now - _SECOND) / 1e9, directive)
            if self._received is not None:
                self._received(env, taken)


def states_of(game: BatchGame) -> States:
    """The packed states of a game's environments. Raises ConfigError for a game without records,
    and for one whose frames are delayed: its present state is not what a policy sees."""
    batch = getattr(game, "batch", None)
    if hasattr(batch, "game_state"):
        found: States = batch.game_state  # type: ignore[union-attr]
        return found
    if hasattr(game, "game_state"):
        return lambda index: bytes(game.game_state(index).pack())
    raise ConfigError(
        f"{game.name}: System 2 needs the states of the game, which it does not give: play the "
        "arena or a game over BonkLink, without game.latency"
    )

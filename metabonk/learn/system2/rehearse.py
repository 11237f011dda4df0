"""Rehearsals: the arena played with a strategist, and the decision log that this gives.

Knows the dual controller, games that tell their states, and the journal; does not know servers. The
log is the one that a broker writes, row for row: the same ids, states, answers, probabilities and
outcomes, but in the game's time, which is many times quicker than the clock's. What is learned from
a log can be learned from a rehearsal first.

A student is learned best from where it leads itself: another planner may be followed instead, and
the strategist says of every state on that way what it would have done (DAgger, Ross et al. 2011).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.agent.tally import Sight, Tally, Window
from metabonk.cognition.backends.rules import Strategist, Verdict
from metabonk.cognition.log.journal import Decision, Journal
from metabonk.cognition.log.rows import EXPLORED
from metabonk.cognition.protocol.wire import Reply, RequestId
from metabonk.errors import ConfigError, LinkError
from metabonk.play.dual import Dual, DualSettings, Planner, states_of
from metabonk.protocols import BatchGame, FloatArray, Policy

OUTCOME_SECONDS = 4.0  # as a client's
_NS = 1_000_000_000
_WRITTEN = 60.0  # seconds for the disk, at the end
Progress = Callable[[int], None]  # episodes that ended


@dataclass
class _Agent:
    """One environment: its sums, and the questions whose seconds are not over. coming: of the
    directives on their way, each with whether it is the logged one. over: its run has ended, and
    the next one has not begun."""

    name: str
    tally: Tally = field(default_factory=Tally)
    windows: list[Window] = field(default_factory=list)
    coming: deque[tuple[Window, bool]] = field(default_factory=deque)
    now: int = _NS
    run: int = 0
    reward: float = 0.0
    packed: bytes = b""
    over: bool = False


@dataclass(frozen=True)
class Rehearsed:
    """decisions: that were logged, each with its outcome; episodes: that ended."""

    decisions: int
    episodes: int
    return_mean: float


class Rehearsal:
    """Plays a game with a strategist's directives and logs every one of them.

    motor: System 1. level: of the arena, packed. settings: how often and how late System 2 speaks;
    what learns from the log should be served no later. explore: chance that a directive is another
    action at random, so that the log also shows what comes of what the strategist would not do; it
    is logged as tried (rows.EXPLORED), without the strategist's reasons.
    player: who is followed instead of the strategist, whose directives are logged all the same, as
    not followed where the player gave others.

    Raises ConfigError for a game without states, and for both a player and `explore`.
    """

    def __init__(
        self,
        game: BatchGame,
        motor: Policy,
        journal: Journal,
        *,
        strategist: Strategist | None = None,
        level: bytes | None = None,
        settings: DualSettings | None = None,
        explore: float = 0.0,
        player: Planner | None = None,
        seed: int = 0,
    ) -> None:
        if player is not None and explore:
            raise ConfigError(f"explore: {explore:g}; a player decides by itself: wanted 0")
        self.game, self.journal = game, journal
        self._strategist = strategist or Strategist()
        self._states = states_of(game)
        settings = settings or DualSettings()
        self._dual = Dual(
            motor, self, self._seen, level=level, settings=settings, received=self._received
        )
        self._age_ms = settings.latency * 1e3
        self._agents = [_Agent(f"rehearsal-{i}") for i in range(game.num_envs)]
        self._step_ns = round(_NS / getattr(game, "frame_rate", 15.0))
        self._current = 0
        self._epoch = time.time_ns()
        self._sequence = 0
        self._explore, self._random = explore, np.random.default_rng([seed, 0x60])
        self._player = player
        self._unsafe = 0

    def run(self, episodes: int, seed: int, progress: Progress | None = None) -> Rehearsed:
        """Plays until `episodes` have ended; every decision has its outcome then.

        Raises LinkError where the disk did not take all of it.
        """
        game, num = self.game, self.game.num_envs
        observation = {
            key: np.zeros((num, *(sub.shape or ())), sub.dtype)
            for key, sub in game.observation_space.spaces.items()
        }
        reward = np.zeros(num, np.float32)
        terminated, truncated, is_reset = (np.zeros(num, np.bool_) for _ in range(3))
        first = np.ones(num, np.bool_)
        game.reset_into(observation, [seed + i for i in range(num)])
        state = self._dual.reset(num)
        returns: list[float] = []
        while len(returns) < episodes:
            rows, state = self._dual.act(observation, state, first)
            game.step_into(rows, observation, reward, terminated, truncated, is_reset)
            first[:] = is_reset
            self._count(reward)
            for env in np.flatnonzero(is_reset).tolist():
                self._begin(env)
            for env in np.flatnonzero(terminated | truncated).tolist():
                returns.append(float(game.episode_info()["return"][env]))
                self._end(env)
                if progress is not None:
                    progress(min(len(returns), episodes))
        for env in range(num):
            self._end(env)
        self._settle()
        return Rehearsed(self._sequence, len(returns), float(np.mean(returns)))

    def plan(self, packed: bytes, in_force: v.Directive | None) -> v.Directive | None:
        """What is followed in the environment that is looked at; see dual.Planner."""
        agent = self._agents[self._current]
        if agent.over:  # the last state of a run: nothing follows from it
            return None
        verdict = self._strategist.decide(packed, in_force)
        directive = self._varied(verdict)
        followed = self._player.plan(packed, in_force) if self._player is not None else directive
        self._sequence += 1
        id = RequestId(agent.name, self._epoch, self._sequence)
        tried = directive != verdict.directive
        sure = verdict.probabilities[directive.action.value] if tried else verdict.confidence
        reply = Reply(
            id=id, status="ok", answer=v.spell(directive), backend="rules", confidence=sure,
            reasoning="" if tried else verdict.reason,
        )  # fmt: skip
        row = Decision(
            reply=reply, at=time.time(), episode=agent.run, state=packed,
            mode=EXPLORED if tried else "rules",
            in_force=None if in_force is None else v.spell(in_force),
            probabilities={k: round(p, 4) for k, p in verdict.probabilities.items()},
        )  # fmt: skip
        self.journal.record(row, self._told)
        until = agent.now + round(OUTCOME_SECONDS * _NS)
        window = Window(id, agent.tally.totals, until, status="ok")
        agent.windows.append(window)
        if followed is not None:
            agent.coming.append((window, followed == directive))
        return followed

    def _varied(self, verdict: Verdict) -> v.Directive:
        """The strategist's directive, or now and then another action."""
        directive = verdict.directive
        if self._random.random() >= self._explore:
            return directive
        verbs = [v.Verb(name) for name in verdict.probabilities if name != directive.action.value]
        free = [verb for verb in verbs if v.Hold in v.TARGETS[verb]]
        if not free:
            return directive
        return v.Directive(free[int(self._random.integers(len(free)))], v.Hold(), 2.0)

    def _received(self, env: int, taken: bool) -> None:
        """A directive has come; one of higher priority may have stayed in force."""
        window, logged = self._agents[env].coming.popleft()
        window.applied, window.age_ms = taken and logged, self._age_ms

    def _seen(self, env: int) -> bytes:
        """The state that the controller is about to look at."""
        packed = self._states(env)
        agent = self._agents[env]
        self._current = env
        agent.packed = packed
        self._look(agent)
        return packed

    def _look(self, agent: _Agent) -> None:
        sight = Sight(agent.packed, agent.now, None, agent.reward, agent.run)
        agent.tally.update(sight)
        over = [w for w in agent.windows if w.over(agent.tally.totals)]
        for window in over:
            agent.windows.remove(window)
            self.journal.outcome(window.outcome(agent.tally.totals), self._told)

    def _count(self, reward: FloatArray) -> None:
        for agent, gained in zip(self._agents, reward.tolist(), strict=True):
            agent.now += self._step_ns
            agent.reward += gained

    def _end(self, env: int) -> None:
        """The episode is over: so are its questions, with what came of them until then."""
        agent = self._agents[env]
        agent.packed = self._states(env)
        self._look(agent)
        for window in agent.windows:
            self.journal.outcome(window.outcome(agent.tally.totals), self._told)
        agent.windows.clear()
        agent.run, agent.over = agent.run + 1, True

    def _begin(self, env: int) -> None:
        """The next run has begun; what was still on its way is forgotten, as by the controller."""
        self._agents[env].over = False
        self._agents[env].coming.clear()

    def _told(self, safe: bool) -> None:
        self._unsafe += not safe

    def _settle(self) -> None:
        """Waits until everything is on the disk."""
        end = time.monotonic() + _WRITTEN
        while self.journal.counts["outcomes"] < self._sequence and time.monotonic() < end:
            if self._unsafe or self.journal.problem:
                break
            time.sleep(0.01)
        if self._unsafe or self.journal.counts["outcomes"] < self._sequence:
            raise LinkError(
                f"{self.journal.folder}: the disk did not take the log ({self.journal.problem}); "
                "make room and begin another one"
            )


def open_log(folder: Path | str) -> Journal:
    """A new journal for a rehearsal. Raises FileExistsError where a log is already, LinkError,
    OSError."""
    if Path(folder).exists() and any(Path(folder).iterdir()):
        raise FileExistsError(f"{folder} holds something already: choose another directory")
    return Journal(
        folder, pack=lambda decision: (situation.shrink(decision.state, decision.crowd), b"")
    )

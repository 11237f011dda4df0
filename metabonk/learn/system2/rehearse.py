"""Rehearsals: the arena played with a strategist, and the decision log that this gives.

Knows the dual controller, games that tell their states, and the journal; does not know servers. The
log is the one that a broker writes, row for row: the same ids, states, answers, probabilities and
outcomes, but in the game's time, which is many times quicker than the clock's. What is learned from
a log can be learned from a rehearsal first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.agent.tally import Sight, Tally, Window
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log.journal import Decision, Journal
from metabonk.cognition.protocol.wire import Reply, RequestId
from metabonk.errors import LinkError
from metabonk.play.dual import Dual, DualSettings, states_of
from metabonk.protocols import BatchGame, FloatArray, Policy

OUTCOME_SECONDS = 4.0  # as a client's
_NS = 1_000_000_000
_WRITTEN = 60.0  # seconds for the disk, at the end
Progress = Callable[[int], None]  # episodes that ended


@dataclass
class _Agent:
    """One environment: its sums, and the questions whose seconds are not over."""

    name: str
    tally: Tally = field(default_factory=Tally)
    windows: list[Window] = field(default_factory=list)
    now: int = _NS
    run: int = 0
    reward: float = 0.0
    packed: bytes = b""


@dataclass(frozen=True)
class Rehearsed:
    """decisions: that were logged, each with its outcome; episodes: that ended."""

    decisions: int
    episodes: int
    return_mean: float


class Rehearsal:
    """Plays a game with a strategist's directives and logs every one of them.

    motor: System 1. level: of the arena, packed. every: seconds of the game between questions.
    explore: chance that a directive is another action at random, so that the log also shows what
    comes of what the strategist would not do.
    """

    def __init__(
        self,
        game: BatchGame,
        motor: Policy,
        journal: Journal,
        *,
        strategist: Strategist | None = None,
        level: bytes | None = None,
        every: float = 2.0,
        explore: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.game, self.journal = game, journal
        self._strategist = strategist or Strategist()
        self._states = states_of(game)
        self._dual = Dual(motor, self, self._seen, level=level, settings=DualSettings(every=every))
        self._agents = [_Agent(f"rehearsal-{i}") for i in range(game.num_envs)]
        self._step_ns = round(_NS / getattr(game, "frame_rate", 15.0))
        self._current = 0
        self._epoch = time.time_ns()
        self._sequence = 0
        self._explore, self._random = explore, np.random.default_rng([seed, 0x60])
        self._unsafe = 0
        self._newest: Window | None = None
        self._refused = 0

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
        """The strategist's directive for the environment that is looked at; see dual.Planner."""
        agent = self._agents[self._current]
        verdict = self._strategist.decide(packed, in_force)
        directive, shares = verdict.directive, dict(verdict.probabilities)
        if self._random.random() < self._explore:
            verbs = [v.Verb(name) for name in shares if name != directive.action.value]
            free = [verb for verb in verbs if v.Hold in v.TARGETS[verb]]
            if free:
                directive = v.Directive(free[int(self._random.integers(len(free)))], v.Hold(), 2.0)
        self._sequence += 1
        id = RequestId(agent.name, self._epoch, self._sequence)
        reply = Reply(
            id=id, status="ok", answer=v.spell(directive), backend="rules",
            confidence=verdict.confidence, reasoning=verdict.reason,
        )  # fmt: skip
        row = Decision(
            reply=reply, at=time.time(), episode=agent.run, mode="rules", state=packed,
            in_force=None if in_force is None else v.spell(in_force),
            probabilities={k: round(p, 4) for k, p in shares.items()},
        )  # fmt: skip
        self.journal.record(row, self._told)
        until = agent.now + round(OUTCOME_SECONDS * _NS)
        window = Window(id, agent.tally.totals, until, applied=True, status="ok")
        agent.windows.append(window)
        self._newest, self._refused = window, self._dual.counts.refused
        return directive

    def _seen(self, env: int) -> bytes:
        """The state that the controller is about to look at."""
        if self._newest is not None:  # one of higher priority stayed in force
            self._newest.applied = self._dual.counts.refused == self._refused
            self._newest = None
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
        agent.run += 1

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
    return Journal(folder, pack=lambda decision: (situation.shrink(decision.state), b""))

"""A game run as a process that others play: in real time, or one decision per answer.

Knows hosted games and links as small Protocols; does not know what a link speaks (host_links.py)
nor how it is started (cli/host.py). One thread does everything: a link waits, the game steps.

In real time the game goes on whatever the agent does. An action is held until the next arrives;
its click and choice count once. One that is older than `stale` seconds is let go, which leaves the
player standing. The last moment of an episode stays for `linger` seconds or until it is answered,
so that nobody who reads only the newest state misses it. Tick-locked, the game waits for the answer
to every moment that it shows, and answers to earlier ones are passed over.

While nobody is connected the game stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from metabonk.errors import ConfigError
from metabonk.games.hosted import Hosted, Moment, neutral
from metabonk.protocols import FloatArray

_SLICE = 0.1  # seconds of one wait, after which the loop looks whether it is to stop
_SHOWN = 0.2  # seconds that an episode's last moment is shown to who does not number answers


class Answer(NamedTuple):
    """What an agent sent. row: an Action's, float32 [12], None for a reset. answers: number of the
    moment it answers, 0 where the link does not say. seed: of a reset, None for any. sequence: its
    own number, 0 where the link has none."""

    row: FloatArray | None
    answers: int = 0
    seed: int | None = None
    sequence: int = 0


class Link(Protocol):
    """Where a hosted game is shown and played from."""

    def publish(self, moment: Moment, capture_ns: int, taken: int) -> int:
        """Shows a moment, captured then on the monotonic clock; its number for `Answer.answers`,
        0 where the link does not count or nobody is there. taken: `sequence` of the newest answer
        that went into it, by which an agent whose connection broke knows whether its last one did;
        0 for none since the last reset."""

    def wait(self, timeout: float) -> Answer | None:
        """What came, at most `timeout` seconds from now."""

    def visitor(self) -> int:
        """Number of the agent that is there, 0 for none."""

    def status(self) -> str:
        """In a few words: where, what is spoken, with whom."""

    def counters(self) -> Mapping[str, int]: ...

    def close(self) -> None: ...


@dataclass
class Counts:
    """What happened since the host began. held: moments without an action of their own; stale:
    those of them after which the player was let go. late: decisions whose time had passed before
    the game was ready for them. passed_over: answers to moments that were no longer shown."""

    moments: int = 0
    episodes: int = 0
    actions: int = 0
    resets: int = 0
    visitors: int = 0
    held: int = 0
    stale: int = 0
    late: int = 0
    passed_over: int = 0


@dataclass(frozen=True)
class Pace:
    """How a host keeps time. locked: one decision per answer. speed: of game time against real
    time, in real time. stale, linger: seconds, see the module."""

    locked: bool = False
    speed: float = 1.0
    stale: float = 0.5
    linger: float = 2.0

    def __post_init__(self) -> None:
        for name in ("speed", "stale", "linger"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name}: {getattr(self, name)}, give more than 0")


@dataclass
class Host:
    """One game on one link. `run` until it is told to stop; `now` is what is shown."""

    game: Hosted
    link: Link
    pace: Pace = field(default_factory=Pace)
    seed: int = 0
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._seed = self.seed
        self._number = 0
        self._visitor = 0
        self._taken = 0
        self.now = self._begin(self.seed)

    def run(self, stop: Callable[[], bool], tick: Callable[[], None] | None = None) -> None:
        """Plays until `stop()`. tick: called about ten times a second at least, for who watches."""
        while not stop():
            if tick is not None:
                tick()
            if not self._meet():
                self.link.wait(_SLICE)
            elif self.pace.locked:
                self._locked(stop, tick)
            else:
                self._real_time(stop, tick)

    def _meet(self) -> bool:
        """Whether somebody is there; a new visitor sees the present moment at once."""
        visitor = self.link.visitor()
        if visitor and visitor != self._visitor:
            self.counts.visitors += 1
            self._visitor = visitor
            self._publish()
        return visitor != 0

    def _locked(self, stop: Callable[[], bool], tick: Callable[[], None] | None) -> None:
        while self._meet() and not stop():
            if tick is not None:
                tick()
            answer = self.link.wait(_SLICE)
            if answer is None:
                continue
            # Numbers begin anew with each visitor: what came from one who has gone may be meant for
            # any moment, and who comes back says it again.
            gone = self.link.visitor() != self._visitor
            if gone or (answer.answers and answer.answers != self._number):
                self.counts.passed_over += 1
                continue
            self._take(answer)
            if answer.row is not None:
                self._taken = answer.sequence
                self.now = self._step(answer.row)
            self._publish()

    def _real_time(self, stop: Callable[[], bool], tick: Callable[[], None] | None) -> None:
        """Absolute deadlines: a late decision is followed by the next at its own time, and time
        that was lost altogether is given up."""
        period = 1.0 / (self.game.hz * self.pace.speed)
        due = time.monotonic() + period
        held, acted, ended = neutral(), -1.0, False
        while self._meet() and not stop():
            if tick is not None:
                tick()
            # A menu after the end may be open for long: only the end itself is waited at.
            fresh = self._until(due, stop, lasting=self.now.ended and not ended)
            ended = self.now.ended
            if fresh is not None:
                acted = time.monotonic()
                if fresh.row is None:
                    held = neutral()
                    self._publish()
                    due = time.monotonic() + period
                    continue
                held, self._taken = fresh.row.copy(), fresh.sequence
            else:
                self.counts.held += 1
                if time.monotonic() - acted > self.pace.stale:
                    held = neutral()
                    self.counts.stale += 1
            self.now = self._step(held)
            held[9], held[10:] = 0.0, -1.0  # a choice and a click are made once
            self._publish()
            due = max(due, time.monotonic() - period) + period

    def _until(self, due: float, stop: Callable[[], bool], lasting: bool) -> Answer | None:
        """The newest answer that came before `due`; a reset at once. lasting: the moment is an
        episode's last, for whose answer there is more time."""
        fresh: Answer | None = None
        began = time.monotonic()
        self.counts.late += began > due
        due += self.pace.linger if lasting else 0.0
        while True:
            answer = self.link.wait(max(0.0, min(due - time.monotonic(), _SLICE)))
            if answer is not None:
                self._take(answer)
                fresh = _both(fresh, answer)
                # One without a number may answer an earlier moment: the last one is shown a while.
                meant = (
                    answer.answers == self._number
                    if answer.answers
                    else (time.monotonic() - began > _SHOWN)
                )
                if answer.row is None or (lasting and meant):
                    return fresh
            if time.monotonic() >= due or stop() or self.link.visitor() != self._visitor:
                return fresh

    def _take(self, answer: Answer) -> None:
        if answer.row is not None:
            self.counts.actions += 1
            return
        self.counts.resets += 1
        self._taken = 0  # agents number their answers each for themselves, and begin with a reset
        if answer.seed is not None:
            self._seed = answer.seed
            self.now = self._begin(self._seed)
        elif self.now.step > 0:
            self._next()

    def _next(self) -> None:
        """Another episode: the next of its seed where one has ended, as an answer would have
        begun, else the first of the next seed."""
        if self.now.ended:
            self.now = self._step(neutral())
        if not self.now.first:
            self._seed += 1
            self.now = self._begin(self._seed)

    def _begin(self, seed: int) -> Moment:
        moment = self.game.begin(seed)
        self.counts.episodes += 1
        return moment

    def _step(self, row: FloatArray) -> Moment:
        moment = self.game.step(row)
        self.counts.episodes += moment.first
        return moment

    def _publish(self) -> None:
        self.counts.moments += 1
        self._number = self.link.publish(self.now, time.monotonic_ns(), self._taken)


def _both(before: Answer | None, answer: Answer) -> Answer:
    """An answer that overtook another one of the same moment: what that one pressed is not lost."""
    if before is None or before.row is None or answer.row is None:
        return answer
    silent = answer.row[9] < 0.5 and answer.row[10] < 0.0
    pressed = before.row[9] >= 0.5 or before.row[10] >= 0.0
    if not (silent and pressed):
        return answer
    row = answer.row.copy()
    row[9:] = before.row[9:]
    return answer._replace(row=row)

"""Recording: a game is played, by a policy or by others, and rows of it go to recorders.

Knows BatchGame, policies, streams and recorders; does not know files or which game it is. Time is
that of the captures: the clock of a running game where it has one, else game time, in which what
costs no game time (a menu) takes as long as any other decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.data.episode import EXTRA, OBSERVATION, Header
from metabonk.data.recorder import Counts, Full, Recorder
from metabonk.data.sampling import NANOSECONDS, Row, Sampled, Stream
from metabonk.errors import ConfigError
from metabonk.games.batch import allocate
from metabonk.games.latency import nothing
from metabonk.games.source import Flags
from metabonk.protocols import (
    Array,
    BatchGame,
    BoolArray,
    Captured,
    FloatArray,
    Observation,
    Policy,
    Visible,
)


@dataclass(frozen=True)
class Plan:
    """What is recorded. hz: rows per second of capture time, 0 for every decision. episodes,
    seconds: when each environment is done, 0 for no bound; seconds are those of captures. frames:
    also what people see, where observations hold no `pixels`. watched: others play, and the game
    says what they do."""

    hz: float = 0.0
    episodes: int = 0
    seconds: float = 0.0
    frames: bool = False
    watched: bool = False


@dataclass
class Recorded:
    """What came of it, over all environments. seconds: of capture time, the longest. unknown: rows
    whose inputs the game did not tell."""

    rows: int = 0
    episodes: int = 0
    seconds: float = 0.0
    unknown: int = 0
    sampled: Sampled = field(default_factory=Sampled)
    counts: Counts = field(default_factory=Counts)


def header_of(game: BatchGame, plan: Plan, *, seed: int, actor: str, **details: Any) -> Header:
    """What recordings of `game` say of themselves. Raises ConfigError where `hz` needs a time that
    the game does not have."""
    own = game.frame_rate if isinstance(game, Visible) else 0.0
    if plan.hz and not own and not isinstance(game, Captured):
        raise ConfigError(f"hz: {game.name} has no time; give 0 for a row per decision")
    return Header.of(
        game.action_layout,
        source=game.name,
        seed=seed,
        actor=actor,
        num_envs=1,
        rate=plan.hz or own,
        details={"observation": sorted(game.observation_space.spaces), **details},
    )


def open_recorders(
    directory: Path, header: Header, count: int, *, formats: Sequence[str], live: bool, full: str
) -> list[Recorder]:
    """One recorder per environment: in `directory`, or of several in `directory`/<number>.

    full: `wait`, `drop`, or `auto`: drop where the game is running (`live`) and cannot wait.
    """
    if full not in ("auto", "wait", "drop"):
        raise ConfigError(f"when-full: {full!r}, give auto, wait or drop")
    chosen: Full = "drop" if full == "drop" or (full == "auto" and live) else "wait"
    places = [directory / f"{i:03d}" for i in range(count)] if count > 1 else [directory]
    return [Recorder(place, header, formats=formats, full=chosen) for place in places]


def hold(streams: Sequence[Stream], recorders: Sequence[Recorder]) -> None:
    """Gives the recorders what the rows at hand have become, to be kept if they stay for long."""
    now = time.monotonic()
    for stream, recorder in zip(streams, recorders, strict=True):
        row = stream.at_hand(now)
        if row is not None:
            recorder.hold(row)


class Session:
    """Plays `game` with `policy` and records every environment into its recorder.

    `steps` yields after every decision of all environments, so that the caller may look and stop.
    """

    def __init__(
        self,
        game: BatchGame,
        policy: Policy,
        recorders: Sequence[Recorder],
        plan: Plan,
        seeds: Sequence[int],
    ) -> None:
        if len(recorders) != game.num_envs:
            raise ValueError(f"recorders: {len(recorders)} for {game.num_envs} environments")
        self.game, self.policy, self.plan, self.recorders = game, policy, plan, recorders
        self._seeds = seeds
        live = isinstance(game, Captured)
        if plan.watched and not live:
            raise ConfigError(f"watched: {game.name} is played by nobody else; give a policy")
        self._streams = [Stream(plan.hz, game.action_layout, live=live) for _ in recorders]
        self._episodes = np.zeros(game.num_envs, np.int64)
        self._seconds = np.zeros(game.num_envs)
        self._unknown = 0
        self._idle = nothing(game.name, game.action_layout)

    def steps(self) -> Iterator[None]:
        """Until every environment is done; rows at hand are recorded whenever this ends."""
        game, num = self.game, self.game.num_envs
        observation, flags = allocate(game.observation_space, num), Flags(num)
        game.reset_into(observation, self._seeds)
        clock = _Clock(game)
        clock.start(observation)
        state, is_first = self.policy.reset(num), np.ones(num, np.bool_)
        began = clock.now.copy()
        try:
            while not self._done().all():
                rows, state = self.policy.act(observation, state, is_first)
                ended = flags.terminated | flags.truncated
                given = self._given(rows)
                self._see(observation, given, clock.now, is_first, ended)
                game.step_into(rows, observation, *flags.arrays())
                self._note(given, flags, ended)
                hold(self._streams, self.recorders)
                is_first = flags.is_reset.copy()
                clock.advance(observation)
                self._seconds = (clock.now - began) / NANOSECONDS
                yield
        finally:
            for stream, recorder in zip(self._streams, self.recorders, strict=True):
                row = stream.finish()
                if row is not None:
                    recorder.append(row)

    def result(self) -> Recorded:
        """What was recorded so far."""
        sampled = [asdict(s.counts) for s in self._streams]
        counts = [asdict(r.counts) for r in self.recorders]
        return Recorded(
            rows=sum(c["taken"] for c in counts),
            episodes=int(self._episodes.sum()),
            seconds=float(self._seconds.max()),
            unknown=self._unknown,
            sampled=Sampled(**{k: sum(s[k] for s in sampled) for k in sampled[0]}),
            counts=Counts(**{k: sum(c[k] for c in counts) for k in counts[0]}),
        )

    def _done(self) -> BoolArray:
        plan = self.plan
        done = np.zeros(self.game.num_envs, np.bool_)
        if plan.episodes:
            done |= self._episodes >= plan.episodes
        if plan.seconds:
            done |= self._seconds >= plan.seconds
        return done

    def _given(self, rows: FloatArray) -> FloatArray:
        """What is recorded as done: the policy's rows, or what whoever plays does."""
        if not self.plan.watched or not isinstance(self.game, Captured):
            return rows
        inputs = self.game.inputs()
        unknown = np.isnan(inputs)
        self._unknown += int(unknown.all(1).sum())
        return np.where(unknown, self._idle, inputs)  # a zero would be a click in the corner

    def _see(
        self,
        observation: Observation,
        given: FloatArray,
        now: npt.NDArray[np.int64],
        is_first: BoolArray,
        ended: BoolArray,
    ) -> None:
        """Opens rows where they are due; what those before have become is recorded."""
        done = self._done()
        for env, (stream, recorder) in enumerate(zip(self._streams, self.recorders, strict=True)):
            first, last = bool(is_first[env]), bool(ended[env])
            if done[env]:
                row = stream.finish()
            elif stream.due(int(now[env]), first=first, last=last):
                seen = self._seen(observation, env)
                row = stream.open(seen, given[env], int(now[env]), first=first, last=last)
            else:
                continue
            if row is not None:
                recorder.append(row)

    def _seen(self, observation: Observation, env: int) -> Row:
        """The observation of one environment, in arrays of its own."""
        seen = {f"{OBSERVATION}{k}": np.array(v[env]) for k, v in observation.items()}
        if self.plan.frames and "pixels" not in observation:
            if not isinstance(self.game, Visible):
                raise ConfigError(
                    f"{self.game.name} shows no frames, which .npz files are made of: "
                    "give --format episodes"
                )
            seen[f"{EXTRA}frame"] = np.array(self.game.render(env))
        return seen

    def _note(self, given: FloatArray, flags: Flags, ended: BoolArray) -> None:
        """What the step led to, in the rows that are open."""
        for env, stream in enumerate(self._streams):
            if not stream.empty and not ended[env]:
                terminated, truncated = bool(flags.terminated[env]), bool(flags.truncated[env])
                stream.add(given[env], float(flags.reward[env]), terminated, truncated)
        self._episodes += ended


class _Clock:
    """Capture times of every environment, nanoseconds. now: of the present observations [N]."""

    def __init__(self, game: BatchGame) -> None:
        self._game = game
        rate = game.frame_rate if isinstance(game, Visible) else 0.0
        self._usual = round(NANOSECONDS / rate) if rate else NANOSECONDS
        self.now: npt.NDArray[np.int64] = np.zeros(game.num_envs, np.int64)

    def start(self, observation: Mapping[str, Array]) -> None:
        if isinstance(self._game, Captured):
            self.now = np.array(self._game.capture_ns(), np.int64)

    def advance(self, observation: Mapping[str, Array]) -> None:
        """After a step."""
        if isinstance(self._game, Captured):
            self.now = np.array(self._game.capture_ns(), np.int64)
            return
        passed: Array = np.full(len(self.now), self._usual, np.int64)
        if "dt" in observation:
            told = np.round(observation["dt"].reshape(len(self.now), -1)[:, 0] * NANOSECONDS)
            passed = np.where(told > 0, told.astype(np.int64), passed)
        self.now = self.now + passed


class Watching:
    """The policy of someone who only watches: rows of NaN, which games that run by themselves take
    as nothing sent."""

    def __init__(self, columns: int) -> None:
        self._columns = columns

    def reset(self, num_envs: int) -> FloatArray:
        return np.full((num_envs, self._columns), np.nan, np.float32)

    def act(
        self, observation: Observation, state: FloatArray, is_first: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        return state, state


def run(session: Session, stop: Callable[[], bool]) -> Recorded:
    """Records until the plan is fulfilled or `stop` says so, which is asked after every decision.

    Closes the recorders. Raises OSError where the disk is full.
    """
    try:
        for _ in session.steps():
            if stop():
                break
    finally:
        for recorder in session.recorders:
            recorder.close()
    return session.result()

"""The live loop: games and policies joined by the native control thread.

Knows how seats are made of a game's ports, deciders and a ledger, and what the loop counts. The
tick itself is native (csrc/play/loop.h) and never meets Python; what is here runs before, after and
beside it. Does not know verbs or where policies come from.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metabonk import _core, artifact
from metabonk.cognition.vocabulary import Directive
from metabonk.errors import CompileError, ConfigError
from metabonk.link import research_shm
from metabonk.observations import OBSERVATION_SPACE, observe
from metabonk.play import ledger as ledgers
from metabonk.play import ranges
from metabonk.play.compiled import KIND, CompiledPolicy, load
from metabonk.play.directive import Numbers, click_at, numbers
from metabonk.play.live_games import LiveGame
from metabonk.play.session import Session
from metabonk.protocols import Policy
from metabonk.records import ACTION_COLUMNS, Action

Array = npt.NDArray[Any]

SEEN_MEMORY = 64 << 20  # bytes of observations that wait for the disk
REMEMBERED = 4096  # ticks whose times are kept

# One tick of one seat as the loop remembers it (csrc/play/tick.h), monotonic nanoseconds. `acted`:
# the action was handed over; `sent`: it left for the game, 0 if that was not known when the loop
# was asked, -1 if it never did, for a newer one overtook it. `cpu`: what the control thread
# computed since the turn before, all seats together.
TIMES = np.dtype(
    [
        ("tick", "<u8"), ("planned", "<i8"), ("woke", "<i8"), ("next", "<i8"), ("began", "<i8"),
        ("capture", "<i8"), ("ready", "<i8"), ("found", "<i8"), ("seen", "<i8"),
        ("decided", "<i8"), ("acted", "<i8"), ("sent", "<i8"), ("cpu", "<i8"),
        ("sequence", "<u8"), ("gate", "<u2"), ("agent", "u1"), ("unused", "u1", 5),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class LoopSettings:
    """How the loop keeps time. Times are seconds.

    spin: at most so long before each tick, instead of sleeping. cpu: the processor of the control
    thread, -1 for any, None for the last one of several. priority: of SCHED_FIFO, 0 for ordinary
    scheduling. follow: the phase of the game. margin: between a capture that can be had and the
    tick that answers it. patience: how long a tick waits for a moment and an answer. stale: without
    a decision for so long, for want of a new moment or of an answer, `safe` is sent. safe: what to
    do then.
    """

    hz: float = 60.0
    spin: float = 150e-6
    cpu: int | None = None
    priority: int = 0
    follow: bool = True
    margin: float = 300e-6
    patience: float = 2e-3
    stale: float = 0.1
    safe: Action = field(default_factory=Action)

    def processor(self) -> int:
        """The processor asked for, as a number."""
        if self.cpu is not None:
            return self.cpu
        return int(_core.play.last_cpu()) if len(os.sched_getaffinity(0)) > 1 else -1

    def below(self) -> int:
        """The priority of threads that send the loop's actions to games: just below its own, 0 for
        ordinary scheduling."""
        return max(self.priority - 1, 0)

    def granted(self) -> dict[str, Any]:
        """What this machine will grant the control thread: `cpu` and `priority`, and in `cpu_error`
        and `priority_error` why it refuses what was asked for, else ""."""
        return dict(_core.play.grant(self.processor(), self.priority))


class CompiledDecider:
    """A compiled policy in the loop: decides in the control thread."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.hash, policy = _load(self.path)
        self._words = policy.program.words
        self.native = _core.play.Compiled(
            policy.program.words, _addresses(policy), policy.terms.seed, bytes.fromhex(self.hash)
        )

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width of the frames it reads; zeros if it reads none."""
        height, width = self.native.frame
        return int(height), int(width)

    def swap(self, path: Path | str, timeout: float = 1.0) -> str:
        """Weights of another artifact of the same network, from the next tick on; returns its hash.

        Packing is done here. Raises CompileError if it is another program, TimeoutError if no tick
        took up the swap before.
        """
        digest, policy = _load(Path(path))
        if not np.array_equal(policy.program.words, self._words):
            raise CompileError(
                f"swap: {path} is another program than {self.path}: compile both from the same "
                "network in the same way"
            )
        until = time.monotonic() + timeout
        while not self.native.swap(_addresses(policy), bytes.fromhex(digest)):
            if time.monotonic() > until:
                raise TimeoutError("swap: no tick took up the weights handed over before")
            time.sleep(0.005)
        return digest


class PythonDecider:
    """A policy that cannot be compiled: decides on a Python thread behind two mailboxes.

    policy: acts on the observation of one game (metabonk/observations.py), without frames.
    """

    def __init__(self, policy: Policy, name: str) -> None:
        self.hash = ""
        self.name = name
        self.native = _core.play.Remote()
        self._policy = policy
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, f"policy {name}")
        self._serving: Future[None] | None = None

    def start(self) -> None:
        self._serving = self._thread.submit(self._serve)

    def check(self) -> None:
        """Raises what the policy raised, if it did."""
        if self._serving is not None and self._serving.done():
            self._serving.result()

    def stop(self) -> None:
        """Ends the thread. Raises what the policy raised, if it did."""
        self._stop.set()
        self._thread.shutdown()
        self.check()

    def _serve(self) -> None:
        state = self._policy.reset(1)
        while not self._stop.is_set():
            asked: Any = self.native.ask(0.05)
            if asked is not None:
                state = self._answer(asked, state)

    def _answer(self, asked: tuple[bytes, int, int, bool], state: Any) -> Any:
        packed, sequence, _, begins = asked
        observation = {key: array[None] for key, array in observe(packed).items()}
        row, state = self._policy.act(observation, state, np.array([begins]))
        self.native.answer(np.ascontiguousarray(row[0], np.float32), sequence)
        return state


Decider = CompiledDecider | PythonDecider


class Beside(Protocol):
    """What runs on threads of its own beside a loop, and which the loop never waits for."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None:
        """Raises what broke it, if something did. Safe to call twice."""

    def check(self) -> None:
        """Raises what broke it, if something did."""

    def counts(self) -> Any:
        """What it counted, for `Live.counts`."""


class Live:
    """A game, its agents and the loop; start, watch, stop.

    deciders: one per agent. session: where the ledger goes; None keeps none. ticks: after which
    the loop ends by itself, 0 for never. remembered: ticks whose times are kept. reference: run a
    reference thread beside the loop. record: keep what was observed, for games that cannot be
    played again from their inputs; compiled policies only.
    """

    def __init__(
        self,
        game: LiveGame,
        deciders: Sequence[Decider],
        settings: LoopSettings,
        session: Session | None = None,
        *,
        ticks: int = 0,
        remembered: int = REMEMBERED,
        reference: bool = False,
        record: bool = False,
    ) -> None:
        ranges.watch()
        self.game, self.deciders, self.settings = game, list(deciders), settings
        self.ledger = self.seen = None
        if session is not None:
            self.ledger = ledgers.create(
                session.directory, ledgers.LEDGER, ledgers.TICK.itemsize, ledgers.CAPACITY
            )
        if session is not None and record:
            self.seen = self._recording(session.directory)
        self.loop: Any = _core.play.Loop(
            hz=settings.hz,
            spin=settings.spin,
            cpu=settings.processor(),
            priority=settings.priority,
            follow=settings.follow,
            margin=settings.margin,
            ticks=ticks,
            remembered=remembered,
            reference=reference,
        )
        self.seats = [self._seat(i, decider) for i, decider in enumerate(self.deciders)]
        self.beside: list[Beside] = []
        self._given = 0

    def _recording(self, directory: Path) -> Any:
        sizes = {int(decider.native.seen_record_bytes) for decider in self.deciders}
        if len(sizes) != 1 or 0 in sizes:
            raise ConfigError("record: only compiled policies, all of one network, can be recorded")
        size = sizes.pop()
        return ledgers.create(directory, ledgers.SEEN, size, min(SEEN_MEMORY // size, 4096))

    def _seat(self, agent: int, decider: Decider) -> Any:
        seat = _core.play.Seat(
            self.game.port(agent),
            decider.native,
            self.ledger,
            self.seen,
            agent,
            self.settings.patience,
            self.settings.stale,
            self.settings.safe.row(),
        )
        self.loop.add(seat)
        return seat

    def start(self) -> None:
        """Starts policies on Python threads, the game, the loop, then what runs beside it."""
        for decider in self.deciders:
            if isinstance(decider, PythonDecider):
                decider.start()
        self.game.start()
        self.loop.start()
        for other in self.beside:
            other.start()

    def stop(self) -> None:
        """Ends what runs beside the loop, the loop, the game, then the policies; what was written
        is on the disk then. Raises what a Python policy or something beside the loop raised."""
        with contextlib.ExitStack() as stack:
            for decider in self.deciders:
                if isinstance(decider, PythonDecider):
                    stack.callback(decider.stop)
            stack.callback(self._flush)
            stack.callback(self.game.stop)
            stack.callback(self.loop.stop)
            for other in self.beside:
                stack.callback(other.stop)

    def _flush(self) -> None:
        for journal in (self.ledger, self.seen):
            if journal is not None:
                journal.flush()

    def wait(
        self, until: Callable[[], bool] | None = None, seconds: float = 0.0, look: float = 0.05
    ) -> None:
        """Returns once the loop has ended, `until()` is true or `seconds` (0: for ever) are over.

        Raises what a Python policy, the game or something beside the loop raised meanwhile.
        """
        end = time.monotonic() + seconds
        while self.loop.running and not (until is not None and until()):
            if seconds and time.monotonic() >= end:
                return
            self.game.check()
            for decider in self.deciders:
                if isinstance(decider, PythonDecider):
                    decider.check()
            for other in self.beside:
                other.check()
            time.sleep(look)

    def direct(
        self, directive: Directive, agent: int = 0, until: int | None = None, run: int = 0
    ) -> int:
        """Puts a directive in force from the next tick on, until its run is over; returns its id, 0
        if one of higher priority is in force or the run is over already.

        until: monotonic nanoseconds at which it ends, for validities that count from a capture;
        None: `directive.seconds` from now. run: number of its run, as the seat's watch shows it; 0:
        the one that is played. Never waits for the loop.
        """
        self._given += 1
        if until is None:
            until = int(_core.play.now()) + round(directive.seconds * 1e9)
        return self._give(numbers(directive), agent, until, run)

    def click_at(self, x: float, y: float, agent: int, until: int, run: int = 0) -> int:
        """Clicks a place of the screen once, 0..1 from the top left, in games that show no widgets;
        otherwise as `direct`. Raises ConfigError beside the screen."""
        self._given += 1
        return self._give(click_at(x, y), agent, until, run)

    def _give(self, given: Numbers, agent: int, until: int, run: int) -> int:
        taken = self.seats[agent].direct(
            self._given, given.action, given.kind, given.target, given.priority, until, run
        )
        return self._given if taken else 0

    def counts(self) -> dict[str, Any]:
        """What was counted so far, by agent and of the whole."""
        found: dict[str, Any] = {
            "ticks": self.loop.ticks,
            "skipped": self.loop.skipped,
            "agents": [seat.counts() for seat in self.seats],
            "game": self.game.counts(),
        }
        if self.ledger is not None:
            found["ledger"] = self.ledger.counts()
        if self.seen is not None:
            found["recording"] = self.seen.counts()
        return found | {other.name: other.counts() for other in self.beside}

    def times(self, agent: int = 0) -> Array:
        """TIMES [ticks] of one agent, the newest ones; after `stop`, which ends the game's threads,
        too: until then the last actions may not have left."""
        rows: Array = self.loop.times(agent)
        return rows.view(TIMES).reshape(-1)


def described(settings: LoopSettings) -> dict[str, Any]:
    """The settings as plain data, for a session's card."""
    plain = asdict(settings)
    plain["safe"] = [float(x) for x in settings.safe.row()]
    plain["cpu"] = settings.processor()
    return plain


def _load(path: Path) -> tuple[str, CompiledPolicy]:
    digest = artifact.load(path, kind=KIND, verify=False).hash
    policy = load(path)
    if policy.terms.batch != 1:
        raise ConfigError(
            f"{path} decides for {policy.terms.batch} games at a time; the loop takes one: "
            "`metabonk compile RUN` makes it"
        )
    if policy.terms.columns not in (ACTION_COLUMNS, research_shm.COLUMNS):
        raise ConfigError(
            f"{path} gives {policy.terms.columns} numbers; the loop takes an Action's "
            f"{ACTION_COLUMNS}, or ResearchPlugin's {research_shm.COLUMNS}: train it on the arena, "
            "bonklink or research_shm"
        )
    missing = [
        name
        for name in policy.inputs
        if name not in OBSERVATION_SPACE.spaces
        and name not in ("pixels", "is_first", "uniform", "normal")
    ]
    if missing:
        raise ConfigError(f"{path} reads {', '.join(missing)}, which live games do not give")
    return digest, policy


def _addresses(policy: CompiledPolicy) -> list[int]:
    return [array.ctypes.data for array in policy.program.tensors.values()]

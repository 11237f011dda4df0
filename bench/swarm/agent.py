"""One agent of a soak: a game's thread at 60 ticks a second, the real client beside it, a ledger.

Knows the client and what must be written down of it; knows neither broker nor verdict. It plays a
clip, asks as an agent does, and on purpose behaves badly: its connection is cut or its client made
anew in the middle of things, and a slow one does not look at its replies for a second.

    python -m metabonk.bench.swarm.agent '{"agent": "omega-0", "url": "tcp://...", ...}'
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.dialogue import Dialogue
from metabonk.cognition.protocol import wire
from metabonk.cognition.vocabulary import Directive

from . import clip as clips
from .books import digest
from .ledger import Acknowledged, Answered, Applied, Asked, Began, Cut, Ended, Ledger, Welcomed
from .ledger import now as at_present

HZ = 60.0
SLOW_EVERY, SLOW_SECONDS = 5, 1.0  # of a slow agent: replies, and how long it looks away
# Seconds at the end for outcomes to be acknowledged. Longer than a player's: a soak asks whether
# anything is lost while somebody waits for it. Its clients also end in the middle of kills, and on
# a machine that is kept busy a server may take longer to come back than a player would wait, who
# is told what then is missing (metabonk/cli/system2.py).
LINGER = 30.0
URGENT = 0.1  # urgent requests per second, beside those that the clip gives rise to
_NS = 1_000_000_000


class Settings(msgspec.Struct, kw_only=True):
    """What one agent is told. seconds: that it asks. churn, slow: see Plan. clip, ledgers: folders.
    impostor: it only tries to take the name, and writes what came of it to `impostors`."""

    agent: str
    url: str
    clip: str
    ledgers: str
    seconds: float = 10.0
    period: float = 0.5
    deadline: float = 1.0
    churn: float = 0.0
    slow: bool = False
    seed: int = 0
    impostor: bool = False
    pictures: bool = True


class Attempt(msgspec.Struct):
    """What came of taking somebody's name. bound: it was given; why: the refusal. at_ns: when that
    was known."""

    agent: str
    bound: bool
    why: str
    at_ns: int = 0


class WatchedDialogue(Dialogue):
    """A dialogue that writes down what is asked, answered and acknowledged, and can lose its
    connection. It changes nothing of what is said."""

    def __init__(self, settings: Settings, book: Ledger, drawn: random.Random) -> None:
        super().__init__(
            settings.agent, time.time_ns(), os.urandom(16),
            every=settings.period, patience=settings.deadline, clock=wire.boot_id(), log=True,
        )  # fmt: skip
        self._book, self._drawn, self._settings = book, drawn, settings
        self._cut = False
        self._replies = 0
        self.remake = False  # the whole client is to be made anew
        self.answered: list[Decision] = []  # newest last; what `applied` looks a directive up in

    @property
    def renew(self) -> bool:  # type: ignore[override]
        """Whether the connection is to be cut now; asked once a turn."""
        cut, self._cut = self._cut, False
        if cut:
            self._book.add(Cut(at_present(), self.agent))
        return cut

    def request(
        self,
        now: int,
        captured_ns: int,
        state: bytes,
        frames: Sequence[wire.FrameInfo],
        jpegs: Sequence[wire.Buffer],
        **told: Any,
    ) -> tuple[wire.RequestId, list[wire.Buffer]]:
        id, parts = super().request(now, captured_ns, state, frames, jpegs, **told)
        asked = self._flights[id.sequence].request
        self._book.add(Asked(at_present(), str(id), asked.captured_ns, asked.deadline_ns))
        if self._drawn.random() < self._settings.churn:
            if self._drawn.random() < 0.5:
                self._cut = True
            else:
                self.remake = True
        return id, parts

    def take(self, parts: Sequence[wire.Buffer], now: int) -> list[Decision]:
        message = _peek(parts)
        if isinstance(message, wire.Welcome):
            self._book.add(Welcomed(at_present(), self.agent, message.session))
        if isinstance(message, wire.Ack) and message.of == "outcome" and message.id is not None:
            self._book.add(Acknowledged(at_present(), str(message.id)))
        if isinstance(message, wire.Reply) and message.id is not None and not _passing(message):
            answer = digest(message.answer) if message.status in ("ok", "fallback") else ""
            entry = Answered(
                at_present(), str(message.id), message.status, answer, message.recorded,
                message.backend,
            )  # fmt: skip
            self._book.add(entry)
            self._replies += 1
            if self._settings.slow and self._replies % SLOW_EVERY == 0:
                time.sleep(SLOW_SECONDS)  # nobody looks: replies pile up, deadlines pass
                now = time.monotonic_ns()
        decisions = super().take(parts, now)
        self.answered += decisions
        del self.answered[:-64]
        return decisions

    def applied(self, directive: Directive, until_ns: int) -> bool:
        """The mailbox of the game's thread: what arrives here is followed from now on."""
        for decision in reversed(self.answered):
            if decision.directive is directive:
                self._book.add(Applied(at_present(), str(decision.id)))
                return True
        self._book.add(
            Applied(at_present(), f"{self.agent}/{self.epoch}/0")
        )  # a verdict finds it unknown
        return True


def _peek(parts: Sequence[wire.Buffer]) -> wire.ToAgent | None:
    try:
        return wire.decode_answer(parts)
    except wire.WireError:
        return None


def _passing(reply: wire.Reply) -> bool:
    """Whether a reply ends nothing: the agent has to introduce itself, or to send again."""
    return reply.code in ("unbound", "unknown", "handle")


class GameThread:
    """Sixty ticks a second of handing over the newest moment and reading what is in force; what
    that costs is measured in the thread that pays it."""

    def __init__(self, clip: clips.Clip, drawn: random.Random) -> None:
        self._clip = clip
        self._offset = drawn.randrange(len(clip.frames))
        self._stop = threading.Event()
        self._client: Client | None = None
        self._thread = threading.Thread(target=self._run, name="game")
        self.blocked: list[int] = []
        self.ticks = self.late = 0

    def play_with(self, client: Client | None) -> None:
        """Which client it has now; None while one is being made anew."""
        self._client = client

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        period = round(_NS / HZ)
        due = time.monotonic_ns() + period
        step = round(HZ / clips.RATE)
        packed = [state.tobytes() for state in self._clip.states]
        while not self._stop.is_set():
            left = due - time.monotonic_ns()
            if left > 0:
                time.sleep(left / _NS)
            began = time.monotonic_ns()
            self.late += began - due > period // 2
            client = self._client
            moment = (self.ticks // step + self._offset) % len(packed)
            if client is not None:
                pixels = self._clip.frames[moment] if self.ticks % step == 0 else None
                sight = Sight(packed[moment], began, pixels, reward=self.ticks / HZ)
                before = time.perf_counter_ns()
                client.show(sight)
                client.directive()
                self.blocked.append(time.perf_counter_ns() - before)
            self.ticks += 1
            due = max(due + period, began)  # ticks that were missed are not made up for


def play(settings: Settings) -> None:
    """Plays until the time is over or SIGTERM comes; then everything is acknowledged."""
    drawn = random.Random(f"{settings.seed}/{settings.agent}")
    clip = clips.load(Path(settings.clip))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the soak that started it says when
    end = time.monotonic() + settings.seconds
    game = GameThread(clip, drawn)
    gc.freeze()
    game.start()
    try:
        generation = 0
        while generation == 0 or (not stop.is_set() and time.monotonic() < end):
            _generation(settings, generation, game, drawn, stop, end)
            generation += 1
    finally:
        game.stop()


def _generation(
    settings: Settings,
    generation: int,
    game: GameThread,
    drawn: random.Random,
    stop: threading.Event,
    end: float,
) -> None:
    """One client, from its Hello to its last acknowledgement."""
    book = Ledger(Path(settings.ledgers) / f"{settings.agent}-{os.getpid()}-{generation}.jsonl")
    dialogue = WatchedDialogue(settings, book, drawn)
    client = Client(
        settings.agent, settings.url,
        ClientSettings(
            every=settings.period, patience=settings.deadline, outcome_seconds=settings.deadline,
            pictures=settings.pictures, linger=LINGER,
        ),
        apply=dialogue.applied, dialogue=dialogue,
    )  # fmt: skip
    every = round(settings.period * _NS)
    book.add(Began(at_present(), settings.agent, dialogue.epoch, os.getpid(), every, settings.slow))
    first = game.ticks, game.late, len(game.blocked)
    client.start()
    game.play_with(client)
    urgent = time.monotonic() + drawn.expovariate(URGENT)
    while not stop.is_set() and not dialogue.remake and time.monotonic() < end:
        stop.wait(0.05)
        if time.monotonic() >= urgent:
            client.wish(drawn.choice(("health", "boss")))
            urgent = time.monotonic() + drawn.expovariate(URGENT)
    asked_until = at_present()
    game.play_with(None)
    client.stop()
    ticks, late, seen = first
    counters = {k: float(v) for k, v in client.counts().items() if isinstance(v, int | float)}
    book.add(
        Ended(
            at_present(), settings.agent, dialogue.epoch, game.ticks - ticks, game.late - late,
            _percentiles(game.blocked[seen:]), counters, asked_until,
        )
    )  # fmt: skip
    book.close()


def _percentiles(nanoseconds: Sequence[int]) -> tuple[int, int, int]:
    if not nanoseconds:
        return 0, 0, 0
    median, high, most = np.percentile(np.asarray(nanoseconds), (50, 99, 100))
    return round(float(median)), round(float(high)), round(float(most))


def intrude(settings: Settings) -> Attempt:
    """Tries to be somebody else for a while."""
    dialogue = Dialogue(settings.agent, time.time_ns(), os.urandom(16), every=3600.0, patience=1.0)
    quiet = ClientSettings(pictures=False, linger=0.0)
    client = Client(settings.agent, settings.url, quiet, dialogue=dialogue)
    end = time.monotonic() + settings.seconds
    bound = False
    with client:
        while time.monotonic() < end and not (bound or dialogue.why):
            time.sleep(0.01)
            bound = dialogue.bound
        at_ns = at_present()
    return Attempt(settings.agent, bound, dialogue.why, at_ns)


def main(words: Sequence[str]) -> None:
    """The command line: settings as JSON. An impostor prints what came of it."""
    settings = msgspec.json.decode(words[0], type=Settings)
    if settings.impostor:
        print(msgspec.json.encode(intrude(settings)).decode(), flush=True)
    else:
        play(settings)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Decision logs as a broker writes them, of states of the arena and answers of the rules."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import simplejpeg

from metabonk.cognition import situation
from metabonk.cognition import vocabulary as v
from metabonk.cognition.backends.rules import Strategist
from metabonk.cognition.log.journal import Decision, Journal
from metabonk.cognition.log.store import FrameStore
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId
from metabonk.games import arena
from metabonk.records import GAME_STATE, Action, FieldGroup, GameState, Widget


@cache
def arena_states(count: int, seed: int = 3) -> tuple[bytes, ...]:
    """Packed states of a hard level that somebody runs through."""
    game = arena.make("", 1, level="hard", threads=1)
    seen = {"dt": np.zeros((1, 1), np.float32)}
    flags = (np.zeros(1, np.float32), *(np.zeros(1, np.bool_) for _ in range(3)))
    game.reset_into(seen, [seed])
    states = []
    for step in range(12 * count):
        game.step_into(Action(move=(0.0, 0.5), choice=step % 2).row()[None], seen, *flags)
        if step % 12 == 0:
            states.append(game.batch.game_state(0))
    game.close()
    return tuple(states)


def menu_state() -> bytes:
    widgets = [
        Widget(0.1, 0.2, 0.9, 0.3, True, 0, "Play"),
        Widget(0.1, 0.4, 0.9, 0.5, True, 0, "Quit"),
    ]
    fields = FieldGroup.PLAYER | FieldGroup.MENU | FieldGroup.WIDGETS
    return GameState(fields=fields, menu="MainMenu", widgets=widgets).pack()


def of_run(packed: bytes, seed: int) -> bytes:
    """The same state in the run of another seed; what says no run stays as it is."""
    if len(packed) != GAME_STATE.itemsize:
        return packed
    record = np.frombuffer(packed, GAME_STATE).copy()
    if record["fields"][0] & FieldGroup.RUN:
        record["run_seed"] = seed
    return record.tobytes()


def jpegs(count: int) -> list[bytes]:
    random = np.random.default_rng(5)
    return [
        simplejpeg.encode_jpeg(random.integers(0, 255, (24, 32, 3), np.uint8)) for _ in range(count)
    ]


class Log:
    """A log to be written. folder: where it is; written: ids of decisions with an outcome."""

    def __init__(self, folder: Path, frames: int = 0) -> None:
        self.folder = folder
        self.written: list[str] = []
        self._frames = jpegs(frames)
        self._store = FrameStore(folder / "frames", quota=1 << 20 if frames else 0)
        self._journal = Journal(folder, pack=self._pack)
        self._waiting = 0

    def add(
        self,
        id: RequestId,
        packed: bytes,
        answer: dict[str, object],
        reward: float | None,
        *,
        episode: int = 0,
        status: str = "ok",
        question: str = "strategy",
        backend: str = "rules",
        probabilities: dict[str, float] | None = None,
        in_force: v.Directive | None = None,
        goal: str = "",
        applied: bool = True,
        at: float | None = None,
        mode: str = "rules",
        run: int | None = None,
        crowd: int = 0,
    ) -> None:
        """reward: None leaves the decision without an outcome. at: seconds since 1970, else now.
        run: the seed of the run that the state is of, else another one for every episode."""
        reply = Reply(id=id, status=status, answer=answer, backend=backend, confidence=0.5)  # type: ignore[arg-type]
        self._journal.record(
            Decision(
                reply=reply, at=time.time() if at is None else at, question=question,
                episode=episode, goal=goal, mode=mode,
                state=of_run(packed, episode + 1 if run is None else run), crowd=crowd,
                probabilities=probabilities or {},
                in_force=None if in_force is None else v.spell(in_force),
                frames=[(f, -0.1 * i, False) for i, f in enumerate(self._frames)],
            ),
            self._told,
        )  # fmt: skip
        self._waiting += 1
        if reward is not None:
            self.outcome(id, reward, applied=applied)
            self.written.append(str(id))

    def outcome(self, id: RequestId, reward: float, *, applied: bool = True) -> None:
        outcome = Outcome(
            id=id, applied=applied, seconds=4.0, reward=reward, health_change=-3.0, kills=2, xp=5.0
        )
        self._journal.outcome(outcome, self._told)
        self._waiting += 1

    def close(self) -> None:
        self._journal.close()
        self._store.close()
        assert self._waiting == 0

    def _told(self, safe: bool) -> None:
        assert safe
        self._waiting -= 1

    def _pack(self, decision: Decision) -> tuple[bytes, bytes]:
        rows = [[self._store.put(j), t, p] for j, t, p in decision.frames]
        frames = msgspec.msgpack.encode(rows) if rows else b""
        return situation.shrink(decision.state, decision.crowd), frames


def answers(states: tuple[bytes, ...]) -> Iterator[tuple[bytes, v.Directive, dict[str, float]]]:
    strategist = Strategist()
    for packed in states:
        verdict = strategist.decide(packed)
        yield packed, verdict.directive, dict(verdict.probabilities)


def write(folder: Path, *, episodes: int = 12, each: int = 5, frames: int = 0) -> Log:
    """A log of `episodes` episodes of two agents, `each` decisions long; rewards 0, 1, 2, ..."""
    log = Log(folder, frames)
    number = 0
    told = list(answers(arena_states(60)))
    for episode in range(episodes):
        for _ in range(each):
            packed, directive, shares = told[number % len(told)]
            id = RequestId(f"omega-{episode % 2}", 7, number)
            log.add(
                id, packed, v.spell(directive), float(number), episode=episode // 2,
                probabilities=shares,
            )  # fmt: skip
            number += 1
    log.close()
    return log

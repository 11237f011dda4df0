"""Random histories of agents, links and a backend: each request ends once, at its own agent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from peers import ANSWER, Scripted
from tables import Table, request

from metabonk.cognition.broker.ask import Ask
from metabonk.cognition.broker.broker import Broker
from metabonk.cognition.protocol import wire as w
from metabonk.cognition.question import Failure, Undecided


class History:
    """Three agents on links that come and go, and everything that was said to them."""

    def __init__(self, table: Table, seed: int) -> None:
        self.t, self.random = table, random.Random(seed)
        self.routes: dict[str, bytes] = {}
        self.epochs = Counter(dict.fromkeys("abc", 1))
        self.sequences: Counter[str] = Counter()
        self.asked: set[w.RequestId] = set()
        self.first: Counter[w.RequestId] = Counter()
        self.misled: list[Any] = []
        self.links = 0

    async def act(self) -> None:
        name = self.random.choice("abc")
        deeds = [self.connect, self.restart, self.ask, self.ask, self.ask, self.old, self.query]
        deeds += [self.outcome, self.leave, self.noise, self.free, self.free, self.fail]
        self.random.choice(deeds)(name)
        if self.random.random() < 0.5:
            await asyncio.sleep(0)
        if self.random.random() < 0.1:
            self.t.broker.tick()
        self.listen()

    def say(self, name: str, message: w.ToBroker) -> None:
        if name in self.routes:
            self.t.say(message, self.routes[name])

    def connect(self, name: str) -> None:
        """The link breaks, and the same process comes back on another."""
        if name in self.routes:
            self.t.door.gone.add(self.routes[name])
        self.links += 1
        self.routes[name] = b"%d" % self.links
        secret = name.encode() * 16
        self.say(name, w.Hello(agent=name, epoch=self.epochs[name], secret=secret))

    def restart(self, name: str) -> None:
        if self.random.random() < 0.3:
            self.epochs[name] += 1
            self.sequences[name] = 0
            self.connect(name)

    def ask(self, name: str) -> None:
        if name in self.routes:
            made = request(
                self.sequences[name], name, self.epochs[name],
                seconds=self.random.choice([30.0, 30.0, 0.002]),
                trigger=self.random.choice(["period", "health"]),
            )  # fmt: skip
            self.sequences[name] += 1
            self.asked.add(made.id)
            self.say(name, made)

    def old(self, name: str) -> None:
        """Again, or out of order."""
        if self.sequences[name]:
            sequence = self.random.randrange(self.sequences[name])
            made = request(sequence, name, self.epochs[name])
            if made.id in self.asked:
                self.say(name, made)

    def query(self, name: str) -> None:
        sequence = self.random.randrange(self.sequences[name] + 2)
        self.say(name, w.Query(id=w.RequestId(name, self.epochs[name], sequence)))

    def outcome(self, name: str) -> None:
        if self.sequences[name]:
            sequence = self.random.randrange(self.sequences[name])
            id = w.RequestId(name, self.epochs[name], sequence)
            self.say(name, w.Outcome(id=id, applied=True, seconds=1.0))

    def leave(self, name: str) -> None:
        if self.random.random() < 0.2:
            self.say(name, w.Bye(agent=name, epoch=self.epochs[name]))

    def noise(self, name: str) -> None:
        """Somebody who says what is not theirs to say."""
        thief = b"thief"
        made = request(self.sequences[name] + 5, name, self.epochs[name])
        hello = w.Hello(agent=name, epoch=self.epochs[name], secret=b"x" * 16)
        for message in self.random.sample([made, w.Query(id=made.id), hello], 2):
            if name in self.routes and not isinstance(message, w.Hello):
                self.t.say(message, thief)
        self.t.broker.handle(thief, [b"\xc1" + self.random.randbytes(30)])

    def free(self, name: str) -> None:
        self.t.backend.release(self.random.randrange(3))

    def fail(self, name: str) -> None:
        failed = Undecided(Failure.REFUSED, "no")
        self.t.backend.answer = self.random.choice([ANSWER, ANSWER, failed, KeyError("bug")])

    def listen(self) -> None:
        for route, parts in self.t.door.out:
            said = w.decode_answer(parts)
            if isinstance(said, w.Reply) and said.id is not None and route != b"thief":
                if said.id in self.asked and not said.replayed and said.code not in FREE:
                    self.first[said.id] += 1
                own = self.routes.get(said.id.agent) == route
                if not own and route not in self.t.door.gone:
                    self.misled.append((route, said))
            if route == b"thief" and getattr(said, "status", "error") != "error":
                self.misled.append((route, said))
        self.t.door.out.clear()


FREE = {"unbound", "unknown", "epoch", "malformed", "taken"}  # of what was not taken in


def played(folder: Path, seed: int, acts: int = 400) -> tuple[History, list[tuple]]:
    """A history to its end, and the rows that it left."""

    async def run() -> tuple[History, list[tuple]]:
        table = Table(folder, Scripted(limit=2, held=True))
        history = History(table, seed)
        for name in "abc":
            history.connect(name)
        for _ in range(acts):
            await history.act()
        table.backend.answer = ANSWER
        table.backend.held = False
        table.backend.release(1000)
        await table.broker.drain(5.0)
        await asyncio.to_thread(table.journal.close)
        await asyncio.sleep(0.01)
        history.listen()
        answering = table.broker.answering
        assert not answering._writing
        assert (answering.scheduler.flying, answering.scheduler.waiting) == (0, 0)
        return history, table.rows("SELECT agent, epoch, sequence FROM decisions")

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(12))
def test_every_request_ends_once_and_is_told_to_its_agent_alone(tmp_path: Path, seed: int) -> None:
    history, found = played(tmp_path, seed)
    rows = {w.RequestId(*row) for row in found}
    assert not history.misled
    assert len(rows) == len(found)
    assert rows <= history.asked
    assert all(count == 1 for count in history.first.values()), history.first.most_common(3)
    assert set(history.first) <= rows
    assert len(rows) > 30


def test_the_histories_see_replies_that_go_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_anybody(self: Broker, ask: Ask, reply: w.Reply) -> None:
        self._send(self.names.agents()[0].route, reply)

    monkeypatch.setattr(Broker, "_deliver", to_anybody)
    assert played(tmp_path, 1)[0].misled


def test_the_histories_see_requests_that_are_decided_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broker, "_again", lambda *_: False)
    assert max(played(tmp_path, 1)[0].first.values()) > 1

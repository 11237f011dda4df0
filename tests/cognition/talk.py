"""One agent's dialogue with nobody: its clock is the test's, and so is what it hears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.dialogue import Dialogue
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import Hello, Reply, RequestId, Welcome
from metabonk.cognition.vocabulary import Directive, Hold, Verb
from metabonk.records import GameState

S = 1_000_000_000
START = 1_000 * S
JPEG = b"\xff\xd8\xff\xd9"
RETREAT = vocabulary.spell(Directive(Verb.RETREAT, Hold(), 2.0))


class Talk:
    """A dialogue, its time, and what was sent."""

    def __init__(self, **settings: Any) -> None:
        self.now = START
        self.dialogue = Dialogue("omega-0", 7, b"s" * 16, **settings)

    def pass_(self, seconds: float) -> None:
        self.now += round(seconds * S)

    def sent(self) -> list[Any]:
        return [read(parts) for parts in self.dialogue.due(self.now)]

    def hear(self, message: Any) -> list[Decision]:
        return self.dialogue.take(wire.encode(message), self.now)

    def bind(self, phase: float = 0.0, session: str = "s1", next_sequence: int = 0) -> None:
        self.dialogue.connected(self.now)
        hello = self.sent()
        assert [type(m) for m in hello] == [Hello]
        self.hear(
            Welcome(agent="omega-0", epoch=7, session=session, phase=phase,
                    next_sequence=next_sequence)
        )  # fmt: skip
        assert self.dialogue.bound

    def ask(self, trigger: wire.Trigger = "period", **how: Any) -> RequestId:
        self.dialogue.wishes.add(trigger)
        assert self.dialogue.wanted(self.now) == trigger
        id, parts = self.dialogue.request(
            self.now, self.now, GameState().pack(), [wire.FrameInfo(self.now)], [JPEG], **how
        )
        assert len(parts) == 2
        return id

    def reply(self, id: RequestId, **fields: Any) -> list[Decision]:
        return self.hear(Reply(**{"id": id, "status": "ok", "answer": RETREAT, **fields}))

    def ask_blind(self) -> RequestId:
        """What is wanted, without a state and without frames."""
        id, _ = self.dialogue.request(self.now, self.now, b"", [], [])
        return id


def read(parts: Sequence[wire.Buffer]) -> Any:
    return wire._read(parts[0], wire._TO_BROKER)

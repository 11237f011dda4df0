"""cognition/agent/client.py: how often a client looks at its game; its turns are the test's."""

from __future__ import annotations

import time

import numpy as np
from quiet import Quiet

from metabonk.cognition.agent.client import Client, ClientSettings, Sight
from metabonk.cognition.protocol import wire
from metabonk.records import FieldGroup, GameState

PACKED = GameState(fields=FieldGroup.EVERYTHING, health=100.0, max_health=100.0).pack()
RARELY = ClientSettings(every=3600.0, spacing=1000.0, pictures=False)  # a look every 500 s


class Watched:
    """A client, its line, and the sights that it took."""

    def __init__(self, settings: ClientSettings = RARELY) -> None:
        self.looks: list[int] = []
        self.line = Quiet()
        self.client = Client("omega-0", "tcp://127.0.0.1:9", settings, look=self._look)

    def _look(self) -> Sight:
        self.looks.append(time.monotonic_ns())
        return Sight(PACKED, self.looks[-1])

    def turn(self, *came: wire.ToAgent) -> None:
        self.line.inbox += came
        self.client._turn(self.line)  # type: ignore[arg-type]

    def bind(self) -> None:
        self.turn()
        (hello,) = self.line.sent
        assert isinstance(hello, wire.Hello)
        self.turn(wire.Welcome(agent="omega-0", epoch=hello.epoch, session="s", phase=0.5))
        assert self.client.connected
        self.line.sent.clear()


def test_what_comes_brings_no_look_of_its_own() -> None:
    w = Watched()
    w.bind()
    assert len(w.looks) == 1, "the first one"
    for sequence in range(5):
        id = wire.RequestId("omega-0", 1, sequence)
        w.turn(wire.Ack(id=id, of="outcome"))
        w.turn(wire.Reply(id=id, status="ok"))
    assert len(w.looks) == 1
    assert max(w.line.waits) <= RARELY.spacing / 2
    w.client._look_ns = 0  # as if the time had come
    w.turn()
    w.turn()
    assert len(w.looks) == 2


def test_a_request_is_of_the_moment_at_which_it_goes() -> None:
    w = Watched()
    w.bind()
    w.client.wish("boss")
    w.turn()
    assert len(w.looks) == 2
    (request,) = w.line.sent
    assert isinstance(request, wire.Request)
    assert request.captured_ns == w.looks[-1]
    w.client._dialogue.expired(2**62)
    w.line.sent.clear()
    w.client.wish("health")
    w.client._look_ns = 0
    w.turn()
    assert len(w.looks) == 3, "and a look that was due anyway is enough for it"
    (request,) = w.line.sent
    assert request.captured_ns == w.looks[-1]


def test_a_request_and_what_is_to_be_reported_go_in_one_turn() -> None:
    """The clock goes on within a turn; an outcome that went in the next one would wake both ends
    for itself."""
    w = Watched()
    w.bind()
    outcome = wire.Outcome(id=wire.RequestId("omega-0", 1, 1), applied=True, seconds=1.0)
    w.client._dialogue.report(outcome, time.monotonic_ns())
    w.turn()
    assert w.line.sent == []
    w.client.wish("boss")
    w.turn()
    assert [type(one) for one in w.line.sent] == [wire.Request, wire.Outcome]


def test_a_picture_goes_with_its_own_time() -> None:
    """It may be older than the state that is shown with it."""
    now = time.monotonic_ns()
    pixels = np.zeros((24, 32, 3), np.uint8)
    sight = Sight(PACKED, now, pixels, pixels_ns=now - 20_000_000)
    client = Client("omega-0", "tcp://127.0.0.1:9", look=lambda: sight)
    client._see(now)
    shown = client._pictures.show(9, predict=False, handles=False)
    assert [info.at_ns for info in shown.infos] == [now - 20_000_000]

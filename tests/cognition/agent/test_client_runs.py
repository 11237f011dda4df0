"""cognition/agent/client.py: what becomes of questions, answers and directives where a run ends and
another one begins; the client's turns are the test's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from quiet import Quiet
from small_broker import ANSWER

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.client import Client, ClientSettings, Ending, Sight
from metabonk.cognition.agent.in_force import Local
from metabonk.cognition.protocol import wire
from metabonk.cognition.protocol.wire import Outcome, Reply, Request, RequestId
from metabonk.cognition.vocabulary import Compass, Directive, Hold, Verb
from metabonk.records import FieldGroup, GameState, Widget

RARELY = ClientSettings(every=3600.0, spacing=1000.0, pictures=False)
STAY = Directive(Verb.EXPLORE, Hold(), 0.5)
RETREAT = Directive(Verb.RETREAT, Compass(4), 4.0)


def sight(run: int = 1, health: float = 100.0, **fields: Any) -> Sight:
    packed = GameState(fields=FieldGroup.EVERYTHING, health=health, max_health=100.0).pack()
    return Sight(packed, time.monotonic_ns(), run=run, **fields)


class Player:
    """A client that a server knows, its line and what it put in force."""

    def __init__(self, *, local: Local | None = None, menus: bool = False) -> None:
        self.line, self.applied, self.takes = Quiet(), list[Directive](), True
        self.client = Client(
            "omega-0", "tcp://127.0.0.1:9", replace(RARELY, menus=menus), look=lambda: self.sight,
            apply=self._apply, local=local,
        )  # fmt: skip
        self.shows(sight())
        (hello,) = self.line.sent
        self.turn(wire.Welcome(agent="omega-0", epoch=hello.epoch, session="s", phase=0.5))
        self.line.sent.clear()

    def _apply(self, directive: Directive, until_ns: int) -> bool:
        if self.takes:
            self.applied.append(directive)
        return self.takes

    def shows(self, sight: Sight) -> None:
        self.sight = sight
        self.client._look_ns = 0
        self.turn()

    def turn(self, *came: wire.ToAgent) -> None:
        self.line.inbox += came
        self.client._turn(self.line)  # type: ignore[arg-type]

    def asks(self) -> RequestId:
        self.client.wish("boss")
        self.turn()
        (request,) = [one for one in self.line.sent if isinstance(one, Request)]
        self.line.sent.clear()
        return request.id

    def outcomes(self) -> list[Outcome]:
        """All that wait to be sent or acknowledged."""
        outbox = self.client._dialogue._outbox  # type: ignore[union-attr]
        return [waiting.outcome for waiting in outbox._waiting.values()]


def answer(id: RequestId) -> Reply:
    return Reply(id=id, status="ok", answer=ANSWER)


@pytest.mark.parametrize(
    ("end", "health", "alive", "change"),
    [("died", 0.0, False, -100.0), ("won", 70.0, True, -30.0), ("left", 130.0, True, 30.0)],
)
def test_what_was_asked_about_a_run_that_is_over_is_stale(
    end: Ending, health: float, alive: bool, change: float
) -> None:
    player = Player()
    id = player.asks()
    player.shows(sight(2, before=sight(1, health, end=end)))
    (decision,) = player.client.decisions
    assert (decision.id, decision.status, decision.reason) == (id, "stale", "its run is over")
    (outcome,) = player.outcomes()
    assert (outcome.id, outcome.status, outcome.applied) == (id, "stale", False)
    assert (outcome.alive, outcome.health_change) == (alive, change)
    player.turn(answer(id))
    assert player.applied == []
    second = player.asks()  # nobody waits for the old one
    player.turn(answer(second))
    assert player.applied == [RETREAT]
    counts = player.client.counts()
    assert (counts["stale"], counts["late"], counts["ok"]) == (1, 1, 1)


def test_a_run_that_ends_and_is_still_shown_ends_its_questions_too() -> None:
    """Its outcome is told then, and nothing that comes later may be followed."""
    player = Player()
    id = player.asks()
    player.shows(sight(health=0.0))
    assert [(o.id, o.status, o.alive) for o in player.outcomes()] == [(id, "stale", False)]
    player.turn(answer(id))
    assert player.applied == []


def test_what_is_asked_after_the_end_is_not_over_by_it() -> None:
    """About the menu behind it, of which there may be more than one sight."""
    player = Player()
    player.shows(sight(end="left"))
    id = player.asks()
    player.shows(sight(end="left"))
    assert player.client.counts()["under_way"] == 1
    assert player.outcomes() == []
    player.turn(answer(id))
    assert player.applied == [RETREAT]


def test_a_directive_is_followed_in_its_own_run_only() -> None:
    player = Player()
    player.turn(answer(player.asks()))
    assert player.client.directive() == RETREAT
    player.shows(sight())
    assert player.client.directive() == RETREAT
    player.shows(sight(2))
    assert player.client.directive() is None
    player.turn(answer(player.asks()))
    player.shows(sight(2))
    assert player.client.directive() == RETREAT, "the new run's own"


def test_a_run_that_began_anew_is_no_failure_of_the_server() -> None:
    """Nobody stands in for it."""
    player = Player()
    player.asks()
    player.shows(sight(2))
    assert not player.client._failed


def test_what_the_seat_refuses_is_no_failure_of_the_server() -> None:
    """There the next run began before this client saw it: nobody stands in until the next answer,
    but where the server gave none."""
    stood_in: list[Sight] = []

    def local(sight: Sight) -> Directive:
        stood_in.append(sight)
        return STAY

    player = Player(local=local)
    assert len(stood_in) == 1, "before the server was there"
    stood_in.clear()
    player.applied.clear()
    player.takes = False
    player.turn(answer(player.asks()))
    assert player.client.counts()["not_taken"] == 1
    player.takes = True
    player.shows(sight(2))
    player.turn()
    assert (stood_in, player.applied) == ([], [])
    player.turn(Reply(id=player.asks(), status="error", code="backend"))
    assert len(stood_in) == 1
    assert [directive.action for directive in player.applied] == [Verb.EXPLORE]


def test_a_button_that_may_not_be_pressed_leads_nobody() -> None:
    """Its screen is gone, or the goal forbids it: the server's answer leads nowhere, and whoever
    stands in does."""
    player = Player(local=lambda sight: STAY)
    player.turn(answer(player.asks()))
    player.shows(sight(2))
    player.applied.clear()
    click = vocabulary.spell(Directive(Verb.CLICK, vocabulary.Widget(1), 4.0))
    player.turn(Reply(id=player.asks(), status="ok", answer=click))
    assert player.client.counts()["not_taken"] == 1
    assert [directive.action for directive in player.applied] == [Verb.EXPLORE]


def screen(name: str, run: int) -> Sight:
    widgets = [Widget(0.1, 0.1, 0.9, 0.2, True, 0, name)]
    packed = GameState(fields=FieldGroup.EVERYTHING, menu=name, widgets=widgets).pack()
    return Sight(packed, time.monotonic_ns(), run=run)


def test_a_menus_question_of_a_run_that_is_over_is_asked_about_the_next_screen() -> None:
    """In the very look that shows it: nobody waits for what was given up."""
    player = Player(menus=True)
    player.shows(screen("Resume", 1))
    player.shows(screen("Play", 2))
    asked = [one for one in player.line.sent if isinstance(one, Request)]
    assert [one.question for one in asked] == ["menu", "menu"]
    assert [GameState.unpack(one.state).menu for one in asked] == ["Resume", "Play"]

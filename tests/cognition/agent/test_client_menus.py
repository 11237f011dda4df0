"""A client whose navigator has a menu: whose questions are asked, and who may press what."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_broker import ANSWER, Game, serving, until

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.client import Client, ClientSettings
from metabonk.cognition.protocol.wire import Reply, Request
from metabonk.cognition.vocabulary import Directive, Priority, Verb
from metabonk.records import FieldGroup, GameState, Offer, Widget

# Of the second button.
CLICK = vocabulary.spell(Directive(Verb.CLICK, vocabulary.Widget(2), 4.0, Priority.CRITICAL))
PLAYING = GameState(fields=FieldGroup.EVERYTHING, health=100.0, max_health=100.0, playing=True)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/c.sock"


def menu(*texts: str, name: str = "Main", health: float = 100.0) -> GameState:
    widgets = [Widget(0.1, 0.1 * i, 0.9, 0.1 * i + 0.08, True, 0, t) for i, t in enumerate(texts)]
    return GameState(
        fields=FieldGroup.EVERYTHING, health=health, max_health=100.0, menu=name, widgets=widgets
    )


def test_while_the_navigator_has_a_menu_only_its_questions_are_asked(url: str) -> None:
    """What became urgent meanwhile is asked when the menu is over."""

    def answer(request: Request) -> Reply:
        press = {"kind": "noop"} if request.question == "menu" else ANSWER
        return Reply(id=request.id, status="ok", answer=press)

    settings = ClientSettings(every=0.05, menus=True, pictures=False, linger=0.2)
    client = Client("omega-0", url, settings)
    with serving(url, answer) as server, client, Game(client) as game:
        until(lambda: len(server.requests) >= 3, "questions of strategy")
        game.state = menu("Warden", "Back")
        until(lambda: client.counts()["menus"]["menus"] == 1, "the menu")
        first = len(server.requests)
        time.sleep(0.1)
        game.state = menu("Warden", "Back", health=10.0)
        until(lambda: client.counts()["menus"]["asked"] >= 3, "questions about the menu")
        time.sleep(0.5)  # ten periods
        asked = {request.question for request, _ in server.requests[first + 1 :]}
        assert asked == {"menu"}
        game.state = PLAYING
        until(lambda: "health" in {request.trigger for request, _ in server.requests}, "health")
        urgent = next(request for request, _ in server.requests if request.trigger == "health")
        assert urgent.question == "strategy"
        assert GameState.unpack(urgent.state).menu == "None"


def clicked(
    url: str, shown: GameState, then: Callable[[Game, Client], None], **given: str | bool
) -> tuple[list[Directive], Client]:
    """What reached a game that showed a screen when it was asked about, where the answer was to
    press the second button and `then` happened before it came."""
    reached: list[tuple[Directive, int]] = []

    def apply(directive: Directive, until_ns: int) -> bool:
        reached.append((directive, until_ns))
        assert until_ns - time.monotonic_ns() <= 0.2e9  # not on whatever comes up later
        return True

    settings = ClientSettings(every=3600.0, pictures=False, linger=0.2, **given)  # type: ignore[arg-type]
    client = Client("omega-0", url, settings, apply=apply)
    game = Game(client, frames=False)
    game.state = shown

    def answer(request: Request) -> Reply:
        if request.question == "menu":
            return Reply(id=request.id, status="rejected")
        then(game, client)
        time.sleep(0.1)  # several looks
        return Reply(id=request.id, status="ok", answer=CLICK)

    with serving(url, answer), client, game:
        until(lambda: client.connected and client.counts()["sights"] > 3, "sights")
        client.wish()
        until(lambda: client.counts()["ok"] >= 1, "the answer")
        client.check()
    return [directive for directive, _ in reached], client


def nothing(game: Game, client: Client) -> None:
    pass


def test_a_strategys_press_goes_to_the_screen_that_was_asked_about(url: str) -> None:
    pressed, client = clicked(url, menu("Back", "Resume"), nothing)
    assert [directive.target for directive in pressed] == [vocabulary.Widget(2)]
    assert client.counts()["applied"] == 1


@pytest.mark.parametrize(
    "other",
    [
        menu("Resume", "Back"),
        menu("Back", "Resume", name="Other"),
        menu("Back", "Quit"),
        menu("Back"),
        PLAYING,
    ],
    ids=["order", "name", "texts", "fewer", "playing"],
)
def test_on_another_screen_it_presses_nothing(url: str, other: GameState) -> None:
    def change(game: Game, client: Client) -> None:
        game.state = other

    pressed, client = clicked(url, menu("Back", "Resume"), change)
    assert pressed == []
    assert (client.counts()["applied"], client.counts()["not_taken"]) == (0, 1)


def test_what_the_goal_does_not_name_is_pressed_by_no_server(url: str) -> None:
    assert clicked(url, menu("Back", "Delete save"), nothing)[0] == []
    asked_for = clicked(url, menu("Back", "Quit"), nothing, goal="Survive, then quit")
    assert len(asked_for[0]) == 1


def test_while_the_navigator_has_a_menu_nobody_else_presses(url: str) -> None:
    """Not even on the same buttons: offers, which were strategy's, are none any more."""
    shown = menu("Sword", "Bow")
    shown.offers = [Offer(), Offer()]
    for number, widget in enumerate(shown.widgets, 1):
        widget.offer = number

    def opens(game: Game, client: Client) -> None:
        game.state = menu("Sword", "Bow")
        until(lambda: client.counts()["menus"]["menus"] == 1, "the menu")

    assert len(clicked(url, shown, nothing, menus=True)[0]) == 1
    pressed, client = clicked(url, shown, opens, menus=True)
    assert pressed == []
    assert client.counts()["not_taken"] == 1

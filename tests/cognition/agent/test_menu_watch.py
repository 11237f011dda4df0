"""The navigator as a client runs it: muting, pressing, and doing without a server."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metabonk.cognition.agent.decision import Decision
from metabonk.cognition.agent.menu_watch import MenuWatch
from metabonk.cognition.agent.tally import Sight, record_of
from metabonk.cognition.protocol.wire import RequestId
from metabonk.cognition.question import Press
from metabonk.records import FieldGroup, GameState, Widget

FIELDS = FieldGroup.PLAYER | FieldGroup.MENU | FieldGroup.WIDGETS


@dataclass
class Game:
    """What a watch does to a game, and the sights that it is shown."""

    reachable: bool = True
    pressed: list[str] = field(default_factory=list)
    muted: list[bool] = field(default_factory=list)
    followed: list[RequestId] = field(default_factory=list)
    takes: bool = True
    wishes: int = 0
    now: int = 1_000_000_000

    def watch(self, goal: str = "start") -> MenuWatch:
        return MenuWatch(
            goal,
            press=self._press,
            mute=self.muted.append,
            wish=self._wish,
            followed=self.followed.append,
        )

    def show(self, watch: MenuWatch, *texts: str) -> None:
        """A menu of these buttons; without any, a running game."""
        self.now += 100_000_000
        widgets = [
            Widget(0.1, 0.1 * i, 0.9, 0.1 * i + 0.08, True, 0, t) for i, t in enumerate(texts)
        ]
        state = GameState(
            fields=FIELDS, playing=not texts, menu="Menu" if texts else "None", widgets=widgets
        )
        sight = Sight(state.pack(), self.now, None)
        watch.look(sight, record_of(sight.packed))

    def _press(self, press: Press) -> bool:
        self.pressed.append(press.text)
        return self.takes

    def _wish(self) -> bool:
        self.wishes += self.reachable
        return self.reachable


def test_nothing_is_let_through_before_the_first_look_and_while_a_menu_is_open() -> None:
    game = Game()
    watch = game.watch()
    assert game.muted == [True]
    game.show(watch)
    assert game.muted == [True, False]
    game.show(watch, "Play")
    assert game.muted == [True, False, True]
    game.show(watch)
    assert game.muted == [True, False, True, False]
    game.show(watch)
    assert len(game.muted) == 4  # told only what changes


def test_with_a_server_it_asks_and_waits() -> None:
    game = Game()
    watch = game.watch()
    for _ in range(5):
        game.show(watch, "Settings", "Play")
    assert (game.wishes, game.pressed) == (1, [])


def test_without_a_server_texts_are_read_at_once() -> None:
    game = Game(reachable=False)
    watch = game.watch()
    for _ in range(3):
        game.show(watch, "Settings", "Play")
    assert (game.wishes, game.pressed) == (0, ["Play"])
    assert watch.counts.fallbacks == 1
    game.reachable = True
    game.show(watch, "Warden", "Back")
    assert game.wishes == 1


def test_frames_are_not_needed_where_states_speak() -> None:
    game = Game()
    watch = game.watch()
    state = GameState(fields=FIELDS, playing=True, menu="None")
    sight = Sight(state.pack(), 5, np.zeros((4, 4, 3), np.uint8))
    watch.look(sight, record_of(sight.packed))
    assert not watch.active


def answer(game: Game, press: Press | None, sequence: int) -> Decision:
    id = RequestId("omega-0", 1, sequence)
    return Decision(id, "ok", "menu", game.now, game.now, game.now, press=press, question="menu")


def test_an_answer_was_followed_once_its_press_was_taken() -> None:
    """Neither when it came, nor where the screen is another one by then or the game refuses."""
    game = Game()
    watch = game.watch()
    for _ in range(2):
        game.show(watch, "Settings", "Play")
    watch.decided(answer(game, Press("click", 2, 0.5, 0.14, "Play"), 7))
    assert game.followed == []
    game.show(watch, "Settings", "Play")
    assert (game.pressed, [id.sequence for id in game.followed]) == (["Play"], [7])
    for sequence, takes, shown in ((8, True, "Other"), (9, False, "Warden")):
        game.takes = takes
        for _ in range(2):
            game.show(watch, "Back", "Warden")
        watch.decided(answer(game, Press("click", 2, 0.5, 0.14, "Warden"), sequence))
        for _ in range(2):
            game.show(watch, "Back", shown)
        game.show(watch)
    assert [id.sequence for id in game.followed] == [7]
    assert watch.counts.stale + watch.not_taken >= 1


def test_doing_nothing_is_followed_too() -> None:
    game = Game()
    watch = game.watch()
    for _ in range(2):
        game.show(watch, "Settings", "Play")
    watch.decided(answer(game, Press("noop"), 3))
    game.show(watch, "Settings", "Play")
    assert (game.pressed, [id.sequence for id in game.followed]) == ([], [3])

"""BonkLink as it is shipped, in a game of our stand-ins: its menus, and who presses in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rehearsal import Rehearsal, agent_of, until, wait_for

from metabonk.link.bonklink import Tick
from metabonk.link.wire import InputSnapshot
from metabonk.records import Action, OfferKind, Widget


def pixels(left: float, low: float, right: float, high: float) -> tuple[float, ...]:
    """Of the screen, from the bottom left, as a widget says it."""
    return left / 1280, 1 - high / 720, right / 1280, 1 - low / 720


def place_of(widget: Widget) -> tuple[float, ...]:
    return widget.x0, widget.y0, widget.x1, widget.y1


def middle(widget: Widget) -> tuple[float, float]:
    return 0.5 * (widget.x0 + widget.x1), 0.5 * (widget.y0 + widget.y1)


def test_offers_are_chosen_and_clicked(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    with agent_of(running) as agent:
        running.do("levelup")
        state = until(agent, lambda t: t.state.menu == "LevelUp").state
        assert [offer.text for offer in state.offers] == ["Weapon 0", "Weapon 1", "Eile"]
        assert [offer.kind for offer in state.offers] == [
            OfferKind.WEAPON,
            OfferKind.WEAPON,
            OfferKind.TOME,
        ]
        assert [offer.item for offer in state.offers] == [1, 2, 1]  # Bow, Axe; Speed
        assert [offer.rarity for offer in state.offers] == [0, 1, 2]
        assert [offer.level for offer in state.offers] == [1, 2, 3]
        assert state.offers[0].changes[0].amount == 0.25
        widget = state.widgets[1]
        np.testing.assert_allclose(place_of(widget), pixels(400, 202, 600, 602), rtol=1e-5)
        assert (state.paused, widget.offer, widget.enabled) == (True, 2, True)
        agent.send(Action(choice=2))
        until(agent, lambda t: t.state.menu == "None")
        assert running.show()["pressed"] == 2
        running.do("levelup")
        state = until(agent, lambda t: t.state.menu == "LevelUp").state
        agent.send(Action(click=middle(state.widgets[2])))
        until(agent, lambda t: t.state.menu == "None")
        assert running.show()["pressed"] == 23
        running.do("pause")
        state = until(agent, lambda t: t.state.menu == "Pause").state
        # Not the objects' names, but where there are no words.
        assert [w.text for w in state.widgets] == ["Resume", "B_Button(Clone)", "Quit"]
        agent.send(Action(click=(0.05, 0.05)))  # beside them
        agent.poll(0.2)
        assert running.show()["pressed"] == 23
        agent.send(Action(choice=1))
        until(agent, lambda t: t.state.menu == "None")
        running.do("die")
        assert not until(agent, lambda t: t.state.menu == "Death").state.playing
        agent.reset(seed=7)
        until(agent, lambda t: t.state.playing)
        assert running.show()["seeded"] == 7
    running.stop()


@pytest.mark.parametrize("drawn_by", ["camera", "screen"])
def test_a_menu_is_where_it_is_seen(bonklink: Callable[..., Rehearsal], drawn_by: str) -> None:
    """Also where its canvas was put before the camera, so that it is in the pictures: its corners
    are places in the world then. `screen` is the control: without pictures no canvas is touched."""
    running = bonklink("[Capture]\nFrameHz = 0\n" if drawn_by == "screen" else "")
    mode = {"camera": "ScreenSpaceCamera", "screen": "ScreenSpaceOverlay"}[drawn_by]
    with agent_of(running) as agent:

        def canvas(name: str) -> None:
            wanted = f"canvas {name} {mode}"
            wait_for(lambda: True if wanted in running.do("canvases") else None)

        running.do("levelup")
        canvas("LevelupScreen")
        state = until(agent, lambda t: t.state.menu == "LevelUp").state
        for i, widget in enumerate(state.widgets):
            left, low = 100 + 300 * i, 200 + 2 * i
            np.testing.assert_allclose(
                place_of(widget), pixels(left, low, left + 200, low + 400), atol=1e-4
            )
        agent.send(Action(click=middle(state.widgets[1])))
        until(agent, lambda t: t.state.menu == "None")
        assert running.show()["pressed"] == 2
        running.do("encounter")  # whose buttons have another canvas in between
        canvas("EncounterUi")
        state = until(agent, lambda t: t.state.menu == "Encounter").state
        np.testing.assert_allclose(
            place_of(state.widgets[0]), pixels(100, 400, 300, 460), atol=1e-4
        )
        agent.send(Action(click=middle(state.widgets[2])))
        until(agent, lambda t: t.state.menu == "None")
        assert running.show()["pressed"] == 24
    running.stop()


def test_every_menu_is_in_reading_order(bonklink: Callable[..., Rehearsal]) -> None:
    """However the game and Unity list the buttons; offers go with their widgets."""
    running = bonklink()
    with agent_of(running) as agent:
        running.do("levelup")
        state = until(agent, lambda t: t.state.menu == "LevelUp").state
        assert [w.text for w in state.widgets] == ["Weapon 0", "Weapon 1", "Eile"]
        assert [(w.offer, o.text) for w, o in zip(state.widgets, state.offers, strict=True)] == [
            (1, "Weapon 0"),
            (2, "Weapon 1"),
            (3, "Eile"),
        ]
        agent.send(Action(choice=3))
        until(agent, lambda t: t.state.menu == "None")
        running.do("encounter")
        state = until(agent, lambda t: t.state.menu == "Encounter").state
        rows = [(w.text, w.offer, w.enabled) for w in state.widgets]
        assert rows == [("A curse", 1, False), ("A blessing", 2, True), ("Leave", 3, True)]
        assert [offer.text for offer in state.offers] == ["A curse", "A blessing", "Leave"]
        agent.send(Action(choice=2))
        until(agent, lambda t: t.state.menu == "None")
        running.do("open")
        state = until(agent, lambda t: t.state.menu == "Chest").state
        assert [(w.text, w.offer) for w in state.widgets] == [("Open", 0), ("Take", 0)]
        agent.send(Action(choice=1))
        until(agent, lambda t: t.state.menu == "None")
        assert running.show()["pressed"] == 358
    running.stop()


def test_of_too_many_the_first_are_told(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    with agent_of(running) as agent:
        running.do("crowd 40")
        state = until(agent, lambda t: t.state.menu == "Encounter").state
        assert [w.text for w in state.widgets] == [f"Reward {i}" for i in range(32)]
        assert [o.text for o in state.offers] == [f"Reward {i}" for i in range(8)]
        # Who has no room among the offers selects none of them.
        assert [w.offer for w in state.widgets] == [*range(1, 9), *[0] * 24]
    running.stop()


def inputs_of(tick: Tick) -> InputSnapshot:
    assert tick.trailers.input is not None
    return tick.trailers.input


SNAPSHOT = "[Capture]\nEnableInputSnapshot = true\n"


def test_what_the_person_does_is_seen(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink(f"{SNAPSHOT}[Control]\nLookDegreesPerSecond = 180\n")
    running.do("stick 0.5 -1")
    with agent_of(running) as agent:
        seen = inputs_of(until(agent, lambda t: inputs_of(t).move[0] > 0))
        assert seen.move == (0.5, -1)
        assert seen.look == (0, 0)
        running.do("turn 90 -45")  # degrees a second, to the right and up
        seen = inputs_of(until(agent, lambda t: inputs_of(t).look[0] > 0))
        assert seen.look == pytest.approx((0.5, 0.25), abs=0.01)
        running.do("turn -9000 0")  # faster than any action
        assert inputs_of(until(agent, lambda t: inputs_of(t).look[0] < 0)).look[0] == -1
        running.do("turn 0 0")
        # What an agent turns is none of the person's doing.
        until(agent, lambda t: inputs_of(t).look == (0, 0))
        yaw = running.show()["yaw"]
        for _ in range(20):
            agent.send(Action(look=(0.5, 0)))
            assert inputs_of(until(agent, lambda t: True)).look == pytest.approx((0, 0), abs=5e-3)
        assert running.show()["yaw"] != yaw
    running.stop()


def test_where_the_person_presses_in_a_menu_is_seen(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink(SNAPSHOT)
    with agent_of(running) as agent:

        def pressed() -> tuple[float, float]:
            seen = inputs_of(until(agent, lambda t: inputs_of(t).ui_click))
            running.do("release")
            until(agent, lambda t: not inputs_of(t).ui_click)
            return seen.click

        running.do("levelup")
        until(agent, lambda t: t.state.menu == "LevelUp")
        running.do("select 1")
        running.do("submit")  # which closes the menu within its frame
        assert pressed() == pytest.approx((500 / 1280, 1 - 402 / 720), abs=1e-4)
        assert running.show()["pressed"] == 2
        running.do("levelup")
        until(agent, lambda t: t.state.menu == "LevelUp")
        running.do("mouse 160 540")  # pixels from the bottom left
        running.do("mouse 1000 10")  # dragged: a press is where it began
        assert pressed() == pytest.approx((0.125, 0.25), abs=1e-5)
        # The controls: a key with nothing chosen, and a button that is held without a menu.
        running.do("select none")
        running.do("submit")
        for _ in range(5):
            assert not inputs_of(until(agent, lambda t: True)).ui_click
        running.do("release")
        agent.send(Action(choice=1))
        until(agent, lambda t: t.state.menu == "None")
        running.do("mouse 160 540")
        for _ in range(5):
            assert not inputs_of(until(agent, lambda t: True)).ui_click
    running.stop()

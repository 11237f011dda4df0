"""BonkLink as it is shipped, in a game of our stand-ins, played by our own client."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rehearsal import Rehearsal, wait_for

from metabonk.link.bonklink import Client, Tick
from metabonk.link.wire import InputSnapshot
from metabonk.records import Action, EntityFlag, FieldGroup, OfferKind, PickupKind, Slot, Widget


def agent_of(game: Rehearsal, **options: object) -> Client:
    return Client(f"tcp://127.0.0.1:{game.port}", protocol="v2", **options)  # type: ignore[arg-type]


def until(agent: Client, fits: Callable[[Tick], bool], act: Action | None = None) -> Tick:
    """Plays until a tick fits."""

    def one() -> Tick | None:
        tick = agent.poll(1.0)
        if tick is None:
            return None
        if fits(tick):
            return tick
        if act is not None:
            agent.send(act)
        return None

    return wait_for(one)


def test_every_field_comes_from_the_games_classes(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    running.do("spawn 3")
    running.do("drop")
    running.do("chest")
    running.do("kill")
    with agent_of(running) as agent:
        tick = until(agent, lambda t: t.state.time > 1.2)
        state = tick.state
        assert state.fields == FieldGroup.EVERYTHING
        assert (state.health, state.max_health, state.shield) == (80, 100, 5)
        assert (state.xp, state.gold, state.level, state.kills, state.score) == (12, 34.5, 4, 1, 1)
        assert (state.tier, state.character) == (2, 2)
        assert (state.playing, state.paused, state.menu, state.grounded) == (
            True,
            False,
            "None",
            True,
        )
        assert state.yaw == pytest.approx(0, abs=1e-6)  # facing Unity's +x is east
        assert state.weapons[0] == Slot(2, 3)
        assert state.tomes[0] == Slot(2, 2)
        assert [e.health for e in state.entities] == [11, 12]
        assert [e.flags for e in state.entities] == [EntityFlag.BOSS, EntityFlag.ELITE]
        assert [e.kind for e in state.entities] == [2, 3]
        assert state.entities[0].position == (2, -3, 2)  # Unity's (2, 2, -3)
        assert len({e.id for e in state.entities}) == 2
        chest, gold = state.pickups
        assert (chest.kind, gold.kind, gold.value) == (PickupKind.CHEST, PickupKind.GOLD, 7)
        assert gold.position == (1, 3, 2)
        first = state.entities[0].id
        running.do("despawn")
        after = until(agent, lambda t: len(t.state.entities) == 1).state
        assert after.entities[0].id != first
        assert after.kills == 1  # a despawned one was not killed
        assert after.dt > 0
    running.stop()


def test_actions_reach_the_games_own_methods(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    with agent_of(running) as agent:
        start = until(agent, lambda t: True).state.position
        moved = until(agent, lambda t: t.state.position[0] > start[0] + 1, Action(move=(1, 0)))
        assert moved.state.velocity[0] == pytest.approx(6)
        until(agent, lambda t: t.state.position[1] > 1, Action(move=(0, 1)))
        agent.send(Action(jump=True, interact=True, look=(1, 0), slide=True))
        wait_for(lambda: s if (s := running.show())["jumps"] >= 1 else None)
        seen = running.show()
        assert seen["tried"] >= 1
        assert seen["slides"] >= 1
        assert seen["yaw"] > 0
        agent.send(Action())
        wait_for(lambda: s if (s := running.show())["sliding"] == 0 else None)
    # The agent is gone: the person's stick counts again, which says nothing.
    wait_for(lambda: True if running.show()["sliding"] == 0 else None)
    with agent_of(running) as agent:
        here = until(agent, lambda t: True).state.position
        later = until(agent, lambda t: t.skipped + t.sequence > 20).state.position
        assert later == here
    running.stop()


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
        np.testing.assert_allclose(place_of(widget), pixels(400, 198, 600, 598), rtol=1e-5)
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
            left, low = 100 + 300 * i, 200 - 2 * i
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


def test_scores_stay_here_once_an_agent_has_played(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    assert running.told("score") == "uploaded 1 stored 1"  # the control: a person's score leaves
    with agent_of(running) as agent:
        until(agent, lambda t: True)
        assert (
            running.told("score") == "uploaded 2 stored 2"
        )  # one who only watches changes nothing
        agent.send(Action(move=(1, 0)))
        until(agent, lambda t: t.state.velocity[0] > 0)
        lines = running.do("score")
        assert "uploaded 2 stored 2" in lines
        assert any("no scores and statistics are uploaded" in line for line in lines)
    assert running.told("score") == "uploaded 2 stored 2"  # nor after it has gone
    running.do("unload")
    assert running.told("score") == "uploaded 2 stored 2"  # nor without the plugin
    running.do("reload")
    assert running.told("score") == "uploaded 2 stored 2"  # nor with another that only watches
    running.stop()


def test_nothing_is_injected_where_statistics_would_leave(
    bonklink: Callable[..., Rehearsal],
) -> None:
    """A version of the game whose scores can be kept back, and nothing else."""
    running = bonklink(absent=["Steamworks.SteamUserStats", "Il2CppSteamworks.SteamUserStats"])
    assert any("agents only watch here: how statistics leave" in line for line in running.log)
    with agent_of(running) as agent:
        here = until(agent, lambda t: True).state.position
        for _ in range(10):
            agent.send(Action(move=(1, 0), jump=True))
            until(agent, lambda t: True)
        assert until(agent, lambda t: True).state.position == here
        lines = running.do("show")
        assert any("no action is injected: how statistics leave" in line for line in lines)
    assert running.show()["jumps"] == 0
    assert running.told("score") == "uploaded 1 stored 1"
    running.stop()


@pytest.mark.parametrize("setting", ["InjectActions = false", "BlockUploads = false"])
def test_nothing_is_injected_where_it_may_not(
    bonklink: Callable[..., Rehearsal], setting: str
) -> None:
    running = bonklink(f"[Control]\n{setting}\n")
    with agent_of(running) as agent:
        here = until(agent, lambda t: True).state.position
        for _ in range(10):
            agent.send(Action(move=(1, 0), jump=True))
            until(agent, lambda t: True)
        assert until(agent, lambda t: True).state.position == here
    assert running.show()["jumps"] == 0
    assert running.told("score") == "uploaded 1 stored 1"
    running.stop()


def test_pictures_are_the_worlds_and_the_agents_menus(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink("[Capture]\nFrameFormat = raw_rgb\nAgentCanvases = LevelupScreen\n")
    running.do("canvas OtherMod")
    with agent_of(running) as agent:
        frame = until(agent, lambda t: t.pixels is not None).pixels
        assert frame is not None
        assert frame.shape == (24, 32, 3)
        assert len(np.unique(frame[:-1])) == 1  # the number of the frame; the lowest row is another
        moved = until(
            agent,
            lambda t: t.pixels is not None and int(t.pixels[-1, 0, 0]) >= 10,
            Action(move=(1, 0)),
        )
        assert moved.pixels is not None
        assert moved.frame_capture_ns < moved.capture_ns  # it came back from the GPU later
    wanted = "canvas LevelupScreen ScreenSpaceCamera"
    shown = wait_for(lambda: lines if wanted in (lines := running.do("canvases")) else None)
    assert "canvas OtherMod ScreenSpaceOverlay" in shown
    running.stop()


def test_pictures_through_the_ring(bonklink: Callable[..., Rehearsal], tmp_path: Path) -> None:
    name = f"rehearsal-{tmp_path.name}"[:60]
    running = bonklink(f"[Ring]\nEnabled = true\nName = {name}\n")
    with agent_of(running) as agent:
        tick = until(agent, lambda t: t.frame is not None)
        assert agent.uses_ring
        assert tick.pixels is not None
        assert tick.pixels.shape == (24, 32, 3)
        del tick
    running.stop()
    assert not Path(f"/dev/shm/metabonk-ring-{name}").exists()


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
        assert pressed() == pytest.approx((500 / 1280, 1 - 398 / 720), abs=1e-4)
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


def test_settings_that_cannot_be_are_said_and_the_game_goes_on(
    bonklink: Callable[..., Rehearsal],
) -> None:
    running = bonklink("[Capture]\nJpegQuality = 900\n")
    assert any("JpegQuality = 900: a whole number 1..100" in line for line in running.log)
    running.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = bonklink(f"[Link]\nPort = {taken.getsockname()[1]}\n")
        assert any("set another Port" in line for line in running.log)
        running.stop()
    running = bonklink("[Link]\nHost = 0.0.0.0\n")
    assert any("needs a Token" in line for line in running.log)
    running.stop()


def test_a_fault_in_the_game_is_counted_and_passes(bonklink: Callable[..., Rehearsal]) -> None:
    running = bonklink()
    with agent_of(running) as agent:
        until(agent, lambda t: True)
        running.do("break")
        for _ in range(60):
            agent.poll(0.02)
        lines = running.do("mend")
        faults = [line for line in lines if "reading the game failed" in line]
        assert faults  # said, at the first, second, fourth, ... time
        assert len(faults) < 12
        assert "NullReferenceException" in faults[0]
        until(agent, lambda t: t.state.weapons[0].level == 3)
    running.stop()


def test_a_second_plugin_keeps_off(
    runtime: list[str | Path], rehearsal_program: Path, tmp_path: Path
) -> None:
    (tmp_path / "com.metabonk.bonklink.cfg").write_text(
        "[Link]\nPort = 0\n[Ring]\nEnabled = false\n"
    )
    (tmp_path / "com.metabonk.research.cfg").write_text(
        f"[Memory]\nEnabled = true\nFolder = {tmp_path}\n"
    )
    running = Rehearsal([*runtime, rehearsal_program], "both", tmp_path)
    assert any(
        "another plugin, com.metabonk.bonklink, drives the game" in line for line in running.log
    )
    assert not (tmp_path / "megabonk_env_0").exists()
    running.stop()

"""BonkLink as it is shipped, in a game of our stand-ins, played by our own client."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rehearsal import Rehearsal, agent_of, summaries, until, wait_for

from metabonk.records import Action, EntityFlag, FieldGroup, PickupKind, Slot


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


def test_there_is_no_picture_without_a_camera(bonklink: Callable[..., Rehearsal]) -> None:
    """Between two scenes: what was drawn last would go out as of now."""
    running = bonklink("[Capture]\nFrameFormat = raw_rgb\n")
    with agent_of(running) as agent:
        until(agent, lambda t: t.pixels is not None)
        running.do("camera off")
        for _ in range(10):  # pictures of before are on the way
            until(agent, lambda t: True)
        for _ in range(30):
            assert until(agent, lambda t: True).pixels is None
        running.do("camera on")
        until(agent, lambda t: t.pixels is not None)
    assert summaries(running, "show", "agent 1 is gone after")["captures skipped"] > 10
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


def test_what_happened_on_the_link_is_said_when_an_agent_goes(
    bonklink: Callable[..., Rehearsal],
) -> None:
    running = bonklink("[Capture]\nFrameFormat = raw_rgb\n[Control]\nHoldMs = 50\n")
    with agent_of(running) as agent:
        until(agent, lambda t: t.pixels is not None)
        for _ in range(5):
            agent.send(Action(move=(1, 0)))
            until(agent, lambda t: True)
        running.do("gpu 2 lost")
        for _ in range(20):
            until(agent, lambda t: True)
        running.do("gpu 1000 kept")
        for _ in range(60):
            until(agent, lambda t: True)
    said = summaries(running, "show", "agent 1 is gone after")
    assert said["states sent"] > 80
    assert said["frames sent"] > 0
    assert said["actions received"] == 5
    assert said["ticks without one for too long"] > 10
    assert said["captures failed"] > 0
    assert said["captures skipped"] > 0
    assert 0 not in said.values()  # only what is not zero
    assert not {"resets", "faults", "protocol errors", "states without an agent"} & said.keys()
    with agent_of(running) as agent:
        until(agent, lambda t: True)
        agent.reset(seed=1)
        until(agent, lambda t: t.state.time < 0.5)
    said = summaries(running, "show", "agent 2 is gone after")
    assert said["resets"] == 1
    assert "actions received" not in said  # since this one came
    said = summaries(running, "unload", "the link in all")
    assert (said["connections"], said["actions received"], said["resets"]) == (2, 5, 1)
    assert said["states without an agent"] > 0
    running.stop()


def test_settings_that_cannot_be_are_said_and_the_game_goes_on(
    bonklink: Callable[..., Rehearsal],
) -> None:
    running = bonklink("[Capture]\nJpegQuality = 900\n")
    assert any("JpegQuality = 900: a whole number 1..100" in line for line in running.log)
    running.stop()
    running = bonklink("[Link]\nHost = 0.0.0.0\n")
    assert any("needs a Token" in line for line in running.log)
    running.stop()


def test_a_plugin_that_cannot_be_leaves_no_ring(
    bonklink: Callable[..., Rehearsal], shm_name: str
) -> None:
    """While its game goes on; so that it can be loaded again."""
    ring = Path(f"/dev/shm/metabonk-ring-{shm_name}")
    settings = f"[Ring]\nEnabled = true\nName = {shm_name}\n"
    running = bonklink(f"{settings}[Policy]\nLibrary = /nowhere/policy.so\n")
    assert any("there is no such library" in line for line in running.log)
    assert not ring.exists()
    running.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = bonklink(f"{settings}[Link]\nPort = {port}\n")
        assert any("set another Port" in line for line in running.log)
        assert not ring.exists()
    said = running.do("reload")
    assert f"log info listening on 127.0.0.1:{port}" in said
    assert not [line for line in said if "no frame ring" in line]
    assert ring.exists()
    running.stop()
    assert not ring.exists()


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

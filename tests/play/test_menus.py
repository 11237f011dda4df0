"""The menu navigator beside the live loop: the wanted run begins, whatever the policy presses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from sessions import HZ, session_at
from small_broker import serving, until

from metabonk.cognition.agent.client import ClientSettings
from metabonk.cognition.menus.goal import Goal
from metabonk.cognition.menus.menu import MenuRules, Screen
from metabonk.cognition.protocol.wire import Reply, Request
from metabonk.games.arena import level_of
from metabonk.games.level import Reward
from metabonk.games.scripted import RandomPolicy
from metabonk.play.ledger import Gate, read_ledger
from metabonk.play.live_games import ArenaLive
from metabonk.play.loop import Live, LoopSettings, PythonDecider
from metabonk.play.system2 import System2
from metabonk.records import ACTION_LAYOUT, GameState

GOAL = "Start Tier 2 run with Rogue"
ROGUE, TIER = 5, 2  # as states count them


def live_from_menu(folder: Path) -> Live:
    """An arena at its main menu, and a policy that presses whatever can be pressed."""
    session = session_at(folder, (24, 32), 1)
    decider = PythonDecider(RandomPolicy(3, ACTION_LAYOUT), "random")
    # Without a pause: what a policy does with one is its own affair.
    level = level_of({"start": "main_menu"}, 1).pack()
    game = ArenaLive(level, session.setup.seeds, (24, 32), session, HZ)
    return Live(game, [decider], LoopSettings(hz=HZ, cpu=-1, spin=0.0, stale=30.0), session)


def test_the_wanted_run_begins_whatever_the_policy_presses(tmp_path: Path) -> None:
    live, url, rules = live_from_menu(tmp_path / "s"), f"ipc://{tmp_path}/b.sock", MenuRules()
    settings = ClientSettings(every=0.2, menus=True, menu_goal=GOAL, pictures=False, linger=0.2)
    system2 = System2(live, url, ["omega"], settings, reward=Reward(damage_dealt=0.0))
    live.beside.append(system2)
    playing: list[GameState] = []

    def answer(request: Request) -> Reply:
        state = GameState.unpack(request.state)
        if request.question != "menu":
            playing.append(state)
            return Reply(id=request.id, status="rejected")
        press = rules.press("omega", Goal.of(request.goal), Screen.of(state))
        return Reply(id=request.id, status="ok", answer=dataclasses.asdict(press))

    with serving(url, answer):
        live.start()
        try:
            until(lambda: any(s.menu == "None" and s.playing for s in playing), "the run")
        finally:
            live.stop()
    begun = next(s for s in playing if s.menu == "None" and s.playing)
    assert (begun.character, begun.tier) == (ROGUE, TIER)
    menus = system2.counts()[0]["menus"]
    assert menus["presses"] >= 3
    assert menus["fallbacks"] == menus["refused"] == menus["unmet"] == 0
    ticks = read_ledger(tmp_path / "s").ticks
    muted = (ticks["gate"] & Gate.MUTED) != 0
    assert muted.sum() > 3  # else the policy wanted nothing
    pressed = ticks["action"][:, 9] >= 0.5
    directed = (ticks["gate"] & Gate.DIRECTED) != 0
    chosen = ticks[pressed & directed]["action"][:, 9]
    # Play, Rogue, Desert, in this order; a press that a late game never saw is made again.
    assert [c for i, c in enumerate(chosen) if i == 0 or chosen[i - 1] != c][:3] == [1, 5, 2]
    begins = int(ticks["tick"][pressed & directed][2])
    assert not (pressed & ~directed)[ticks["tick"] <= begins].any()


def test_a_click_of_a_place_reaches_the_game_once(tmp_path: Path) -> None:
    live = live_from_menu(tmp_path / "s")
    live.start()
    try:
        until(lambda: live.loop.ticks > 5, "ticks")
        live.seats[0].mute(True)
        now = live.loop.ticks
        until(lambda: live.loop.ticks > now + 2, "a tick without a press")
        from metabonk import _core

        end = int(_core.play.now()) + 10**9
        assert live.click_at(0.5, 0.41, 0, end) > 0  # "Play", unless something was pressed before
        now = live.loop.ticks
        until(lambda: live.loop.ticks > now + 10, "ticks")
    finally:
        live.stop()
    ticks = read_ledger(tmp_path / "s").ticks
    clicks = ticks[ticks["action"][:, 10] >= 0.0]
    assert len(clicks) == 1
    assert clicks["action"][0, 10:] == pytest.approx((0.5, 0.41), abs=1e-4)


def test_texts_do_where_no_server_answers(tmp_path: Path) -> None:
    live = live_from_menu(tmp_path / "s")
    settings = ClientSettings(every=0.2, menus=True, menu_goal=GOAL, pictures=False, linger=0.2)
    nobody = f"ipc://{tmp_path}/none.sock"
    system2 = System2(live, nobody, ["omega"], settings, reward=Reward(damage_dealt=0.0))
    live.beside.append(system2)
    live.start()
    try:
        until(lambda: system2.counts()[0]["menus"]["reached"] >= 1, "the run")
    finally:
        live.stop()
    menus = system2.counts()[0]["menus"]
    assert menus["presses"] == menus["fallbacks"] >= 3  # by texts, and counted so
    assert menus["unmet"] == 0

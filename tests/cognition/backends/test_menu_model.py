"""Menus answered by a model of their own, and what is not even offered to one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asked import menu, question

from metabonk.cognition.backends import choice as backends
from metabonk.cognition.backends import scene
from metabonk.cognition.backends.fallback import Chain
from metabonk.cognition.backends.fits import check
from metabonk.cognition.backends.menu_model import WithMenuModel
from metabonk.cognition.backends.openai import OpenAIBackend, Server
from metabonk.cognition.backends.probe import Wish
from metabonk.cognition.backends.prompt import MenuPrompt
from metabonk.cognition.question import sees
from metabonk.cognition.servers.standin import Behaviour, StandIn
from metabonk.schema import BackendConfig


def test_menus_go_to_their_model_and_strategy_to_its_own() -> None:
    async def go() -> None:
        servers = [StandIn(model=name, bodies=[]) for name in ("strategist", "reader")]
        urls = [await server.start() for server in servers]
        asked = [Server(url, wish=Wish(timeout=10.0)) for url in urls]
        backend = WithMenuModel(asked[0], asked[1])
        try:
            await backend.open()
            answer = await backend.decide(question())
            assert answer.model == "strategist"
            before = [len(server.bodies or ()) for server in servers]
            of = question(kind="menu", packed=menu("Play", "Settings"), goal="start a game")
            answer = check(await backend.decide(of), of)
            assert answer.model == "reader"
            assert answer.press is not None
            after = [len(server.bodies or ()) for server in servers]
            assert [b - a for a, b in zip(before, after, strict=True)] == [0, 1]
            assert backend.metrics()["menu_scored_total"] == 1.0
        finally:
            await backend.close()
            for server in servers:
                await server.stop()

    asyncio.run(asyncio.wait_for(go(), 60.0))


def pictures_of(server: StandIn) -> list[int]:
    """How many pictures each question showed it since the last time."""
    bodies: list[dict[str, Any]] = server.bodies or []
    found = [len(body.get("images", ())) for body in bodies]
    bodies.clear()
    return found


@pytest.mark.parametrize("blind", ["strategist", "reader", "both"])
def test_pictures_are_asked_for_where_either_model_sees_and_shown_to_that_one(blind: str) -> None:
    """What is told to agents (`Welcome.limits.frames`) follows `sees`: a menu's reader gets its
    screenshot beside a strategist that looks at none."""

    async def go() -> None:
        servers = []
        for name in ("strategist", "reader"):
            lacks = frozenset({"images"} if blind in (name, "both") else ())
            servers.append(StandIn(model=name, behaviour=Behaviour(without=lacks), bodies=[]))
        strategist, reader = servers
        asked = [Server(await server.start(), wish=Wish(timeout=10.0)) for server in servers]
        chain = Chain([WithMenuModel(asked[0], asked[1])])
        try:
            await chain.open()
            assert sees(chain) == (blind != "both")
            counts = {
                name: 0 if blind in (name, "both") else 9 for name in ("strategist", "reader")
            }
            first, second = [line for line in backends.describe(chain) if "note:" not in line]
            assert first.startswith("openai: strategist at ")
            assert first.endswith(f", {counts['strategist']} pictures")
            assert second.startswith("openai, menus: reader at ")
            assert second.endswith(f", {counts['reader']} pictures")
            for server in servers:
                pictures_of(server)  # those that it was probed with
            assert (await chain.decide(question())).model == "strategist"
            assert max(pictures_of(strategist)) == counts["strategist"]
            of = question(kind="menu", packed=menu("Play", "Settings"), goal="start a game")
            assert (await chain.decide(of)).model == "reader"
            assert pictures_of(reader) == [counts["reader"]]
            assert pictures_of(strategist) == []
        finally:
            await chain.close()
            for server in servers:
                await server.stop()

    asyncio.run(asyncio.wait_for(go(), 60.0))


def test_what_cannot_be_taken_back_is_not_offered() -> None:
    async def go() -> None:
        server = StandIn(bodies=[])
        backend = OpenAIBackend(Server(await server.start(), wish=Wish(timeout=10.0)))
        try:
            await backend.open()
            packed = menu("Quit", "Play", "Delete save")
            for goal, offered in (("start a game", 2), ("delete the save", 3)):
                await backend.decide(question(kind="menu", packed=packed, goal=goal))
                assert server.bodies is not None
                options = server.bodies[-1]["questions"][0]["options"]
                names = {option["name"] for option in options}
                assert len(names) == offered  # the buttons that are allowed, and none of them
                assert "widget:1" not in names
        finally:
            await backend.close()
            await server.stop()

    asyncio.run(asyncio.wait_for(go(), 60.0))


def test_a_model_is_told_where_buttons_are_and_what_is_wanted() -> None:
    of = question(kind="menu", packed=menu("Play", "Settings"), goal="start a game")
    asked = MenuPrompt(of, scene.read(of.packed)).scored(of.frames)
    assert len(asked.frames) == len(of.frames) > 0
    assert 'widget:1: "Play", 40 to 60 % from the left, 0 to 5 % from the top' in asked.situation
    assert 'widget:2: "Settings", 40 to 60 % from the left, 10 to 15 %' in asked.situation
    assert "The operator's goal: start a game." in asked.situation


def test_the_setting_makes_it() -> None:
    config = BackendConfig(chain="openai", model="strategist")
    links = backends.make(config, menu_model="reader").links
    assert isinstance(links[0].backend, WithMenuModel)
    for same in ("", "strategist"):
        assert not isinstance(
            backends.make(config, menu_model=same).links[0].backend, WithMenuModel
        )

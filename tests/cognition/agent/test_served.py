"""cognition/agent/served.py: a server as a planner for games that wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_broker import serving, until

from metabonk.cognition.agent.client import ClientSettings
from metabonk.cognition.agent.served import ServedPlanner
from metabonk.cognition.protocol.wire import Reply, Request
from metabonk.cognition.vocabulary import Compass, Directive, Hold, Verb, spell
from metabonk.records import FieldGroup, GameState

HELD = Directive(Verb.HOLD, Hold(), 2.0)


def packed(health: float) -> bytes:
    return GameState(fields=FieldGroup.EVERYTHING, health=health, max_health=100.0).pack()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/c.sock"


@contextmanager
def planning(url: str, patience: float = 20.0, local: bool = True) -> Iterator[ServedPlanner]:
    settings = ClientSettings(patience=patience, linger=0.0)
    planner = ServedPlanner("omega-0", url, settings, (lambda p, f: HELD) if local else None)
    try:
        yield planner
    finally:
        planner.close()


def test_every_state_gets_its_own_answer(url: str) -> None:
    def answer(request: Request) -> Reply:
        bin = int(GameState.unpack(request.state).health) % 16
        said = {"action": "move", "target": f"compass:{bin}", "seconds": 4.0}
        return Reply(id=request.id, status="ok", answer=said)

    with serving(url, answer) as server, planning(url) as planner:
        for health in (3.0, 9.0, 3.0, 12.0):
            directive = planner.plan(packed(health), None)
            assert directive is not None
            assert directive.target == Compass(int(health))
        assert len(server.requests) == 4
        assert server.outcomes == {}
        assert planner.counts == {"asked": 4, "answered": 4, "local": 0}
        planner.close()  # twice is once


def test_the_server_is_told_what_each_game_follows(url: str) -> None:
    """Games that wait share one client: what one was told is not in force in another."""
    first, second = Directive(Verb.MOVE, Compass(3), 4.0), Directive(Verb.EXPLORE, Hold(), 1.0)
    told = [None, first, None, second, first]
    with serving(url) as server, planning(url) as planner:
        for held in told:
            assert planner.plan(packed(50.0), held) is not None
        asked = [request.in_force for request, _ in server.requests]
    assert asked == [None if held is None else spell(held) for held in told]


def test_without_a_server_the_rules_plan_at_once(url: str) -> None:
    with planning(url) as planner:
        assert planner.plan(packed(50.0), None) == HELD
        assert planner.plan(packed(50.0), HELD) == HELD
        assert planner.counts == {"asked": 2, "answered": 0, "local": 2}
    with planning(url, local=False) as planner:
        assert planner.plan(packed(50.0), None) is None


def test_a_server_that_says_nothing_is_waited_for_and_no_longer(url: str) -> None:
    with serving(url, lambda request: None), planning(url, patience=0.3) as planner:
        assert planner.plan(packed(50.0), None) == HELD
        assert planner.counts["local"] == 1

    def refuse(request: Request) -> Reply:
        return Reply(id=request.id, status="rejected", code="late")

    with serving(url, refuse) as server, planning(url) as planner:
        began = time.monotonic()
        assert planner.plan(packed(50.0), None) == HELD
        assert time.monotonic() - began < 15.0  # a refusal ends the wait
        until(lambda: server.requests, "the question")

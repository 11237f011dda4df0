"""play/live_games.py: the loop over BonkLink, against a real game process."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from sessions import reach, session_at

from metabonk.errors import LinkError
from metabonk.games.offer_places import ARENA, OfferPlaces
from metabonk.games.scripted import RandomPolicy
from metabonk.link.bonklink import Arrival, Client, Server
from metabonk.play.ledger import Gate, read_ledger
from metabonk.play.live_games import BonkLinkLive
from metabonk.play.loop import CompiledDecider, Live, LoopSettings, PythonDecider
from metabonk.play.retrace import retrace
from metabonk.play.session import Session
from metabonk.records import (
    ACTION_LAYOUT,
    GAME_STATE,
    Action,
    FieldGroup,
    GameState,
    Offer,
    Point,
)

Policies = tuple[Path, Path]
PLACES: tuple[Point, ...] = ((0.25, 0.5), (0.75, 0.125))  # of two offers


@contextlib.contextmanager
def hosted(protocol: str, *words: str) -> Iterator[str]:
    """Address of an arena in a process of its own."""
    name = f"loop-test-{os.getpid()}-{protocol}"
    told = ["host", "--pipe", name, "--protocol", protocol, "--size", "24x32", *words]
    code = f"from metabonk.cli.main import run; run({told!r})"
    host = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        yield f"pipe://{name}"
    finally:
        host.terminate()
        host.wait()


@pytest.fixture(params=["v1", "v2"])
def game(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with hosted(request.param) as address:
        yield address, request.param


def play(address: str, protocol: str, policy: Path, session: Session, decisions: int) -> Live:
    decider = CompiledDecider(policy)
    session.keep_artifact(policy)
    played = BonkLinkLive([address], protocol, frames=decider.frame)
    settings = LoopSettings(hz=60.0, cpu=-1, spin=0.0, stale=30.0)
    live = Live(played, [decider], settings, session, record=True)
    played.start()
    try:
        played.await_connected(60.0)
        live.start()
        reach(live, decisions)
    finally:
        live.stop()
    return live


@pytest.mark.parametrize("reads", ["states", "frames"])
def test_a_game_in_another_process_is_played_and_retraced(
    tmp_path: Path, policies: Policies, pixel_policy: Path, game: tuple[str, str], reads: str
) -> None:
    made = session_at(tmp_path / "s")
    session = Session(made.directory, msgspec.structs.replace(made.setup, game="bonklink"))
    policy = policies[0] if reads == "states" else pixel_policy
    live = play(*game, policy, session, 45)
    counts = live.counts()
    assert counts["agents"][0]["faults"] == 0
    assert counts["game"]["actions"] > 0
    assert counts["game"]["protocol_errors"] == 0
    ticks = read_ledger(session.directory).ticks
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    assert (decided["capture"] < decided["planned"] + decided["acted"]).all()
    times = live.times()
    left = times[times["sent"] > 0]
    assert len(left) > len(times) // 2  # others may have been overtaken: the machine is busy
    assert (left["sent"] >= left["decided"]).all()
    assert times["sent"][-1] > 0  # what was handed over last left before the link was ended
    overtaken = int((times["sent"] == -1).sum())
    assert counts["game"]["actions_skipped"] >= overtaken
    assert counts["agents"][0]["missed"] >= overtaken
    for row in (decided[0], decided[-1]):
        retrace(session, int(row["tick"]))


class Chooser(PythonDecider):
    """Walks in circles and chooses the first offer that has a widget. shown: states of level-ups
    that it saw; left: level-ups that ended."""

    def __init__(self) -> None:
        super().__init__(RandomPolicy(0, ACTION_LAYOUT), "chooser")
        self.shown = self.left = 0
        self.state, self.turn = GameState(), 0.0

    def _answer(self, asked: tuple[bytes, int, int, bool], state: Any) -> Any:
        before, self.state = self.state.menu, GameState.unpack(asked[0])
        self.shown += self.state.menu == "LevelUp"
        self.left += before == "LevelUp" and self.state.menu == "None"
        self.turn += 0.02
        choice = 1 if self.state.offers and self.state.widgets else 0
        action = Action((math.cos(self.turn), math.sin(self.turn)), choice=choice)
        self.native.answer(action.row(), asked[1])
        return state


def choose(address: str, offer_places: Sequence[Point], enough: Callable[[Chooser], bool]) -> Any:
    """The chooser and what the link counted, after it had enough."""
    decider = Chooser()
    played = BonkLinkLive([address], "v1", offer_places=offer_places)
    live = Live(played, [decider], LoopSettings(hz=250.0, cpu=-1, spin=0.0, stale=30.0))
    played.start()
    try:
        played.await_connected(60.0)
        live.start()
        live.wait(lambda: enough(decider), seconds=60.0, look=0.01)
    finally:
        live.stop()
    return decider, live.counts()["game"]


def test_offers_are_chosen_over_v1_which_tells_no_widgets(tmp_path: Path) -> None:
    level = tmp_path / "level.json"
    level.write_text(
        json.dumps({"enemies": {"at_start": 60, "damage": 0.0}, "offers": {"xp_rate": 20.0}})
    )
    with hosted("v1", "--level", str(level), "--speed", "4") as address:
        # Without places a level-up stays, and what is chosen in it goes nowhere.
        decider, _ = choose(address, (), lambda chooser: chooser.shown >= 100)
        assert decider.shown >= 100
        assert decider.left == 0
        assert not decider.state.widgets
        # How many choices come when their menu is gone, and are lost, is the machine's affair: that
        # none is lost of a menu that stays is looked at below.
        decider, _ = choose(address, ARENA, lambda chooser: chooser.left >= 3)
        assert decider.left >= 3


def test_places_are_shown_as_where_policies_learn() -> None:
    told = GameState(menu="LevelUp", playing=True, time=1.0, offers=[Offer(text=t) for t in "abc"])
    decider = Chooser()
    with Server("tcp://127.0.0.1:0", protocol="v1", extra_in_v1=False) as host:
        played = BonkLinkLive([host.address], "v1", axes="ours", offer_places=PLACES)
        live = Live(played, [decider], LoopSettings(cpu=-1, spin=0.0))
        live.start()
        try:
            pressed = None
            deadline = time.monotonic() + 30.0
            while pressed is None and time.monotonic() < deadline:
                host.send(told, np.zeros((24, 32, 3), np.uint8))
                got = host.poll(0.01)
                if isinstance(got, Arrival) and got.row[10] >= 0:
                    pressed = got.row
        finally:
            live.stop()
    assert pressed is not None
    assert live.counts()["game"]["inputs_lost"] == 0
    assert pressed[9] == 0
    np.testing.assert_allclose(pressed[10:], PLACES[0], atol=0.6 / 24)
    plain = np.frombuffer(decider.state.pack(), GAME_STATE).copy()[0]
    plain["widget_count"], plain["fields"] = 0, int(plain["fields"]) & ~FieldGroup.WIDGETS
    plain["widgets"] = 0
    shown = OfferPlaces(PLACES).shown(plain)
    assert len(decider.state.widgets) == 2
    assert GameState.unpack(shown.tobytes()) == decider.state


def test_the_thread_that_sends_asks_for_its_priority() -> None:
    for priority in (0, 1):
        played = BonkLinkLive(["pipe://nobody-listens-here"], priority=priority)
        played.start()
        played.stop()
        wanted = LoopSettings(cpu=-1, priority=priority).granted()  # it depends on the machine
        assert played.native[0].granted() == wanted
        assert played.refused() == wanted["priority_error"]
    with pytest.raises(ValueError, match="priority"):
        BonkLinkLive(["pipe://nobody-listens-here"], priority=100)
    assert [LoopSettings(priority=priority).below() for priority in (0, 1, 20)] == [0, 0, 19]


def test_a_game_that_is_not_there_is_named() -> None:
    played = BonkLinkLive(["pipe://nobody-listens-here"])
    played.start()
    with pytest.raises(LinkError, match="pipe://nobody-listens-here: no game answers"):
        played.await_connected(0.2)
    played.stop()


@pytest.mark.parametrize("protocol", ["auto", "v1", "v2"])
def test_the_cognitive_server_where_the_game_should_be_is_named(protocol: str) -> None:
    """Its greeting begins as a state of 255 bytes would, of which no more comes."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        port = server.bind_to_random_port("tcp://127.0.0.1")
        played = BonkLinkLive([f"tcp://127.0.0.1:{port}"], protocol)
        played.start()
        with pytest.raises(LinkError, match=r"a ZeroMQ server is there.*--zmq-port"):
            played.await_connected(0.5)
        played.stop()


def test_a_game_that_another_agent_took_ends_the_wait_and_says_so(
    tmp_path: Path, policies: Policies
) -> None:
    with hosted("v2") as address:
        played = BonkLinkLive([address], "v2")
        settings = LoopSettings(hz=60.0, cpu=-1, spin=0.0, stale=30.0)
        live = Live(played, [CompiledDecider(policies[0])], settings, session_at(tmp_path / "s"))
        played.start()
        try:
            played.await_connected(60.0)
            live.start()
            live.wait(seconds=0.2)  # nothing has ended
            assert played.ended() == []
            with Client(address, protocol="v2") as other:
                assert other.poll(30.0) is not None
                with pytest.raises(LinkError, match=f"{address}: .*; nobody is left to play with"):
                    live.wait(seconds=60.0)
        finally:
            live.stop()
        assert len(played.ended()) == 1

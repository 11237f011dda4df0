"""play/system2.py: clients beside the live loop, which never waits for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sessions import HZ, session_at
from small_broker import serving, until

from metabonk.cognition import vocabulary
from metabonk.cognition.agent.client import ClientSettings, Sight
from metabonk.cognition.protocol.wire import Reply, Request
from metabonk.cognition.vocabulary import Directive, Hold, Priority, Verb
from metabonk.games.arena import level_of
from metabonk.games.level import Reward
from metabonk.games.scripted import RandomPolicy
from metabonk.link.ring import RingWriter
from metabonk.play.ledger import Gate, read_ledger
from metabonk.play.live_games import ArenaLive
from metabonk.play.loop import CompiledDecider, Decider, Live, LoopSettings, PythonDecider
from metabonk.play.retrace import retrace
from metabonk.play.system2 import Eyes, System2, total
from metabonk.protocols import BoolArray, FloatArray, Observation
from metabonk.records import ACTION_LAYOUT, FieldGroup, GameState

WEIGHTS = Reward(damage_dealt=0.0)
QUICK = ClientSettings(every=0.1, outcome_seconds=0.3, linger=5.0)
STILL = Directive(Verb.HOLD, Hold(), 4.0, Priority.HIGH)


def still(request: Request) -> Reply:
    return Reply(id=request.id, status="ok", answer=vocabulary.spell(STILL))


def live_at(
    folder: Path, agents: int = 1, frames: tuple[int, int] = (24, 32), ticks: int = 0,
    decider: Callable[[int], Decider] | None = None, hz: float = HZ, level: Any = None,
) -> Live:  # fmt: skip
    """A loop over arenas that a random policy plays; not started."""
    session = session_at(folder, frames, agents)
    chosen = decider or (lambda i: PythonDecider(RandomPolicy(i, ACTION_LAYOUT), "random"))
    game = ArenaLive(level_of(level, 1).pack(), session.setup.seeds, frames, session, hz)
    loop = LoopSettings(hz=hz, cpu=-1, spin=0.0, stale=30.0)
    return Live(game, [chosen(i) for i in range(agents)], loop, session, ticks=ticks)


def beside(live: Live, url: str, settings: ClientSettings = QUICK, **how: Any) -> System2:
    names = [f"omega-{i}" for i in range(len(live.seats))]
    how = {"reward": WEIGHTS, "frames": (24, 32), **how}
    made = System2(live, url, names, settings, **how)
    live.beside.append(made)
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/b.sock"


def test_directives_reach_the_loop_and_outcomes_the_server(tmp_path: Path, url: str) -> None:
    live = live_at(tmp_path / "s", agents=2)
    system2 = beside(live, url)
    with serving(url, still) as server:
        live.start()
        try:
            until(lambda: all(c["applied"] >= 2 for c in system2.counts()), "directives")
            until(lambda: len(server.outcomes) >= 2, "outcomes")
        finally:
            live.stop()
        counts = live.counts()["system2"]
        assert [c["connected"] for c in counts] == [True, True]
        assert {request.id.agent for request, _ in server.requests} == {"omega-0", "omega-1"}
        request, frames = server.requests[-1]
        state = GameState.unpack(request.state)
        assert state.fields & FieldGroup.PLAYER
        assert state.health > 0.0
        assert len(frames) > 1
        assert set(server.outcomes) == {request.id for request, _ in server.requests}
        assert total(counts)["applied"] == sum(c["applied"] for c in counts)
    ledger = read_ledger(tmp_path / "s")
    given = ledger.directives["id"][ledger.directives["id"] != 0]  # 0 where a run began
    assert len(set(given.tolist())) == len(given) >= 4
    directed = ledger.ticks[(ledger.ticks["gate"] & Gate.DIRECTED) != 0]
    assert len(directed) > 10
    assert not directed["action"][:, :2].any()


def test_validity_ends_by_the_loops_clock_from_the_capture(tmp_path: Path, url: str) -> None:
    live = live_at(tmp_path / "s")
    beside(live, url, ClientSettings(every=3600.0, outcome_seconds=0.3))
    with serving(url, still) as server:
        live.start()
        try:
            until(lambda: live.loop.ticks > 20, "ticks")
            system2 = live.beside[0]
            assert isinstance(system2, System2)
            until(lambda: system2.clients[0].connected, "the server")
            system2.clients[0].wish()
            until(lambda: system2.counts()[0]["applied"] == 1, "the directive")
        finally:
            live.stop()
        captured = server.requests[0][0].captured_ns
    (directive,) = read_ledger(tmp_path / "s").directives
    assert int(directive["until"]) == captured + 4_000_000_000


def test_a_directive_is_followed_in_the_run_that_it_was_asked_about(
    tmp_path: Path, url: str
) -> None:
    live = live_at(tmp_path / "s", frames=(0, 0), level={"time": {"duration": 1.0}})
    system2 = beside(live, url, frames=(0, 0))
    with serving(url, still):
        live.start()
        try:
            until(
                lambda: (
                    live.counts()["agents"][0]["begun"] >= 12
                    and system2.counts()[0]["applied"] >= 8
                ),
                "runs and directives",
            )
        finally:
            live.stop()
    ledger = read_ledger(tmp_path / "s")
    given = ledger.directives[ledger.directives["id"] != 0]
    taken_at = dict(zip(given["id"].tolist(), given["tick"].tolist(), strict=True))
    began, directed = 0, 0
    for row in ledger.ticks:
        began = int(row["tick"]) if int(row["gate"]) & Gate.BEGINS else began
        if int(row["gate"]) & Gate.DIRECTED:
            directed += 1
            assert taken_at[int(row["directive"])] > began or began == ledger.ticks["tick"][0]
    assert directed > 50
    assert (ledger.directives["id"] == 0).any(), "none was in force where a run began"


def test_a_silent_server_holds_nothing_up(tmp_path: Path, url: str) -> None:
    live = live_at(tmp_path / "s", ticks=400)
    system2 = beside(live, url, ClientSettings(every=0.1, patience=0.2, outcome_seconds=0.2))
    with serving(url, lambda request: None):
        live.start()
        live.wait(seconds=60.0, look=0.01)
        counts = live.counts()
        live.stop()
    assert live.loop.ticks == 400
    agent = counts["agents"][0]
    assert agent["ticks"] + live.loop.skipped == 400
    assert agent["directed"] == 0
    assert system2.counts()[0]["lost"] >= 1
    assert system2.counts()[0]["applied"] == 0


def test_without_a_server_the_rules_speak(tmp_path: Path, url: str) -> None:
    def rules(sight: Sight) -> Directive:
        assert GameState.unpack(sight.packed).fields & FieldGroup.PLAYER
        return STILL

    live = live_at(tmp_path / "s")
    system2 = beside(live, url, local=rules)
    live.start()
    try:
        until(lambda: live.counts()["agents"][0]["directed"] > 10, "the rules' directive")
    finally:
        live.stop()
    assert system2.counts()[0]["local"] >= 1
    assert system2.counts()[0]["requests"] == 0


def test_large_frames_come_from_the_ring(tmp_path: Path, url: str) -> None:
    frames = (260, 340)  # more than a seat copies
    live = live_at(tmp_path / "s", frames=frames, hz=60.0)
    assert isinstance(live.game, ArenaLive)
    beside(live, url, frames=frames, rings=[live.game.ring_name(0)])
    with serving(url) as server:
        live.start()
        try:
            until(lambda: any(len(jpegs) > 2 for _, jpegs in server.requests), "a strip")
        finally:
            live.stop()
    from metabonk.cognition.strips.strip import decode

    assert decode(server.requests[-1][1][-1]).shape == (260, 340, 3)


def test_what_breaks_a_client_is_raised_where_one_waits(tmp_path: Path, url: str) -> None:
    def broken(sight: Sight) -> Directive:
        raise ZeroDivisionError("a fault in the rules")

    live = live_at(tmp_path / "s")
    beside(live, url, local=broken)
    live.start()
    with pytest.raises(ZeroDivisionError):
        live.wait(seconds=20.0)
    with pytest.raises(ZeroDivisionError):
        live.stop()
    assert not live.loop.running  # everything has ended all the same


class Pressing:
    """A policy that always presses the first choice."""

    def reset(self, num_envs: int) -> Any:
        return None

    def act(
        self, observation: Observation, state: Any, is_first: BoolArray
    ) -> tuple[FloatArray, Any]:
        rows = np.zeros((len(is_first), 12), np.float32)
        rows[:, 9], rows[:, 10:] = 1.0, -1.0
        return rows, state


def test_a_muted_policy_presses_nothing_and_directives_do(tmp_path: Path) -> None:
    live = live_at(
        tmp_path / "s", ticks=300, decider=lambda i: PythonDecider(Pressing(), "pressing")
    )
    live.start()
    seat = live.seats[0]
    try:
        until(lambda: live.loop.ticks > 60, "ticks")
        seat.mute(True)
        until(lambda: live.loop.ticks > 180, "muted ticks")
        seat.mute(False)
        live.wait(seconds=60.0, look=0.01)
    finally:
        live.stop()
    ticks = read_ledger(tmp_path / "s").ticks
    muted = ticks[(ticks["gate"] & Gate.MUTED) != 0]
    assert len(muted) > 20
    assert not muted["action"][:, 9].any()
    first, last = int(muted["tick"][0]), int(muted["tick"][-1])
    others = ticks[(ticks["tick"] < first) | (ticks["tick"] > last)]
    assert others["action"][:, 9].any()


def test_a_muted_tick_is_decided_again_bit_for_bit(
    tmp_path: Path, policies: tuple[Path, Path]
) -> None:
    session = session_at(tmp_path / "s")
    session.keep_artifact(policies[0])
    level = level_of({"start": "main_menu"}, 1)
    session.setup.level.update(msgspec.to_builtins(level))
    game = ArenaLive(level.pack(), session.setup.seeds, (12, 16), session, HZ)
    loop = LoopSettings(hz=HZ, cpu=-1, spin=0.0, stale=30.0)
    live = Live(game, [CompiledDecider(policies[0])], loop, session, ticks=250)
    live.seats[0].mute(True)
    live.start()
    live.wait(seconds=60.0, look=0.01)
    live.stop()
    ticks = read_ledger(session.directory).ticks
    muted = ticks["tick"][(ticks["gate"] & Gate.MUTED) != 0]
    assert len(muted) > 0
    retraced = retrace(session, int(muted[-1]))
    assert retraced.own.choice or retraced.own.click
    assert not retraced.action.choice
    assert retraced.action.click is None


LOOK = 30_000_000  # nanoseconds between two looks


class FakeWatch:
    """A watch that shows what it is told: states and their runs, and what a run that began since
    the look before ended with, half a look before it."""

    def __init__(self, looks: Sequence[tuple[GameState, int, GameState | None]]) -> None:
        self.looks = [
            (state.pack(), n, n * LOOK, run, None, n * LOOK - LOOK // 4,
             None if ended is None else (ended.pack(), n * LOOK - LOOK // 2))
            for n, (state, run, ended) in enumerate(looks, 1)
        ]  # fmt: skip

    def look(self) -> Any:
        return self.looks.pop(0) if self.looks else None


def alive(**fields: Any) -> GameState:
    made = GameState(
        fields=FieldGroup.EVERYTHING, health=50.0, max_health=100.0, playing=True, menu="None"
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def seen(*looks: tuple[GameState, int] | tuple[GameState, int, GameState]) -> list[Sight]:
    eyes = Eyes((0, 0), "", WEIGHTS)
    eyes.watch = FakeWatch([look if len(look) == 3 else (*look, None) for look in looks])
    return [sight for sight in iter(eyes, None) if sight is not None]


def test_rewards_add_up_from_what_states_show() -> None:
    sights = seen(
        (alive(time=1.0), 1), (alive(time=2.0, kills=2), 1), (alive(time=2.5, kills=2, xp=3.0), 1)
    )
    rewards = [sight.reward for sight in sights]
    assert rewards == pytest.approx(
        [0.0, WEIGHTS.alive + 2 * WEIGHTS.kill,
         1.5 * WEIGHTS.alive + 2 * WEIGHTS.kill + 3 * WEIGHTS.xp]
    )  # fmt: skip
    assert [sight.captured_ns for sight in sights] == [30_000_000, 60_000_000, 90_000_000]


def ended(*, health: float, menu: str) -> tuple[list[Sight], list[Sight]]:
    """The sights of a run that is over and of the next one; the end is looked at, or is shown for
    a tick between two looks."""
    over = alive(time=2.0, health=health, playing=False, menu=menu)
    shown = seen((alive(time=2.0), 1), (over, 1), (over, 1), (alive(time=0.1), 2))
    missed = seen((alive(time=2.0), 1), (alive(time=0.1), 2, over), (alive(time=0.1), 2))
    assert [sight.run for sight in shown] == [1, 1, 1, 2]
    assert [sight.end for sight in shown[::3]] == [sight.end for sight in missed[::2]] == ["", ""]
    assert all(sight.before is None for sight in (*shown, missed[0], missed[2]))
    return shown, missed


@pytest.mark.parametrize(
    ("health", "menu", "end", "reward"),
    [
        (0.0, "GameOver", "died", WEIGHTS.death + 50.0 * WEIGHTS.damage_taken),
        (50.0, "Victory", "won", WEIGHTS.victory),
        (50.0, "Death", "left", 0.0),  # its time was up
    ],
)
def test_an_end_counts_once_whether_it_is_looked_at_or_not(
    health: float, menu: str, end: str, reward: float
) -> None:
    shown, missed = ended(health=health, menu=menu)
    assert shown[1].end == shown[2].end == end
    before = missed[1].before
    assert before is not None
    assert (before.end, before.run, before.captured_ns) == (end, 1, 2 * LOOK - LOOK // 2)
    assert [before.reward, missed[1].reward, missed[2].reward] == pytest.approx([reward] * 3)
    assert [sight.reward for sight in shown[1:]] == pytest.approx([reward] * 3)


def test_nobody_died_that_nobody_saw() -> None:
    """A run whose last moment goes on was left, or its end came between two captures."""
    sights = seen((alive(time=2.0), 1), (alive(time=0.1), 2, alive(time=2.0, health=40.0)))
    before = sights[1].before
    assert before is not None
    assert before.end == "left"
    assert sights[1].reward == pytest.approx(10.0 * WEIGHTS.damage_taken)
    assert seen((alive(time=2.0), 1), (alive(time=0.1), 2))[1].reward == 0.0


def test_runs_whose_time_is_up_cost_nothing(tmp_path: Path) -> None:
    """The arena shows a run's end for one tick, and a seat shows every eighth."""
    live = live_at(tmp_path / "s", frames=(0, 0), level={"time": {"duration": 1.0}})
    eyes = Eyes((0, 0), "", WEIGHTS)
    eyes.watch.put_on(live.seats[0])
    sights: list[Sight] = []
    live.start()
    try:
        until(lambda: add(sights, eyes()) and sights[-1].run >= 8, "runs")
    finally:
        live.stop()
    assert min(sight.reward for sight in sights) >= 0.0
    ends = {sight.run: sight.end for sight in sights if sight.end}
    unseen = {s.before.run: s.before.end for s in sights if s.before is not None}
    assert set(ends.values()) | set(unseen.values()) == {"left"}
    assert set(ends) | set(unseen) >= set(range(sights[0].run, sights[-1].run))
    assert unseen, "each was looked at: nothing is tested"


def add(sights: list[Sight], sight: Sight | None) -> bool:
    sights += [] if sight is None else [sight]
    return bool(sights)


def test_a_picture_is_never_newer_than_its_state_nor_of_the_run_before() -> None:
    """The ring is ahead of the states that a seat shows."""
    frames, quarter = (260, 340), LOOK // 4
    name = f"test-ahead-{os.getpid()}"
    with RingWriter(name, (*frames, 3)) as ring:
        eyes = Eyes(frames, name, WEIGHTS)
        sights = []

        def shows(at: int, run: int, began: int, *pictures: int) -> Sight:
            for value in pictures:  # captured so many quarters of a look after the start
                ring.write(np.full((*frames, 3), value, np.uint8), value, value * quarter)
                eyes._of_ring(0, 0)  # as if it had been looked at then
            eyes.watch = FakeWatch([])
            eyes.watch.looks.append(
                (alive().pack(), at, at * quarter, run, None, began * quarter, None)
            )
            sight = eyes()
            assert sight is not None
            sights.append(sight)
            return sight

        shown = shows(4, 1, 1, 3, 5)
        assert shown.pixels is not None
        assert (int(shown.pixels[0, 0, 0]), shown.pixels_ns) == (3, 3 * quarter)
        shown = shows(8, 1, 1, 8)  # the two that came meanwhile, the newer one of them
        assert shown.pixels is not None
        assert (int(shown.pixels[0, 0, 0]), shown.pixels_ns) == (8, 8 * quarter)
        shown = shows(12, 2, 12, 11)  # the last one of the run before
        assert shown.pixels is None
        shown = shows(14, 2, 12, 12, 15)
        assert shown.pixels is not None
        assert (int(shown.pixels[0, 0, 0]), shown.pixels_ns) == (12, 12 * quarter)
        assert shows(15, 2, 12).pixels_ns == 15 * quarter
        eyes.close()
    assert all(sight.pixels_ns <= sight.captured_ns for sight in sights)


def test_without_a_ring_a_seat_copies_frames_of_every_size(tmp_path: Path) -> None:
    frames = (260, 340)
    live = live_at(tmp_path / "s", frames=frames, hz=60.0)
    eyes = Eyes(frames, "", WEIGHTS)
    eyes.watch.put_on(live.seats[0])
    sights: list[Sight] = []
    live.start()
    try:
        until(lambda: add(sights, eyes()) and len(sights) > 3, "sights")
    finally:
        live.stop()
    assert [None if s.pixels is None else s.pixels.shape for s in sights[-2:]] == [(*frames, 3)] * 2
    assert eyes.watch.too_large == 0
    assert sights[-1].pixels_ns == sights[-1].captured_ns


def test_a_run_that_begins_from_menus_is_rewarded() -> None:
    menu = alive(time=0.0, playing=False, menu="MainMenu")
    sights = seen(
        (menu, 1), (menu, 1), (alive(time=0.0), 1), (alive(time=2.0, kills=1), 1)
    )  # fmt: skip
    assert [s.reward for s in sights[:3]] == [0.0, 0.0, 0.0]
    assert sights[-1].reward == pytest.approx(2.0 * WEIGHTS.alive + WEIGHTS.kill)

"""play/loop.py: the native loop over arenas in real time, with policies of both kinds."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sessions import play, reach, session_at

from metabonk import _core
from metabonk.cognition.vocabulary import Directive, Priority, Verb
from metabonk.errors import CompileError, ConfigError
from metabonk.games.scripted import RandomPolicy
from metabonk.play import proof
from metabonk.play.ledger import Gate, read_inputs, read_ledger
from metabonk.play.loop import TIMES, CompiledDecider, Live, LoopSettings, PythonDecider
from metabonk.protocols import BoolArray, FloatArray, Observation
from metabonk.records import ACTION_LAYOUT

Policies = tuple[Path, Path]


def test_every_tick_is_decided_and_told(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")
    live = play(session, policies[0], 150)
    counts = live.counts()["agents"][0]
    ledger = read_ledger(session.directory)
    assert len(ledger.ticks) == counts["ticks"]
    assert counts["ticks"] + live.loop.skipped == live.loop.ticks
    assert counts["decided"] + counts["held"] + counts["safe"] == counts["ticks"]
    decided = ledger.ticks[(ledger.ticks["gate"] & Gate.DECIDED) != 0]
    assert len(decided) == counts["decided"] >= 150
    assert np.array_equal(decided["counter"], np.arange(len(decided)))
    assert (np.diff(decided["sequence"].astype(np.int64)) > 0).all()
    assert np.array_equal(decided["sequence"], decided["frame"])  # a state and its own frame
    assert {bytes(row).hex() for row in decided["artifact"]} == {live.deciders[0].hash}
    assert len({bytes(row) for row in decided["observation"]}) > 100
    # What is told of those that decided: test_loop_candidates.py.
    assert (ledger.ticks["candidate"][(ledger.ticks["gate"] & Gate.DECIDED) == 0] == -1).all()


def test_times_are_in_order_and_those_of_the_ledger(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")
    live = play(session, policies[0], 80, reference=True)
    times = live.times()
    ledger = read_ledger(session.directory).ticks[-len(times) :]
    assert times.dtype == TIMES
    assert len(times) >= 80
    assert np.array_equal(times["tick"], ledger["tick"])
    order = ["planned", "woke", "began", "found", "seen", "decided", "acted"]
    for before, after in itertools.pairwise(order):
        assert (times[before] <= times[after]).all(), (before, after)
    assert np.array_equal(times["acted"] - times["planned"], ledger["acted"])
    assert (times["cpu"] > 0).all()  # even a tick that is held looks for a moment
    assert live.loop.reference(0, live.loop.ticks)["count"] > 0


def test_what_is_sent_is_what_the_game_plays(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")
    play(session, policies[0], 120)
    sent = {row["action"][:9].tobytes() for row in read_ledger(session.directory).ticks}
    played = read_inputs(session.directory)
    still = np.zeros(9, np.float32).tobytes()  # before the first action came
    found = {row["action"][:9].tobytes() for row in played}
    assert len(found) > 10
    assert found <= sent | {still}


def test_a_directive_changes_actions_until_it_runs_out(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")
    given: list[int] = []

    def meanwhile(live: Live) -> None:
        reach(live, 20)
        hold, interact = (Directive(verb, seconds=2.0) for verb in (Verb.HOLD, Verb.INTERACT))
        given.append(live.direct(msgspec.structs.replace(hold, priority=Priority.HIGH)))
        given.append(live.direct(interact))
        live.wait(lambda: bool(live.counts()["agents"][0]["expired"]), seconds=60.0)
        reach(live, live.counts()["agents"][0]["decided"] + 50)

    live = play(session, policies[0], 0, meanwhile)
    assert given[0] > 0
    assert given[1] == 0, "one of lower priority was taken"
    ledger = read_ledger(session.directory)
    taken = ledger.directives[ledger.directives["id"] != 0]  # 0 where a run began
    assert list(taken["id"]) == given[:1]
    directed = ledger.ticks[(ledger.ticks["gate"] & Gate.DIRECTED) != 0]
    assert len(directed) > 5
    assert (directed["directive"] == given[0]).all()
    assert not directed["action"][:, :2].any()
    until = int(taken["until"][0])
    assert (directed["planned"] < until).all()
    after = ledger.ticks[ledger.ticks["planned"] >= until]
    assert after["action"][:, :2].any()
    assert live.counts()["agents"][0]["expired"] == 1


def test_weights_are_swapped_between_ticks(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s")

    def meanwhile(live: Live) -> None:
        decider = live.deciders[0]
        assert isinstance(decider, CompiledDecider)
        for path in (policies[1], policies[0]):
            reach(live, live.counts()["agents"][0]["decided"] + 20)
            session.keep_artifact(path)
            decider.swap(path, timeout=30.0)
        reach(live, live.counts()["agents"][0]["decided"] + 20)

    play(session, policies[0], 0, meanwhile)
    ticks = read_ledger(session.directory).ticks
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    hashes = [bytes(row).hex() for row in decided["artifact"]]
    changes = [a for a, b in zip(hashes[1:], hashes[:-1], strict=True) if a != b]
    first, second = (CompiledDecider(path).hash for path in policies)
    assert hashes[0] == first
    assert changes == [second, first]
    assert np.array_equal(decided["counter"], np.arange(len(decided)))  # none was left out


def test_another_network_is_not_swapped_in(policies: Policies, tmp_path: Path) -> None:
    from networks import arena_pilot

    from metabonk.play.compiled import compile

    compile(arena_pilot(), batch=1, sampled=False).save(tmp_path / "greedy")
    decider = CompiledDecider(policies[0])
    with pytest.raises(CompileError, match="another program"):
        decider.swap(tmp_path / "greedy")
    compile(arena_pilot(), batch=2).save(tmp_path / "two")
    with pytest.raises(ConfigError, match="2 games at a time"):
        CompiledDecider(tmp_path / "two")


def test_a_policy_in_python_decides_through_mailboxes(tmp_path: Path) -> None:
    session = session_at(tmp_path / "s")
    decider = PythonDecider(RandomPolicy(3, ACTION_LAYOUT), "random")
    live = play(session, decider, 100)
    counts = live.counts()["agents"][0]
    assert counts["decided"] >= 100
    assert counts["faults"] == 0
    ticks = read_ledger(session.directory).ticks
    assert not ticks["artifact"].any()
    decided = ticks[(ticks["gate"] & Gate.DECIDED) != 0]
    assert (decided["sequence"] > 0).all()


class Broken:
    """A policy that fails at its third decision."""

    def __init__(self) -> None:
        self.calls = 0

    def reset(self, num_envs: int) -> Any:
        return None

    def act(
        self, observation: Observation, state: Any, is_first: BoolArray
    ) -> tuple[FloatArray, Any]:
        self.calls += 1
        if self.calls == 3:
            raise ZeroDivisionError("third decision")
        return np.zeros((1, 12), np.float32), state


def test_a_policy_in_python_that_fails_is_heard(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="third decision"):
        play(session_at(tmp_path / "s"), PythonDecider(Broken(), "broken"), 5000)


def test_what_a_thread_will_be_granted_can_be_asked_before() -> None:
    usable = os.sched_getaffinity(0)
    anywhere = -1 if len(usable) > 1 else min(usable)  # there it is held, asked for or not
    assert LoopSettings(cpu=-1).granted() == {
        "cpu": anywhere, "priority": 0, "cpu_error": "", "priority_error": "",
    }  # fmt: skip
    found = LoopSettings(cpu=-1, priority=1).granted()  # it depends on the machine's limits
    assert (found["priority"], bool(found["priority_error"])) in ((1, False), (0, True))
    with pytest.raises(ValueError, match="priority"):
        LoopSettings(cpu=-1, priority=100).granted()
    refused = LoopSettings(cpu=1023).granted()
    assert refused["cpu"] == anywhere
    assert refused["cpu_error"]


@pytest.mark.parametrize("cpu", [-1, None])
def test_the_reference_says_what_it_was_granted_itself(policies: Policies, cpu: int | None) -> None:
    from metabonk.games.arena import level_of
    from metabonk.play.live_games import ArenaLive

    game = ArenaLive(level_of(None, 1).pack(), [1], (0, 0))
    settings = LoopSettings(hz=500.0, cpu=cpu, spin=0.0)
    ticks = proof.WARM_UP + 20
    live = Live(
        game, [CompiledDecider(policies[0])], settings, ticks=ticks, remembered=ticks,
        reference=True,
    )  # fmt: skip
    live.start()
    try:
        live.wait(seconds=60.0, look=0.01)
    finally:
        live.stop()
    held = settings.granted()
    assert live.loop.reference(0, 1)["granted"] == live.loop.granted() == held
    report = proof.examine(live, {})
    assert report.reference_granted == held
    assert report.alike == (held["cpu"] >= 0)


def test_many_agents_play_side_by_side(tmp_path: Path, policies: Policies) -> None:
    session = session_at(tmp_path / "s", agents=16)
    live = play(session, policies[0], 60)
    ticks = read_ledger(session.directory).ticks
    played = live.loop.ticks - live.loop.skipped
    assert [int((ticks["agent"] == agent).sum()) for agent in range(16)] == [played] * 16
    assert all(counts["decided"] >= 60 for counts in live.counts()["agents"])
    first = [ticks["action"][ticks["agent"] == agent][5:20].tobytes() for agent in range(16)]
    assert len(set(first)) > 1, "every agent does the same in other games"


def test_a_session_is_never_written_over(tmp_path: Path, policies: Policies) -> None:
    play(session_at(tmp_path / "s"), policies[0], 10)
    with pytest.raises(FileExistsError):
        session_at(tmp_path / "s")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"hz": 0.0}, "hz"),
        ({"spin": 1.0}, "spin"),
        ({"margin": 1.0}, "margin"),
        ({"priority": 100}, "priority"),
        ({"patience": -1.0}, "patience"),
        ({"stale": float("nan")}, "stale"),
    ],
)
def test_settings_that_cannot_be_are_named(
    policies: Policies, wrong: dict[str, float], named: str
) -> None:
    from metabonk.games.arena import level_of
    from metabonk.play.live_games import ArenaLive

    game = ArenaLive(level_of(None, 1).pack(), [1], (0, 0))
    with pytest.raises(ValueError, match=named):
        Live(game, [CompiledDecider(policies[0])], LoopSettings(**wrong))  # type: ignore[arg-type]


def test_a_directive_ends_when_it_is_told_to(tmp_path: Path, policies: Policies) -> None:
    """Validity may count from a capture, which lies in the past when the directive comes."""
    session = session_at(tmp_path / "s")
    given: list[int] = []

    def meanwhile(live: Live) -> None:
        reach(live, 20)
        over = int(_core.play.now()) - 1
        given.append(live.direct(Directive(Verb.HOLD, seconds=4.0), until=over))

    live = play(session, policies[0], 60, meanwhile)
    assert given[0] > 0
    counts = live.counts()["agents"][0]
    assert (counts["directed"], counts["expired"]) == (0, 1)

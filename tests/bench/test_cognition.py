"""bench/cognition.py: every part is hooked and judged, and peers do the work they are timed for."""

from __future__ import annotations

import base64
import json
import tomllib
from typing import Any

import msgspec
import numpy as np
import pytest
from metabonk.bench import (
    cognition,
    cognition_agent,
    cognition_plans,
    cognition_server,
    cognition_wire,
    gates,
    rounds,
    suites,
)
from metabonk.bench.rounds import Round
from metabonk.bench.swarm.driver import Driver, Sample
from metabonk.bench.swarm.plan import Plan
from metabonk.bench.swarm.soak import Report
from metabonk.bench.swarm.verdict import Fault, Verdict

from metabonk import games, machine
from metabonk.cognition.monitor.monitor import Monitor
from metabonk.cognition.protocol import wire
from metabonk.errors import LinkError
from metabonk.games.level import Level, load
from metabonk.games.scripted import Habits, ScriptedPolicy
from metabonk.records import GAME_STATE, PickupKind

HANG_SECONDS = 30.0

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)


def test_every_goal_belongs_to_a_case_and_a_peer() -> None:
    """A gate that names nothing would never be judged."""
    cases = {case.name: {peer.name for peer in case.peers} for case in cognition.cases()}
    table = tomllib.loads(gates.FILE.read_text())["cognition"]
    for name, peers in table.items():
        assert name in cases, name
        assert set(peers) <= cases[name], (name, peers)
    assert len(cases) == len(cognition.cases())


def test_every_case_is_in_a_group_that_can_be_run_alone_and_has_an_end() -> None:
    cases = cognition.cases()
    assert {case.group for case in cases} == set(cognition.GROUPS)
    assert all(0.0 < case.budget <= 1200.0 for case in cases)
    alone = suites.chosen(["cognition"], ["wire"])
    assert [case.name for case in alone] == [c.name for c in cases if c.group == "wire"]


def test_two_figures_of_one_round_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median and the 99th percentile are of the same answers."""
    kept: dict[str, list[Round]] = {}
    monkeypatch.setattr(rounds, "_KEPT", kept)
    for case in cognition_server.cases():
        for contender in (case.ours, *case.peers):
            for key in ("asked", "asked directly", "overload", "loaded, version 2"):
                kept[f"cognition, {key}"] = [Round({"p50": 1.0, "p99": 2.0, "rate": 3.0})] * 5
            if contender.name == "metabonk" and "p50" in case.name and "CURVE" not in case.name:
                assert contender.open().measure() == 1.0
            if contender.name == "asked directly, and 5 ms":
                assert contender.open().measure() == 2.0 + 5.0


def test_episodes_that_were_played_are_not_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []

    def play(game: Any, policy: Any, episodes: int, number: int) -> dict[str, Any]:
        played.append(number)
        return {"return": np.full(episodes, 10.0 * len(played))}

    monkeypatch.setattr("metabonk.learn.evaluate.play", play)
    monkeypatch.setattr(cognition_plans, "_RETURNS", {})
    found = []
    for planner in (cognition_plans.alone, cognition_plans.alone, cognition_plans.retreat):
        one = cognition_plans.Played("regain", planner)
        found.append([one.measure(), one.measure()])
        one.close()
    assert found == [[10.0, 20.0], [10.0, 20.0], [30.0, 40.0]], "another planner plays for itself"
    assert played == [0, 1, 0, 1]


def out_of_reach(level: Level, decisions: int = 300) -> float:
    """The share of the moments at which a heart lies where nobody picks it up in passing."""
    count = 6
    game = games.make("arena", count, level=level, threads=1)
    spaces = game.observation_space.spaces
    seen = {key: np.zeros((count, *(s.shape or ())), s.dtype) for key, s in spaces.items()}
    motor = ScriptedPolicy(Habits(size=level.terrain.size))
    flags = (np.zeros(count, np.float32), *(np.zeros(count, np.bool_) for _ in range(3)))
    game.reset_into(seen, list(range(700, 700 + count)))
    memory, found = motor.reset(count), 0
    for _ in range(decisions):
        rows, memory = motor.act(seen, memory, flags[3])
        game.step_into(rows, seen, *flags)
        for env in range(count):
            state = np.frombuffer(game.batch.game_state(env), GAME_STATE)[0]
            things = state["pickups"][: state["pickup_count"]]
            away = np.hypot(*(things["position"] - state["position"])[:, :2].T)
            found += bool(((things["kind"] == PickupKind.HEAL) & (away > 4.0)).any())
    game.close()
    return found / (decisions * count)


def test_there_is_health_to_regain_where_that_is_the_plan() -> None:
    """With the character's own blades hearts fall at its feet: then there is nothing to go for."""
    level = load("regain")
    assert out_of_reach(level) > 0.05
    assert out_of_reach(msgspec.structs.replace(level, start_weapons=[])) < 0.02


def test_episodes_come_out_the_same_when_they_are_played_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else keeping what was played would show one draw of several."""
    for name, value in (("ENVS", 2), ("EPISODES", 2)):
        monkeypatch.setattr(cognition_plans, name, value)
    found = []
    for _ in range(2):
        monkeypatch.setattr(cognition_plans, "_RETURNS", {})
        one = cognition_plans.Played("duel", cognition_plans.rules)
        one.measure()
        found.append(one.returns)
        one.close()
    assert found[0] == found[1]
    assert len(set(found[0])) == 2, "and two episodes do not"


def test_the_goals_of_the_design_are_all_there() -> None:
    goals = {
        "0.35 ms", "0.5 ms", "asked directly, and 1 ms", "asked directly, and 5 ms",
        "500 strips/s", "without CURVE, and 0.5 ms", "0.95", "50 us", "1.5 s", "17 ms of 387",
    }  # fmt: skip
    table = tomllib.loads(gates.FILE.read_text())["cognition"]
    assert goals <= {peer for peers in table.values() for peer in peers}
    agents = [case.name for case in cognition_agent._stages()]
    assert [int(name.split(", ")[1].split()[0]) for name in agents] == [1, 2, 4, 8, 12, 16]


def test_a_strip_is_nine_frames_of_the_arena() -> None:
    jpegs, state = cognition_wire.strip()
    assert len(jpegs) == 9
    assert len(set(jpegs)) == 9  # nine different ones
    assert all(wire.check_jpeg(jpeg) == (360, 640) for jpeg in jpegs)
    assert len(state) == 16376


def test_the_peer_sends_what_a_server_of_version_1_reads() -> None:
    jpegs, _ = cognition_wire.strip()
    body = json.loads(cognition_wire.json_request(jpegs))
    assert [base64.b64decode(frame) for frame in body["frames"]] == list(jpegs)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("codec", ["binary", "json"])
def test_strips_go_there_and_are_answered(side: Any, codec: Any) -> None:
    exchange = cognition_wire.StripExchange(side, codec)
    try:
        exchange._round(5)  # raises if an answer is another one, or none comes
        assert exchange.measure() > 0.0
    finally:
        exchange.close()
        exchange.close()


def decided(meter: Any) -> Sample:
    """A stretch in which something was decided, however busy the machine is."""
    for _ in range(100):
        sample: Sample = meter.driver.closed(0.3, HANG_SECONDS)
        if sample.count:
            return sample
    raise AssertionError("nothing was decided")


def test_the_server_is_measured_by_what_it_answered() -> None:
    """Both protocols against one real broker."""
    for v1 in (False, True):
        meter = cognition_server.Loaded(v1=v1)
        try:
            sample = decided(meter)
            assert set(sample.statuses) == {"ok"}
            assert sum(sample.decided.values()) == len(sample.latencies_ms)
        finally:
            meter.close()


def test_the_monitor_reads_what_the_server_publishes() -> None:
    """Names on both sides are the same ones: no figure is missing beside a real server."""
    meter = cognition_server.Asked()
    try:
        with Monitor(meter.swarm.http + "/metrics", meter.swarm.model_url + "/metrics") as watching:
            watching.look()
            count = decided(meter).count
            figures = watching.look()
    finally:
        meter.close()
    broker = figures.broker
    assert broker.problem == ""
    assert broker.connected == cognition_server.AGENTS
    assert len(broker.agents) == cognition_server.AGENTS
    assert sum(agent.decisions for agent in broker.agents) >= count
    assert broker.server_ms is not None
    assert broker.server_ms[0] > 1e3 * cognition_server.MODEL_SECONDS / 2
    assert broker.fairness is not None
    assert (broker.fallback_share, broker.unrecorded) == (0.0, 0)
    assert broker.journal is not None
    assert 0 < broker.journal.size < broker.journal.limit
    assert broker.in_flight is not None
    assert broker.pending is not None
    assert figures.model is not None
    assert figures.model.kind == "sglang"
    assert figures.model.cache_hit_rate is not None
    assert figures.model.kv_use is not None


def test_a_broker_that_decides_nothing_is_no_figure() -> None:
    sample = Sample(statuses={"rejected": 5})
    with pytest.raises(LinkError, match="rejected"):
        cognition_server._need(sample)


def test_with_curve_only_who_is_allowed_is_answered() -> None:
    meter = cognition_server.Single(curve=True)
    try:
        assert decided(meter).count > 0
        with pytest.raises(LinkError):
            Driver(meter.swarm.url, 1, [], b"", patience=0.5)  # no keys
    finally:
        meter.close()


def report(**wrong: Any) -> Report:
    verdict = Verdict(
        agents=2, requests=10, counts={"applied": 10}, recovery=[0.5, 0.7, 1.0], **wrong
    )
    return Report(plan=Plan(), seconds=1.0, verdict=verdict)


def test_a_soak_that_lost_something_has_no_figure_to_show() -> None:
    good = cognition_agent.Soaked(soak=lambda plan, folder: report())
    assert good.measure() == pytest.approx(0.994, abs=0.01)
    assert cognition_agent._judged(good).holds
    lost = Fault("lost", "omega-0/1/1", "its outcome is not in the journal")
    bad = cognition_agent.Soaked(
        soak=lambda plan, folder: report(faults=[lost], fault_counts={"lost": 1})
    )
    assert bad.measure() == pytest.approx(0.994, abs=0.01)
    evidence = cognition_agent._judged(bad)
    assert not evidence.holds
    assert "1 lost" in evidence.note
    assert not cognition_agent._judged(cognition_agent.Soaked()).holds  # none was run


def test_the_models_time_is_taken_out_and_the_rest_is_ours() -> None:
    class Decided:
        captured_ns, sent_ns, received_ns = 0, 30_000_000, 95_000_000
        server_ms = 60.0
        stages = {"wait": 50.0}  # noqa: RUF012

    found = cognition_agent.stages_of(Decided, encode=10.0)
    assert found == {
        "age": 20.0, "encode": 10.0, "send and receive": 5.0, "server": 10.0, "model": 50.0,
    }  # fmt: skip
    assert cognition_agent._ours(found) == 25.0

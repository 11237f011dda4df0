"""bench/cognition.py: every part is hooked and judged, and peers do the work they are timed for."""

from __future__ import annotations

import base64
import json
import tomllib
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from metabonk.bench import (
    cognition,
    cognition_direct,
    cognition_learned,
    cognition_plans,
    cognition_server,
    cognition_soak,
    cognition_valid,
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
from metabonk.cognition.question import Answer
from metabonk.cognition.vocabulary import Directive, Entity, Hold, Verb
from metabonk.errors import LinkError
from metabonk.games.level import Level, load
from metabonk.games.scripted import Habits, ScriptedPolicy
from metabonk.play.dual import DualSettings
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
    assert all(0.0 < case.budget <= 2400.0 for case in cases)
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
    for planner in (cognition_plans.alone, cognition_plans.alone, cognition_plans.anything):
        one = cognition_plans.Played("regain", planner)
        found.append([one.measure(), one.measure()])
        one.close()
    assert found == [[10.0, 20.0], [10.0, 20.0], [30.0, 40.0]], "another planner plays for itself"
    assert played == [0, 1, 0, 1]


def out_of_reach(level: Level, decisions: int = 600) -> float:
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


def test_one_directive_always_is_in_force_always() -> None:
    """Else System 1 plays in between, and what is compared is how often it does."""
    for settings in (DualSettings(latency=cognition_plans.LATENCY), DualSettings()):
        assert settings.every + settings.latency <= cognition_plans.HELD
    for verb, planner in cognition_plans.always.items():
        given = {planner().plan(b"", None) for _ in range(3)}
        assert given == {Directive(Verb(verb), Hold(), cognition_plans.HELD)}
    guessing = cognition_plans.anything()
    verbs = {guessing.plan(b"", None).action for _ in range(200)}
    assert verbs == {*map(Verb, cognition_plans.always), Verb.MOVE}


def test_every_student_plays_as_many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(cognition_learned, "network", made.append)
    monkeypatch.setattr(cognition_plans, "_RETURNS", {})
    monkeypatch.setattr(
        "metabonk.learn.evaluate.play",
        lambda game, policy, episodes, number: {"return": np.full(episodes, float(number))},
    )
    taught = cognition_learned.Taught("gather")
    assert made == [0, 1, 2]
    made.clear()
    assert [taught.measure() for _ in range(cognition_learned.ROUNDS)] == [0, 1, 2, 3, 4, 5]
    taught.close()
    assert made == [0, 1, 2, 0, 1, 2]


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


GOALS = [  # words of the case, the peer, the ratio at least
    ("an answer of a model of 50 ms, 16 agents, p50", "asked directly, and 1 ms", 1.0),
    ("an answer of a model of 50 ms, 16 agents, p99", "asked directly, and 5 ms", 1.0),
    ("processor time of the whole server per strip", "0.5 ms", 1.0),
    ("processor time of the whole server per strip", "JSON + base64 (version 1)", 3.0),
    ("processor time of the whole client per strip, JPEGs", "0.35 ms", 1.0),
    ("processor time of the whole client per strip, JPEGs", "JSON + base64 (version 1)", 3.0),
    ("processor time of the whole client per strip, shared memory", "0.35 ms", 1.0),
    ("codec alone: client's", "JSON + base64", 3.0),
    ("codec alone: server's", "JSON + base64", 3.0),
    ("strips per second without a model, 16 agents", "500 strips/s", 1.0),
    ("with CURVE", "without CURVE, and 0.5 ms", 1.0),
    ("without an answer after a kill -9 of the server, p99 of 16 agents", "1.5 s", 1.0),
    ("the game's thread is held", "50 us", 1.0),
    ("valid directives among 1,000 of a real model server", "1,000 of 1,000", 1.0),
    ("answers in time when 4 times as many", "90% of what it answers alone", 1.0),
    ("Jain's fairness over 16 agents when 4 times as many", "0.95", 1.0),
    ("the embedded strategist's decision", "50 us", 1.0),
    *(
        (f"the rules' directives, level {level}", peer, 1.0)
        for level in ("regain", "gather", "duel")
        for peer in ("System 1 alone", "random directives", "retreat, always")
    ),
    ("ticks missed beside a System 2 that is up to 10 s late", "without System 2", 1.0),
    ("share of 200 random menus", "0.99", 1.0),
    *(
        (f"distilled from the rules, level {level}", "0.9 of the rules'", 1.0)
        for level in ("regain", "gather", "duel")
    ),
    ("a decision of the distilled policy", "1/100 of a real model's answer", 1.0),
    *(
        (f"without the model's time, {count} agents, {form}", "17 ms of 387", 1.0)
        for count in (1, 2, 4, 8, 12, 16)
        for form in ("shared memory", "JPEGs")
    ),
    ("latency by stage, the slowest of 1 to 16 agents", "387 ms", 1.0),
]


@pytest.mark.parametrize(("words", "peer", "least"), GOALS)
def test_a_goal_of_the_design_is_gated(words: str, peer: str, least: float) -> None:
    """Issue and design say them; a case that runs has the peer, and its gate is no lower."""
    [case] = [case for case in cognition.cases() if words in case.name]
    assert peer in {contender.name for contender in case.peers}
    assert gates.load()["cognition"][case.name][peer].goal >= least


def test_the_soak_is_as_the_design_has_it() -> None:
    """0 lost, doubled or stale is the case's evidence; this is what has to go wrong for it."""
    plan = cognition_soak.SOAK
    assert (plan.agents, plan.broker_kills, plan.model_kills) == (16, 20, 10)
    assert (plan.churn, plan.slow) == (0.02, 1)
    assert plan.model
    [case] = cognition_soak.cases()
    assert case.evidence is not None


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
    assert broker.connected == cognition_direct.AGENTS
    assert len(broker.agents) == cognition_direct.AGENTS
    assert sum(agent.decisions for agent in broker.agents) >= count
    assert broker.server_ms is not None
    assert broker.server_ms[0] > 1e3 * cognition_direct.MODEL_SECONDS / 2
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
        cognition_server.need(sample)


def test_what_the_rules_answer_is_not_counted_for_a_model_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They answer at once: a dead model would be the quickest, and the fairest."""
    monkeypatch.setattr(cognition_server, "ROUND_SECONDS", 1.0)
    monkeypatch.setattr(cognition_server, "OVERLOAD_ROUND", 1.0)
    for make in (cognition_server.Asked, cognition_server.Overloaded):
        meter = make()
        try:
            assert meter.swarm.model is not None
            meter.swarm.model.kill()
            with pytest.raises(LinkError, match="no request was decided"):
                meter.measured()
            assert meter.sample.statuses["fallback"] > 0
            assert not cognition_server.unaided(meter.sample)
        finally:
            meter.close()


def test_a_round_that_is_of_something_else_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is not the last one."""
    rows = [Round({"p50": 1.0}, "9 ok, 1 fallback", holds=False), Round({"p50": 1.0}, "9 ok")]
    monkeypatch.setattr(rounds, "_KEPT", {"some": rows})
    asked = [c for c in cognition_server.cases() if "an answer of a model" in c.name]
    over = [c for c in cognition_server.cases() if "times as many" in c.name]
    assert (len(asked), len(over)) == (2, 2)
    for case in (*asked, *over):
        meter = rounds.Shared("some", lambda: pytest.fail("it was measured"), "p50", 2)
        for _ in rows:
            meter.measure()
        assert case.evidence is not None
        assert not case.evidence(meter, meter).holds
        good = rounds.Shared("some", lambda: pytest.fail("it was measured"), "p50", 2)
        good._next = 1
        good.measure()
        assert case.evidence(good, good).holds


def test_where_half_was_answered_there_was_no_overload() -> None:
    meter = object.__new__(cognition_server.Overloaded)
    answered = {
        8: Sample(1.0, 16, [1.0] * 8, {"a": 8}, {"ok": 8, "rejected": 8}),
        7: Sample(1.0, 16, [1.0] * 7, {"a": 7}, {"ok": 7, "rejected": 9}),
    }
    for count, sample in answered.items():
        meter.driver = SimpleNamespace(paced=lambda *_, told=sample: told)
        found = meter.measured()
        assert found.holds == (count == 7)
        assert found.figures["in time"] == count


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
    good = cognition_soak.Soaked(soak=lambda plan, folder: report())
    assert good.measure() == pytest.approx(0.994, abs=0.01)
    assert cognition_soak.judged(good).holds
    lost = Fault("lost", "omega-0/1/1", "its outcome is not in the journal")
    bad = cognition_soak.Soaked(
        soak=lambda plan, folder: report(faults=[lost], fault_counts={"lost": 1})
    )
    assert bad.measure() == pytest.approx(0.994, abs=0.01)
    evidence = cognition_soak.judged(bad)
    assert not evidence.holds
    assert "1 lost" in evidence.note
    assert not cognition_soak.judged(cognition_soak.Soaked()).holds  # none was run


class Answers:
    """An adapter that gives something wrong now and then."""

    def __init__(self, every: int) -> None:
        self.every, self.asked, self.shown = every, 0, set[bytes]()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def decide(self, question: Any) -> Answer:
        self.asked += 1
        self.shown.add(question.packed + b"".join(frame.jpeg for frame in question.frames))
        target: Any = Entity(2**32 - 1) if self.asked % self.every == 0 else Hold()
        return Answer("test", directive=Directive(Verb.ATTACK, target, 2.0))


def test_an_answer_about_nothing_that_is_there_is_not_valid() -> None:
    asked = Answers(every=4)
    meter = cognition_valid.Valid(200, asked)
    assert meter.measure() == 150.0
    assert sum(meter.faults.values()) == 50
    assert meter.actions == {"attack": 150}
    assert "150 attack" in meter.note
    assert len(asked.shown) == asked.asked == 200, "no two questions are the same"
    assert cognition_valid.Valid(8, Answers(every=1000)).measure() == 8.0
    with pytest.raises(LinkError, match="no valid directive"):
        cognition_valid.Valid(8, Answers(every=1)).measure()

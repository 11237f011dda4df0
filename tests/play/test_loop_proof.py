"""play/proof.py, certificate.py, trace.py: figures from times that are made up, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from metabonk import artifact, machine
from metabonk.errors import ConfigError
from metabonk.play import certificate, proof, trace
from metabonk.play.ledger import Gate
from metabonk.play.loop import TIMES, LoopSettings

PERIOD = 16_666_667
MS = 1_000_000


def made_up(ticks: int = 300, skipped: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    """Times of ticks that took 0.4 ms each, captures 0.5 ms before the planned start."""
    rows = np.zeros(ticks, TIMES)
    rows["tick"] = np.arange(ticks)
    rows["planned"] = 10**9 + np.arange(ticks) * PERIOD
    rows["next"] = rows["planned"] + PERIOD
    for name, after in [("woke", 1000), ("began", 2000), ("found", 3000), ("seen", 10_000)]:
        rows[name] = rows["planned"] + after
    rows["decided"] = rows["planned"] + 350_000
    rows["acted"] = rows["planned"] + 400_000
    rows["capture"] = rows["planned"] - 500_000
    rows["ready"] = rows["capture"] + 100_000
    rows["sequence"] = np.arange(ticks) + 1
    rows["gate"] = Gate.DECIDED
    rows["cpu"] = 450_000
    return rows[~np.isin(rows["tick"], skipped)]


class MadeUp:
    """What `examine` asks of a loop. late: of the reference thread after each tick, ns."""

    def __init__(
        self,
        times: list[Any],
        late: dict[int, int] | None = None,
        game: dict[str, Any] | None = None,
    ) -> None:
        self.game_counts = {"skipped": 2} if game is None else game
        self.settings = LoopSettings()
        self.seats = [self] * len(times)
        self.loop = self
        self.deciders: list[Any] = []
        self._times, self._late = times, late or {}
        self.ticks = 300 if not len(times[0]) else max(300, int(times[0]["tick"][-1]) + 1)

    def times(self, agent: int) -> Any:
        return self._times[agent]

    def reference(self, first: int, count: int) -> dict[str, Any]:
        late = np.full(count, 20_000, np.int64)
        for tick, value in self._late.items():
            late[tick - first] = value
        return {"late": late}

    def granted(self) -> dict[str, Any]:
        return {"cpu": 1, "priority": 10}

    def counts(self) -> dict[str, Any]:
        agent = {"lost": 1, "untold": 0, "refused": 0}
        return {**agent, "agents": [agent] * len(self._times), "game": self.game_counts}


def examine(
    times: Any, late: dict[int, int] | None = None, loads: dict[str, int] | None = None
) -> proof.Report:
    all_times = times if isinstance(times, list) else [times]
    return proof.examine(MadeUp(all_times, late), loads or {})  # type: ignore[arg-type]


def test_figures_are_those_of_the_ticks() -> None:
    report = examine(made_up())
    assert report.ticks == 300 - proof.WARM_UP
    assert report.missed == report.excused == 0
    assert report.passed
    assert report.latency.p50 == report.latency.max == pytest.approx(0.9e-3)
    assert report.lateness.max == pytest.approx(1e-6)
    assert sum(report.latency.bins) == report.ticks
    assert report.agents[0].work.max == pytest.approx(398e-6)
    assert report.drops["ticks that the game skipped"] == 2


def test_quantiles_are_values_that_occurred() -> None:
    values = np.arange(1, 1001) * MS
    found = proof.spread(values)
    assert (found.p50, found.p99, found.max) == pytest.approx((0.501, 0.991, 1.0))
    assert found.p999 == pytest.approx(1.0, abs=0.0011)
    assert proof.spread(values[:0]).count == 0


def test_a_deadline_is_missed_when_the_action_leaves_after_the_next_start() -> None:
    times = made_up()
    times["acted"][100] = times["next"][100]  # just in time
    assert examine(times).missed == 0
    times["acted"][100] += 1
    report = examine(times)
    assert (report.missed, report.excused, report.passed) == (1, 0, False)


def test_a_skipped_tick_is_missed() -> None:
    report = examine(made_up(skipped=(150, 151)))
    assert report.agents[0].skipped == report.missed == 2
    assert not report.passed


@pytest.mark.parametrize(("late", "excused"), [(1_000_001, 1), (1_000_000, 0), (-1, 0)])
def test_a_reference_that_is_late_in_the_same_tick_excuses(late: int, excused: int) -> None:
    times = made_up()
    times["acted"][100] += PERIOD
    report = examine(times, {100: late})
    assert (report.missed, report.excused) == (1, excused)
    assert report.passed == bool(excused)
    assert examine(times, {101: 5 * MS, 99: 5 * MS}).excused == 0  # of another tick: none


HALF = PERIOD // 2


def test_a_loop_that_computes_for_too_long_is_not_excused_by_whom_it_kept_from_waking() -> None:
    """A policy of 20 ms a tick under real-time priority: the reference cannot wake beside it."""
    times = made_up()
    times["acted"] = times["next"] + 3 * MS
    starved = dict.fromkeys(range(proof.WARM_UP, 300), 12 * MS)
    times["cpu"] = 20 * MS
    report = examine(times, starved)
    assert (report.missed, report.excused, report.agents[0].busy) == (240, 0, 240)
    assert report.failures == (
        "240 deadlines were missed without excuse, 240 of them while the loop itself computed for "
        "half a period or more",
    )
    times["cpu"] = 450_000  # the same times, and it was somebody else who computed
    report = examine(times, starved)
    assert (report.missed, report.excused, report.agents[0].busy) == (240, 240, 0)
    assert report.passed


@pytest.mark.parametrize(("cpu", "excused"), [(HALF, 1), (HALF + 1, 0)])
def test_half_a_period_of_computing_is_too_long(cpu: int, excused: int) -> None:
    times = made_up()
    times["acted"][100] += PERIOD
    times["cpu"][100] = cpu
    assert examine(times, {100: 5 * MS}).excused == excused
    times["cpu"] = 450_000
    times["cpu"][99] = cpu  # it ran into this one
    assert examine(times, {100: 5 * MS}).excused == excused
    times["cpu"] = 450_000
    times["cpu"][[98, 101]] = cpu  # neither did
    assert examine(times, {100: 5 * MS}).excused == 1


def test_ticks_that_a_long_turn_skipped_are_its_own() -> None:
    late = {149: 20 * MS, 150: 20 * MS, 151: 5 * MS}
    times = made_up(skipped=(150, 151))
    report = examine(times, late)
    assert (report.missed, report.excused) == (2, 2)
    times["cpu"][149] = 45 * MS
    report = examine(times, late)
    assert (report.missed, report.excused, report.agents[0].busy) == (2, 0, 2)
    first = made_up(skipped=tuple(range(62)))  # there was no turn before
    assert examine(first, {60: 5 * MS, 61: 5 * MS}).excused == 2


@pytest.mark.parametrize("gate", [Gate.HELD, Gate.SAFE, Gate.HELD | Gate.UNANSWERED])
def test_who_decides_nothing_has_proven_nothing(gate: Gate) -> None:
    times = made_up()
    times["gate"][100:] = gate  # the game was killed
    report = examine(times)
    assert report.missed == 0
    assert len(report.failures) == 1
    assert report.failures[0].startswith("agent 0 decided in 40 of 240 ticks, it takes 99%")
    with pytest.raises(ConfigError, match="no certificate: agent 0 decided in 40 of 240 ticks"):
        certificate.of(report, "arena")
    times["gate"] = gate
    report = examine(times)
    assert report.latency.count == 0
    assert not report.passed


@pytest.mark.parametrize(("held", "passed"), [(2, True), (3, False)])
def test_of_a_hundred_ticks_one_may_hold(held: int, passed: bool) -> None:
    second = made_up()
    second["gate"][100 : 100 + held] = Gate.HELD  # of 240
    report = examine([made_up(), second])
    assert report.passed == passed
    assert all(failure.startswith("agent 1 decided") for failure in report.failures)


def test_a_policy_that_refuses_a_moment_does_not_pass() -> None:
    times = made_up()
    times["gate"][100] = Gate.HELD | Gate.FAULT
    report = examine(times)
    assert (report.missed, report.agents[0].faults) == (0, 1)
    assert report.failures == ("the policy refused 1 moments: is it one of this game?",)


def test_under_load_every_miss_has_an_excuse_and_the_reference_missed_as_many() -> None:
    times = made_up()
    times["acted"][[100, 200]] += PERIOD
    load = {"busy": 5}
    late = {100: PERIOD + 1, 200: 2 * PERIOD}
    report = examine(times, late, load)
    assert (report.reference_missed, report.missed, report.excused) == (2, 2, 2)
    assert report.passed
    elsewhere = examine(times, {120: PERIOD + 1, 130: 2 * PERIOD}, load)
    assert elsewhere.reference_missed == 2
    assert elsewhere.failures == ("2 deadlines were missed without excuse",)
    fewer = {100: PERIOD + 1, 200: 5 * MS}
    report = examine(times, fewer, load)
    assert report.excused == 2
    assert len(report.failures) == 1
    assert "missed under load" in report.failures[0]
    assert report.failures[0].endswith("missed 1")
    assert examine(times, fewer).passed  # without load an excuse is enough
    assert examine([times, made_up()], fewer, load).passed  # one for every agent


def test_what_was_dropped_is_told_of_what_the_game_counts() -> None:
    counted = {"frames_overtaken": 3, "frames_unusable": 1, "actions_skipped": 4, "inputs_lost": 5}
    times = made_up()
    found = proof.drops(MadeUp([times], game={**counted, "states": 9}))  # type: ignore[arg-type]
    for name, number in counted.items():
        assert found[proof.GAME_DROPS[name]] == number
    assert "ticks that the game skipped" not in found  # it does not count them
    assert found["captures that no tick saw"] == 1


NO_DROPS = {  # what games count besides: what arrived, what was tried again, where links ended
    "steps", "late_p99", "late_max", "connections", "refused", "replaced", "losses",
    "protocol_errors", "idle_losses", "states", "frames", "actions", "unknown_messages", "pongs",
    "bytes_in", "bytes_out", "frames_decoded", "observations", "resets", "torn",
}  # fmt: skip


def test_everything_that_games_count_is_a_drop_or_none(tmp_path: Path) -> None:
    from metabonk.games.arena import level_of
    from metabonk.play.live_games import ArenaLive, BonkLinkLive, ResearchLive

    counted: set[str] = set()
    for game in (
        ArenaLive(level_of(None, 1).pack(), [1], (0, 0)),
        BonkLinkLive(["pipe://nobody"], frames=(12, 16)),
        ResearchLive([tmp_path / "nobody"]),
    ):
        counted |= set(game.counts())
    assert counted == set(proof.GAME_DROPS) | NO_DROPS
    assert not set(proof.GAME_DROPS) & NO_DROPS


@pytest.mark.parametrize("skipped", [tuple(range(58, 65)), tuple(range(295, 300))])
def test_ticks_skipped_at_either_end_are_missed_too(skipped: tuple[int, ...]) -> None:
    report = examine(made_up(skipped=skipped))
    assert report.ticks == 240
    assert report.missed == report.agents[0].skipped == 5  # of the first, two are of the warm-up


def test_every_agent_counts() -> None:
    second = made_up()
    second["acted"][70] += PERIOD
    report = examine([made_up(), second])
    assert [agent.missed for agent in report.agents] == [0, 1]
    assert report.missed == 1
    assert not report.passed


WANTED = certificate.Demand(game="arena", hz=60.0, priority=10)  # as MadeUp was granted


def report_of(ticks: int) -> proof.Report:
    return examine(made_up(ticks + proof.WARM_UP))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    artifact.write(tmp_path / "p", kind="policy", seed=0, files={"a.bin": b"weights"})
    return tmp_path / "p"


def test_a_certificate_lies_beside_the_weights_and_leaves_the_hash(policy: Path) -> None:
    before = artifact.load(policy).hash
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, made)
    found = artifact.load(policy)
    assert found.hash == before
    assert certificate.certificates(found.card) == [made]
    assert certificate.require(policy, WANTED) == made
    assert made.decided == 1.0
    assert made.latency_p99 == pytest.approx(0.9e-3)
    assert made.ticks == 10_000
    assert made.priority == 10


def test_what_was_not_proven_gets_no_certificate() -> None:
    with pytest.raises(ConfigError, match=r"9,999 ticks, it takes 10,000"):
        certificate.of(report_of(9_999), "arena")
    times = made_up(10_000 + proof.WARM_UP)
    times["acted"][5000] += PERIOD
    with pytest.raises(ConfigError, match="1 deadlines were missed"):
        certificate.of(examine(times), "arena")


@pytest.mark.parametrize(
    ("changed", "asked", "said"),
    [
        ({}, {"hz": 120.0}, "of 60 ticks a second, not of 120.*--hz 120"),
        ({}, {"agents": 2}, "of 1 agents, not of 2.*--agents 2"),
        ({}, {"game": "bonklink"}, "of arena, not of bonklink.*--game bonklink"),
        ({}, {"priority": 0}, "real-time priority 10, this loop has none"),
        ({}, {"priority": 9}, "real-time priority 10, this loop has 9.*--realtime 9"),
        ({"processor": "another"}, {}, "another machine"),
        ({"ticks": 100}, {}, "too few"),
    ],
)
def test_a_certificate_of_something_else_does_not_hold(
    policy: Path, changed: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, msgspec.structs.replace(made, **changed))
    with pytest.raises(ConfigError, match=said):
        certificate.require(policy, msgspec.structs.replace(WANTED, **asked))


def test_a_certificate_of_more_than_is_wanted_holds(policy: Path) -> None:
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, made)
    less = certificate.Demand(game="arena", hz=30.0, agents=1, priority=50)
    assert certificate.require(policy, less) == made


def test_certificates_of_proofs_that_counted_no_decisions_are_left_out(policy: Path) -> None:
    made = msgspec.to_builtins(certificate.of(report_of(10_000), "arena"))
    artifact.certify(artifact.load(policy), {"latency": {**made, "hz": 60.0}})
    assert certificate.require(policy, WANTED)
    older = {key: value for key, value in made.items() if key != "decided"}
    artifact.write(policy.with_name("o"), kind="policy", seed=1, files={"a.bin": b"others"})
    artifact.certify(artifact.load(policy.with_name("o")), {"latency": older})
    with pytest.raises(ConfigError, match="no latency certificate"):
        certificate.require(policy.with_name("o"), WANTED)


def test_a_policy_without_a_certificate_says_how_to_come_by_one(policy: Path) -> None:
    artifact.certify(artifact.load(policy), {"fidelity": {"agreement": 1.0}})
    artifact.certify(artifact.load(policy), {"latency": {"from": "another version"}})
    with pytest.raises(ConfigError, match=r"no latency certificate.*--proof 10000"):
        certificate.require(policy, WANTED)


def test_the_newest_certificate_that_holds_counts(policy: Path) -> None:
    made = certificate.of(report_of(10_000), "arena")
    newer = msgspec.structs.replace(made, created="2031-01-01T00:00:00Z")
    elsewhere = msgspec.structs.replace(made, processor="another")
    for one in (made, newer, elsewhere):
        certificate.add(policy, one)
    assert machine.processor() != "another"
    assert certificate.require(policy, WANTED) == newer


def test_a_trace_shows_the_slowest_ticks_as_perfetto_reads_them() -> None:
    times = made_up()
    slow = [40, 150, 290]
    times["decided"][slow] += 3 * MS
    times["acted"][slow] += 3 * MS
    times["acted"][150] += 2 * PERIOD
    late = np.full(300, 20_000, np.int64)
    late[40] = -1
    found = json.loads(trace.perfetto([times, made_up()], late, 0))
    events = found["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    complete = [event for event in events if event["ph"] == "X"]
    assert all(event["dur"] >= 0 and event["ts"] > 0 for event in complete)
    names = {
        event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"
    }
    assert {event["tid"] for event in complete} <= set(names)
    ticks = {e["args"]["tick"]: e for e in complete if e["name"].endswith("tick") and e["tid"] == 1}
    assert set(slow) <= set(ticks)
    assert {38, 39, 41, 42} <= set(ticks)  # with what was around them
    assert ticks[150]["name"] == "missed tick"
    assert ticks[40]["dur"] == pytest.approx(3400.0)
    assert ticks[40]["args"]["capture to action, us"] == pytest.approx(3900.0)
    parts = [e for e in complete if e["tid"] == 1 and e["name"] == "decide"]
    longest = max(parts, key=lambda event: event["dur"])
    assert longest["dur"] == pytest.approx(3340.0)
    wakes = [event for event in complete if event["name"] == "wake late"]
    assert wakes
    assert all(event["dur"] == 20.0 for event in wakes)


def test_the_slowest_are_those_that_left_latest() -> None:
    times = made_up()
    order = np.random.default_rng(0).permutation(300)
    times["acted"] += order * 1000
    chosen = trace.slowest(times, 10)
    assert set(np.argsort(order)[-10:]) <= set(chosen["tick"].tolist())
    assert len(chosen) <= 50
    assert (np.diff(chosen["tick"].astype(int)) > 0).all()

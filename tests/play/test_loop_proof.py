"""play/proof.py: figures from times that are made up, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_times import MS, PERIOD, MadeUp, delay, examine, made_up

from metabonk.errors import ConfigError
from metabonk.play import certificate, proof
from metabonk.play.ledger import Gate


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
    delay(times, 100, int(times["next"][100] - times["acted"][100]))  # just in time
    assert examine(times).missed == 0
    delay(times, 100, 1)
    report = examine(times)
    assert (report.missed, report.excused, report.passed) == (1, 0, False)


@pytest.mark.parametrize("sent", [1, 0, -1])
def test_a_deadline_is_missed_when_the_thread_that_sends_is_late(sent: int) -> None:
    times = made_up()
    times["sent"][100] = times["next"][100]  # just in time
    assert examine(times).missed == 0
    # Later than that, not yet when it ended, never.
    times["sent"][100] = times["next"][100] + 1 if sent > 0 else sent
    report = examine(times)
    assert (report.missed, report.agents[0].sent_late, report.passed) == (1, 1, False)
    assert report.failures == (
        "1 deadlines were missed without excuse, 1 of them by the thread that sends to the game, "
        "which had a millisecond left or more",
    )
    # A reference on the loop's processor knows nothing of that thread.
    assert examine(times, {100: 5 * MS}).excused == 0
    # What came to it too late from the loop is the loop's, and the machine's if the reference says.
    times["acted"][100] = times["next"][100] - MS + 1
    report = examine(times, {100: 5 * MS})
    assert (report.missed, report.agents[0].sent_late, report.excused) == (1, 0, 1)


def test_latency_counts_until_an_action_left() -> None:
    times = made_up()
    times["sent"] += MS // 2
    times["sent"][100] = -1  # has none
    report = examine(times)
    assert report.latency.p50 == pytest.approx(1.4e-3)
    assert report.latency.count == report.agents[0].decided - 1
    assert report.agents[0].work.max == pytest.approx(398e-6)


@pytest.mark.parametrize(
    ("slow", "bound", "passed"),
    [(2, 2e-3, True), (3, 2e-3, False), (3, 5e-3, True), (3, 0.0, True)],
)
def test_a_policy_that_takes_too_long_does_not_pass(slow: int, bound: float, passed: bool) -> None:
    second = made_up()
    delay(second, slice(-slow, None), 4 * MS)  # of 240
    report = examine([made_up(), second], max_p99=bound)
    assert report.max_p99 == bound
    assert (report.missed, report.passed) == (0, passed)
    if not passed:
        assert report.failures == (
            "agent 1 took 4.900 ms from capture to action (p99), at most 2 may be: --max-p99 sets "
            "the bound, 0 lifts it",
        )
        with pytest.raises(ConfigError, match="no certificate: agent 1 took"):
            certificate.of(report, "arena")


def test_the_bound_that_is_usual_is_of_one_agent_over_the_ring() -> None:
    assert proof.default_p99("arena", 1, 60.0) == pytest.approx(2e-3)
    assert proof.default_p99("arena", 16, 60.0) == pytest.approx(5.75e-3)
    assert proof.default_p99("bonklink", 4, 50.0) == pytest.approx(0.02)


@pytest.mark.parametrize(
    "beside", [{"cpu": 0, "priority": 10}, {"cpu": -1, "priority": 10}, {"cpu": 1, "priority": 0}]
)
def test_a_reference_that_was_not_granted_the_same_excuses_nothing(
    beside: dict[str, int],
) -> None:
    times = made_up()
    assert not examine(times, beside=beside).alike
    assert examine(times, beside=beside).passed
    delay(times, 100, PERIOD)
    late = {100: PERIOD + 1}
    assert examine(times, late).excused == 1
    report = examine(times, late, beside=beside)
    assert (report.missed, report.excused, report.passed) == (1, 0, False)
    assert report.reference_granted == beside
    assert report.failures[0].endswith(f"for {proof.UNLIKE}")
    assert examine(times, late, {"busy": 3}).passed
    loaded = examine(times, late, {"busy": 3}, beside=beside)
    assert loaded.failures[1].endswith("in the place of every agent, missed 0")


def test_threads_that_nobody_holds_are_not_alike() -> None:
    free = MadeUp([made_up()], beside={"cpu": -1, "priority": 10})
    free.granted = lambda: {"cpu": -1, "priority": 10}  # type: ignore[method-assign]
    assert not proof.examine(free, {}).alike  # type: ignore[arg-type]


def test_a_skipped_tick_is_missed() -> None:
    report = examine(made_up(skipped=(150, 151)))
    assert report.agents[0].skipped == report.missed == 2
    assert not report.passed


@pytest.mark.parametrize(("late", "excused"), [(1_000_001, 1), (1_000_000, 0), (-1, 0)])
def test_a_reference_that_is_late_in_the_same_tick_excuses(late: int, excused: int) -> None:
    times = made_up()
    delay(times, 100, PERIOD)
    report = examine(times, {100: late})
    assert (report.missed, report.excused) == (1, excused)
    assert report.passed == bool(excused)
    assert examine(times, {101: 5 * MS, 99: 5 * MS}).excused == 0  # of another tick: none


HALF = PERIOD // 2


def test_a_loop_that_computes_for_too_long_is_not_excused_by_whom_it_kept_from_waking() -> None:
    """A policy of 20 ms a tick under real-time priority: the reference cannot wake beside it."""
    times = made_up()
    delay(times, slice(None), PERIOD + 3 * MS - 400_000)
    starved = dict.fromkeys(range(proof.WARM_UP, 300), 12 * MS)
    times["cpu"] = 20 * MS
    report = examine(times, starved, max_p99=0.0)
    assert (report.missed, report.excused, report.agents[0].busy) == (240, 0, 240)
    assert report.failures == (
        "240 deadlines were missed without excuse, 240 of them while the loop itself computed for "
        "half a period or more",
    )
    times["cpu"] = 450_000  # the same times, and it was somebody else who computed
    report = examine(times, starved, max_p99=0.0)
    assert (report.missed, report.excused, report.agents[0].busy) == (240, 240, 0)
    assert report.passed


@pytest.mark.parametrize(("cpu", "excused"), [(HALF, 1), (HALF + 1, 0)])
def test_half_a_period_of_computing_is_too_long(cpu: int, excused: int) -> None:
    times = made_up()
    delay(times, 100, PERIOD)
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
    delay(times, [100, 200], PERIOD)
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
    delay(second, 70, PERIOD)
    report = examine([made_up(), second])
    assert [agent.missed for agent in report.agents] == [0, 1]
    assert report.missed == 1
    assert not report.passed

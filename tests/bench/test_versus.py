"""The mechanism of the benchmarks, on clocks that tests wind themselves: no timing here."""

from __future__ import annotations

import numpy as np
import pytest
from metabonk.bench.meter import Plus, SpeedUp, Timed, fastest
from metabonk.bench.versus import AbsentError, Contender, Contest, ratio

from metabonk.errors import MissingExtraError


class FakeClock:
    """Time passes only where a test lets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Fixed:
    """A meter that gives these values in turn and writes down when it was asked."""

    def __init__(self, name: str, values: list[float], log: list[str]) -> None:
        self.name, self.values, self.log = name, list(values), log

    def prepare(self) -> None:
        self.log.append(f"prepare {self.name}")

    def measure(self) -> float:
        self.log.append(self.name)
        return self.values.pop(0)

    def close(self) -> None:
        self.log.append(f"close {self.name}")


def timed(clock: FakeClock, each: float, work: float | None = None, **settings: float) -> Timed:
    def run() -> None:
        clock.now += each

    return Timed(run, work, clock=clock, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [1e-6, 3e-3, 0.07])
def test_inner_loops_fill_a_round(seconds: float) -> None:
    meter = timed(FakeClock(), seconds, 1.0, seconds=0.2)
    meter.prepare()
    assert meter.loops * seconds == pytest.approx(0.2, rel=0.51 if seconds > 0.05 else 0.02)


def test_a_call_longer_than_a_round_is_made_once() -> None:
    clock = FakeClock()
    meter = timed(clock, 5.0, 10.0, seconds=0.2, warm=0.0)
    meter.prepare()
    assert meter.loops == 1
    before = clock.now
    assert meter.measure() == pytest.approx(2.0)
    assert clock.now == pytest.approx(before + 5.0)


def test_a_rate_is_work_per_second_and_a_duration_seconds_per_call() -> None:
    rate, duration = timed(FakeClock(), 0.004, 64.0), timed(FakeClock(), 0.004)
    for meter in (rate, duration):
        meter.prepare()
    assert rate.measure() == pytest.approx(64 / 0.004)
    assert duration.measure() == pytest.approx(0.004)


def test_warming_runs_before_calibration_and_is_not_measured() -> None:
    """The first calls are slow; neither the loop count nor the value knows of them."""
    clock, calls = FakeClock(), 0

    def run() -> None:
        nonlocal calls
        calls += 1
        clock.now += 0.5 if calls == 1 else 0.001

    meter = Timed(run, 1.0, clock=clock, seconds=0.2, warm=0.3)
    meter.prepare()
    assert meter.loops == pytest.approx(200, abs=1)
    assert meter.measure() == pytest.approx(1000.0)


def test_closing_twice_closes_once() -> None:
    closed: list[int] = []
    meter = Timed(lambda: None, close=lambda: closed.append(1))
    meter.close()
    meter.close()
    assert closed == [1]


def test_speed_up_is_many_over_one_and_allowance_is_added() -> None:
    log: list[str] = []
    up = SpeedUp(Fixed("one", [10.0, 20.0], log), Fixed("two", [19.0, 30.0], log))
    assert [up.measure(), up.measure()] == pytest.approx([1.9, 1.5])
    assert Plus(Fixed("a", [0.25], log), 1.0).measure() == pytest.approx(1.25)


def test_the_fastest_setting_is_kept_and_the_others_are_closed() -> None:
    log: list[str] = []
    slow, fast = Fixed("slow", [1.0, 2.0], log), Fixed("fast", [3.0, 1.0], log)
    assert fastest([slow, fast]) is fast
    assert "close slow" in log
    assert "close fast" not in log


def contest(log: list[str], ours: list[float], *peers: list[float]) -> Contest:
    def contender(name: str, values: list[float]) -> Contender:
        return Contender(name, lambda: Fixed(name, values, log))

    others = [contender(f"peer{i}", values) for i, values in enumerate(peers)]
    return Contest.open(contender("ours", ours), others)


def test_rounds_interleave() -> None:
    log: list[str] = []
    open_contest = contest(log, [1.0] * 3, [1.0] * 3, [1.0] * 3)
    assert log == ["prepare ours", "prepare peer0", "prepare peer1"]
    log.clear()
    for _ in range(3):
        open_contest.peers_round()
        open_contest.our_round()
    assert log == ["peer0", "peer1", "ours"] * 3


def test_the_ratio_is_within_rounds_so_that_a_drifting_machine_cancels() -> None:
    """Ours is twice as fast in every round while the machine slows down tenfold: the ratio of
    medians over unlike rounds would still see it, a ratio over all rounds of one then the other
    would not."""
    drift = np.geomspace(1.0, 0.1, 9)
    found = ratio(list(200.0 * drift), list(100.0 * drift), "higher")
    assert (found.low, found.median, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_durations_are_better_when_lower() -> None:
    assert ratio([1.0], [3.0], "lower").median == pytest.approx(3.0)
    assert ratio([1.0], [3.0], "higher").median == pytest.approx(1 / 3)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        noise = np.exp(generator.normal(0.0, 0.2, (2, 15)))
        found = ratio(list(3.0 * noise[0]), list(noise[1]), "higher")
        assert found.low <= found.median <= found.high
        held += found.low <= 3.0 <= found.high
    assert 0.88 <= held / 200 <= 1.0


def test_a_noisier_machine_has_a_wider_interval() -> None:
    generator = np.random.default_rng(0)

    def width(noise: float) -> float:
        ours = np.exp(generator.normal(0.0, noise, 15))
        found = ratio(list(ours), [1.0] * 15, "higher")
        return found.high - found.low

    assert width(0.01) < width(0.1) < width(0.5)


@pytest.mark.parametrize("values", [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])])
def test_rounds_that_are_no_pairs_are_refused(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        ratio(*values, "higher")


def absent(error: Exception) -> Contender:
    def fail() -> Fixed:
        raise error

    return Contender("absent", fail)


@pytest.mark.parametrize(
    "error", [MissingExtraError("nobody", "bench", "this"), AbsentError("not on this machine")]
)
def test_an_absent_peer_is_skipped_and_the_others_run(error: Exception) -> None:
    log: list[str] = []
    ours = Contender("ours", lambda: Fixed("ours", [2.0], log))
    here = Contender("here", lambda: Fixed("here", [1.0], log))
    open_contest = Contest.open(ours, [absent(error), here])
    open_contest.peers_round()
    open_contest.our_round()
    assert open_contest.skipped == {"absent": str(error)}
    assert open_contest.ratio("absent") is None
    found = open_contest.ratio("here")
    assert found is not None
    assert found.median == pytest.approx(2.0)


def test_without_ours_no_peer_is_opened() -> None:
    log: list[str] = []
    open_contest = Contest.open(
        absent(AbsentError("no")), [Contender("here", lambda: Fixed("here", [1.0], log))]
    )
    assert not open_contest.runs
    assert log == []


def test_a_broken_contender_closes_the_others() -> None:
    log: list[str] = []
    with pytest.raises(ZeroDivisionError):
        Contest.open(
            Contender("ours", lambda: Fixed("ours", [], log)), [absent(ZeroDivisionError("bug"))]
        )
    assert log == ["close ours"]


def test_two_contenders_of_one_name_are_refused() -> None:
    twin = Contender("twin", lambda: Fixed("twin", [], []))
    with pytest.raises(ValueError, match="different names"):
        Contest.open(twin, [twin])

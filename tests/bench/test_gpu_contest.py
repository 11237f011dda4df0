"""bench.gpu's plan of times without a GPU: which peers come when, what is noted, what is cold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from metabonk.bench.gpu import clock, contest, peers, report
from metabonk.bench.gpu.clock import Time
from metabonk.bench.gpu.plain import Plain
from metabonk.bench.gpu.report import Row
from metabonk.kernels.architectures import ARCHITECTURES
from metabonk.kernels.cases import Case
from metabonk.kernels.cost import Cost

CPU = torch.device("cpu")
Works = Sequence[Callable[[], object]]


def case(name: str, bytes_read: int = 100, waits: bool = False) -> Case:
    return Case(
        "vq_lookup",
        name,
        lambda device, seed: {"x": torch.ones(1)},
        lambda given: (given["x"],),
        lambda given: (given["x"],),
        Cost(bytes_read, 0),
        1.0,
        waits=waits,
    )


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Played clocks: the numbers of sets that were timed. One set takes 5 ms, every further one
    makes a run slower by a microsecond."""
    seen: list[int] = []

    def measure(works: Works) -> Time:
        for work in works:
            work()
        seen.append(len(works))
        return Time(5e-3 + 1e-6 * len(works), 4e-3, 6e-3)

    def wall(work: Callable[[], object], before: Callable[[], object] | None = None) -> Time:
        work()
        seen.append(0 if before is None else -1)
        return Time(1e-3, 1e-3, 1e-3)

    monkeypatch.setattr(contest, "measure", measure)
    monkeypatch.setattr(contest, "wall", wall)
    monkeypatch.setattr(contest, "flush", lambda device, cache: lambda: None)
    found = SimpleNamespace(L2_cache_size=100)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    return seen


def plain(_: Case, given: Any) -> Plain:
    return Plain(dict(given), lambda x: (x + 1.0,))


def test_a_case_gets_ours_and_its_peers_warm_and_cold(
    device: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "AT_ONCE", {"a": plain, "none": lambda case, given: None})
    row = Row("vq_lookup", "vq 1", 0.1)
    contest.fill(row, case("vq 1"), CPU, ARCHITECTURES["sm_90"], late=False)
    assert device == [1, 2, 1, 2]  # ours and the peer's, each on one set and on two
    assert (row.warm, row.cold) == (5e-3 + 1e-6, 5e-3 + 2e-6)
    assert row.peers == {"a": 5e-3 + 1e-6}
    assert row.cold_peers == {"a": 5e-3 + 2e-6}
    assert not row.note


def test_who_is_late_gets_ours_alone(device: list[int]) -> None:
    row = Row("vq_lookup", "vq 1", 0.1)
    contest.fill(row, case("vq 1"), CPU, ARCHITECTURES["sm_90"], late=True)
    assert device == [1]
    assert row.note == "out of time for peers and cold inputs"
    assert not row.peers


def test_what_is_long_is_not_timed_cold(device: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "AT_ONCE", {"a": plain})
    row = Row("vq_lookup", "vq 1", 0.1)
    contest.fill(row, case("vq 1", 20), CPU, ARCHITECTURES["sm_90"], late=False)
    assert device == [1, 1]  # ten sets of 5 ms each are more than a pass may take
    assert row.cold is None
    assert not row.cold_peers


def test_what_waits_is_timed_by_the_host(
    device: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "AT_ONCE", {"a": plain})
    row = Row("vq_lookup", "vq 1", 0.1)
    contest.fill(row, case("vq 1", waits=True), CPU, ARCHITECTURES["sm_90"], late=False)
    assert device == [0, -1, 0, -1]
    assert row.cold_peers == {"a": 1e-3}


def test_a_peer_that_cannot_is_noted_and_left_out(
    device: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(case: Case, given: Any) -> Plain:
        raise NotImplementedError("not on this device")

    monkeypatch.setattr(peers, "AT_ONCE", {"broken": broken, "a": plain})
    row = Row("vq_lookup", "vq 1", 0.1)
    contest.fill(row, case("vq 1"), CPU, ARCHITECTURES["sm_90"], late=False)
    assert list(row.peers) == ["a"]
    assert row.note == "broken: NotImplementedError; "


def test_every_kernel_is_compiled_once_before_any_twice() -> None:
    names = ["vq 1x2", "vq 2x2", "vq 3x2", "linear bf16 x fp8 64", "linear bf16 x fp8 65", "gru 1"]
    assert contest.in_rounds(names) == [
        *("vq 1x2", "linear bf16 x fp8 64", "gru 1"),
        *("vq 2x2", "linear bf16 x fp8 65", "vq 3x2"),
    ]
    name = "cuda linear nvfp4 by nvfp4"
    assert contest.kernel_of(f"{name} 1x960x2560") == name


def test_compiled_peers_end_with_the_time(
    device: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def compiled(case: Case, given: Any) -> Plain:
        made.append(case.name)
        return plain(case, given)

    monkeypatch.setattr(peers, "compiled", compiled)
    monkeypatch.setattr(Plain, "compiled", lambda self: self)
    names = ["vq 1", "vq 2", "gru 1", "gae 1"]
    rows = [Row("vq_lookup", name, 0.1, warm=1e-6) for name in names[:3]]
    rows.append(Row("vq_lookup", "gae 1", 2.0))  # wrong, so that nothing was timed
    contest.compile_in_rounds(rows, {n: case(n) for n in names}, CPU, lambda: len(made) == 2)
    assert made == ["vq 1", "gru 1"]
    assert [list(row.peers) for row in rows] == [["compile"], [], ["compile"], []]
    assert rows[1].note == "compile: out of time; "
    assert not rows[3].note


def test_a_wait_is_timed_without_what_comes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def spend(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    found = clock.wall(lambda: spend(1e-3), before=lambda: spend(1.0))
    assert found.seconds == pytest.approx(1e-3)
    runs: list[int] = []
    found = clock.wall(lambda: (runs.append(1), spend(1e-3)))
    assert len(runs) == clock.WALL_RUNS + clock.WARM_UPS
    runs.clear()
    clock.wall(lambda: (runs.append(1), spend(10.0)))
    assert len(runs) == clock.WALL_LEAST + clock.WARM_UPS


def test_the_table_compares_cold_with_cold() -> None:
    row = Row("a", "b", 0.5, 1e-6, "node", True, 2e-6, 4e-6, 0.0, {"eager": 8e-6}, {"eager": 12e-6})
    assert report.table([row]).splitlines()[1].split()[-3:] == ["eager", "4.00", "3.00"]

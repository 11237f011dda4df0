"""The `versus` fixture for pytest-benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from .case import Case, Info, measure
from .gates import Row, rows
from .versus import Contender, Contest

Versus = Callable[..., list[Row]]


@pytest.fixture
def versus(benchmark: Any) -> Versus:
    """`versus(ours, peers, suite=, name=, unit=, ...)` or `versus(case)`: the rows, judged.

    Ours is what pytest-benchmark times; the peers are measured in the set-up of each round, so that
    rounds interleave as everywhere. Ratios and intervals are stored in `extra_info`.
    """

    def compare(
        ours: Contender | Case, peers: Sequence[Contender] = (), **settings: Any
    ) -> list[Row]:
        case = ours if isinstance(ours, Case) else Case(ours=ours, peers=tuple(peers), **settings)

        def drive(contest: Contest) -> None:
            benchmark.pedantic(
                contest.our_round, setup=contest.peers_round, rounds=case.rounds, iterations=1
            )

        info: Info = measure(case, drive)
        benchmark.extra_info.update(info)
        if info["ours"] is None:
            pytest.skip("; ".join(p["skipped"] for p in info["peers"].values()))
        return rows(benchmark.extra_info)

    return compare

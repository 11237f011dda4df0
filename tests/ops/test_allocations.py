"""The measure other tests rest on: it sees what is kept and what is given back, nothing else."""

from __future__ import annotations

import itertools

from allocations import allocated


def test_what_every_call_keeps_is_seen() -> None:
    kept: list[bytes] = []
    assert allocated(lambda: kept.append(bytes(100))).kept > 20 * 100


def test_what_a_call_gives_back_is_seen_at_its_peak() -> None:
    found = allocated(lambda: bytes(10_000))
    assert found.kept < 512
    assert found.peak > 10_000


def test_what_another_thread_leaves_in_one_round_is_not_the_calls() -> None:
    others: list[bytes] = []
    count = itertools.count()

    def step() -> None:
        if next(count) % 60 == 30:  # in every third round, as a pool's thread would
            others.append(bytes(5000))

    assert allocated(step).kept < 512
    assert len(others) == 5

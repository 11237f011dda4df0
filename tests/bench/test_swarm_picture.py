"""bench/swarm/picture.py: every request of the ledgers is in it, as it ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from metabonk.bench.swarm import picture
from metabonk.bench.swarm.ledger import Answered, Applied, Asked

pytest.importorskip("matplotlib")
MS = 1_000_000
ENTRIES = [
    Asked(5000 * MS, "a/1/1", 5000 * MS, 6000 * MS),
    Answered(5040 * MS, "a/1/1", "ok"),
    Answered(5900 * MS, "a/1/1", "ok"),  # once more
    Applied(5041 * MS, "a/1/1"),
    Asked(5500 * MS, "a/1/2", 5500 * MS, 6500 * MS),
    Asked(6000 * MS, "b/1/1", 6000 * MS, 7000 * MS),
    Answered(6100 * MS, "b/1/1", "stale"),
]


def test_requests_are_where_they_were() -> None:
    first, found = picture.dots(ENTRIES)
    assert first == 5000 * MS
    assert sorted(found) == [
        picture.Dot(0.0, 40.0, "ok"),
        picture.Dot(0.5, 1000.0, "unanswered"),  # until its deadline
        picture.Dot(1.0, 100.0, "stale"),
    ]
    assert picture.dots([]) == (0, [])


def test_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "soak.png"
    picture.draw(path, ENTRIES, [5200 * MS, 5900 * MS], [5300 * MS])
    whole = path.read_bytes()
    assert whole.startswith(b"\x89PNG")
    picture.draw(path, ENTRIES, [], [])
    assert path.read_bytes() != whole  # the kills were in it

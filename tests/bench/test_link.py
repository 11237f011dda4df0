"""bench/link.py: every part is hooked, and the peers do the work that they are timed for."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from metabonk.bench import link
from metabonk.bench.link_deaths import BUDGET, Deaths, latest
from metabonk.bench.meter import Reading
from metabonk.bench.peers import pacing, streams


def tick(state: bytes, frame: bytes = b"") -> bytes:
    return struct.pack("<i", len(state)) + state + struct.pack("<i", len(frame)) + frame


def test_every_part_has_cases() -> None:
    names = [case.name for case in link.cases()]
    assert len(set(names)) == len(names)
    for word in ("frame 640x360x3", "was killed", "BonkLink", "60 Hz"):
        assert any(word in name for name in names), word


@pytest.mark.parametrize("name", streams.READERS)
def test_readers_end_with_the_newest_state(name: str) -> None:
    states = [bytes([n]) * (n + 1) for n in range(50)]
    data = b"".join(tick(s, b"frame" if n % 3 == 0 else b"") for n, s in enumerate(states))
    meter = streams.READERS[name](data, len(states))
    assert meter.run() == states[-1]
    wrong = streams.READERS[name](struct.pack("<i", -5) + bytes(100), 1)
    with pytest.raises(ValueError, match="a length of -5"):
        wrong.run()
    meter.close()
    wrong.close()


def test_the_sleeper_keeps_absolute_time() -> None:
    late = pacing.sleeper(500.0, 20)
    assert late.shape == (20,)
    assert (late >= 0).all()  # it never wakes before its time
    assert np.ptp(late) > 0


@pytest.mark.parametrize("killed", ["writer", "reader"])
def test_a_death_is_noticed_and_the_latest_counts(killed: str) -> None:
    meter = Deaths(killed, kills=2)  # type: ignore[arg-type]
    median = meter.measure()
    assert 0.0 < median == np.median(meter.seen)
    budget = Reading(lambda: BUDGET)
    meter.seen = [60.0, BUDGET, 61.0]
    assert latest(meter, budget).holds
    meter.seen.append(BUDGET + 0.1)  # the median is far below it
    assert not latest(meter, budget).holds
    assert "of 4 kills the latest after 100.1 ms" in latest(meter, budget).note
    meter.seen = []
    assert not latest(meter, budget).holds

"""play/loads.py: loads that really load, and end."""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
import pytest

from metabonk.errors import ConfigError
from metabonk.link.ring import RingWriter
from metabonk.play import loads


def wait_for(counts: dict[str, int], name: str, least: int) -> None:
    end = time.monotonic() + 60.0
    while counts[name] < least:
        assert time.monotonic() < end, f"{name} came round {counts[name]} times"
        time.sleep(0.01)


def test_a_busy_thread_comes_round_and_ends() -> None:
    before = threading.active_count()
    with loads.running(["busy"]) as counts:
        wait_for(counts, "busy", 3)
        assert threading.active_count() > before
    assert threading.active_count() == before
    done = counts["busy"]
    time.sleep(0.05)
    assert counts["busy"] == done


def test_collections_walk_as_many_objects_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "OBJECTS", 50_000)
    seen: list[int] = []
    real = gc.collect

    def collect() -> int:
        seen.append(len(gc.get_objects()))
        return real()

    gc.collect()  # what other tests left may not go while this one counts
    before = len(gc.get_objects())
    monkeypatch.setattr(gc, "collect", collect)
    with loads.running(["gc"]) as counts:
        wait_for(counts, "gc", 2)
    assert seen[0] - before > 45_000  # others may come and go meanwhile


def test_a_slow_reader_sits_on_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "READER_SECONDS", 0.05)
    name = f"loads-test-{os.getpid()}"
    with RingWriter(name, (4, 4, 3)) as ring, loads.running(["reader"], name) as counts:
        end = time.monotonic() + 60.0
        written = 0
        while counts["reader"] < 12 and time.monotonic() < end:
            ring.write(np.zeros((4, 4, 3), np.uint8), step=written)
            written += 1
            time.sleep(0.001)
    assert counts["reader"] >= 12
    assert written > 2 * counts["reader"], "the writer waited for the reader"


@pytest.mark.parametrize(("name", "said"), [("nothing", "busy, gc and reader"), ("reader", "ring")])
def test_a_load_that_cannot_be_is_named(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said), loads.running([name]):
        pass

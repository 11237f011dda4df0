"""play/trace.py: the slowest ticks as a timeline."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_up_times import MS, PERIOD, delay, made_up

from metabonk.play import trace


def test_a_trace_shows_the_slowest_ticks_as_perfetto_reads_them() -> None:
    times = made_up()
    slow = [40, 150, 290]
    times["decided"][slow] += 3 * MS
    delay(times, slow, 3 * MS)
    delay(times, 150, 2 * PERIOD)
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
    delay(times, slice(None), order * 1000)
    chosen = trace.slowest(times, 10)
    assert set(np.argsort(order)[-10:]) <= set(chosen["tick"].tolist())
    assert len(chosen) <= 50
    assert (np.diff(chosen["tick"].astype(int)) > 0).all()


def test_what_was_sent_late_or_never_is_shown_as_missed() -> None:
    times = made_up()
    times["sent"][100] += PERIOD
    times["sent"][200] = -1
    found = json.loads(trace.perfetto([times], np.full(300, -1, np.int64), 0))
    complete = [event for event in found["traceEvents"] if event["ph"] == "X"]
    ticks = {e["args"]["tick"]: e for e in complete if e["name"] == "missed tick"}
    assert set(ticks) == {100, 200}
    assert ticks[100]["dur"] == pytest.approx(400.0 + PERIOD / 1e3)
    assert "sent" not in ticks[100]["args"]
    assert ticks[200]["args"]["sent"] == "never"
    assert "capture to action, us" in ticks[100]["args"]
    assert "capture to action, us" not in ticks[200]["args"]
    (sending,) = [event for event in complete if event["name"] == "send"]
    assert sending["dur"] == pytest.approx(PERIOD / 1e3)

"""strips/strip.py: which frames a strip has, at which times, and how often each is encoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.cognition.strips.strip import AHEAD, PAST, SPACING, StripRing, decode, encode, shrunk
from metabonk.protocols import Array

MS = 1_000_000


def frame(number: int, height: int = 24, width: int = 32) -> Array:
    """A frame that says its number, JPEG or not."""
    return np.full((height, width, 3), number % 250, np.uint8)


def filled(times_ms: Sequence[float], **settings: object) -> StripRing:
    ring = StripRing(**settings)  # type: ignore[arg-type]
    for number, at in enumerate(times_ms):
        ring.add(frame(number), round(at * MS) + 1)
    return ring


class Still:
    """A predictor that shows what it was asked, in the frames' numbers."""

    name = "still"

    def __init__(self) -> None:
        self.asked: list[tuple[list[float], list[float]]] = []

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        self.asked.append((list(times), list(at)))
        return [frame(200 + k) for k in range(len(at))]


class Broken:
    name = "broken"

    def predict(
        self, frames: Sequence[Array], times: Sequence[float], at: Sequence[float]
    ) -> list[Array]:
        raise ValueError("no idea")


def test_a_strip_covers_300_ms_and_its_times_are_the_frames_own() -> None:
    ring = filled([k * 1000 / 60 for k in range(60)])
    strip = ring.strip()
    times = [(picture.at_ns - strip.captured_ns) / MS for picture in strip.pictures]
    assert len(times) == PAST + 1
    assert times == sorted(times)
    assert times[-1] == 0.0
    assert -330.0 <= times[0] <= -270.0  # the known design's covered 67 ms
    assert not any(picture.predicted for picture in strip.pictures)
    for k, at in enumerate(reversed(times[:-1]), 1):
        assert abs(at + k * SPACING * 1e3) <= SPACING * 1e3 / 2
    numbers = [decode(picture.jpeg)[0, 0, 0] for picture in strip.pictures]
    assert numbers == sorted(set(numbers))  # no frame twice
    assert numbers[-1] == 59


@settings(max_examples=60)
@given(
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=40), coded=st.lists(st.booleans()),
    spacing_ms=st.sampled_from([33.0, 50.0, 60.0]),
)  # fmt: skip
def test_of_the_frames_near_a_time_a_coded_one_is_taken_and_then_the_nearest(
    steps: list[int], coded: list[bool], spacing_ms: float
) -> None:
    """Against the rule said plainly, over all frames that are held."""
    ring = filled(np.cumsum(steps).tolist(), spacing=spacing_ms / 1e3)
    held = list(ring._entries)
    for entry, is_coded in zip(held, coded, strict=False):
        entry.jpeg = b"coded" if is_coded else b""
    spacing = round(spacing_ms * MS)
    wanted = [held[-1]]
    for k in range(1, PAST + 1):
        at = held[-1].at_ns - k * spacing
        near = [
            (not entry.jpeg, abs(entry.at_ns - at), number)
            for number, entry in enumerate(held)
            if entry.at_ns < wanted[0].at_ns and 2 * abs(entry.at_ns - at) <= spacing
        ]
        if near:
            wanted.insert(0, held[min(near)[2]])
    assert [e.at_ns for e in ring._chosen()] == [e.at_ns for e in wanted]


def test_predicted_frames_follow_with_their_times() -> None:
    predictor = Still()
    ring = filled([k * 30.0 for k in range(20)], predictor=predictor)
    strip = ring.strip()
    ahead = strip.pictures[-3:]
    assert [picture.predicted for picture in strip.pictures] == [False] * 6 + [True] * 3
    assert [(p.at_ns - strip.captured_ns) / 1e9 for p in ahead] == pytest.approx(AHEAD)
    times, at = predictor.asked[0]
    assert times[-1] == 0.0
    assert times == sorted(times)
    assert at == list(AHEAD)
    assert ring.counts.predicted == 3
    # A menu stands still: nothing is predicted there.
    assert not any(picture.predicted for picture in ring.strip(predict=False).pictures)


def test_a_predictor_that_fails_costs_its_frames_only() -> None:
    ring = filled([k * 30.0 for k in range(20)], predictor=Broken())
    assert len(ring.strip().pictures) == PAST + 1
    assert ring.counts.failed == 1


def test_a_short_past_makes_a_short_strip() -> None:
    assert filled([]).strip().pictures == ()
    assert len(filled([0.0]).strip().pictures) == 1
    assert len(filled([0.0, 60.0]).strip().pictures) == 2
    # After a pause what is older says nothing of the motion.
    assert len(filled([0.0, 60.0, 120.0, 5000.0]).strip().pictures) == 1


def test_each_frame_is_encoded_once() -> None:
    ring = filled([k * 30.0 for k in range(20)])
    first = ring.strip()
    assert first.encoded == PAST + 1
    again = ring.strip()
    assert again.encoded == 0
    assert again.pictures == first.pictures
    assert ring.add(frame(99), round(20 * 30.0 * MS) + 1)
    assert ring.strip().encoded <= PAST + 1
    assert ring.counts.encoded < 2 * (PAST + 1)


def test_what_is_encoded_ahead_is_used() -> None:
    ring = filled([k * 30.0 for k in range(20)])
    assert ring.prepare() >= 0.0
    assert ring.counts.encoded == PAST  # the newest frame will be another one
    ring.add(frame(20), round(20 * 30.0 * MS) + 1)  # the other half of the frames is nearer now
    strip = ring.strip()
    assert strip.encoded == 1
    assert len(strip.pictures) == PAST + 1
    times = [(picture.at_ns - strip.captured_ns) / MS for picture in strip.pictures]
    for k, at in enumerate(reversed(times[:-1]), 1):
        assert abs(at + k * SPACING * 1e3) <= SPACING * 1e3 / 2
    empty = StripRing()
    empty.prepare()
    assert empty.counts.encoded == 0


def test_what_is_no_frame_or_no_newer_one_is_counted() -> None:
    ring = filled([0.0, 30.0])
    assert not ring.add(frame(1), 30 * MS)
    assert ring.counts.late == 1
    for wrong in (np.zeros((24, 32), np.uint8), np.zeros((24, 32, 4), np.uint8),
                  np.zeros((24, 32, 3), np.float32), np.zeros((0, 0, 3), np.uint8)):  # fmt: skip
        assert not ring.add(wrong, 10**12)
    assert ring.counts.unusable == 4
    assert len(ring) == 2


def test_another_size_is_another_game() -> None:
    ring = filled([0.0, 60.0, 120.0])
    assert ring.add(frame(5, 48, 48), 180 * MS)
    assert len(ring.strip().pictures) == 1
    ring.clear()
    assert ring.strip().pictures == ()
    assert ring.newest_ns == 0


def test_large_frames_are_shrunk_and_keep_their_shape() -> None:
    wide = np.zeros((720, 1280, 3), np.uint8)
    wide[:, 640:] = 200
    small = shrunk(wide, (360, 640))
    assert small.shape == (360, 640, 3)
    assert small[:, :319].max() == 0
    assert small[:, 321:].min() == 200
    assert shrunk(frame(1), (360, 640)).shape == (24, 32, 3)
    tall = shrunk(np.zeros((1000, 100, 3), np.uint8), (360, 640))
    assert tall.shape == (360, 36, 3)


def test_jpegs_are_whole_and_show_the_frame() -> None:
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(rng.integers(0, 255, (6, 8, 3), np.uint8), 8, 0), 8, 1)
    jpeg = encode(smooth)
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    assert np.abs(decode(jpeg).astype(int) - smooth).mean() < 25
    assert encode(smooth[:, ::-1]) != jpeg  # a view is encoded as it is seen


@settings(max_examples=60)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=80))
def test_any_pace_makes_strips_in_order(gaps_ms: list[int]) -> None:
    ring = StripRing()
    at = 1
    for number, gap in enumerate(gaps_ms):
        at += gap * MS
        assert ring.add(frame(number, 16, 16), at)
    strip = ring.strip()
    times = [picture.at_ns for picture in strip.pictures]
    assert times == sorted(set(times))
    assert times[-1] == at
    assert len(times) <= PAST + 1
    assert all(2 * (at - t) <= (2 * PAST + 1) * round(SPACING * 1e9) for t in times)
    if max(gaps_ms) <= 40 and sum(gaps_ms[1:]) >= 400:
        assert len(times) == PAST + 1  # dense enough, long enough: nothing is missing

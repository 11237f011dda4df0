"""csrc/play/watch.h from Python: what a thread beside the loop sees of a seat, and when."""

from __future__ import annotations

import itertools
import select
import time
from pathlib import Path

import pytest
from small_broker import until
from test_system2 import live_at

from metabonk.records import FieldGroup, GameState


def test_a_watch_shows_a_moment_that_is_wanted(tmp_path: Path) -> None:
    from metabonk import _core

    live = live_at(tmp_path / "s", frames=(0, 0))
    watch = _core.play.Watch(3600.0, 0)  # one moment, and what is wanted
    watch.put_on(live.seats[0])

    def there() -> bool:
        return select.select([watch.fileno()], [], [], 0.0)[0] != []

    live.start()
    try:
        until(watch.look, "the first moment")
        for _ in range(3):
            assert not watch.wanted
            before = _core.play.now()
            watch.want()
            until(there, "a moment")
            assert not watch.wanted
            assert not there()
            look = watch.look()
            assert look is not None
            assert look[2] >= before
    finally:
        live.stop()
    assert watch.shown == 4


def test_a_watch_shows_moments_now_and_then(tmp_path: Path) -> None:
    from metabonk import _core

    live = live_at(tmp_path / "s")
    watch = _core.play.Watch(0.02, 24 * 32 * 3)
    watch.put_on(live.seats[0])
    live.start()
    try:
        looks = []
        end = time.monotonic() + 20.0
        while len(looks) < 12 and time.monotonic() < end:
            look = watch.look()
            if look is not None:
                looks.append(look)
            time.sleep(0.001)
    finally:
        live.stop()
    assert len(looks) == 12
    for (_, first, then, *_), (_, second, later, *_) in itertools.pairwise(looks):
        assert second > first
        assert later - then >= 20_000_000
    packed, _, capture, run, frame, began, ended = looks[-1]
    assert began <= capture
    assert run > 1 or ended is None
    assert GameState.unpack(packed).fields & FieldGroup.PLAYER
    assert frame.shape == (24, 32, 3)
    assert frame.max() > 0
    assert run >= 1
    assert watch.too_large == 0
    with pytest.raises(ValueError, match="every"):
        _core.play.Watch(-1.0, 0)

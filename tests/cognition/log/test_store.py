"""Frames on disk: each once, within the quota, and never a torn one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from peers import jpeg, until

from metabonk.cognition.log.store import FrameStore, name_of
from metabonk.errors import CorruptError

FRAMES = [jpeg(shade) for shade in range(40)]


def on_disk(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("??/*.jpg")}


def test_a_frame_is_kept_once(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=1 << 20)
    names = [store.put(FRAMES[n % 3]) for n in range(30)]
    store.close()
    store.close()
    assert len(set(names)) == 3
    assert on_disk(tmp_path) == {name.hex() for name in names}
    assert store.counts == {"stored": 3, "known": 27, "dropped": 0, "removed": 0, "stuck": 0}
    assert [store.get(name) for name in names[:3]] == FRAMES[:3]
    assert store.get(name_of(b"another")) is None


def test_the_quota_holds_and_the_oldest_go(tmp_path: Path) -> None:
    size = len(FRAMES[0])
    store = FrameStore(tmp_path, quota=10 * size + size // 2)
    for frame in FRAMES:
        store.put(frame)
    store.close()
    kept = sum(path.stat().st_size for path in tmp_path.glob("??/*.jpg"))
    assert kept <= store.quota
    assert store.bytes == kept
    assert store.get(name_of(FRAMES[-1])) == FRAMES[-1]
    assert store.get(name_of(FRAMES[0])) is None
    assert store.counts["removed"] + store.counts["dropped"] == len(FRAMES) - len(store)


def test_what_is_seen_again_is_not_the_oldest(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=5 * len(FRAMES[0]) + 100)
    for frame in FRAMES[1:20]:
        store.put(FRAMES[0])
        store.put(frame)
    store.close()
    assert store.get(name_of(FRAMES[0])) == FRAMES[0]


def test_a_restart_knows_what_is_there_and_clears_halves(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=1 << 20)
    for frame in FRAMES[:6]:
        store.put(frame)
    store.close()
    half = next(tmp_path.glob("??")) / "0123.partial"
    half.write_bytes(b"half")
    again = FrameStore(tmp_path, quota=1 << 20)
    until(lambda: len(again) == 6)
    assert not half.exists()
    again.put(FRAMES[0])
    assert again.counts["known"] == 1
    again.close()
    smaller = FrameStore(tmp_path, quota=3 * len(FRAMES[0]) + 100)
    smaller.close()
    assert len(on_disk(tmp_path)) == 3


def test_the_time_of_a_frame_ends(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=1 << 20)
    names = [store.put(frame) for frame in FRAMES[:4]]
    store.close()
    for name in names[:2]:
        path = tmp_path / name.hex()[:2] / f"{name.hex()}.jpg"
        os.utime(path, (time.time() - 200_000,) * 2)
    aged = FrameStore(tmp_path, quota=1 << 20, days=2.0)
    aged.close()
    assert on_disk(tmp_path) == {name.hex() for name in names[2:]}


def test_a_torn_frame_shows_when_it_is_read(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=1 << 20)
    name = store.put(FRAMES[0])
    store.close()
    path = tmp_path / name.hex()[:2] / f"{name.hex()}.jpg"
    path.write_bytes(FRAMES[0][:-10])
    with pytest.raises(CorruptError, match="damaged"):
        store.get(name)


def test_a_disk_that_takes_nothing_costs_frames_only(tmp_path: Path) -> None:
    store = FrameStore(tmp_path, quota=1 << 20)
    name = name_of(FRAMES[0])
    (tmp_path / name.hex()[:2]).write_bytes(b"a file where a folder should be")
    assert store.put(FRAMES[0]) == name
    fine = store.put(FRAMES[1])
    store.close()
    assert store.counts["dropped"] == 1
    assert store.bytes == len(FRAMES[1])
    assert store.get(fine) == FRAMES[1]


def test_what_cannot_be_removed_stops_nothing_else(tmp_path: Path) -> None:
    """Things of others where frames lie: they stay, are told of, and frames go on."""
    store = FrameStore(tmp_path, quota=1 << 20)
    names = [store.put(frame) for frame in FRAMES[:4]]
    store.close()
    path = tmp_path / names[0].hex()[:2] / f"{names[0].hex()}.jpg"
    path.unlink()
    for folder in (path, path.with_name("1.partial")):  # neither is a file, and neither is empty
        folder.mkdir()
        (folder / "kept").write_bytes(b"another's")
    os.utime(path, (0, 0))  # so it is the first to go
    again = FrameStore(tmp_path, quota=len(FRAMES[0]) + 100)
    until(lambda: again.counts["removed"] >= 2)
    again.put(FRAMES[9])
    again.close()
    assert again.counts["stuck"] == 1
    assert again.counts["stored"] == 1
    assert (path / "kept").exists()
    assert FRAMES[9] == again.get(name_of(FRAMES[9]))


def test_no_quota_keeps_nothing(tmp_path: Path) -> None:
    store = FrameStore(tmp_path / "none", quota=0)
    assert store.put(FRAMES[0]) == name_of(FRAMES[0])
    store.close()
    assert not (tmp_path / "none").exists()

"""data/recorder.py: every row that was taken is on the disk once, however slow or full that is."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from recordings import keeping_journals

from metabonk.data import recorder as module
from metabonk.data.episode import EpisodeStore, Header
from metabonk.data.journal import Journal
from metabonk.data.npz import read_npz
from metabonk.data.recorder import Recorder
from metabonk.data.recovery import recover
from metabonk.data.sampling import CAPTURE, DECISIONS, Row
from metabonk.data.sinks import NpzSink, read_entries
from metabonk.errors import ConfigError, CorruptError
from metabonk.records import ACTION_LAYOUT

HEADER = Header.of(ACTION_LAYOUT, source="test", seed=5, actor="random", num_envs=1, rate=100.0)
BOTH = ("episodes", "npz")


def row(t: int, length: int = 5, columns: int = 12) -> Row:
    """Row t of episodes of `length` decisions and a last observation."""
    at = t % (length + 1)
    return {
        "observation/pixels": np.full((2, 3, 3), t % 251, np.uint8),
        "action": np.full(columns, t % 7, np.float32),
        "reward": np.array(0.0 if at == length else 1.0, np.float32),
        "terminated": np.array(at == length - 1),
        "truncated": np.array(False),
        "is_first": np.array(at == 0),
        "is_last": np.array(at == length),
        CAPTURE: np.array(t * 10, np.int64),
        DECISIONS: np.array(int(at != length), np.int32),
    }


def times_of_episodes(directory: Path) -> list[int]:
    store = EpisodeStore(directory / "episodes")
    store.verify()
    episodes = [store.read(*key) for key in store.entries(complete=False)]
    return [int(t) for e in episodes for t in e.extra["capture_ns"]]


def times_of_npz(directory: Path) -> list[int]:
    found = [read_npz(directory / e.file) for e in read_entries(directory) if e.file]
    return [int(t) for episodes in found for e in episodes for t in e.extra["capture_ns"]]


def check(directory: Path, rows: range, length: int = 5) -> None:
    """Exactly these rows are there, in both formats; npz files lack last observations."""
    assert times_of_episodes(directory) == [t * 10 for t in rows]
    acted = [t * 10 for t in rows if t % (length + 1) != length]
    assert times_of_npz(directory) == acted


@pytest.mark.parametrize("chunk_bytes", [1, 700, 1 << 20])
def test_rows_are_recorded_once_in_both_formats(tmp_path: Path, chunk_bytes: int) -> None:
    with Recorder(tmp_path, HEADER, formats=BOTH, chunk_bytes=chunk_bytes) as recorder:
        assert all(recorder.append(row(t)) for t in range(40))
    counts = recorder.counts
    assert (counts.taken, counts.kept, counts.closed) == (40, 40, 40)
    assert (counts.dropped, counts.gaps) == (0, 0)
    check(tmp_path, range(40))
    assert not list(tmp_path.glob("journal-*"))
    assert len(EpisodeStore(tmp_path / "episodes").entries()) == 6


def test_npz_files_say_where_they_belong(tmp_path: Path) -> None:
    with Recorder(tmp_path, HEADER, formats=("npz",), chunk_bytes=700) as recorder:
        for t in range(14):
            recorder.append(row(t))
    entries = read_entries(tmp_path)
    assert [e.first for e in entries[1:]] == [e.stop for e in entries[:-1]]
    for number in (0, 1, 2):
        chunks = [e.chunk_index for e in entries if e.episode == number]
        assert chunks == list(range(len(chunks)))
    raw = np.load(tmp_path / entries[0].file, allow_pickle=False)
    assert raw["actions"].shape[1] == 10
    assert raw["observations"].dtype == np.uint8
    assert not raw["dones"][-1] or entries[0].ended == "terminated"


def test_going_on_where_one_ended(tmp_path: Path) -> None:
    for part in (range(10), range(10, 13), range(13, 30)):
        with Recorder(tmp_path, HEADER, formats=BOTH) as recorder:
            for t in part:
                recorder.append(row(t))
    check(tmp_path, range(30))


class Blocked:
    """Holds up every call of a method until it is opened, as a disk does that stalls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.gate = threading.Event()
        real = getattr(owner, name)

        def call(self_: Any, rows: Any) -> None:
            assert self.gate.wait(60)
            real(self_, rows)

        monkeypatch.setattr(owner, name, call)


def test_slow_chunks_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressing and writing files lags behind: journals wait for it on the disk."""
    blocked = Blocked(monkeypatch, NpzSink, "write")
    recorder = Recorder(tmp_path, HEADER, formats=BOTH, full="drop", chunk_bytes=600)
    for t in range(300):
        until(lambda: recorder.behind < 50)
        assert recorder.append(row(t))
    until(lambda: recorder.counts.kept == 300)
    assert recorder.counts.closed == 0
    assert len(list(tmp_path.glob("journal-*"))) > 50
    blocked.gate.set()
    counts = recorder.close()
    assert (counts.taken, counts.closed, counts.dropped) == (300, 300, 0)
    check(tmp_path, range(300))
    assert not list(tmp_path.glob("journal-*"))


def test_a_disk_that_stalls_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even journals can be written for a while: whoever plays waits."""
    blocked = Blocked(monkeypatch, Journal, "append")
    recorder = Recorder(tmp_path, HEADER, formats=BOTH, chunk_bytes=600)
    player = threading.Thread(target=lambda: [recorder.append(row(t)) for t in range(300)])
    player.start()
    until(lambda: recorder.behind == 50)  # half a second of rows, then it is full
    assert player.is_alive()
    assert recorder.counts.taken <= 51
    blocked.gate.set()
    player.join(60)
    counts = recorder.close()
    assert (counts.taken, counts.closed, counts.dropped) == (300, 300, 0)
    assert counts.waited > 0.0
    check(tmp_path, range(300))


def test_a_game_that_cannot_wait_drops_counts_and_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked(monkeypatch, Journal, "append")
    recorder = Recorder(tmp_path, HEADER, formats=BOTH, full="drop", chunk_bytes=600)
    taken = [t for t in range(300) if recorder.append(row(t, length=10**6))]
    assert len(taken) <= 51
    blocked.gate.set()
    until(lambda: recorder.behind == 0)
    taken += [t for t in range(300, 310) if recorder.append(row(t, length=10**6))]
    counts = recorder.close()
    assert counts.dropped == 310 - len(taken) > 0
    assert times_of_episodes(tmp_path) == [t * 10 for t in taken] == times_of_npz(tmp_path)
    # No episode goes on over a gap: within one, every row follows the one before.
    store = EpisodeStore(tmp_path / "episodes")
    cuts = 0
    for key in store.entries(complete=False):
        steps = np.diff(store.read(*key).extra["capture_ns"])
        assert (steps == 10).all()
        cuts += 1
    assert cuts == counts.gaps + 1 > 1


def until(condition: Callable[[], bool]) -> None:
    """Waits for something that must come; gives up only when it hangs."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come")


def test_a_full_disk_is_raised_and_the_rest_is_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, HEADER, formats=BOTH, chunk_bytes=600)
    for t in range(20):
        recorder.append(row(t))
    until(lambda: recorder.counts.kept == 20)
    real = Journal.append
    until(lambda: not recorder.behind)
    full = OSError(errno.ENOSPC, "No space left on device")

    def append(self: Journal, row: Row) -> None:
        raise full

    monkeypatch.setattr(Journal, "append", append)
    recorder.append(row(20))
    until(lambda: recorder._error is not None)
    with pytest.raises(OSError, match="No space left"):
        recorder.append(row(21))
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    monkeypatch.setattr(Journal, "append", real)
    with Recorder(tmp_path, HEADER, formats=BOTH) as again:
        again.append(row(20))
    check(tmp_path, range(21))


KILLED = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_recorder import *
recorder = Recorder(sys.argv[1], HEADER, formats=BOTH, chunk_bytes=int(sys.argv[2]))
for t in range(10**9):
    recorder.append(row(t))
    threading.Event().wait(0.001)
    if t % 10 == 9 and recorder.counts.kept:
        print(recorder.counts.kept, recorder.counts.taken, flush=True)
"""


@pytest.mark.parametrize("chunk_bytes", [600, 1 << 20])
def test_a_kill_loses_nothing_that_was_in_a_journal(tmp_path: Path, chunk_bytes: int) -> None:
    for run in range(3):
        place = tmp_path / str(run)
        command = [sys.executable, "-c", KILLED, str(place), str(chunk_bytes)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(3 + 5 * run)]
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].splitlines()
        kept, taken = map(int, [line for line in [*said, *rest] if line.strip()][-1].split())
        recovered = recover(place)
        rows = len(times_of_episodes(place))
        assert rows >= kept > 0
        assert rows >= taken - 1.0 * HEADER.rate  # of what was taken, less than a second is gone
        assert recovered <= rows
        check(place, range(rows))
        assert recover(place) == 0
        assert not list(place.glob("journal-*"))


@pytest.mark.parametrize("stage", ["before", "between", "after"])
def test_a_kill_while_a_chunk_is_closed_doubles_nothing(tmp_path: Path, stage: str) -> None:
    """The journal is still there although one sink, or both, have its rows already."""
    formats = {"before": (), "between": ("episodes",), "after": BOTH}[stage]
    with keeping_journals() as seen, Recorder(tmp_path, HEADER, formats=BOTH) as recorder:
        for t in range(17):
            recorder.append(row(t))
    if "episodes" not in formats:
        for path in (tmp_path / "episodes").glob("*[!n]"):
            if path.name != "header.json":
                path.unlink()
    if "npz" not in formats:
        for path in [*tmp_path.glob("*.npz"), *tmp_path.glob("*.jsonl")]:
            path.unlink()
    (name,) = seen
    (tmp_path / name).write_bytes(seen[name])
    assert recover(tmp_path) == 17
    check(tmp_path, range(17))


def test_a_row_at_hand_is_recovered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill leaves the folder while the row is at hand, after it was completed, and where the
    row before it is gone."""
    monkeypatch.setattr(module, "HELD_SECONDS", 0.01)
    place = tmp_path / "rec"

    def killed(name: str) -> Path:
        shutil.copytree(place, tmp_path / name)
        return tmp_path / name

    with Recorder(place, HEADER, formats=BOTH) as recorder:
        recorder.append(row(0))
        recorder.hold(row(1))
        until(lambda: (place / "journal-at-hand").exists())
        at_hand = killed("at hand")
        lost = killed("lost")
        (lost / "journal-000000000000").unlink()
        recorder.append(row(1))
        until(lambda: recorder.counts.kept == 2)
        completed = killed("completed")
    assert recover(lost) == 0
    assert times_of_episodes(lost) == []
    for folder in (at_hand, completed):
        assert recover(folder) == 2
        check(folder, range(2))
        assert not list(folder.glob("journal-*"))
    check(place, range(2))
    assert not list(place.glob("journal-*"))


def test_rows_that_come_seldom_are_in_a_journal_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = msgspec.structs.replace(HEADER, rate=0.2)
    disk = Blocked(monkeypatch, Journal, "append")
    with Recorder(tmp_path, header) as recorder:
        one = threading.Thread(target=recorder.append, args=(row(0),))
        one.start()
        until(lambda: recorder.counts.taken == 1)
        one.join(0.2)
        assert one.is_alive()  # the disk does not take it: the game waits
        disk.gate.set()
        one.join()
        assert recorder.counts.kept == 1
    with Recorder(tmp_path / "live", header, full="drop") as recorder:
        disk.gate.clear()
        until(lambda: not recorder.append(row(0)))
        assert recorder.counts.taken <= 2  # one that is being written, one in the queue
        disk.gate.set()


def test_nobody_is_recovered_while_recording(tmp_path: Path) -> None:
    with Recorder(tmp_path, HEADER) as recorder:
        recorder.append(row(0))
        until(lambda: recorder.counts.kept == 1)
        assert recover(tmp_path) == 0
        with pytest.raises(ConfigError, match="somebody records there now"):
            Recorder(tmp_path, HEADER)
    assert times_of_episodes(tmp_path) == [0]


def test_other_recordings_are_left_alone(tmp_path: Path) -> None:
    Recorder(tmp_path / "a", HEADER).close()
    other = Header.of(ACTION_LAYOUT, source="other", seed=5, actor="random", num_envs=1)
    with pytest.raises(CorruptError, match="records source 'test', not 'other'"):
        Recorder(tmp_path / "a", other)
    with Recorder(tmp_path / "b", HEADER, formats=("npz",)) as recorder:
        recorder.append(row(0))
    slower = Header.of(ACTION_LAYOUT, source="test", seed=5, actor="x", num_envs=1, rate=2.0)
    with pytest.raises(CorruptError, match="at 100 rows per second, not test at 2"):
        Recorder(tmp_path / "b", slower, formats=("npz",))
    Recorder(tmp_path / "a", HEADER).close()  # a refusal gives the folder back


def test_frames_of_another_size_begin_another_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path, HEADER, formats=BOTH) as recorder:
        for t in range(8):
            changed = row(t, length=10**6)
            side = 2 if t < 5 else 4
            changed["observation/pixels"] = np.full((side, side, 3), t, np.uint8)
            recorder.append(changed)
    store = EpisodeStore(tmp_path / "episodes")
    lengths = [len(store.read(*key)) for key in store.entries(complete=False)]
    assert lengths == [5, 3]
    assert recorder.counts.gaps == 1


def test_rows_without_frames_are_no_npz(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, HEADER, formats=("npz",))
    plain = row(0)
    del plain["observation/pixels"]
    recorder.append(plain)
    with pytest.raises(ConfigError, match="shows no frames"):
        recorder.close()


def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal-0").write_bytes(b'{"magic": "something else"}\n')
    with pytest.raises(CorruptError, match="journal-0 is no journal"):
        Recorder(tmp_path, HEADER)
    (tmp_path / "journal-0").write_bytes(b'{"magic": "metabonk-jour')  # killed while it was begun
    Recorder(tmp_path, HEADER).close()
    assert os.listdir(tmp_path / "episodes") == ["header.json"]


def test_the_queue_is_half_a_second() -> None:
    assert module.QUEUE_SECONDS <= 1.0  # what a kill may take, with the row at hand

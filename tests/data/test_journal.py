"""data/journal.py: whatever a kill leaves, whole rows come back and nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metabonk.data import journal
from metabonk.data.journal import Journal
from metabonk.errors import CorruptError


def row(t: int) -> dict[str, np.ndarray]:
    return {
        "flag": np.array(t % 2 == 0),
        "frame": np.full((3, 5, 3), t, np.uint8),  # odd sizes: what follows is not aligned
        "reward": np.array(t / 2, np.float32),
        "empty": np.zeros(0, np.float32),
        "time": np.array([t, -t], np.int64),
    }


def written(path: Path, rows: int) -> Path:
    made = Journal(path, row(0), {"first": 7})
    for t in range(rows):
        made.append(row(t))
    made.sync()
    made.close()
    return path


def check(found: journal.Rows, rows: int) -> None:
    assert found.details == {"first": 7}
    for key, value in row(0).items():
        assert found.arrays[key].dtype == value.dtype
        assert found.arrays[key].shape == (rows, *value.shape)
        for t in range(rows):
            np.testing.assert_array_equal(found.arrays[key][t], row(t)[key])


def test_rows_come_back(tmp_path: Path) -> None:
    found = journal.read(written(tmp_path / "j", 6))
    check(found, 6)
    assert found.torn == 0
    check(journal.read(written(tmp_path / "k", 0)), 0)


@settings(max_examples=60)
@given(st.data())
def test_any_torn_end_costs_only_the_row_it_tore(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("torn") / "j", 5)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    width = (len(whole) - head) // 5
    cut = data.draw(st.integers(head, len(whole)))
    path.write_bytes(whole[:cut])
    check(journal.read(path), (cut - head) // width)


@settings(max_examples=60)
@given(st.data())
def test_a_changed_byte_ends_the_journal_there(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("bad") / "j", 5)
    whole = bytearray(path.read_bytes())
    head = whole.index(b"\n") + 1
    at = data.draw(st.integers(head, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    found = journal.read(path)
    check(found, (at - head) // ((len(whole) - head) // 5))
    assert found.torn > 0


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_journal_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "j"
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="is no journal"):
        journal.read(path)


@pytest.mark.parametrize("dtype", ["O", "V8", "U3", "M8[ns]", "nonsense"])
def test_only_numbers_are_read(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "j"
    head = f'{{"magic":"{journal.MAGIC}","details":{{}},"fields":[["x","{dtype}",[]]]}}\n'
    path.write_bytes(head.encode() + bytes(64))
    with pytest.raises(CorruptError, match="is no journal"):
        journal.read(path)


def test_a_huge_journal_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "j", 3)
    with pytest.raises(CorruptError, match="a journal has at most 10"):
        journal.read(path, most_bytes=10)


def test_other_rows_are_refused(tmp_path: Path) -> None:
    made = Journal(tmp_path / "j", row(0), {})
    with pytest.raises(ValueError, match="row: fields"):
        made.append({"flag": np.array(True)})
    with pytest.raises(ValueError, match=r"reward: float64 \(\), expected float32"):
        made.append(row(0) | {"reward": np.array(0.5)})


def test_a_full_disk_leaves_whole_rows(tmp_path: Path) -> None:
    made = Journal(tmp_path / "j", row(0), {"first": 7})
    made.append(row(0))
    real = made._file

    class Full:
        """Takes ten bytes and then no more."""

        def __init__(self) -> None:
            self.left = 10

        def write(self, data: memoryview) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left = 0
            return real.write(data[:10])

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    made._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        made.append(row(1))
    made._file = real
    made.append(row(1))
    made.close()
    assert os.path.getsize(tmp_path / "j") == made.nbytes
    check(journal.read(tmp_path / "j"), 2)

"""play/journal.py: journals in parts, whole, torn and damaged in any of them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from metabonk import _core
from metabonk.errors import CorruptError
from metabonk.play import journal
from metabonk.play.journal import HEADER_BYTES, JournalReader
from metabonk.play.ledger import create, path_of, read_journal

RECORD = np.dtype([("crc", "<u4"), ("number", "<u4"), ("rest", "u1", 56)])
COUNT = 500
IN_A_PART = 7


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a journal that is read in parts of a few records."""
    monkeypatch.setattr(journal, "PART_BYTES", IN_A_PART * RECORD.itemsize + 3)
    written = create(tmp_path, "seen", RECORD.itemsize, COUNT)
    row = np.zeros(1, RECORD)
    for number in range(COUNT):
        row["number"] = number + 1
        assert written.push(row.tobytes())
    written.flush()
    return path_of(tmp_path, "seen")


def test_parts_are_the_whole(path: Path) -> None:
    with JournalReader(path, "seen", RECORD) as reader:
        parts = list(reader.parts())
        assert (reader.count, reader.torn) == (COUNT, 0)
        assert reader.read(123, 3)["number"].tolist() == [124, 125, 126]
    assert [len(part) for part in parts] == [IN_A_PART] * 71 + [3]
    whole, torn = read_journal(path, "seen", RECORD)
    assert torn == 0
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert whole["number"].tolist() == list(range(1, COUNT + 1))


@pytest.mark.parametrize("record", [0, IN_A_PART - 1, IN_A_PART, 250, COUNT - 2])
def test_damage_in_any_part_is_an_error(path: Path, record: int) -> None:
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES + record * RECORD.itemsize + 20] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=f"damaged at record {record} of {COUNT}"):
        JournalReader(path, "seen", RECORD)


def test_an_end_of_zeros_over_several_parts_is_left_out(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data + bytes(5 * IN_A_PART * RECORD.itemsize + 9))
    with JournalReader(path, "seen", RECORD) as reader:
        assert (reader.count, reader.torn) == (COUNT, 5 * IN_A_PART * RECORD.itemsize + 9)
        assert sum(len(part) for part in reader.parts()) == COUNT
    path.write_bytes(data + bytes(5 * IN_A_PART * RECORD.itemsize) + b"\1" * RECORD.itemsize)
    with pytest.raises(CorruptError, match=f"damaged at record {COUNT} of"):
        JournalReader(path, "seen", RECORD)


def test_a_file_that_is_cut_short_meanwhile_is_an_error(path: Path) -> None:
    with JournalReader(path, "seen", RECORD) as reader:
        path.write_bytes(path.read_bytes()[: HEADER_BYTES + 30 * RECORD.itemsize])
        assert len(reader.read(20, 10)) == 10
        with pytest.raises(CorruptError, match="cut short while it was read"):
            list(reader.parts())


def test_what_is_appended_meanwhile_is_not_seen(tmp_path: Path) -> None:
    written = create(tmp_path, "seen", RECORD.itemsize, COUNT)
    row = np.ones(1, RECORD)
    written.push(row.tobytes())
    written.flush()
    with JournalReader(path_of(tmp_path, "seen"), "seen", RECORD) as reader:
        written.push(row.tobytes())
        written.flush()
        assert reader.count == sum(len(part) for part in reader.parts()) == 1
    with JournalReader(path_of(tmp_path, "seen"), "seen", RECORD) as reader:
        assert reader.count == 2


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 24 MiB at most some parts of 1 MiB; at once it would be all of them."""
    monkeypatch.setattr(journal, "PART_BYTES", 1 << 20)
    record = np.dtype([("crc", "<u4"), ("rest", "u1", (1 << 16) - 4)])
    made = create(tmp_path, "seen", record.itemsize, 1)
    made.flush()
    row = np.zeros(1, record)
    row["crc"] = _core.play.crc32c(row.tobytes()[4:])
    path = path_of(tmp_path, "seen")
    with path.open("ab") as file:
        for _ in range(24 * 16):
            file.write(row.tobytes())

    def peak(whole: bool) -> int:
        tracemalloc.start()
        with JournalReader(path, "seen", record) as reader:
            count = len(reader.read(0, reader.count)) if whole else sum(map(len, reader.parts()))
        assert count == 24 * 16
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(whole=False) < 4 << 20
    assert peak(whole=True) > 20 << 20

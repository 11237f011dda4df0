"""play/ledger.py: what is read back of a ledger, whole, torn and damaged."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import HZ, play, session_at

from metabonk import _core
from metabonk.errors import ConfigError, CorruptError
from metabonk.games.arena import level_of
from metabonk.play.journal import HEADER_BYTES
from metabonk.play.ledger import (
    DIRECTIVE,
    INPUT,
    INPUTS,
    LEDGER,
    MEANING,
    TICK,
    Gate,
    create,
    path_of,
    read_inputs,
    read_ledger,
)
from metabonk.play.loop import TIMES

Policies = tuple[Path, Path]


def test_records_are_laid_out_as_the_core_lays_them_out() -> None:
    assert TICK.itemsize == DIRECTIVE.itemsize == _core.play.LEDGER_BYTES <= 200
    assert INPUT.itemsize == _core.play.INPUT_BYTES
    assert TIMES.itemsize == _core.play.TICK_BYTES
    assert TICK.fields is not None
    assert {name: TICK.fields[name][1] for name in ("counter", "artifact", "action")} == {
        "counter": 56,
        "artifact": 88,
        "action": 120,
    }
    assert set(MEANING) == set(Gate)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, policies: Policies) -> Path:
    session = session_at(tmp_path_factory.mktemp("ledger") / "s")
    play(session, policies[0], 60)
    return session.directory


def copy(played: Path, to: Path) -> Path:
    to.mkdir()
    for name in ("ledger.bin", "inputs.bin"):
        (to / name).write_bytes((played / name).read_bytes())
    return to


@pytest.mark.parametrize("cut", [1, 100, TICK.itemsize - 1])
def test_a_torn_end_is_not_handed_out(played: Path, tmp_path: Path, cut: int) -> None:
    there = copy(played, tmp_path / "torn")
    whole = read_ledger(there)
    data = path_of(there, LEDGER).read_bytes()
    path_of(there, LEDGER).write_bytes(data[:-cut])
    torn = read_ledger(there)
    assert whole.torn == 0
    assert torn.torn == TICK.itemsize - cut
    assert torn.ticks.tobytes() == whole.ticks[:-1].tobytes()


def test_a_last_record_that_only_half_reached_the_disk_is_left_out(
    played: Path, tmp_path: Path
) -> None:
    there = copy(played, tmp_path / "half")
    whole = read_ledger(there)
    data = bytearray(path_of(there, LEDGER).read_bytes())
    data[-50:] = bytes(50)
    path_of(there, LEDGER).write_bytes(data)
    assert read_ledger(there).ticks.tobytes() == whole.ticks[:-1].tobytes()


def test_an_end_of_zeros_is_left_out(played: Path, tmp_path: Path) -> None:
    """A machine that loses power may have grown the file and not written it."""
    there = copy(played, tmp_path / "zeros")
    whole = read_ledger(there)
    with path_of(there, LEDGER).open("ab") as file:
        file.write(bytes(5 * TICK.itemsize + 17))
    assert read_ledger(there).ticks.tobytes() == whole.ticks.tobytes()


@pytest.mark.parametrize("place", [HEADER_BYTES + 3, HEADER_BYTES + 10 * TICK.itemsize + 77])
def test_damage_in_the_middle_is_an_error(played: Path, tmp_path: Path, place: int) -> None:
    there = copy(played, tmp_path / "damaged")
    data = bytearray(path_of(there, LEDGER).read_bytes())
    data[place] ^= 4
    path_of(there, LEDGER).write_bytes(data)
    with pytest.raises(CorruptError, match=f"record {(place - HEADER_BYTES) // TICK.itemsize} of"):
        read_ledger(there)


@pytest.mark.parametrize("place", [0, 9, 13, 30, 62])
def test_a_damaged_header_is_an_error(played: Path, tmp_path: Path, place: int) -> None:
    there = copy(played, tmp_path / "header")
    data = bytearray(path_of(there, LEDGER).read_bytes())
    data[place] ^= 4
    path_of(there, LEDGER).write_bytes(data)
    with pytest.raises(CorruptError, match=r"ledger\.bin"):
        read_ledger(there)


@pytest.mark.parametrize("size", [0, 63])
def test_a_file_that_is_too_short_is_no_journal(tmp_path: Path, size: int) -> None:
    path_of(tmp_path, LEDGER).write_bytes(bytes(size))
    with pytest.raises(CorruptError, match="no journal"):
        read_ledger(tmp_path)


def test_other_records_are_not_taken_for_these(played: Path, tmp_path: Path) -> None:
    path_of(tmp_path, "inputs").write_bytes(path_of(played, LEDGER).read_bytes())
    with pytest.raises(CorruptError, match="other records"):
        read_inputs(tmp_path)


def test_a_tick_that_is_not_there_is_named(played: Path) -> None:
    ledger = read_ledger(played)
    with pytest.raises(ConfigError, match=r"no tick 5000 of agent 0: it has \d+ to \d+"):
        ledger.at(5000)
    with pytest.raises(ConfigError, match="no tick of agent 3"):
        ledger.at(1, agent=3)


def test_a_ledger_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    journal = create(tmp_path, LEDGER, TICK.itemsize, 64)
    row = np.zeros(1, TICK)
    row["entry"] = 1
    for tick in range(40):
        row["tick"] = tick
        assert journal.push(row.tobytes())
        if tick % 10 == 9:
            journal.flush()
            assert read_ledger(tmp_path).ticks["tick"].tolist() == list(range(tick + 1))
    with pytest.raises(OSError, match="already holds a journal"):
        create(tmp_path, LEDGER, TICK.itemsize, 64)
    with pytest.raises(ValueError, match="another size"):
        journal.push(b"short")


@given(data=st.binary(max_size=600), keep=st.booleans())
def test_any_bytes_give_records_or_an_error(
    played: Path, tmp_path_factory: pytest.TempPathFactory, data: bytes, keep: bool
) -> None:
    there = tmp_path_factory.mktemp("fuzz")
    head = path_of(played, LEDGER).read_bytes()[:HEADER_BYTES] if keep else b""
    path_of(there, LEDGER).write_bytes(head + data)
    with contextlib.suppress(CorruptError):
        assert len(read_ledger(there).ticks) == 0  # no checksum comes about by chance


def test_a_journal_lives_as_long_as_its_game_and_no_longer(tmp_path: Path) -> None:
    journal = create(tmp_path, INPUTS, INPUT.itemsize, 1024)
    alone = sys.getrefcount(journal)
    game = _core.play.Arena(level_of(None, 1).pack(), [1], HZ, 0, 0, "", journal, -1, 0)
    assert sys.getrefcount(journal) == alone + 1
    del game
    assert sys.getrefcount(journal) == alone

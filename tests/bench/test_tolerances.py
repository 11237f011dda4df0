"""The table of tolerances: honest, written and read back, and only for what was run."""

from __future__ import annotations

from pathlib import Path

import pytest
from metabonk.bench import tolerances
from metabonk.bench.tolerances import Tolerance

from metabonk.errors import ConfigError


def test_what_is_allowed_is_a_small_multiple_of_the_worst_that_was_seen() -> None:
    for name, row in tolerances.load().items():
        assert row.worst, name
        worst = max(row.worst.values())
        assert worst <= row.allowed, name
        # 0: always the very best; then the unit itself is what a single rounding may cost.
        assert row.allowed <= (8.0 * worst if worst else 1.0), name


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tolerances.toml"
    path.write_text("# What this is.\n\n[old]\nunit = 'x'\nallowed = 1\n")
    table = {
        "a, d b": Tolerance("of a byte", 2e-6, {"avx2": 1.25e-7, "torch": 0.0}),
        "c": Tolerance("absolute", 0.5),
    }
    tolerances.save(table, path)
    assert tolerances.load(path) == table
    assert path.read_text().startswith("# What this is.\n")
    again = path.read_text()
    tolerances.save(tolerances.load(path), path)
    assert path.read_text() == again


def test_recording_rounds_up_and_keeps_what_was_not_run() -> None:
    before = {"a": Tolerance("x", 1.0, {"avx2": 0.5, "bf16": 0.25})}
    after = tolerances.recorded(before, {("a", "avx2"): 0.123401, ("a", "torch"): 0.0})
    assert after["a"].worst == {"avx2": 0.124, "bf16": 0.25, "torch": 0.0}
    assert before["a"].worst == {"avx2": 0.5, "bf16": 0.25}
    assert tolerances.recorded(before, {("a", "avx2"): 0.124})["a"].worst["avx2"] == 0.124


def test_printed_rows_have_a_column_per_instruction_set() -> None:
    table = {"a": Tolerance("x", 1e-5, {"avx2": 2e-6}), "b": Tolerance("x", 1.0, {"torch": 0.5})}
    assert tolerances.ways(table) == ["avx2", "torch"]
    assert list(tolerances.cells(table)) == [("a", "1e-5", "2e-6", ""), ("b", "1", "", "0.5")]
    assert tolerances.units(table) == {"x": ["a", "b"]}


@pytest.mark.parametrize("text", ["[a]\nunit = 'x'", "[a]\nallowed = 1\nunits = 'x'", "["])
def test_a_broken_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tolerances.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"tolerances\.toml"):
        tolerances.load(path)

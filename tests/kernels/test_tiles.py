"""The checked-in tiles and what their files may not say."""

from __future__ import annotations

import json

import pytest
from metabonk.kernels import tiles
from metabonk.kernels.architectures import ARCHITECTURES, architecture_for

GOOD = {"tile": {"ROWS": 8}, "warps": 4, "stages": 1, "registers": 64, "shared": 1024}


def text(*rows: object) -> str:
    return json.dumps({"kernels": {"k": list(rows)}})


def test_every_architecture_has_its_file() -> None:
    assert set(tiles.architectures()) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_limits_are_the_devices(architecture: str) -> None:
    for entries in tiles.entries(architecture).values():
        for tile in entries:
            assert tile.registers <= 255
            assert tile.shared <= ARCHITECTURES[architecture].shared
            assert tile.warps in (1, 2, 4, 8, 16)


def test_rows_of_codes_are_whole_tiles() -> None:
    """Products along the inputs have no masks: a tile beyond the end would read what follows."""
    from metabonk.kernels.work.linear import stride_of

    pytest.importorskip("triton")
    line = stride_of(1)
    linear = [t for t in tiles.every() if t.kernel.endswith(("_linear", "_decoded"))]
    assert linear
    assert all(line % t.constants["INPUTS"] == 0 for t in linear)


def test_the_first_entry_whose_bounds_hold_is_taken() -> None:
    small, large = tiles.entries("sm_90")["int8_linear"]
    assert tiles.choose("int8_linear", "sm_90", rows=small.upto["rows"]) is small
    assert tiles.choose("int8_linear", "sm_90", rows=small.upto["rows"] + 1) is large
    with pytest.raises(ValueError, match="nvfp4_linear: no tile on sm_90"):
        tiles.choose("nvfp4_linear", "sm_90", rows=64)
    with pytest.raises(ValueError, match="no tiles for sm_70; there are sm_90"):
        tiles.entries("sm_70")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{**GOOD, "upto": {"rows": 8}}], "must hold for any size"),
        ([], "must hold for any size"),
        ([{**GOOD, "wraps": 4}], "no field"),
        ([{"tile": {}}], "missing"),
    ],
)
def test_files_that_are_refused(rows: list[object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiles.read(text(*rows), "sm_90")


def test_older_and_newer_devices_take_the_nearest_tiles() -> None:
    found = [architecture_for(c) for c in ((8, 0), (8, 9), (9, 0), (10, 0), (10, 3), (12, 1))]
    assert found == ["sm_120", "sm_120", "sm_90", "sm_100", "sm_100", "sm_120"]
    with pytest.raises(ValueError, match=r"capability 7\.5"):
        architecture_for((7, 5))

"""Every entry of kernels/configs, compiled for its device without one: registers, shared memory,
spills and instructions within what the entry declares; and entries that must be refused."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from metabonk.kernels import compile as compiler
from metabonk.kernels import limits, tiles
from metabonk.kernels.__main__ import table
from metabonk.kernels.architectures import ARCHITECTURES
from metabonk.kernels.tiles import Tile

ROOT = Path(__file__).parents[2]
KEEP = ROOT / "build" / "kernels"  # results of earlier runs, by a hash of what they follow from


@pytest.fixture(scope="module")
def built() -> list[dict[str, Any]]:
    """As `python -m metabonk.kernels` says it: two processes at a time, neither of them this."""
    pytest.importorskip("triton", reason="kernels are compiled by the package triton")
    command = [sys.executable, "-m", "metabonk.kernels", "--json", "--jobs", "2"]
    run = subprocess.run(
        [*command, "--keep", str(KEEP)],
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.stdout, run.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def test_every_entry_keeps_its_limits(built: list[dict[str, Any]]) -> None:
    entries = list(tiles.every())
    assert [(b["architecture"], b["name"]) for b in built] == [
        (t.architecture, t.name) for t in entries
    ]
    assert not [b for b in built if b["error"]]
    if importlib.metadata.version("triton") != compiler.TRITON:
        pytest.skip(f"limits are what Triton {compiler.TRITON} needs: see constraints.txt")
    assert not [f"{b['architecture']} {b['name']}: {b['faults']}" for b in built if b["faults"]]


def test_the_limits_are_those_of_the_pinned_version() -> None:
    pins = (ROOT / "constraints.txt").read_text().split()
    assert f"triton=={compiler.TRITON}" in pins


def test_every_kernel_is_compiled_for_every_device(built: list[dict[str, Any]]) -> None:
    """NVFP4's own products need tensor cores that Hopper lacks; all else is everywhere."""
    from metabonk.kernels import triton

    for architecture in ARCHITECTURES:
        here = {b["kernel"] for b in built if b["architecture"] == architecture}
        lacking = {"nvfp4_linear"} if architecture == "sm_90" else set()
        assert here == set(triton.kernels()) - lacking


@pytest.mark.parametrize(
    ("architecture", "kernel", "instruction"),
    [
        ("sm_90", "vq_screen", "HGMMA"),
        ("sm_90", "int8_linear", "IGMMA"),
        ("sm_90", "fp8_linear", "QGMMA"),
        ("sm_90", "nvfp4_decoded", "HGMMA"),
        ("sm_100", "vq_screen", "UTCHMMA"),
        ("sm_100", "fp8_linear", "UTCQMMA"),
        ("sm_100", "nvfp4_linear", "UTCOMMA"),
        ("sm_120", "fp8_linear", "QMMA"),
        ("sm_120", "nvfp4_linear", "OMMA"),
    ],
)
def test_tensor_cores_are_those_of_the_device(
    built: list[dict[str, Any]], architecture: str, kernel: str, instruction: str
) -> None:
    """Said here once more, so that a declaration that went missing from a config is noticed."""
    mine = [b for b in built if (b["architecture"], b["kernel"]) == (architecture, kernel)]
    assert mine
    assert all(b["instructions"].get(instruction, 0) > 0 for b in mine)


def entry(kernel: str, architecture: str, **changes: Any) -> Tile:
    """The first entry of a kernel, changed."""
    constants = changes.pop("constants", {})
    first = tiles.entries(architecture)[kernel][0]
    return dataclasses.replace(first, constants={**first.constants, **constants}, **changes)


# What must be refused, and the words of the refusal.
REFUSED = {
    "spills": (
        entry("vq_screen", "sm_90", constants={"ROWS": 128, "CODES": 128}, registers=255),
        "spills: ",
    ),
    "shared memory": (
        entry("fp8_linear", "sm_120", constants={"ROWS": 128, "OUTPUTS": 128}, stages=8, warps=8,
              shared=1 << 20, registers=255),
        "at most 101376 allowed",
    ),
    "registers": (entry("vq_screen", "sm_120", registers=32), "at most 32 allowed"),
    "instructions": (entry("int8_linear", "sm_90", instructions=("QGMMA",)), "no QGMMA"),
    "no tensor cores": (
        # Products of fewer than 64 rows do not reach Hopper's warpgroups.
        entry("int8_linear", "sm_90", constants={"ROWS": 32}, registers=255, shared=1 << 20),
        "no IGMMA",
    ),
    "no kernel": (entry("categorical", "sm_90", constants={"ROWS": 3}), "does not compile"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_entries_that_must_be_refused(what: str) -> None:
    pytest.importorskip("triton", reason="kernels are compiled by the package triton")
    tile, words = REFUSED[what]
    (found,) = compiler.build([tile], KEEP)
    assert any(words in fault for fault in compiler.faults(found, tile)), found


def test_sizes_of_one_compile() -> None:
    """A size of 1 becomes a constant when a kernel is launched: loops over it, and what is
    converted from it, must still compile. Padded codebooks never have one code."""
    known = triton_kernels()
    tiles_ = []
    for name, entries in tiles.entries("sm_90").items():
        ones = {size: 1 for size, kind in known[name].types.items() if kind.startswith("i32")}
        if name == "vq_screen":
            del ones["codes"]
        tiles_.append(dataclasses.replace(entries[0], compile={**entries[0].compile, **ones}))
    assert not [b for b in compiler.build_all(tiles_, KEEP, jobs=2) if b.error]


def triton_kernels() -> Any:
    pytest.importorskip("triton", reason="kernels are compiled by the package triton")
    from metabonk.kernels import triton

    return triton.kernels()


def test_limits_are_written_as_they_are_read(
    built: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anew from the same results: every entry holds them, with little to spare."""
    for path in tiles.CONFIGS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(limits, "CONFIGS", tmp_path)
    entries = list(tiles.every())
    results = [compiler.Built(**{k: v for k, v in b.items() if k != "faults"}) for b in built]
    limits.rewrite(entries, results)
    for architecture in tiles.architectures():
        text = (tmp_path / f"{architecture}.json").read_text()
        written = [t for ts in tiles.read(text, architecture).values() for t in ts]
        mine = [b for b in results if b.architecture == architecture]
        assert [t.constants for t in written] == [
            t.constants for t in entries if t.architecture == architecture
        ]
        for tile, result in zip(written, mine, strict=True):
            assert not compiler.faults(result, tile)
            assert tile.registers <= result.registers * 1.05 + 9
            assert tile.shared == result.shared


def test_an_unknown_kernel_or_constant_is_named() -> None:
    pytest.importorskip("triton", reason="kernels are compiled by the package triton")
    with pytest.raises(ValueError, match="no kernel 'no_such'"):
        list(compiler.build([dataclasses.replace(entry("gae", "sm_90"), kernel="no_such")]))
    with pytest.raises(ValueError, match=r"no argument for \['WIDTHS'\]"):
        list(compiler.build([entry("gae", "sm_90", constants={"WIDTHS": 3})]))


def test_results_are_kept_by_what_they_follow_from(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="kernels are compiled by the package triton")
    tile = entry("categorical", "sm_90")
    (first,) = compiler.build([tile], tmp_path)
    (again,) = compiler.build([tile], tmp_path)
    (limits,) = compiler.build([dataclasses.replace(tile, registers=1)], tmp_path)
    (other,) = compiler.build([dataclasses.replace(tile, warps=2)], tmp_path)
    assert first.seconds > 0
    assert again == limits == dataclasses.replace(first, seconds=0.0)
    assert other.seconds > 0
    assert len(list(tmp_path.iterdir())) == 2


def test_the_table_aligns() -> None:
    assert table(("a", ">n"), [("long", "1"), ("b", "22")]).splitlines() == [
        "a      n",
        "long   1",
        "b     22",
    ]

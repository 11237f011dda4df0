"""Files that were damaged in any way are read, or refused by name: nothing else happens."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import record, write_v1

from metabonk.data import npy
from metabonk.data.batches import Windows
from metabonk.data.npz import read_npz
from metabonk.data.pt import read_pt
from metabonk.errors import ConfigError, CorruptError

FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
CHANGES = st.lists(
    st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
)


def damage(data: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    """Some bytes changed, and the file cut short."""
    out = bytearray(data)
    for place, value in changes:
        out[int(place * len(out))] = value
    return bytes(out[: int(len(out) * keep)])


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """A file may be refused, by name; anything else that is raised is a failure."""
    refused = ""
    try:
        yield
    except (CorruptError, ConfigError, FileNotFoundError) as error:
        refused = str(error)
    assert not refused or name in refused


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "a.npz"
    return write_v1(path, range(4), "a", 0).read_bytes()


@FUZZ
@given(changes=CHANGES, keep=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5]))
def test_npz_files(
    good: bytes, tmp_path: Path, changes: list[tuple[float, int]], keep: float
) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(damage(good, changes, keep))
    with refusals("a.npz"):
        read_npz(path)


@FUZZ
@given(changes=CHANGES, keep=st.sampled_from([1.0, 1.0, 0.8]))
def test_array_headers(
    good: bytes, tmp_path: Path, changes: list[tuple[float, int]], keep: float
) -> None:
    """Behind an intact archive: the checksums of zip files keep most damage from getting so far."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, damage(data, changes, keep) if "actions" in name else data)
    path = tmp_path / "b.npz"
    path.write_bytes(out.getvalue())
    with refusals("b.npz"):
        read_npz(path)


def test_an_array_larger_than_its_file_is_not_allocated(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 640, 360, 3)}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("observations.npy", stream.getvalue() + bytes(100))
    with pytest.raises(CorruptError, match=r"c\.npz"):
        read_npz(path)


def test_a_small_file_that_would_fill_memory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez_compressed(path, observations=np.zeros((400, 64, 64, 3), np.uint8))
    assert path.stat().st_size < 100_000
    with pytest.raises(CorruptError, match="fill 4,915,200 bytes, at most 1,000,000"):
        npy.load(path, most_bytes=1_000_000)


@FUZZ
@given(changes=CHANGES, keep=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5]))
def test_pt_files(tmp_path: Path, changes: list[tuple[float, int]], keep: float) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "r.pt"
    if not path.exists() or not (tmp_path / "good").exists():
        rollout = {"observations": torch.ones(3, 2), "actions": torch.ones(3, 1),
                   "dones": torch.zeros(3, dtype=torch.bool), "meta": {"seed": 1}}  # fmt: skip
        torch.save(rollout, tmp_path / "good")
    path.write_bytes(damage((tmp_path / "good").read_bytes(), changes, keep))
    with refusals("r.pt"):
        read_pt(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=CHANGES,
    file=st.sampled_from(["header.json", "index.jsonl", "chunk", "recording.jsonl"]),
)
def test_episodes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], file: str
) -> None:
    folder = tmp_path_factory.mktemp("episodes")
    record(folder, [5, 3], formats=("episodes", "npz"))
    found = [p for p in folder.rglob("*") if p.is_file() and p.name.startswith(file)]
    for path in found:
        path.write_bytes(damage(path.read_bytes(), changes, 1.0))
    with refusals(str(folder)):
        windows = Windows(folder, 4)
        for index in range(len(windows)):
            windows[index]


@pytest.mark.parametrize("meta", ["[]", "7", '"x"', "{", '{"branches": 3}', '{"seed": "x"}'])
def test_descriptions(tmp_path: Path, meta: str) -> None:
    path = tmp_path / "e.npz"
    np.savez(path, observations=np.zeros((2, 2, 2, 3), np.uint8), rows=np.zeros((2, 3), np.float32),
             meta=np.array(meta))  # fmt: skip
    with pytest.raises(CorruptError, match=r"e\.npz: meta"):
        read_npz(path)

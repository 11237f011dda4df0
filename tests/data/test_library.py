"""data/library.py: whatever holds recordings is found, once, and chunks are put together again."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from recordings import HEADER, frame, keeping_journals, record, write_v1

from metabonk.data.library import Library
from metabonk.data.recorder import Recorder
from metabonk.errors import ConfigError, CorruptError


def numbers(library: Library) -> list[list[int]]:
    return [p.read(0, p.steps, None)["action"][:, 0].astype(int).tolist() for p in library.pieces]


def test_our_episodes_and_the_same_rows_as_files(tmp_path: Path) -> None:
    record(tmp_path, [7, 3, 40], formats=("episodes", "npz"))
    expected = [list(range(7)), list(range(7, 10)), list(range(10, 50))]
    both = Library(tmp_path)
    assert numbers(both) == expected  # not twice
    assert both.steps == 50
    files = Library(sorted(tmp_path.glob("*.npz")))
    assert numbers(files) == expected
    for ours, theirs in zip(both.pieces, files.pieces, strict=True):
        a, b = (p.read(0, p.steps, ("pixels", "capture_ns")) for p in (ours, theirs))
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
            assert a[key].dtype == b[key].dtype, key


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 17), (16, 40), (39, 40), (0, 40)])
def test_parts_of_pieces(tmp_path: Path, start: int, stop: int) -> None:
    record(tmp_path, [40], formats=("episodes", "npz"))
    for library in (Library(tmp_path), Library(sorted(tmp_path.glob("*.npz")))):
        (piece,) = library.pieces
        rows = piece.read(start, stop, None)
        expected = range(start, stop)
        assert rows["action"][:, 0].tolist() == list(expected)
        np.testing.assert_array_equal(
            rows["observation/pixels"], np.stack([frame(n) for n in expected])
        )
        assert rows["is_first"].tolist() == [n == 0 for n in expected]
        assert rows["terminated"].tolist() == [n == 39 for n in expected]
        assert not rows["truncated"].any()


def test_chunks_of_version_1_are_one_episode(tmp_path: Path) -> None:
    write_v1(tmp_path / "z.npz", range(0, 5), "a", 0)
    write_v1(tmp_path / "y.npz", range(5, 9), "a", 1)
    write_v1(tmp_path / "x.npz", range(9, 12), "a", 3)  # chunk 2 is not here
    write_v1(tmp_path / "w.npz", range(12, 15), "b", 0)
    write_v1(tmp_path / "v.npz", range(15, 18), "", 0)
    library = Library(tmp_path)
    found = sorted(numbers(library))
    assert found == [list(range(9)), [9, 10, 11], [12, 13, 14], [15, 16, 17]]
    for piece in library.pieces:
        rows = piece.read(0, piece.steps, None)
        assert not rows["terminated"].any()  # a cut is not a death
        assert rows["truncated"].tolist() == [False] * (piece.steps - 1) + [True]
        assert rows["is_first"].tolist() == [True] + [False] * (piece.steps - 1)


def test_rollouts_of_version_1(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rollout = {
        "observations": torch.arange(12.0).reshape(6, 2),
        "actions": torch.arange(6.0)[:, None],
        "rewards": torch.ones(6),
        "dones": torch.tensor([False, False, True, False, False, True]),
        "meta": {},
    }
    torch.save(rollout, tmp_path / "r.pt")
    library = Library(tmp_path)
    assert numbers(library) == [[0, 1, 2], [3, 4, 5]]
    rows = library.pieces[1].read(1, 3, ("observation",))
    assert rows["observation/observation"].tolist() == [[8, 9], [10, 11]]
    assert rows["truncated"].tolist() == [False, True]


def test_folders_of_folders_and_of_runs(tmp_path: Path) -> None:
    end = record(tmp_path / "many" / "000", [4])
    record(tmp_path / "many" / "001", [3], start=end)
    (tmp_path / "many" / "notes.txt").write_text("nothing")
    assert numbers(Library(tmp_path / "many")) == [[0, 1, 2, 3], [4, 5, 6]]
    assert numbers(Library(tmp_path / "many" / "000" / "episodes")) == [[0, 1, 2, 3]]
    two = [tmp_path / "many" / "001", tmp_path / "many" / "000"]
    assert numbers(Library(two)) == [[4, 5, 6], [0, 1, 2, 3]]


def test_what_a_kill_left_is_read_too(tmp_path: Path) -> None:
    with keeping_journals() as saved:
        record(tmp_path, [4])
    (name,) = saved
    for path in (tmp_path / "episodes").glob("*"):
        path.unlink()
    (tmp_path / name).write_bytes(saved[name])
    assert numbers(Library(tmp_path)) == [[0, 1, 2, 3]]
    with Recorder(tmp_path, HEADER):
        assert numbers(Library(tmp_path)) == [[0, 1, 2, 3]]  # also while somebody records


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    record(tmp_path, [5])
    (piece,) = Library(tmp_path).pieces
    assert "observation/pixels" not in piece.read(0, 5, ("speed",))
    with pytest.raises(ConfigError, match="no 'sound', it has"):
        piece.read(0, 5, ("sound",))


def test_nothing_and_damage_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "none", "film.mp4"):
        with pytest.raises(ConfigError, match="neither episodes nor"):
            Library(tmp_path / place)
    write_v1(tmp_path / "a.npz", range(5), "a", 0)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(CorruptError, match=r"b\.npz"):
        Library(tmp_path)


def test_other_processes_get_no_cache(tmp_path: Path) -> None:
    write_v1(tmp_path / "a.npz", range(50), "a", 0)
    library = Library(tmp_path)
    before = len(pickle.dumps(library))
    numbers(library)
    assert len(pickle.dumps(library)) == before
    assert numbers(pickle.loads(pickle.dumps(library))) == [list(range(50))]

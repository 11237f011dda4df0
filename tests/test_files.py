"""files.py: whole or not there, and lines that end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk import files

ROOT = Path(__file__).resolve().parent.parent


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    files.replace(path, b"old")
    with files.replacing(path) as sibling:
        assert sibling.suffix == ".mp4"
        assert sibling.parent == tmp_path
        sibling.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"

    def fail() -> None:
        with files.replacing(path) as sibling:
            sibling.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    files.replace(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        files.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_killed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.replace(path, b"old")
    code = (
        "import os, signal, sys\n"
        "from metabonk import files\n"
        "with files.replacing(sys.argv[1]) as sibling:\n"
        "    sibling.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    files.drop_torn_line(path)
    assert not path.exists()
    files.append(path, b"one")
    with path.open("ab") as file:
        file.write(b"tw")
    files.append(path, b"three")
    assert path.read_bytes() == b"one\nthree\n"
    path.write_bytes(b"torn")
    files.append(path, b"four")
    assert path.read_bytes() == b"four\n"
    assert files.whole_lines(b"a\nb\nc") == b"a\nb\n"
    assert files.whole_lines(b"a") == b""


def test_nobody_else_renames_or_flushes_files() -> None:
    """Directories of artifacts take their place by os.rename; every file goes through here."""
    allowed = {"files.py"}
    calls = re.compile(r"os\.(replace|fsync)\(")
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "metabonk").rglob("*.py")
        if path.name not in allowed and calls.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_is_created_was_not_there_and_is_its_owners_only(tmp_path: Path) -> None:
    files.create(tmp_path / "secret", b"one", 0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.create(tmp_path / "secret", b"two", 0o600)
    assert (tmp_path / "secret").read_bytes() == b"one"


def test_what_is_placed_is_whole_or_not_there(tmp_path: Path) -> None:
    files.place(tmp_path / "a.jpg", b"one")
    files.place(tmp_path / "a.jpg", b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.jpg", b"two")]
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(OSError, match="b"):
        files.place(tmp_path / "b.jpg", b"three")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]

"""Whose file lies under a ring's name: Core follows no links, opens nothing that is not its user's,
and removes nothing that is another writer's."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from csharp import HANG, Peer, finish, line

SHM = Path("/dev/shm")


@pytest.fixture
def path(shm_name: str) -> Path:
    return SHM / f"metabonk-ring-{shm_name}"


def read(peer: Peer, name: str, frames: int = 20) -> str:
    """The last that is said by one who wants so many frames of a ring."""
    said = peer.run("ring-read", f"name={name}", f"frames={frames}", "waitMs=500").decode()
    return said.splitlines()[-2] if "NoWriter" in said else said.splitlines()[-1]


def test_a_link_is_not_followed(peer: Peer, shm_name: str, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "letter"
    other.write_bytes(b"dear reader" * 900)
    path.symlink_to(other)
    assert "it is a symbolic link" in peer.fail("ring-write", f"name={shm_name}")
    assert other.read_bytes() == b"dear reader" * 900
    assert path.is_symlink()
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    assert "it is a symbolic link" in peer.fail("ring-write", f"name={shm_name}")
    assert not (tmp_path / "nothing").exists()


def test_a_ring_behind_a_link_is_none(peer: Peer, shm_name: str) -> None:
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    there = line(writer)
    Path(f"{there}-too").symlink_to(there)
    assert read(peer, f"{shm_name}-too") == "NoWriter"
    assert read(peer, shm_name).startswith("taken 20")  # the control
    finish(writer)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_plain_file_is_no_ring(peer: Peer, shm_name: str, path: Path, kind: str) -> None:
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    try:
        assert "it is no plain file" in peer.fail("ring-write", f"name={shm_name}")
        assert read(peer, shm_name) == "NoWriter"
        assert path.exists()
    finally:
        path.unlink() if kind == "pipe" else path.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to somebody else")
def test_another_users_file_is_left_alone(peer: Peer, shm_name: str, path: Path) -> None:
    path.write_bytes(bytes(9000))
    os.chown(path, 65534, 65534)
    assert "it belongs to another user" in peer.fail("ring-write", f"name={shm_name}")
    assert path.read_bytes() == bytes(9000)
    path.unlink()
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    line(writer)
    assert read(peer, shm_name).startswith("taken 20")
    writer.kill()
    writer.wait(HANG)
    assert read(peer, shm_name, 1).startswith("taken 1")  # the control
    os.chown(path, 65534, 65534)
    assert read(peer, shm_name, 1) == "NoWriter"


def test_rights_of_others_are_taken_away(peer: Peer, shm_name: str, path: Path) -> None:
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    line(writer)
    path.chmod(0o666)
    assert read(peer, shm_name).startswith("taken 20")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finish(writer)


def test_nothing_is_written_into_what_is_no_ring(peer: Peer, shm_name: str, path: Path) -> None:
    path.write_bytes(b"\xff" * 9000)
    kept = SHM / f"{shm_name}-kept"
    os.link(path, kept)
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    assert line(writer) == str(path)
    assert kept.read_bytes() == b"\xff" * 9000
    finish(writer)


@pytest.mark.parametrize("pause", ["1", "600000"], ids=["writes", "ends"])
def test_who_was_taken_for_dead_leaves_the_name_to_the_next(
    peer: Peer, shm_name: str, path: Path, pause: str
) -> None:
    first = peer.start("ring-write", f"name={shm_name}", f"pauseMs={pause}")
    assert line(first) == str(path)
    first.send_signal(signal.SIGSTOP)
    second = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    assert line(second) == str(path)
    theirs = path.stat().st_ino
    first.send_signal(signal.SIGCONT)
    if pause == "1":
        assert first.wait(HANG) == 1
        assert first.stderr is not None
        assert "another writer has this ring" in first.stderr.read()
    else:
        finish(first)
    assert path.stat().st_ino == theirs
    assert read(peer, shm_name).startswith("taken 20 torn 0")
    finish(second)
    assert not path.exists()


def test_of_two_that_begin_at_once_one_has_the_name(peer: Peer, shm_name: str, path: Path) -> None:
    dead = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    line(dead)
    dead.kill()
    dead.wait(HANG)
    both = [peer.start("ring-write", f"name={shm_name}", "pauseMs=1") for _ in range(2)]
    said = [line(process) for process in both]
    assert sorted(said) == ["", str(path)]
    assert both[said.index("")].wait(HANG) == 1
    assert read(peer, shm_name).startswith("taken 20 torn 0")
    finish(both[said.index(str(path))])
    assert not path.exists()


def test_a_name_that_is_free_again_is_taken_again(peer: Peer, shm_name: str, path: Path) -> None:
    """The control: a ring whose name is merely gone comes back."""
    writer = peer.start("ring-write", f"name={shm_name}", "pauseMs=1")
    line(writer)
    path.unlink()
    assert read(peer, shm_name).startswith("taken 20 torn 0")
    assert finish(writer).split()[2:4] == ["renewed", "1"]
    assert not path.exists()

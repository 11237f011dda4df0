"""Folders that a process works in: gone at the end, swept where a kill left one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from ended import over_and_gone

from metabonk.learn.scratch import scratch, sweep


def test_it_is_empty_and_gone_at_the_end(tmp_path: Path) -> None:
    left = tmp_path / "runs" / f".work-{os.getpid()}"
    (left / "of another process of that number").mkdir(parents=True)
    working = contextlib.ExitStack()
    path = working.enter_context(scratch(tmp_path / "runs", ".work-"))
    assert path == left
    assert not list(path.iterdir())
    (path / "file").write_text("something")
    with pytest.raises(KeyboardInterrupt), working:
        raise KeyboardInterrupt
    assert not path.exists()


def test_what_a_kill_left_is_swept_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / f".work-{over_and_gone()}"
    (left / "folder").mkdir(parents=True)
    with scratch(tmp_path, ".work-"):
        assert not left.exists()


def test_who_works_there_is_left_alone(tmp_path: Path) -> None:
    names = [str(os.getpid()), "1", str(over_and_gone()), "somebody"]
    for name in names:
        (tmp_path / f".work-{name}").mkdir()
    sweep(tmp_path, ".work-")
    left = {path.name.removeprefix(".work-") for path in tmp_path.iterdir()}
    assert left == {names[0], names[1], names[3]}

"""stage.py: the same work is done once, half of it is continued, other work is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from metabonk import artifact
from metabonk.artifact import Artifact
from metabonk.errors import CorruptError, ResumeError
from metabonk.stage import Context, Stage, locked, read_journal


class Settings(msgspec.Struct, kw_only=True):
    scale: float = 1.0
    pixels: tuple[int, int] = (0, 0)
    run: dict[str, int] = {}


class Counting:
    """A body that counts its calls and can die in the middle."""

    def __init__(self) -> None:
        self.calls: list[bool] = []
        self.fail = False

    def __call__(self, context: Context[Settings]) -> Artifact:
        self.calls.append(context.resumed)
        if self.fail:
            raise KeyboardInterrupt
        tensors = {"x": np.full(3, context.config.scale * context.seed, np.float32)}
        path = context.directory / "results" / str(len(self.calls))
        parents = [i.hash for i in context.inputs]
        return artifact.write(
            path,
            kind="double",
            seed=context.seed,
            files={"x.safetensors": tensors},
            parents=parents,
        )


@pytest.fixture
def body() -> Counting:
    return Counting()


@pytest.fixture
def stage(body: Counting) -> Stage[Settings]:
    return Stage("double", body, frozenset({"run.minutes"}))


def test_the_same_work_is_done_once(tmp_path: Path, stage: Stage[Settings], body: Counting) -> None:
    first = stage.run(tmp_path, Settings(), seed=3)
    again = stage.run(tmp_path, Settings(), seed=3)
    assert first.hash == again.hash
    assert body.calls == [False]
    assert [e.event for e in read_journal(tmp_path)] == ["started", "finished"]


def test_a_damaged_result_is_made_again(
    tmp_path: Path, stage: Stage[Settings], body: Counting
) -> None:
    first = stage.run(tmp_path, Settings(), seed=3)
    (first.path / "x.safetensors").write_bytes(b"rubbish")
    again = stage.run(tmp_path, Settings(), seed=3, resume=True)
    assert again.hash == first.hash
    assert body.calls == [False, True]


def test_half_done_work_wants_resume(
    tmp_path: Path, stage: Stage[Settings], body: Counting
) -> None:
    body.fail = True
    with pytest.raises(KeyboardInterrupt):
        stage.run(tmp_path, Settings(), seed=3)
    body.fail = False
    with pytest.raises(ResumeError, match=r"--resume.*--run"):
        stage.run(tmp_path, Settings(), seed=3)
    stage.run(tmp_path, Settings(), seed=3, resume=True)
    assert body.calls == [False, True]
    assert [e.event for e in read_journal(tmp_path)] == ["started", "continued", "finished"]


def test_flexible_settings_may_change_others_not(
    tmp_path: Path, stage: Stage[Settings], body: Counting
) -> None:
    source = artifact.write(tmp_path / "in", kind="x", seed=0, files={})
    directory = tmp_path / "run"
    stage.run(directory, Settings(run={"minutes": 1}, pixels=(8, 9)), seed=3)
    longer = Settings(run={"minutes": 2}, pixels=(8, 9))
    stage.run(directory, longer, seed=3, resume=True)
    assert body.calls == [False, True]
    with pytest.raises(ResumeError, match=r"scale was 1\.0, now 2\.0"):
        stage.run(directory, Settings(scale=2.0, pixels=(8, 9)), seed=3, resume=True)
    with pytest.raises(ResumeError, match="seed 3, not 4"):
        stage.run(directory, longer, seed=4, resume=True)
    with pytest.raises(ResumeError, match="other inputs"):
        stage.run(directory, longer, seed=3, inputs=[source], resume=True)


def forget(directory: Path, *keys: str) -> None:
    """Makes the journal one of a version that did not know these keys."""
    journal = directory / "stages.jsonl"
    entries = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
    for entry in entries:
        entry["identity"] = {k: v for k, v in entry["identity"].items() if k not in keys}
        entry["key"] = "of a version that hashed other settings"
    journal.write_bytes(b"".join(msgspec.json.encode(e) + b"\n" for e in entries))


def test_work_from_before_a_setting_goes_on(tmp_path: Path, body: Counting) -> None:
    """A key that an old journal lacks counts as what was done without it, and as nothing else."""
    worth = {"scale": 1.0, "pixels": (0, 0)}
    stage = Stage("double", body, frozenset({"run"}), worth=worth)
    stage.run(tmp_path, Settings(), seed=3)
    forget(tmp_path, "scale", "pixels")
    stage.run(tmp_path, Settings(run={"minutes": 1}), seed=3, resume=True)
    assert body.calls == [False, True]
    forget(tmp_path, "scale")
    with pytest.raises(ResumeError, match=r"scale was not there yet, as if 1\.0, now 2\.0"):
        stage.run(tmp_path, Settings(scale=2.0), seed=3, resume=True)
    # The control: where nobody says what was done without it, that is not guessed.
    silent = Stage("double", body, frozenset({"run"}))
    with pytest.raises(ResumeError, match="scale was not there yet"):
        silent.run(tmp_path, Settings(run={"minutes": 2}), seed=3, resume=True)
    assert body.calls == [False, True]


def test_a_default_that_changed_is_not_what_was_done_before(tmp_path: Path, body: Counting) -> None:
    """The schema says 1.0 now; without the setting it was as if 0.5."""
    stage = Stage("double", body, frozenset({"run"}), worth={"scale": 0.5})
    stage.run(tmp_path, Settings(), seed=3)
    forget(tmp_path, "scale")
    with pytest.raises(ResumeError, match=r"as if 0\.5, now 1\.0"):
        stage.run(tmp_path, Settings(run={"minutes": 1}), seed=3, resume=True)
    stage.run(tmp_path, Settings(scale=0.5), seed=3, resume=True)
    assert body.calls == [False, True]


def test_settings_that_are_no_more_are_said_to_be(tmp_path: Path, body: Counting) -> None:
    stage = Stage("double", body, frozenset({"run"}))
    stage.run(tmp_path, Settings(run={"minutes": 1}), seed=3)
    journal = tmp_path / "stages.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b'"identity":{', b'"identity":{"run.old":2,'))
    stage.run(tmp_path, Settings(run={"minutes": 2}), seed=3, resume=True)  # may change
    journal.write_bytes(whole.replace(b'"identity":{', b'"identity":{"edge":2,'))
    with pytest.raises(ResumeError, match=r"no more \(edge = 2\).*with metabonk \d"):
        stage.run(tmp_path, Settings(run={"minutes": 3}), seed=3, resume=True)


def test_inputs_count_by_hash(tmp_path: Path, stage: Stage[Settings], body: Counting) -> None:
    a = artifact.write(tmp_path / "a", kind="x", seed=0, files={"f": b"1"})
    same = artifact.write(tmp_path / "b", kind="x", seed=0, files={"f": b"1"})
    first = stage.run(tmp_path / "run", Settings(), seed=1, inputs=[a])
    assert stage.run(tmp_path / "run", Settings(), seed=1, inputs=[same]).hash == first.hash
    assert len(body.calls) == 1
    assert first.card.parents == (a.hash,)


def test_an_atomic_stage_keeps_many_results_in_one_directory(
    tmp_path: Path, body: Counting
) -> None:
    stage = Stage("double", body, atomic=True)
    first = stage.run(tmp_path, Settings(), seed=1)
    other = stage.run(tmp_path, Settings(scale=2.0), seed=1)
    body.fail = True
    with pytest.raises(KeyboardInterrupt):
        stage.run(tmp_path, Settings(), seed=2)
    body.fail = False
    third = stage.run(tmp_path, Settings(), seed=2)  # begun anew without a word
    assert body.calls == [False] * 4
    assert len({first.hash, other.hash, third.hash}) == 3
    assert stage.run(tmp_path, Settings(), seed=1).path == first.path
    assert stage.run(tmp_path, Settings(), seed=1, again=True).path != first.path
    assert len(body.calls) == 5


def test_an_atomic_stage_waits_for_its_turn(tmp_path: Path, body: Counting) -> None:
    stage = Stage("double", body, atomic=True)
    with ThreadPoolExecutor(1) as other:
        with locked(tmp_path):
            made = other.submit(stage.run, tmp_path, Settings(), seed=1)
            with pytest.raises(TimeoutError):
                made.result(timeout=0.2)
            assert body.calls == []
        assert made.result(timeout=30).card.kind == "double"


def test_one_process_at_a_time(tmp_path: Path, stage: Stage[Settings]) -> None:
    code = (
        "import sys, pathlib; from metabonk.stage import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(ResumeError, match=f"in use by process {holder.pid}"):
        stage.run(tmp_path, Settings(), seed=1)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        pass


def test_torn_journal(tmp_path: Path, stage: Stage[Settings], body: Counting) -> None:
    stage.run(tmp_path, Settings(), seed=1)
    journal = tmp_path / "stages.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-9])  # the kill came before "finished" was whole
    stage.run(tmp_path, Settings(), seed=1, resume=True)
    assert [e.event for e in read_journal(tmp_path)] == ["started", "continued", "finished"]
    assert body.calls == [False, True]
    journal.write_bytes(b"rubbish\n" + whole)
    with pytest.raises(CorruptError, match="line 1"):
        read_journal(tmp_path)

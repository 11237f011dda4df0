"""metrics.py: what is logged can be read back, whatever happened to the process in between."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metabonk import metrics
from metabonk.errors import CorruptError
from metabonk.metrics import JsonLinesSink, Record, Registry, read_records

metrics.declare("test_loss", "", "a loss for tests")
metrics.declare("test_frames", "frames", "a count for tests", "counter")


class Memory:
    """The smallest sink."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)


def test_round_trip(tmp_path: Path) -> None:
    memory = Memory()
    with Registry([memory, JsonLinesSink(tmp_path / "metrics.jsonl")]) as registry:
        registry.log(64, test_loss=np.float32(0.5), test_frames=7)
        registry.event("checkpoint", path="checkpoints/000000000064")
        registry.log(128, test_loss=float("nan"))
    read = list(read_records(tmp_path / "metrics.jsonl"))
    assert [(r.step, r.event) for r in read] == [(64, ""), (64, "checkpoint"), (128, "")]
    assert read[0].values == {"test_loss": 0.5, "test_frames": 7}
    assert read[1].values == {"path": "checkpoints/000000000064"}
    assert math.isnan(read[2].values["test_loss"])
    assert [r.values for r in memory.records[:2]] == [r.values for r in read[:2]]


def test_undeclared_name_is_refused_with_the_nearest() -> None:
    memory = Memory()
    with pytest.raises(ValueError, match=r"'test_los'.*did you mean 'test_loss'"):
        Registry([memory]).log(0, test_los=1.0)
    assert not memory.records


def test_declarations_do_not_clash() -> None:
    assert metrics.declare("test_loss", "", "a loss for tests") == metrics.declared()["test_loss"]
    with pytest.raises(ValueError, match="already declared"):
        metrics.declare("test_loss", "s", "something else")
    for name in ("Return", "a/b", "step", ""):
        with pytest.raises(ValueError, match="metric name"):
            metrics.declare(name, "", "")


def test_cut_back_forgets_what_came_after(tmp_path: Path) -> None:
    registry = Registry([JsonLinesSink(tmp_path / "m.jsonl")])
    for step in (10, 20, 30):
        registry.log(step, test_loss=step)
    registry.cut_back(20)
    registry.event("resumed")
    registry.log(30, test_loss=-1.0)
    registry.close()
    read = [
        (r.step, r.event, r.values.get("test_loss")) for r in read_records(tmp_path / "m.jsonl")
    ]
    assert read == [(10, "", 10.0), (20, "", 20.0), (20, "resumed", None), (30, "", -1.0)]


def test_torn_tail_is_ignored_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(Record(1, 0.0, "", {"test_loss": 1.0}).to_json() + b'\n{"step": 2, "ti')
    assert [r.step for r in read_records(path)] == [1]
    Registry([JsonLinesSink(path)]).log(3, test_loss=3.0)
    assert [r.step for r in read_records(path)] == [1, 3]


def test_damage_in_the_middle_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step":1,"time":0}\nrubbish\n{"step":2,"time":0}\n')
    with pytest.raises(CorruptError, match=r"m\.jsonl, line 2"):
        list(read_records(path))


def test_records_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    code = (
        "import os, signal, sys; from metabonk.metrics import *\n"
        "declare('test_loss', '', ''); r = Registry([JsonLinesSink(sys.argv[1])])\n"
        "for i in range(500): r.log(i, test_loss=i)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [r.step for r in read_records(path)] == list(range(500))


def test_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = JsonLinesSink(tmp_path / "m.jsonl")
    sink.write(Record(1, 0.0))
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
        with pytest.raises(OSError, match="no space"):
            sink.write(Record(2, 0.0))
    sink.write(Record(3, time.time()))
    assert [r.step for r in read_records(sink.path)] == [1, 3]


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Registry([metrics.TensorBoardSink(tmp_path)]) as registry:
        for step in (10, 20, 30):
            registry.log(step, test_loss=step / 10)
        registry.cut_back(20)
        registry.event("resumed")
        registry.log(25, test_loss=9.0)
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("test_loss")
    assert [(e.step, e.value) for e in events] == [(10, 1.0), (20, 2.0), (25, 9.0)]

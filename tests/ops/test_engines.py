"""Engines end with the threads that asked for them, and not in a child that inherits them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from metabonk import _core
from metabonk.ops import qlinear, vq
from metabonk.ops.engines import PerThread

WORKERS = 12
HANG_S = 300.0


@pytest.fixture
def two_threads() -> Iterator[None]:
    """So that an engine has a thread of its own beside its caller's."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_threads(work: object) -> None:
    for _ in range(WORKERS):
        thread = threading.Thread(target=work)  # type: ignore[arg-type]
        thread.start()
        thread.join()


def tasks() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def fall_to(most: int) -> bool:
    """Whether no more threads than that are left; the kernel lists one that ended for a while."""
    until = time.monotonic() + HANG_S
    while tasks() > most and time.monotonic() < until:
        time.sleep(0.01)
    return tasks() <= most


@pytest.mark.usefixtures("two_threads")
def test_a_worker_leaves_no_engine_behind() -> None:
    engines: PerThread[object] = PerThread(_core.nn.QLinearEngine)
    held = []

    def asked() -> None:
        assert engines.get_here() is engines.get_here()

    def kept() -> None:
        held.append(engines.get_here())

    asked()
    before = tasks()
    in_threads(asked)
    assert fall_to(before)
    in_threads(kept)
    assert tasks() >= before + WORKERS  # the control: each has a thread, while somebody holds it


@pytest.mark.usefixtures("two_threads")
def test_lookups_of_many_workers_leave_nothing_behind() -> None:
    x, codes = torch.randn(8, 4), torch.randn(3, 4)
    packed = qlinear.pack(torch.randn(8, 4), "int8")

    def work() -> None:
        vq.vq_lookup(x, codes, backend="native")
        qlinear.qlinear(x, packed, backend="native")

    work()
    before = tasks()
    in_threads(work)
    assert fall_to(before)


def test_a_plan_outlives_the_thread_that_made_it() -> None:
    x, codes = torch.randn(8, 4), torch.randn(3, 4)
    made = []
    thread = threading.Thread(
        target=lambda: made.append(vq.plan(x, codes, torch.zeros(8, dtype=torch.int64)))
    )
    thread.start()
    thread.join()
    made[0].step()
    assert torch.equal(made[0].bound[2], vq.reference(x, codes).indices)


FORKS = """
import os, threading, torch
from metabonk.ops import vq
torch.set_num_threads(2)
x, codes = torch.randn(8, 4), torch.randn(3, 4)
ready, done = threading.Event(), threading.Event()
def work():
    vq.vq_lookup(x, codes, backend="native")
    ready.set()
    done.wait()
threading.Thread(target=work).start()
ready.wait()
want = vq.vq_lookup(x, codes, backend="native").indices
child = os.fork()
found = vq.vq_lookup(x, codes, backend="native").indices
assert torch.equal(want, found)
if child:
    assert os.waitpid(child, 0)[1] == 0
    done.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_makes_its_own_and_ends() -> None:
    """With engines of two of its parent's threads, whose threads it would wait for in vain; it
    leaves by the front door, where everything that is left is let go."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], timeout=HANG_S, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""The fixture: pytest and the command line come to one verdict, and a slower ours fails pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from metabonk.bench import gates, suites
from metabonk.bench.case import Case
from metabonk.bench.gates import Gate
from metabonk.bench.meter import Reading
from metabonk.bench.versus import Contender

CONFTEST = """
from metabonk.bench.conftest import versus
"""

BENCHMARK = """
from metabonk.bench import gates
from metabonk.bench.gates import Gate
from metabonk.bench.meter import Reading
from metabonk.bench.versus import Contender

OURS = {ours}
gates.load = lambda: {{"s": {{"c": {{"peer": Gate(1.2)}}}}}}

def test_case(versus):
    (row,) = versus(
        Contender("ours", lambda: Reading(lambda: OURS)),
        [Contender("peer", lambda: Reading(lambda: 1.0))],
        suite="s", name="c", unit="x", rounds=4,
    )
    assert row.met
"""


def run_pytest(folder: Path, ours: float) -> tuple[int, dict[str, Any]]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(BENCHMARK.format(ours=ours))
    stored = folder / "stored.json"
    # A run of its own, also when this test is one of a distributed run, which disables benchmarks.
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-only",
         f"--benchmark-json={stored}", "--rootdir", str(folder), str(folder)],
        capture_output=True, text=True, check=False, env=alone,
    )  # fmt: skip
    assert stored.is_file(), done.stdout + done.stderr
    return done.returncode, json.loads(stored.read_text())["benchmarks"][0]


def test_pytest_stores_ratio_and_interval_and_the_slower_one_fails(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "slow").mkdir()
    code, fast = run_pytest(tmp_path / "fast", 2.0)
    assert code == 0
    found = fast["extra_info"]["peers"]["peer"]
    assert (found["ratio"], found["low"], found["high"], found["rounds"]) == (2.0, 2.0, 2.0, 4)
    assert fast["stats"]["rounds"] == 4
    code, slow = run_pytest(tmp_path / "slow", 1.1)
    assert code == 1
    table = {"s": {"c": {"peer": Gate(1.2)}}}
    assert [gates.rows(b["extra_info"], table)[0].met for b in (fast, slow)] == [True, False]


@pytest.mark.parametrize(("ours", "met"), [(2.0, True), (1.1, False)])
def test_the_command_line_judges_the_same(
    monkeypatch: pytest.MonkeyPatch, ours: float, met: bool
) -> None:
    one = Case(
        "s",
        "c",
        "x",
        Contender("ours", lambda: Reading(lambda: ours)),
        (Contender("peer", lambda: Reading(lambda: 1.0)),),
    )
    monkeypatch.setattr(suites, "cases", lambda names: [one])
    monkeypatch.setattr(gates, "load", lambda: {"s": {"c": {"peer": Gate(1.2)}}})
    ((row,),) = suites.each(["s"])
    assert row.met == met

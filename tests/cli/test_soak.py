"""cli/soak.py and bench/swarm: servers are killed under real agents, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from metabonk.bench.swarm import books, ledger, soak, verdict
from metabonk.bench.swarm.plan import Plan

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

SHORT = Plan(
    agents=3, seconds=6.0, period=0.25, broker_kills=1, model_kills=1, impostors=1, churn=0.05,
    slow=1, latency=0.02, seed=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[soak.Report, Path]:
    """A short soak and its folder."""
    folder = tmp_path_factory.mktemp("soak") / "short"
    return soak.run(SHORT, folder), folder


def test_a_short_soak_loses_nothing(short: tuple[soak.Report, Path]) -> None:
    report, _ = short
    found = report.verdict
    assert found.fault_counts == {}, found.faults
    # How quick it is depends on the machine; what is lost, or never comes back, does not.
    assert [p for p in report.problems if not p.startswith("99 % of recoveries")] == []
    assert report.broker_kills == 1
    assert report.model_kills == 1
    assert report.drained
    assert found.requests >= 10
    assert found.counts["applied"] > 0
    assert found.counts["acknowledged"] == found.requests
    assert found.ticks > 100


def test_who_was_killed_comes_back(short: tuple[soak.Report, Path]) -> None:
    """Agents soon after the broker is ready, which takes as long as the machine does for it."""
    report, _ = short
    found = report.verdict
    assert found.silent == {}
    assert 1 <= len(found.recovery) <= SHORT.agents - SHORT.slow
    assert len(report.starts) == 1
    assert max(found.recovery) < 3.0 * report.starts[0] + 5.0
    assert found.model_back is not None
    assert found.model_back > 0.0


def test_a_name_that_lives_is_not_given_away(short: tuple[soak.Report, Path]) -> None:
    """Each attempt ended, and none was given a name but where its agent's connection was cut."""
    report, _ = short
    assert "usurped" not in report.verdict.fault_counts
    assert len(report.impostors) == SHORT.impostors
    for attempt in report.impostors:
        assert attempt.bound or "another connection has this name" in attempt.why, attempt


def judged(folder: Path) -> verdict.Verdict:
    return verdict.judge(
        ledger.read(folder / "ledgers"),
        books.decisions(folder / "journal"),
        books.outcomes(folder / "journal"),
    )


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM outcomes WHERE rowid_of_one", "lost"),
        ("DELETE FROM decisions WHERE rowid_of_one", "unwritten"),
        ('UPDATE decisions SET answer = \'{"action":"hold"}\' WHERE rowid_of_one', "changed"),
        ("UPDATE outcomes SET applied = 1 - applied WHERE rowid_of_one", "contradicted"),
    ],
)
def test_what_is_taken_from_the_journal_is_missed(
    short: tuple[soak.Report, Path], tmp_path: Path, statement: str, kind: str
) -> None:
    """The same soak with one row damaged does not pass: the judgement can fail."""
    copy = tmp_path / "soak"
    shutil.copytree(short[1], copy)
    assert judged(copy).passed
    one = next(e for e in ledger.read(copy / "ledgers") if isinstance(e, ledger.Applied)).id
    agent, epoch, sequence = verdict.split(one)
    where = f"agent = '{agent}' AND epoch = {epoch} AND sequence = {sequence}"
    connection = sqlite3.connect(copy / "journal/decisions.sqlite")
    with connection:
        changed = connection.execute(statement.replace("rowid_of_one", where)).rowcount
    connection.close()
    assert changed == 1
    found = judged(copy)
    assert not found.passed
    assert found.fault_counts == {kind: 1}
    assert found.faults[0].id == one


def test_the_verb_says_what_happened(metabonk: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "soak"
    said = metabonk(
        *("soak", "cognition", "--no-model", "--agents", 1, "--minutes", 0.05, "--slow", 0),
        *("--broker-kills", 0, "--impostors", 2, "--churn", 0, "--period", 0.2, "--out", out),
        *("--json", tmp_path / "soak.json"),
    )
    assert said.code == 0, said.out + said.err
    assert "lost, doubled, stale" in said.out
    assert "passed" in said.out
    written = json.loads((out / "report.json").read_text())
    assert json.loads((tmp_path / "soak.json").read_text()) == written
    assert written["passed"]
    assert written["verdict"]["requests"] > 5
    # Its agent is there all the time, on one connection: whoever else comes is refused.
    tried = [(attempt["bound"], attempt["why"]) for attempt in written["impostors"]]
    assert [bound for bound, _ in tried] == [False, False]
    assert all("another connection has this name" in why for _, why in tried), tried
    again = metabonk("soak", "--out", out)
    assert again.code == 2
    assert "not empty" in again.err


def test_what_cannot_be_soaked(metabonk: Callable[..., Any]) -> None:
    said = metabonk("soak", "games")
    assert said.code == 2
    assert "there is cognition" in said.err
    said = metabonk("soak", "--slow", 17)
    assert said.code == 2
    assert "--slow 17: out of range for 16 agents" in said.err


@pytest.mark.long
def test_a_minute_with_many_kills_loses_nothing(tmp_path: Path) -> None:
    plan = Plan(seconds=60.0, broker_kills=6, model_kills=3, impostors=3)
    report = soak.run(plan, tmp_path / "soak")
    assert report.verdict.fault_counts == {}, report.verdict.faults
    assert report.drained
    assert (report.broker_kills, report.model_kills, len(report.impostors)) == (6, 3, 3)
    assert [p for p in report.problems if not p.startswith("99 % of recoveries")] == []
    assert len(report.verdict.recovery) >= 6 * 8

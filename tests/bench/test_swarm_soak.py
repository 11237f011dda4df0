"""bench/swarm/soak.py: what a soak has to have seen, beside its verdict, before it passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from metabonk.bench.swarm import soak, verdict
from metabonk.bench.swarm.agent import Attempt
from metabonk.bench.swarm.plan import Plan

from metabonk.cognition.log.journal import Journal
from metabonk.cognition.monitor.scrape import parse


def test_a_decision_that_is_written_twice_is_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal keeps one of each id: what it was handed beyond that is nowhere else."""
    pages = [f"{soak.JOURNAL_AGAIN} 2\n{soak.JOURNAL_FAILURES} 0",
             f"{soak.JOURNAL_AGAIN} 5\n{soak.JOURNAL_FAILURES} 1",
             f"{soak.JOURNAL_AGAIN} 1\n{soak.JOURNAL_FAILURES} 0"]  # fmt: skip
    monkeypatch.setattr(soak, "scrape", lambda url: parse(pages.pop(0)))
    made = soak.Soak(Plan(agents=1, model=False, model_kills=0), tmp_path)
    for _ in range(3):
        made._account()
    assert made._again == 3, "of starts whose disk never failed"
    found = verdict.Verdict(requests=9, counts={"applied": 9})
    soak._written_again(found, 0)
    assert found.passed
    soak._written_again(found, made._again)
    assert found.fault_counts == {"duplicated": 3}
    assert not found.passed


def test_the_server_says_what_it_was_handed_twice(tmp_path: Path) -> None:
    """By the names under which a soak looks for it."""
    names = [f"metabonk_cognition_journal_{name}_total" for name in Journal(tmp_path).counts]
    assert {soak.JOURNAL_AGAIN, soak.JOURNAL_FAILURES} <= set(names)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"impostors": []}, "0 of 2 impostors"),
        ({"impostors": [Attempt("omega-1", False, "")] * 2}, "0 of 2 impostors"),
        ({"impostors": [Attempt("omega-1", False, "taken: it lives")]}, "1 of 2 impostors"),
        ({"cut": 0}, "no connection was cut in 2000 requests"),
        ({"remade": 0}, "no client was made anew in 2000 requests"),
    ],
)
def test_a_soak_in_which_nobody_misbehaved_does_not_pass(told: dict[str, Any], said: str) -> None:
    tried = [Attempt("omega-1", False, "taken: it lives"), Attempt("omega-1", True, "")]

    def report(requests: int = 2000, impostors: Any = tried, **counts: int) -> soak.Report:
        found = verdict.Verdict(
            agents=2, requests=requests, counts={"applied": 9, "cut": 7, "remade": 1, **counts}
        )
        plan = Plan(agents=4, impostors=2, churn=0.02)
        return soak.Report(plan=plan, seconds=9.0, verdict=found, impostors=impostors)

    assert soak._unhappened(report(), 2) == []
    (problem,) = soak._unhappened(report(**told), 2)
    assert problem.startswith(said)
    if "impostors" not in told:
        assert soak._unhappened(report(requests=900, **told), 2) == [], "it may be by chance"
    else:
        early = msgspec.structs.replace(report(**told), stopped=True)
        assert soak._unhappened(early, 2) == [], "they had no time"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recovery": []}, "no agent was seen to go on after 2 kills"),
        ({"silent": {"omega-3": 12.34}}, "omega-3 went 12.3 s without an answer"),
        ({"model_back": None}, "no answer of the model server came after its last kill"),
        ({"recovery": [0.2, 9.0]}, "99 % of recoveries within"),
    ],
)
def test_a_soak_after_which_somebody_is_missing_does_not_pass(
    wrong: dict[str, Any], said: str
) -> None:
    def report(**told: Any) -> soak.Report:
        fine = {"recovery": [0.2, 0.3], "silent": {"omega-1": 0.4}, "model_back": 0.8, **told}
        found = verdict.Verdict(agents=2, requests=9, counts={"applied": 9}, **fine)
        made = soak.Report(
            plan=Plan(agents=4), seconds=9.0, verdict=found, broker_kills=2, model_kills=1
        )
        made.problems += soak._goals(made)
        return made

    assert report().passed
    (problem,) = report(**wrong).problems
    assert problem.startswith(said)
    assert not report(**wrong).passed

"""Verdicts: a slower ours fails its gate, whoever measured."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from metabonk.bench import SUITES, gates, suites
from metabonk.bench.case import Case, Evidence, measure
from metabonk.bench.gates import FILE, Gate, Row
from metabonk.bench.meter import Reading
from metabonk.bench.versus import AbsentError, Contender

from metabonk.errors import ConfigError

GATES = {"s": {"c": {"peer": Gate(goal=1.2, aim=3.0)}}}


def case(ours: float, peer: float = 1.0, **settings: Any) -> Case:
    return Case(
        "s",
        "c",
        "steps/s",
        Contender("ours", lambda: Reading(lambda: ours)),
        (Contender("peer", lambda: Reading(lambda: peer)),),
        rounds=3,
        **settings,
    )


def verdict(made: Case) -> Row:
    (row,) = gates.rows(measure(made), GATES)
    return row


def test_a_faster_ours_meets_its_gate_and_a_slower_one_fails_it() -> None:
    fast, slow, just_not = verdict(case(2.0)), verdict(case(0.5)), verdict(case(1.19))
    assert (fast.met, slow.met, just_not.met) == (True, False, False)
    assert (fast.ours, fast.peer, fast.ratio, fast.goal) == (2.0, 1.0, 2.0, 1.2)
    assert "aim 3 not reached" in fast.note
    assert "aim 3 reached" in verdict(case(3.5)).note


def test_a_lower_duration_is_the_better_one() -> None:
    assert verdict(case(0.5, better="lower")).met is True
    assert verdict(case(2.0, better="lower")).met is False


def test_a_ratio_without_its_evidence_is_not_met() -> None:
    def nothing_learned(ours: object, peer: object) -> Evidence:
        return Evidence(False, "nothing was learned")

    row = verdict(case(9.0, evidence=nothing_learned))
    assert row.met is False
    assert "nothing was learned" in row.note


@pytest.mark.parametrize(
    ("suite", "extension", "gated"),
    [
        ("ops", "none", False),
        ("ops", "vnni", True),
        ("ops", "bf16", True),
        ("ops", "amx", True),
        ("ops", None, True),  # a result that does not say where it was taken
        ("policy", "none", True),
    ],
)
def test_operations_are_gated_where_the_processor_has_what_their_goals_are_for(
    suite: str, extension: str | None, gated: bool
) -> None:
    info = measure(dataclasses.replace(case(0.5), suite=suite))
    info["machine"] = {"tier": "avx2"} | ({} if extension is None else {"extension": extension})
    (row,) = gates.rows(info, {suite: GATES["s"]})
    assert row.ratio == pytest.approx(0.5)
    assert (row.goal, row.met) == ((1.2, False) if gated else (None, None))
    assert ("not gated: goals are for AVX-512 with VNNI, this ran on avx2" in row.note) != gated
    assert "aim" in row.note or not gated
    assert gates.verdict([row]).passes != gated  # no goal of this processor's is missed


def test_without_a_goal_there_is_no_verdict() -> None:
    (row,) = gates.rows(measure(case(0.1)), {})
    assert row.met is None
    assert row.goal is None
    assert row.ratio == pytest.approx(0.1)


@pytest.mark.parametrize("who", ["ours", "peer"])
def test_who_is_absent_is_skipped_with_the_reason_and_no_verdict(who: str) -> None:
    def fail() -> Reading:
        raise AbsentError("not here: install it")

    made = case(2.0)
    gone = Contender(who, fail)
    made = dataclasses.replace(made, **({"ours": gone} if who == "ours" else {"peers": (gone,)}))
    row = verdict(made)
    assert row.met is None
    assert row.skipped
    assert row.ratio is None
    assert row.note == "skipped: not here: install it"


def test_a_goal_inside_the_interval_is_said() -> None:
    values = iter([1.0, 1.1, 1.5, 1.6, 1.7])
    made = Case(
        "s",
        "c",
        "x",
        Contender("ours", lambda: Reading(lambda: next(values), warm=0)),
        (Contender("peer", lambda: Reading(lambda: 1.0)),),
        rounds=5,
    )
    row = verdict(made)
    assert row.low is not None
    assert row.high is not None
    assert row.low < 1.2 <= row.high
    assert "inside the interval" in row.note


def test_what_is_stored_is_enough_for_the_verdict_and_names_the_machine() -> None:
    """A result that went through JSON, as pytest-benchmark stores it, is judged the same."""
    info = measure(case(2.0))
    again = json.loads(json.dumps(info))
    assert gates.rows(again, GATES) == gates.rows(info, GATES)
    machine = info["machine"]
    assert machine["processor"]
    assert machine["threads"] >= 1
    assert set(machine["versions"]) >= {"numpy", "torch", "envpool"}
    assert "tier" in machine


def test_rows_are_written_with_the_names_that_others_read() -> None:
    row = msgspec.to_builtins(verdict(case(2.0)))
    names = ["suite", "name", "ours", "peer", "peer_name", "unit", "ratio", "goal", "met"]
    assert list(row)[: len(names)] == names


def test_every_gate_belongs_to_a_case_and_a_peer() -> None:
    known = {(c.suite, c.name, p.name) for c in suites.cases() for p in c.peers}
    table = tomllib.loads(FILE.read_text())
    gated = {(s, n, p) for s, names in table.items() for n, peers in names.items() for p in peers}
    assert gated <= known


def test_the_goals_that_were_promised_stand() -> None:
    """Lowering one of these is a decision, not an edit."""
    table = gates.load()
    for epochs in ("1 epoch", "4 epochs"):
        against = table["ppo"][f"CartPole, {epochs}"]
        assert against["CleanRL-style loop over EnvPool"] == Gate(1.2, 3.0)
        assert against["Stable-Baselines3"].goal == 5.0
    assert table["games"]["arena_200, two threads over one"]["spin kernel"].goal == 0.95
    assert table["start"]["./scripts/metabonk --help"][".venv/bin/metabonk and 1 s"].goal == 1.0
    assert table["start"]["import metabonk"]["150 ms"].goal == 1.0


def test_cases_have_names_of_their_own() -> None:
    names = [(c.suite, c.name) for c in suites.cases()]
    assert len(set(names)) == len(names)
    assert {suite for suite, _ in names} == set(SUITES)


def test_an_unknown_suite_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'games'"):
        suites.cases(["gaems"])


@pytest.mark.parametrize("text", ["[s.c]\npeer = 1.2", "[s.c]\npeer = { goals = 1 }", "["])
def test_a_broken_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"gates\.toml"):
        gates.load(path)

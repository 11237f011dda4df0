"""`metabonk validate learning`: what is kept is shown with what it was held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from metabonk.bench import provenance, study
from metabonk.bench.studies import STUDIES
from metabonk.bench.study import Cell, Figure, Result, Scale

from metabonk.errors import GameError

Metabonk = Callable[..., Any]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    figures = [
        Figure(
            name="steps saved", value=2.5, ci95=(1.6, 3.4), goal=2.0, baselines={"shuffled": 1.0}
        ),
        Figure(name="return", value=0.4, goal=0.9, note="of the teacher's"),
    ]
    study.keep(
        Result(study="dreams", label="full", seeds=5, seconds=1800.0, figures=figures), tmp_path
    )
    return tmp_path


def test_kept_results_are_printed_with_met_or_not(metabonk: Metabonk, kept: Path) -> None:
    said = metabonk("validate", "learning", "--results", kept, "--json", kept / "out.json")
    assert said.code == 0, said.err
    assert "dreams, 5 seeds, 30 min of runs, 1 of 2 goals met, source then unknown" in said.out
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert lines[1:5] == [
        "met      steps saved",
        "         2.5 (1.6 … 3.4), goal >= 2; the mean meets it, the goal is inside the interval; "
        "shuffled 1",
        "not met  return",
        "         0.4, goal >= 0.9; of the teacher's",
    ]
    (written,) = json.loads((kept / "out.json").read_text())
    assert written["met"] is False
    assert [f["met"] for f in written["figures"]] == [True, False]
    assert [f["unsure"] for f in written["figures"]] == [True, False]
    assert written["changed"] is None


def test_what_nobody_ever_ran_is_listed_with_its_cost(metabonk: Metabonk, kept: Path) -> None:
    said = metabonk("validate", "learning", "--results", kept, "--work", kept / "work")
    for study_ in STUDIES.values():
        minutes = f"{study_.minutes['full']:g} minutes on two cores"
        told = f"{study_.name}: not run in full, which takes about {minutes}"
        assert (told in said.err) is (study_.name != "dreams")
    assert "`metabonk validate learning horizon`" in said.err


@pytest.mark.parametrize("changed", [False, True])
def test_what_was_measured_before_a_change_is_told(
    metabonk: Metabonk, tmp_path: Path, changed: bool
) -> None:
    now = provenance.source(STUDIES["cells"])
    states = [now, "of" + now[2:]] if changed else [now]
    shown, judged = Figure(name="shown", value=1.0), Figure(name="judged", value=1.0, goal=1.0)
    result = Result(
        study="cells", label="full", seeds=5, seconds=911.0, figures=[shown, judged], states=states
    )
    study.keep(result, tmp_path)
    said = metabonk("validate", "learning", "--results", tmp_path, "--json", tmp_path / "out")
    assert said.code == 0, said.err
    assert "cells, 5 seeds, 15 min of runs" in said.out
    assert said.out.count("source changed since") == int(changed)
    (written,) = json.loads((tmp_path / "out").read_text())
    assert written["changed"] is changed


def test_studies_are_listed_with_their_cost(metabonk: Metabonk) -> None:
    said = metabonk("validate", "learning", "--list")
    assert said.code == 0
    for name in (
        "world",
        "arena",
        "dreams",
        "horizon",
        "pretrain",
        "doom",
        "efe",
        "cells",
        "motor",
    ):
        assert name in said.out
    assert "60 min" in said.out


def test_what_is_not_there_is_said(metabonk: Metabonk, tmp_path: Path) -> None:
    unknown = metabonk("validate", "learning", "telepathy")
    assert unknown.code == 2
    assert "telepathy: no such study, there are world" in unknown.err
    large = metabonk("validate", "learning", "doom", "--quick", "--work", tmp_path)
    assert large.code == 0
    assert "doom has no small form" in large.err
    out = tmp_path / "said.txt"
    out.write_text("of another time")
    words = ("doom", "arena", "--quick", "--work", tmp_path, "--json", out)
    assert metabonk("validate", "learning", *words).code == 0
    assert json.loads(out.read_text()) == []
    nothing = metabonk("validate", "learning", "--results", tmp_path)
    assert nothing.code == 0
    assert "no results are kept" in nothing.err


class Scripted:
    """A study of two cells, one of which may fail."""

    what = "whether it is said"
    minutes: Mapping[Scale, float] = {"full": 1.0, "quick": 0.1}

    def __init__(self, name: str, fails: bool = False) -> None:
        self.name, self.fails = name, fails

    def cells(self, scale: Scale) -> list[Cell]:
        return [Cell("arm", seed) for seed in range(2)]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {"size": 1}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        if self.fails and cell.seed:
            raise GameError("the engine went away")
        return {"value": float(cell.seed)}

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        return [Figure(name=f"{self.name}'s figure", value=1.0, goal=1.0)]

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        return None


def test_every_run_is_told_and_one_study_that_fails_leaves_the_others(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    for made in (Scripted("first"), Scripted("broken", fails=True), Scripted("last")):
        monkeypatch.setitem(STUDIES, made.name, made)
    where = ("--work", tmp_path / "work", "--results", tmp_path / "kept", "--jobs", 1)
    said = metabonk(
        *("validate", "learning", "first", "broken", "last", "--json", tmp_path / "out.json"),
        *where,
    )
    assert said.code == 2
    assert "first: 1 of 2, arm with seed 0: 0 s" in said.err
    assert "broken: 2 of 2, arm with seed 1: GameError: the engine went away" in said.err
    assert "1 of 3 studies failed, as said above: broken" in said.err
    assert "first's figure" in said.out
    assert "last's figure" in said.out
    written = json.loads((tmp_path / "out.json").read_text())
    assert [(r["study"], r["met"]) for r in written] == [("first", True), ("last", True)]
    kept = metabonk("validate", "learning", *where[:4])
    assert kept.code == 0
    assert "broken: 1 of 2 runs are kept" in kept.err
    assert "metabonk validate learning broken" in kept.err
    assert "broken: not run" not in kept.err  # it was begun, as is said
    assert "first: " not in kept.err
    alone = metabonk("validate", "learning", "broken", *where)
    assert alone.code == 2
    assert "broken: 1 of 2 runs failed" in alone.err


@pytest.mark.long
@pytest.mark.parametrize("name", [s.name for s in STUDIES.values() if s.cells("quick")])
def test_every_study_runs_small(metabonk: Metabonk, tmp_path: Path, name: str) -> None:
    """All of them together in twenty minutes on two cores; their figures claim nothing."""
    results = tmp_path / "kept"
    said = metabonk(
        *("validate", "learning", name, "--quick", "--work", tmp_path, "--results", results),
        *("--json", tmp_path / "out.json"),
    )
    assert said.code == 0, said.err
    assert "smoke: no claim" in said.out
    (written,) = json.loads((tmp_path / "out.json").read_text())
    assert written["met"] is None
    assert written["figures"]
    assert not results.exists()

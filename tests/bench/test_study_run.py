"""Running studies: what was run is not run again, what fails takes nothing with it, and nothing
small is kept."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metabonk.bench import studies, study, study_run
from metabonk.bench.study import Cell, Figure, Scale, by_seed, mean_of
from metabonk.bench.study_run import StudyError, Told

from metabonk.errors import (
    ConfigError,
    CorruptError,
    DivergedError,
    MissingExtraError,
    ResumeError,
)


class Tossing:
    """Two arms, three seeds; what is found is the seed."""

    name = "tossing"
    what = "whether it goes on"
    minutes: Mapping[Scale, float] = {"full": 1.0, "quick": 0.1}

    def __init__(self) -> None:
        self.ran: list[Cell] = []
        self.fails: dict[Cell, BaseException] = {}
        self.values: dict[Cell, float] = {}
        self.size = 1

    def cells(self, scale: Scale) -> Sequence[Cell]:
        return [Cell(arm, seed) for seed in range(3) for arm in ("a", "b")]

    def settings(self, scale: Scale) -> dict[str, Any]:
        return {"size": self.size}

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        self.ran.append(cell)
        assert not list(directory.iterdir())
        (directory / "left").write_text("behind")
        if cell in self.fails:
            raise self.fails[cell]
        value = cell.seed + (10 if cell.arm == "b" else 0)
        return {"value": self.values.get(cell, value)}

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        value, ci95 = mean_of(by_seed(found, "b", "value"))
        low = float(np.mean(by_seed(found, "a", "value")))
        return [Figure(name="b", value=value, ci95=ci95, goal=5.0, baselines={"a": low})]

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        path.write_bytes(b"drawn")


@pytest.fixture
def tossing(monkeypatch: pytest.MonkeyPatch) -> Tossing:
    made = Tossing()
    monkeypatch.setitem(studies.STUDIES, made.name, made)
    return made


def stop_at(tossing: Tossing, scale: Scale, folder: Path, cell: Cell) -> None:
    tossing.fails[cell] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        study_run.run(tossing, scale, folder, results=folder / "kept")
    tossing.fails.clear()


def test_a_study_goes_on_where_it_was_stopped(tossing: Tossing, tmp_path: Path) -> None:
    stop_at(tossing, "full", tmp_path, Cell("b", 1))
    assert not (tmp_path / "kept").exists()
    assert study_run.done(tossing, "full", tmp_path) == 3
    first, tossing.ran = tossing.ran, []
    told: list[Told] = []
    result = study_run.run(
        tossing, "full", tmp_path, results=tmp_path / "kept", progress=told.append
    )
    assert first[:-1] == [t.cell for t in told if t.kept]
    assert tossing.ran == [t.cell for t in told if not t.kept]
    assert {t.cell for t in told} == set(tossing.cells("full"))
    assert [(t.done, t.total) for t in told] == [(n, 6) for n in range(1, 7)]
    assert [t.left for t in told[:3]] == [None] * 3
    assert told[-1].left == 0.0
    assert result.figures[0].value == 11.0
    assert result.met
    assert (result.label, result.seeds, result.sources) == ("full", 3, 1)
    assert study.kept(tmp_path / "kept") == [result]
    assert (tmp_path / "kept" / "tossing.png").read_bytes() == b"drawn"
    assert not list(tmp_path.rglob("left"))  # every cell's folder is cleared away


def test_what_a_kill_left_behind_is_cleared_away(tossing: Tossing, tmp_path: Path) -> None:
    """Of a cell that was killed there is no result, but all that it had written."""
    study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    (cell,) = tmp_path.rglob("a-1.json")
    cell.unlink()
    half = cell.parent / ".a-1"
    half.mkdir()
    (half / "replay").write_text("gigabytes")
    study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert tossing.ran[6:] == [Cell("a", 1)]
    assert cell.exists()
    assert not half.exists()


def test_other_settings_are_another_study(tossing: Tossing, tmp_path: Path) -> None:
    def run() -> None:
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")

    run()
    tossing.size = 2
    run()
    assert len(tossing.ran) == 12
    run()
    assert len(tossing.ran) == 12


def test_who_goes_on_after_a_change_says_so(
    tossing: Tossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(tossing, "full", tmp_path, Cell("b", 1))
    before = study_run.source(tossing)
    monkeypatch.setattr(study_run, "source", lambda study: "another")
    monkeypatch.setattr(study_run, "_begun_with", {})  # another process
    result = study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert result.sources == 2
    assert result.states == sorted(["another", before])
    assert study.kept(tmp_path / "kept") == [result]


def test_smoke_is_seen_anew_every_time_and_goes_on_too(tossing: Tossing, tmp_path: Path) -> None:
    stop_at(tossing, "quick", tmp_path, Cell("a", 2))
    study_run.run(tossing, "quick", tmp_path)
    assert len(tossing.ran) == 5 + 2
    study_run.run(tossing, "quick", tmp_path)
    assert len(tossing.ran) == 5 + 2 + 6
    assert not list(tmp_path.rglob("*.json"))


def test_a_cell_that_fails_takes_nothing_from_the_others(tossing: Tossing, tmp_path: Path) -> None:
    lost = DivergedError("three updates in a row")
    tossing.fails = {Cell("b", 0): lost, Cell("a", 2): ValueError("every sequence holds a reset")}
    told: list[Told] = []
    with pytest.raises(StudyError, match="tossing: 2 of 6 runs failed") as failed:
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept", progress=told.append)
    assert "b with seed 0: DivergedError: three updates in a row" in str(failed.value)
    assert "a with seed 2: ValueError: every sequence" in str(failed.value)
    assert len(tossing.ran) == 6
    assert [t.why != "" for t in told] == [False, True, False, False, True, False]
    assert not (tmp_path / "kept").exists()
    tossing.fails, tossing.ran = {}, []
    assert study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept").met
    assert tossing.ran == [Cell("b", 0), Cell("a", 2)]


def test_what_every_cell_lacks_is_said_once(tossing: Tossing, tmp_path: Path) -> None:
    for cell in tossing.cells("full"):
        tossing.fails[cell] = MissingExtraError("vizdoom", "games", "Doom")
    with pytest.raises(StudyError, match=r"\binstall .*games"):
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert len(tossing.ran) == 1


def test_a_mistake_in_a_study_is_told_with_its_place(tossing: Tossing, tmp_path: Path) -> None:
    """And takes nothing from the others either."""
    tossing.fails[Cell("a", 1)] = TypeError("no such argument")
    with pytest.raises(
        StudyError, match=r"TypeError: no such argument \(.*test_study_run.py, line"
    ):
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert study_run.done(tossing, "full", tmp_path) == 5


def test_what_was_measured_while_the_source_changed_is_not_kept(
    tossing: Tossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what comes after it in a process that has the source of before in its memory."""
    states = iter(["before"] * 3 + ["after"] * 20)
    monkeypatch.setattr(study_run, "source", lambda study: next(states))
    monkeypatch.setattr(study_run, "_begun_with", {})
    with pytest.raises(StudyError, match="5 of 6 runs failed") as failed:
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert str(failed.value).count("source was changed while this ran") == 1
    assert str(failed.value).count("begin it again") == 4
    assert len(tossing.ran) == 2
    assert study_run.done(tossing, "full", tmp_path) == 1
    monkeypatch.setattr(study_run, "_begun_with", {})  # another process
    assert study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept").sources == 2


def test_figures_that_cannot_be_told_lose_nothing(
    tossing: Tossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(found: object) -> list[Figure]:
        raise KeyError("value")

    monkeypatch.setattr(tossing, "figures", wrong)
    with pytest.raises(StudyError, match=r"KeyError: 'value' \(.*test_study_run.py, line"):
        study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    assert study_run.done(tossing, "full", tmp_path) == 6


def test_several_at_a_time_find_the_same(
    tossing: Tossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(jobs: int, context: object, max_tasks_per_child: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(jobs)  # which knows this module's study

    one = study_run.run(tossing, "full", tmp_path / "one", results=tmp_path / "kept")
    monkeypatch.setattr(study_run, "ProcessPoolExecutor", pool)
    many = study_run.run(tossing, "full", tmp_path / "many", results=tmp_path / "kept", jobs=3)
    assert many.figures == one.figures
    tossing.size = 2

    def killed(*args: object) -> None:
        raise BrokenProcessPool("somebody was killed")

    monkeypatch.setattr(study_run, "_attempt", killed)
    with pytest.raises(StudyError, match="--jobs 1"):
        study_run.run(tossing, "full", tmp_path / "many", results=tmp_path / "kept", jobs=2)


def test_two_at_once_do_not_clear_each_others_cells_away(tossing: Tossing, tmp_path: Path) -> None:
    def again(told: Told) -> None:
        with pytest.raises(ResumeError, match=f"in use by process {os.getpid()}.*--work"):
            study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")

    study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept", progress=again)
    assert len(tossing.ran) == 6


def test_what_is_small_claims_nothing(tossing: Tossing, tmp_path: Path) -> None:
    result = study_run.run(tossing, "quick", tmp_path, results=tmp_path / "kept")
    assert result.label == "smoke: no claim"
    assert result.met is None
    assert not (tmp_path / "kept").exists()
    with pytest.raises(ConfigError, match="is not kept among the results"):
        study.keep(result, tmp_path / "kept")


def test_what_is_no_number_is_kept_and_meets_nothing(tossing: Tossing, tmp_path: Path) -> None:
    """JSON has no word for it."""
    tossing.values[Cell("b", 1)] = tossing.values[Cell("a", 0)] = float("nan")
    result = study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    (kept,) = study.kept(tmp_path / "kept")
    for figure in (*result.figures, *kept.figures):
        assert math.isnan(figure.value)
        assert math.isnan(figure.baselines["a"])
        assert figure.ci95 is None
        assert figure.met is False


def test_damage_is_named(tossing: Tossing, tmp_path: Path) -> None:
    study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    (cell,) = tmp_path.rglob("a-0.json")
    for wrong in ("{", "[]", '{"seconds": 1}', '{"found": 3, "seconds": 1}'):
        cell.write_text(wrong)
        with pytest.raises(CorruptError, match=r"a-0\.json"):
            study_run.run(tossing, "full", tmp_path, results=tmp_path / "kept")
    for wrong in ("[]", '{"figures": 3}', '{"figures": [{"value": null, "baselines": 2}]}'):
        (tmp_path / "kept" / "tossing.json").write_text(wrong)
        with pytest.raises(CorruptError, match="run the study again"):
            study.kept(tmp_path / "kept")

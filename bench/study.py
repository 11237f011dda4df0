"""Studies: claims about learning, each with its seeds, controls, baselines and intervals.

Knows how a study is run in cells that survive a kill, how results are kept and what counts as met;
does not know what is studied. A cell is one arm with one seed; whatever it found lies in a file of
its own, so that a study that was stopped goes on where it was. Claims come from full runs alone: a
quick run is labelled and never kept among the results.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

import metabonk
from metabonk import files
from metabonk.errors import ConfigError, CorruptError
from metabonk.learn.ablation.effects import interval95

from . import machine

Scale = Literal["full", "quick"]
SMOKE = "smoke: no claim"
RESULTS = Path(__file__).parent / "results" / "learning"
SEEDS = {"full": 5, "quick": 3}
FORMAT = 1


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside what it is to be compared with.

    value, ci95: its mean over seeds and the interval of that, None where there is none. baselines:
    by name. goal: what it is held against, `sense` says from which side; None for a figure that is
    only shown. interval: its bad end is held against the goal, and not the mean.
    """

    name: str
    value: float
    unit: str = ""
    ci95: tuple[float, float] | None = None
    baselines: dict[str, float] = {}
    goal: float | None = None
    sense: Literal[">=", "<=", ">"] = ">="
    interval: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one. A figure that is no number meets nothing."""
        if self.goal is None:
            return None
        held = self.value
        if self.interval:
            if self.ci95 is None:
                return False
            held = self.ci95[1] if self.sense == "<=" else self.ci95[0]
        if self.sense == ">":
            return bool(held > self.goal)
        return bool(held >= self.goal) if self.sense == ">=" else bool(held <= self.goal)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a study found. label: `full`, or what says that nothing is claimed. seconds: of all
    cells together, whatever ran beside them."""

    study: str
    label: str
    seeds: int
    seconds: float
    figures: list[Figure]
    format: int = FORMAT
    version: str = metabonk.__version__
    created: str = ""
    machine: dict[str, Any] = {}
    cells: dict[str, Any] = {}

    @property
    def met(self) -> bool | None:
        """Whether every goal is met; None where nothing is claimed or held against a goal."""
        judged = [f.met for f in self.figures if f.met is not None]
        return all(judged) if judged and self.label == "full" else None


class Cell(NamedTuple):
    """One arm of a study with one seed."""

    arm: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.seed}".replace("/", "_")


class Study(Protocol):
    """One claim, or several that the same runs decide.

    minutes: what all cells of a scale cost on two cores, roughly, as told before they start.
    """

    name: str
    what: str
    minutes: Mapping[Scale, float]

    def cells(self, scale: Scale) -> Sequence[Cell]:
        """All of them; those of one seed are paired."""

    def settings(self, scale: Scale) -> dict[str, Any]:
        """Plain data that decides what cells find, beside arm and seed."""

    def measure(self, cell: Cell, scale: Scale, directory: Path) -> dict[str, Any]:
        """What one cell finds, as plain data. directory: empty, its own."""

    def figures(self, found: Mapping[Cell, dict[str, Any]]) -> list[Figure]:
        """What all of them come to."""

    def picture(self, found: Mapping[Cell, dict[str, Any]], path: Path) -> None:
        """Draws what there is to see to `path`, a PNG; nothing where there is nothing."""


Progress = Callable[[Cell, int, int, bool], None]


def run(
    study: Study,
    scale: Scale,
    work: Path,
    *,
    results: Path = RESULTS,
    jobs: int = 1,
    progress: Progress = lambda cell, done, total, kept: None,
) -> Result:
    """Runs the cells that are still to be run and returns what all of them come to.

    work: where cells are kept; those of other settings are left alone and not used. results: where
    a full result is kept. jobs: cells at a time, each in a process of its own beyond one. progress:
    told of every cell, how many are done of how many, and whether it was there already.
    """
    cells = list(study.cells(scale))
    folder = work / study.name / f"{scale}-{_key(study, scale)}"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[Cell, dict[str, Any]] = {}
    for cell in cells:
        kept = _read(folder / f"{cell.name}.json")
        if kept is not None:
            found[cell] = kept
            progress(cell, len(found), len(cells), True)
    missing = [cell for cell in cells if cell not in found]
    for cell, told in _measured(study.name, missing, scale, folder, jobs):
        found[cell] = told
        progress(cell, len(found), len(cells), False)
    result = Result(
        study=study.name,
        label="full" if scale == "full" else SMOKE,
        seeds=len({cell.seed for cell in cells}),
        seconds=round(sum(told["seconds"] for told in found.values()), 1),
        figures=study.figures({cell: found[cell]["found"] for cell in cells}),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine=machine.description(),
        cells={cell.name: found[cell]["found"] for cell in cells},
    )
    if scale == "full":
        keep(result, results)
        study.picture({c: found[c]["found"] for c in cells}, results / f"{study.name}.png")
    return result


def _measured(name: str, cells: Sequence[Cell], scale: Scale, folder: Path, jobs: int) -> Any:
    """Pairs of a cell and what it found, as they come."""
    if jobs < 2 or len(cells) < 2:
        for cell in cells:
            yield cell, measure(name, cell, scale, folder)
        return
    # A fresh process each: torch's threads and the core's settings are a process's own.
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(measure, name, cell, scale, folder): cell for cell in cells}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def measure(name: str, cell: Cell, scale: Scale, folder: Path) -> dict[str, Any]:
    """Runs one cell and keeps what it found; what a killed one left behind is cleared away."""
    from .studies import STUDIES

    began = time.perf_counter()
    scratch = folder / f".{cell.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        found = STUDIES[name].measure(cell, scale, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    told = {"found": found, "seconds": round(time.perf_counter() - began, 2)}
    files.replace(folder / f"{cell.name}.json", msgspec.json.encode(told))
    return msgspec.json.decode(msgspec.json.encode(told), type=dict[str, Any])


def _key(study: Study, scale: Scale) -> str:
    settings = msgspec.json.encode(study.settings(scale), order="sorted")
    return sha256(settings + metabonk.__version__.encode()).hexdigest()[:12]


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{path}: {error}; delete it and the cell is run again") from error


def keep(result: Result, results: Path = RESULTS) -> Path:
    """Writes a full result where results are kept, in place of the one before."""
    if result.label != "full":
        raise ConfigError(f"{result.study}: {result.label!r} is not kept among the results")
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{result.study}.json"
    files.replace(path, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def kept(results: Path = RESULTS) -> list[Result]:
    """The results that are kept, by name. Raises CorruptError for one that cannot be read."""
    found: list[Result] = []
    for path in sorted(results.glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Result))
        except msgspec.MsgspecError as error:
            raise CorruptError(f"{path}: {error}; run the study again") from error
    return found


def mean_of(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """The mean and its 95 % interval over seeds (Student 1908); none for one value. A bootstrap of
    as few values as there are seeds would be too narrow."""
    array = np.asarray(values, np.float64)
    mean = float(array.mean()) if len(array) else float("nan")
    if len(array) < 2 or not np.isfinite(array).all():
        return mean, None
    return mean, interval95(array.tolist())


def ratio_of(
    ours: Sequence[float], theirs: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """The geometric mean of paired ratios ours / theirs, and its interval."""
    logs = np.log(np.asarray(ours, np.float64)) - np.log(np.asarray(theirs, np.float64))
    value, interval = mean_of(logs.tolist())
    shown = None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
    return float(np.exp(value)), shown


def by_seed(found: Mapping[Cell, dict[str, Any]], arm: str, key: str) -> list[float]:
    """What cells of an arm found under a key, in the order of their seeds."""
    cells = sorted((cell for cell in found if cell.arm == arm), key=lambda cell: cell.seed)
    return [float(found[cell][key]) for cell in cells]

"""Studies: claims about learning, each with its seeds, controls, baselines and intervals.

Knows what a study is, what counts as met and how results are kept; does not know what is studied,
nor how cells are run (study_run.py). Claims come from full runs alone: a quick run is labelled and
never kept among the results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np

import metabonk
from metabonk import files
from metabonk.config import Config
from metabonk.errors import ConfigError, CorruptError
from metabonk.learn.ablation.effects import interval95

Scale = Literal["full", "quick"]
SMOKE = "smoke: no claim"
RESULTS = Path(__file__).parent / "results" / "learning"
SEEDS = {"full": 5, "quick": 3}
DECIDING = ("game", "model", "ppo", "world", "dream", "efe", "cpqe", "run", "native")
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
        return self._keeps(self._worst if self.interval else self.value)

    @property
    def unsure(self) -> bool:
        """Whether the mean, by which this is judged, meets the goal, and the interval's bad end
        does not."""
        known = self.ci95 is not None and not self.interval
        return known and self.met is True and not self._keeps(self._worst)

    @property
    def _worst(self) -> float:
        """The interval's bad end; NaN without one."""
        if self.ci95 is None:
            return math.nan
        return self.ci95[1] if self.sense == "<=" else self.ci95[0]

    def _keeps(self, value: float) -> bool:
        """Whether a value is on the goal's good side; one that is no number is not."""
        assert self.goal is not None
        if self.sense == ">":
            return bool(value > self.goal)
        return bool(value >= self.goal) if self.sense == ">=" else bool(value <= self.goal)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a study found. label: `full`, or what says that nothing is claimed. seconds: of all
    cells together, whatever ran beside them. sources: states of the source that they were measured
    with, more than one where the study went on after a change. states: these, as provenance.source
    tells them; none in results from before they were kept."""

    study: str
    label: str
    seeds: int
    seconds: float
    figures: list[Figure]
    sources: int = 1
    states: list[str] = []
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


def deciding(config: Config) -> dict[str, Any]:
    """The sections of a run's settings by which it learns, as plain data."""
    return {name: msgspec.to_builtins(getattr(config, name)) for name in DECIDING}


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
            raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            found.append(msgspec.convert(_with_numbers(raw), Result))
        except msgspec.MsgspecError as error:
            raise CorruptError(f"{path}: {error}; run the study again") from error
    return found


def _with_numbers(raw: dict[str, Any]) -> dict[str, Any]:
    """A result as JSON has it, whose word for what is no number is null."""
    figures = raw.get("figures")
    for figure in figures if isinstance(figures, list) else ():
        if isinstance(figure, dict) and figure.get("value", 0.0) is None:
            figure["value"] = math.nan
        baselines = figure.get("baselines") if isinstance(figure, dict) else None
        if isinstance(baselines, dict):
            figure["baselines"] = {k: math.nan if v is None else v for k, v in baselines.items()}
    return raw


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
    """The geometric mean of paired ratios ours / theirs, and its interval; NaN where one of them is
    not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(ours, np.float64)) - np.log(np.asarray(theirs, np.float64))
    if not np.isfinite(logs).all():
        return math.nan, None
    value, interval = mean_of(logs.tolist())
    shown = None if interval is None else (math.exp(interval[0]), math.exp(interval[1]))
    return math.exp(value), shown


def by_seed(found: Mapping[Cell, dict[str, Any]], arm: str, key: str) -> list[float]:
    """What cells of an arm found under a key, in the order of their seeds; NaN for what was no
    number, which JSON keeps as null."""
    cells = sorted((cell for cell in found if cell.arm == arm), key=lambda cell: cell.seed)
    values = [found[cell][key] for cell in cells]
    return [math.nan if value is None else float(value) for value in values]

"""Running a study in cells that survive a kill.

Knows processes, folders and what a study is; does not know what is studied, nor who watches. A cell
is one arm with one seed; whatever it found lies in a file of its own, so that a study that was
stopped goes on where it was. A cell that fails takes nothing from the others: they are run, and the
study ends by saying which are missing and why.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import metabonk
from metabonk import files
from metabonk.errors import CorruptError, MetabonkError, MissingExtraError, ResumeError

from . import machine
from .provenance import source
from .study import RESULTS, SMOKE, Cell, Result, Scale, Study, keep


class StudyError(MetabonkError, RuntimeError):
    """A study whose figures cannot be told yet; the message says what is missing and why."""


class Found(NamedTuple):
    """What was kept of one cell. found: plain data; seconds it took; source: state of the source
    that it was measured with."""

    found: dict[str, Any]
    seconds: float
    source: str


class Failed(NamedTuple):
    """Why a cell has none. everywhere: no other cell can fare better."""

    why: str
    everywhere: bool


class Told(NamedTuple):
    """One more cell is over: number `done` of `total`. kept: it was there already. left: seconds
    that the others take yet if they take as long as those of their arm did; None while nothing was
    measured. why: it failed."""

    cell: Cell
    done: int
    total: int
    kept: bool
    seconds: float
    left: float | None
    why: str = ""


Progress = Callable[[Told], None]


def run(
    study: Study,
    scale: Scale,
    work: Path,
    *,
    results: Path = RESULTS,
    jobs: int = 1,
    progress: Progress = lambda told: None,
) -> Result:
    """Runs the cells that are still to be run and returns what all of them come to.

    work: where cells are kept; those of other settings are left alone and not used, and those of a
    quick run are forgotten when it is over: smoke that was seen once says nothing of a later state.
    results: where a full result is kept. jobs: cells at a time, each in a process of its own beyond
    one. progress: told of every cell.

    Raises StudyError if a cell failed, after all others were run; ResumeError while another process
    runs the same study there; CorruptError for a cell's file that cannot be read.
    """
    cells = list(study.cells(scale))
    folder = folder_of(study, scale, work)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        found, failed = _all(study, scale, folder, cells, jobs, progress)
        if failed:
            raise StudyError(_missing(study, failed, len(cells)))
        try:
            result = _result(study, scale, cells, found)
            if scale == "full":
                keep(result, results)
                study.picture({c: found[c].found for c in cells}, results / f"{study.name}.png")
        except Exception as error:
            raise StudyError(
                f"{study.name}: {_placed(error)}: its figures cannot be told; what was measured is "
                "kept"
            ) from error
        if scale == "quick":
            shutil.rmtree(folder)
    return result


def folder_of(study: Study, scale: Scale, work: Path) -> Path:
    """Where its cells are kept."""
    settings = msgspec.json.encode(study.settings(scale), order="sorted")
    key = sha256(settings + metabonk.__version__.encode()).hexdigest()[:12]
    return work / study.name / f"{scale}-{key}"


def done(study: Study, scale: Scale, work: Path) -> int:
    """How many of its cells are kept."""
    folder = folder_of(study, scale, work)
    return sum((folder / f"{cell.name}.json").exists() for cell in study.cells(scale))


_begun_with: dict[str, str] = {}  # the state of the source that this process has loaded, by study


def measure(name: str, cell: Cell, scale: Scale, folder: Path) -> Found:
    """Runs one cell and keeps what it found; what a killed one left behind is cleared away."""
    from .studies import STUDIES

    began, state = time.perf_counter(), source(STUDIES[name])
    if state != _begun_with.setdefault(name, state):
        raise StudyError("the source was changed since this began: begin it again to go on")
    scratch = folder / f".{cell.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        told = STUDIES[name].measure(cell, scale, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if source(STUDIES[name]) != state:
        raise StudyError("the source was changed while this ran: nobody knows what it was of")
    found = Found(told, round(time.perf_counter() - began, 2), state)
    path = folder / f"{cell.name}.json"
    files.replace(path, msgspec.json.encode(found._asdict()))
    return _read(path)


def _attempt(name: str, cell: Cell, scale: Scale, folder: Path) -> Found | Failed:
    """The same, failures as plain data: not every error comes whole from another process. A mistake
    in the program is told with its place."""
    try:
        return measure(name, cell, scale, folder)
    except MissingExtraError as error:
        return Failed(str(error), everywhere=True)
    except (MetabonkError, ValueError, ArithmeticError) as error:
        return Failed(f"{type(error).__name__}: {error}", everywhere=False)
    except Exception as error:  # noqa: BLE001 - told as this cell's: others may be hours of work
        return Failed(_placed(error), everywhere=False)


def _placed(error: BaseException) -> str:
    """What went wrong and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"


def _all(
    study: Study,
    scale: Scale,
    folder: Path,
    cells: Sequence[Cell],
    jobs: int,
    progress: Progress,
) -> tuple[dict[Cell, Found], dict[Cell, str]]:
    """What every cell found, and why the others did not."""
    found: dict[Cell, Found] = {}
    failed: dict[Cell, str] = {}
    for cell in cells:
        path = folder / f"{cell.name}.json"
        if path.exists():
            found[cell] = _read(path)
            progress(Told(cell, len(found), len(cells), True, found[cell].seconds, None))
    missing = [cell for cell in cells if cell not in found]
    jobs = max(1, min(jobs, len(missing)))
    for cell, told in _measured(study.name, missing, scale, folder, jobs):
        if isinstance(told, Failed):
            failed[cell] = told.why
            if told.everywhere:
                break
        else:
            found[cell] = told
        over, why = len(found) + len(failed), failed.get(cell, "")
        seconds = 0.0 if isinstance(told, Failed) else told.seconds
        left = _left(cells, found, failed, jobs)
        progress(Told(cell, over, len(cells), False, seconds, left, why))
    return found, failed


def _measured(
    name: str, cells: Sequence[Cell], scale: Scale, folder: Path, jobs: int
) -> Iterator[tuple[Cell, Found | Failed]]:
    """Pairs of a cell and what came of it, as they come."""
    if jobs < 2:
        for cell in cells:
            yield cell, _attempt(name, cell, scale, folder)
        return
    # A fresh process each: torch's threads and the core's settings are a process's own.
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(_attempt, name, cell, scale, folder): cell for cell in cells}
        try:
            for over in as_completed(waiting):
                yield waiting[over], over.result()
        except BrokenProcessPool as error:
            raise StudyError(
                f"{name}: a process ended that measured a cell, as when memory runs out; what was "
                "measured is kept: go on with fewer at a time, --jobs 1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _left(
    cells: Sequence[Cell], found: Mapping[Cell, Found], failed: Mapping[Cell, str], jobs: int
) -> float | None:
    """Seconds that are left, see Told."""
    arms: dict[str, list[float]] = defaultdict(list)
    for cell, told in found.items():
        arms[cell.arm].append(told.seconds)
    if not arms:
        return None
    every = [seconds for known in arms.values() for seconds in known]
    missing = [cell for cell in cells if cell not in found and cell not in failed]
    each = (arms.get(cell.arm, every) for cell in missing)
    return sum(sum(known) / len(known) for known in each) / jobs


def _missing(study: Study, failed: Mapping[Cell, str], total: int) -> str:
    cells = "; ".join(f"{c.arm} with seed {c.seed}: {why}" for c, why in failed.items())
    return (
        f"{study.name}: {len(failed)} of {total} runs failed, without which there are no figures; "
        f"the others are kept and are not run again. {cells}"
    )


def _result(
    study: Study, scale: Scale, cells: Sequence[Cell], found: Mapping[Cell, Found]
) -> Result:
    plain = {cell: found[cell].found for cell in cells}
    states = {told.source for told in found.values()}
    return Result(
        study=study.name,
        label="full" if scale == "full" else SMOKE,
        seeds=min(Counter(cell.arm for cell in cells).values()),  # an arm may have more of them
        seconds=round(sum(told.seconds for told in found.values()), 1),
        figures=study.figures(plain),
        sources=len(states),
        states=sorted(filter(None, states)),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        machine=machine.description(),
        cells={cell.name: told for cell, told in plain.items()},
    )


def _read(path: Path) -> Found:
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        return Found(dict(raw["found"]), float(raw["seconds"]), str(raw.get("source", "")))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: {error}; delete it and the cell is run again") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a folder of cells for this process: who begins a cell clears away what lies there."""
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ResumeError(
                f"{folder} is in use by process {file.read() or '?'}: wait for it, or choose "
                "another folder with --work"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

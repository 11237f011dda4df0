"""Faults of learning: updates whose numbers are none.

Knows arrays, files and where checkpoints are; does not know losses or who learns. An update whose
input, loss or gradient is not finite changes nothing. It is counted, its batch is kept under
`<run>/faults` for study, and the third in a row ends the run with the last that was good named:
a single one may be a game's slip, three are an error that more steps only hide. What is good is
whole and has finite numbers in all that was learned, whoever learned it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from metabonk import artifact, files
from metabonk.artifact import Artifact
from metabonk.errors import CheckpointError, CorruptError, DivergedError
from metabonk.learn import checkpoint
from metabonk.protocols import Array

FOLDER = "faults"
MOST_IN_A_ROW = 3
MOST_KEPT = 8  # batches of each part; the oldest give way
MOST_BYTES = 64 << 20  # of one batch; arrays that no longer fit are left out, and named
# Of a checkpoint's state, the rollout at hand: a slip in it is skipped by whoever goes on, and says
# nothing of what was learned.
PLAYED = "collector."


class Faults:
    """Counts the updates of one part of learning that were skipped.

    part: its name, as in `ppo`. run: the run's directory; without one no batch is kept. advice:
    what to do about three in a row, of that directory in words; it names the last that was good.
    skipped: updates ever. in_a_row: of them, since the last good one. unsaved: batches that the
    disk did not take.
    """

    def __init__(
        self, part: str, run: Path | None = None, advice: Callable[[Path], str] | None = None
    ) -> None:
        self.part, self.run, self.advice = part, run, advice or go_on
        self.skipped = self.in_a_row = self.unsaved = 0

    def passed(self) -> None:
        """An update was good."""
        self.in_a_row = 0

    def failed(self, what: str, batch: Mapping[str, Array], update: int) -> None:
        """An update was skipped. what: was not finite, in words. batch: arrays by name, to be kept.
        update: its number. Raises DivergedError for the third in a row."""
        self.skipped += 1
        self.in_a_row += 1
        self._keep(what, batch, update)
        if self.in_a_row >= MOST_IN_A_ROW:
            raise DivergedError(
                f"{self.part}: {self.in_a_row} updates in a row were not finite, "
                f"the last is number {update} ({what}); {self._remedy()}"
            )

    def details(self) -> dict[str, int]:
        """What `load` needs, for a checkpoint."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load(self, details: Mapping[str, Any]) -> None:
        """Inverse of `details`; counts that are not there are 0."""
        self.skipped = int(details.get("skipped", 0))
        self.in_a_row = int(details.get("in_a_row", 0))

    def kept(self) -> list[Path]:
        """The batches on disk, oldest first."""
        if self.run is None:
            return []
        # By age: a run that went on from before what is kept counts from a lower number again.
        found = (self.run / FOLDER).glob(f"{self.part}-*")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _keep(self, what: str, batch: Mapping[str, Array], update: int) -> None:
        if self.run is None:
            return
        try:
            path = self.run / FOLDER / f"{self.part}-{self.skipped:06d}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            files.replace(path, _encoded({"part": self.part, "what": what}, batch, update))
            for old in self.kept()[:-MOST_KEPT]:
                old.unlink(missing_ok=True)
        except OSError:  # a full disk must not turn one skipped update into the end of a run
            self.unsaved += 1

    def _remedy(self) -> str:
        if self.run is None:
            return "lower the learning rate, or look at what was learned from"
        kept = f"their batches are in {self.run / FOLDER}" if self.kept() else "none could be kept"
        return f"{kept}; {self.advice(self.run)}"


def go_on(run: Path) -> str:
    """What to do about a run that diverged, in words: go on from its last good checkpoint, once
    those are gone that are newer and would be taken instead, or begin anew."""
    good = last_good(run)
    if good is None:
        return "no checkpoint is usable: begin anew with a lower learning rate"
    newer = [str(path) for path in checkpoint.listed(run) if path.name > good.name]
    first = f"remove {' and '.join(newer)} and " if newer else ""
    return (
        f"the last good checkpoint is {good}: {first}go on from it with "
        f"`metabonk train --resume --run {run}` once the cause is gone, "
        "or begin anew with a lower learning rate"
    )


def usable(run: Path) -> Artifact:
    """The newest checkpoint. Raises CheckpointError as `checkpoint.latest` does, and for one whose
    numbers are not finite, as every update from it would be skipped and nothing it does means
    anything: going back in time is the user's decision."""
    found = checkpoint.latest(run)
    if wrong := spoiled(found):
        raise CheckpointError(f"{found.path}: {wrong} is not finite; {go_on(run)}")
    return found


def last_good(run: Path) -> Path | None:
    """The newest checkpoint that is good; None if there is none."""
    return newest_good(checkpoint.listed(run), checkpoint.KIND)


def newest_good(paths: Sequence[Path], kind: str) -> Path | None:
    """The last of the artifacts `paths` that is whole and whose numbers are finite; None if there
    is none."""
    for path in reversed(paths):
        try:
            wrong = spoiled(artifact.load(path, kind=kind))
        except (CorruptError, FileNotFoundError):
            continue
        if not wrong:
            return path
    return None


def spoiled(found: Artifact) -> str:
    """The file and the array in it that holds something other than finite numbers; empty if none
    does. What was played last and not yet learned from does not count."""
    for name in sorted(found.card.files):
        if name.endswith(".safetensors"):
            arrays = {k: v for k, v in found.tensors(name).items() if not k.startswith(PLAYED)}
            if wrong := unsound(arrays):
                return f"{wrong} in {name}"
    return ""


def unsound(arrays: Mapping[str, Array]) -> str:
    """The name of the first array that holds something other than finite numbers; empty if none."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    with np.errstate(over="ignore", invalid="ignore"):
        for name, array in floats.items():
            # A sum shows it in one pass that writes nothing; what is too large is looked at again.
            total = float(array.sum(dtype=np.float64))
            if not math.isfinite(total) and not np.isfinite(array).all():
                return name
    return ""


def _encoded(said: Mapping[str, str], batch: Mapping[str, Array], update: int) -> bytes:
    from safetensors.numpy import save

    chosen: dict[str, Array] = {}
    left_out: list[str] = []
    size = 0
    for name, array in batch.items():
        if size + array.nbytes > MOST_BYTES:
            left_out.append(name)
            continue
        size += array.nbytes
        chosen[name] = np.ascontiguousarray(array)
    told = {**said, "update": str(update), "left_out": msgspec.json.encode(left_out).decode()}
    return bytes(save(chosen, metadata=told))

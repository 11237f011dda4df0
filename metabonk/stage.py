"""Stages: functions (configuration, inputs by hash, seed) -> artifact, in a run directory.

Knows how to tell whether a run directory may be started, continued or is done already, and keeps an
append-only journal of that (`stages.jsonl`). Does not know what a stage computes: its body resumes
from whatever it saved itself. Killing a stage at any moment loses nothing but the work since then.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

import metabonk
from metabonk import artifact, files
from metabonk.artifact import Artifact
from metabonk.errors import CorruptError, ResumeError

C = TypeVar("C")

JOURNAL = "stages.jsonl"
_UNKNOWN = object()  # what no setting is


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal.

    key: hash of all that the result follows from. identity: the part of the configuration that an
    earlier attempt must share to be continued, by dotted key. result: the artifact's path relative
    to the run directory, and hash its hash; both empty until the stage finished.
    """

    stage: str
    event: Literal["started", "continued", "finished"]
    key: str
    seed: int
    inputs: tuple[str, ...]
    identity: dict[str, Any]
    time: float
    version: str = metabonk.__version__
    result: str = ""
    hash: str = ""


@dataclass(frozen=True)
class Context(Generic[C]):
    """What a stage's body is given. resumed: an earlier attempt left work in `directory`."""

    directory: Path
    config: C
    inputs: tuple[Artifact, ...]
    seed: int
    resumed: bool


@dataclass(frozen=True)
class Stage(Generic[C]):
    """A named body and what makes two of its attempts the same work.

    body: writes one artifact inside `context.directory` and returns it; called again after a kill
    with `resumed` set. flexible: dotted configuration keys (or whole sections) that may change when
    an attempt is continued, such as how long it lasts. worth: what a key counts as, by dotted key,
    for attempts that were begun before there was such a key: what was done then without it. atomic:
    the body leaves nothing until it is done, so that a directory holds any number of its results;
    an attempt that was cut short is begun anew, and whoever is at work in the directory is waited
    for.
    """

    name: str
    body: Callable[[Context[C]], Artifact]
    flexible: frozenset[str] = frozenset()
    worth: Mapping[str, Any] = field(default_factory=dict)
    atomic: bool = False

    def run(
        self,
        directory: Path | str,
        config: C,
        *,
        seed: int,
        inputs: Sequence[Artifact] = (),
        resume: bool = False,
        again: bool = False,
    ) -> Artifact:
        """The stage's artifact: the one from before if the same work is done, else made now.

        again: make it now in any case. Unless the stage is atomic, raises ResumeError if
        `directory` is in use, if it holds unfinished work of this stage and `resume` is False, or
        if that work was begun with other settings.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with locked(directory, wait=self.atomic):
            entry = self._entry(config, seed, inputs)
            past = [e for e in read_journal(directory) if e.stage == self.name]
            done = _finished(directory, past, entry.key)
            if done is not None and not again:
                return done
            resumed = bool(past) and not self.atomic
            if resumed:
                self._check_continues(directory, past[-1], entry, resume)
            _append(directory, entry, "continued" if resumed else "started")
            result = self.body(Context(directory, config, tuple(inputs), seed, resumed))
            where = os.path.relpath(result.path, directory)
            _append(directory, entry, "finished", result=where, hash=result.hash)
            return result

    def _entry(self, config: C, seed: int, inputs: Sequence[Artifact]) -> Entry:
        flat = dict(_flatten(msgspec.to_builtins(config)))
        hashes = tuple(i.hash for i in inputs)
        whole = msgspec.json.encode([self.name, flat, seed, hashes], order="sorted")
        identity = {key: value for key, value in flat.items() if not self._may_change(key)}
        return Entry(
            stage=self.name,
            event="started",
            key=hashlib.sha256(whole).hexdigest(),
            seed=seed,
            inputs=hashes,
            identity=identity,
            time=time.time(),
        )

    def _check_continues(self, directory: Path, past: Entry, now: Entry, resume: bool) -> None:
        if not resume:
            raise ResumeError(
                f"{directory} already holds a run of {self.name!r}: continue it with --resume, "
                "or choose another directory with --run"
            )
        if past.seed != now.seed:
            raise ResumeError(
                f"{directory} was begun with seed {past.seed}, not {now.seed}: give that seed, "
                "or choose another --run"
            )
        if past.inputs != now.inputs:
            raise ResumeError(f"{directory} was begun from other inputs: choose another --run")
        self._check_settings(directory, past, now)

    def _check_settings(self, directory: Path, past: Entry, now: Entry) -> None:
        """Raises ResumeError unless both have the same settings, as far as they cannot change."""
        before, after, worth = (_plain(v) for v in (past.identity, now.identity, self.worth))
        if gone := [k for k in before if k not in after and not self._may_change(k)]:
            told = ", ".join(f"{key} = {before[key]!r}" for key in gone)
            raise ResumeError(
                f"{directory} was begun with settings that are no more ({told}): "
                f"continue it with metabonk {past.version}, or choose another --run"
            )
        changed = [
            f"{key} was {before[key]!r}, now {value!r}"
            if key in before
            else f"{key} was not there yet, as if {worth.get(key)!r}, now {value!r}"
            for key, value in after.items()
            if value != before.get(key, worth.get(key, _UNKNOWN))
        ]
        if changed:
            raise ResumeError(
                f"{directory} cannot be continued with other settings ({'; '.join(changed)}): "
                "leave them as they were, or choose another --run"
            )

    def _may_change(self, key: str) -> bool:
        return any(key == f or key.startswith(f + ".") for f in self.flexible)


def read_journal(directory: Path | str) -> list[Entry]:
    """The journal of a run directory, oldest first; a torn last line is ignored.

    Raises CorruptError with the line's number for damage elsewhere.
    """
    path = Path(directory) / JOURNAL
    if not path.exists():
        return []
    data = path.read_bytes()
    entries: list[Entry] = []
    for number, line in enumerate(files.whole_lines(data).splitlines(), 1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError as error:
            raise CorruptError(f"{path}, line {number}: {error}; delete that line") from error
    return entries


@contextlib.contextmanager
def locked(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds a run directory for this process.

    While another one has it, waits if told so, else raises ResumeError.
    """
    with (directory / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            raise ResumeError(
                f"{directory} is in use by process {file.read() or '?'}: wait for it, "
                "or choose another directory with --run"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _finished(directory: Path, past: Sequence[Entry], key: str) -> Artifact | None:
    """The result of the same work, if it is there and whole."""
    for entry in reversed(past):
        if entry.event == "finished" and entry.key == key:
            try:
                found = artifact.load(directory / entry.result)
            except (CorruptError, FileNotFoundError):
                return None  # damaged or cleared away: it is made again
            return found if found.hash == entry.hash else None
    return None


def _append(directory: Path, entry: Entry, event: str, **changes: Any) -> None:
    entry = msgspec.structs.replace(entry, event=event, time=time.time(), **changes)
    files.append(directory / JOURNAL, msgspec.json.encode(entry))


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from the journal, where a tuple is a list."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(tree))
    return plain


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

"""Metrics and events: one typed registry, any number of sinks.

Knows names, units and where records go (JSON lines, TensorBoard when it is installed, anything with
`write`). Does not know what is measured: each room declares its own metrics beside the code that
logs them, and a name that nobody declared is an error, so that a typing mistake cannot start a
second curve.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, SupportsFloat, runtime_checkable

import msgspec

from metabonk import files
from metabonk.errors import CorruptError, MissingExtraError

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")  # also a valid Prometheus name
_RESERVED = frozenset({"step", "time", "event"})


@dataclass(frozen=True)
class Metric:
    """What a number means. unit: `s`, `1/s`, `steps`, `B`, ... or empty for a bare number.

    kind: a `gauge` may go up and down, a `counter` only up.
    """

    name: str
    unit: str
    help: str
    kind: Literal["gauge", "counter"] = "gauge"


_declared: dict[str, Metric] = {}


def declare(name: str, unit: str, help: str, kind: Literal["gauge", "counter"] = "gauge") -> Metric:
    """Makes `name` loggable, process-wide; call it at module level beside the code that logs.

    Declaring the same metric again is fine; with another meaning it raises ValueError.
    """
    if not _NAME.match(name) or name in _RESERVED:
        raise ValueError(f"metric name {name!r}: use lower-case letters, digits and underscores")
    metric = Metric(name, unit, help, kind)
    if _declared.setdefault(name, metric) != metric:
        raise ValueError(f"metric {name!r} is already declared as {_declared[name]}")
    return metric


def declared() -> Mapping[str, Metric]:
    """Every metric declared so far, by name."""
    return dict(_declared)


@dataclass(frozen=True)
class Record:
    """One line of a run's history: measurements at a step, or an event.

    step: environment steps done. time: seconds since 1970. event: the event's kind, empty for
    measurements. values: numbers by metric name, or an event's fields (plain JSON data).
    """

    step: int
    time: float
    event: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """One JSON object without a line break; numbers that are not finite become null."""
        head: dict[str, Any] = {"step": self.step, "time": round(self.time, 3)}
        if self.event:
            head["event"] = self.event
        return msgspec.json.encode({**head, **self.values})

    @classmethod
    def from_json(cls, line: bytes) -> Record:
        """Inverse of `to_json`, null read as NaN in measurements. Raises CorruptError."""
        try:
            data = msgspec.json.decode(line, type=dict[str, Any])
            step, when = int(data.pop("step")), float(data.pop("time"))
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"not a metrics record ({error})") from error
        event = data.pop("event", "")
        if not event:
            data = {k: float("nan") if v is None else v for k, v in data.items()}
        return cls(step, when, event, data)


@runtime_checkable
class Sink(Protocol):
    """Where records go. `write` is called by one thread at a time and must not block for long."""

    def write(self, record: Record) -> None: ...


@runtime_checkable
class CuttableSink(Sink, Protocol):
    """A sink that can forget what came after a step."""

    def cut(self, step: int) -> None: ...


@runtime_checkable
class ClosableSink(Sink, Protocol):
    """A sink that holds a file or a window."""

    def close(self) -> None: ...


class Registry:
    """Fans records out to its sinks, in order. Safe to use from several threads."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = list(sinks)
        self._lock = threading.Lock()
        self._step = 0

    def add(self, sink: Sink) -> None:
        """Adds a sink; it sees what is logged from now on."""
        with self._lock:
            self._sinks.append(sink)

    def log(self, step: int, **values: SupportsFloat) -> None:
        """Records measurements at `step`: numbers, numpy scalars or tensors of one element.

        Raises ValueError for a name that was not declared.
        """
        for name in values:
            if name not in _declared:
                near = difflib.get_close_matches(name, _declared, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"metric {name!r} is not declared: call metabonk.metrics.declare first{hint}"
                )
        numbers = {k: v if type(v) is int else float(v) for k, v in values.items()}
        self._write(Record(int(step), time.time(), "", numbers))

    def event(self, kind: str, *, step: int | None = None, **fields: Any) -> None:
        """Records that something happened, at `step` or at the last one logged.

        `fields` are plain JSON data. Raises ValueError for a reserved name or an empty kind.
        """
        if not kind or _RESERVED & fields.keys():
            raise ValueError(f"event {kind!r}: give it a kind and no field named {set(_RESERVED)}")
        self._write(Record(self._step if step is None else int(step), time.time(), kind, fields))

    def cut_back(self, step: int) -> None:
        """Drops what came after `step` from the sinks that can, before a run goes on from there."""
        with self._lock:
            self._step = step
            for sink in self._sinks:
                if isinstance(sink, CuttableSink):
                    sink.cut(step)

    def close(self) -> None:
        """Closes the sinks; safe to call twice."""
        with self._lock:
            sinks, self._sinks = self._sinks, []
        for sink in sinks:
            if isinstance(sink, ClosableSink):
                sink.close()

    def _write(self, record: Record) -> None:
        with self._lock:
            self._step = record.step
            for sink in self._sinks:
                sink.write(record)

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class JsonLinesSink:
    """Appends one JSON object per line; each is one write, so a killed process loses none.

    A torn last line that a power cut or a full disk left is dropped when the file is opened.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        files.drop_torn_line(self.path)
        self._size = self.path.stat().st_size

    def write(self, record: Record) -> None:
        """Raises OSError when the disk is full; the file then ends where it did before."""
        line = record.to_json() + b"\n"
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._size)
            raise OSError(28, "no space left for a metrics record", str(self.path))
        self._size += written

    def cut(self, step: int) -> None:
        """Keeps the records up to `step`; the old file stays until the new one is whole."""
        kept = b"".join(r.to_json() + b"\n" for r in read_records(self.path) if r.step <= step)
        files.replace(self.path, kept)
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._size = len(kept)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class TensorBoardSink:
    """Scalars for TensorBoard; events other than measurements are left out.

    Raises MissingExtraError where the package `tensorboard` is absent.
    """

    def __init__(self, directory: Path | str) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard", "the TensorBoard sink") from error
        self._event, self._summary = event_pb2, summary_pb2
        self._writer = EventFileWriter(str(directory))

    def write(self, record: Record) -> None:
        if record.event:
            return
        values = [
            self._summary.Summary.Value(tag=name, simple_value=float(value))
            for name, value in record.values.items()
        ]
        summary = self._summary.Summary(value=values)
        self._writer.add_event(
            self._event.Event(wall_time=record.time, step=record.step, summary=summary)
        )

    def cut(self, step: int) -> None:
        """Tells TensorBoard to forget what it has after `step`."""
        start = self._event.SessionLog(status=self._event.SessionLog.START)
        self._writer.add_event(
            self._event.Event(wall_time=time.time(), step=step + 1, session_log=start)
        )

    def close(self) -> None:
        self._writer.close()


def read_records(path: Path | str) -> Iterator[Record]:
    """The records of a JSON-lines file, oldest first, also while it is being written.

    A torn last line is ignored. Raises CorruptError with file and line for damage elsewhere.
    """
    for number, line in enumerate(files.whole_lines(Path(path).read_bytes()).splitlines(), 1):
        try:
            yield Record.from_json(line)
        except CorruptError as error:
            raise CorruptError(
                f"{path}, line {number}: {error}; delete that line to read the rest"
            ) from error

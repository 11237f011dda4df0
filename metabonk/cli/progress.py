"""Progress of a run on a terminal: a sink of metrics that draws itself.

Knows rich and the names of a run's metrics; does not know how they come about.
"""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from metabonk.cli.output import notice_line, stderr
from metabonk.cli.status_line import QUIET_SECONDS
from metabonk.metrics import Record

EVENTS = {
    "resumed": "resumed at step {step}",
    "dreams": "{when}",
    "evaluation": "evaluated: return {return_mean:.1f}, random play {random_mean:.1f}",
    "lost": "processes of the game that died and were started again: {count}",
    "motor_phase": "motor: {phase}, {done:,} of {updates:,} updates",
    "motor": "motor learned from {steps:,} steps",
    "motor_failed": "no motor: {reason}",
}
LOSSES = (
    ("loss_policy", "policy"),
    ("loss_value", "value"),
    ("entropy", "entropy"),
    ("kl", "kl"),
    ("explained_variance", "explained"),
    ("wm_recon", "world"),
    ("wm_trust", "trust"),
    ("dream_return", "dream"),
    ("efe_gain", "unknown"),
)


class ProgressSink:
    """Draws a bar with steps/s, return, losses and time left; a line now and then in logs.

    Use as a context around training, and give it to `train` as a sink.
    """

    def __init__(self, title: str) -> None:
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=stderr,
            expand=True,
        )
        self._task = self._bar.add_task(title, total=1.0, left="")
        self._live = Live(console=stderr, refresh_per_second=8, transient=True)
        self._latest: dict[str, float] = {}
        self._step = 0
        self._said = 0.0

    def write(self, record: Record) -> None:
        """Shows what a record says."""
        if record.event:
            self._say(record)
            return
        self._step = max(self._step, record.step)
        self._latest.update({k: v for k, v in record.values.items() if v == v})
        left, done = self._latest.get("seconds_left"), self._latest.get("minutes", 0.0) * 60.0
        if left is not None and done > 0.0:
            self._bar.update(self._task, completed=done / (done + left), left=clock(left) + " left")
        if stderr.is_terminal:
            self._live.update(Group(self._bar, self._table()))
        elif "seconds_left" in record.values and time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            stderr.print(self.line(), markup=False, soft_wrap=True)

    def line(self) -> str:
        """The state of things in one line."""
        parts = [f"{_count(self._step)} steps"]
        if "steps_per_second" in self._latest:
            parts.append(f"{self._latest['steps_per_second']:,.0f} steps/s")
        if "return_mean" in self._latest:
            parts.append(f"return {self._latest['return_mean']:.2f}")
        if "wm_trust" in self._latest:
            parts.append(f"the world model right for {self._latest['wm_trust']:.1f} steps")
        if "seconds_left" in self._latest:
            parts.append(f"{clock(self._latest['seconds_left'])} left")
        return ", ".join(parts)

    def _table(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        cells = [("steps", _count(self._step))]
        if "steps_per_second" in self._latest:
            cells.append(("steps/s", f"{self._latest['steps_per_second']:,.0f}"))
        if "return_mean" in self._latest:
            cells.append(("return", f"{self._latest['return_mean']:.2f}"))
        cells += [(short, f"{self._latest[k]:.3g}") for k, short in LOSSES if k in self._latest]
        grid.add_row(*(Text.assemble((f"{k} ", "dim"), (v, "bold")) for k, v in cells))
        return grid

    def _say(self, record: Record) -> None:
        pattern = EVENTS.get(record.event)
        if pattern is None:
            return
        fields = {**record.values, "step": _count(record.step)}
        said = escape(pattern.format(**fields))  # a reason may hold brackets
        stderr.print(f"[dim]{said}[/]", soft_wrap=True)
        for difference in record.values.get("differs", ()):  # of a resumed run
            notice_line(f"sums round otherwise than before: {difference}")

    def __enter__(self) -> ProgressSink:
        if stderr.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


def clock(seconds: float) -> str:
    """Seconds as 1:05 or 2:03:04."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    text = f"{minutes}:{whole % 60:02d}"
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else text


def minutes_left(seconds: float | None) -> str:
    """How long something takes yet, in words; nothing where that is not known, or soon over."""
    if seconds is None or seconds < 1.0:
        return ""
    return f", about {seconds / 60.0:.1f} minutes left"


def _count(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scale = 1e3 if letter == "k" else size
            return f"{value / scale:.3g}{letter}"
    return f"{value:,.0f}"

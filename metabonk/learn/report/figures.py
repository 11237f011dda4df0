"""The figures of a run's report: learning curve, comparison of players, losses.

Knows matplotlib and series of numbers; does not know runs, files or pages. Each figure serves two
uses: as PNG in fixed colours, and as SVG whose colours are CSS variables of the page, so that it
follows the reader's light or dark theme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metabonk.errors import MissingExtraError
from metabonk.learn.student import quantile

Array = npt.NDArray[Any]

MAX_POINTS = 400  # per line; more cannot be seen and makes pages heavy
SMOOTHING = 0.04  # of the run: the width of the average that the thick line shows

# Role -> (colour of the light theme, CSS variable of the page).
COLOURS = {
    "ink": ("#1c2126", "--ink"),
    "soft": ("#69727c", "--soft"),
    "line": ("#dfe3e8", "--line"),
    "policy": ("#1f6feb", "--policy"),
    "dreamer": ("#7c5cd6", "--dreamer"),
    "scripted": ("#b7791f", "--scripted"),
    "random": ("#8a94a0", "--random"),
}


@dataclass(frozen=True)
class Series:
    """A measured line. x: environment steps, y: values, float64 [T]; NaN where not measured."""

    x: Array
    y: Array

    def thinned(self) -> Series:
        """At most MAX_POINTS points, each the mean of those it stands for; NaN left out."""
        known = np.isfinite(self.y)
        x, y = self.x[known], self.y[known]
        if len(x) <= MAX_POINTS:
            return Series(x, y)
        groups = np.array_split(np.arange(len(x)), MAX_POINTS)
        return Series(
            np.array([x[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])
        )

    def smoothed(self) -> Series:
        """A centred average over SMOOTHING of the points, shorter at the ends."""
        half = int(len(self.y) * SMOOTHING / 2)
        if half < 1:
            return self
        total = np.concatenate([[0.0], np.cumsum(self.y)])
        index = np.arange(len(self.y))
        first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(self.y))
        return Series(self.x, (total[last] - total[first]) / (last - first))


@dataclass(frozen=True)
class Learner:
    """A line of `curve`. name: its colour's, and its own where there are several. training: returns
    while it learned. evaluation: of its evaluations. Either may be empty."""

    name: str
    training: Series
    evaluation: Series


def curve(learners: Sequence[Learner], baselines: Mapping[str, float], ylabel: str) -> Any:
    """The learning curve: training returns, evaluations as points, baselines as lines."""
    figure, axes = _figure(9.0, 3.6)
    for one in learners:
        colour, whose = _c(one.name), f"{one.name}, " if len(learners) > 1 else ""
        thin = one.training.thinned()
        axes.plot(thin.x, thin.y, color=colour, alpha=0.25, linewidth=1.0)
        smooth = thin.smoothed()
        axes.plot(smooth.x, smooth.y, color=colour, linewidth=2.2, label=f"{whose}while learning")
        seen = one.evaluation
        if len(seen.x):
            axes.plot(seen.x, seen.y, "o", color=colour, markersize=6, label=f"{whose}evaluated")
    if len(learners) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=_c("soft"))
    for name, level in baselines.items():
        axes.axhline(level, color=_c(name), linewidth=1.4, linestyle=(0, (5, 3)))
        axes.annotate(
            f"{name} {_short(level)}",
            (1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=_c(name),
            fontsize=9,
        )
    axes.set_xlabel("environment steps")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.margins(x=0.01)
    return figure


def players(returns: Mapping[str, Array], xlabel: str) -> Any:
    """Each player's episodes as a row of dots, with mean and 95 % interval of the mean, which a
    single episode has not."""
    rows = [(name, np.asarray(values, np.float64)) for name, values in returns.items()]
    figure, axes = _figure(5.2, 0.6 + 0.85 * len(rows))
    for row, (name, values) in enumerate(rows):
        height = len(rows) - 1 - row
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
        axes.plot(values, height + spread, "o", color=_c(name), alpha=0.35, markersize=4.5, mew=0)
        mean = values.mean()
        if len(values) > 1:
            error = quantile(len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            axes.plot([mean - error, mean + error], [height] * 2, color=_c("ink"), linewidth=2.5)
        axes.plot([mean], [height], "d", color=_c("ink"), markersize=7)
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlabel(xlabel)
    axes.grid(axis="y", visible=False)
    return figure


@dataclass(frozen=True)
class Interval:
    """A row of `intervals`: a value with the ends of its interval, NaN if unknown. faint: it says
    nothing, as a control."""

    name: str
    value: float
    low: float
    high: float
    faint: bool = False


def intervals(rows: Sequence[Interval], xlabel: str) -> Any:
    """Differences as points with their intervals, one above the other, beside a line at 0; those
    whose interval leaves 0 out stand out."""
    figure, axes = _figure(6.4, 0.9 + 0.32 * len(rows))
    axes.axvline(0.0, color=_c("soft"), linewidth=1.0)
    for height, row in zip(range(len(rows) - 1, -1, -1), rows, strict=True):
        told_apart = row.low > 0.0 or row.high < 0.0
        colour = _c("random" if row.faint else "policy" if told_apart else "ink")
        if np.isfinite([row.low, row.high]).all():
            axes.plot([row.low, row.high], [height] * 2, color=colour, linewidth=2.2)
        axes.plot([row.value], [height], "d", color=colour, markersize=6)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(xlabel)
    axes.grid(axis="y", visible=False)
    return figure


def panels(series: Sequence[tuple[str, Series]], columns: int = 3) -> Any:
    """Small plots side by side, one quantity each."""
    pyplot = _pyplot()
    rows = -(-len(series) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(9.0, 1.75 * rows), squeeze=False, layout="constrained"
    )
    for axes, item in zip(grid.flat, [*series, *[None] * (rows * columns)], strict=False):
        if item is None:
            axes.set_visible(False)
            continue
        title, line = item
        thin = line.thinned()
        smooth = thin.smoothed()
        axes.plot(thin.x, thin.y, color=_c("policy"), alpha=0.25, linewidth=0.8)
        axes.plot(smooth.x, smooth.y, color=_c("policy"), linewidth=1.5)
        axes.set_title(title, fontsize=9, color=_c("ink"), loc="left")
        axes.xaxis.set_major_formatter(lambda value, _: _short(value))
        axes.locator_params(nbins=4)
        _plain(axes)
        axes.tick_params(labelsize=7.5)
    return figure


def png(figure: Any) -> bytes:
    """The figure as PNG on white, and the end of it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white")
    _pyplot().close(figure)
    return buffer.getvalue()


def svg(figure: Any, title: str) -> str:
    """The figure as an inline SVG element in the page's colours, and the end of it."""
    buffer = io.StringIO()
    with _pyplot().rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    _pyplot().close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", f"<title>{title}</title>", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%" role="img"', text, count=1)
    for colour, variable in COLOURS.values():
        text = text.replace(colour, f"var({variable})")
    return text


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure, axes = _pyplot().subplots(figsize=(width, height), layout="constrained")
    _plain(axes)
    return figure, axes


def _plain(axes: Any) -> None:
    """Only what carries information: no box, a light grid, labels that step back."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_c("line"))
    axes.grid(color=_c("line"), linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_c("soft"), length=0, labelsize=9)
    axes.xaxis.label.set_color(_c("soft"))
    axes.yaxis.label.set_color(_c("soft"))


def _short(value: float) -> str:
    """A number as people write it: 1.2M, 340k, 12.5."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _c(role: str) -> str:
    return COLOURS[role][0]


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", "a run's report") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["font.family"] = "sans-serif"
    return pyplot

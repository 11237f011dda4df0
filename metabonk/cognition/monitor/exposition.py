"""Counters and histograms as Prometheus reads them: text format 0.0.4.

Knows names, labels and buckets; does not know what is counted, nor HTTP. Histograms are cumulative
with fixed bounds, so adding one costs a search and a quantile can be had of the difference of any
two pages.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping

# Seconds, from a rule's answer to a model's: each about twice the one before.
SECONDS = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5,
    0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
)  # fmt: skip
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How often values fell below each bound."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    def add(self, value: float) -> None:
        """One value; one that is none is left out."""
        if math.isfinite(value):
            self.counts[bisect_left(self.bounds, value)] += 1
            self.sum += value


class Page:
    """A page of metrics, line by line; each name has its help and type once, before its samples."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lines: list[str] = []

    def add(
        self,
        name: str,
        kind: str,
        help: str,
        values: float | Mapping[tuple[str, ...], float],
        labels: tuple[str, ...] = (),
    ) -> None:
        """A counter or gauge: one number, or one per tuple of `labels`' values."""
        full = self._head(name, kind, help)
        found: Iterable[tuple[tuple[str, ...], float]]
        found = values.items() if isinstance(values, Mapping) else [((), values)]
        for key, value in found:
            pairs = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(labels, key, strict=True))
            self._lines.append(
                f"{full}{{{pairs}}} {_number(value)}" if pairs else f"{full} {_number(value)}"
            )

    def histogram(
        self,
        name: str,
        help: str,
        found: Mapping[tuple[str, ...], Histogram],
        labels: tuple[str, ...] = (),
    ) -> None:
        """Histograms of one name, by their labels' values; `{(): h}` for a single one."""
        full = self._head(name, "histogram", help)
        for key, one in found.items():
            pairs = [f'{n}="{_escape(v)}"' for n, v in zip(labels, key, strict=True)]
            below = 0
            for bound, count in zip((*one.bounds, math.inf), one.counts, strict=True):
                below += count
                text = ",".join([*pairs, f'le="{_number(bound)}"'])
                self._lines.append(f"{full}_bucket{{{text}}} {below}")
            rest = f"{{{','.join(pairs)}}}" if pairs else ""
            self._lines.append(f"{full}_sum{rest} {_number(one.sum)}")
            self._lines.append(f"{full}_count{rest} {below}")

    def text(self) -> str:
        """The whole page."""
        return "\n".join(self._lines) + "\n"

    def _head(self, name: str, kind: str, help: str) -> str:
        full = self._prefix + name
        self._lines += [f"# HELP {full} {help}", f"# TYPE {full} {kind}"]
        return full


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

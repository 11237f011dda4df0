"""What a proof found, as tables and histograms. Knows rich and reports, not how they came about."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from metabonk.cli.output import console, table

if TYPE_CHECKING:
    from metabonk.play.proof import Report, Spread


def show_report(report: Report) -> None:
    """Tables and histograms of a proof."""
    from metabonk.play.proof import UNLIKE

    verdict = "[green]passed[/]" if report.passed else "[red]failed[/]"
    console.print(
        f"{verdict}: {report.missed:,} of {report.ticks * len(report.agents):,} deadlines missed, "
        f"{report.excused:,} of them while the reference thread was late; it missed "
        f"{report.reference_missed:,}",
        soft_wrap=True,
    )
    if not report.alike and report.passed:  # a failure says it itself
        console.print(UNLIKE, soft_wrap=True)
    if report.max_p99:
        console.print(
            f"capture to action may take {1e3 * report.max_p99:g} ms (p99, every agent)",
            soft_wrap=True,
        )
    for failure in report.failures:
        console.print(f"- {failure}", soft_wrap=True)
    spreads = [
        ("capture to action", report.latency),
        ("wakes late by", report.lateness),
        ("reference late by", report.reference),
    ]
    rows = [(name, *_milliseconds(spread)) for name, spread in spreads]
    console.print(table(["ms", ">p50", ">p99", ">p99.9", ">max"], rows))
    console.print(_histogram(spreads[:2]))
    if len(report.agents) > 1:
        each = [
            (i, f"{a.missed:,}", f"{a.excused:,}", f"{a.held:,}", *_milliseconds(a.latency))
            for i, a in enumerate(report.agents)
        ]
        heads = ["agent", ">missed", ">excused", ">held", ">p50", ">p99", ">p99.9", ">max"]
        console.print(table(heads, each, "capture to action by agent, ms"))
    facts = {**report.drops, **{f"rounds of load {k}": v for k, v in report.loads.items()}}
    console.print(table(["counted", ">"], [(k, f"{v:,}") for k, v in facts.items()]))


def _milliseconds(spread: Spread) -> list[str]:
    return [f"{1e3 * value:.3f}" for value in (spread.p50, spread.p99, spread.p999, spread.max)]


def _histogram(spreads: list[tuple[str, Spread]]) -> Any:
    """Bars on a logarithmic scale: rare ticks are what one looks for."""
    from metabonk.play.proof import BINS

    ends = [f"<= {1e3 * end:.3f}" for end in BINS] + ["beyond"]
    used = [i for i in range(len(ends)) if any(s.bins[i] for _, s in spreads)]
    rows = []
    for i in used:
        cells = []
        for _, spread in spreads:
            count = spread.bins[i]
            full = math.log10(1 + spread.count) or 1.0
            bar = "█" * round(24 * math.log10(1 + count) / full)
            cells += [f"{count:,}" if count else "", bar]
        rows.append((ends[i], *cells))
    heads = ["ms"]
    for name, _ in spreads:
        heads += [">", name]
    return table(heads, rows)

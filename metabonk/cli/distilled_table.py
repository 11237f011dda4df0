"""What a distilled policy learned from and is worth, as people and programs read it. Knows rich and
what distillation returns, not how it came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from metabonk.cli.output import console, interval, notice_line, print_json, table

if TYPE_CHECKING:
    from metabonk.learn.evaluate import Evaluation
    from metabonk.learn.system2.versions import Distilled


def show_distilled(found: Distilled, json: bool) -> None:
    """What taught, what was left out, how well it agrees and what it returns."""
    from metabonk.learn.system2.versions import STOOD_IN

    for reason, count in found.left_out.items():
        remedy = "; --with-rules lets them teach, too" if reason == STOOD_IN else ""
        notice_line(f"{count:,} decisions: {reason}{remedy}")
    judged = found.judged
    if json:
        print_json(
            {
                "path": str(found.strategy.path), "hash": found.strategy.hash,
                "decisions": found.decisions, "teachers": dict(found.teachers),
                "left_out": dict(found.left_out),
                "losses": dict(found.losses), "latency_s": found.latency,
                "judged": None if judged is None else dataclasses.asdict(judged),
                "evaluations": {k: msgspec.to_builtins(e) for k, e in found.evaluations.items()},
            }
        )  # fmt: skip
        return
    teachers = ", ".join(f"{name} {count:,}" for name, count in found.teachers.items())
    console.print(f"[bold]Learned[/] from {found.decisions:,} decisions: {teachers}")
    if judged is None:
        notice_line("nothing could be judged: there are too few episodes to hold any out")
    else:
        console.print(
            f"held out: {judged.rows:,} decisions; the same action in {100 * judged.agreement:.1f} "
            f"% (always the most frequent one: {100 * judged.majority:.1f} %), then the same "
            f"target in {100 * judged.target:.1f} %"
        )
    console.print(f"one decision takes {1e3 * found.latency:.2f} ms here")
    if found.evaluations:
        console.print(_returns(found.evaluations))
    console.print(f"written  {found.strategy.path}", soft_wrap=True)


def _returns(evaluations: Mapping[str, Evaluation]) -> Any:
    rows = []
    for level, evaluation in evaluations.items():
        rules, alone = evaluation.against["rules"], evaluation.against["alone"]
        rows.append(
            (
                level, f"{evaluation.return_mean:.1f}", f"{rules.mean:.1f}", f"{alone.mean:.1f}",
                f"{rules.difference:+.2f} {interval(rules.ci95)}", evaluation.episodes,
            )
        )  # fmt: skip
    heads = ["level", ">policy", ">rules", ">System 1 alone", ">policy - rules (95 %)", ">episodes"]
    return table(heads, rows)

"""The report of a run: `report.json` for programs, `report.html` and `curve.png` for people.

Knows what a run directory holds (settings, metrics) and what an evaluation gives; does not train,
play or film. `write` may be called again at any time: it replaces what it wrote.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import metabonk
from metabonk import config as settings_module
from metabonk import machine
from metabonk.config import Config
from metabonk.learn import report_figures as figures
from metabonk.learn.report_figures import Series
from metabonk.learn.report_page import Page, Share, Tile, render
from metabonk.metrics import Record, read_records

Array = npt.NDArray[Any]

RETURN = "return_mean"  # of episodes that ended while learning
EVALUATED = "eval_return_mean"
PANELS = (
    ("steps_per_second", "steps per second"),
    ("loss_policy", "policy loss"),
    ("loss_value", "value loss"),
    ("entropy", "entropy"),
    ("kl", "KL divergence of an update"),
    ("clip_fraction", "clipped ratios"),
    ("explained_variance", "explained variance"),
    ("gradient_norm", "gradient norm"),
    ("episode_length", "episode length"),
)


class Difference(msgspec.Struct, frozen=True):
    """Paired difference of returns on the same seeds, with its 95 % interval."""

    mean: float
    low: float
    high: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The `eval` of report.json. Baselines that a game does not have are null.

    difference_ci95: interval of the policy's paired difference to the strongest baseline.
    """

    return_mean: float
    random_mean: float | None
    scripted_mean: float | None
    difference_ci95: tuple[float, float] | None
    episodes: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """report.json. steps: of all environments; seconds: of training, over all sessions."""

    game: str
    seed: int
    steps: int
    seconds: float
    steps_per_second: float
    eval: Evaluation


@dataclass(frozen=True)
class Material:
    """What the page shows beside the report.

    returns: per-episode returns [episodes] of `policy`, `random`, `scripted` where they exist.
    differences: of the policy to each baseline. profile: seconds by activity. film: path of the
    best episode. notes: what a reader should know, one sentence each.
    """

    config: Config
    returns: Mapping[str, Array] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    profile: Mapping[str, float] = field(default_factory=dict)
    film: Path | None = None
    film_return: float | None = None
    notes: Sequence[str] = ()


def write(directory: Path | str, report: Report, material: Material) -> Path:
    """Writes report.json, curve.png and report.html into a run directory; returns the page's path.

    Raises MissingExtraError without matplotlib.
    """
    directory = Path(directory)
    text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    _replace(directory / "report.json", text)
    history = _history(directory / "metrics.jsonl")
    curve = _curve(history, report)
    if curve is not None:
        _replace(directory / "curve.png", figures.png(curve))
    page = directory / "report.html"
    _replace(page, render(_page(directory, report, material, history)).encode())
    return page


def read(directory: Path | str) -> Report:
    """report.json of a run. Raises FileNotFoundError, or msgspec.ValidationError if edited."""
    return msgspec.json.decode((Path(directory) / "report.json").read_bytes(), type=Report)


def _page(
    directory: Path, report: Report, material: Material, history: Mapping[str, Series]
) -> Page:
    curve = _curve(history, report)
    panels = [(title, history[name]) for name, title in PANELS if name in history]
    players = {k: v for k, v in material.returns.items() if len(v)}
    minutes = report.seconds / 60
    return Page(
        title=_title(report.game),
        over=f"metabonk {metabonk.__version__} · run of {time.strftime('%d %B %Y, %H:%M')}",
        lead=_lead(report, material.differences, minutes),
        tiles=_tiles(report, material.differences),
        film=_film(material.film),
        film_caption=_caption(material),
        players=figures.svg(figures.players(players, "return"), "Players") if players else "",
        curve=figures.svg(curve, "Learning curve") if curve is not None else "",
        curve_hint=(
            "Mean return of the episodes that ended while it learned, when it still explores. "
            "Dashed: what the other players return."
        ),
        shares=_shares(material.profile),
        shares_hint=f"{report.seconds:.0f} s, {report.steps_per_second:,.0f} steps per second.",
        losses=figures.svg(figures.panels(panels), "Inside the learner") if panels else "",
        changed=_changed(material.config),
        settings=settings_module.to_toml(material.config),
        machine=_machine(),
        commands=_commands(directory),
        notes=material.notes,
    )


def _lead(report: Report, differences: Mapping[str, Difference], minutes: float) -> str:
    """The result in a sentence or two, HTML."""
    result = report.eval
    text = (
        f"After {_duration(minutes)} and {_count(report.steps)} steps of practice the policy "
        f'returns <b class="policy">{_number(result.return_mean)}</b> per episode.'
    )
    for name, who in (("random", "random play"), ("scripted", "the scripted player")):
        level = getattr(result, f"{name}_mean")
        if level is None:
            continue
        verdict = "returns"
        difference = differences.get(name)
        if difference is not None:
            verdict = (
                "is beaten, at"
                if difference.low > 0
                else "is still better, at"
                if difference.high < 0
                else "cannot be told apart from it, at"
            )
        text += f" {who[0].upper() + who[1:]} {verdict} <b class={name}>{_number(level)}</b>."
    return text


def _tiles(report: Report, differences: Mapping[str, Difference]) -> list[Tile]:
    result = report.eval
    tiles = [
        Tile("mean return", _number(result.return_mean), f"{result.episodes} evaluation episodes")
    ]
    for name, difference in differences.items():
        tone = "good" if difference.low > 0 else "bad" if difference.high < 0 else ""
        interval = f"95 % interval {_signed(difference.low)} … {_signed(difference.high)}"
        tiles.append(Tile(f"against {name}", _signed(difference.mean), interval, tone))
    speed = f"{_count(report.steps)} steps in {_duration(report.seconds / 60)}"
    tiles.append(Tile("steps per second", f"{report.steps_per_second:,.0f}", speed))
    return tiles


def _curve(history: Mapping[str, Series], report: Report) -> Any:
    training = history.get(RETURN)
    if training is None or not np.isfinite(training.y).any():
        return None
    levels = {"random": report.eval.random_mean, "scripted": report.eval.scripted_mean}
    baselines = {name: level for name, level in levels.items() if level is not None}
    return figures.curve(training, history.get(EVALUATED), baselines, "return")


def _history(path: Path) -> dict[str, Series]:
    """Every metric of the run as a line over steps."""
    columns: dict[str, list[tuple[float, float]]] = {}
    records: list[Record] = [r for r in read_records(path) if not r.event] if path.exists() else []
    for record in records:
        for name, value in record.values.items():
            columns.setdefault(name, []).append((record.step, float(value)))
    return {
        name: Series(np.array([x for x, _ in points], float), np.array([y for _, y in points]))
        for name, points in columns.items()
    }


def _shares(profile: Mapping[str, float]) -> list[Share]:
    total = sum(profile.values())
    if total <= 0:
        return []
    ordered = sorted(profile.items(), key=lambda item: -item[1])
    return [Share(name, seconds, seconds / total) for name, seconds in ordered]


def _changed(config: Config) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for setting in settings_module.settings().values():
        section, name = setting.key.split(".")
        value = getattr(getattr(config, section), name)
        if value != setting.default and setting.key != "run.directory":
            rows.append((setting.key, settings_module.as_text(value), setting.help))
    return rows


def _film(path: Path | None) -> tuple[str, bytes] | None:
    if path is None:
        return None
    kind = {".mp4": "video/mp4", ".gif": "image/gif"}[path.suffix]
    return kind, path.read_bytes()


def _caption(material: Material) -> str:
    if material.film_return is None:
        return ""
    return f"Return {_number(material.film_return)}, at the game's own speed."


def _machine() -> list[tuple[str, str]]:
    here = machine.describe()
    return [
        ("processor", f"{here.processor}, {here.threads} threads, {here.memory_gib} GiB"),
        ("native core", here.tier or "not built"),
        ("GPU", ", ".join(here.gpus) or "none"),
        ("system", f"Python {here.python}, {here.platform}"),
    ]


def _commands(directory: Path) -> list[tuple[str, str]]:
    return [
        ("Watch it play", f"metabonk play --policy {directory}"),
        ("Train it longer", f"metabonk train --run {directory} --resume --minutes 10"),
        ("Measure it again, on more episodes", f"metabonk eval {directory} --episodes 256"),
    ]


def _title(game: str) -> str:
    kind, _, rest = game.partition("/")
    return {"arena": "The arena", "doom": f"Doom, {rest.replace('_', ' ')}"}.get(kind, rest or kind)


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 10_000 else f"{value:,.0f}"


def _signed(value: float) -> str:
    return ("+" if value >= 0 else "−") + _number(abs(value))  # noqa: RUF001


def _count(value: float) -> str:
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.1f} {word}"
    return f"{value:,.0f}"


def _duration(minutes: float) -> str:
    if minutes < 1.5:
        return f"{minutes * 60:.0f} seconds"
    return f"{minutes:.0f} minutes" if minutes >= 10 else f"{minutes:.1f} minutes"


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)

"""The report of a run: `report.json` for programs, `report.html` and `curve.png` for people.

Knows what a run directory holds (settings, metrics) and what an evaluation gives; does not train,
play or film. `write` may be called again at any time: it replaces what it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import metabonk
from metabonk import config as settings_module
from metabonk import files, machine
from metabonk.config import Config
from metabonk.learn.evaluate import Evaluation
from metabonk.learn.report import figures
from metabonk.learn.report.figures import Learner, Series
from metabonk.learn.report.film import Film
from metabonk.learn.report.page import Page, Share, Tile, render
from metabonk.metrics import Record, read_records

Array = npt.NDArray[Any]

# Of who may serve: returns of episodes that ended while it learned, and of its evaluations.
RETURN = {"policy": "return_mean", "dreamer": "dreamer_return_mean"}
EVALUATED = {"policy": "eval_policy_mean", "dreamer": "eval_dreamer_mean"}
SERVED = "eval_return_mean"  # of whoever served, and of a policy that has no rival
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
    ("wm_recon", "world model: what was seen, loss"),
    ("wm_kl", "world model: surprise"),
    ("wm_trust", "world model: steps it is trusted for"),
    ("dream_return", "return that dreams promise"),
    ("dream_lead", "dreamer's return beyond the policy's"),
    ("distill_kl", "distance from the dreamer"),
    ("efe_policy_loss", "active inference: policy loss"),
    ("efe_gain", "active inference: information gain"),
    ("efe_kl", "distance from active inference"),
    ("intrinsic_reward", "reward for surprise"),
)

# What the times of a run's profile were spent on, in words.
ACTIVITIES = {
    "env": "playing the games",
    "policy": "choosing actions",
    "update": "learning from them",
    "world": "learning what happens next",
    "dream": "learning in dreams",
    "efe": "learning what is worth finding out",
    "other": "everything else",
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """report.json. steps: of all environments; seconds: of training, over all sessions.

    eval: `Evaluation.summary()`; baselines that a game does not have are null. Where a dreamer
    plays beside the policy, `player` is who leads, which the other figures are of.
    """

    game: str
    seed: int
    steps: int
    seconds: float
    steps_per_second: float
    eval: dict[str, Any]


@dataclass(frozen=True)
class Material:
    """What a report is made of.

    steps: environment steps done. seconds: of training. profile: seconds by activity. film: of the
    best episode. notes: what a reader should know, one sentence each.
    """

    config: Config
    evaluation: Evaluation
    steps: int
    seconds: float
    profile: Mapping[str, float] = field(default_factory=dict)
    film: Film | None = None
    notes: Sequence[str] = ()

    def report(self) -> Report:
        """The figures that report.json holds."""
        return Report(
            game=self.config.game.name,
            seed=self.config.run.seed,
            steps=self.steps,
            seconds=self.seconds,
            steps_per_second=self.steps / max(self.seconds, 1e-9),
            eval=self.evaluation.summary(),
        )


def write(directory: Path | str, material: Material) -> Report:
    """Writes report.json, curve.png and report.html into a run directory.

    Raises MissingExtraError without matplotlib.
    """
    directory = Path(directory)
    report = material.report()
    text = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    files.replace(directory / "report.json", text)
    history = _history(directory / "metrics.jsonl")
    curve = _curve(history, material.evaluation)
    if curve is not None:
        files.replace(directory / "curve.png", figures.png(curve))
    files.replace(directory / "report.html", render(_page(directory, material, history)).encode())
    return report


def read(directory: Path | str) -> Report:
    """report.json of a run. Raises FileNotFoundError, or msgspec.ValidationError if edited."""
    return msgspec.json.decode((Path(directory) / "report.json").read_bytes(), type=Report)


def _page(directory: Path, material: Material, history: Mapping[str, Series]) -> Page:
    report, evaluation = material.report(), material.evaluation
    curve = _curve(history, evaluation)
    panels = [(title, history[name]) for name, title in PANELS if name in history]
    returns = {evaluation.player: evaluation.returns, **evaluation.baseline_returns}
    players = {
        name: np.asarray(values)
        for name, values in sorted(returns.items(), key=lambda item: -float(np.mean(item[1])))
    }
    return Page(
        title=_title(report.game),
        over=f"metabonk {metabonk.__version__} · run of {time.strftime('%d %B %Y, %H:%M')}",
        lead=_lead(report, evaluation),
        tiles=_tiles(report, evaluation),
        film=_film(material.film),
        film_title=_film_title(material),
        film_caption=(
            f"Return {_number(material.film.reward)}, at the game's own speed."
            if material.film
            else ""
        ),
        players=figures.svg(figures.players(players, "return"), "Players"),
        curve=figures.svg(curve, "Learning curve") if curve is not None else "",
        curve_hint=(
            "Mean return of the episodes that ended while it learned, when it still explores. "
            + ("Each in the games that it played itself. " if evaluation.rival else "")
            + "Dots: evaluations. Dashed: what the other players return."
        ),
        shares=_shares(material.profile),
        shares_hint=f"{report.seconds:.0f} s, {report.steps_per_second:,.0f} steps per second.",
        losses=figures.svg(figures.panels(panels), "Inside the learner") if panels else "",
        changed=_changed(material.config),
        settings=settings_module.to_toml(material.config),
        machine=_machine(),
        commands=_commands(directory, material.config, report.seconds),
        notes=material.notes,
    )


def _lead(report: Report, evaluation: Evaluation) -> str:
    """The result in a sentence or two, HTML."""
    player = evaluation.player
    text = (
        f"After {_duration(report.seconds)} and {_count(report.steps)} steps the {escape(player)} "
        f'returns <b class="{escape(player)}">{_number(evaluation.return_mean)}</b> per episode.'
    )
    if evaluation.rival:
        led = {
            "dreamer": " It learned in dreams, led in the games that both played, and serves.",
            "policy": " No lead of the dreamer was clear in the games that both played: "
            "the policy serves.",
        }
        text += led.get(player, "")
    for name, against in evaluation.against.items():
        verdict = "cannot be told apart from it, at"
        if against.better:
            verdict = "is beaten, at"
        elif against.worse:
            verdict = "is still better, at"
        who = {
            "random": "Random play",
            "scripted": "The scripted player",
            evaluation.rival: f"The {evaluation.rival}",
        }.get(name, name)
        text += f' {escape(who)} {verdict} <b class="{name}">{_number(against.mean)}</b>.'
    return text


def _tiles(report: Report, evaluation: Evaluation) -> list[Tile]:
    count = evaluation.episodes
    episodes = f"{count} evaluation episode{'' if count == 1 else 's'}"
    if evaluation.rival:
        episodes = f"of the {evaluation.player}, {episodes}"
    tiles = [Tile("mean return", _number(evaluation.return_mean), episodes)]
    for name, against in evaluation.against.items():
        tone = "good" if against.better else "bad" if against.worse else ""
        interval = "too few episodes for an interval"
        if against.ci95 is not None:
            interval = f"95 %: {_signed(against.ci95[0])} … {_signed(against.ci95[1])}"
        tiles.append(Tile(f"against {name}", _signed(against.difference), interval, tone))
    speed = f"{_count(report.steps)} steps in {_duration(report.seconds)}"
    tiles.append(Tile("steps per second", f"{report.steps_per_second:,.0f}", speed))
    return tiles


def _curve(history: Mapping[str, Series], evaluation: Evaluation) -> Any:
    nothing = Series(np.zeros(0), np.zeros(0))
    learners = []
    for name in ("policy", "dreamer") if evaluation.rival else ("policy",):
        seen = EVALUATED[name] if evaluation.rival else SERVED
        one = Learner(name, history.get(RETURN[name], nothing), history.get(seen, nothing))
        if np.isfinite(one.training.y).any() or len(one.evaluation.y):
            learners.append(one)
    if not learners:
        return None
    outside = {n: a.mean for n, a in evaluation.against.items() if n != evaluation.rival}
    return figures.curve(learners, outside, "return")


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
    return [Share(ACTIVITIES.get(n, n), seconds, seconds / total) for n, seconds in ordered]


def _changed(config: Config) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for setting in settings_module.settings().values():
        section, name = setting.key.split(".")
        value = getattr(getattr(config, section), name)
        if value != setting.default and setting.key != "run.directory":
            rows.append((setting.key, settings_module.as_text(value), setting.help))
    return rows


def _film(film: Film | None) -> tuple[str, bytes] | None:
    if film is None:
        return None
    kind = {".mp4": "video/mp4", ".gif": "image/gif"}[film.path.suffix]
    return kind, film.path.read_bytes()


def _film_title(material: Material) -> str:
    """Games that nothing repeats exactly take another course than they took in the evaluation."""
    best = max(material.evaluation.returns)
    same = material.film is not None and abs(material.film.reward - best) <= 1e-3 * abs(best) + 1e-3
    return "Its best episode" if same else "One of its episodes"


def _machine() -> list[tuple[str, str]]:
    here = machine.describe()
    return [
        ("processor", f"{here.processor}, {here.threads} threads, {here.memory_gib} GiB"),
        ("native core", here.tier or "not built"),
        ("GPU", ", ".join(here.gpus) or "none"),
        ("system", f"Python {here.python}, {here.platform}"),
    ]


def _commands(directory: Path, config: Config, seconds: float) -> list[tuple[str, str]]:
    longer = f"--minutes {max(1, round(seconds / 30))}"  # twice as long in all
    if config.run.steps:  # the bound that has to be raised
        longer = f"--steps {2 * config.run.steps}"
    return [
        ("Watch it play", f"metabonk play --policy {directory}"),
        ("Train twice as long", f"metabonk train --run {directory} --resume {longer}"),
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


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes >= 10 else f"{minutes:.1f} minutes"

"""What a run came to, and how that becomes its report.

Knows results of runs and evaluations, and the report's inputs; does not train or play.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.games import accepts, from_config
from metabonk.learn.assess import Assessor, load_players
from metabonk.learn.evaluate import Evaluation
from metabonk.learn.players import who_of
from metabonk.learn.report.film import Film, Playback, film_episode
from metabonk.metrics import Registry, read_records
from metabonk.protocols import Policy

NO_FILM = "film_failed"  # the event; its `reason` says why


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    checkpoint: the last one. evaluation: None if the run was interrupted. seconds: of training,
    evaluations not counted, over all resumptions. notes: what a reader should know about how the
    run went, one sentence each.
    """

    directory: Path
    checkpoint: Artifact
    steps: int
    seconds: float
    evaluation: Evaluation | None
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def resume_command(self) -> str:
        """How to go on."""
        return f"metabonk train --resume --run {self.directory}"


def publish(
    result: RunResult, config: Config, profile: Mapping[str, float], registry: Registry
) -> RunResult:
    """Writes report.json, the page and its pictures into the run directory; returns the result with
    its notes.

    profile: seconds of training by activity. registry: is told if there is no film; a run whose
    film fails still has its report.
    """
    from metabonk.learn.report import (
        summary as report,  # draws with matplotlib, which takes a second to import
    )

    evaluation = result.evaluation
    if evaluation is None:
        raise ValueError("evaluation: an interrupted run has no report yet, resume it")
    shown: Film | None = None
    if config.run.video:
        try:
            shown = film(result, config)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown, the run is kept
            reason = f"{type(error).__name__}: {error}"
            registry.event(NO_FILM, step=result.steps, reason=reason)
    result = replace(result, notes=notes(result.directory, result.steps))
    material = report.Material(
        config=config,
        evaluation=evaluation,
        steps=result.steps,
        seconds=result.seconds,
        profile=profile,
        film=shown,
        notes=result.notes,
    )
    report.write(result.directory, material)
    return result


def film(result: RunResult, config: Config) -> Film | None:
    """Films the evaluation's best episode; None where the game has nothing to show.

    Raises MissingExtraError without an encoder, and whatever the game raises.
    """
    evaluation = result.evaluation
    if evaluation is None:
        return None
    settings = {"visible": True} if accepts(config.game.name, "visible") else {}
    game = from_config(config.game, 1, **settings)
    try:
        policy: Policy = Playback(Assessor.best_actions(result.directory))
        if not game.snapshots:  # its episodes do not follow from seed and actions alone
            game.close()
            game = from_config(config.game, evaluation.envs, **settings)
            players, _ = load_players(result.directory, game, config)
            policy = players.playing(
                who_of(evaluation.player), sampled=evaluation.sampled, seed=evaluation.seed
            )
        return film_episode(
            game,
            policy,
            seed=evaluation.seed,
            envs=evaluation.envs,
            index=evaluation.best,
            episodes=evaluation.episodes,
            stem=result.directory / "best",
        )
    finally:
        game.close()


def notes(directory: Path, steps: int) -> tuple[str, ...]:
    """What a reader should know about how the run of `steps` steps went, from its events."""
    records = list(read_records(directory / "metrics.jsonl"))
    resumed = [r.values for r in records if r.event == "resumed"]
    found: list[str] = []
    restarts = sum(bool(values.get("restarted")) for values in resumed)
    if restarts:
        often = "once" if restarts == 1 else f"{restarts} times"
        found.append(
            f"The run was resumed {often} in a game without snapshots: the episodes under "
            "way began anew, so the result differs from an uninterrupted run's."
        )
    differing = dict.fromkeys(d for values in resumed for d in values.get("differs", ()))
    found += [f"The run was resumed where sums round otherwise: {d}." for d in differing]
    skipped = {
        name: int(last)
        for name in sorted({k for r in records for k in r.values if k.endswith("_skipped")})
        if (last := next(r.values[name] for r in reversed(records) if name in r.values)) > 0
    }
    if skipped:
        told = ", ".join(f"{name.removesuffix('_skipped')} {n}" for name, n in skipped.items())
        found.append(
            f"Updates were skipped because something was not finite ({told}): their batches are in "
            f"{directory / 'faults'}."
        )
    # Of the last part only: a longer run films anew.
    failed = [r.values for r in records if r.event == NO_FILM and r.step == steps]
    if failed:
        found.append(f"There is no film, because filming failed: {failed[-1]['reason']}")
    return tuple(found)

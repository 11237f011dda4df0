"""What a run came to, and how that becomes its report.

Knows results of runs and evaluations, and the report's inputs; does not train or play.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.games import accepts
from metabonk.learn.assess import Assessor, load_players, repeatable
from metabonk.learn.evaluate import Evaluation
from metabonk.learn.players import who_of
from metabonk.learn.report.film import Film, Playback, film_episode
from metabonk.metrics import Record, Registry, read_records
from metabonk.ops import fallbacks
from metabonk.protocols import Policy

# Events that become notes.
NO_FILM = "film_failed"  # its `reason` says why
NO_MOTOR = "motor_failed"  # its `reason` says why
NO_DREAMS = "nothing_dreamed"  # its `reason` says so, and why
LOST = "lost"  # processes of games died, `count` of them since the last such event
SLOW = (
    "fallbacks"  # operations ran on torch's definition: `calls` of each since the last such event
)


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
    game = repeatable(config.game, 1, **settings)
    try:
        policy: Policy = Playback(Assessor.best_actions(result.directory))
        if not game.snapshots:  # its episodes do not follow from seed and actions alone
            game.close()
            game = repeatable(config.game, evaluation.envs, **settings)
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
    lost = sum(int(r.values["count"]) for r in records if r.event == LOST)
    if lost:
        often = "once" if lost == 1 else f"{lost} times"
        found.append(
            f"A game's process died {often} while it learned: the episodes that this broke off "
            "count as truncated."
        )
    slow: Counter[str] = Counter()
    for record in records:
        slow.update(record.values["calls"] if record.event == SLOW else {})
    if slow:
        found.append(fallbacks.told(slow))
    return (*found, *_notes_of_the_end(records, steps))


def _notes_of_the_end(records: Sequence[Record], steps: int) -> list[str]:
    """Of what came after the last step only: a longer run does it anew."""
    last = {r.event: r.values for r in records if r.event and r.step == steps}
    found: list[str] = []
    evaluation = last.get("evaluation", {})
    broken, unplayed = evaluation.get("crashes", 0), evaluation.get("unplayed", 0)
    if broken:
        those = "1 episode" if broken == 1 else f"{broken} episodes"
        found.append(
            f"{those} of the evaluation broke off because the game's process died: others were "
            "played instead, so not everybody played the same ones."
        )
    if unplayed:
        found.append(
            f"In the evaluation {unplayed} decisions were no number, as where an observation holds "
            "one that is none: nothing was done in their place."
        )
    if NO_DREAMS in last:
        found.append(str(last[NO_DREAMS]["reason"]))
    if NO_MOTOR in last:
        found.append(f"There is no motor of this run: {last[NO_MOTOR]['reason']}")
    if NO_FILM in last:
        found.append(f"There is no film, because filming failed: {last[NO_FILM]['reason']}")
    return found

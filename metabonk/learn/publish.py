"""What a run came to, and how that becomes its report.

Knows results of runs and evaluations, and the report's inputs; does not train or play.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metabonk.artifact import Artifact
from metabonk.config import Config
from metabonk.errors import MissingExtraError
from metabonk.games import accepts, from_config
from metabonk.learn.assess import Assessor, load_model
from metabonk.learn.evaluate import Evaluation
from metabonk.learn.report_film import Film, Playback, film_episode
from metabonk.metrics import read_records
from metabonk.models.actor import Actor
from metabonk.protocols import Policy


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    checkpoint: the last one. evaluation: None if the run was interrupted. seconds: of training,
    evaluations not counted, over all resumptions.
    """

    directory: Path
    checkpoint: Artifact
    steps: int
    seconds: float
    evaluation: Evaluation | None
    interrupted: bool = False

    @property
    def resume_command(self) -> str:
        """How to go on."""
        return f"metabonk train --resume --run {self.directory}"


def publish(result: RunResult, config: Config, profile: Mapping[str, float]) -> None:
    """Writes report.json, the page and its pictures into the run directory.

    profile: seconds of training by activity.
    """
    from metabonk.learn import report  # draws with matplotlib, which takes a second to import

    if result.evaluation is None:
        raise ValueError("evaluation: an interrupted run has no report yet, resume it")
    material = report.Material(
        config=config,
        evaluation=result.evaluation,
        steps=result.steps,
        seconds=result.seconds,
        profile=profile,
        film=film(result, config) if config.run.video else None,
        notes=notes(result.directory),
    )
    report.write(result.directory, material)


def film(result: RunResult, config: Config) -> Film | None:
    """Films the evaluation's best episode; None where the game or this machine cannot."""
    evaluation = result.evaluation
    if evaluation is None:
        return None
    settings = {"visible": True} if accepts(config.game.name, "visible") else {}
    game = from_config(config.game, 1, **settings)
    policy: Policy = Playback(Assessor.best_actions(result.directory))
    try:
        if not game.snapshots:  # its episodes do not follow from seed and actions alone
            game.close()
            game = from_config(config.game, evaluation.envs, **settings)
            model, _ = load_model(result.directory, game, config)
            policy = Actor(model, sampled=evaluation.sampled, seed=evaluation.seed)
        return film_episode(
            game,
            policy,
            seed=evaluation.seed,
            envs=evaluation.envs,
            index=evaluation.best,
            episodes=evaluation.episodes,
            stem=result.directory / "best",
        )
    except MissingExtraError:  # a run without a film is a run; `doctor` says what is missing
        return None
    finally:
        game.close()


def notes(directory: Path) -> list[str]:
    """What a reader of the report should know about how the run went."""
    restarts = sum(
        r.event == "resumed" and bool(r.values.get("restarted"))
        for r in read_records(directory / "metrics.jsonl")
    )
    if not restarts:
        return []
    return [
        f"The run was resumed {restarts} times in a game without snapshots: the episodes under way "
        "began anew, so the result differs from an uninterrupted run's."
    ]

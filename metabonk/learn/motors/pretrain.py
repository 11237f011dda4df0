"""Learning a motor from a run's recordings and measuring it beside whom it learned from.

Knows run directories, recordings, games and evaluations; does not know how a motor learns. The run
itself stays as it was: a version is added to its `motors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from metabonk.artifact import Artifact, Measured
from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.learn import assess, checkpoint, presets
from metabonk.learn.evaluate import Evaluation, evaluate
from metabonk.learn.motors import versions as motors
from metabonk.learn.motors.cpqe import CpqeLearner, Progress
from metabonk.learn.record import FOLDER
from metabonk.learn.transitions import from_library
from metabonk.models.motor import Motor, MotorPolicy, build
from metabonk.protocols import BatchGame, Policy


@dataclass(frozen=True)
class Pretrained:
    """motor: the version that was written. steps: decisions it learned from. left_out: those it
    could not, by reason. evaluation: None if none was asked for."""

    motor: Artifact
    steps: int
    left_out: dict[str, int]
    losses: dict[str, float]
    evaluation: Evaluation | None


def settings_of(run: Path, flags: dict[str, object]) -> Config:
    """The run's own settings, those of its motor as they are given now.

    Raises ConfigError for flags of other sections: these belong to the run, which is over.
    """
    for key in flags:
        if not key.startswith("cpqe."):
            raise ConfigError(
                f"--set {key}: a motor has only the settings cpqe.*, all else is DIR's"
            )
    own = presets.begun(run, environ={})
    own.cpqe = presets.begun(run, flags=flags).cpqe
    return own


def pretrain_cpqe(
    run: Path,
    config: Config,
    *,
    sources: Sequence[Path] = (),
    seed: int = 0,
    episodes: int = 0,
    progress: Progress | None = None,
) -> Pretrained:
    """Learns a motor for the game of `run` and writes it to `<run>/motors`.

    sources: recordings; without, the run's own. episodes: to measure it in, beside random and
    scripted play, whoever serves the run, its own 40-step teacher and both without judges. Raises
    ConfigError where there is nothing to learn from.
    """
    if not sources and not (run / FOLDER).is_dir():
        raise ConfigError(
            f"{run} has no recordings: train it with --record, or name some with --from; a run "
            "with cpqe.enabled that was stopped learns its motor once it has gone on to its end"
        )
    game = assess.repeatable(config.game, assess.at_once(config.game, max(1, episodes)))
    try:
        space, layout = game.observation_space, game.action_layout
        limit = config.cpqe.most_steps
        data = from_library(list(sources) or [run / FOLDER], space, layout, limit)
        motor = build(space, layout, config.cpqe, seed=seed)
        losses = CpqeLearner(motor, data, seed=seed, run=run).train(progress)
        found = _measure(game, motor, run, config, seed, episodes) if episodes else None
    finally:
        game.close()
    metrics = {key: Measured(value=value) for key, value in losses.items()}
    if found is not None:
        baselines = {name: other.mean for name, other in found.against.items()}
        metrics["return_mean"] = Measured(value=found.return_mean, baselines=baselines)
    saved = motors.save(
        run,
        motor,
        seed=seed,
        data=data.digest(),
        parents=_parents(run),
        metrics=metrics,
        details={"game": msgspec.to_builtins(config.game), "steps": len(data)},
    )
    return Pretrained(saved, len(data), data.left_out, losses, found)


def _measure(
    game: BatchGame, motor: Motor, run: Path, config: Config, seed: int, episodes: int
) -> Evaluation:
    """The motor on the same episodes as everybody it has to be compared with."""
    others: dict[str, Policy] = dict(assess.baselines(game, config, seed))
    others["unjudged"] = MotorPolicy(motor, seed=seed, candidates=1)
    others["teacher"] = MotorPolicy(motor, seed=seed, sampler="teacher")
    others["teacher, unjudged"] = MotorPolicy(motor, seed=seed, sampler="teacher", candidates=1)
    if checkpoint.listed(run):
        players, _ = assess.load_players(run, game, config)
        sampled = config.run.eval_sampled  # as who plays for the run is measured otherwise, too
        others[players.serves] = players.playing(sampled=sampled, seed=seed)
    with torch.inference_mode():
        return evaluate(
            game,
            MotorPolicy(motor, seed=seed),
            episodes=episodes,
            seed=seed,
            baselines=others,
            player="motor",
        )


def _parents(run: Path) -> tuple[str, ...]:
    """The checkpoint whose actions were recorded."""
    return (checkpoint.latest(run).hash,) if checkpoint.listed(run) else ()

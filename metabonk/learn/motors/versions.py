"""Motors on disk: numbered versions, each an artifact of weights and a card.

Knows artifacts and the motor; does not know how it was trained or who plays. A version never
changes: whoever serves one loads the newest, or the one it names. Nothing in it can run code, and
no network is made before the tensors are seen to be those of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from gymnasium import spaces as gs

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.config import CpqeConfig
from metabonk.errors import CheckpointError
from metabonk.learn import checkpoint
from metabonk.learn.faults import newest_good
from metabonk.models.motor import Motor, build
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

KIND = "cpqe"
FOLDER = "motors"
WEIGHTS = "weights.safetensors"
FORMAT = 1


def save(
    directory: Path | str,
    motor: Motor,
    *,
    seed: int,
    data: str = "",
    parents: Sequence[str] = (),
    metrics: Mapping[str, Measured] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Artifact:
    """Writes `<directory>/motors/<version>`, one after the newest; whole or not at all.

    data: hash of what it was learned from. Raises OSError (disk full) with nothing left behind.
    """
    versions = listed(directory)
    version = int(versions[-1].name) + 1 if versions else 1
    return artifact.write(
        Path(directory) / FOLDER / f"{version:06d}",
        kind=KIND,
        seed=seed,
        files={WEIGHTS: checkpoint.weights_of(motor)},
        parents=parents,
        data=data,
        metrics=metrics,
        details={
            **dict(details or {}),
            "motor_format": FORMAT,
            "version": version,
            "cpqe": msgspec.to_builtins(motor.config),
            **checkpoint.describe(motor.space, motor.layout),
        },
    )


def listed(directory: Path | str) -> list[Path]:
    """The versions in `directory`, oldest first; not verified."""
    folder = Path(directory) / FOLDER
    return sorted(p for p in folder.glob("*") if p.name.isdigit() and p.is_dir())


def newest(directory: Path | str) -> Path:
    """The newest version. Raises CheckpointError if there is none."""
    versions = listed(directory)
    if not versions:
        raise CheckpointError(
            f"{directory} holds no motor: make one with `metabonk pretrain cpqe {directory}`"
        )
    return versions[-1]


def advice(directory: Path) -> str:
    """What to do about a motor that diverged, in words: the versions before it are what they
    were."""
    anew = "learn one anew with a lower cpqe.learning_rate"
    good = newest_good(listed(directory), KIND)
    if good is None:
        return f"{directory} has no motor that is usable: {anew}"
    return f"the last good motor is {good}, which plays as before: {anew}"


def load(path: Path | str, space: gs.Dict, layout: ActionLayout) -> tuple[Motor, Artifact]:
    """The motor of a version, for a game of these spaces.

    Raises CheckpointError for one of another game, shape or format, CorruptError for a damaged one.
    """
    found = artifact.load(path, kind=KIND)
    details = found.card.details
    if details.get("motor_format") != FORMAT:
        raise CheckpointError(
            f"{path}: motor format {details.get('motor_format')}, this version reads {FORMAT}; "
            "learn it anew with `metabonk pretrain cpqe`"
        )
    try:
        config = msgspec.convert(details["cpqe"], CpqeConfig)
        checkpoint.check_description(details, space, layout)
    except (KeyError, msgspec.ValidationError) as error:
        raise CheckpointError(f"{path}: its card describes no motor: {error}") from error
    weights = found.tensors(WEIGHTS)
    _check_sizes(weights, config, path)
    motor = build(space, layout, config, seed=found.card.seed)
    checkpoint.load_weights(motor, weights)
    return motor.requires_grad_(False), found


def _check_sizes(weights: Mapping[str, Array], config: CpqeConfig, path: Path | str) -> None:
    """Raises CheckpointError unless the tensors are as large as the card says, so that a wrong
    card cannot ask for more memory than its tensors take."""
    out, first = weights.get("student.out.weight"), weights.get("ensemble.online.weights.0")
    if out is None or first is None or out.ndim != 2 or first.ndim != 3:
        raise CheckpointError(f"{path}: these weights are of another network, not of a motor")
    layers = sum(k.startswith("student.layers.") and k.endswith(".first.bias") for k in weights)
    found = {"hidden": out.shape[1], "layers": layers, "members": first.shape[0]}
    for name, value in found.items():
        if getattr(config, name) != value:
            raise CheckpointError(
                f"{path}: its card says {name} {getattr(config, name)}, its weights {value}; "
                "restore it from a copy, or learn it anew"
            )

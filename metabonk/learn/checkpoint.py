"""Checkpoints: everything a run needs to go on exactly where it was, as an artifact.

Knows artifacts and what a trainer hands over (arrays and counters). Does not know games, losses or
schedules. A checkpoint is `<run>/checkpoints/<step>/` with the network's weights, the optimiser's
moments and the rest of the state in three safetensors files; nothing in it can run code.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces as gs

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.errors import CheckpointError, CorruptError
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

KIND = "checkpoint"
FOLDER = "checkpoints"
WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.safetensors"
ANEW = "start a new run (--run DIR)"


@dataclass
class Snapshot:
    """A run at one moment.

    weights: the network's state_dict. optimizer: its moments. state: all other arrays by dotted
    name. details: counters, hyper-parameters, configuration, spaces: plain JSON data.
    """

    step: int
    seed: int
    weights: dict[str, Array]
    optimizer: dict[str, Array]
    state: dict[str, Array]
    details: dict[str, Any]


def save(
    run: Path,
    snapshot: Snapshot,
    *,
    parents: tuple[str, ...] = (),
    metrics: Mapping[str, Measured] | None = None,
    keep: int = 3,
) -> Artifact:
    """Writes a checkpoint, then removes all but the newest `keep`.

    Raises OSError if the disk is full; the earlier checkpoints are untouched then.
    """
    folder = run / FOLDER
    written = artifact.write(
        folder / f"{snapshot.step:012d}",
        kind=KIND,
        seed=snapshot.seed,
        files={
            WEIGHTS: snapshot.weights,
            OPTIMIZER: snapshot.optimizer,
            STATE: snapshot.state,
        },
        parents=parents,
        metrics=metrics,
        details={**snapshot.details, "step": snapshot.step},
        replace=True,
    )
    for old in listed(run)[:-keep]:
        shutil.rmtree(old)
    return written


def listed(run: Path) -> list[Path]:
    """The run's checkpoint directories, oldest first; not verified."""
    return sorted(p for p in (run / FOLDER).glob("*") if p.name.isdigit() and p.is_dir())


def latest(run: Path) -> Artifact:
    """The newest checkpoint, verified.

    Raises CheckpointError if there is none, and one that names the checkpoint before if the newest
    is damaged: going back in time is the user's decision.
    """
    paths = listed(run)
    if not paths:
        raise CheckpointError(f"{run} holds no checkpoint: start the run without --resume")
    try:
        return artifact.load(paths[-1], kind=KIND)
    except (CorruptError, FileNotFoundError) as error:
        usable = _newest_usable(paths[:-1])
        remedy = (
            f"remove {paths[-1]} to go on from {usable}"
            if usable
            else "no earlier checkpoint is usable, start the run anew"
        )
        raise CheckpointError(f"{error}; {remedy}") from error


def _newest_usable(paths: list[Path]) -> Path | None:
    for path in reversed(paths):
        try:
            artifact.load(path, kind=KIND)
        except (CorruptError, FileNotFoundError):
            continue
        return path
    return None


def read(found: Artifact) -> Snapshot:
    """A checkpoint's content. Raises CorruptError if a file is not what the card says."""
    return Snapshot(
        step=int(found.card.details["step"]),
        seed=found.card.seed,
        weights=found.tensors(WEIGHTS),
        optimizer=found.tensors(OPTIMIZER),
        state=found.tensors(STATE),
        details=found.card.details,
    )


def weights_of(module: torch.nn.Module) -> dict[str, Array]:
    """A module's state_dict as arrays of their own."""
    return {key: value.detach().numpy().copy() for key, value in module.state_dict().items()}


def load_weights(module: torch.nn.Module, weights: Mapping[str, Array]) -> None:
    """Puts weights into a module. Raises CheckpointError naming what does not fit."""
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"these weights are of another network: {error}; give it the settings that it learned "
            f"with (model.*, and of what learns beside it world.*, dream.*, efe.*), or {ANEW}"
        ) from error


def describe(space: gs.Dict, layout: ActionLayout) -> dict[str, Any]:
    """Observations and actions as plain data, for the card."""
    observation = {
        key: {"shape": list(sub.shape or ()), "dtype": str(sub.dtype)}
        for key, sub in space.spaces.items()
    }
    return {"observation": observation, "action": layout.to_json()}


def check_description(details: Mapping[str, Any], space: gs.Dict, layout: ActionLayout) -> None:
    """Raises CheckpointError naming the first difference between a card and a game's spaces."""
    now = describe(space, layout)
    of = f"learned in {details['game']}: " if "game" in details else ""
    remedy = f"set game.name and game.* as they were when it learned, or {ANEW}"
    for key in {**details["observation"], **now["observation"]}:
        was, found = details["observation"].get(key), now["observation"].get(key)
        if was != found:
            raise CheckpointError(
                f"{of}observation {key!r} was {was or 'not there'}, this game has "
                f"{found or 'none'}: {remedy}"
            )
    before, after = details["action"], plain(now["action"])
    if before != after:
        raise CheckpointError(f"{of}the actions were {before}, this game has {after}: {remedy}")


def plain(value: Any) -> Any:
    """As it comes back from JSON, which has neither tuples nor infinity."""
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(value))

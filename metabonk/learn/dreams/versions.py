"""World models and dreamers on disk: numbered versions, each an artifact of weights and a card.

Knows artifacts, checkpoints and the two networks; does not know how they learned or who uses them.
A version never changes. A run's own are in its checkpoints; `of_run` reads them there. Nothing in
either can run code, and no network is made before the tensors are seen to be those of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from gymnasium import spaces as gs

from metabonk import artifact
from metabonk.artifact import Artifact, Measured
from metabonk.config import Config, DreamConfig, ModelConfig
from metabonk.errors import CheckpointError
from metabonk.learn import checkpoint, faults
from metabonk.learn.dreams.dreamer import DreamLearner
from metabonk.learn.dreams.world import WorldLearner
from metabonk.models import world as worlds
from metabonk.models.dreamer import Dreamer
from metabonk.models.world import WorldModel
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

KIND = "dreams"
FOLDER = "dreams"
WORLD, DREAMER = "world.safetensors", "dreamer.safetensors"
FORMAT = 1
SIZES = ("deter", "groups", "classes", "hidden")


@dataclass(frozen=True)
class Dreams:
    """world: the model. dreamer: who learned in it, None if nobody did. updates: that the model has
    had. found: where they come from."""

    world: WorldModel
    dreamer: Dreamer | None
    updates: int
    found: Artifact


def make_dreamer(
    world: WorldModel, config: DreamConfig, model: ModelConfig, fixed: dict[str, float], seed: int
) -> Dreamer:
    """A dreamer that learned nothing yet, its weights drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Dreamer(world.rssm.features, world.layout, config.hidden, model, fixed)


def save(
    directory: Path | str,
    world: WorldModel,
    dreamer: Dreamer,
    config: Config,
    *,
    updates: int,
    data: str = "",
    parents: Sequence[str] = (),
    metrics: Mapping[str, Measured] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Artifact:
    """Writes `<directory>/dreams/<version>`, one after the newest; whole or not at all.

    config: what the networks were made with. data: hash of what they learned from. Raises OSError
    (disk full) with nothing left behind.
    """
    versions = listed(directory)
    version = int(versions[-1].name) + 1 if versions else 1
    return artifact.write(
        Path(directory) / FOLDER / f"{version:06d}",
        kind=KIND,
        seed=config.run.seed,
        files={
            WORLD: checkpoint.weights_of(world),
            DREAMER: checkpoint.weights_of(dreamer),
        },
        parents=parents,
        data=data,
        metrics=metrics,
        details={
            **dict(details or {}),
            "dreams_format": FORMAT,
            "version": version,
            "updates": updates,
            "world": msgspec.to_builtins(config.world),
            "dream": msgspec.to_builtins(config.dream),
            "model": msgspec.to_builtins(config.model),
            **checkpoint.describe(world.space, world.layout),
        },
    )


def listed(directory: Path | str) -> list[Path]:
    """The versions in `directory`, oldest first; not verified."""
    folder = Path(directory) / FOLDER
    return sorted(p for p in folder.glob("*") if p.name.isdigit() and p.is_dir())


def find(path: Path | str) -> Path:
    """A version, or the newest one of a folder that holds some. Raises CheckpointError if there is
    none."""
    path = Path(path)
    if (path / artifact.CARD).exists():
        return path
    versions = listed(path)
    if not versions and path.name == FOLDER:  # else it is a folder of that name with one in it
        versions = listed(path.parent)
    if versions:
        return versions[-1]
    raise CheckpointError(
        f"{path} holds no dreams: make some with `metabonk pretrain dream --from RECORDINGS`"
    )


def read(
    path: Path | str, space: gs.Dict, layout: ActionLayout, sizes: Mapping[str, Any]
) -> tuple[dict[str, Array], dict[str, Array], int, Artifact]:
    """Weights of a world model and of its dreamer, the model's updates, and where they are.

    space, layout: of the game they are for. sizes: the WorldConfig of who takes them, as a mapping.
    Raises CheckpointError for dreams of another game, size or format, CorruptError for damaged
    ones.
    """
    found = artifact.load(find(path), kind=KIND)
    details = found.card.details
    if details.get("dreams_format") != FORMAT:
        raise CheckpointError(
            f"{found.path}: dreams format {details.get('dreams_format')}, this version reads "
            f"{FORMAT}; learn them anew with `metabonk pretrain dream`"
        )
    try:
        checkpoint.check_description(details, space, layout)
        for name in SIZES:
            was = details["world"][name]
            if was != sizes[name]:
                raise CheckpointError(
                    f"{found.path}: learned with world.{name} {was}, not {sizes[name]}: "
                    f"go on with --set world.{name}={was}"
                )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{found.path}: its card describes no dreams: {error}") from error
    updates = details.get("updates")
    if not isinstance(updates, int) or updates < 0:
        raise CheckpointError(f"{found.path}: its card says {updates!r} updates; wanted a number")
    return found.tensors(WORLD), found.tensors(DREAMER), updates, found


def begin(config: Config, world: WorldLearner, dreamer: DreamLearner | None) -> Artifact:
    """Puts what `world.start` names into learners that have not begun, and returns it. Raises
    CheckpointError for dreams of another game or size, with the learners as they were."""
    model = world.model
    sizes = {name: getattr(config.world, name) for name in SIZES}
    weights, learned, updates, found = read(config.world.start, model.space, model.layout, sizes)
    if dreamer is not None:
        _check_dreamer(found, config)
    checkpoint.load_weights(model, weights)
    world.updates = updates
    if dreamer is not None:
        checkpoint.load_weights(dreamer.dreamer, learned)
    return found


def _check_dreamer(found: Artifact, config: Config) -> None:
    """Raises CheckpointError unless a dreamer of these settings has the weights of the one that was
    found. Of what is fixed the branches count and not their values, which are no weights."""
    details = found.card.details
    try:
        settings: dict[str, tuple[Any, Any]] = {
            "dream.hidden": (details["dream"]["hidden"], config.dream.hidden),
            "model.steer": (details["model"]["steer"], config.model.steer),
            "model.fixed": (details["model"]["fixed"], config.model.fixed),
        }
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{found.path}: its card describes no dreamer: {error}") from error
    for key, (was, now) in settings.items():
        if was != now and (key != "model.fixed" or _branches(was) != _branches(now)):
            raise CheckpointError(
                f"{found.path}: its dreamer learned with {key} = {was!r}, not {now!r}: go on with "
                f"--set {key}={was}, or take its world model alone with --set dream.enabled=0"
            )


def _branches(fixed: str) -> set[str]:
    from metabonk.learn.trainer import parse_fixed

    return set(parse_fixed(fixed))


def of_run(run: Path, space: gs.Dict, layout: ActionLayout, config: Config) -> Dreams:
    """The world model and the dreamer in a run's newest checkpoint, for a game of these spaces.
    Raises CheckpointError where the run has none, or for another game's, and for one whose numbers
    are not finite."""
    return of_checkpoint(faults.usable(run), space, layout, config)


def of_checkpoint(found: Artifact, space: gs.Dict, layout: ActionLayout, config: Config) -> Dreams:
    """The same of one checkpoint. config: of its run."""
    from metabonk.learn.trainer import parse_fixed

    checkpoint.check_description(found.card.details, space, layout)
    state = found.tensors(checkpoint.STATE)
    weights = _under(state, "world.weights.")
    if not weights:
        run = found.path.parent.parent
        raise CheckpointError(f"{run} learned no world model: train it with --set world.enabled=1")
    world = worlds.build(space, layout, config.world, seed=found.card.seed)
    checkpoint.load_weights(world, weights)
    dreamer, learned = None, _under(state, "dreams.weights.")
    if learned:
        fixed = parse_fixed(config.model.fixed)
        dreamer = make_dreamer(world, config.dream, config.model, fixed, found.card.seed)
        checkpoint.load_weights(dreamer, learned)
    updates = int(found.card.details["world"]["updates"])
    return Dreams(world.requires_grad_(False), dreamer, updates, found)


def _under(state: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}

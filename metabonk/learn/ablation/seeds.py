"""Seeds of an ablation that is not over yet, kept so that one that was cut short goes on.

Knows artifacts and trials; does not know runs, networks or how a trial is measured. Each seed is an
artifact of its trials and, where the next seed is compared with it, of the intact players' weights:
what goes on then finds the same as what was never interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from metabonk import artifact
from metabonk.errors import CorruptError
from metabonk.learn.ablation.effects import Trial
from metabonk.protocols import Array

KIND = "ablation-seed"
TRIALS, PLAYERS = "trials.json", "players.safetensors"


class Seed(NamedTuple):
    """trials: all of one seed, the intact one first. players: weights of who came out of that,
    empty where nobody asks for them."""

    trials: list[Trial]
    players: Mapping[str, Array]


def keep(folder: Path, number: int, seed: Seed) -> None:
    """Writes a seed; whole or not at all."""
    artifact.write(
        folder / f"seed-{number}",
        kind=KIND,
        seed=number,
        files={TRIALS: msgspec.json.encode(seed.trials), PLAYERS: dict(seed.players)},
        replace=True,
    )


def kept(folder: Path, number: int) -> Seed | None:
    """What `keep` wrote, None if it did not. Raises CorruptError where it is damaged."""
    path = folder / f"seed-{number}"
    if not path.is_dir():
        return None
    try:
        found = artifact.load(path, kind=KIND)
        trials = msgspec.json.decode(found.read(TRIALS), type=list[Trial])
        return Seed(trials, found.tensors(PLAYERS))
    except (CorruptError, FileNotFoundError, msgspec.MsgspecError) as error:
        raise CorruptError(f"{error}; delete {path} and its seed is measured again") from error

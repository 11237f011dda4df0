"""The compile step of a run: whoever serves, its policy or who learned in its dreams, as a policy
artifact with what it was measured to lose. Knows run directories and games; the work is done by
metabonk.play.compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from metabonk.artifact import Artifact, certify, load
from metabonk.config import Config
from metabonk.errors import CheckpointError
from metabonk.learn import presets
from metabonk.learn.assess import MOST_ENVS, load_players, repeatable, side_by_side
from metabonk.learn.dreams.versions import of_run
from metabonk.learn.fidelity import Fidelity, measure
from metabonk.models.actor import Actor
from metabonk.models.dreamer import DreamerPolicy
from metabonk.play.compiled import compile
from metabonk.play.compiler.dreamers import decision_of
from metabonk.protocols import BatchGame


def compile_run(
    run: Path,
    out: Path,
    precision: Any = "fp32",
    *,
    batch: int = 1,
    sampled: bool = False,
    episodes: int = 64,
    seed: int = 0,
    valued: bool = False,
    dreamer: bool | None = None,
) -> Fidelity | None:
    """Writes the artifact `out`, replacing what is there; returns what was measured, None for no
    episodes. valued: it also gives the critic's value. dreamer: of who learned in dreams, with its
    world model, or else of the policy; None: of whoever leads. The measurement is kept in the
    artifact's card as a certificate.

    Raises CompileError for a network or a precision that cannot be compiled, CheckpointError where
    nobody dreamed.
    """
    config = presets.begun(run, environ={})
    most = min(config.game.envs, MOST_ENVS)
    count = side_by_side(episodes, most) if episodes else 1
    game = repeatable(config.game, count)
    try:
        who, found = _chosen(run, game, config, dreamer)
        policy = compile(who, precision, batch=batch, sampled=sampled, seed=seed, valued=valued)
        policy.save(out, parents=(found.hash,), replace=True)
        if not episodes:
            return None
        wide = compile(who, precision, batch=count, sampled=False)
        fidelity = measure(decision_of(who, False), wide, game, episodes=episodes, seed=seed)
    finally:
        game.close()
    certificate = {"fidelity": msgspec.to_builtins(fidelity), "game": config.game.name}
    certify(load(out), certificate)
    return fidelity


def _chosen(
    run: Path, game: BatchGame, config: Config, dreamer: bool | None
) -> tuple[Actor | DreamerPolicy, Artifact]:
    if dreamer:
        return _dreamer(run, game, config)
    players, found = load_players(run, game, config)
    return players.playing(None if dreamer is None else "policy"), found


def _dreamer(run: Path, game: BatchGame, config: Config) -> tuple[DreamerPolicy, Artifact]:
    found = of_run(run, game.observation_space, game.action_layout, config)
    if found.dreamer is None:
        raise CheckpointError(
            f"{run}: nobody dreamed there; train it with --set world.enabled=1, or compile its "
            "policy"
        )
    return DreamerPolicy(found.world, found.dreamer), found.found

"""The compile step of a run: its newest network as a policy artifact with what it was measured to
lose. Knows run directories and games; the work is done by metabonk.play.compiled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from metabonk.artifact import certify, load
from metabonk.config import load as load_config
from metabonk.games import from_config
from metabonk.learn.assess import MOST_ENVS, load_model, side_by_side
from metabonk.learn.fidelity import Fidelity, measure
from metabonk.play.compiled import compile


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
) -> Fidelity | None:
    """Writes the artifact `out`, replacing what is there; returns what was measured, None for no
    episodes. valued: it also gives the critic's value. The measurement is kept in the artifact's
    card as a certificate.

    Raises CompileError for a network or a precision that cannot be compiled.
    """
    config = load_config(run / "config.toml", environ={})
    most = min(config.game.envs, MOST_ENVS)
    count = side_by_side(episodes, most) if episodes else 1
    game = from_config(config.game, count)
    try:
        model, found = load_model(run, game, config)
        policy = compile(model, precision, batch=batch, sampled=sampled, seed=seed, valued=valued)
        policy.save(out, parents=(found.hash,), replace=True)
        if not episodes:
            return None
        wide = compile(model, precision, batch=count, sampled=False)
        fidelity = measure(model, wide, game, episodes=episodes, seed=seed)
    finally:
        game.close()
    certificate = {"fidelity": msgspec.to_builtins(fidelity), "game": config.game.name}
    certify(load(out), certificate)
    return fidelity

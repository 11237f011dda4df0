"""The compile step of a motor: a version of it as a policy artifact, with what it was measured to
lose.

Knows versions, the run that they belong to and its game; the work is metabonk.play.compiler's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from metabonk.artifact import certify
from metabonk.artifact import load as load_artifact
from metabonk.learn import presets
from metabonk.learn.assess import MOST_ENVS, repeatable, side_by_side
from metabonk.learn.evaluate import play
from metabonk.learn.fidelity import FIDELITY_STREAM, Agreement, Alone, Fidelity
from metabonk.learn.motors import versions
from metabonk.models.motor import Motor, MotorPolicy
from metabonk.play.compiled import CompiledPolicy
from metabonk.play.compiler.motors import compile_motor
from metabonk.play.compiler.tracing import ACTION, NORMAL
from metabonk.protocols import BatchGame, BoolArray, FloatArray, Observation


class Shown:
    """A motor as a Policy, run by torch; it shows every observation to what was compiled of it too,
    with the same noise, and counts."""

    def __init__(self, motor: Motor, compiled: CompiledPolicy, seed: int) -> None:
        self._motor, self._seed = motor, seed
        self.agreement = Agreement(motor.layout)
        self._given = {
            name: np.zeros(sizes, dtype) for name, (dtype, sizes) in compiled.inputs.items()
        }
        rows = np.zeros((compiled.terms.batch, compiled.terms.columns), np.float32)
        self._bound = compiled.bind_all(self._given, {ACTION: rows})

    def reset(self, num_envs: int) -> int:
        return 0

    def act(
        self, observation: Observation, state: int, is_first: BoolArray
    ) -> tuple[FloatArray, int]:
        philox = np.random.Philox(key=[self._seed, FIDELITY_STREAM], counter=[0, 0, 0, state])
        shape = self._given[NORMAL].shape
        normal = np.random.Generator(philox).standard_normal(shape, np.float32)
        seen = {key: torch.as_tensor(value) for key, value in observation.items()}
        chosen = self._motor.decide(seen, torch.from_numpy(normal), beta=self._motor.config.beta)
        rows: FloatArray = chosen.rows.numpy()
        for name, array in self._given.items():
            np.copyto(array, normal if name == NORMAL else observation[name])
        self.agreement.count(np.abs(rows - self._bound.step()))
        return rows, state + 1


def compile_version(
    version: Path,
    run: Path,
    out: Path,
    precision: Any = "fp32",
    *,
    batch: int = 1,
    episodes: int = 64,
    seed: int = 0,
) -> Fidelity | None:
    """Writes the artifact `out` of a version of the motor of `run`, replacing what is there;
    returns what was measured, None for no episodes. It draws its candidates from `seed`. The
    measurement is kept in the artifact's card as a certificate.

    Raises CompileError for a precision that cannot be compiled, CheckpointError for a version of
    another game, CorruptError for a damaged one.
    """
    config = presets.begun(run, environ={})
    most = min(config.game.envs, MOST_ENVS)
    count = side_by_side(episodes, most) if episodes else 1
    game = repeatable(config.game, count)
    try:
        motor, found = versions.load(version, game.observation_space, game.action_layout)
        policy = compile_motor(MotorPolicy(motor, seed=seed), precision, batch=batch)
        policy.save(out, parents=(found.hash,), replace=True)
        if not episodes:
            return None
        fidelity = _measure(motor, precision, game, episodes, seed)
    finally:
        game.close()
    certificate = {"fidelity": msgspec.to_builtins(fidelity), "game": config.game.name}
    certify(load_artifact(out), certificate)
    return fidelity


def _measure(motor: Motor, precision: Any, game: BatchGame, episodes: int, seed: int) -> Fidelity:
    wide = compile_motor(MotorPolicy(motor, seed=seed), precision, batch=game.num_envs)
    shown = Shown(motor, wide, seed)
    exact = play(game, shown, episodes, seed)["return"]
    own = play(game, Alone(wide), episodes, seed)["return"]
    return shown.agreement.measured(wide, own, exact)

"""Small networks over spaces of every kind, for the tests of compiled policies."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces as gs

from metabonk.config import CpqeConfig, ModelConfig, load
from metabonk.learn.presets import preset
from metabonk.learn.trainer import parse_fixed
from metabonk.models.motor import Motor
from metabonk.models.motor import build as build_motor
from metabonk.models.policy import ActorCritic, build
from metabonk.observations import OBSERVATION_SPACE
from metabonk.protocols import Array
from metabonk.spaces import ActionLayout

MIXED = gs.Dict(
    {
        "choice": gs.Discrete(5),
        "aim": gs.Box(-2.0, 3.0, (2,), np.float32),
        "free": gs.Box(-np.inf, np.inf, (1,), np.float32),
        "jump": gs.Discrete(2),
        "duck": gs.Discrete(2),
    }
)
MASKED = gs.Dict(
    {
        "x": gs.Box(-1.0, 1.0, (7,), np.float32),
        "action_mask": gs.Box(0, 1, (5,), np.uint8),
    }
)
TIMED = gs.Dict(
    {
        **MASKED.spaces,
        "dt": gs.Box(0.0, 1.0, (1,), np.float32),
        "things": gs.Box(-1.0, 1.0, (4, 3), np.float32),
        "things_mask": gs.Box(0, 1, (4,), np.uint8),
    }
)
MOTOR = CpqeConfig(hidden=24, layers=2, members=3, candidates=6, beta=0.7)


def network(
    space: gs.Dict, action: gs.Space, name: str, masked: tuple[str, ...] = (), seed: int = 0
) -> ActorCritic:
    """A network whose weights are large enough for every part to matter."""
    layout = ActionLayout.of(action, masked)
    config = ModelConfig(name=name, hidden=24, normalize=True)
    return shaken(build(space, layout, config, seed=seed), seed)


def shaken(model: ActorCritic, seed: int, far: float = 0.1) -> ActorCritic:
    """Moves all weights and statistics away from what they begin with, weights by `far`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(far * torch.randn(parameter.shape, generator=generator))
        for key, buffer in model.named_buffers():
            if key.endswith(("mean", "inverse")):
                buffer.add_(0.2 * torch.rand(buffer.shape, generator=generator))
    return model


def arena_pilot(seed: int = 0) -> ActorCritic:
    """The arena's own network."""
    from metabonk import games

    config = load(environ={}, flags={"game.name": "arena", **preset("arena")})
    game = games.make("arena", 1)
    fixed = parse_fixed(config.model.fixed)
    model = build(game.observation_space, game.action_layout, config.model, seed=seed, fixed=fixed)
    game.close()
    return shaken(model, seed, 0.04)  # it is wide: more would make it chaotic


def motor_of(space: gs.Dict, layout: ActionLayout) -> Motor:
    """A motor that is random in every weight, also in those that begin at zero."""
    motor = build_motor(space, layout, MOTOR, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in motor.student.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    seen = draw(space, 64, 0)
    motor.reader.learn({key: torch.from_numpy(value) for key, value in seen.items()})
    return motor.requires_grad_(False)


def draw(space: gs.Dict, num: int, seed: int) -> dict[str, Array]:
    space.seed(seed)
    drawn = [space.sample() for _ in range(num)]
    found = {key: np.stack([one[key] for one in drawn]) for key in space.spaces}
    if "action_mask" in found:
        found["action_mask"][:, seed % 4] = 1
    return found


NETWORKS = {
    "mlp": lambda seed=0: network(MASKED, MIXED, "mlp", ("choice",), seed),
    "conv": lambda seed=0: network(
        gs.Dict({"pixels": gs.Box(0, 255, (36, 48, 3), np.uint8)}), MIXED, "conv", (), seed
    ),
    "cells": lambda seed=0: network(
        gs.Dict(
            {
                "cells": gs.Box(0, 15, (16, 16), np.uint8),
                "count": gs.Box(0, 99, (1,), np.int32),
            }
        ),
        gs.Discrete(6),
        "pilot",
        (),
        seed,
    ),
    "pilot": lambda seed=0: network(TIMED, MIXED, "pilot", ("choice",), seed),
    "mamba": lambda seed=0: network(TIMED, MIXED, "mamba", ("choice",), seed),
    "arena": arena_pilot,
}


def observations(
    model: ActorCritic, batch: int, steps: int, seed: int = 0
) -> list[dict[str, Array]]:
    """Random ones that the spaces allow; of each mask at least one entry is set."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(steps):
        one = {key: _draw(generator, key, sub, batch) for key, sub in model.space.spaces.items()}
        found.append(one)
    return found


def _draw(generator: np.random.Generator, key: str, space: gs.Space, batch: int) -> Array:
    shape = (batch, *(space.shape or ()))
    if key.endswith("mask"):
        mask = generator.integers(0, 2, shape).astype(np.uint8)
        mask[:, -1] = 1
        return mask
    if space.dtype != np.float32:
        return generator.integers(0, 15, shape).astype(space.dtype)
    drawn = generator.uniform(-1.0, 1.0, shape).astype(np.float32)
    if key == "offers":  # the column that names a choice holds one
        column = OBSERVATION_SPACE["offers"].shape[-1]
        assert shape[-1] == column
        drawn = np.abs(drawn)
    return np.abs(drawn) if key == "dt" else drawn

"""Suite `ops`, returns: advantages of a rollout and lambda-returns of dreams, against loops over
time in torch and numpy, as Stable-Baselines3 and CleanRL write them.
"""

from __future__ import annotations

from typing import Any

from . import peaks
from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .versus import Contender

STEPS, ENVS = 128, 64  # of a rollout
HORIZON, DREAMS = 15, 1024
GAMMA, LAMBDA = 0.99, 0.95


def cases() -> list[Case]:
    return [
        Case(
            "ops",
            f"gae {STEPS} x {ENVS}",
            "batches/s",
            Contender("metabonk", lambda: OneThread(_gae("native"))),
            (
                Contender("torch loop", lambda: OneThread(_gae("torch"))),
                Contender("numpy loop", _numpy),
                # Rewards, values, advantages, and the bytes of two flags.
                Contender("floor", lambda: peaks.reads(STEPS * ENVS * 7 // 2)),
            ),
        ),
        Case(
            "ops",
            f"lambda-returns {HORIZON} x {DREAMS}, forward and backward",
            "batches/s",
            Contender("metabonk", lambda: OneThread(_dreams("native"))),
            (Contender("torch loop", lambda: OneThread(_dreams("reference"))),),
        ),
    ]


def _batch(steps: int, columns: int) -> Any:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(steps, columns, generator=generator)
    value = torch.randn(steps + 1, columns, generator=generator)
    ended = torch.rand(steps, columns, generator=generator) < 0.02
    return reward, value, ended


def _gae(backend: Any) -> Timed:
    from metabonk.ops import returns

    reward, value, ended = _batch(STEPS, ENVS)
    return Timed(
        lambda: returns.gae(
            reward, value, ended, ended, gamma=GAMMA, gae_lambda=LAMBDA, backend=backend
        ),
        1,
    )


def _numpy() -> Timed:
    import numpy as np

    reward, value, ended = (t.numpy() for t in _batch(STEPS, ENVS))

    def loop() -> Any:
        out, carry = np.zeros_like(reward), 0.0
        for t in reversed(range(STEPS)):
            alive = 1.0 - ended[t]
            delta = reward[t] + GAMMA * value[t + 1] * alive - value[t]
            out[t] = carry = delta + GAMMA * LAMBDA * alive * carry
        return out

    return Timed(loop, 1)


def _dreams(backend: str) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import returns

    reward, value, ended = _batch(HORIZON, DREAMS)
    leaves = [t.requires_grad_() for t in (reward, value, GAMMA * (1.0 - ended.float()))]
    run = returns.lambda_returns_reference if backend == "reference" else returns.lambda_returns

    def step() -> None:
        torch.autograd.grad(run(*leaves, LAMBDA).sum(), leaves)

    return Timed(step, 1)

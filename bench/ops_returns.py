"""Suite `ops`, returns: advantages of a rollout and lambda-returns of dreams, against loops over
time in torch and numpy, as Stable-Baselines3 and CleanRL write them.
"""

from __future__ import annotations

from typing import Any

from . import peaks
from .agreement import agreeing
from .case import Case
from .meter import Timed
from .ops_cfc import OneThread
from .peers import require
from .peers.compiled import compiled
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
                Contender("torch.compile, each step", lambda: OneThread(_gae("compiled"))),
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
            (
                Contender("torch loop", lambda: OneThread(_dreams("reference"))),
                Contender("torch.compile, each step", lambda: OneThread(_dreams("compiled"))),
            ),
        ),
    ]


def _batch(steps: int, columns: int) -> Any:
    torch = require("torch", "train")
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(steps, columns, generator=generator)
    value = torch.randn(steps + 1, columns, generator=generator)
    ended = torch.rand(steps, columns, generator=generator) < 0.02
    return reward, value, ended


def _gae(way: str) -> Timed:
    from metabonk.ops import returns

    reward, value, ended = _batch(STEPS, ENVS)
    one = compiled(_advantage) if way == "compiled" else None

    def run() -> Any:
        if one is not None:
            return [_step_by_step(one, reward, value, ended)]
        given = {"gamma": GAMMA, "gae_lambda": LAMBDA, "backend": way}
        return [returns.gae(reward, value, ended, ended, **given)]

    return agreeing(way, Timed(run, 1), _wanted())


def _advantage(reward: Any, value: Any, following: Any, ended: Any, after: Any) -> Any:
    alive = GAMMA * (1.0 - ended.float())
    return reward - value + alive * (following + LAMBDA * after)


def _step_by_step(one: Any, reward: Any, value: Any, ended: Any) -> Any:
    """To compile all steps of a rollout as one graph takes it minutes."""
    torch = require("torch", "train")
    rows, after = [], torch.zeros_like(value[0])
    for t in range(STEPS - 1, -1, -1):
        after = one(reward[t], value[t], value[t + 1], ended[t], after)
        rows.append(after)
    return torch.stack(rows[::-1])


def _wanted() -> list[Any]:
    """Advantages by the formula."""
    from metabonk.ops import returns

    reward, value, ended = _batch(STEPS, ENVS)
    return [returns.gae_reference(reward, value, ended, ended, None, GAMMA, LAMBDA)]


def _numpy() -> Timed:
    import numpy as np

    reward, value, ended = (t.numpy() for t in _batch(STEPS, ENVS))

    def loop() -> Any:
        out, carry = np.zeros_like(reward), 0.0
        for t in reversed(range(STEPS)):
            alive = 1.0 - ended[t]
            delta = reward[t] + GAMMA * value[t + 1] * alive - value[t]
            out[t] = carry = delta + GAMMA * LAMBDA * alive * carry
        return [out]

    return agreeing("numpy loop", Timed(loop, 1), _wanted())


def _dreams(way: str) -> Timed:
    torch = require("torch", "train")
    from metabonk.ops import returns

    reward, value, ended = _batch(HORIZON, DREAMS)
    leaves = [t.requires_grad_() for t in (reward, value, GAMMA * (1.0 - ended.float()))]

    def gradients(run: Any) -> Any:
        return torch.autograd.grad(run(*leaves, LAMBDA).sum(), leaves)

    reference = returns.lambda_returns_reference
    run = returns.lambda_returns if way == "native" else reference
    if way == "compiled":
        run = _unrolled(compiled(_return))
    return agreeing(way, Timed(lambda: gradients(run), 1), gradients(reference))


def _return(reward: Any, discount: Any, following: Any, after: Any, lambda_: float) -> Any:
    return reward + discount * ((1.0 - lambda_) * following + lambda_ * after)


def _unrolled(one: Any) -> Any:
    """As `_step_by_step`, of lambda-returns."""
    torch = require("torch", "train")

    def run(reward: Any, value: Any, discount: Any, lambda_: float) -> Any:
        rows, after = [], value[-1]
        for t in range(len(reward) - 1, -1, -1):
            after = one(reward[t], discount[t], value[t + 1], after, lambda_)
            rows.append(after)
        return torch.stack(rows[::-1])

    return run

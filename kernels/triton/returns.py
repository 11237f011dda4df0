"""Advantages and lambda-returns, and their gradients, as scans over time of linear recurrences.

    y_t = a_t + c_t y_{t+1}     (backwards; gradients run the same recurrence forwards)

A tile of steps is solved at once by an associative scan of (c, a), so that short batches of long
episodes keep the device busy; tiles follow each other and carry y. What a flag switches off is
never multiplied with: c = 0 passes nothing on, not even NaN. All arrays [steps, columns] float32,
values [steps + 1, columns], flags one byte. Formulas and names: `metabonk.ops.returns`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .kernel import Kernel, blocks, tile_for


@triton.jit
def _join(slope_before, sum_before, slope, sum_):
    """First the step before, then this one: slope = slope slope_before, and what is added."""
    carried = tl.where(slope == 0.0, 0.0, slope * sum_before)
    return slope * slope_before, sum_ + carried


@triton.jit
def _flag(flags, place, inside):
    return tl.load(flags + place, inside, 0) != 0


@triton.jit
def _rates(
    terminated, truncated, reset, each, gamma, gae_lambda, place, inside, RESETS: tl.constexpr,
    EACH: tl.constexpr,
):  # fmt: skip
    """Of advantages: how much of the next value and of the next advantage counts, and resets."""
    end = _flag(terminated, place, inside)
    cut = end | _flag(truncated, place, inside)
    skipped = place < 0
    if RESETS:
        skipped = _flag(reset, place, inside)
    rate = tl.zeros(place.shape, tl.float32) + gamma
    if EACH:
        rate = tl.load(each + place, inside, 0.0)
    follow = tl.where(end | skipped, 0.0, rate)
    slope = tl.where(cut | skipped, 0.0, rate * gae_lambda)
    return follow, slope, skipped


@triton.jit
def _gae(
    reward, value, terminated, truncated, reset, each, gamma, gae_lambda, out, steps, columns,
    RESETS: tl.constexpr, EACH: tl.constexpr, STEPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    after = tl.zeros((COLUMNS,), tl.float32)
    lane = tl.arange(0, STEPS)
    for tile in range(0, steps, STEPS):
        step = steps - 1 - tile - lane  # backwards
        inside = (step >= 0)[:, None] & (column < columns)[None, :]
        place = tl.maximum(step, 0)[:, None].to(tl.int64) * columns + column[None, :]
        follow, slope, skipped = _rates(
            terminated, truncated, reset, each, gamma, gae_lambda, place, inside, RESETS, EACH
        )
        next_ = tl.load(value + place + columns, inside, 0.0)
        delta = tl.load(reward + place, inside, 0.0) - tl.load(value + place, inside, 0.0)
        delta += tl.where(follow == 0.0, 0.0, follow * next_)
        delta = tl.where(skipped, 0.0, delta)
        # The first of the tile takes what the tile after it left behind.
        first = (lane == 0)[:, None] & (slope != 0.0)
        delta += tl.where(first, slope * after[None, :], 0.0)
        slope, advantage = tl.associative_scan((slope, delta), 0, _join)
        tl.store(out + place, advantage, inside)
        after = tl.sum(tl.where((lane == STEPS - 1)[:, None], advantage, 0.0), 0)


@triton.jit
def _gae_gradient(
    d_out, terminated, truncated, reset, each, gamma, gae_lambda, d_reward, d_value, steps,
    columns, RESETS: tl.constexpr, EACH: tl.constexpr, STEPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """d_reward_t = d_out_t + slope_{t-1} d_reward_{t-1}, 0 where t resets."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    lane = tl.arange(0, STEPS)
    passed = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(0, steps + 1, STEPS):
        step = tile + lane
        there = (column < columns)[None, :]
        inside = (step < steps)[:, None] & there
        earlier = (step >= 1)[:, None] & (step <= steps)[:, None] & there
        place = step[:, None].to(tl.int64) * columns + column[None, :]
        _, _, skipped = _rates(
            terminated, truncated, reset, each, gamma, gae_lambda, place, inside, RESETS, EACH
        )
        follow, slope, _ = _rates(
            terminated, truncated, reset, each, gamma, gae_lambda, place - columns, earlier,
            RESETS, EACH,
        )  # fmt: skip
        dead = skipped | (earlier == 0)
        slope = tl.where(dead, 0.0, slope)
        gradient = tl.where(skipped, 0.0, tl.load(d_out + place, inside, 0.0))
        first = (lane == 0)[:, None] & (slope != 0.0)
        gradient += tl.where(first, slope * passed[None, :], 0.0)
        slope, gradient = tl.associative_scan((slope, gradient), 0, _join)
        tl.store(d_reward + place, gradient, inside)
        tl.debug_barrier()  # what other threads of this program have just stored is read
        before = tl.load(d_reward + place - columns, earlier, 0.0)
        grown = tl.where(earlier & (follow != 0.0), follow * before, 0.0)
        to = (step <= steps)[:, None] & there
        tl.store(d_value + place, grown - tl.where(inside, gradient, 0.0), to)
        passed = tl.sum(tl.where((lane == STEPS - 1)[:, None], gradient, 0.0), 0)


@triton.jit
def _lambda(
    reward, value, discount, lambda_, out, steps, columns, STEPS: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    last = tl.cast(steps, tl.int64) * columns + column
    after = tl.load(value + last, column < columns, 0.0)
    lane = tl.arange(0, STEPS)
    for tile in range(0, steps, STEPS):
        step = steps - 1 - tile - lane  # backwards
        inside = (step >= 0)[:, None] & (column < columns)[None, :]
        place = tl.maximum(step, 0)[:, None].to(tl.int64) * columns + column[None, :]
        rate = tl.load(discount + place, inside, 0.0)
        next_ = tl.load(value + place + columns, inside, 0.0)
        known = tl.load(reward + place, inside, 0.0) + rate * (1.0 - lambda_) * next_
        slope = rate * lambda_
        known += tl.where((lane == 0)[:, None], slope * after[None, :], 0.0)
        slope, found = tl.associative_scan((slope, known), 0, _join)
        tl.store(out + place, found, inside)
        after = tl.sum(tl.where((lane == STEPS - 1)[:, None], found, 0.0), 0)


@triton.jit
def _lambda_gradient(
    d_out, out, value, discount, lambda_, d_reward, d_value, d_discount, steps, columns,
    STEPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """d_reward_t = d_out_t + lambda d_{t-1} d_reward_{t-1}."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    lane = tl.arange(0, STEPS)
    passed = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(0, steps + 1, STEPS):
        step = tile + lane
        there = (column < columns)[None, :]
        inside = (step < steps)[:, None] & there
        earlier = (step >= 1)[:, None] & (step <= steps)[:, None] & there
        place = step[:, None].to(tl.int64) * columns + column[None, :]
        rate = tl.load(discount + place - columns, earlier, 0.0)
        gradient = tl.load(d_out + place, inside, 0.0)
        gradient += tl.where((lane == 0)[:, None], rate * lambda_ * passed[None, :], 0.0)
        _, gradient = tl.associative_scan((rate * lambda_, gradient), 0, _join)
        tl.store(d_reward + place, gradient, inside)
        next_ = tl.load(value + place + columns, inside, 0.0)
        following = tl.load(out + place + columns, inside & (step < steps - 1)[:, None], 0.0)
        following = tl.where((step < steps - 1)[:, None], following, next_)
        mixed = (1.0 - lambda_) * next_ + lambda_ * following
        tl.store(d_discount + place, gradient * mixed, inside)
        tl.debug_barrier()  # what other threads of this program have just stored is read
        before = tl.load(d_reward + place - columns, earlier, 0.0)
        share = tl.where((step == steps)[:, None], 1.0, 1.0 - lambda_)
        to = (step <= steps)[:, None] & there
        tl.store(d_value + place, share * (rate * before), to)
        passed = tl.sum(tl.where((lane == STEPS - 1)[:, None], gradient, 0.0), 0)


_SIZES = {"steps": "i32", "columns": "i32"}
_WHEN = {
    "terminated": "*u8",
    "truncated": "*u8",
    "reset": "*u8",
    "each": "*fp32",
    "gamma": "fp32",
    "gae_lambda": "fp32",
}


def _floats(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "*fp32")


GAE = Kernel("gae", _gae, _floats("reward", "value") | _WHEN | _floats("out") | _SIZES)
GAE_GRADIENT = Kernel(
    "gae_gradient",
    _gae_gradient,
    _floats("d_out") | _WHEN | _floats("d_reward", "d_value") | _SIZES,
)
LAMBDA = Kernel(
    "lambda_returns",
    _lambda,
    _floats("reward", "value", "discount") | {"lambda_": "fp32"} | _floats("out") | _SIZES,
)
LAMBDA_GRADIENT = Kernel(
    "lambda_returns_gradient",
    _lambda_gradient,
    _floats("d_out", "out", "value", "discount")
    | {"lambda_": "fp32"}
    | _floats("d_reward", "d_value", "d_discount")
    | _SIZES,
)
KERNELS = {k.name: k for k in (GAE, GAE_GRADIENT, LAMBDA, LAMBDA_GRADIENT)}


def _bytes(flags: Tensor) -> Tensor:
    return flags.view(torch.uint8)


def gae(
    reward: Tensor,
    value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    reset: Tensor | None,
    each: Tensor | None,
    gamma: float,
    gae_lambda: float,
    tile: Tile | None = None,
) -> Tensor:
    """Advantages [steps, columns]; gamma is `each` [steps, columns] where that is given."""
    steps, columns = reward.shape
    out = torch.empty_like(reward)
    tile = tile or tile_for(GAE, reward.device, columns=columns)
    if out.numel():
        GAE(
            (blocks(columns, tile.constants["COLUMNS"]),),
            tile,
            reward,
            value,
            _bytes(terminated),
            _bytes(truncated),
            _bytes(terminated if reset is None else reset),
            reward if each is None else each,
            float(gamma),
            float(gae_lambda),
            out,
            steps,
            columns,
            RESETS=reset is not None,
            EACH=each is not None,
        )
    return out


def gae_gradient(
    d_out: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    reset: Tensor | None,
    each: Tensor | None,
    gamma: float,
    gae_lambda: float,
    tile: Tile | None = None,
) -> tuple[Tensor, Tensor]:
    """Of reward [steps, columns] and value [steps + 1, columns]."""
    steps, columns = d_out.shape
    d_reward = torch.empty_like(d_out)
    d_value = d_out.new_empty(steps + 1, columns)
    tile = tile or tile_for(GAE_GRADIENT, d_out.device, columns=columns)
    if d_value.numel():
        GAE_GRADIENT(
            (blocks(columns, tile.constants["COLUMNS"]),),
            tile,
            d_out,
            _bytes(terminated),
            _bytes(truncated),
            _bytes(terminated if reset is None else reset),
            d_out if each is None else each,
            float(gamma),
            float(gae_lambda),
            d_reward,
            d_value,
            steps,
            columns,
            RESETS=reset is not None,
            EACH=each is not None,
        )
    return d_reward, d_value


def lambda_returns(
    reward: Tensor, value: Tensor, discount: Tensor, lambda_: float, tile: Tile | None = None
) -> Tensor:
    """Returns [steps, columns]."""
    steps, columns = reward.shape
    out = torch.empty_like(reward)
    tile = tile or tile_for(LAMBDA, reward.device, columns=columns)
    if out.numel():
        grid = (blocks(columns, tile.constants["COLUMNS"]),)
        LAMBDA(grid, tile, reward, value, discount, float(lambda_), out, steps, columns)
    return out


def lambda_returns_gradient(
    d_out: Tensor,
    out: Tensor,
    value: Tensor,
    discount: Tensor,
    lambda_: float,
    tile: Tile | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of reward, value and discount; `out` as `lambda_returns` gave it."""
    steps, columns = d_out.shape
    d_reward, d_discount = torch.empty_like(d_out), torch.empty_like(d_out)
    d_value = torch.empty_like(value)
    tile = tile or tile_for(LAMBDA_GRADIENT, d_out.device, columns=columns)
    if d_value.numel():
        LAMBDA_GRADIENT(
            (blocks(columns, tile.constants["COLUMNS"]),),
            tile,
            d_out,
            out,
            value,
            discount,
            float(lambda_),
            d_reward,
            d_value,
            d_discount,
            steps,
            columns,
        )
    return d_reward, d_value, d_discount

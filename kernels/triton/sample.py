"""Distributions from what a head puts out, and samples of them from given noise.

    categorical   p = (1 - mix) softmax(out) + mix / classes;  parameters log p
                  index = the first class at which the running sum of p passes u (almost the whole)
    gaussian      parameters mean, softplus(raw) + least;  sample mean + deviation noise
    squashed      the same with action tanh(mean + deviation noise) and its density's logarithm,
                  summed over a row: log N - log(1 - action^2)     (Haarnoja et al. 2018)

The mixture keeps every class possible (Hafner et al. 2023, "unimix"). Noise comes from outside,
uniform in [0, 1) or standard normal, so that samples are reproducible. Formulas and shapes:
`metabonk.ops.rssm_scan` and `.imagine`. Knows nothing of what the classes are.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import tanh
from .kernel import Kernel, blocks, power_above, tile_for

# A little below the whole, so that rounding cannot pass the last class.
WHOLE = tl.constexpr(1.0 - 2.0**-20)
LOG_2 = tl.constexpr(0.6931471805599453)
HALF_LOG_TAU = tl.constexpr(0.9189385332046727)  # log(2 pi) / 2


@triton.jit
def _categorical(
    out, uniform, index, parameters, stoch, rows, classes, mix, PADDED: tl.constexpr,
    ROWS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    class_ = tl.arange(0, PADDED)
    real = (class_ < classes)[None, :]
    inside = (row < rows)[:, None] & real
    place = row[:, None].to(tl.int64) * classes + class_[None, :]
    value = tl.load(out + place, inside, float("-inf"))
    value = value - tl.where(row < rows, tl.max(value, 1), 0.0)[:, None]
    size = tl.exp(value)
    total = tl.where(row < rows, tl.sum(size, 1), 1.0)[:, None]
    share = tl.where(real, (1.0 - mix) * (size / total) + mix / classes, 0.0)
    # Without a mixture the logarithm is taken before small shares vanish.
    logarithm = tl.where(mix > 0.0, tl.log(tl.where(real, share, 1.0)), value - tl.log(total))
    tl.store(parameters + place, logarithm, inside)
    if SAMPLES:
        running = tl.cumsum(share, 1)
        limit = tl.load(uniform + row, row < rows, 0.0) * WHOLE * tl.max(running, 1)
        passed = (running <= limit[:, None]) & (class_ < classes - 1)[None, :]
        found = tl.sum(tl.where(passed, 1, 0), 1)
        tl.store(index + row, found, row < rows)
        tl.store(stoch + place, tl.where(class_[None, :] == found[:, None], 1.0, 0.0), inside)


@triton.jit
def _softplus(x):
    """log(1 + e^x); where e^x is lost beside 1, it is the result itself."""
    soft = tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))
    return tl.where(x < -15.0, tl.exp(tl.minimum(x, 0.0)), soft)


@triton.jit
def _gaussian(
    out, noise, parameters, stoch, rows, width, least, PADDED: tl.constexpr, ROWS: tl.constexpr,
    SAMPLES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.arange(0, PADDED)
    inside = (row < rows)[:, None] & (unit < width)[None, :]
    wide = row[:, None].to(tl.int64) * width
    place = 2 * wide + unit[None, :]
    mean = tl.load(out + place, inside, 0.0)
    raw = tl.load(out + place + width, inside, 0.0)
    deviation = _softplus(raw) + least
    tl.store(parameters + place, mean, inside)
    tl.store(parameters + place + width, deviation, inside)
    if SAMPLES:
        number = tl.load(noise + wide + unit[None, :], inside, 0.0)
        tl.store(stoch + wide + unit[None, :], mean + deviation * number, inside)


@triton.jit
def _squashed(
    out, noise, parameters, action, log_prob, rows, width, least, PADDED: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.arange(0, PADDED)
    inside = (row < rows)[:, None] & (unit < width)[None, :]
    wide = row[:, None].to(tl.int64) * width
    place = 2 * wide + unit[None, :]
    mean = tl.load(out + place, inside, 0.0)
    deviation = _softplus(tl.load(out + place + width, inside, 0.0)) + least
    number = tl.load(noise + wide + unit[None, :], inside, 0.0)
    before = mean + deviation * number
    # log(1 - tanh^2 u) = 2 (log 2 - u - softplus(-2 u)), which no u makes the logarithm of zero.
    bend = 2.0 * (LOG_2 - before - _softplus(-2.0 * before))
    density = (
        -0.5 * number * number - tl.log(tl.where(inside, deviation, 1.0)) - HALF_LOG_TAU - bend
    )
    tl.store(parameters + place, mean, inside)
    tl.store(parameters + place + width, deviation, inside)
    tl.store(action + wide + unit[None, :], tanh(before), inside)
    tl.store(log_prob + row, tl.sum(tl.where(inside, density, 0.0), 1), row < rows)


CATEGORICAL = Kernel(
    "categorical",
    _categorical,
    dict.fromkeys(("out", "uniform", "parameters", "stoch"), "*fp32")
    | {"index": "*i32", "rows": "i32", "classes": "i32:16", "mix": "fp32"},
)
GAUSSIAN = Kernel(
    "gaussian",
    _gaussian,
    dict.fromkeys(("out", "noise", "parameters", "stoch"), "*fp32")
    | {"rows": "i32", "width": "i32:16", "least": "fp32"},
)
SQUASHED = Kernel(
    "squashed",
    _squashed,
    dict.fromkeys(("out", "noise", "parameters", "action", "log_prob"), "*fp32")
    | {"rows": "i32", "width": "i32", "least": "fp32"},
)
KERNELS = {kernel.name: kernel for kernel in (CATEGORICAL, GAUSSIAN, SQUASHED)}


def categorical(
    out: Tensor,
    mix: float,
    parameters: Tensor,
    uniform: Tensor | None = None,
    index: Tensor | None = None,
    stoch: Tensor | None = None,
    tile: Tile | None = None,
) -> None:
    """out [rows, classes] -> parameters of the same shape; with uniform [rows] also index [rows]
    int32 and stoch [rows, classes], one-hot. All but index float32."""
    rows, classes = out.shape
    tile = tile or tile_for(CATEGORICAL, out.device, classes=classes)
    if rows:
        CATEGORICAL(
            (blocks(rows, tile.constants["ROWS"]),),
            tile,
            out,
            out if uniform is None else uniform,
            out if index is None else index,
            parameters,
            parameters if stoch is None else stoch,
            rows,
            classes,
            float(mix),
            PADDED=power_above(classes, 1),
            SAMPLES=uniform is not None,
        )


def gaussian(
    out: Tensor,
    least: float,
    parameters: Tensor,
    noise: Tensor | None = None,
    stoch: Tensor | None = None,
    tile: Tile | None = None,
) -> None:
    """out [rows, 2 width] -> parameters of the same shape; with noise [rows, width] also stoch of
    its shape. All float32."""
    rows, width = len(out), out.shape[1] // 2
    tile = tile or tile_for(GAUSSIAN, out.device, width=width)
    if rows:
        GAUSSIAN(
            (blocks(rows, tile.constants["ROWS"]),),
            tile,
            out,
            out if noise is None else noise,
            parameters,
            parameters if stoch is None else stoch,
            rows,
            width,
            float(least),
            PADDED=power_above(width, 1),
            SAMPLES=noise is not None,
        )


def squashed(
    out: Tensor,
    least: float,
    parameters: Tensor,
    noise: Tensor,
    action: Tensor,
    log_prob: Tensor,
    tile: Tile | None = None,
) -> None:
    """out [rows, 2 width] -> parameters of the same shape, and with noise [rows, width] action of
    its shape and log_prob [rows]. All float32."""
    rows, width = noise.shape
    tile = tile or tile_for(SQUASHED, out.device, width=width)
    if rows:
        SQUASHED(
            (blocks(rows, tile.constants["ROWS"]),),
            tile,
            out,
            noise,
            parameters,
            action,
            log_prob,
            rows,
            width,
            float(least),
            PADDED=power_above(width, 1),
        )

"""The nearest code of a codebook, exactly: float16 screens, float32 decides what is close.

    score_k = x . c_k + offset_k,   offset_k = -|c_k|^2 / 2, or 0

`screen` computes all scores on the tensor cores from x and c rounded to float16, with the two best
of each row. For every code |screened - score| <= e, where

    e = |x - x16| max |c|  +  |x16| max |c - c16|  +  the sums' own rounding,

so that a best which leads by more than 2 e is the nearest code whatever was rounded away. All other
rows, near ties, equal codes and everything that is not finite, go on a list, and `exact` scores
those in float32, where the lowest index wins among equals. Rows and codebook are scaled by powers
of two first, which loses nothing and keeps float16 in its range. Knows Triton and tensors; not the
op that is built of it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles import Tile
from .elementary import exponent, power_of_two
from .kernel import Kernel, blocks, multiprocessors, power_above, tile_for

WIDEST = 256  # of rows that screening takes; wider ones are scored in float32


@triton.jit
def _prepare(
    codebook, largest, screened, offset, limits, codes, EUCLIDEAN, WIDTH: tl.constexpr,
    PADDED: tl.constexpr, CODES: tl.constexpr,
):  # fmt: skip
    """float16 codes [.., PADDED], offsets [..], and the largest norm, loss and |offset| of a code.

    Padding codes are zeros with an offset of -infinity, so that none of them is ever the best.
    """
    code = tl.program_id(0) * CODES + tl.arange(0, CODES)
    column = tl.arange(0, PADDED)
    there = (code < codes)[:, None] & (column < WIDTH)[None, :]
    value = tl.load(codebook + code[:, None].to(tl.int64) * WIDTH + column[None, :], there, 0.0)
    up = power_of_two(tl.maximum(tl.minimum(13 - exponent(tl.load(largest)), 126), -126))
    scaled = value * up
    half = scaled.to(tl.float16)
    lost = scaled - half.to(tl.float32)
    tl.store(screened + code[:, None].to(tl.int64) * PADDED + column[None, :], half)
    square = tl.sum(value * value, 1)
    score = tl.where(EUCLIDEAN != 0, -0.5 * square, 0.0)
    tl.store(offset + code, tl.where(code < codes, score, float("-inf")))
    tl.store(limits, up)
    # Not negative, so that their bits order as the numbers do, with NaN above all of them.
    bits = limits.to(tl.pointer_type(tl.int32))
    tl.atomic_max(bits + 1, _largest_bits(tl.sqrt(tl.sum(scaled * scaled, 1))))
    tl.atomic_max(bits + 2, _largest_bits(tl.sqrt(tl.sum(lost * lost, 1))))
    tl.atomic_max(bits + 3, _largest_bits(score))


@triton.jit
def _largest_bits(numbers):
    """The bits of the largest |number|."""
    return tl.max(numbers.to(tl.int32, bitcast=True) & 0x7FFFFFFF, 0)


@triton.jit
def _screen(
    x, screened, offset, limits, codebook, index, quantized, listed, count, rows, codes,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BITS: tl.constexpr, ROWS: tl.constexpr,
    CODES: tl.constexpr,
):  # fmt: skip
    """index and quantized of the rows that have a clear best; the others' numbers on `listed`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, PADDED)
    there = row < rows
    inside = there[:, None] & (column < WIDTH)[None, :]
    place = row[:, None].to(tl.int64) * WIDTH + column[None, :]
    value = tl.load(x + place, inside, 0.0)
    largest = tl.max(tl.abs(value), 1)
    up = power_of_two(tl.maximum(tl.minimum(13 - exponent(largest), 126), -126))
    scaled = value * up[:, None]
    half = scaled.to(tl.float16)
    lost = scaled - half.to(tl.float32)
    norm = tl.sqrt(tl.sum(scaled * scaled, 1))
    loss = tl.sqrt(tl.sum(lost * lost, 1))
    code_up, code_norm = tl.load(limits), tl.load(limits + 1)
    code_loss, far = tl.load(limits + 2), tl.load(limits + 3)
    # What a score is worth where x and c are scaled.
    factor = up * code_up
    # Tensor cores may cut off bits of every addend: one unit in the last place of the largest sum
    # for each, twice what is needed. The rest is for the norms' and the offset's own rounding, and
    # for the low bits of a score, which give way to the number of its block.
    rounding = (PADDED + 32) * 2.384185791015625e-07 + (1 << BITS) * 1.1920928955078125e-07
    bound = loss * code_norm + (norm + loss) * code_loss
    bound = 1.001 * (bound + rounding * (norm * code_norm + far * factor))

    lane = tl.arange(0, CODES)
    best = tl.full((ROWS, CODES), float("-inf"), tl.float32)
    second = tl.full((ROWS, CODES), float("-inf"), tl.float32)
    for first in range(0, codes, CODES):
        code = first + lane
        block = tl.load(screened + code[None, :].to(tl.int64) * PADDED + column[:, None])
        score = tl.dot(half, block) + tl.load(offset + code)[None, :] * factor[:, None]
        bits = (score.to(tl.int32, bitcast=True) & -(1 << BITS)) | (first // CODES)
        # Padding's -infinity may be NaN now, which is never a maximum and must be the minimum here.
        score = bits.to(tl.float32, bitcast=True)
        least = tl.minimum(best, score, propagate_nan=tl.PropagateNan.ALL)
        second = tl.maximum(second, least)
        best = tl.maximum(best, score)
    top = tl.max(best, 1)
    winner = tl.min(tl.where(best == top[:, None], lane[None, :], CODES - 1), 1)
    won = lane[None, :] == winner[:, None]
    next_ = tl.max(tl.where(won, second, best), 1)
    found = (top.to(tl.int32, bitcast=True) & ((1 << BITS) - 1)) * CODES + winner
    # In float32 the true score must not overflow, or the row is an error that `exact` reports.
    sane = (bound < 3.0e38) & (norm * code_norm / factor < 1.0e37)
    clear = there & (top - next_ > 2.0 * bound) & sane
    tl.store(index + row, found.to(tl.int64), clear)
    nearest = tl.load(
        codebook + found[:, None].to(tl.int64) * WIDTH + column[None, :], clear[:, None] & inside
    )
    tl.store(quantized + place, nearest, clear[:, None] & inside)

    close = (there & (clear == 0)).to(tl.int32)
    total = tl.sum(close, 0)
    start = tl.atomic_add(count, total, mask=total > 0)
    tl.store(listed + start + tl.cumsum(close, 0) - 1, row, close != 0)


@triton.jit
def _exact(
    x, codebook, offset, index, quantized, listed, count, rows, codes, WIDTH: tl.constexpr,
    LISTED: tl.constexpr, ROWS: tl.constexpr, CODES: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """index and quantized of listed rows, or of all; index -1 for a row without a finite score."""
    if LISTED:
        rows = tl.load(count)
    for first_row in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = first_row + tl.arange(0, ROWS)
        there = row < rows
        if LISTED:
            row = tl.load(listed + row, there, 0)
        start = row[:, None].to(tl.int64) * WIDTH
        best = tl.full((ROWS,), float("-inf"), tl.float32)
        found = tl.zeros((ROWS,), tl.int32)
        for first in range(0, codes, CODES):
            code = first + tl.arange(0, CODES)
            score = tl.zeros((ROWS, CODES), tl.float32)
            for chunk in range(0, WIDTH, CHUNK):
                column = chunk + tl.arange(0, CHUNK)
                within = column < WIDTH
                left = tl.load(x + start + column[None, :], there[:, None] & within[None, :], 0.0)
                right = tl.load(
                    codebook + code[None, :].to(tl.int64) * WIDTH + column[:, None],
                    (code < codes)[None, :] & within[:, None],
                    0.0,
                )
                score = tl.dot(left, right, score, input_precision="ieee")
            score += tl.load(offset + code, code < codes, 0.0)[None, :]
            score = tl.where(score == score, score, float("inf"))  # NaN must not go unnoticed
            score = tl.where((code < codes)[None, :], score, float("-inf"))
            top = tl.max(score, 1)
            lowest = tl.min(tl.where(score == top[:, None], code[None, :], codes), 1)
            found = tl.where(top > best, lowest, found)
            best = tl.maximum(best, top)
        finite = tl.abs(best) < float("inf")
        tl.store(index + row, tl.where(finite, found, -1).to(tl.int64), there)
        for chunk in range(0, WIDTH, CHUNK):
            column = chunk + tl.arange(0, CHUNK)
            inside = there[:, None] & (column < WIDTH)[None, :]
            nearest = tl.load(
                codebook + found[:, None].to(tl.int64) * WIDTH + column[None, :], inside
            )
            tl.store(quantized + start + column[None, :], nearest, inside)


PREPARE = Kernel(
    "vq_prepare",
    _prepare,
    {
        "codebook": "*fp32",
        "largest": "*fp32",
        "screened": "*fp16",
        "offset": "*fp32",
        "limits": "*fp32",
        "codes": "i32",
        "EUCLIDEAN": "i32",
    },
)
SCREEN = Kernel(
    "vq_screen",
    _screen,
    {
        "x": "*fp32",
        "screened": "*fp16",
        "offset": "*fp32",
        "limits": "*fp32",
        "codebook": "*fp32",
        "index": "*i64",
        "quantized": "*fp32",
        "listed": "*i32",
        "count": "*i32",
        "rows": "i32",
        "codes": "i32:16",
    },
)
EXACT = Kernel(
    "vq_exact",
    _exact,
    {
        "x": "*fp32",
        "codebook": "*fp32",
        "offset": "*fp32",
        "index": "*i64",
        "quantized": "*fp32",
        "listed": "*i32",
        "count": "*i32",
        "rows": "i32",
        "codes": "i32",
    },
)
KERNELS = {kernel.name: kernel for kernel in (PREPARE, SCREEN, EXACT)}


class Codebook(NamedTuple):
    """A codebook [K, D] and what screening needs of it; `screened` is None where D is too wide."""

    codes: Tensor
    screened: Tensor | None
    offset: Tensor
    limits: Tensor
    padding: int


def prepare(codebook: Tensor, euclidean: bool = True, tile: Tile | None = None) -> Codebook:
    """codebook [K, D] float32: to be done again when it changes."""
    count, width = codebook.shape
    if width > WIDEST:
        half_squares = codebook.square().sum(-1).mul_(-0.5 if euclidean else 0.0)
        return Codebook(codebook, None, half_squares, codebook.new_zeros(4), count)
    tile = tile or tile_for(SCREEN, codebook.device, width=power_above(width))
    step = tile.constants["CODES"]
    padded = blocks(count, step) * step
    columns = power_above(width)
    own = tile_for(PREPARE, codebook.device)
    screened = codebook.new_empty(
        blocks(padded, own.constants["CODES"]) * own.constants["CODES"], columns, dtype=torch.half
    )
    offset = codebook.new_empty(len(screened))
    limits = codebook.new_zeros(4)
    largest = codebook.abs().amax().view(1)
    PREPARE(
        (len(screened) // own.constants["CODES"],),
        own,
        codebook,
        largest,
        screened,
        offset,
        limits,
        count,
        int(euclidean),
        WIDTH=width,
        PADDED=columns,
    )
    return Codebook(codebook, screened, offset, limits, padded)


def lookup(
    x: Tensor, book: Codebook, screen: Tile | None = None, exact: Tile | None = None
) -> tuple[Tensor, Tensor]:
    """x [N, D] float32 -> quantized [N, D], index [N] int64; -1 for a row that holds NaN, infinity
    or numbers whose products overflow, whose quantized row is then any code."""
    rows, width = x.shape
    quantized = torch.empty_like(x)
    index = torch.empty(rows, dtype=torch.int64, device=x.device)
    if not rows:
        return quantized, index
    exact = exact or tile_for(EXACT, x.device)
    listed = torch.empty(rows, dtype=torch.int32, device=x.device)
    count = torch.zeros(1, dtype=torch.int32, device=x.device)
    screening = book.screened is not None
    if screening:
        screen = screen or tile_for(SCREEN, x.device, width=power_above(width))
        SCREEN(
            (blocks(rows, screen.constants["ROWS"]),),
            screen,
            x,
            book.screened,
            book.offset,
            book.limits,
            book.codes,
            index,
            quantized,
            listed,
            count,
            rows,
            book.padding,
            WIDTH=width,
            PADDED=power_above(width),
            BITS=(book.padding // screen.constants["CODES"] - 1).bit_length(),
        )
    programs = blocks(rows, exact.constants["ROWS"])
    EXACT(
        (min(programs, 4 * multiprocessors(x.device)) if screening else programs,),
        exact,
        x,
        book.codes,
        book.offset,
        index,
        quantized,
        listed,
        count,
        rows,
        len(book.codes),
        WIDTH=width,
        LISTED=screening,
    )
    return quantized, index

"""The times of a case that is right: ours, and what others take for the same work.

Compiling takes seconds where everything else takes tenths, so that it comes last and in rounds: one
case of every kernel before a second of any, as far as the time reaches; what it does not reach is
noted in the row. Knows the clock, the peers and rows; decides nothing about what is right.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

import torch
from metabonk.kernels.architectures import Architecture
from metabonk.kernels.cases import Case

from . import peers
from .clock import flush, measure, sets_for_cold, wall
from .floors import floor
from .plain import Plain
from .report import Row

MOST_PASS = 0.02  # seconds of one pass over all sets of inputs; beyond, nothing is timed cold
Late = Callable[[], bool]


def fill(row: Row, case: Case, device: torch.device, at_best: Architecture, late: bool) -> None:
    """Floor, ours, and the peers that need no compiler. `late`: ours alone, warm."""
    best = floor(case.cost, at_best)
    if best is not None:
        row.floor, row.bound, row.bound_measured = best.seconds, best.bound, best.measured
    given = case.make(device, 0)
    ours = Plain(given, case.run, lambda run, inputs: run(inputs))
    warm = wall(ours.run) if case.waits else measure([ours.run])
    row.warm, row.spread = warm.seconds, warm.high - warm.low
    if late:
        row.note = "out of time for peers and cold inputs"
        return
    row.cold = _cold(ours, case, device, row.warm)
    for name, make in peers.AT_ONCE.items():
        _add(row, name, case, device, functools.partial(make, case, given))


def compile_in_rounds(
    rows: Sequence[Row], cases: Mapping[str, Case], device: torch.device, late: Late
) -> None:
    """torch.compile beside every row that was timed, as long as it is not late."""
    by_name = {row.case: row for row in rows if row.warm is not None}
    for name in in_rounds(list(by_name)):
        row, case = by_name[name], cases[name]
        if late():
            row.note += f"{peers.COMPILED}: out of time; "
            continue
        _add(row, peers.COMPILED, case, device, functools.partial(_compiled, case, device))
    torch.compiler.reset()


def _compiled(case: Case, device: torch.device) -> Plain | None:
    made = peers.compiled(case, case.make(device, 0))
    return None if made is None else made.compiled()


def in_rounds(names: Sequence[str]) -> list[str]:
    """The first of every kernel, then the second of every kernel, and so on."""
    kernels: dict[str, list[str]] = {}
    for name in names:
        kernels.setdefault(kernel_of(name), []).append(name)
    turns = zip_longest(*kernels.values())
    return [name for turn in turns for name in turn if name is not None]


def kernel_of(name: str) -> str:
    """A case's name up to its sizes: "linear bf16 x fp8" of "linear bf16 x fp8 64x960x2560"."""
    return re.split(r" (?=\d)", name, maxsplit=1)[0]


def _add(
    row: Row, name: str, case: Case, device: torch.device, make: Callable[[], Plain | None]
) -> None:
    """The peer's times, or in the note why there are none."""
    try:
        plain = make()
        if plain is None:
            return
        warm = (wall(plain.run) if case.waits else measure([plain.run])).seconds
        row.peers[name] = warm
        cold = _cold(plain, case, device, warm)
        if cold is not None:
            row.cold_peers[name] = cold
    except Exception as error:  # noqa: BLE001 - a peer that cannot is noted and left out
        row.note += f"{name}: {type(error).__name__}; "
        torch.cuda.synchronize(device)


def _cold(plain: Plain, case: Case, device: torch.device, warm: float) -> float | None:
    """Seconds where the second cache holds none of the inputs; None for work so long that the cache
    makes no difference."""
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    if case.waits:
        return wall(plain.run, before=flush(device, cache)).seconds
    count = sets_for_cold(case.cost.bytes, cache)
    if warm * count > MOST_PASS:
        return None
    sets = [plain, *(plain.again() for _ in range(count - 1))]
    return measure([one.run for one in sets]).seconds

"""`python -m metabonk.bench.gpu`: checks and times every kernel on the device that is there.

    --results FOLDER   where the result goes (bench/results)
    --pending FILE     where the cases that no GPU has seen are listed (bench/pending.json)
    --budget SECONDS   peers and cold times are left out once this is spent (240)
    --small            only right or wrong, on the small sizes: for compute-sanitizer
    --only TEXT        cases whose name holds this
    --list-pending     writes the pending file and ends; needs no GPU

Exit status: 0 all right, 1 a kernel is wrong or failed, 3 no device to measure on.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from metabonk.kernels.architectures import Architecture
from metabonk.kernels.cases import Case, cases

from . import cuda_frames, cuda_imagine, cuda_rssm, cuda_work, peers, report
from .clock import measure, sets_for_cold
from .device import NO_DEVICE, NoDeviceError, describe, require
from .floors import floor, floors, measured
from .report import Row

CUDA_WORK = (cuda_work, cuda_rssm, cuda_imagine, cuda_frames)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    given = _parser().parse_args(arguments)
    begun = time.monotonic()
    cuda = load_cuda()
    chosen = [c for c in all_cases(cuda) if given.only in c.name]
    if given.list_pending:
        _list_pending(given, chosen)
        return 0
    try:
        device = require()
    except NoDeviceError as error:
        print(f"gpu_check: nothing was measured: {error}", file=sys.stderr)
        return NO_DEVICE
    rows = [check(case, device) for case in chosen if not given.small or case.small]
    if given.small:
        print(report.table(rows))
        return int(wrong(rows))
    notes = [] if cuda is not None else ["metabonk._cuda is not built: its kernels are left out"]
    _write(given, device, {}, rows, [*notes, "not timed yet"], chosen)  # should the rest be cut off
    found = floors(device, cuda)
    at_best = measured(device, found)
    by_name = {case.name: case for case in chosen}
    for row in rows:
        if row.right and not by_name[row.case].small:
            late = time.monotonic() - begun > given.budget
            try:
                clock(row, by_name[row.case], device, at_best, late)
            except Exception as error:  # noqa: BLE001 - shown beside the case
                row.note = f"not timed: {type(error).__name__}: {error}"
    _write(given, device, found, rows, notes, chosen)
    _print(found, rows)
    return int(wrong(rows))


def wrong(rows: Sequence[Row]) -> bool:
    """Whether some case that ran was not right; those that a device cannot run do not count."""
    return any(row.error is not None and not row.right for row in rows)


def load_cuda() -> Any | None:
    """metabonk._cuda, or None where it is not built."""
    try:
        from metabonk import _cuda
    except ImportError:
        return None
    return _cuda


def all_cases(cuda: Any | None) -> list[Case]:
    """Of Triton's kernels, and of CUDA's where the module is there."""
    if cuda is None:
        return cases()
    return cases() + [c for work in CUDA_WORK for c in work.cases(cuda)]


def check(case: Case, device: torch.device) -> Row:
    """Right or wrong against float64, on fresh numbers."""
    row = Row(case.op, case.name)
    major, minor = torch.cuda.get_device_capability(device)
    if 10 * major + minor < case.minimum:
        row.note = f"needs {case.minimum // 10}.{case.minimum % 10}"
        return row
    seed = int.from_bytes(case.name.encode(), "little") % 2**31
    try:
        inputs = case.make(device, seed)
        results = case.run(inputs)
        torch.cuda.synchronize(device)
        row.error = case.error(inputs, results)
    except Exception as error:  # noqa: BLE001 - shown in the table, and the status says so
        row.error = float("inf")
        row.note = f"{type(error).__name__}: {error}"
        print(f"{case.name}: {row.note}", file=sys.stderr)
    return row


def clock(row: Row, case: Case, device: torch.device, at_best: Architecture, late: bool) -> None:
    """Fills in the times of a case that is right; `late`: ours alone, warm."""
    best = floor(case.cost, at_best)
    if best is not None:
        row.floor, row.bound, row.bound_measured = best.seconds, best.bound, best.measured
    inputs = case.make(device, 0)
    warm = measure([lambda: case.run(inputs)])
    row.warm, row.spread = warm.seconds, warm.high - warm.low
    if late:
        row.note = "out of time for peers and cold inputs"
        return
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    count = sets_for_cold(case.cost.bytes, cache)
    sets = [inputs, *(_like(inputs) for _ in range(count - 1))]
    row.cold = measure([lambda given=given: case.run(given) for given in sets]).seconds
    for peer in peers.PEERS:
        try:
            works = peers.works(peer, case, [inputs])
            if works is not None:
                row.peers[peer] = measure(works).seconds
        except Exception as error:  # noqa: BLE001 - a peer that cannot is noted and left out
            row.note += f"{peer}: {type(error).__name__}; "
            torch.cuda.synchronize(device)


def _like(inputs: Any) -> Any:
    """The same numbers in other memory."""
    return {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in inputs.items()}


def _write(
    given: argparse.Namespace, device: torch.device, found: dict[str, float], rows: list[Row],
    notes: list[str], chosen: list[Case],
) -> None:  # fmt: skip
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = report.write(given.results, describe(device), date, found, rows, notes)
    _list_pending(given, chosen)
    print(f"written to {path}")


def _print(found: Mapping[str, float], rows: Sequence[Row]) -> None:
    for name, value in found.items():
        print(f"{name}: {value:.4g}")
    print(report.table(rows))
    right, absent = sum(row.right for row in rows), sum(row.error is None for row in rows)
    print(f"{right} right, {len(rows) - right - absent} wrong, {absent} not for this device")


def _list_pending(given: argparse.Namespace, chosen: Sequence[Case]) -> None:
    names = [(case.op, case.name) for case in chosen]
    report.write_pending(given.pending, report.pending(names, report.met(given.results)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("bench/results"))
    parser.add_argument("--pending", type=Path, default=Path("bench/pending.json"))
    parser.add_argument("--budget", type=float, default=240.0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list-pending", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())

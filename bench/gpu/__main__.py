"""`python -m metabonk.bench.gpu`: checks and times every kernel on the device that is there.

    --results FOLDER   where the result goes (bench/results)
    --pending FILE     where the cases that no GPU has seen are listed (bench/pending.json)
    --budget SECONDS   peers and cold times are left out once this is spent (200); compiled peers
                       come last, one of every kernel before a second of any
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
from metabonk.kernels.cases import Case, cases

from . import contest, cuda_frames, cuda_imagine, cuda_rssm, cuda_work, report, tick
from .device import NO_DEVICE, NoDeviceError, describe, require
from .floors import floors, measured
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

    def late() -> bool:
        return time.monotonic() - begun > given.budget

    for row in rows:
        if row.right and not by_name[row.case].small:
            try:
                contest.fill(row, by_name[row.case], device, at_best, late())
            except Exception as error:  # noqa: BLE001 - shown beside the case
                row.note = f"not timed: {type(error).__name__}: {error}"
    _write(given, device, found, rows, [*notes, "compiled peers are not timed yet"], chosen)
    contest.compile_in_rounds(rows, by_name, device, late)
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
    """Of Triton's kernels and of graphs of ticks, and of CUDA's where the module is there."""
    found = cases() + tick.cases()
    if cuda is None:
        return found
    return found + [c for work in CUDA_WORK for c in work.cases(cuda)]


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
    for row in rows:
        if row.note and row.error is not None:
            print(f"{row.case}: {row.note.rstrip('; ')}")
    right, absent = sum(row.right for row in rows), sum(row.error is None for row in rows)
    print(f"{right} right, {len(rows) - right - absent} wrong, {absent} not for this device")


def _list_pending(given: argparse.Namespace, chosen: Sequence[Case]) -> None:
    names = [(case.op, case.name) for case in chosen]
    report.write_pending(given.pending, report.pending(names, report.met(given.results)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("bench/results"))
    parser.add_argument("--pending", type=Path, default=Path("bench/pending.json"))
    parser.add_argument("--budget", type=float, default=200.0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list-pending", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())

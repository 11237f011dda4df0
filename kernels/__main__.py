"""`python -m metabonk.kernels`: the compiled kernels, or the least times of their work, as tables.

    python -m metabonk.kernels                     every entry of configs/, compiled for its device
    python -m metabonk.kernels sm_90 --kernel vq   of one architecture, names that hold "vq"
    python -m metabonk.kernels --floors            bytes, operations and floors of every case
    python -m metabonk.kernels --limit             writes the limits in configs/ anew
    python -m metabonk.kernels --cuda              the kernels of the built CUDA module
    python -m metabonk.kernels --cuda --limit      writes machine_code.json anew

Needs Triton, or the CUDA module, and no GPU. The exit status is 1 if an entry does not keep its
limits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from . import machine_code
from .architectures import ARCHITECTURES
from .compile import TRITON, Built, build_all, faults
from .limits import rewrite
from .tiles import Tile, architectures, every


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what was asked for; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.floors:
        print(table(("case", "MB", "Gop", *floor_columns()), floors()))
        print("microseconds; * where what takes longest is a rate from a paper, not measured")
        return 0
    if given.cuda:
        return cuda(given)
    wanted = given.architectures or architectures()
    tiles = [t for t in every() if t.architecture in wanted and given.kernel in t.kernel]
    found = build_all(tiles, given.keep, given.jobs)
    if given.limit:
        if given.kernel:
            raise SystemExit("--limit writes whole files: without --kernel")
        rewrite(tiles, found)
        return 0
    wrong = {
        i: faults(built, tile) for i, (built, tile) in enumerate(zip(found, tiles, strict=True))
    }
    if given.json:
        rows = [dataclasses.asdict(b) | {"faults": wrong[i]} for i, b in enumerate(found)]
        print(json.dumps(rows))
    else:
        print(table(COLUMNS, (_cells(b, t) for b, t in zip(found, tiles, strict=True))))
        _summarise(tiles, wrong)
    return int(not found or any(wrong.values()))


def cuda(given: argparse.Namespace) -> int:
    """Prints the CUDA module's kernels, or writes what they need as limits; the exit status."""
    found = machine_code.built()
    if given.limit:
        if given.kernel or given.architectures:
            raise SystemExit("--limit writes whole files: without --kernel and architectures")
        machine_code.LIMITS.write_text(machine_code.declarations(found))
        return 0
    limits = json.loads(machine_code.LIMITS.read_text())
    found = [
        kernel
        for kernel in sorted(found, key=lambda kernel: int(kernel.architecture[3:]))
        if given.kernel in kernel.name
        and (not given.architectures or kernel.architecture in given.architectures)
    ]
    undeclared = {"registers": 0, "shared": 0, "needs": []}
    wrong = {
        kernel: machine_code.faults(
            kernel, limits.get(kernel.architecture, {}).get(kernel.name, undeclared)
        )
        for kernel in found
    }
    print(table(CUDA_COLUMNS, map(_cuda_cells, found)))
    print("shared: without what a launch adds for its sizes")
    for kernel, reasons in wrong.items():
        for reason in reasons:
            print(f"{kernel.architecture} {kernel.name}: {reason}")
    outside = sum(map(bool, wrong.values()))
    print(f"{len(found)} kernels, {outside} outside their limits")
    return int(not found or outside > 0)


CUDA_COLUMNS = ("device", "kernel", ">registers", ">shared", ">spilled", "instructions")


def _cuda_cells(kernel: machine_code.Kernel) -> tuple[str, ...]:
    counts = {name: kernel.count(name) for name in machine_code.WATCHED}
    return (
        kernel.architecture,
        kernel.name,
        str(kernel.registers),
        f"{kernel.shared / 1024:.1f}K",
        str(kernel.stack + kernel.local),
        " ".join(f"{name}:{count}" for name, count in counts.items() if count),
    )


def _summarise(tiles: Sequence[Tile], wrong: Mapping[int, Sequence[str]]) -> None:
    for i, reasons in wrong.items():
        for reason in reasons:
            print(f"{tiles[i].architecture} {tiles[i].name}: {reason}")
    if (here := version("triton")) != TRITON:
        print(f"limits are what Triton {TRITON} needs; this is {here}")
    outside = sum(map(bool, wrong.values()))
    print(f"{len(tiles)} kernels compiled, {outside} outside their limits")


COLUMNS = ("device", "kernel", "warps", ">registers", ">shared", ">spilled", "instructions")


def _cells(built: Built, tile: Tile) -> tuple[str, ...]:
    matrix = {n: c for n, c in built.instructions.items() if n not in ("LDL", "STL", "LDGSTS")}
    return (
        built.architecture,
        built.name,
        f"{tile.warps}x{tile.stages}",
        str(built.registers),
        f"{built.shared / 1024:.1f}K",
        str(built.stack + built.local),
        " ".join(f"{name}:{count}" for name, count in matrix.items()) or built.error,
    )


def floor_columns() -> list[str]:
    """One per device; those without one measured rate are marked."""
    return [
        f">{device.device}" + ("" if device.measured else ", unmeasured")
        for device in ARCHITECTURES.values()
    ]


def floors() -> Iterable[tuple[str, ...]]:
    """Case, megabytes, billions of operations, and the floor on every device in microseconds; a
    star where what bounds it is a rate from a paper."""
    from .cases import cases

    for case in cases():
        if case.small:
            continue
        row = [case.name, f"{case.cost.bytes / 1e6:.3g}"]
        row.append(f"{sum(case.cost.operations.values()) / 1e9:.3g}")
        for architecture in ARCHITECTURES:
            floor = case.cost.floor(architecture)
            if floor is None:
                row.append("-")
                continue
            star = "" if floor.measured else "*"
            row.append(f"{floor.seconds * 1e6:.2f}{star} {floor.bound}")
        yield tuple(row)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Plain text; a column's name that begins with > is aligned to the right."""
    body = [list(row) for row in rows]
    names = [name.lstrip(">") for name in columns]
    widths = [max(map(len, column)) for column in zip(names, *body, strict=True)]
    right = [name.startswith(">") for name in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (names, *body)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metabonk.kernels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("architectures", nargs="*", choices=[*ARCHITECTURES, []], default=[])
    parser.add_argument("--kernel", default="", help="a part of kernels' names")
    parser.add_argument("--floors", action="store_true", help="the least times instead")
    parser.add_argument("--limit", action="store_true", help="write what they need as limits")
    parser.add_argument("--cuda", action="store_true", help="of the built CUDA module instead")
    parser.add_argument("--keep", type=Path, help="folder that keeps results for the next run")
    parser.add_argument("--jobs", type=int, default=1, help="processes that compile")
    parser.add_argument("--json", action="store_true", help="as one list of objects")
    return parser


if __name__ == "__main__":
    sys.exit(main())

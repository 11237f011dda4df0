"""Kernels to machine code without a GPU, and what that code uses.

Triton compiles ahead of time for any architecture, and its wheel carries the assembler and the
disassembler. What is read off the machine code is checked against the limits of the entry in
configs: registers, shared memory, no spills, no stack, and the instructions that it declares. Knows
Triton's compiler; needs no driver. Must run in a process where Triton does not interpret.

Results may be kept in a folder by a hash of everything they follow from, so that a second run takes
no time.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .architectures import ARCHITECTURES
from .tiles import Tile

TRITON = "3.6.0"  # the version whose needs are the limits in configs
# Of matrix products: by warps on sm_80 and sm_120, by warpgroups on sm_90, from tensor memory on
# sm_100; and what moves tiles and what spills.
INSTRUCTIONS = (
    "HMMA", "IMMA", "QMMA", "OMMA", "HGMMA", "IGMMA", "QGMMA",
    "UTCHMMA", "UTCIMMA", "UTCQMMA", "UTCOMMA",
    "FFMA", "LDGSTS", "UTMALDG", "LDL", "STL",
)  # fmt: skip


@dataclass(frozen=True)
class Built:
    """What one entry became. registers: per thread; stack and local: bytes per thread; shared:
    bytes per block; instructions: how often each of INSTRUCTIONS stands in the code; size: of the
    code in bytes; seconds: that compiling took, 0 where it was kept; error: why there is none."""

    kernel: str
    architecture: str
    name: str
    registers: int = 0
    stack: int = 0
    local: int = 0
    shared: int = 0
    instructions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0
    error: str = ""


def faults(built: Built, tile: Tile) -> list[str]:
    """What does not hold of one entry; empty where all is well."""
    if built.error:
        return [f"does not compile: {built.error}"]
    found = []
    spills = sum(built.instructions.get(name, 0) for name in ("LDL", "STL"))
    if built.local or built.stack or spills:
        found.append(
            f"spills: {built.stack} bytes of stack, {built.local} of local memory, "
            f"{spills} instructions"
        )
    if built.registers > tile.registers:
        found.append(f"{built.registers} registers, at most {tile.registers} allowed")
    most = min(tile.shared, ARCHITECTURES[tile.architecture].shared)
    if built.shared > most:
        found.append(f"{built.shared} bytes of shared memory, at most {most} allowed")
    absent = [name for name in tile.instructions if name not in built.instructions]
    return [*found, *(f"no {name} in its code" for name in absent)]


def build(tiles: Sequence[Tile], keep: Path | None = None) -> Iterator[Built]:
    """One after the other, in order. keep: folder of earlier results, None keeps nothing."""
    from .triton import interpreting, kernels

    if interpreting():
        raise RuntimeError("Triton interprets in this process, so it cannot compile in it")
    known = kernels()
    for tile in tiles:
        if tile.kernel not in known:
            raise ValueError(f"{tile.architecture}: no kernel {tile.kernel!r} in kernels/triton")
        path = None if keep is None else keep / f"{_hash(known[tile.kernel], tile)}.json"
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            yield Built(**(stored | {"seconds": 0.0}))
            continue
        built = _build(known[tile.kernel], tile)
        if path is not None and not built.error:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(dataclasses.asdict(built)), encoding="utf-8")
        yield built


def build_all(tiles: Sequence[Tile], keep: Path | None = None, jobs: int = 1) -> list[Built]:
    """As `build`, in as many processes as `jobs`."""
    if jobs <= 1:
        return list(build(tiles, keep))
    shares = [tiles[i::jobs] for i in range(jobs)]
    context = multiprocessing.get_context("spawn")  # a fork would share the compiler's threads
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        parts = list(pool.map(_build_share, shares, [keep] * jobs))
    return [parts[i % jobs][i // jobs] for i in range(len(tiles))]


def _build_share(tiles: Sequence[Tile], keep: Path | None) -> list[Built]:
    return list(build(tiles, keep))


def _build(kernel: Any, tile: Tile) -> Built:
    import triton
    from triton.backends.compiler import GPUTarget

    started = time.perf_counter()
    target = GPUTarget("cuda", ARCHITECTURES[tile.architecture].capability, 32)
    names = tile.kernel, tile.architecture, tile.name
    source, options = _source(kernel, tile), {**tile.options, **kernel.options}
    try:
        compiled = triton.compile(source, target=target, options=options)
    except Exception as error:  # noqa: BLE001 - whatever the compiler raises is the finding
        lines = str(error).strip().splitlines() or [""]
        return Built(*names, error=f"{type(error).__name__}: {lines[-1][:300]}")
    code = compiled.asm["cubin"]
    usage, assembly = _disassemble(code)
    counts = Counter(re.findall(rf"\b({'|'.join(INSTRUCTIONS)})\b", assembly))
    return Built(
        *names,
        registers=usage["REG"],
        stack=usage["STACK"],
        local=usage["LOCAL"],
        shared=max(int(compiled.metadata.shared), usage["SHARED"]),
        instructions={name: counts[name] for name in INSTRUCTIONS if counts[name]},
        size=len(code),
        seconds=time.perf_counter() - started,
    )


def _source(kernel: Any, tile: Tile) -> Any:
    from triton.compiler import ASTSource

    constants = {**tile.constants, **tile.compile}
    order = kernel.function.arg_names
    unknown = [n for n in order if n not in constants and n not in kernel.types]
    if unknown or set(constants) - set(order):
        extra = sorted(set(constants) - set(order))
        raise ValueError(f"{tile.kernel}: no value for {unknown}, no argument for {extra}")
    signature, attributes = {}, {}
    for place, name in enumerate(order):
        kind = "constexpr" if name in constants else kernel.types[name]
        signature[name], _, multiple = kind.partition(":")
        if kind.startswith("*") or multiple:
            attributes[(place,)] = [["tt.divisibility", int(multiple or 16)]]
    fixed = {(order.index(name),): value for name, value in constants.items()}
    return ASTSource(kernel.function, signature, fixed, attributes)


def _disassemble(code: bytes) -> tuple[dict[str, int], str]:
    """What the code uses per thread and block, and its text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(code)
        usage = _tool("cuobjdump", "-res-usage", str(path))
        assembly = _tool("nvdisasm", "-c", str(path))
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", usage)
    if found is None:
        raise RuntimeError(f"cuobjdump said nothing of registers: {usage[:200]}")
    names = "REG", "STACK", "SHARED", "LOCAL"
    return dict(zip(names, map(int, found.groups()), strict=True)), assembly


def _tool(name: str, *arguments: str) -> str:
    """Output of a program from Triton's wheel."""
    import triton

    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=True
    ).stdout


def _hash(kernel: Any, tile: Tile) -> str:
    """Of Triton's version, this file, the kernel with all functions that it calls, and the entry
    without its limits."""
    import triton

    entry = [tile.architecture, dict(tile.constants), tile.options, dict(tile.compile)]
    parts = [kernel.function.cache_key, dict(kernel.types), dict(kernel.options), entry]
    digest = hashlib.sha256(triton.__version__.encode() + Path(__file__).read_bytes())
    digest.update(json.dumps(parts).encode())
    return digest.hexdigest()[:32]

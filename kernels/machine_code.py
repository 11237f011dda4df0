"""What the built module's kernels are made of: registers, memory and instructions per architecture.

Reads the machine code in metabonk._cuda itself, with cuobjdump and nvdisasm: those beside nvcc, or
those that Triton brings; machine_code.json declares what every kernel may use. Knows ELF files only
as bytes; no kernel.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMITS = Path(__file__).with_suffix(".json")
TOOLS = ("cuobjdump", "nvdisasm")
WATCHED = ("HMMA", "IMMA", "OMMA", "UTCOMMA", "UTCCP", "STAS", "LDSM", "LDGSTS")
FATBIN = struct.pack("<I", 0xBA55ED50)
HEADER = struct.Struct("<IHHQ")  # magic, version, bytes of the header, bytes behind it
FUNCTION = re.compile(
    r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", re.MULTILINE
)
TEXT = re.compile(r"^\s*\.section\s+\.text\.(\S+?),", re.MULTILINE)
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)")


@dataclass(frozen=True)
class Kernel:
    """One kernel's code for one architecture, "sm_90" and the like. name: without arguments, as in
    LinearKernel<Fp8Codes, true>. registers per thread; stack and local in bytes a thread; shared:
    bytes a block, without what a launch adds for its sizes; instructions: all, in order, with their
    modifiers."""

    name: str
    architecture: str
    registers: int
    stack: int
    shared: int
    local: int
    instructions: tuple[str, ...]

    def count(self, start: str) -> int:
        """Instructions that begin with this."""
        return sum(i.startswith(start) for i in self.instructions)

    @property
    def spills(self) -> int:
        """Instructions that read or write local memory."""
        return self.count("STL") + self.count("LDL")


def tool(name: str) -> str | None:
    """cuobjdump or nvdisasm, or None where neither CUDA nor Triton brings it."""
    if found := shutil.which(name):
        return found
    candidates = []
    if nvcc := shutil.which("nvcc"):
        candidates.append(Path(nvcc).resolve().parent / name)
    triton = importlib.util.find_spec("triton")
    if triton is not None and triton.origin is not None:
        candidates.append(Path(triton.origin).parent / "backends" / "nvidia" / "bin" / name)
    return next((str(path) for path in candidates if path.exists()), None)


def missing() -> str:
    """What keeps the built module from being read here; empty if nothing does."""
    found = importlib.util.find_spec("metabonk._cuda")
    if found is None or found.origin is None:
        return "metabonk._cuda is not built: no nvcc, or METABONK_CUDA is OFF"
    lacking = [name for name in TOOLS if tool(name) is None]
    return f"needs {' and '.join(lacking)}, of CUDA or of Triton" if lacking else ""


def built() -> list[Kernel]:
    """Of metabonk._cuda. Raises RuntimeError with what is `missing`."""
    if why := missing():
        raise RuntimeError(why)
    module = importlib.util.find_spec("metabonk._cuda")
    assert module is not None
    assert module.origin is not None
    with tempfile.TemporaryDirectory() as folder:
        return kernels(Path(module.origin), Path(folder))


def kernels(module: Path, folder: Path) -> list[Kernel]:
    """Of a shared object with device code. folder: for the parts that the tools read."""
    found: list[Kernel] = []
    for i, code in enumerate(_fatbins(module.read_bytes())):
        part = folder / f"{i}.fatbin"
        part.write_bytes(code)
        _run("cuobjdump", "-xelf", "all", part.name, folder=folder)
        for cubin in sorted(folder.glob(f"{i}.*.cubin")):
            found += _of_cubin(cubin)
            cubin.unlink()
    return found


def _fatbins(data: bytes) -> Iterator[bytes]:
    at = data.find(FATBIN)
    while at >= 0:
        _, version, header, size = HEADER.unpack_from(data, at)
        if version == 1 and header == HEADER.size and at + header + size <= len(data):
            yield data[at : at + header + size]
            at += header + size - 1
        at = data.find(FATBIN, at + 1)


def _of_cubin(cubin: Path) -> Iterator[Kernel]:
    match = re.search(r"sm_\d+", cubin.name)
    assert match is not None, cubin
    usage = _run("cuobjdump", "-res-usage", str(cubin))
    code = _instructions(_run("nvdisasm", "-c", str(cubin)))
    for mangled, *numbers in FUNCTION.findall(usage):
        registers, stack, shared, local = map(int, numbers)
        name = _name(mangled)
        yield Kernel(name, match[0], registers, stack, shared, local, code.get(mangled, ()))


def _instructions(text: str) -> dict[str, tuple[str, ...]]:
    parts = TEXT.split(text)
    return {
        name: tuple(m[1] for m in map(INSTRUCTION.match, body.splitlines()) if m is not None)
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def _name(mangled: str) -> str:
    plain = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    plain = re.sub(
        r"^void |metabonk::cuda::|\(anonymous namespace\)::|_GLOBAL__N__\w+::", "", plain
    )
    return re.sub(r"\((?:\)|Metabonk|int|void|float|unsigned).*$", "", plain).strip()


def _run(name: str, *arguments: str, folder: Path | None = None) -> str:
    program = tool(name)
    assert program is not None, f"no {name}"
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout


def faults(kernel: Kernel, limits: Mapping[str, Any]) -> list[str]:
    """Why a kernel is not what it was declared to be; nothing if it is.

    limits: registers and shared, the most that it may have; needs, starts of instructions that must
    be there.
    """
    found = []
    if kernel.registers > limits["registers"]:
        found.append(f"{kernel.registers} registers, at most {limits['registers']} are declared")
    if kernel.shared > limits["shared"]:
        found.append(f"{kernel.shared} bytes of shared memory, at most {limits['shared']}")
    if kernel.stack or kernel.local:
        found.append(f"{kernel.stack} bytes of stack, {kernel.local} of local memory")
    if kernel.spills:
        found.append(f"{kernel.spills} instructions that spill")
    found += [f"no {need}" for need in limits["needs"] if not kernel.count(need)]
    return found


def declaration(kernel: Kernel) -> dict[str, Any]:
    """Limits that a kernel keeps as it is, registers rounded up to what hardware hands out."""
    return {
        "registers": -(-kernel.registers // 8) * 8,
        "shared": kernel.shared,
        "needs": [name for name in WATCHED if kernel.count(name)],
    }


def declarations(found: Iterable[Kernel]) -> str:
    """The text of machine_code.json that these kernels keep as they are."""
    table: dict[str, dict[str, Any]] = {}
    for kernel in found:
        table.setdefault(kernel.architecture, {})[kernel.name] = declaration(kernel)
    rows = [
        f'  "{architecture}": {{\n'
        + ",\n".join(f'    "{name}": {json.dumps(row)}' for name, row in sorted(of.items()))
        + "\n  }"
        for architecture, of in table.items()
    ]
    return "{\n" + ",\n".join(rows) + "\n}\n"

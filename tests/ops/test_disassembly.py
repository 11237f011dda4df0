"""The loops that must keep their sums in registers do: read from the built core itself.

g++ 12 stores sums of byte products to memory in every round of a loop where the intrinsic is used
on many of them, at half the speed; results stay right, so that only the machine code tells. A loop
here is what lies between a jump backwards and where it jumps to, without loops inside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from metabonk import _core

LINE = re.compile(r"^\s*([0-9a-f]+):\s+(\S.*?)\s*$")
JUMP = re.compile(r"^j\w+\s+([0-9a-f]+)\b")
# A vector of 512 bits that goes to memory, wherever that is.
STORE = re.compile(r"^vmov\w+\s+%zmm\d+(\{%k\d\})?,[^%]*\(|^vmov\w+\s+%zmm\d+,-?0x[0-9a-f]+\(")
# Products in the innermost loop of six rows by four panels: one unit of bytes, four pairs of bf16.
LOOPS = {"vpdpbusd": 24, "vdpbf16ps": 96}


def disassembled(path: Path | str) -> Iterator[tuple[int, str]]:
    """(address, instruction) of an object file, shared or not."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("needs objdump")
    command = [objdump, "-d", "--no-show-raw-insn", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := LINE.match(line):
                yield int(found[1], 16), found[2]


def innermost_loops(instructions: Iterable[tuple[int, str]]) -> Iterator[list[str]]:
    """The instructions of every loop that has no jump inside."""
    run: list[tuple[int, str]] = []
    for at, text in instructions:
        run.append((at, text))
        if jump := JUMP.match(text):
            target = int(jump[1], 16)
            if target <= at and target >= run[0][0]:
                yield [t for a, t in run if a >= target]
        if text.startswith(("j", "ret", "call")):
            run = []


def spills(loop: list[str]) -> list[str]:
    """Stores of whole vectors: a loop of products only reads until it is done."""
    return [text for text in loop if STORE.match(text)]


@pytest.fixture(scope="module")
def loops() -> list[list[str]]:
    """Those of the core, where there are products at all."""
    with open(str(_core.__file__), "rb") as file:
        if file.read(20)[18:20] != b"\x3e\x00":
            pytest.skip("needs a core built for x86-64")
    found = innermost_loops(disassembled(str(_core.__file__)))
    return [loop for loop in found if any(product in text for text in loop for product in LOOPS)]


@pytest.mark.parametrize("product", LOOPS)
def test_sums_of_products_stay_in_registers(loops: list[list[str]], product: str) -> None:
    count = LOOPS[product]
    wanted = [b for b in loops if sum(text.startswith(product) for text in b) == count]
    assert wanted, f"no loop of {count} {product}"
    for loop in wanted:
        assert not spills(loop)


@pytest.mark.parametrize("product", LOOPS)
def test_no_loop_of_products_at_all_stores_vectors(loops: list[list[str]], product: str) -> None:
    """Those of fewer rows and panels, and of the formats that are decoded on the way."""
    for loop in loops:
        if any(text.startswith(product) for text in loop):
            assert not spills(loop), "\n".join(loop)


# What g++ 12 makes of an array of sums: each is loaded, added to and stored again.
SPILLING = """
.text
loop:
    vmovdqu64 (%rdi), %zmm1
    vmovdqa64 {place}, %zmm0
    vpdpbusd %zmm1, %zmm2, %zmm0
    vmovdqa64 %zmm0, {place}
    add $64, %rdi
    cmp %rsi, %rdi
    jne loop
    vmovdqu64 %zmm0, (%rdx)
    ret
"""
KEEPING = "\n".join(line for line in SPILLING.splitlines() if "{place}" not in line)


@pytest.mark.parametrize("place", ["-0x40(%rsp)", "0x80(%rbp)", "(%r10)", "0x40(%rsp,%rax,8)"])
def test_the_check_sees_a_sum_that_is_stored(tmp_path: Path, place: str) -> None:
    """The negative control: the same loop with a sum in memory and with one in a register."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs an assembler")
    found = []
    for name, text in (("spilling", SPILLING.format(place=place)), ("keeping", KEEPING)):
        source, made = tmp_path / f"{name}.s", tmp_path / f"{name}.o"
        source.write_text(text)
        done = subprocess.run([compiler, "-c", source, "-o", made], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the assembler does not know VNNI: {done.stderr.splitlines()[0]}")
        (loop,) = innermost_loops(disassembled(made))
        assert sum(text.startswith("vpdpbusd") for text in loop) == 1
        found.append(spills(loop))
    assert len(found[0]) == 1
    assert found[1] == []  # the store behind the loop is none of it

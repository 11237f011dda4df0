"""The loops that must keep their sums in registers do: read from the built core itself.

g++ 12 stores sums of byte products to memory in every round of a loop where the intrinsic is used
on many of them, at half the speed; results stay right, so that only the machine code tells.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from metabonk import _core

STORE = re.compile(r"vmov\w+\s+%zmm\d+,\S*\(%rsp\)|vmov\w+\s+%zmm\d+,\S*\(%rbp\)")
# Products in the innermost loop of six rows by four panels: one unit of bytes, four pairs of bf16.
LOOPS = {"vpdpbusd": 24, "vdpbf16ps": 96}


@pytest.fixture(scope="module")
def blocks() -> list[list[str]]:
    """The core's instructions, parted at jumps and returns, where there are products at all."""
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("needs objdump")
    with open(str(_core.__file__), "rb") as file:
        if file.read(20)[18:20] != b"\x3e\x00":
            pytest.skip("needs a core built for x86-64")
    return list(_blocks(objdump))


def _blocks(objdump: str) -> Iterator[list[str]]:
    command = [objdump, "-d", "--no-show-raw-insn", "--no-addresses", str(_core.__file__)]
    block: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            block.append(line.strip())
            if line.lstrip().startswith(("j", "ret")):
                if any(product in "".join(block) for product in LOOPS):
                    yield block
                block = []


@pytest.mark.parametrize("product", LOOPS)
def test_sums_of_products_stay_in_registers(blocks: list[list[str]], product: str) -> None:
    count = LOOPS[product]
    loops = [b for b in blocks if sum(line.startswith(product) for line in b) == count]
    assert loops, f"no loop of {count} {product}"
    for loop in loops:
        first = next(i for i, line in enumerate(loop) if line.startswith(product))
        assert not [line for line in loop[first:] if STORE.search(line)]

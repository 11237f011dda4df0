"""machine.own_bytes: what a process has for itself, and nothing that it shares."""

from __future__ import annotations

import mmap

import pytest

from metabonk import machine

SIZE = 64 << 20


@pytest.mark.parametrize(("flags", "counts"), [(mmap.MAP_PRIVATE, True), (mmap.MAP_SHARED, False)])
def test_shared_memory_is_not_its_own(flags: int, counts: bool) -> None:
    before = machine.own_bytes()
    assert before > 0
    with mmap.mmap(-1, SIZE, flags | mmap.MAP_ANONYMOUS) as memory:
        for page in range(0, SIZE, mmap.PAGESIZE):
            memory[page] = 1
        grown = machine.own_bytes() - before
    assert (grown > SIZE // 2) == counts

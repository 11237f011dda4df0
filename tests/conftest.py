"""Torch on one thread in every test: small networks are quickest so, several test processes share
the machine, and sums round otherwise over several threads. Runs choose for themselves, and leave
what they chose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _one_thread_again() -> Iterator[None]:
    yield
    torch.set_num_threads(1)

"""Fixtures of the CUDA kernels' tests."""

from __future__ import annotations

import emulated_device
import pytest


@pytest.fixture(scope="session")
def emulated() -> emulated_device.Emulated:
    return emulated_device.build()

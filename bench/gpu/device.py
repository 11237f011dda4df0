"""The device that is measured, and everything that a figure depends on. Knows torch and what the
driver says; starts nothing."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from typing import Any

import torch

NO_DEVICE = 3  # exit status of what has nothing to run on
PACKAGES = ("torch", "triton", "numpy", "cupy-cuda13x", "nvidia-cublas", "nvidia-cudnn-cu13")


class NoDeviceError(RuntimeError):
    """There is nothing to measure on; the message says why."""


def require() -> torch.device:
    """The current CUDA device. Raises NoDeviceError where there is none."""
    if torch.version.cuda is None:
        raise NoDeviceError(f"torch {torch.__version__} is built without CUDA")
    if not torch.cuda.is_available():
        raise NoDeviceError("torch finds no CUDA device")
    return torch.device("cuda", torch.cuda.current_device())


def describe(device: torch.device) -> dict[str, Any]:
    """Plain data: name, capability, sizes, versions."""
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "capability": [found.major, found.minor],
        "multiprocessors": found.multi_processor_count,
        "memory_bytes": found.total_memory,
        "l2_bytes": found.L2_cache_size,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def _driver() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 else "unknown"

"""Where figures were taken: the machine and the versions of everybody who took part."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from typing import Any

import msgspec

from metabonk import _core, machine

PACKAGES = (
    "metabonk",
    "numpy",
    "torch",
    "triton",
    "gymnasium",
    "envpool",
    "stable-baselines3",
    "vizdoom",
    "opencv-python-headless",
    "vector-quantize-pytorch",
    "faiss-cpu",
    "ncps",
    "tensordict",
    "torchrl",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "iceoryx2",
    "pillow",
    "av",
    "pyzmq",
)


@functools.cache
def _constant() -> dict[str, Any]:
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    here = msgspec.to_builtins(machine.describe())
    return {**here, "extension": str(_core.support.active_extension()), "versions": versions}


def description() -> dict[str, Any]:
    """Processor, tier and what it has beyond AVX-512, threads and versions as plain data; stored
    with every result."""
    torch = sys.modules.get("torch")
    return {**_constant(), "torch_threads": torch.get_num_threads() if torch else 0}

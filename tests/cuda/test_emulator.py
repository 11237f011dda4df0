"""The emulated device finds what it is there to find: kernels with a fault planted in them fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import emulated_device
import numpy as np
import pytest
from test_cfc import TOLERANCE, arguments, run, wanted

BARRIER = "      __syncthreads();\n      FinishBackbone(step);\n"
SWAPPED = "LoadMatrices(a, rows + lane % 16 * stride + step * kDepth + lane / 16 * 8);"
FAULTS = {
    "a missing barrier": ("cfc.cu", BARRIER, "      FinishBackbone(step);\n"),
    "a fragment in another order": (
        "device/product.cuh",
        SWAPPED,
        SWAPPED.replace("lane % 16", "lane / 2").replace("lane / 16", "lane % 2"),
    ),
    "a message to the wrong row": ("cfc.cu", "row * (depth + kPad)", "(row ^ 1) * (depth + kPad)"),
    "a barrier that expects too much": ("cfc.cu", "kRows * layout.z_tiles", "17 * layout.z_tiles"),
    "a write beyond shared memory": ("cfc.cu", "bytes = at;", "bytes = at - 256;"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, tmp_path: Path) -> None:
    name, right, wrong = FAULTS[fault]
    source = tmp_path / "cuda"
    shutil.copytree(emulated_device.KERNELS, source)
    text = (source / name).read_text()
    assert text.count(right) == 1, f"the fault no longer fits {name}"
    (source / name).write_text(text.replace(right, wrong))
    faulty = emulated_device.build(source, "cfc.cu")
    given = arguments(3, 5, 24, 72, 88)
    reference = wanted(given)["out"]
    found = []
    for seed in range(4):  # some orders of the threads hide a missing barrier
        try:
            out = run(faulty, given, seed=seed, saving=False)["out"]
            found.append(not np.abs(out - reference).max() < TOLERANCE)
        except AssertionError:
            found.append(True)
    assert any(found)

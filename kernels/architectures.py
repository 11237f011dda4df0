"""What the architectures that kernels are built for can move and compute.

Data and nothing else: rates from NVIDIA's white papers (dense, accumulating in float32, boost
clocks), or measured by us where `measured` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FP32, TF32, BF16, FP8, INT8, FP4 = "fp32", "tf32", "bf16", "fp8", "int8", "fp4"


@dataclass(frozen=True)
class Architecture:
    """One kind of device.

    capability: major times ten plus minor. bandwidth: of device memory, bytes per second. rates:
    operations per second by unit, a multiply-add counting as two. shared: bytes of shared memory
    that a block may use. node: seconds that a node of a CUDA graph takes at least, None where
    nobody has measured it. measured: names of what was measured and not read in a paper.
    """

    name: str
    device: str
    capability: int
    bandwidth: float
    rates: Mapping[str, float]
    shared: int
    node: float | None = None
    measured: frozenset[str] = field(default=frozenset())


_TERA = 1e12

ARCHITECTURES: Mapping[str, Architecture] = {
    "sm_90": Architecture(
        "sm_90",
        "H100 SXM",
        90,
        3.0 * _TERA,
        {
            FP32: 67 * _TERA,
            TF32: 494 * _TERA,
            BF16: 798 * _TERA,
            FP8: 1979 * _TERA,
            INT8: 1979 * _TERA,
        },
        shared=227 * 1024,
        node=1.3e-6,
        measured=frozenset({"bandwidth", BF16, "node"}),
    ),
    "sm_100": Architecture(
        "sm_100",
        "B200",
        100,
        8.0 * _TERA,
        {
            FP32: 75 * _TERA,
            TF32: 1100 * _TERA,
            BF16: 2250 * _TERA,
            FP8: 4500 * _TERA,
            INT8: 4500 * _TERA,
            FP4: 9000 * _TERA,
        },
        shared=227 * 1024,
    ),
    "sm_120": Architecture(
        "sm_120",
        "RTX 5090",
        120,
        1.792 * _TERA,
        {
            FP32: 104.8 * _TERA,
            TF32: 104.8 * _TERA,
            BF16: 209.5 * _TERA,
            FP8: 419 * _TERA,
            INT8: 838 * _TERA,
            FP4: 1676 * _TERA,
        },
        shared=99 * 1024,
    ),
}


def architecture_for(capability: tuple[int, int]) -> str:
    """Whose tiles a device takes: its own, or those of the nearest that asks no more of it.

    capability: as `torch.cuda.get_device_capability` says. Devices of the families 8 and 12 have
    `mma.sync` and, the least of them, 99 KB of shared memory. Raises ValueError for older ones.
    """
    major, minor = capability
    if major == 9:
        return "sm_90"
    if major in (10, 11):
        return "sm_100"
    if major >= 12 or major == 8:
        return "sm_120"
    raise ValueError(f"capability {major}.{minor}: kernels are built for 8.0 and newer")

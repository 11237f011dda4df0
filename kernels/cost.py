"""The least that a piece of work must move and compute, and the time that a device needs for it.

Every input is read once and every output written once, whatever a kernel does beyond that. Knows
devices' rates; no kernel. (Williams, Waterman and Patterson 2009, the roofline model.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .architectures import ARCHITECTURES


@dataclass(frozen=True)
class Floor:
    """seconds: no version runs faster; bound: what takes them, "bytes", a unit or "nodes";
    measured: whether the rate in it was measured and not read in a paper."""

    seconds: float
    bound: str
    measured: bool


@dataclass(frozen=True)
class Cost:
    """read, written: bytes of device memory. operations: by unit (architectures.py), a multiply-add
    counts as two. nodes: launches that depend on each other, at least one."""

    read: int
    written: int
    operations: Mapping[str, int] = field(default_factory=dict)
    nodes: int = 1

    @property
    def bytes(self) -> int:
        return self.read + self.written

    def floor(self, architecture: str) -> Floor | None:
        """The longest of moving the bytes, each unit's operations, and the chain of launches;
        None where the device lacks the unit."""
        device = ARCHITECTURES[architecture]
        if not set(self.operations) <= set(device.rates):
            return None
        times = {"bytes": self.bytes / device.bandwidth}
        times |= {unit: n / device.rates[unit] for unit, n in self.operations.items()}
        if device.node is not None:
            times["nodes"] = self.nodes * device.node
        bound = max(times, key=times.__getitem__)
        named = {"bytes": "bandwidth", "nodes": "node"}.get(bound, bound)
        return Floor(times[bound], bound, named in device.measured)

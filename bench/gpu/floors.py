"""What the device reaches at most, measured in the same run: the ceilings for all ops.

Bandwidth of a large copy (read and written), large products, a node of a graph, a meeting of all
blocks, a meeting of a cluster. Knows torch and metabonk._cuda.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from metabonk.kernels.architectures import ARCHITECTURES, BF16, FP8, INT8, TF32, Architecture
from metabonk.kernels.architectures import architecture_for as nearest
from metabonk.kernels.cost import Cost, Floor

from .clock import measure

COPY_BYTES = 1 << 30
SIDE = 8192
ROUNDS = 1000


def floors(device: torch.device, cuda: Any | None) -> dict[str, float]:
    """Seconds, bytes or operations per second by name. cuda: metabonk._cuda, or None without it."""
    found = {"bandwidth": bandwidth(device)}
    for name, work in _products(device).items():
        found[name] = 2.0 * SIDE**3 / measure([work]).seconds
    if cuda is not None:
        found |= _meetings(device, cuda)
    return found


def bandwidth(device: torch.device) -> float:
    """Bytes per second of a copy, those read and those written counted."""
    source = torch.randint(0, 256, (COPY_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2.0 * COPY_BYTES / measure([lambda: target.copy_(source)]).seconds


def _products(device: torch.device) -> dict[str, Any]:
    a, b = (torch.randn(SIDE, SIDE, device=device) for _ in range(2))
    half = a.bfloat16(), b.bfloat16()
    works: dict[str, Any] = {BF16: lambda: half[0] @ half[1]}
    codes = [t.mul(30).clamp(-127, 127).to(torch.int8) for t in (a, b)]
    works[INT8] = lambda: torch._int_mm(codes[0], codes[1].t())
    if torch.cuda.get_device_capability(device) >= (8, 9):
        eight = [t.to(torch.float8_e4m3fn) for t in (a, b)]
        one = torch.ones((), device=device)
        works[FP8] = lambda: torch._scaled_mm(
            eight[0], eight[1].t(), one, one, out_dtype=torch.bfloat16
        )

    def tf32() -> torch.Tensor:
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            return a @ b
        finally:
            torch.backends.cuda.matmul.allow_tf32 = False

    return works | {TF32: tf32}


def _meetings(device: torch.device, cuda: Any) -> dict[str, float]:
    def stream() -> int:
        return int(torch.cuda.current_stream(device).cuda_stream)

    found = {"node": measure([lambda: cuda.nothing(stream())]).seconds}
    counter = torch.zeros(1, dtype=torch.int32, device=device)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    seconds, first = [], 0
    for _ in range(5):  # outside of a graph: the counter goes on
        begin.record()
        first += ROUNDS * cuda.meet(counter.data_ptr(), first, ROUNDS, stream())
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    found["grid_meeting"] = min(seconds) / ROUNDS
    if torch.cuda.get_device_capability(device) >= (9, 0):
        many = measure([lambda: cuda.meet_cluster(ROUNDS, stream())]).seconds
        found["cluster_meeting"] = (many - found["node"]) / ROUNDS
    return found


def measured(device: torch.device, found: dict[str, float]) -> Architecture:
    """The device with what was measured in place of what papers say."""
    base = ARCHITECTURES[nearest(torch.cuda.get_device_capability(device))]
    rates = dict(base.rates) | {k: v for k, v in found.items() if k in base.rates}
    names = {"bandwidth", "node", *rates} & set(found)
    return replace(
        base,
        device=torch.cuda.get_device_name(device),
        bandwidth=found["bandwidth"],
        rates=rates,
        node=found.get("node", base.node),
        measured=frozenset(names),
    )


def floor(cost: Cost, device: Architecture) -> Floor | None:
    """The least time of a piece of work on a device as it was measured; None without the unit."""
    if not set(cost.operations) <= set(device.rates):
        return None
    times = {"bandwidth": cost.bytes / device.bandwidth}
    times |= {unit: n / device.rates[unit] for unit, n in cost.operations.items()}
    if device.node is not None:
        times["node"] = cost.nodes * device.node
    bound = max(times, key=times.__getitem__)
    return Floor(times[bound], bound, bound in device.measured)

"""`python -m metabonk.bench.gpu.profile --only TEXT`: some cases, a few times each, for a profiler.

With --quiet an outer profiler (Nsight) watches and this only runs the work inside named ranges of
NVTX; otherwise torch's own profiler does, and its table and trace, with the same ranges, are kept.
Exit status 3: no device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from metabonk.kernels import ranges
from metabonk.kernels.cases import Case

from .device import NO_DEVICE, NoDeviceError, require

RUNS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="gpu_profile")
    parser.add_argument("--only", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args(arguments)
    try:
        device = require()
    except NoDeviceError as error:
        print(f"gpu_profile: nothing was run: {error}", file=sys.stderr)
        return NO_DEVICE
    ranges.enable(ranges.nvtx() if given.quiet else ranges.TorchProfiler())
    from .__main__ import all_cases, load_cuda  # not before: ops ask once whether anybody watches

    chosen = [case for case in all_cases(load_cuda()) if given.only in case.name]
    if not chosen:
        print(f"gpu_profile: no case's name holds {given.only!r}", file=sys.stderr)
        return 1
    if given.quiet:
        _run(chosen, device)
        return 0
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        _run(chosen, device)
    print(profile.key_averages().table(sort_by="cuda_time_total", row_limit=30))
    profile.export_chrome_trace(str(given.out / "trace.json"))
    return 0


def _run(chosen: Sequence[Case], device: torch.device) -> None:
    for case in chosen:
        inputs = case.make(device, 0)
        case.run(inputs)  # compiles and loads outside of the range
        torch.cuda.synchronize(device)
        with ranges.named("case"), ranges.named(case.name):
            for _ in range(RUNS):
                case.run(inputs)
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())

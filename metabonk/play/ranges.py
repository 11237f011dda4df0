"""Native ticks as named ranges of a profile, where a profiler that takes NVTX is attached.

A range `tick` holds one `agent N` each, and that `find`, `decide`, `directive` and `act`; a plan's
or an op's ranges, where Python runs some, are metabonk.ops'. Knows whether a profiler is attached;
what a range is and where it goes is csrc/support/ranges.h's.
"""

from __future__ import annotations

import warnings

from metabonk import _core
from metabonk.environment import profiler


def watch() -> None:
    """From now on ticks are ranges if a profiler is attached; else nothing changes. Warns where one
    is and cannot be spoken to."""
    if not profiler():
        return
    try:
        _core.support.enable_nvtx()
    except RuntimeError as error:
        warnings.warn(f"a profiler is attached, but sees no ticks: {error}", stacklevel=2)

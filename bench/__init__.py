"""Speed beside other systems, as ratios measured in one run.

Knows every room below and the peers in `peers/`. Nothing but the command line imports it; importing
it loads neither Torch nor a peer. A suite is a module with `cases()`; `metabonk bench` and
`pytest bench --benchmark-only` run the same cases through the same `versus` and come to the same
`verdict` by the same `gates.toml`.
"""

from __future__ import annotations

import importlib
from typing import Any

_FROM = {
    **dict.fromkeys(("Row", "verdict"), "gates"),
    **dict.fromkeys(("SUITES", "chosen", "each"), "suites"),
}
__all__ = ["SUITES", "Row", "chosen", "each", "verdict"]


def __getattr__(name: str) -> Any:
    """Imported when used: bench.gpu runs where the base package's requirements are absent."""
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_FROM[name]}", __name__), name)

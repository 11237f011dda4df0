"""Speed beside other systems, as ratios measured in one run.

Knows every room below and the peers in `peers/`. Nothing but the command line imports it; importing
it loads neither Torch nor a peer. A suite is a module with `cases()`; `metabonk bench` and
`pytest bench --benchmark-only` run the same cases through the same `versus` and are judged by the
same `gates.toml`.
"""

from __future__ import annotations

from .gates import Row
from .suites import SUITES, run

__all__ = ["SUITES", "Row", "run"]

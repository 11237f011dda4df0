"""Suite `cognition`: the cognitive server and its agents, for up to sixteen of them on one machine.

Knows the suite's groups by name, and how long a case of each may take; what is compared is in them.
A group is a module, `cognition_<group>`, and can be run alone: `metabonk bench cognition --only
wire`. Rounds that two cases have figures of are measured once, and so is what no clock is held to:
whole episodes, recorded frames, a distilled policy.
"""

from __future__ import annotations

import dataclasses
import importlib

from .case import Case

# group -> seconds that a case of it has; on two cores that are quiet one takes a fraction of them.
GROUPS = {
    "wire": 60.0, "client": 300.0, "server": 300.0, "agent": 180.0, "stages": 300.0, "soak": 480.0,
    "model": 300.0, "valid": 900.0, "plans": 900.0, "ticks": 600.0,
    "learned": 2400.0,
}  # fmt: skip


def cases() -> list[Case]:
    return [
        dataclasses.replace(case, group=group, budget=seconds)
        for group, seconds in GROUPS.items()
        for case in importlib.import_module(f".cognition_{group}", __package__).cases()
    ]

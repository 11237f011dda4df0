"""Suite `cognition`: the cognitive server and its agents, for up to sixteen of them on one machine.

Knows the suite's parts by name; what is compared is in them.
"""

from __future__ import annotations

import importlib

from .case import Case

PARTS = (
    "cognition_wire", "cognition_server", "cognition_agent", "cognition_model", "cognition_plans",
    "cognition_ticks",
    "cognition_learned",
)  # fmt: skip


def cases() -> list[Case]:
    found: list[Case] = []
    for part in PARTS:
        found += importlib.import_module(f".{part}", __package__).cases()
    return found

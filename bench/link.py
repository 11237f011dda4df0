"""Suite `link`: frames between processes and their deaths, BonkLink's bytes, and the loop's time.

Knows the suite's parts by name; what is compared is in them.
"""

from __future__ import annotations

import importlib

from .case import Case

PARTS = ("link_ring", "link_deaths", "link_codec", "link_loop")


def cases() -> list[Case]:
    found: list[Case] = []
    for part in PARTS:
        found += importlib.import_module(f".{part}", __package__).cases()
    return found

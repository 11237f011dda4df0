"""Surroundings: a packed state as the rules see it, in a few numbers.

Knows what things are worth; does not know directives or what to do. The core looks: the rules'
whole answer is to take microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from metabonk._core.surroundings import Lookout, Surroundings
from metabonk.errors import CorruptError
from metabonk.records import PickupKind

# What lies is worth collecting; hearts are for who is hurt.
LYING: Mapping[int, float] = {PickupKind.XP: 1.0, PickupKind.GOLD: 0.6, PickupKind.MAGNET: 3.0}
# What stands is worth using.
USED: Mapping[int, float] = {PickupKind.CHEST: 1.2, PickupKind.SHRINE: 0.9, PickupKind.PORTAL: 3.0}
NEAR, HALF_WAY, FAR = 5.0, 6.0, 60.0  # metres at which enemies, what lies, what is used count half
COST = 0.15  # of an ordinary enemy in the way to what is used


def lookout(near: float = NEAR, far: float = FAR) -> Lookout:
    """What looks. near: metres at which an enemy threatens half as much as at arm's length. far:
    at which what is used is worth half."""
    lying, used = ([worth.get(kind, 0.0) for kind in PickupKind] for worth in (LYING, USED))
    return Lookout(near, HALF_WAY, far, COST, lying, used)


_PLAIN = lookout()


def look(packed: bytes, by: Lookout = _PLAIN) -> Surroundings:
    """What a packed state comes to. Raises CorruptError where the bytes are no state, or the
    player's position or health is no number."""
    try:
        return by.look(packed)
    except ValueError as error:
        raise CorruptError(f"state: {error}") from error

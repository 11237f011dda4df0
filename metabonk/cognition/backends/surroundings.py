"""Surroundings: a packed state as the rules see it, in a few numbers.

The core looks, and knows what things are worth: the rules' whole answer is to take microseconds.
Does not know directives or what to do.
"""

from __future__ import annotations

from metabonk._core import surroundings
from metabonk._core.surroundings import Surroundings
from metabonk.errors import CorruptError

NEAR, FAR = 5.0, 60.0


def look(packed: bytes, near: float = NEAR, far: float = FAR) -> Surroundings:
    """What a packed state comes to. near: metres at which an enemy threatens half as much as at
    arm's length. far: at which what is used is worth half. Raises CorruptError where the bytes are
    no state, or the player's position or health is no number."""
    try:
        return surroundings.look(packed, near, far)
    except ValueError as error:
        raise CorruptError(f"state: {error}") from error

"""Sizes of pictures, as flags give them. Knows errors; does not know any verb or game."""

from __future__ import annotations

from metabonk.errors import ConfigError

DRAWN = (8, 1920)  # the least and the largest side that the built-in games draw


def size_of(
    flag: str, text: str, sides: tuple[int, int] = DRAWN, *, none: bool = False
) -> tuple[int, int]:
    """Height and width from HEIGHTxWIDTH, each within `sides`; none: 0x0 is one, too.

    Raises ConfigError that names the flag, before anything of that size is allocated.
    """
    height, _, width = text.partition("x")
    if height.isdecimal() and width.isdecimal() and len(text) < 16:
        size = int(height), int(width)
        if (none and size == (0, 0)) or all(sides[0] <= side <= sides[1] for side in size):
            return size
    wanted = f"HEIGHTxWIDTH, as 180x320, sides of {sides[0]} to {sides[1]} pixels"
    raise ConfigError(f"{flag} {text}: give {wanted}{', or 0x0 for none' if none else ''}")

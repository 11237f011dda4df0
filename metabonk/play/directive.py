"""Directives: what System 2 asks of the next seconds, as the control loop applies it.

Knows the closed vocabulary of csrc/play/directive.h and when a directive runs out; does not know
who gives it. Numbers, not texts, cross into the loop.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from metabonk.errors import ConfigError

COMPASS_BINS = 16
WIDGETS = 32
VALIDITIES = (0.5, 1.0, 2.0, 4.0)  # seconds that a directive may ask to be valid


class Verb(enum.IntEnum):
    """hold: stand still. move: towards compass bin `target` of the world, 0 east, then
    counter-clockwise. interact: press interact. click: select menu widget `target`, 0 the first."""

    NONE = 0
    HOLD = 1
    MOVE = 2
    INTERACT = 3
    CLICK = 4


_TARGETS = {Verb.MOVE: COMPASS_BINS, Verb.CLICK: WIDGETS}


@dataclass(frozen=True)
class Directive:
    """One directive. seconds: of validity from when it is given; one of VALIDITIES. priority:
    0..255; a lower one does not replace one in force.

    Raises ConfigError for what is outside the vocabulary.
    """

    verb: Verb
    target: int = 0
    seconds: float = 1.0
    priority: int = 0

    def __post_init__(self) -> None:
        bins = _TARGETS.get(self.verb, 1)
        if not 0 <= self.target < bins:
            raise ConfigError(
                f"target: {self.target}; {self.verb.name.lower()} takes 0 to {bins - 1}"
            )
        if self.seconds not in VALIDITIES:
            wanted = ", ".join(f"{v:g}" for v in VALIDITIES)
            raise ConfigError(f"seconds: {self.seconds:g} of validity; wanted one of {wanted}")
        if not 0 <= self.priority <= 255:
            raise ConfigError(f"priority: {self.priority}; wanted 0 to 255")

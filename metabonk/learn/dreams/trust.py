"""How long dreams are: as long as was asked for, or as far as the world model is seen to be right.

Knows the settings of dreams and the trust horizons that were measured; does not know how they are
measured (foresight.py). Before the first was, nothing is trusted, and nothing is dreamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metabonk.config import DreamConfig


class Trust:
    """steps: the running trust horizon, 0 before it was measured. judged, unjudged: how often it
    was, and how often there was nothing to measure it by. memory: its former value's share of the
    next."""

    def __init__(self, config: DreamConfig, memory: float = 0.0) -> None:
        self.config, self.memory = config, memory
        self.steps = 0.0
        self.judged = self.unjudged = 0

    @property
    def horizon(self) -> int:
        """Steps of the next dreams; 0 while the model is not known to be right for one. What was
        asked for wins over whatever was measured, and over `dream.longest`."""
        if self.config.horizon:
            return self.config.horizon
        return min(round(self.steps), self.config.longest) if self.steps >= 1.0 else 0

    def note(self, found: int) -> None:
        """A trust horizon was measured."""
        memory = self.memory if self.judged else 0.0
        self.steps = memory * self.steps + (1.0 - memory) * found
        self.judged += 1

    def details(self) -> dict[str, Any]:
        """What `load` needs, for a checkpoint."""
        return {"trust": self.steps, "judged": self.judged, "unjudged": self.unjudged}

    def load(self, details: Mapping[str, Any]) -> None:
        """Inverse of `details`. Of before it was counted, 1 stands also for what was never
        measured, and is not trusted."""
        steps = float(details["trust"])
        self.judged = int(details.get("judged", steps != 1.0))
        self.unjudged = int(details.get("unjudged", 0))
        self.steps = steps if self.judged else 0.0

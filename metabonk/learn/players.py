"""Who can play for a run: its policy, and the dreamer where that plays games of its own.

Knows the two kinds of network; does not know how they learned, where they are kept, or how it was
found out who leads (dreams/contest.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metabonk.errors import CheckpointError
from metabonk.models.actor import Actor
from metabonk.models.dreamer import Dreamer, DreamerPolicy
from metabonk.models.policy import ActorCritic
from metabonk.models.world import WorldModel

Who = Literal["policy", "dreamer"]
PLAYERS: tuple[Who, ...] = ("policy", "dreamer")


@dataclass(frozen=True)
class Players:
    """model: the policy's network. dreams: the world model by which the dreamer sees and the
    dreamer, None where it does not play. serves: whoever leads."""

    model: ActorCritic
    dreams: tuple[WorldModel, Dreamer] | None = None
    serves: Who = "policy"

    @property
    def rival(self) -> Who | None:
        """Who does not serve; None where there is only one."""
        if self.dreams is None:
            return None
        return "policy" if self.serves == "dreamer" else "dreamer"

    def playing(
        self, who: Who | None = None, *, sampled: bool = True, seed: int = 0
    ) -> Actor | DreamerPolicy:
        """Either of them as a Policy; whoever serves for None. Raises CheckpointError for a dreamer
        where there is none."""
        if (who or self.serves) == "policy":
            return Actor(self.model, sampled=sampled, seed=seed)
        if self.dreams is None:
            raise CheckpointError("the dreamer is to play, and there is none: nobody dreamed here")
        world, dreamer = self.dreams
        return DreamerPolicy(world, dreamer, sampled=sampled, seed=seed)


def who_of(told: object) -> Who:
    """What a checkpoint's card says of who serves. Raises CheckpointError for anything else."""
    for who in PLAYERS:
        if told == who:
            return who
    raise CheckpointError(
        f"the checkpoint's card says that {told!r:.40} serves; wanted policy or dreamer: "
        "go on from the checkpoint before"
    )

"""What directives are worth: System 1 with the rules' against System 1 alone, paired episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metabonk import games
from metabonk.cognition.backends.rules import Strategist
from metabonk.games.level import load
from metabonk.games.scripted import Habits, ScriptedPolicy
from metabonk.learn.evaluate import compare, play
from metabonk.play.dual import Dual, DualSettings, states_of


@pytest.mark.long
@pytest.mark.parametrize("level", ["duel", "gather"])
def test_rules_help_where_a_plan_is_needed(level: str) -> None:
    """Answers come half a second late; the same episodes, so that luck cancels out."""
    spec = load(level)
    returns: list[np.ndarray[Any, Any]] = []
    for planned in (True, False):
        game = games.make("arena", 16, level=spec, threads=1)
        policy: Any = ScriptedPolicy(Habits(size=spec.terrain.size))
        if planned:
            policy = Dual(policy, Strategist(), states_of(game), level=spec.pack(),
                          settings=DualSettings(latency=0.5))  # fmt: skip
        returns.append(play(game, policy, 256, 2)["return"])
        game.close()
    found = compare(*returns)
    assert found.better, found

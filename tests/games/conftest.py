"""Fixtures of games."""

from __future__ import annotations

import pytest

from metabonk import games


@pytest.fixture
def make():
    made = []

    def factory(*args, **kwargs):
        made.append(games.make(*args, **kwargs))
        return made[-1]

    yield factory
    for game in made:
        game.close()

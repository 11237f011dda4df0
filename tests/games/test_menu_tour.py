"""games/menu_tour.py: a picture of every menu, and a run that pauses leave as it was."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from metabonk.errors import GameError
from metabonk.games import menu_tour
from metabonk.games.menu_tour import MENUS, PLAYING, tour
from metabonk.protocols import Array

SIZE = (72, 128)


@pytest.fixture(scope="module")
def shown() -> dict[str, Array]:
    return tour(picture=SIZE)


def test_every_menu_is_come_to(shown: dict[str, Array]) -> None:
    assert list(shown) == [PLAYING, *MENUS]
    assert {(picture.shape, picture.dtype) for picture in shown.values()} == {
        ((*SIZE, 3), np.dtype(np.uint8))
    }
    for one, other in combinations(shown, 2):
        assert (shown[one] != shown[other]).mean() > 0.05, (one, other)


def test_pausing_and_giving_up_leave_the_run_as_it_was(
    shown: dict[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu_tour, "_PAUSE_AT", 20.0)
    earlier = tour(picture=SIZE)
    same = {name for name in shown if np.array_equal(shown[name], earlier[name])}
    assert same == {*MENUS} - {"Pause", "Death"}


def test_menus_that_a_run_does_not_come_to_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(menu_tour, "_DECISIONS", 20)
    with pytest.raises(GameError, match=r"seed 3: .* LevelUp, Chest, Pause, Death, Victory: give"):
        tour(seed=3, picture=SIZE)

"""Action points: every action is one, and every point is an action."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs

from metabonk.models.points import SIGMA_DATA, ActionPoints
from metabonk.records import ACTION_LAYOUT
from metabonk.spaces import ActionLayout

MIXED = ActionLayout.of(
    gs.Dict(
        {
            "aim": gs.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32)),
            "push": gs.Box(-np.inf, np.inf, (1,), np.float32),
            "weapon": gs.Discrete(4),
        }
    ),
    masked=("weapon",),
)


@pytest.mark.parametrize("layout", [MIXED, ACTION_LAYOUT], ids=["mixed", "arena"])
def test_rows_come_back_from_their_points(layout: ActionLayout) -> None:
    layout.space.seed(0)
    rows = torch.from_numpy(np.stack([layout.encode(layout.space.sample()) for _ in range(64)]))
    points = ActionPoints(layout)
    points.learn(rows)
    assert points.encode(rows).shape == (64, points.width)
    torch.testing.assert_close(points.decode(points.encode(rows)), rows, rtol=1e-5, atol=1e-5)


def test_any_point_is_an_action_of_the_space() -> None:
    points = ActionPoints(ACTION_LAYOUT)
    rows = points.decode(9.0 * torch.randn(256, points.width, generator=_seeded())).numpy()
    assert all(ACTION_LAYOUT.space.contains(ACTION_LAYOUT.decode(row)) for row in rows)


def test_only_what_the_mask_allows_is_chosen() -> None:
    points = ActionPoints(MIXED)
    noise = torch.randn(200, points.width, generator=_seeded())
    mask = torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8)
    weapon = points.decode(noise, mask)[:, 3]
    assert set(weapon.tolist()) == {1.0, 3.0}
    assert set(points.decode(noise)[:, 3].tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_unbounded_columns_are_in_units_of_what_was_seen() -> None:
    rows = torch.zeros(1000, 4)
    rows[:, 2] = 300.0 + 40.0 * torch.randn(1000, generator=_seeded())
    points = ActionPoints(MIXED)
    points.learn(rows)
    pushed = points.encode(rows)[:, 2]
    assert abs(float(pushed.mean())) < 1e-4
    assert float(pushed.std()) == pytest.approx(SIGMA_DATA, rel=0.01)


def test_what_never_varied_stays_exactly_what_it_was() -> None:
    rows = torch.rand(100, 4, generator=_seeded())
    rows[:, 1], rows[:, 3] = 0.3, 0.0
    points = ActionPoints(MIXED)
    points.learn(rows)
    back = points.decode(torch.randn(50, points.width, generator=_seeded()))
    assert bool((back[:, 1] == rows[0, 1]).all())
    assert float(back[:, 0].std()) > 0.1


def test_a_choice_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="weapon"):
        ActionPoints(MIXED).encode(torch.tensor([[0.0, 0.0, 0.0, 4.0]]))


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)

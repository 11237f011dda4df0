"""Running normalisation against numpy over everything at once."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces as gs

from metabonk.models.encoders import ObservationReader
from metabonk.models.scale import Scale


def test_parts_give_the_statistics_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 3, 2, generator=generator) * torch.tensor([0.1, 40.0]) + 7.0
    present = torch.rand(900, 3, 1, generator=generator) > 0.3
    scale = Scale((3, 2))
    assert torch.equal(scale(x), x.clamp(-5, 5))
    for part in torch.arange(900).split([10, 1, 400, 489]):
        scale.learn(x[part], present[part])
    for row in range(3):
        seen = x[:, row][present[:, row, 0]].double().numpy()
        np.testing.assert_allclose(scale.mean[row], seen.mean(0), rtol=1e-5)
        np.testing.assert_allclose(1.0 / scale.inverse[row], seen.std(0), rtol=1e-4)
    out = scale(x)
    assert out.abs().max() <= 5.0
    assert abs(float(out[present[..., 0]].std()) - 1.0) < 0.02


def test_constants_and_what_was_never_there_stay_as_they_are() -> None:
    scale = Scale((2,))
    scale.learn(torch.full((8, 2), 3.0), torch.tensor([[True, False]]).expand(8, 2))
    torch.testing.assert_close(scale(torch.tensor([4.0, 4.0])), torch.tensor([1.0, 4.0]))


def test_a_scale_travels_with_the_weights() -> None:
    scale, other = Scale((2,)), Scale((2,))
    scale.learn(torch.randn(50, 2) * 3)
    other.load_state_dict(scale.state_dict())
    more = torch.randn(20, 2)
    scale.learn(more)
    other.learn(more)
    assert torch.equal(scale(more), other(more))


def test_a_reader_scales_numbers_and_ignores_absent_rows() -> None:
    space = gs.Dict(
        rows=gs.Box(-9, 9, (4, 2), np.float32),
        rows_mask=gs.Box(0, 1, (4,), np.uint8),
        frame=gs.Box(0, 255, (8, 8, 3), np.uint8),
        state=gs.Box(-9, 9, (3,), np.float32),
    )
    reader = ObservationReader(space, time=True, normalize=True)
    assert set(reader.scales) == {"rows", "state"}
    mask = torch.tensor([[1, 1, 0, 0]] * 64, dtype=torch.uint8)
    seen = {
        "rows": torch.randn(64, 4, 2) * 0.1,
        "rows_mask": mask,
        "frame": torch.zeros(64, 8, 8, 3, dtype=torch.uint8),
        "state": torch.randn(64, 3) * 20,
    }
    reader.learn(seen)
    parts = dict(zip(reader.keys, reader(seen).parts, strict=True))
    assert abs(float(parts["state"].std()) - 1.0) < 0.1
    rows = parts["rows"].view(64, 4, 2)
    assert abs(float(rows[:, :2].std()) - 1.0) < 0.15
    assert (rows[:, 2:] == 0).all()
    assert (reader.scales["rows"].count[2:] == 0).all()

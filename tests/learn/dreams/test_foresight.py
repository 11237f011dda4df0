"""What counts when a world model is judged: numbers and frames, each in its units, and no sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from ring_world import LAYOUT, SMALL, walk

from metabonk.learn.dreams import measure
from metabonk.learn.dreams.foresight import Foresight, foresight
from metabonk.learn.dreams.world import Batch
from metabonk.models.world import WorldModel, build

SIDE = 8
CONTEXT, AHEAD, NUM = 3, 4, 6
PIXELS = gs.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
NUMBERS = gs.Box(-9, 9, (2,), np.float32)
SET = {
    "things": gs.Box(-9, 9, (5, 3), np.float32),
    "things_mask": gs.Box(0, 1, (5,), np.uint8),
}


def seeing(spaces: dict[str, gs.Space[object]], brightness: float = 0.0) -> WorldModel:
    """A model that expects every pixel to be so bright and every number to be usual."""
    model = build(gs.Dict(spaces), LAYOUT, SMALL, seed=0)
    with torch.no_grad():
        for part in measure.judged(model.decoder).values():
            last = part.grow[-1] if measure.is_pixels(part) else part.linear
            last.weight.zero_()
            last.bias.fill_(brightness if measure.is_pixels(part) else 0.0)
    return model


def batch_of(**seen: torch.Tensor) -> Batch:
    sequences = walk(CONTEXT + AHEAD, NUM, seed=3)
    return Batch.of(sequences)._replace(observation=seen)


def frames(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (CONTEXT + AHEAD, NUM, SIDE, SIDE, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def judged(model: WorldModel, batch: Batch, **more: int) -> Foresight:
    return foresight(model, batch, CONTEXT, **more)


def test_pixels_are_judged_in_squared_brightness() -> None:
    """By what is known here of each error without any model."""
    seen = frames()
    found = judged(seeing({"pixels": PIXELS}, 0.25), batch_of(pixels=seen))
    bright = seen.double() / 255.0
    ahead, watched = bright[CONTEXT:], bright[:CONTEXT]
    flat = (1, 2, 3, 4)
    error = (ahead - 0.25).square().mean(flat)
    still = (ahead - watched[-1]).square().mean(flat)
    mean = (ahead - watched.flatten(0, 1).mean(0)).square().mean(flat)
    np.testing.assert_allclose(found.error, error.numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.persistence, still.numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.mean, mean.numpy(), rtol=1e-5)
    assert found.tolerable == pytest.approx(measure.TOLERABLE * 0.1**2)
    assert np.isnan(found.changed).all()
    assert (found.trust, found.left_out) == (0, ())


def test_who_is_right_about_pixels_alone_is_trusted() -> None:
    """A flat picture that changes once everything was watched; another brightness is not right."""
    seen = torch.zeros(CONTEXT + AHEAD, NUM, SIDE, SIDE, 3, dtype=torch.uint8)
    seen[CONTEXT:] = 51
    batch = batch_of(pixels=seen)
    assert judged(seeing({"pixels": PIXELS}, 0.2), batch).trust == AHEAD
    assert judged(seeing({"pixels": PIXELS}, 0.22), batch).trust == AHEAD  # tolerably so
    assert judged(seeing({"pixels": PIXELS}, 0.7), batch).trust == 0


def test_numbers_that_never_change_do_not_vouch_for_frames() -> None:
    spaces = {"pixels": PIXELS, "variables": NUMBERS}
    seen = torch.zeros(CONTEXT + AHEAD, NUM, SIDE, SIDE, 3, dtype=torch.uint8)
    seen[CONTEXT:] = 255
    still = torch.zeros(CONTEXT + AHEAD, NUM, 2)
    numbers = judged(seeing({"variables": NUMBERS}), batch_of(variables=still))
    assert numbers.trust == AHEAD
    both = judged(seeing(spaces), batch_of(pixels=seen, variables=still))
    assert both.trust == 0
    width = SIDE * SIDE * 3
    np.testing.assert_allclose(both.error, width / (width + 2), rtol=1e-6)


def test_fewer_pictures_are_compared_where_that_is_asked_for() -> None:
    seen = frames()
    model = seeing({"pixels": PIXELS}, 0.5)
    two = judged(model, batch_of(pixels=seen), pictured=2)
    bright = seen.double()[CONTEXT:, [0, 3]] / 255.0
    np.testing.assert_allclose(
        two.error, (bright - 0.5).square().mean((1, 2, 3, 4)).numpy(), rtol=1e-5
    )
    assert two.sequences == NUM


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_what_frames_show_does_not_depend_on_how_many_are_decoded_at_once(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = gs.Box(0, 15, (SIDE, SIDE), np.uint8)
    model = build(gs.Dict({"pixels": PIXELS, "cells": cells}), LAYOUT, SMALL, seed=0)
    hidden = torch.randn(7, 3, SMALL.hidden, generator=torch.Generator().manual_seed(0))
    parts = measure.judged(model.decoder)
    with torch.no_grad():
        whole = {key: measure.shown(part, hidden) for key, part in parts.items()}
        monkeypatch.setattr(measure, "FRAMES", at_once)
        for key, part in parts.items():
            torch.testing.assert_close(
                measure.shown(part, hidden), whole[key], rtol=1e-5, atol=1e-6
            )
    assert whole["pixels"].shape == (7, 3, SIDE, SIDE)
    assert whole["cells"].shape == (7, SIDE, SIDE)


def test_sets_are_left_out_and_named() -> None:
    """Their rows may trade places; what is in them changes no figure."""
    model = seeing({"variables": NUMBERS, **SET})
    assert measure.left_out(model.decoder) == ("things", "things_mask")
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(CONTEXT + AHEAD, NUM, 2, generator=generator)
    there = torch.ones(CONTEXT + AHEAD, NUM, 5, dtype=torch.uint8)
    found = [
        judged(
            model,
            batch_of(
                variables=numbers,
                things=scale * torch.randn(CONTEXT + AHEAD, NUM, 5, 3, generator=generator),
                things_mask=there,
            ),
        )
        for scale in (0.0, 100.0)
    ]
    assert found[0].left_out == ("things", "things_mask")
    np.testing.assert_array_equal(found[0].error, found[1].error)


def test_an_observation_of_sets_alone_cannot_be_judged() -> None:
    model = build(gs.Dict(SET), LAYOUT, SMALL, seed=0)
    seen = {
        "things": torch.zeros(CONTEXT + AHEAD, NUM, 5, 3),
        "things_mask": torch.zeros(CONTEXT + AHEAD, NUM, 5, dtype=torch.uint8),
    }
    with pytest.raises(ValueError, match=r"\['things', 'things_mask'\] is a number or a frame"):
        judged(model, batch_of(**seen))

"""The compass and what steers by it: turning the world turns what they say, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces as gs
from torch import Tensor

from metabonk.models.compass import Compass, Steering, fits
from metabonk.observations import ENTITY_FEATURES, OBSERVATION_SPACE, STATE_FEATURES
from metabonk.ops.radar import SECTORS

TURN = 2.0 * math.pi / SECTORS
BATCH = 5


def scene(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    seen = {
        key: torch.rand(BATCH, *space.shape, generator=generator) - 0.5
        for key, space in OBSERVATION_SPACE.spaces.items()
        if space.shape is not None
    }
    for key in ("entities_mask", "pickups_mask"):
        seen[key] = (seen[key] > 0.0).to(torch.uint8)
    heading = seen["state"][:, 0] * math.pi
    seen["state"][:, STATE_FEATURES.index("heading_sin")] = heading.sin()
    seen["state"][:, STATE_FEATURES.index("heading_cos")] = heading.cos()
    return seen


def rotate(pair: Tensor, angle: float) -> Tensor:
    """Vectors [..., 2], right and forward, turned towards forward."""
    cosine, sine = math.cos(angle), math.sin(angle)
    right, forward = pair.unbind(-1)
    return torch.stack([right * cosine - forward * sine, right * sine + forward * cosine], -1)


def turned(seen: dict[str, Tensor], angle: float) -> dict[str, Tensor]:
    """The same scene, looked at with the camera turned the other way."""
    out = {key: value.clone() for key, value in seen.items()}
    for key in ("entities", "pickups"):
        out[key][..., :2] = rotate(seen[key][..., :2], angle)
    v = ENTITY_FEATURES.index("velocity_right")
    out["entities"][..., v : v + 2] = rotate(seen["entities"][..., v : v + 2], angle)
    v = STATE_FEATURES.index("velocity_right")
    out["state"][:, v : v + 2] = rotate(seen["state"][:, v : v + 2], angle)
    sine, cosine = (STATE_FEATURES.index(f"heading_{f}") for f in ("sin", "cos"))
    heading = torch.atan2(seen["state"][:, sine], seen["state"][:, cosine])
    # What stood a turn to the left of forward stands in front now; the world did not move.
    out["state"][:, sine] = (heading - angle).sin()
    out["state"][:, cosine] = (heading - angle).cos()
    return out


@pytest.mark.parametrize("steps", [1, 5])
def test_turns_with_the_world(steps: int) -> None:
    torch.manual_seed(0)
    compass, steering = Compass(), Steering(32, 7)
    features = torch.randn(BATCH, 7)
    seen = scene()
    after = turned(seen, steps * TURN)
    before_turn, _ = compass(seen, seen["state"])
    after_turn, _ = compass(after, after["state"])
    torch.testing.assert_close(after_turn, before_turn.roll(steps, 0), atol=2e-5, rtol=1e-4)
    logits = steering(before_turn, features)
    torch.testing.assert_close(
        steering(after_turn, features), logits.roll(steps, 1), atol=2e-5, rtol=1e-4
    )
    assert logits.std() > 0
    half = turned(seen, 0.5 * TURN)  # not a multiple: must not be the same
    assert not torch.allclose(compass(half, half["state"])[0], before_turn, atol=1e-3)


def test_what_is_masked_does_not_matter_and_the_rest_does() -> None:
    compass, seen = Compass(), scene()
    before = compass(seen, seen["state"])[0]
    hidden = {key: value.clone() for key, value in seen.items()}
    hidden["entities"][seen["entities_mask"] == 0] = torch.nan
    torch.testing.assert_close(compass(hidden, seen["state"])[0], before)
    for key in ("entities", "pickups", "state"):
        other = seen | {key: scene(1)[key]}
        assert not torch.allclose(compass(other, other["state"])[0], before, atol=1e-3)


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    compass, steering = Compass(), Steering(32, 7)
    seen = scene()
    directions, summary = compass(seen, seen["state"])
    logits = steering(directions, torch.randn(BATCH, 7))
    (logits.square().sum() + summary.square().sum()).backward()
    for name, weight in [*compass.named_parameters(), *steering.named_parameters()]:
        assert weight.grad is not None, name
        assert (weight.grad != 0).any(), name


def test_fits_what_it_can_read() -> None:
    assert fits(OBSERVATION_SPACE)
    assert not fits(gs.Dict({"state": OBSERVATION_SPACE["state"]}))
    small = gs.Dict({**OBSERVATION_SPACE.spaces, "entities": gs.Box(-1, 1, (6, 3))})
    assert not fits(small)

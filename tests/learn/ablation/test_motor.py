"""A motor's judges are heard; where nothing depends on them they are inert."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from bandits import LAYOUT, SMALL, SPACE, cues, recorded

from metabonk.learn.ablation.motor import WAYS, Judged, Way
from metabonk.learn.motors.cpqe import CpqeLearner
from metabonk.models.motor import Motor, MotorPolicy, build

NUM = 400
QUICK = msgspec.structs.replace(
    SMALL, hidden=24, batch=128, teacher_updates=60, student_updates=60, q_updates=60, beta=5.0
)


@pytest.fixture(scope="module")
def motor() -> Motor:
    made = build(SPACE, LAYOUT, QUICK, seed=0)
    CpqeLearner(made, recorded(1024)).train()
    return made.requires_grad_(False)


def acted(motor: Motor, way: Way) -> tuple[np.ndarray, float]:
    """What is done in observations nobody recorded, and the share of it that is other."""
    policy = Judged(motor, way, seed=3)
    rows, _ = policy.act({"observation": cues(NUM, 99)}, policy.reset(NUM), np.ones(NUM, np.bool_))
    assert policy.decisions == NUM
    return rows, policy.moved


def test_intact_it_is_the_motor_as_it_is_served(motor: Motor) -> None:
    served = MotorPolicy(motor, seed=3)
    ones = np.ones(NUM, np.bool_)
    rows, _ = served.act({"observation": cues(NUM, 99)}, served.reset(NUM), ones)
    for way in WAYS[:2]:
        ours, moved = acted(motor, way)
        np.testing.assert_array_equal(ours, rows)
        assert moved == 0.0


@pytest.mark.parametrize("way", WAYS[2:], ids="-".join)
def test_every_way_changes_decisions_and_the_share_is_right(motor: Motor, way: Way) -> None:
    rows, moved = acted(motor, way)
    intact, _ = acted(motor, WAYS[0])
    others = float((rows != intact).any(1).mean())
    assert moved > 0.0
    assert moved == pytest.approx(others, abs=0.02)  # candidates may be alike


def test_a_motor_that_counts_no_doubt_has_an_inert_one(motor: Motor) -> None:
    careless = build(SPACE, LAYOUT, msgspec.structs.replace(QUICK, beta=0.0), seed=0)
    careless.load_state_dict(motor.state_dict())
    assert acted(careless, ("doubt", "zero"))[1] == 0.0
    assert acted(careless, ("doubt", "shuffle"))[1] == 0.0
    assert acted(careless, ("judges", "shuffle"))[1] > 0.0
    alone = build(SPACE, LAYOUT, msgspec.structs.replace(QUICK, candidates=1), seed=0)
    assert all(acted(alone, way)[1] == 0.0 for way in WAYS)

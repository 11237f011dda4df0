"""A motor's judges are heard; where nothing depends on them they are inert."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from metabonk.bench.bandits import LAYOUT, SMALL, SPACE, cues, recorded

from metabonk.learn.ablation import motor as ablation
from metabonk.learn.ablation.effects import Trial
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


def test_what_was_cut_short_goes_on_and_finds_the_same(
    motor: Motor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[str, int]] = []

    def play(game: object, policy: Judged, episodes: int, seed: int) -> dict[str, np.ndarray]:
        if len(played) == stops:
            raise KeyboardInterrupt
        played.append((policy.way[0], policy.seed))
        policy.decisions, policy.others = 10, policy.seed * (policy.way[0] == "doubt")
        return {"return": np.full(episodes, float(policy.seed))}

    monkeypatch.setattr(ablation, "play", play)
    table = ablation._Table(None, motor, WAYS, 3)  # type: ignore[arg-type]
    begun: list[tuple[int, int]] = []

    def measured() -> list[Trial]:
        told = lambda done, total, name: begun.append((done, total))  # noqa: E731
        return list(ablation._trials(table, range(1, 4), tmp_path, told))

    stops = 2 * len(WAYS) + 2
    with pytest.raises(KeyboardInterrupt):
        measured()
    stops, first = 99, played.copy()
    played.clear()
    begun.clear()
    trials = measured()
    assert [seed for _, seed in first] == [1] * 6 + [2] * 6 + [3] * 2
    assert [seed for _, seed in played] == [3] * 6
    assert begun == [(12 + at, 18) for at in range(6)]
    assert [(t.seed, t.part, t.mode) for t in trials] == [
        (seed, *way) for seed in (1, 2, 3) for way in WAYS
    ]
    assert [t.return_mean for t in trials] == [float(t.seed) for t in trials]
    assert [t.moved for t in trials if t.part == "doubt"] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]

"""A compiled motor decides as the motor in torch does, in one call, and tells its choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces as gs
from networks import MOTOR, draw, motor_of

from metabonk.errors import CompileError
from metabonk.models.motor import MotorPolicy
from metabonk.play.compiler.motors import compile_motor
from metabonk.records import ACTION_LAYOUT
from metabonk.spaces import ActionLayout

PLAIN = gs.Dict({"observation": gs.Box(-9.0, 9.0, (5,), np.float32)})
MIXED = ActionLayout.of(
    gs.Dict({"aim": gs.Box(-1.0, 3.0, (2,), np.float32), "weapon": gs.Discrete(4)})
)
FRAMES = gs.Dict(
    {
        "pixels": gs.Box(0, 255, (24, 24, 3), np.uint8),
        "action_mask": gs.Box(0, 1, (4,), np.uint8),
    }
)
MASKED = ActionLayout.of(gs.Dict({"weapon": gs.Discrete(4)}), masked=("weapon",))


def arena() -> tuple[gs.Dict, ActionLayout]:
    from metabonk.games import make

    game = make("arena", 1)
    space = game.observation_space
    game.close()
    return space, ACTION_LAYOUT


@pytest.mark.parametrize("which", ["plain", "frames", "arena"])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_decides_as_torch_does(which: str, batch: int) -> None:
    known = {"plain": (PLAIN, MIXED), "frames": (FRAMES, MASKED)}
    space, layout = known[which] if which in known else arena()
    motor = motor_of(space, layout)
    compiled = compile_motor(MotorPolicy(motor), batch=batch)
    shape = (batch, MOTOR.candidates, motor.points.width)
    outputs = {
        "action": np.zeros((batch, layout.columns), np.float32),
        "candidate": np.zeros(batch, np.int32),
        "score": np.zeros(batch, np.float32),
    }
    chosen = set()
    for seed in range(12):
        seen = {k: np.ascontiguousarray(v) for k, v in draw(space, batch, seed).items()}
        normal = np.random.default_rng(seed).standard_normal(shape, np.float32)
        tensors = {key: torch.from_numpy(value) for key, value in seen.items()}
        wanted = motor.decide(tensors, torch.from_numpy(normal), beta=MOTOR.beta)
        given = {k: v for k, v in {**seen, "normal": normal}.items() if k in compiled.inputs}
        compiled.bind_all(given, outputs).step()
        if layout is not MASKED:  # else several candidates are the same action, all as good
            np.testing.assert_array_equal(outputs["candidate"], wanted.candidate.numpy())
        np.testing.assert_allclose(outputs["action"], wanted.rows.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(outputs["score"], wanted.score.numpy(), rtol=1e-4, atol=1e-4)
        chosen |= set(outputs["candidate"].tolist())
    assert len(chosen) > 1


def test_its_noise_is_its_own_and_follows_from_the_seed() -> None:
    motor = motor_of(PLAIN, MIXED)
    seen = draw(PLAIN, 1, 0)
    runs = []
    for seed in (7, 7, 8):
        policy = compile_motor(MotorPolicy(motor, seed=seed))
        runs.append(np.stack([policy.step(seen).copy() for _ in range(5)]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert len(np.unique(runs[0][:, 0, 0])) == 5


def test_it_follows_the_motor_when_that_learns() -> None:
    motor = motor_of(PLAIN, MIXED)
    policy, seen = compile_motor(MotorPolicy(motor)), draw(PLAIN, 1, 0)
    before = policy.step(seen).copy()
    with torch.no_grad():
        motor.student.out.bias += 0.5
        motor.ensemble.online.biases[-1][0] += 1.0
    policy.refresh()
    policy.seed(0)
    after = policy.step(seen).copy()
    fresh = compile_motor(MotorPolicy(motor)).step(seen)
    np.testing.assert_array_equal(after, fresh)
    assert not np.array_equal(before, after)


def test_a_teacher_is_not_compiled() -> None:
    with pytest.raises(CompileError, match="the teacher takes many steps"):
        compile_motor(MotorPolicy(motor_of(PLAIN, MIXED), sampler="teacher"))

"""The consistency motor: one step as good as forty, caution that pays, and nothing from ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from metabonk.bench.bandits import (
    LAYOUT,
    SMALL,
    SPACE,
    acted,
    cues,
    earned,
    motor_of,
    near,
    recorded,
    single,
    taught,
    taught_backwards,
    two_sides,
)
from tiny_games import Seen

from metabonk.errors import ConfigError, DivergedError
from metabonk.learn.evaluate import play
from metabonk.learn.motors import cpqe
from metabonk.learn.motors import versions as motors
from metabonk.learn.motors.cpqe import CpqeLearner
from metabonk.learn.transitions import from_pieces
from metabonk.models.motor import Motor, MotorPolicy, build
from metabonk.protocols import FloatArray, Policy
from metabonk.spaces import ActionLayout

QUICK = msgspec.structs.replace(
    SMALL, hidden=16, batch=64, teacher_updates=30, student_updates=30, q_updates=30
)


@pytest.fixture(scope="module")
def motor() -> Motor:
    return taught()


def test_one_step_samples_are_near_a_mode_and_both_are_kept(motor: Motor) -> None:
    """Chance is 0.3: so much of -1..1 is near a mode. One mode alone would be the other failure."""
    assert near(motor) >= 0.75
    right = float((acted(motor, candidates=1)[1] > 0).mean())
    assert 0.4 < right < 0.6


def test_learning_in_the_other_direction_gives_nothing() -> None:
    reversed_ = taught_backwards()
    assert near(reversed_, sampler="teacher") >= 0.75
    assert near(reversed_) < 0.1


def test_one_step_earns_what_forty_earn(motor: Motor) -> None:
    student, teacher = (
        float(earned(*acted(motor, sampler=sampler)).mean()) for sampler in ("student", "teacher")
    )
    assert teacher > 0.8
    assert student >= 0.9 * teacher


def test_the_choice_among_candidates_is_what_pays(motor: Motor) -> None:
    """Whoever was recorded went to the paying side by chance; one candidate does so too."""
    alone = float(earned(*acted(motor, candidates=1)).mean())
    assert alone < 0.6
    assert float(earned(*acted(motor)).mean()) > alone + 0.3


def test_judges_of_other_actions_choose_by_chance(
    motor: Motor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the candidates' scores are dealt out anew."""
    agreed = type(motor.ensemble).agreed

    def shuffled(self: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = agreed(self, inputs)
        order = torch.randperm(len(mean), generator=torch.Generator().manual_seed(0))
        return mean[order], std[order]

    monkeypatch.setattr(type(motor.ensemble), "agreed", shuffled)
    assert float(earned(*acted(motor)).mean()) < 0.6


def test_caution_beats_the_mean_when_a_member_is_wrong(motor: Motor) -> None:
    """One of the members learns that the side which never pays is worth eight times the other."""
    wrong = motor_of()
    wrong.load_state_dict(motor.state_dict())
    wrong.ensemble.online.requires_grad_(True)
    optimizer = cpqe.FlatAdam(wrong.ensemble.online)
    mask = torch.zeros(SMALL.members, 512, dtype=torch.bool)
    mask[0] = True
    for update in range(300):
        seen, rows = cues(512, update), two_sides(512, update)
        inputs = _inputs(wrong, seen, rows)
        targets = 8.0 * torch.from_numpy(1.0 - earned(seen, rows)).expand(SMALL.members, -1)
        optimizer.zero()
        wrong.ensemble.losses(inputs, targets, mask).sum().backward()
        optimizer.step(3e-3)
    assert float(earned(*acted(wrong, beta=0.0)).mean()) < 0.3
    assert float(earned(*acted(wrong, beta=1.0)).mean()) > 0.7


def _inputs(motor: Motor, seen: FloatArray, rows: FloatArray) -> torch.Tensor:
    parts = motor.parts({"observation": torch.from_numpy(seen)})
    return motor.judged(parts, motor.points.encode(torch.from_numpy(rows)))


def test_what_comes_next_has_no_way_into_an_action() -> None:
    """Recorded actions go where a coin says, which is seen only after them. Nothing beats chance
    then; observations one step late, a leak made on purpose, give it away."""
    num = 3000
    coin = np.where(np.random.default_rng(4).random(num) < 0.5, -1.0, 1.0)
    seen = np.zeros((num + 1, 2), np.float32)
    seen[1:, 0] = coin  # the coin of decision t is in observation t + 1
    rows = two_sides(num, 4, coin)
    config = msgspec.structs.replace(SMALL, teacher_updates=500, student_updates=500, q_updates=1)
    agree = {}
    for name, shown in (("honest", seen), ("leaking", seen[1:])):
        piece = {
            "observation/observation": shown,
            "action": rows,
            "reward": np.zeros(num, np.float32),
            "terminated": np.zeros(num, np.bool_),
        }
        motor = taught(config, from_pieces([piece], LAYOUT))
        policy = MotorPolicy(motor, candidates=1)
        done, _ = policy.act(
            {"observation": shown[:num]}, policy.reset(num), np.zeros(num, np.bool_)
        )
        agree[name] = float((np.sign(done[:, 0]) == coin).mean())
    assert agree["honest"] < 0.55
    assert agree["leaking"] > 0.9


def test_last_observations_change_no_weight_of_teacher_or_student() -> None:
    """They are nobody's own observation, only what came after the last decision."""
    weights = []
    for value in (0.0, 8.0):
        data = recorded(512)
        seen = np.concatenate([data.observation["observation"], np.full((1, 2), value)])
        piece = {
            "observation/observation": seen.astype(np.float32),
            "action": data.action,
            "reward": data.reward,
            "terminated": np.zeros(512, np.bool_),
        }
        config = msgspec.structs.replace(QUICK, gamma=0.9)
        weights.append(taught(config, from_pieces([piece], LAYOUT)).state_dict())
    for key, value in weights[0].items():
        if not key.startswith("ensemble."):
            assert torch.equal(value, weights[1][key]), key
    ours = [v["ensemble.online.weights.0"] for v in weights]
    assert not torch.equal(*ours)  # values do depend on what comes


def test_everything_follows_from_the_seed() -> None:
    once, again = taught(QUICK).state_dict(), taught(QUICK).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in once.items())
    other = motor_of(QUICK, seed=1)
    CpqeLearner(other, recorded(), seed=1).train()
    assert not torch.equal(other.student.out.weight, once["student.out.weight"])
    motor = taught(QUICK)
    np.testing.assert_array_equal(acted(motor)[1], acted(motor)[1])


def test_the_last_candidate_and_its_score_are_told(motor: Motor) -> None:
    policy = MotorPolicy(motor, seed=5)
    assert isinstance(policy, Policy)
    before = policy.reset(3)
    assert before.candidate.tolist() == [-1, -1, -1]
    seen, first = {"observation": cues(3, 99)}, np.ones(3, np.bool_)
    rows, after = policy.act(seen, before, first)
    assert ((after.candidate >= 0) & (after.candidate < SMALL.candidates)).all()
    # The same candidate again by hand: its action, and its score as the members give it.
    philox = np.random.Philox(key=[5, 21], counter=[0, 0, 0, 0])
    noise = np.random.Generator(philox).standard_normal((3, SMALL.candidates, 1), np.float32)
    shown = {"observation": torch.from_numpy(seen["observation"])}
    with torch.no_grad():
        points = motor.candidates(motor.parts(shown), torch.from_numpy(noise))
        chosen = motor.points.decode(points[torch.arange(3), torch.from_numpy(after.candidate)])
        values = motor.ensemble(_inputs(motor, seen["observation"], chosen.numpy()))
    np.testing.assert_allclose(rows, chosen.numpy(), atol=1e-6)
    score = values.mean(0) - SMALL.beta * values.std(0, correction=0)
    np.testing.assert_allclose(after.score, score.numpy(), rtol=1e-4, atol=1e-5)
    assert not np.array_equal(policy.act(seen, after, first)[0], rows)  # fresh noise every step


def test_it_plays_a_game() -> None:
    game = Seen(4)
    layout = game.action_layout
    seen = np.where(np.random.default_rng(0).random((512, 1)) < 0.5, -1.0, 1.0).astype(np.float32)
    piece = {
        "observation/observation": seen,
        "action": (seen > 0).astype(np.float32),
        "reward": seen[:, 0],
        "terminated": np.ones(512, np.bool_),
    }
    config = msgspec.structs.replace(QUICK, teacher_updates=200, student_updates=200)
    motor = build(game.observation_space, layout, config, seed=0)
    CpqeLearner(motor, from_pieces([piece], layout)).train()
    assert len(play(game, MotorPolicy(motor), 8, 0)["return"]) == 8
    policy = MotorPolicy(motor)
    rows, _ = policy.act({"observation": seen}, policy.reset(512), np.ones(512, np.bool_))
    assert float((rows == piece["action"]).mean()) > 0.9  # a discrete action, copied


def test_where_no_episode_was_cut_the_student_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("there is nothing to answer")

    monkeypatch.setattr(Motor, "candidates", asked)
    rows = two_sides(64)
    CpqeLearner(motor_of(QUICK), single(cues(64, 0), rows, np.zeros(64, np.float32))).train()


def test_three_failed_updates_in_a_row_end_it(tmp_path: Path) -> None:
    config = msgspec.structs.replace(QUICK, learning_rate=1e30)
    learner = CpqeLearner(motor_of(config), recorded(512), run=tmp_path)
    with pytest.raises(DivergedError, match=r"3 updates in a row .* the teacher phase"):
        learner.train()
    assert learner.faults.skipped == len(learner.faults.kept()) == 3


def test_a_motor_that_diverged_names_the_one_before_it(tmp_path: Path) -> None:
    """And not the run's checkpoints, which have nothing to do with it."""
    config = msgspec.structs.replace(QUICK, learning_rate=1e30)
    anew = "learn one anew with a lower cpqe.learning_rate"
    with pytest.raises(DivergedError, match=f"{tmp_path} has no motor that is usable: {anew}"):
        CpqeLearner(motor_of(config), recorded(512), run=tmp_path).train()
    good = motors.save(tmp_path, motor_of(), seed=0).path
    spoiled = motor_of(seed=1)
    with torch.no_grad():
        next(spoiled.student.parameters()).view(-1)[0] = np.nan
    motors.save(tmp_path, spoiled, seed=1)
    told = f"batches are in {tmp_path / 'faults'}; the last good motor is {good}, .*: {anew}"
    with pytest.raises(DivergedError, match=told):
        CpqeLearner(motor_of(config), recorded(512), run=tmp_path).train()


def test_data_of_another_game_are_refused() -> None:
    other = ActionLayout.of(gs_box(3))
    with pytest.raises(ConfigError, match="1 columns, the game has 3"):
        CpqeLearner(build(SPACE, other, QUICK, seed=0), recorded(64))
    with pytest.raises(ValueError, match="candidates: 0"):
        MotorPolicy(motor_of(QUICK), candidates=0)


def test_decisions_whose_outcome_nobody_saw_are_refused_before_anything_is_learned() -> None:
    seen, rows = cues(8, 0), two_sides(8)
    pieces = [
        {
            "observation/observation": seen[i : i + 1],
            "action": rows[i : i + 1],
            "reward": np.zeros(1, np.float32),
            "terminated": np.zeros(1, np.bool_),
        }
        for i in range(8)
    ]
    with pytest.raises(ConfigError, match="of none of 8 decisions it is known"):
        CpqeLearner(motor_of(QUICK), from_pieces(pieces, LAYOUT))


def gs_box(width: int) -> Any:
    from gymnasium import spaces as gs

    return gs.Box(-1.0, 1.0, (width,), np.float32)


def test_progress_is_told_and_losses_are_returned() -> None:
    told: list[tuple[str, int, int]] = []
    learner = CpqeLearner(motor_of(QUICK), single(cues(64, 0), two_sides(64), np.zeros(64, "f4")))
    found = learner.train(lambda phase, done, count, _: told.append((phase, done, count)))
    assert told[0] == ("teacher", 1, 30)
    assert told[-1] == ("q", 30, 30)
    assert {"cpqe_teacher_loss", "cpqe_student_loss", "cpqe_q_loss", "cpqe_skipped"} <= set(found)

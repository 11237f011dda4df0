"""Acting by one native call: the same rollout as torch's up to rounding, and the choice."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_games import Walk

from metabonk import games
from metabonk.config import Config, ModelConfig, load
from metabonk.errors import CheckpointError, CompileError
from metabonk.learn import acting as acting_module
from metabonk.learn import run as run_module
from metabonk.learn import trainer as trainer_module
from metabonk.learn.acting import CompiledActing, TorchActing, quicker
from metabonk.learn.collector import Collector
from metabonk.learn.presets import preset
from metabonk.learn.trainer import Trainer, parse_fixed
from metabonk.models.policy import ActorCritic, build
from metabonk.play.compiled import Team
from metabonk.protocols import BatchGame

ENVS, HORIZON = 5, 12


def network(game: BatchGame, name: str) -> ActorCritic:
    config = load(environ={}, flags={"game.name": name, **preset(name)})
    fixed = parse_fixed(config.model.fixed)
    return build(game.observation_space, game.action_layout, config.model, seed=3, fixed=fixed)


@pytest.mark.parametrize("name", ["arena", "gym/CartPole-v1", "grid64/key_door"])
def test_a_rollout_is_that_of_torch(name: str) -> None:
    rollouts = []
    for kind in ("torch", "compiled"):
        game = games.make(name, ENVS)
        model = network(game, name)
        collector = Collector(game, model, horizon=HORIZON, seed=1)
        if kind == "compiled":
            collector.act_by(CompiledActing(model, ENVS))
        collector.start(range(ENVS))
        collector.collect()
        with torch.no_grad():  # what is learned between two rollouts is taken up
            for parameter in model.parameters():
                parameter.mul_(1.25)
        rollouts.append(copy.deepcopy(collector.collect()))
        game.close()
    ours, theirs = (rollout.arrays() for rollout in rollouts)
    assert np.ptp(theirs["value"]) > 0
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], atol=2e-5, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", ["arena", "gym/CartPole-v1", "grid64/key_door"])
def test_parts_that_decide_side_by_side_give_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting_module, "SHARED", 2)
    rollouts = []
    for threads in (1, 2, 9):
        game = games.make(name, ENVS)
        model = network(game, name)
        collector = Collector(game, model, horizon=HORIZON, seed=1)
        acting = CompiledActing(model, ENVS, threads)
        assert len(acting.policies) == min(threads, 2)
        collector.act_by(acting)
        collector.start(range(ENVS))
        collector.collect()
        rollouts.append(copy.deepcopy(collector.collect().arrays()))
        game.close()
    for got in rollouts[1:]:
        assert all(np.array_equal(got[key], rollouts[0][key]) for key in got)


def test_a_team_steps_its_own_policies_only() -> None:
    game = Walk(ENVS)
    model = build(game.observation_space, game.action_layout, ModelConfig(hidden=8), seed=0)
    one, two, other = (CompiledActing(model, ENVS).policies[0] for _ in range(3))
    team = Team([one, two])
    inputs = {name: np.zeros(sizes, dtype) for name, (dtype, sizes) in one.inputs.items()}
    steps = [policy.bind_all(inputs, {}) for policy in (one, two, other)]
    team.bind(steps[:2])()
    assert (one.counter, two.counter, other.counter) == (1, 1, 0)
    for wrong in (steps[:1], steps[1:], steps[1::-1]):
        with pytest.raises(ValueError, match="one bound step of each"):
            team.bind(wrong)


def test_the_quicker_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Walk(ENVS)
    model = build(game.observation_space, game.action_layout, ModelConfig(hidden=8), seed=0)
    collector = Collector(game, model, horizon=HORIZON)
    collector.start(range(ENVS))
    before = copy.deepcopy(collector.rollout.arrays())
    for slow in ("torch", "compiled"):
        monkeypatch.setattr(
            acting_module, "_seconds", lambda a, *_, slow=slow: 2.0 if a.name == slow else 1.0
        )
        chosen, seconds = quicker(model, collector.rollout)
        assert chosen.name != slow
        assert seconds[slow] == 2.0
    for key, array in collector.rollout.arrays().items():
        assert np.array_equal(array, before[key]), key


def test_a_checkpoint_keeps_how_rollouts_are_acted() -> None:
    trainer = Trainer(Walk(ENVS), Config())
    trainer.start()
    trainer.act_as("compiled")
    trainer.iterate()
    snapshot = trainer.snapshot()
    assert snapshot.details["backends"]["acting"] == "compiled"
    again = Trainer(Walk(ENVS), Config())
    assert isinstance(again.collector.acting, TorchActing)
    again.restore(snapshot)
    assert isinstance(again.collector.acting, CompiledActing)
    assert again.differs == []
    trainer.iterate()
    again.iterate()
    for key, array in trainer.collector.rollout.arrays().items():
        assert np.array_equal(array, again.collector.rollout.arrays()[key]), key
    config = Config()
    config.run.acting = "torch"
    third = Trainer(Walk(ENVS), config)
    third.restore(snapshot)
    assert third.differs == [
        "how rollouts are acted: was compiled, now torch (set run.acting to auto or to the former "
        "for the same rounding)"
    ]


def test_a_checkpoint_of_another_size_is_refused_before_anything_is_compiled() -> None:
    trainer = Trainer(Walk(ENVS), Config())
    trainer.start()
    with pytest.raises(CheckpointError, match="not of"):
        Trainer(Walk(ENVS + 1), Config()).restore(trainer.snapshot())


def test_a_network_that_cannot_be_compiled_is_acted_by_torch_and_the_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CompileError("aten.odd cannot be compiled yet")

    monkeypatch.setattr(trainer_module, "quicker", refuse)
    monkeypatch.setattr(run_module, "LONG_STEPS", 1)
    flags = {
        "game.name": "gym/CartPole-v1",
        "game.envs": 4,
        "run.steps": 512,
        "run.eval_episodes": 2,
    }
    config = load(environ={}, flags={**flags, "run.directory": str(tmp_path), "run.video": False})
    run_module.train(config)
    events = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (said,) = [event for event in events if event.get("event") == "acting"]
    assert said["chosen"] == "torch"
    assert "aten.odd" in said["why"]

"""What is done to a part is done to it: whoever is frozen learns nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from beside_settings import settings
from tiny_games import Walk
from torch import Tensor, nn

from metabonk.learn.ablation.interventions import PARTS
from metabonk.learn.trainer import Trainer


def trainer_of(directory: Path) -> Trainer:
    """One that has learned a little, with all parts."""
    config = settings(dream=1, efe=1, intrinsic=0.5)
    config.world.learning_rate = config.dream.learning_rate = 1e-2
    config.dream.distill_coef = 0.5
    torch.set_num_threads(1)
    trainer = Trainer(Walk(6), config, directory=directory)
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    return trainer


def world(trainer: Trainer) -> nn.Module:
    assert trainer.world is not None
    return trainer.world.learner.model


def dream(trainer: Trainer) -> nn.Module:
    assert trainer.imagination.dreams is not None
    return trainer.imagination.dreams.learner.dreamer.head


def efe(trainer: Trainer) -> nn.Module:
    active = trainer.imagination.active
    assert active is not None
    return nn.ModuleList([active.learner.dreamer.head, active.learner.ensemble])


def kept(network: nn.Module) -> dict[str, Tensor]:
    """Weights, and what is learned without a gradient."""
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("network", [world, dream, efe], ids=lambda of: of.__name__)
def test_whoever_is_frozen_learns_nothing(
    network: Callable[[Trainer], nn.Module], tmp_path: Path
) -> None:
    (part,) = [part for part in PARTS if part.name == network.__name__]
    for frozen in (True, False):  # the latter is the control
        trainer = trainer_of(tmp_path / str(frozen))
        if frozen:
            part.modes["freeze"](trainer)
        before = kept(network(trainer))
        for _ in range(3):
            trainer.iterate()
        after = kept(network(trainer))
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert bool(changed) is not frozen, sorted(changed)


def test_a_world_model_learns_the_scale_of_what_it_sees(tmp_path: Path) -> None:
    """Which is no weight, moves what it believes all the same, and has to stand still, too."""
    trainer = trainer_of(tmp_path)
    assert trainer.world is not None
    learner = trainer.world.learner
    before = kept(learner.model)
    learner.config.learning_rate = 0.0
    trainer.iterate()
    after = kept(learner.model)
    assert any(not torch.equal(before[name], after[name]) for name in before)

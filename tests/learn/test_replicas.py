"""Gradients on several threads: the same sums, repeatably, and models that stay one."""

from __future__ import annotations

import pytest
import torch
from tiny_games import Walk
from torch import Tensor

from metabonk.config import Config
from metabonk.learn.replicas import Replicas
from metabonk.learn.trainer import Trainer
from metabonk.models.policy import ActorCritic


def weight_sum(model: ActorCritic, factor: float) -> Tensor:
    total = sum((p * factor).square().sum() for p in model.parameters())
    assert isinstance(total, Tensor)
    total.backward()
    return total.detach()[None]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_are_those_of_one_thread(threads: int) -> None:
    trainer = Trainer(Walk(2), Config())
    optimizer = trainer.ppo.optimizer
    factors = [1.0, 2.0, 3.0, 4.0, 5.0]
    for _ in range(2):  # the second time replicas are there already, and must have forgotten
        optimizer.zero()
        expected = Replicas(trainer.model, optimizer).total(weight_sum, factors, 1)
        gradient = optimizer.gradient.clone()
        optimizer.zero()
        found = trainer.ppo.replicas.total(weight_sum, factors, threads)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(optimizer.gradient, gradient)
        optimizer.step(1e-2)  # the twins have to see it


def test_an_error_in_any_thread_is_raised() -> None:
    replicas = Trainer(Walk(2), Config()).ppo.replicas

    def work(_: ActorCritic, job: int) -> Tensor:
        if job == 1:
            raise ValueError("job 1")
        return torch.zeros(1)

    with pytest.raises(ValueError, match="job 1"):
        replicas.total(work, [0, 1], 2)


def test_an_update_leaves_torchs_threads_as_they_were_and_uses_one() -> None:
    trainer = Trainer(Walk(8), Config())
    trainer.start()
    torch.set_num_threads(2)
    seen: list[int] = []

    def spied(*given: object) -> Tensor:
        seen.append(torch.get_num_threads())
        return learn(*given)

    learn = trainer.ppo._learn
    trainer.ppo._learn = spied
    trainer.iterate()
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_training_on_two_threads_is_repeatable_and_near_one() -> None:
    def trained(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        config = Config()
        config.ppo.horizon, config.ppo.minibatches = 256, 1
        trainer = Trainer(Walk(8), config)
        trainer.start()
        for _ in range(3):
            trainer.iterate()
        return trainer.ppo.optimizer.flat.detach().clone()

    one, two = trained(1), trained(2)
    assert torch.equal(two, trained(2))
    torch.testing.assert_close(two, one, atol=5e-3, rtol=0.0)
    assert not torch.equal(two, one)  # else nothing was shared

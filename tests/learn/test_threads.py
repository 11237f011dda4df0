"""The choice of threads: one of those there are, and no trace of the measurement."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_games import Walk

from metabonk.config import Config
from metabonk.learn import threads
from metabonk.learn.trainer import Trainer
from metabonk.protocols import Array


def test_a_seed_means_the_same_network_on_any_number_of_threads() -> None:
    def weights(count: int) -> torch.Tensor:
        torch.set_num_threads(count)
        return torch.cat([p.flatten() for p in Trainer(Walk(6), Config()).model.parameters()])

    assert torch.equal(weights(1), weights(2))
    assert torch.get_num_threads() == 2  # as it was


def test_a_seed_means_the_same_dreams_on_any_number_of_threads(tmp_path: Path) -> None:
    """Their layers are wide enough to be shared, as they are if nobody says otherwise."""
    config = Config()
    config.world.enabled = True

    def state(count: int) -> dict[str, Array]:
        torch.set_num_threads(count)
        return Trainer(Walk(6), config, directory=tmp_path / str(count)).imagination.state()

    one, two = state(1), state(2)
    assert {"world", "dreams", "active"} == {name.split(".")[0] for name in one}
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, err_msg=name)


def test_measuring_leaves_no_trace() -> None:
    def third(measured: bool) -> dict[str, float]:
        trainer = Trainer(Walk(6), Config())
        if measured:
            before = torch.get_rng_state()
            assert threads.choose(trainer) in (1, len(os.sched_getaffinity(0)))
            assert torch.equal(torch.get_rng_state(), before)
        torch.set_num_threads(1)
        trainer.start()
        trainer.iterate()
        return trainer.iterate()

    plain, measured = third(False), third(True)
    for name, value in plain.items():
        if not name.startswith(("seconds", "steps_per_second")):
            assert measured[name] == value, name


@pytest.mark.parametrize(("one", "many", "chosen"), [(1.0, 0.5, 2), (1.0, 0.9, 1), (1.0, 3.0, 1)])
def test_several_threads_have_to_be_worth_it(
    one: float, many: float, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threads, "_probe", lambda _, count: one if count == 1 else many)
    assert threads.choose(Trainer(Walk(2), Config())) == chosen
    assert torch.get_num_threads() == chosen

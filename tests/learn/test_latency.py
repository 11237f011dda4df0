"""Training under simulated latency: it resumes bit for bit, and it is what was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metabonk import artifact, machine
from metabonk.config import load
from metabonk.errors import CheckpointError, CorruptError
from metabonk.games import from_config
from metabonk.games.latency import Delayed
from metabonk.learn import checkpoint
from metabonk.learn.trainer import Trainer

FLAGS = {
    "game.name": "arena",
    "game.envs": 3,
    "game.latency": 0.3,
    "game.jitter": 0.4,
    "game.observation_latency": 0.2,
    "model.hidden": 8,
    "ppo.horizon": 8,
    "ppo.epochs": 1,
}

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)


def make(**more: object) -> Trainer:
    dotted = {key.replace("__", "."): value for key, value in more.items()}
    config = load(flags=FLAGS | dotted, environ={})
    return Trainer(from_config(config.game), config, planned=5_000)


def test_settings_make_the_delays() -> None:
    game = make().game
    assert isinstance(game, Delayed)
    assert (game.delays.latency, game.delays.jitter, game.delays.observation) == (0.3, 0.4, 0.2)
    plain = make(game__latency=0.0, game__jitter=0.0, game__observation_latency=0.0).game
    assert not isinstance(plain, Delayed)


def test_a_run_under_delays_goes_on_bit_for_bit(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    saved = checkpoint.save(tmp_path, trainer.snapshot())
    for _ in range(3):
        trainer.iterate()
    other = make()
    other.restore(checkpoint.read(artifact.load(saved.path)))
    assert not other.restarted
    for _ in range(3):
        other.iterate()
    a, b = trainer.snapshot(), other.snapshot()
    for name in ("weights", "optimizer", "state"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=f"{name} {key}")


def test_delays_change_what_is_learned() -> None:
    late, prompt = make(), make(game__latency=0.0, game__jitter=0.0, game__observation_latency=0.0)
    for trainer in (late, prompt):
        trainer.start()
        trainer.iterate()
    first = late.snapshot().weights
    assert any((first[k] != v).any() for k, v in prompt.snapshot().weights.items())


def test_another_delay_is_another_run(tmp_path: Path) -> None:
    trainer = make()
    trainer.start()
    trainer.iterate()
    saved = checkpoint.read(checkpoint.save(tmp_path, trainer.snapshot()))
    other = make(game__latency=0.8)
    with pytest.raises((CheckpointError, CorruptError), match="a clone under other delays"):
        other.restore(saved)

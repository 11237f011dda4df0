"""Training under simulated latency: it resumes bit for bit, and it is what was asked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from metabonk import artifact, machine
from metabonk.config import load
from metabonk.errors import CheckpointError, CorruptError, GameError
from metabonk.games import from_config
from metabonk.games.latency import Delayed
from metabonk.learn import checkpoint
from metabonk.learn.evaluate import evaluate, seeds
from metabonk.learn.report.film import Playback, Remembering, Showing
from metabonk.learn.trainer import Trainer
from metabonk.models.actor import Uniform

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


def test_under_delays_the_film_is_the_best_episode(tmp_path: Path) -> None:
    """It is played alone, by what was done among others; the control decides without delays."""
    (tmp_path / "short.json").write_text('{"time": {"duration": 5}}')
    short = {"game.level": str(tmp_path / "short.json"), "game.frame_skip": 16, "game.envs": 4}
    config = load(flags=FLAGS | short, environ={})
    with contextlib.closing(from_config(config.game)) as game:
        policy = Remembering(Uniform(game.action_layout, seed=4))
        found = evaluate(game, policy, episodes=8, seed=0, baselines={})
    rows = policy.of(found.best // 2)
    shown = []
    for _ in range(2):
        with contextlib.closing(from_config(config.game, 1)) as game:
            seed = seeds(0, found.envs)[found.best // 2]
            showing = Showing(game, Playback(rows), [seed], 0, found.best % 2)
            with contextlib.suppress(GameError):  # the control's episode may go on for longer
                for _ in showing.frames():
                    pass
            shown.append(showing.reward)
        config.game.latency = config.game.jitter = config.game.observation_latency = 0.0
    assert shown[0] == pytest.approx(max(found.returns), rel=1e-5)
    assert shown[1] != pytest.approx(shown[0], rel=1e-3)

"""Whole runs that must reach a figure: a short one always, the claims with `--long`."""

from __future__ import annotations

from pathlib import Path

import pytest

from metabonk.config import Config, load
from metabonk.learn import presets
from metabonk.learn.run import train

SEEDS = range(5)


def configure(game: str, directory: Path, **flags: object) -> Config:
    given = {"game.name": game, "run.directory": str(directory), "run.video": False}
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return load(presets=presets.preset, flags=given | dotted, environ={})


def test_cartpole_is_learned_in_seconds(tmp_path: Path) -> None:
    config = configure("gym/CartPole-v1", tmp_path / "run", run__steps=25_000, run__torch_threads=1)
    result = train(config)
    assert result.steps <= 25_000
    assert result.evaluation is not None
    assert result.evaluation.return_mean > 150
    assert result.evaluation.against["random"].better


@pytest.mark.training
@pytest.mark.parametrize("seed", SEEDS)
def test_cartpole_claim(seed: int, tmp_path: Path) -> None:
    """Mean of at least 475 over 100 evaluation episodes within 60,000 steps."""
    config = configure(
        "gym/CartPole-v1",
        tmp_path / "run",
        run__steps=60_000,
        run__seed=seed,
        run__eval_episodes=100,
    )
    result = train(config)
    assert result.steps <= 60_000
    assert result.evaluation is not None
    assert result.evaluation.episodes == 100
    assert result.evaluation.return_mean >= 475


@pytest.mark.training
@pytest.mark.parametrize("seed", SEEDS)
def test_arena_claim_random(seed: int, tmp_path: Path) -> None:
    """The pilot beats random play within three minutes, 95 % interval above 0."""
    config = configure("arena", tmp_path / "run", run__minutes=3.0, run__seed=seed)
    result = train(config)
    assert result.evaluation is not None
    assert result.evaluation.against["random"].better


@pytest.mark.training
@pytest.mark.parametrize("seed", SEEDS)
def test_arena_claim_scripted(seed: int, tmp_path: Path) -> None:
    """The pilot beats scripted play within fifteen minutes, 95 % interval above 0."""
    config = configure(
        "arena",
        tmp_path / "run",
        run__minutes=15.0,
        run__seed=seed,
        run__eval_episodes=1024,
    )
    result = train(config)
    assert result.evaluation is not None
    assert result.evaluation.against["scripted"].better


@pytest.mark.training
def test_doom_claim(tmp_path: Path) -> None:
    """Health gathering from pixels beats random play within ten minutes."""
    pytest.importorskip("vizdoom")
    config = configure("doom/health_gathering", tmp_path / "run", run__minutes=10.0)
    result = train(config)
    assert result.evaluation is not None
    assert result.evaluation.against["random"].better


@pytest.mark.training
def test_latency_claim(tmp_path: Path) -> None:
    """CartPole under 80 ms from decision to effect: who learned without them falls, who learned
    with them does not. The same 64 episodes, whichever way the policy learned."""
    from metabonk.config import load as read
    from metabonk.games import from_config
    from metabonk.learn.assess import load_model
    from metabonk.learn.evaluate import play
    from metabonk.models.actor import Actor

    found: dict[float, float] = {}
    for latency in (0.0, 0.08):
        run = tmp_path / f"{latency}"
        train(configure("gym/CartPole-v1", run, run__steps=100_000, game__latency=latency))
        config = read(run / "config.toml", environ={})
        config.game.latency = 0.08
        game = from_config(config.game, 32)
        model, _ = load_model(run, game, config)
        found[latency] = float(play(game, Actor(model, sampled=False), 64, 0)["return"].mean())
        game.close()
    print(f"return under 80 ms: {found[0.0]:.0f} learned without, {found[0.08]:.0f} with them")
    assert found[0.0] < 100.0
    assert found[0.08] > 400.0

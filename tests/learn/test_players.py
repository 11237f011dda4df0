"""Whoever leads serves: in checkpoints, evaluations, films, reports, compiled, and after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from run_tiny import make_game
from tiny_dreams import dreaming
from tiny_games import Walk

from metabonk.artifact import Artifact
from metabonk.cli.players import player_of
from metabonk.config import Config, CpqeConfig, load
from metabonk.errors import CheckpointError
from metabonk.learn import assess, checkpoint, compiling, presets, run
from metabonk.learn.motors import pretrain
from metabonk.learn.players import Players, who_of
from metabonk.learn.report import publish
from metabonk.learn.trainer import Trainer
from metabonk.metrics import read_records
from metabonk.models.actor import Actor
from metabonk.models.dreamer import DreamerPolicy
from metabonk.models.heads import ActionHead
from metabonk.models.motor import build
from metabonk.play import compiled

UP, DOWN = 1, 0  # who goes up earns


def configure(directory: Path) -> Config:
    """Both play half of the games, and neither learns."""
    config = dreaming(directory, dream__share=0.5, dream__learning_rate=1e-12)
    config.ppo.learning_rate = 1e-12
    config.run.eval_episodes = 6
    return config


def always(head: ActionHead, choice: int) -> None:
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.fill_(-20.0)
        head.linear.bias[choice] = 20.0


@pytest.fixture(scope="module")
def games() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, assess):
            patch.setattr(module, "from_config", make_game)
        yield patch


def trained(directory: Path, games: pytest.MonkeyPatch, dreamer: int) -> run.RunResult:
    """A run whose dreamer does nothing but go `dreamer`, and whose policy the other way."""
    start = Trainer.start

    def begin(trainer: Trainer) -> None:
        assert trainer.dreams is not None
        always(trainer.dreams.learner.dreamer.head, dreamer)
        always(trainer.model.head, 1 - dreamer)
        start(trainer)

    with games.context() as patch:
        patch.setattr(Trainer, "start", begin)
        return run.train(configure(directory))


@pytest.fixture(scope="module")
def led(games: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> run.RunResult:
    """The dreamer leads."""
    return trained(tmp_path_factory.mktemp("led") / "run", games, UP)


@pytest.fixture(scope="module")
def behind(games: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> run.RunResult:
    """The control: the policy does."""
    return trained(tmp_path_factory.mktemp("behind") / "run", games, DOWN)


def test_a_run_reports_whoever_leads(led: run.RunResult, behind: run.RunResult) -> None:
    for result, who, rival in ((led, "dreamer", "policy"), (behind, "policy", "dreamer")):
        found = result.evaluation
        assert found is not None
        assert (found.player, found.rival) == (who, rival)
        assert found.return_mean > 1.0 > -1.0 > found.against[rival].mean
        assert found.against[rival].better
        assert found.strongest == found.against["random"]  # the other player is no baseline
        report = msgspec.json.decode((result.directory / "report.json").read_bytes())
        assert report["eval"]["player"] == who
        assert report["eval"][f"{who}_mean"] == report["eval"]["return_mean"] == found.return_mean
        assert report["eval"][f"{rival}_mean"] == found.against[rival].mean
        assert result.checkpoint.card.details["serves"] == who
        page = (result.directory / "report.html").read_text()
        assert f'steps the {who} returns <b class="{who}">' in page
        assert "policy, while learning" in page
        assert "dreamer, while learning" in page


def test_the_history_has_both_and_who_led(led: run.RunResult) -> None:
    records = list(read_records(led.directory / "metrics.jsonl"))
    last = [r for r in records if r.event == "checkpoint"][-1]
    assert last.values["serves"] == "dreamer"
    told = {key: value for r in records if not r.event for key, value in r.values.items()}
    assert told["dreamer_return_mean"] > 1.0 > -1.0 > told["return_mean"]
    assert told["dream_lead"] > told["dream_lead_low"] or told["dream_lead"] > 2.0
    assert told["eval_dreamer_mean"] == told["eval_return_mean"] > told["eval_policy_mean"]


def test_who_plays_or_is_measured_later_is_who_led(
    led: run.RunResult, behind: run.RunResult
) -> None:
    for result, kind in ((led, DreamerPolicy), (behind, Actor)):
        where = result.directory
        config = load(where / "config.toml", environ={})
        player = player_of(str(where), where, Walk(1), config, 3, True)
        assert isinstance(player, kind)
        assert (player.sampled, player.seed) == (False, 3)
        measured = assess.read(assess.assess_run(where, episodes=6, seed=4, sampled=False))
        assert result.evaluation is not None
        assert measured.player == result.evaluation.player
        assert measured.return_mean > 1.0


def test_what_is_compiled_of_a_run_is_who_led(led: run.RunResult, tmp_path: Path) -> None:
    """Unless the other one is asked for."""
    seen = {"observation": np.zeros((1, 3), np.float32)}
    for dreamer, choice in ((None, UP), (True, UP), (False, DOWN)):
        out = tmp_path / str(dreamer)
        compiling.compile_run(led.directory, out, episodes=0, valued=True, dreamer=dreamer)
        made = compiled.load(out)
        assert [float(made.step(seen)[0, 0]) for _ in range(3)] == [choice] * 3


def test_the_film_shows_who_was_measured(
    led: run.RunResult, games: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the game cannot be put back to how it was, whoever led acts again."""
    shown: list[object] = []
    monkeypatch.setattr(Walk, "snapshots", False)
    monkeypatch.setattr(publish, "film_episode", lambda _, policy, **__: shown.append(policy))
    publish.film(led, load(led.directory / "config.toml", environ={}))
    (player,) = shown
    assert isinstance(player, DreamerPolicy)


def test_a_dreamer_from_a_checkpoint_acts_as_the_one_that_was_saved(
    games: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = configure(tmp_path)
    config.dream.learning_rate = 1e-2
    trainer = Trainer(Walk(6), config, directory=tmp_path)
    trainer.start()
    for _ in range(3):
        trainer.iterate()
    assert trainer.dreams is not None
    trainer.dreams.contest.load({"policy": [0.0] * 4, "dreamer": [1.0] * 4})
    checkpoint.save(tmp_path, trainer.snapshot())
    players, found = assess.load_players(tmp_path, Walk(2), config)
    assert isinstance(found, Artifact)
    assert players.serves == trainer.players.serves == "dreamer"
    assert players.rival == "policy"
    seen, first = {"observation": np.ones((2, 3), np.float32)}, np.ones(2, np.bool_)
    for who in ("dreamer", "policy"):
        rows = []
        for either in (players, trainer.players):
            policy = either.playing(who, seed=5)  # type: ignore[arg-type]
            state, mine = policy.reset(2), []
            for _ in range(4):
                row, state = policy.act(seen, state, first)
                mine.append(row.copy())
            rows.append(np.stack(mine))
        np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize("sampled", [True, False])
def test_a_motor_stands_beside_whoever_serves(
    led: run.RunResult, behind: run.RunResult, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As he is evaluated: with chance or without."""
    playing, how = Players.playing, []

    def told(players: Players, *args: object, **given: object) -> object:
        how.append(given["sampled"])
        return playing(players, *args, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Players, "playing", told)
    game = Walk(6)
    for result, who in ((led, "dreamer"), (behind, "policy")):
        config = presets.begun(result.directory, environ={})
        config.run.eval_sampled = sampled
        motor = build(game.observation_space, game.action_layout, CpqeConfig(hidden=8), seed=0)
        found = pretrain._measure(game, motor, result.directory, config, 0, 6)
        assert found.player == "motor"
        assert {"policy", "dreamer"} & found.against.keys() == {who}
        assert result.evaluation is not None
        assert found.against[who].mean == result.evaluation.return_mean
    assert how == [sampled] * 2


def test_a_dreamer_that_only_teaches_serves_nobody(tmp_path: Path) -> None:
    config = dreaming(tmp_path)
    trainer = Trainer(Walk(6), config, directory=tmp_path)
    trainer.start()
    trainer.iterate()
    assert trainer.players.rival is None
    assert "serves" not in trainer.snapshot().details
    checkpoint.save(tmp_path, trainer.snapshot())
    players, _ = assess.load_players(tmp_path, Walk(1), config)
    assert players.dreams is None
    assert isinstance(players.playing(), Actor)
    with pytest.raises(CheckpointError, match="nobody dreamed here"):
        players.playing("dreamer")


@pytest.mark.parametrize("told", ["nobody", 3, None, ["policy"]])
def test_a_card_that_names_somebody_else_is_refused(told: object) -> None:
    with pytest.raises(CheckpointError, match="wanted policy or dreamer"):
        who_of(told)


def test_a_card_without_its_dreamer_is_refused(led: run.RunResult, tmp_path: Path) -> None:
    config = configure(tmp_path)
    trainer = Trainer(Walk(6), config, directory=tmp_path)
    snapshot = trainer.snapshot()
    state = {k: v for k, v in snapshot.state.items() if not k.startswith("dreams.")}
    snapshot.state = state
    checkpoint.save(tmp_path, snapshot)
    with pytest.raises(CheckpointError, match="there is no dreamer in it"):
        assess.load_players(tmp_path, Walk(1), config)


def test_one_player_has_no_rival() -> None:
    assert Players(model=None).rival is None  # type: ignore[arg-type]

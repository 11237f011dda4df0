"""Ablations: an inert part is found, planted or by mistake; the others are not; the run stays."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from beside_settings import settings
from ended import over_and_gone
from run_tiny import make_game

from metabonk.config import Config
from metabonk.errors import CheckpointError, ConfigError, CorruptError
from metabonk.learn import assess, checkpoint, run
from metabonk.learn.ablation import seeds
from metabonk.learn.ablation import study as ablation
from metabonk.learn.ablation.effects import CONTROL, INTACT, SAME, Ablation
from metabonk.learn.ablation.interventions import PARTS, Part
from metabonk.learn.ablation.study import ablate, read
from metabonk.learn.auxiliary import world as beside
from metabonk.learn.dreams.contest import Contest
from metabonk.learn.players import Players
from metabonk.models.dreamer import DreamerPolicy

STEPS = 6 * 16 * 2
CHARM = Part("charm", lambda _: True, {"zero": lambda _: None, "shuffle": lambda _: None})


def configure(directory: Path, **on: float) -> Config:
    config = settings(**on)
    # Two rollouts have to show it.
    config.world.learning_rate = config.dream.learning_rate = 1e-2
    config.dream.distill_coef = 0.5
    config.ppo.epochs, config.ppo.minibatches = 1, 2
    config.game.name, config.game.envs = "gym/tiny-walk", 6
    config.run.directory, config.run.steps = str(directory), 6 * 16 * 4
    config.run.eval_episodes, config.run.video, config.run.torch_threads = 6, False, 1
    return config


@pytest.fixture(scope="module")
def patched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, assess, ablation):
            patch.setattr(module, "from_config", make_game)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="module")
def trained(patched: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which active inference learns and teaches nobody: a part planted by mistake."""
    directory = tmp_path_factory.mktemp("runs") / "planted"
    config = configure(directory, dream=1, efe=1, intrinsic=0.5)
    config.efe.distill_coef = 0.0
    run.train(config)
    return directory


def hashes(directory: Path) -> dict[str, bytes]:
    kept = [*checkpoint.listed(directory), directory / beside.FOLDER]
    found = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def found(trained: Path) -> tuple[Ablation, dict[str, bytes], Path]:
    before = hashes(trained)
    written = ablate(trained, seeds=2, steps=STEPS, episodes=6, known=(*PARTS, CHARM))
    return read(written), before, written.path


def test_planted_parts_are_found_inert_and_no_others(found: tuple[Ablation, object, Path]) -> None:
    result, _, _ = found
    assert result.inert == ["efe", "charm"]
    assert {f.part for f in result.findings} == {"world", "dream", "efe", "surprise", "charm"}
    moved = {e.part: e.most_moved for e in result.effects}
    for part in ("world", "dream", "surprise"):
        assert moved[part] > SAME * result.chance, part


def test_the_control_repeats_bit_for_bit(found: tuple[Ablation, object, Path]) -> None:
    result, _, _ = found
    assert result.repeats
    control = [t for t in result.trials if t.part == CONTROL]
    intact = [t for t in result.trials if t.part == INTACT]
    assert [t.return_mean for t in control] == [t.return_mean for t in intact] == result.intact
    assert result.chance > 0.0  # other seeds are other trainings
    assert len(result.trials) == 2 * (2 + 2 + 3 + 3 + 2 + 2)


def test_the_run_stays_as_it_was(
    trained: Path, found: tuple[Ablation, dict[str, bytes], Path]
) -> None:
    _, before, path = found
    assert hashes(trained) == before
    left = sorted(p.name for p in (trained / ablation.FOLDER).iterdir())
    assert left == [path.name]
    assert (path / ablation.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_was_measured_is_not_measured_again(trained: Path) -> None:
    begun: list[str] = []

    def progress(done: int, total: int, name: str) -> None:
        begun.append(f"{done}/{total} {name}")

    first = ablate(trained, seeds=2, steps=STEPS, episodes=6, parts=["world"], progress=progress)
    assert begun[0] == "0/8 seed 1: intact"
    assert begun[-1] == "7/8 seed 2: world, shuffle"
    begun.clear()
    same = ablate(trained, seeds=2, steps=STEPS, episodes=6, parts=["world"], progress=progress)
    assert same.hash == first.hash
    assert not begun
    again = ablate(
        trained, seeds=2, steps=STEPS, episodes=6, parts=["world"], again=True, progress=progress
    )
    assert len(begun) == 8
    assert read(again).trials == read(first).trials


def test_an_ablation_that_was_cut_short_goes_on(trained: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done > 6:
            raise KeyboardInterrupt

    asked = {"seeds": 2, "steps": STEPS, "episodes": 6, "parts": ["efe"]}
    with pytest.raises(KeyboardInterrupt):
        ablate(trained, **asked, progress=stop)  # type: ignore[arg-type]
    (
        trained / ablation.FOLDER / f"{ablation.SCRATCH}{over_and_gone()}"
    ).mkdir()  # as a kill leaves it
    begun: list[str] = []
    written = ablate(trained, **asked, progress=lambda *at: begun.append(at[2]))  # type: ignore[arg-type]
    assert all(name.startswith("seed 2") for name in begun)
    assert read(written).seeds == [1, 2]
    assert not [p for p in (trained / ablation.FOLDER).iterdir() if p.name.startswith(".")]
    whole = read(ablate(trained, **asked, again=True))  # type: ignore[arg-type]
    assert whole == read(written)  # how far chance leads, too, which is told from seed to seed
    assert whole.chance > 0.0


def test_a_run_that_trains_meanwhile_may_forget_its_rollouts(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run, ignore=shutil.ignore_patterns(ablation.FOLDER))

    def forgets(done: int, total: int, name: str) -> None:
        if done == 1:
            shutil.rmtree(run / beside.FOLDER)

    asked = {"seeds": 2, "steps": STEPS, "episodes": 6, "parts": ["world"]}
    there = read(ablate(trained, **asked))  # type: ignore[arg-type]
    gone = read(ablate(run, **asked, progress=forgets))  # type: ignore[arg-type]
    assert gone.trials == there.trials
    with pytest.raises(CheckpointError, match="missing or damaged"):
        ablate(run, **asked, again=True)  # type: ignore[arg-type]


def test_a_damaged_seed_is_named(trained: Path) -> None:
    def stop(done: int, total: int, name: str) -> None:
        if done > 3:
            raise KeyboardInterrupt

    asked = {"seeds": 2, "steps": STEPS, "episodes": 4, "parts": ["world"]}
    with pytest.raises(KeyboardInterrupt):
        ablate(trained, **asked, progress=stop)  # type: ignore[arg-type]
    (kept,) = (trained / ablation.FOLDER).glob(".*/seed-1")
    (kept / seeds.TRIALS).write_text("[]")
    with pytest.raises(CorruptError, match="seed-1 and its seed is measured again"):
        ablate(trained, **asked)  # type: ignore[arg-type]
    shutil.rmtree(kept.parent)


def test_active_inference_that_teaches_is_not_inert(patched: None, tmp_path: Path) -> None:
    """The control of the planted one: the same part, heard."""
    config = configure(tmp_path / "run", efe=1)
    config.efe.distill_coef = 0.5
    run.train(config)
    result = read(ablate(tmp_path / "run", seeds=2, steps=STEPS, episodes=6, from_start=True))
    assert result.inert == []
    assert {e.part for e in result.effects} == {CONTROL, "world", "efe"}
    assert result.from_start


@pytest.fixture(scope="module")
def acting(patched: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose dreamer plays a share of the games, learns nothing and teaches nobody."""
    directory = tmp_path_factory.mktemp("runs") / "acting"
    config = configure(directory, dream=1, share=0.25)
    config.dream.distill_coef, config.dream.learning_rate = 0.0, 1e-30
    run.train(config)
    return directory


def of_dream(run: Path, monkeypatch: pytest.MonkeyPatch, led: bool) -> Ablation:
    """Its dreamer ablated: as if he led in every training, or in none."""
    monkeypatch.setattr(Contest, "led", led)
    asked = {"seeds": 2, "steps": STEPS, "episodes": 6, "parts": ["dream"], "again": True}
    return read(ablate(run, **asked))  # type: ignore[arg-type]


def test_a_useless_dreamer_is_inert_although_it_plays(
    acting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = of_dream(acting, monkeypatch, led=False)
    assert result.inert == ["dream"]
    assert result.chance > 0.0
    assert {trial.serves for trial in result.trials} == {"policy"}


def test_a_dreamer_that_leads_is_who_plays(acting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the useless one: what he does counts, and without him the policy serves."""
    played: list[str] = []
    playing = Players.playing

    def told(players: Players, *args: Any, **how: Any) -> Any:
        found = playing(players, *args, **how)
        played.append("dreamer" if isinstance(found, DreamerPolicy) else "policy")
        return found

    monkeypatch.setattr(Players, "playing", told)
    result = of_dream(acting, monkeypatch, led=True)
    assert result.inert == []
    assert played == [trial.serves for trial in result.trials]
    assert {t.part: t.serves for t in result.trials if t.mode == "again"} == {
        INTACT: "dreamer", CONTROL: "dreamer"
    }  # fmt: skip
    assert {t.serves for t in result.trials if t.mode == "zero"} == {"policy"}
    assert all(t.moved > 0.0 for t in result.trials if t.mode == "zero")
    assert result.repeats
    assert result.chance > 0.0  # of dreamers of two seeds


def test_a_seed_whose_dreamer_led_is_gone_on_from(
    acting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Contest, "led", True)

    def stop(done: int, total: int, name: str) -> None:
        if done > 5:
            raise KeyboardInterrupt

    asked = {"seeds": 2, "steps": STEPS, "episodes": 4, "parts": ["dream"]}
    with pytest.raises(KeyboardInterrupt):
        ablate(acting, **asked, progress=stop)  # type: ignore[arg-type]
    halves = read(ablate(acting, **asked))  # type: ignore[arg-type]
    whole = read(ablate(acting, **asked, again=True))  # type: ignore[arg-type]
    assert halves == whole
    assert whole.chance > 0.0


def test_a_world_model_that_nobody_reads_is_inert(patched: None, tmp_path: Path) -> None:
    config = configure(tmp_path / "run")
    config.world.enabled = True
    run.train(config)
    result = read(ablate(tmp_path / "run", seeds=2, steps=STEPS, episodes=6))
    assert result.inert == ["world"]
    (finding,) = result.findings
    assert "whoever plays comes out the same with it frozen, shuffled" in finding.why


def test_what_cannot_be_ablated_is_said(trained: Path, patched: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="part 'dreams': the run has world, dream, efe, surprise"):
        ablate(trained, parts=["dreams"])
    with pytest.raises(ConfigError, match="seeds: 1; an interval needs at least 2"):
        ablate(trained, seeds=1)
    run.train(configure(tmp_path / "plain"))
    with pytest.raises(ConfigError, match="nothing that learns beside its policy"):
        ablate(tmp_path / "plain")


def test_a_run_from_before_a_setting_is_ablated_as_it_was_begun(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be another algorithm whose parts are taken away."""
    asked: list[bool] = []

    def trainer(game: object, config: Config, **_: object) -> None:
        asked.append(config.ppo.discount_time)
        raise KeyboardInterrupt

    monkeypatch.setattr(ablation, "Trainer", trainer)
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "config.toml"
    text = file.read_text()
    assert "discount_time = true" in text
    for lines in (text, re.sub(r"(?m)^discount_time = .*\n", "", text)):
        file.write_text(lines)
        with pytest.raises(KeyboardInterrupt):
            ablate(tmp_path / "run", seeds=2, steps=STEPS)
    assert asked == [True, False]

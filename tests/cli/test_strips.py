"""`metabonk strips`: measures predictors on real frames, keeps the table, draws an example."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabonk import config as settings
from metabonk.cli.strips import Held, keep
from metabonk.cognition.strips.predictors import Measurement, read_table
from metabonk.cognition.strips.strip import decode
from metabonk.errors import CorruptError

Metabonk = Callable[..., Any]
SHORT = ("strips", "--seconds", 2.0)


def test_the_arena_is_measured_and_drawn(metabonk: Metabonk, tmp_path: Path) -> None:
    picture, table = tmp_path / "strip.jpg", tmp_path / "gains.json"
    said = metabonk(*SHORT, "--picture", picture, "--record", table, "--json")
    assert said.code == 0, said.err
    (found,) = json.loads(said.out)["measurements"]
    assert (found["game"], found["predictor"]) == ("arena", "flow")
    assert found["cases"] > 3
    assert len(found["gains"]) == len(found["psnr"]) == 3
    assert found["good"] == (
        min(found["gains"]) >= 0.5
        and all(p > s for p, s in zip(found["psnr"], found["smooth"], strict=True))
    )
    (kept,) = read_table(table)
    assert kept.psnr == tuple(found["psnr"])
    height, width = found["size"]
    assert decode(picture.read_bytes()).shape == (3 * height, 9 * width, 3)


def test_a_table_that_no_default_is_read_from_is_said_to_be_one(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "gains.json"
    monkeypatch.setattr("metabonk.cognition.strips.predictors.TABLE", own)
    said = metabonk(*SHORT, "--record", tmp_path / "other.json")
    assert f"no default is read from here: give --record {own}" in said.err
    said = metabonk(*SHORT, "--record", tmp_path / "." / "gains.json")
    assert "no default" not in said.err


def test_frames_can_be_judged_at_another_size(metabonk: Metabonk) -> None:
    said = metabonk(*SHORT, "--size", "84x96", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["measurements"][0]["size"] == [84, 96]


def test_it_is_shown_as_a_table(metabonk: Metabonk) -> None:
    said = metabonk(*SHORT)
    assert said.code == 0, said.err
    assert "gain, dB" in said.out
    assert "by default, by" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--predictor", "dream"], "needs a run with a world model"),
        (["--predictor", "none"], "give flow or dream"),
        (["--predictor", "auto"], "give flow or dream"),
        (["--picture", "strip.png"], "give a .jpg"),
        (["--size", "big"], "HEIGHTxWIDTH"),
        (["--size", "4x4"], "16 to 4096"),
        (["--game", "gym/CartPole-v1"], "in which something moves"),
    ],
)
def test_what_cannot_be_measured_is_said(
    metabonk: Metabonk, words: list[str], message: str
) -> None:
    said = metabonk(*SHORT, *words)
    assert said.code == 2
    assert message in said.err


class Copying:
    """The last frame again, as a world model that has learned nothing might dream it."""

    name = "dream"

    def predict(self, frames: Any, times: Any, at: Any) -> list[Any]:
        return [frames[-1]] * len(at)


def run_of(folder: Path, **game: Any) -> Path:
    """A directory with a run's settings."""
    config = settings.load(flags={f"game.{key}": value for key, value in game.items()}, environ={})
    folder.mkdir()
    (folder / "config.toml").write_text(settings.to_toml(config))
    return folder


def test_a_world_model_keeps_the_pace_that_it_learned_at(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames come sixty times a second here; its steps are those of its run all the same."""
    pytest.importorskip("torch")
    paces: list[int] = []

    def of_run(run: Path, config: Any) -> Copying:
        paces.append(config.game.frame_skip)
        return Copying()

    monkeypatch.setattr("metabonk.learn.dreams.frames.of_run", of_run)
    monkeypatch.setattr("metabonk.cli.strips.world_of", lambda run: f"the checkpoint of {run.name}")
    run = run_of(tmp_path / "run", name="arena", frame_skip=4)
    words = ("--predictor", "dream", "--predictor", "flow", "--world", run)
    words += ("--set", "game.frame_skip=1", "--record", tmp_path / "gains.json", "--json")
    said = metabonk(*SHORT, *words)
    assert said.code == 0, said.err
    assert paces == [4]
    kept, flow = read_table(tmp_path / "gains.json")
    assert (flow.predictor, flow.world) == ("flow", "")
    assert (kept.predictor, kept.gains, kept.good) == ("dream", (0.0, 0.0, 0.0), False)
    assert kept.ahead == (0.05, 0.1, 0.15), "of frames at 60 Hz"
    assert kept.world == "the checkpoint of run"


def test_a_world_model_of_something_else_is_refused(metabonk: Metabonk, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = metabonk(*SHORT, "--predictor", "dream", "--world", tmp_path)
    assert said.code == 2
    assert "holds no run" in said.err
    run = run_of(tmp_path / "run", name="grid64/key_door")
    said = metabonk(*SHORT, "--predictor", "dream", "--world", run)
    assert said.code == 2
    assert "it learned grid64/key_door, and strips are of arena" in said.err


def measured(game: str, gain: float, world: str = "") -> Measurement:
    return Measurement(
        game=game, predictor="dream" if world else "flow", size=(10, 10), ahead=(0.05,),
        psnr=(20.0 + gain,), copy=(20.0,), smooth=(20.0,), cases=1, world=world,
    )  # fmt: skip


def test_a_table_keeps_the_newest_of_each(tmp_path: Path) -> None:
    path = tmp_path / "gains.json"
    keep([measured("a", 1.0), measured("b", 2.0)], path)
    keep([measured("a", 3.0)], path)
    assert [(m.game, m.gains[0]) for m in read_table(path)] == [("a", 3.0), ("b", 2.0)]
    keep([measured("b", 1.0, "mine"), measured("b", 2.0, "yours")], path)
    keep([measured("b", 4.0, "yours")], path)
    found = {m.world: m.gains[0] for m in read_table(path) if m.predictor == "dream"}
    assert found == {"mine": 1.0, "yours": 4.0}
    path.write_text("{}")
    with pytest.raises(CorruptError):
        keep([measured("a", 1.0)], path)
    assert path.read_text() == "{}"


class Counting:
    def reset(self, num_envs: int) -> int:
        return 0

    def act(self, observation: Any, state: int, is_first: Any) -> tuple[Any, int]:
        return np.full((1, 1), state, np.float32), state + 1


def test_a_player_is_held_and_let_go_at_a_beginning() -> None:
    held, done = Held(Counting(), 3), []
    state = held.reset(1)
    for first in (True, False, False, False, True, False):
        rows, state = held.act({}, state, np.array([first]))
        done.append(int(rows[0, 0]))
    assert done == [0, 0, 0, 1, 2, 2]

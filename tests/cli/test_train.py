"""cli/train.py, eval.py, play.py on CartPole: what a newcomer does in the first minute."""

from __future__ import annotations

import errno
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metabonk import artifact, metrics
from metabonk.cli.progress import ProgressSink, clock
from metabonk.metrics import Record, read_records

pytest.importorskip("torch")
Run = Callable[..., "tuple[int, str, str]"]

SMALL = (
    *("--game", "gym/CartPole-v1", "--set", "game.envs=8", "--set", "run.eval_episodes=8"),
    *("--set", "ppo.epochs=2", "--set", "ppo.horizon=32", "--set", "run.video=0"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    from metabonk.cli.main import run

    made = tmp_path_factory.mktemp("runs") / "cartpole"
    with pytest.raises(SystemExit):
        run(["train", *SMALL, "--steps", "1024", "--run", str(made)])
    return made


def test_a_run_directory_holds_everything(directory: Path) -> None:
    for name in ("config.toml", "metrics.jsonl", "curve.png", "report.html", "report.json"):
        assert (directory / name).stat().st_size > 0, name
    report = json.loads((directory / "report.json").read_text())
    assert {"game", "seed", "steps", "seconds", "steps_per_second", "eval"} == set(report)
    assert report["steps"] == 1024
    names = {"return_mean", "random_mean", "scripted_mean", "difference_ci95", "episodes"}
    assert names <= set(report["eval"])
    assert len({r.step for r in read_records(directory / "metrics.jsonl")}) >= 4


def test_train_prints_json(metabonk: Run, tmp_path: Path) -> None:
    words = ("train", *SMALL, "--steps", 512, "--run", tmp_path / "run", "--json", "--record")
    code, out, err = metabonk(*words)
    assert code == 0, err
    printed = json.loads(out)
    assert printed["steps"] == 512
    assert set(printed["profile"]) == {"env", "policy", "update", "other"}
    from metabonk.data.episode import EpisodeStore

    store = EpisodeStore(tmp_path / "run" / "episodes")
    assert sum(len(e) for e in (store.read(*k) for k in store.entries(complete=False))) >= 480


def test_what_a_reader_should_know_is_printed(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film that fails, and other threads than before, on standard error, with --json too."""
    from metabonk.learn.report import publish

    def broken(*_: object) -> None:
        raise OSError("no room for a film")

    monkeypatch.setattr(publish, "film", broken)
    words = ("train", *SMALL, "--set", "run.video=1", "--run", tmp_path / "run")
    code, _, err = metabonk(*words, "--steps", 512, "--set", "run.torch_threads=1")
    assert code == 0
    assert "note: There is no film, because filming failed: OSError: no room for a film" in err
    more = ("train", "--run", tmp_path / "run", "--resume", "--steps", 1024)
    threads = ("--set", "run.torch_threads=2")
    code, out, err = metabonk(*more, *threads)
    assert code == 0
    assert "note: sums round otherwise than before: threads of the network: was 1, now 2" in err
    code, out, err = metabonk(*more, *threads, "--json")
    assert json.loads(out)["steps"] == 1024
    assert "no room for a film" in err
    assert "threads of the network: was 1, now 2" in err


def test_result_and_profile(metabonk: Run, tmp_path: Path) -> None:
    words = ("train", *SMALL, "--steps", 512, "--run", tmp_path / "run", "--profile")
    code, out, _ = metabonk(*words)
    assert code == 0
    assert "random play" in out
    assert "choosing actions" in out
    assert f"metabonk train --resume --run {tmp_path / 'run'}" in out


def test_a_system_2_that_nobody_asks_is_said_to_be_one(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for on in (0, 1):
        monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", str(on))
        monkeypatch.setenv("METABONK_USE_SIMA2", str(on))
        code, _, err = metabonk("train", *SMALL, "--steps", "256", "--run", str(tmp_path / str(on)))
        assert code == 0, err
        assert err.count("(METABONK_SYSTEM2_ENABLED), sima2.enabled (METABONK_USE_SIMA2): no") == on


def test_an_existing_run_wants_resume(metabonk: Run, directory: Path) -> None:
    code, _, err = metabonk("train", *SMALL, "--steps", 2048, "--run", directory)
    assert code == 2
    assert "--resume" in err
    code, _, err = metabonk("train", "--resume")
    assert code == 2
    assert "--resume needs the run's directory" in err
    code, _, err = metabonk("train", "--resume", "--run", directory / "none")
    assert code == 2
    assert "holds no run to go on with" in err


def test_resume_goes_on_with_the_runs_own_settings(metabonk: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert metabonk("train", *SMALL, "--steps", 512, "--run", run).code == 0
    code, out, err = metabonk("train", "--resume", "--run", run, "--steps", 1024, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 1024
    steps = [r.step for r in read_records(run / "metrics.jsonl") if not r.event]
    assert steps == sorted(steps)


def test_one_episode_tells_nothing_apart(metabonk: Run, directory: Path) -> None:
    code, out, _ = metabonk("eval", directory, "--episodes", 1, "--seed", 6)
    assert code == 0
    assert "(too few episodes)" in out
    assert "not told apart" in out
    assert "1 episode, the same ones for everyone" in out
    code, out, _ = metabonk("eval", directory, "--episodes", 1, "--seed", 6, "--json")
    assert json.loads(out)["against"]["random"]["ci95"] is None


def test_eval(metabonk: Run, directory: Path) -> None:
    code, out, _ = metabonk("eval", directory, "--episodes", 8, "--seed", 5, "--json")
    assert code == 0
    result = json.loads(out)
    assert len(result["returns"]) == result["episodes"] == 8
    assert "random" in result["against"]
    code, out, _ = metabonk("eval", directory, "--episodes", 8, "--seed", 5)
    assert code == 0
    assert f"{1024:012d}-seed5-8-greedy, measured 20" in out
    code, _, err = metabonk("eval", directory / "none")
    assert code == 2
    assert "holds no run" in err


def test_compile(metabonk: Run, directory: Path, tmp_path: Path) -> None:
    from metabonk.play.compiled import load

    words = ("compile", directory, "--precision", "fp32", "--precision", "int4", "--episodes", 8)
    code, out, err = metabonk(*words)
    assert code == 0, err
    assert "100.00 %" in out
    assert "+0.00" in out
    for precision in ("fp32", "int4"):
        policy = load(directory / "policies" / precision)
        assert policy.terms.precision == precision
        assert not policy.terms.sampled
    code, out, _ = metabonk("compile", directory, "--out", tmp_path / "p", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert found["fidelity"]["agreement"] == 1.0
    assert found["fidelity"]["decisions"] > 0
    (certificate,) = artifact.load(tmp_path / "p").card.certificates
    assert certificate["fidelity"] == found["fidelity"]
    code, _, err = metabonk("compile", directory, "--precision", "fp64")
    assert code == 2
    assert "there are fp32, bf16" in err
    code, _, err = metabonk("compile", directory / "none")
    assert code == 2
    assert "holds no run" in err
    code, _, err = metabonk("compile", directory, "--dreamer", "--episodes", 0)
    assert code == 2
    assert "learned no world model" in err


def test_play_films_a_policy(metabonk: Run, directory: Path, tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    image = pytest.importorskip("PIL.Image")
    words = ("play", "--policy", directory, "--video", tmp_path / "film.gif", "--episodes", 2)
    code, out, err = metabonk(*words)
    assert code == 0, err
    assert "frames" in out
    with image.open(tmp_path / "film.gif") as film:
        assert film.n_frames >= 5
    code, _, err = metabonk("play", "--game", "gym/CartPole-v1", "--policy", "best")
    assert code == 2
    assert "has only random" in err
    code, _, err = metabonk("play", "--game", "gym/CartPole-v1", "--human")
    assert code == 2
    assert "only the arena" in err


def test_progress_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module("metabonk.learn.run")  # declares them
    from metabonk.learn.report.publish import LOST, NO_MOTOR

    for name in ("return_mean", "steps_per_second", "seconds_left", "minutes"):
        assert name in metrics.declared(), "what the bar shows is what training measures"
    with ProgressSink("learning") as sink:
        values = {"return_mean": 12.5, "steps_per_second": 2e4, "seconds_left": 65.0}
        values["wm_trust"] = 3.0
        sink.write(Record(0, 0.0, "dreams", {"when": "dreams begin after 9 steps"}))
        sink.write(Record(1_200_000, 0.0, "", {**values, "minutes": 1.0}))
        sink.write(Record(1_200_000, 0.0, "resumed", {}))
        sink.write(Record(1_200_000, 0.0, LOST, {"count": 2}))
        sink.write(Record(1_200_000, 0.0, NO_MOTOR, {"reason": "none [/of] 12"}))
    err = capsys.readouterr().err
    right = "the world model right for 3.0 steps"
    assert f"1.2M steps, 20,000 steps/s, return 12.50, {right}, 1:05 left" in err
    assert "dreams begin after 9 steps" in err
    assert "died and were started again: 2" in err
    assert "no motor: none [/of] 12" in err
    assert "resumed at step 1.2M" in err


def test_clock() -> None:
    assert [clock(s) for s in (0, 65, 3605, -1)] == ["0:00", "1:05", "1:00:05", "0:00"]


def test_a_variable_that_keeps_a_run_from_going_on_is_named(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    assert metabonk("train", *SMALL, "--steps", 256, "--run", run).code == 0
    monkeypatch.setenv("METABONK_PPO_CLIP", "0.07")
    resumed = ("train", "--resume", "--run", run, "--steps", 512)
    code, _, err = metabonk(*resumed)
    assert code == 2
    assert "ppo.clip was 0.2, now 0.07" in err
    assert "variables that are set here change ppo.clip: unset what you have of METABONK_PPO" in err
    monkeypatch.delenv("METABONK_PPO_CLIP")
    code, _, err = metabonk(*resumed, "--set", "ppo.clip=0.07")
    assert code == 2
    assert "variables that are set here" not in err, "a flag is no variable"


def test_resume_takes_what_a_file_leaves_out_from_the_run(metabonk: Run, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "more.toml"
    assert metabonk("train", *SMALL, "--steps", 512, "--run", run).code == 0
    file.write_text("[run]\nsteps = 1024\n")
    code, out, err = metabonk("train", "--resume", "--run", run, "--config", file, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 1024


def test_a_run_from_before_a_setting_goes_on_as_it_was_begun(metabonk: Run, tmp_path: Path) -> None:
    """What its file and journal lack is as it was without: off for time, the default for noise."""
    run = tmp_path / "run"
    assert metabonk("train", *SMALL, "--steps", 512, "--run", run).code == 0
    keys = ("discount_time", "noise_memory")
    kept = (run / "config.toml").read_text().splitlines(keepends=True)
    old = "".join(line for line in kept if not line.startswith(keys))
    assert old.count("\n") == len(kept) - 2
    (run / "config.toml").write_text(old)
    entries = [json.loads(line) for line in (run / "stages.jsonl").read_text().splitlines()]
    for entry in entries:
        for key in keys:
            del entry["identity"][f"ppo.{key}"]
    (run / "stages.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    more = ("train", "--resume", "--run", run, "--steps", 1024)
    code, _, err = metabonk(*more, "--set", "ppo.noise_memory=0.5")
    assert code == 2
    assert "ppo.noise_memory was not there yet, as if 0.0, now 0.5" in err
    code, out, err = metabonk(*more, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 1024
    now = (run / "config.toml").read_text()
    assert "\ndiscount_time = false" in now
    assert "\nnoise_memory = 0.0" in now


def test_a_page_says_how_to_raise_the_bound_that_ended_the_run(directory: Path) -> None:
    assert f"--run {directory} --resume --steps 2048" in (directory / "report.html").read_text()


def test_an_interrupt_outside_the_loop_says_how_to_go_on(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("metabonk.learn.run"), "train", stopped)
    code, _, err = metabonk("train", *SMALL, "--run", tmp_path / "run")
    assert code == 130
    assert "--resume" not in err, "there is nothing to go on with"
    assert "stopped before the run began" in err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").touch()
    code, _, err = metabonk("train", *SMALL, "--run", tmp_path / "run")
    assert code == 130
    assert f"go on with: metabonk train --resume --run {tmp_path / 'run'}" in err


def test_a_run_that_ended_before_it_had_settings_is_begun(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as its journal says it was begun; there is nothing to go on with."""
    run, module = tmp_path / "run", importlib.import_module("metabonk.learn.run")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "Session", stopped)
        assert metabonk("train", *SMALL, "--steps", 512, "--run", run).code == 130
    assert (run / "stages.jsonl").exists()
    code, _, err = metabonk("train", *SMALL, "--steps", 512, "--run", run, "--resume")
    assert code == 2
    assert "leave --resume out" in err
    assert metabonk("train", *SMALL, "--steps", 512, "--run", run).code == 0


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_full_disk_says_how_to_go_on(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: bool
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(importlib.import_module("metabonk.learn.run"), "train", full)
    code, _, err = metabonk("train", *SMALL, "--run", tmp_path / "run")
    assert code == 2
    assert f"error: [Errno {number}] {os.strerror(number)}\n" in err
    again = f"make room, then go on with: metabonk train --resume --run {tmp_path / 'run'}"
    assert (again in err) is told

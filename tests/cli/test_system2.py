"""cli/system2.py: `play --live --system2`, with a cognitive server and without one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_broker import serving

from metabonk import artifact
from metabonk.cli.system2 import _predictor, client_settings, notice_unsent, world_of
from metabonk.cognition.protocol.keys import new
from metabonk.cognition.strips import predictors
from metabonk.cognition.strips.predictors import Measurement
from metabonk.config import load
from metabonk.errors import CheckpointError

Metabonk = Callable[..., Any]
LIVE = ("play", "--policy", "scripted", "--live", "--uncertified", "--cpu", -1, "--frames", "24x32")
MENUS = ("--set", "menu.enabled=1")
SIMA2 = (*LIVE, "--set", "sima2.enabled=1")


def test_a_live_game_asks_its_server(metabonk: Metabonk, tmp_path: Path) -> None:
    url = f"ipc://{tmp_path}/b.sock"
    with serving(url) as server:
        said = metabonk(
            *LIVE, "--seconds", 2.5, "--agents", 2, "--system2", "--server", url, "--json",
            "--out", tmp_path / "s", "--set", "cognition.every=0.1",
            "--set", "cognition.rl_logging=1", "--set", "cognition.agent=alpha",
        )  # fmt: skip
        assert said.code == 0, said.err
        found = json.loads(said.out)["system2"]
        assert len(found) == 2
        assert all(one["applied"] >= 1 for one in found)
        asked = {request.id for request, _ in server.requests}
        assert {id.agent for id in asked} == {"alpha-0", "alpha-1"}
        assert set(server.outcomes) <= asked
        assert server.outcomes


def test_without_a_server_the_rules_play_and_it_is_said(metabonk: Metabonk, tmp_path: Path) -> None:
    words = (*LIVE, "--seconds", 1.0, "--system2", "--server", f"ipc://{tmp_path}/none.sock")
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.code == 0, said.err
    assert "was not reached" in said.err
    assert "System 2" in said.out
    told = metabonk(*words, "--out", tmp_path / "t", "--json")
    (one,) = json.loads(told.out)["system2"]
    assert one["local"] >= 1
    assert one["requests"] == 0
    nobody = metabonk(*words, "--out", tmp_path / "u", "--json", "--set", "cognition.fallback=none")
    assert json.loads(nobody.out)["system2"][0]["local"] == 0


def test_a_missing_server_is_said_while_one_plays(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metabonk.cli.system2.PATIENCE", 0.2)
    words = (*LIVE, "--seconds", 1.0, "--system2", "--server", f"ipc://{tmp_path}/none.sock")
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.err.count("no cognitive server yet") == 1
    assert "`metabonk serve cognitive` starts one" in said.err


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_outcomes_that_nobody_took_are_told_with_their_number(
    metabonk: Metabonk, tmp_path: Path, json_too: tuple[str, ...]
) -> None:
    url = f"ipc://{tmp_path}/b.sock"
    with serving(url) as server:
        server.acknowledges = False
        said = metabonk(
            *LIVE, "--seconds", 1.5, "--system2", "--server", url, "--out", tmp_path / "s",
            "--set", "cognition.every=0.1", "--set", "cognition.rl_logging=1", *json_too,
        )  # fmt: skip
        assert said.code == 0, said.err
        asked = {request.id for request, _ in server.requests}
    # Every request has one, and none was taken.
    assert f"agent 0: {len(asked)} outcomes are lost" in said.err
    assert "end the server after its agents" in said.err


def test_only_what_is_lost_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    clean = {"waiting_outcomes": 0, "dropped": 0}
    notice_unsent([clean, clean])
    assert capsys.readouterr().err == ""
    notice_unsent([clean, {"waiting_outcomes": 1200, "dropped": 3}])
    told = capsys.readouterr().err
    assert "agent 1: 1,200 outcomes are lost" in told
    assert "agent 1: 3 outcomes were dropped" in told
    assert "agent 0" not in told


def test_variables_of_old_scripts_do_it_too(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"ipc://{tmp_path}/b.sock"
    monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", "1")
    monkeypatch.setenv("METABONK_COGNITIVE_SERVER_URL", url)
    monkeypatch.setenv("METABONK_STRATEGY_FREQUENCY", "0.1")
    monkeypatch.setenv("METABONK_RL_LOGGING", "0")
    with serving(url) as server:
        said = metabonk(*LIVE, "--seconds", 1.5, "--out", tmp_path / "s", "--json")
        assert said.code == 0, said.err
        assert server.requests
        assert server.outcomes == {}  # logging is off
    monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", "0")
    said = metabonk(*LIVE, "--seconds", 0.3, "--out", tmp_path / "t", "--json")
    assert "system2" not in json.loads(said.out)


def test_a_goal_that_goes_with_no_question_is_said_to_be_one(
    metabonk: Metabonk, tmp_path: Path
) -> None:
    words = (*LIVE, "--seconds", 0.3, "--system2", "--server", f"ipc://{tmp_path}/none.sock")
    words += ("--set", "sima2.goal=explore", "--set", "sima2.log=1")
    said = metabonk(*words, "--out", tmp_path / "s")
    assert said.code == 0, said.err
    assert said.err.count("nothing reads sima2.goal, sima2.log without sima2.enabled") == 1
    said = metabonk(*words, "--out", tmp_path / "t", "--set", "sima2.enabled=1")
    assert "nothing reads" not in said.err
    said = metabonk(*words[:-4], "--out", tmp_path / "u")
    assert "nothing reads" not in said.err


def test_each_question_is_asked_with_the_goal_it_is_about(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, level = f"ipc://{tmp_path}/b.sock", tmp_path / "menus.json"
    level.write_text('{"start": "main_menu"}')
    monkeypatch.setenv("METABONK_SYSTEM2_ENABLED", "1")
    monkeypatch.setenv("METABONK_USE_SIMA2", "1")
    monkeypatch.setenv("METABONK_SIMA2_GOAL", "explore")
    monkeypatch.setenv("METABONK_SIMA2_LOG", "1")
    monkeypatch.setenv("METABONK_USE_VLM_MENU", "1")
    monkeypatch.setenv("METABONK_MENU_GOAL", "Start Level 3 run")
    words = (*LIVE, "--level", level, "--server", url, "--set", "cognition.every=0.1")
    with serving(url) as server:
        said = metabonk(*words, "--seconds", 3.0, "--out", tmp_path / "s")
        assert said.code == 0, said.err
        goals = {(request.question, request.goal) for request, _ in server.requests}
    assert goals == {("strategy", "explore"), ("menu", "Start Level 3 run")}
    assert "agent 0: retreat compass:4" in said.err, "METABONK_SIMA2_LOG shows subgoals"
    monkeypatch.setenv("METABONK_USE_SIMA2", "0")
    with serving(url) as server:
        said = metabonk(*words, "--seconds", 2.0, "--out", tmp_path / "t")
        goals = {(request.question, request.goal) for request, _ in server.requests}
    assert ("strategy", "") in goals, "a goal of the controller alone, which is off"
    assert "agent 0: retreat" not in said.err


def test_the_controller_of_games_that_wait_asks_the_server_too(
    metabonk: Metabonk, tmp_path: Path
) -> None:
    url, level = f"ipc://{tmp_path}/b.sock", tmp_path / "short.json"
    level.write_text('{"time": {"duration": 5.0}}')
    words = ("play", "--level", level, "--video", tmp_path / "a.gif", "--system2",
             "--set", "sima2.enabled=1", "--set", "sima2.log=1")  # fmt: skip
    with serving(url) as server:
        said = metabonk(*words, "--server", url)
        assert said.code == 0, said.err
        assert len(server.requests) >= 2
        assert "retreat compass:4" in said.err  # what that server always says
    said = metabonk(*words, "--server", url)  # and without one the rules plan
    assert said.code == 0, said.err
    assert "game 0: " in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("play", "--system2"), "beside --live or --proof"),
        ((*LIVE, "--system2", "--server", "somewhere"), "tcp://HOST:PORT"),
        ((*LIVE, "--system2", "--server", "tcp://10.0.0.1:5555"), "another machine"),
        ((*LIVE, "--system2", "--server", "tcp://localhost:5555/"), "cognition.server: "),
        ((*LIVE, "--system2", "--server", "tcp://localhost:99999"), "there are 1 to 65535"),
        ((*LIVE, "--system2", "--set", "cognition.key=a.key"), "both are needed"),
        ((*LIVE, "--system2", "--set", "cognition.predictor=dream"), "a run with a world model"),
        ((*LIVE, "--system2", "--set", "cognition.agent=a b"), "agent"),
        ((*LIVE, "--system2", "--set", "cognition.every=0"), "cognition.every"),
        ((*SIMA2, "--set", "sima2.load_cpqe=1"), "sima2.load_cpqe: the live loop plays compiled"),
        ((*SIMA2, "--set", "sima2.push_rollouts=1"), "sima2.push_rollouts: a live session"),
        ((*SIMA2, "--set", "sima2.latency=0.5"), "sima2.latency = 0.5"),
        ((*SIMA2, "--set", "sima2.every=0.5"), "METABONK_STRATEGY_FREQUENCY"),
        ((*SIMA2, "--set", f"sima2.goal={'x' * 501}"), "sima2.goal: 501 characters"),
        ((*LIVE, *MENUS), "METABONK_USE_VLM_MENU): System 2 goes through menus, and it is not"),
        ((*LIVE, *MENUS), "add --system2 beside --live"),
        (("play", *MENUS), "METABONK_USE_VLM_MENU): menus are gone through beside a live loop"),
        (("play", *MENUS, "--system2", "--set", "sima2.enabled=1"), "play with --system2 --live"),
        (("record", "--out-dir", "nowhere", *MENUS), "play with --system2 --live"),
        (
            (*LIVE, *MENUS, "--system2", "--set", "cognition.protocol=v1"),
            "cognition.protocol = v1, menu.enabled",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_plays(
    metabonk: Metabonk, tmp_path: Path, words: tuple[Any, ...], message: str
) -> None:
    began = time.monotonic()
    live = ("--out", tmp_path / "s") if "--live" in words else ()
    said = metabonk(*words, *live)
    assert said.code == 2
    assert not Path("nowhere").exists()
    assert message in said.err
    assert time.monotonic() - began < 60.0


def test_keys_are_read_from_their_files(tmp_path: Path) -> None:
    own, _ = new("omega-0", tmp_path)
    _, public = new("broker", tmp_path)
    flags = {"cognition.key": str(own), "cognition.server_key": str(public)}
    keys = client_settings(load(environ={}, flags=flags)).keys
    assert keys is not None
    assert keys.server == public.read_text().strip()
    assert len({keys.server, keys.public, keys.secret}) == 3
    assert client_settings(load(environ={})).keys is None


def checkpoint_of(run: Path) -> str:
    """A run's directory with a checkpoint that holds no world model; its hash."""
    checkpoint = pytest.importorskip("metabonk.learn.checkpoint")
    step = run / checkpoint.FOLDER / "000000000001"
    weights = {"bias": np.zeros(1, np.float32)}
    return str(artifact.write(step, kind=checkpoint.KIND, seed=0, files={"w": weights}).hash)


def dreamed(game: str, world: str) -> Measurement:
    return Measurement(
        game=game, predictor="dream", size=(84, 84), ahead=(0.05,), psnr=(25.0,), copy=(20.0,),
        smooth=(20.0,), cases=9, world=world,
    )  # fmt: skip


def test_the_dreams_of_another_world_model_stop_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    mine, config = checkpoint_of(tmp_path / "run"), load()
    table: list[Measurement] = []
    monkeypatch.setattr(predictors, "read_table", lambda: table)
    monkeypatch.setattr("metabonk.learn.dreams.frames.of_run", lambda run, _: f"dreams of {run}")

    def chosen(*recorded: Measurement, kind: str = "auto") -> tuple[Any, str]:
        table[:] = recorded
        config.cognition.predictor = kind
        found = _predictor(config, tmp_path / "run", (84, 84))
        return found, capsys.readouterr().err

    assert world_of(tmp_path / "run") == mine
    assert chosen() == (("auto", {}), "")
    assert chosen(dreamed("doom/basic", mine)) == (("auto", {}), "")
    found, said = chosen(dreamed("arena", "another's"))
    assert found == ("auto", {})
    assert said.count("are not those of") == 1
    mine_dreams = ("dream", {"dream": f"dreams of {tmp_path / 'run'}"})
    assert chosen(dreamed("arena", mine)) == (mine_dreams, "")
    assert chosen(kind="dream") == (mine_dreams, "")

    def none(run: Path, _: Any) -> None:
        raise CheckpointError(f"{run} learned no world model")

    monkeypatch.setattr("metabonk.learn.dreams.frames.of_run", none)
    found, said = chosen(dreamed("arena", mine))
    assert found == ("auto", {})
    assert "learned no world model" in said
    with pytest.raises(CheckpointError, match="learned no world model"):
        chosen(kind="dream")

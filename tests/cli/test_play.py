"""cli/play.py: the policies that need no network play without Torch."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from metabonk import config, extras
from metabonk.errors import ConfigError

MENUS = Path(__file__).resolve().parents[2] / "docs/menus.md"


def play_without_torch(*words: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from metabonk.cli.main import run\n"
        f"run({['play', *map(str, words)]!r})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("policy", ["random", "scripted"])
def test_the_arena_is_filmed_without_torch(tmp_path: Path, policy: str) -> None:
    level = tmp_path / "short.json"
    level.write_text(json.dumps({"time": {"duration": 1.0}}))
    film, replay = tmp_path / "a.gif", tmp_path / "a.replay"
    done = play_without_torch(
        *("--policy", policy, "--level", level, "--video", film, "--save", replay)
    )
    assert done.returncode == 0, done.stderr
    assert film.stat().st_size > 1000
    assert replay.stat().st_size > 50


def test_other_games_are_filmed_without_torch(tmp_path: Path) -> None:
    film = tmp_path / "g.gif"
    done = play_without_torch("--game", "grid64/t_maze", "--policy", "random", "--video", film)
    assert done.returncode == 0, done.stderr
    assert film.stat().st_size > 1000


def test_a_policy_that_is_none_is_answered_with_those_that_are() -> None:
    done = play_without_torch("--game", "grid64/t_maze", "--policy", "nobody")
    assert done.returncode != 0
    assert "grid64/t_maze has only random, scripted" in done.stderr


def test_a_run_says_that_it_needs_torch(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    done = play_without_torch("--policy", tmp_path)
    assert done.returncode != 0
    assert extras.install("train") in done.stderr


def test_a_replay_of_late_actions_is_refused(tmp_path: Path) -> None:
    words = ("--set", "game.latency=0.2", "--video", str(tmp_path / "x.gif"))
    done = play_without_torch(*words, "--save", str(tmp_path / "x.replay"))
    assert done.returncode == 2
    assert "--save: a replay holds what the game was given" in done.stderr
    assert not (tmp_path / "x.replay").exists()


def test_the_command_for_menus_has_a_port_for_either_server() -> None:
    """What its document shows is not refused; without its variable it would be."""
    (command,) = re.findall(r"^METABONK_.*\n +metabonk play .*$", MENUS.read_text("utf-8"), re.M)
    words = shlex.split(command)
    assert {"--game", "bonklink", "--live", "--system2"} <= set(words)
    environ = dict(word.split("=", 1) for word in words if word.startswith("METABONK_"))
    flags = {"game.name": "bonklink", "cognition.enabled": True}
    found = config.load(environ=environ, flags=flags)
    assert found.menu.goal.startswith("Start Tier 3")
    assert not found.cognition.server.endswith(f":{found.game.port}")
    del environ["METABONK_BONKLINK_PORT"]
    with pytest.raises(ConfigError, match="METABONK_BONKLINK_PORT"):
        config.load(environ=environ, flags=flags)

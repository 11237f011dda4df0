"""cli/main.py: help at once, verbs when used, errors in one line."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import metabonk.cli
from metabonk.cli.main import VERBS
from metabonk.errors import ConfigError

Run = Callable[..., "tuple[int, str, str]"]


def test_help_names_every_verb(metabonk: Run) -> None:
    code, out, _ = metabonk("--help")
    assert code == 0
    for verb, (help_, _) in VERBS.items():
        assert re.search(rf"\b{verb}\b.*{re.escape(help_)}", out)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from metabonk.cli.main import run\n"
        "try: run(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'gymnasium', 'msgspec', 'metabonk.config', 'matplotlib'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "LOADED []" in done.stdout


def test_verbs_are_the_files() -> None:
    folder = Path(metabonk.cli.__file__).parent
    helpers = {
        "__init__",
        "distilled_table",
        "dual",
        "interrupt",
        "live",
        "live_game",
        "live_plan",
        "main",
        "output",
        "players",
        "progress",
        "proof_table",
        "serve_cognitive",
        "serve_vlm",
        "sizes",
        "status_line",
        "system2",
    }
    assert {p.stem for p in folder.glob("*.py")} - helpers == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(metabonk: Run, verb: str) -> None:
    code, out, _ = metabonk(verb, "--help")
    assert code == 0
    assert VERBS[verb][0].rstrip(".") in out
    assert f"$ metabonk {verb}" in out, "an example"


@pytest.mark.parametrize("verb", VERBS)
def test_importing_a_verb_does_not_import_torch(verb: str) -> None:
    code = (
        f"import sys, metabonk.cli.{verb}\n"
        "print('LOADED', sorted({'torch', 'matplotlib', 'vizdoom', 'pygame'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "LOADED []" in done.stdout


def test_an_error_is_one_line(metabonk: Run) -> None:
    code, out, err = metabonk("config", "--set", "ppo.clp=1")
    assert code == 2
    assert out == ""
    assert err == "error: --set: there is no setting 'ppo.clp': did you mean 'ppo.clip'?\n"


def test_debug_shows_where_it_came_from() -> None:
    run = importlib.import_module("metabonk.cli.main").run
    with pytest.raises(ConfigError, match=r"did you mean 'ppo\.clip'"):
        run(["config", "--set", "ppo.clp=1", "--debug"])


def test_a_bracket_in_a_message_is_shown(metabonk: Run) -> None:
    _, _, err = metabonk("config", "--set", "[bold]=1")
    assert "[bold]" in err


def test_unknown_verbs_and_flags(metabonk: Run) -> None:
    code, _, err = metabonk("trian")
    assert code == 2
    assert "train" in err
    code, _, err = metabonk("config", "--jsn")
    assert code == 2
    assert "--json" in err


def test_a_module_does_as_the_command() -> None:
    words = [sys.executable, "-m", "metabonk", "config", "--set", "ppo.clp=1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'ppo.clip'?" in done.stderr


def test_version(metabonk: Run) -> None:
    assert (
        metabonk("--version").out == f"metabonk {importlib.import_module('metabonk').__version__}\n"
    )

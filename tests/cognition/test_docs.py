"""docs/cognition.md: every command, flag, setting and variable in it exists."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer

from metabonk import config as settings
from metabonk.cli.main import VERBS
from metabonk.cli.serve import SERVICES
from metabonk.cognition import vocabulary

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/cognition.md").read_text("utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", TEXT, re.S)
COMMANDS = sorted(
    {
        line.partition(" #")[0].strip()
        for block in BLOCKS
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("metabonk ")
    }
)


def flags_of(words: list[str]) -> tuple[set[str], list[str]]:
    """The flags that a command line's verb takes, and the words after the verb."""
    verb, *rest = words
    assert verb in VERBS, verb
    if verb == "serve":
        service, *rest = rest
        assert service in SERVICES, service
        verb = f"serve_{service}"
    command = typer.main.get_command(importlib.import_module(f"metabonk.cli.{verb}").app)
    while hasattr(command, "commands"):
        word, *rest = rest
        assert word in command.commands, word
        command = command.commands[word]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    return flags | {"--help"}, rest


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_their_flags(line: str) -> None:
    words = shlex.split(line.partition(" >")[0])
    flags, rest = flags_of(words[1:])
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in flags, word


def test_settings_exist() -> None:
    known = set(settings.settings())
    named = set(re.findall(r"\b((?:broker|backend|cognition|vlm|menu)\.[a-z_]+)(?![a-z_/])", TEXT))
    named -= {"cognition.md", "vlm.toml", "broker.pub", "broker.key"}  # files
    assert len(named) >= 8
    assert named <= known, named - known


def test_variables_are_read() -> None:
    known = {variable.name: key for variable, key in settings.variables()}
    named = set(re.findall(r"METABONK_[A-Z0-9_]+", TEXT))
    assert named
    for name in named:
        assert known.get(name), f"{name} sets nothing"


def test_the_vocabulary_is_the_one_that_is_spoken() -> None:
    table = TEXT.partition("| action | target |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z]+)`", "".join(r.split("|")[1] for r in table.splitlines()[2:])))
    assert told == {verb.value for verb in vocabulary.Verb}


def test_files_that_are_named_exist() -> None:
    for name in re.findall(r"`((?:metabonk|docker|scripts|\./scripts)/[\w./-]+)", TEXT):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w./]+\.md)\)", TEXT):
        assert (ROOT / "docs" / name).exists(), name

"""cli/output.py: help as wide as the terminal, tables no narrower than they can be read."""

from __future__ import annotations

import importlib
import re

import pytest

from metabonk.cli import output
from metabonk.cli.main import VERBS

HELP = """What it does.

A sentence that goes
on in the next line.

$ metabonk verb --flag VALUE          what that does
$ metabonk verb

w or up    run forward
s or down  run back"""


def test_prose_flows_and_columns_stay() -> None:
    wide = output.flowing(HELP, 80).split("\n\n")
    assert wide == [
        "What it does.",
        "A sentence that goes on in the next line.",
        "$ metabonk verb --flag VALUE          what that does\n$ metabonk verb",
        "w or up    run forward\ns or down  run back",
    ]
    narrow = output.flowing(HELP, 40).split("\n\n")
    assert narrow[2] == "$ metabonk verb --flag VALUE\n      what that does\n$ metabonk verb"
    assert narrow[3] == wide[3]


@pytest.mark.parametrize("verb", VERBS)
def test_no_example_is_broken_at_eighty_columns(verb: str) -> None:
    """A command that a terminal breaks cannot be copied from it."""
    app = importlib.import_module(f"metabonk.cli.{verb}").app
    for registered in app.registered_commands:
        for line in output.flowing(registered.help or "", 80).split("\n"):
            command = output.APART.split(line)[0]
            if command.startswith("$ metabonk"):
                assert len(command) <= 78, command


def test_lines_are_broken_no_earlier_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    row = ("METABONK_SOMETHING", "one two three four five six seven eight")
    with output.console.capture() as narrow:
        output.console.print(output.table(["", ""], [row]))
    with output.console.capture() as wide, output.at_least(100):
        output.console.print(output.table(["", ""], [row]))
    assert re.sub(r"\s+", " ", narrow.get()) == re.sub(r"\s+", " ", wide.get())
    assert row[1] in wide.get()
    assert row[1] not in narrow.get()
    assert output.console.width == 40
    monkeypatch.setenv("COLUMNS", "60")
    assert output.console.width == 60, "a terminal that changed meanwhile is not followed"

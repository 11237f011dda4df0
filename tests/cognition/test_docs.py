"""docs/cognition.md: its table of directives is the vocabulary. That the commands, settings and
files in it exist, tests/test_quoted.py looks after."""

from __future__ import annotations

import re
from pathlib import Path

from metabonk.cognition import vocabulary

TEXT = (Path(__file__).resolve().parents[2] / "docs/cognition.md").read_text("utf-8")


def test_the_vocabulary_is_the_one_that_is_spoken() -> None:
    table = TEXT.partition("| action | target |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z]+)`", "".join(r.split("|")[1] for r in table.splitlines()[2:])))
    assert told == {verb.value for verb in vocabulary.Verb}

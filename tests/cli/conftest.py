"""What the verbs' tests share: running the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from metabonk.cli import output
from metabonk.cli.main import run


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def metabonk(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`metabonk("config", "--json")` -> its exit status and what it said."""

    def call(*words: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            run([str(word) for word in words])
        code = ended.value.code
        said = capsys.readouterr()
        return Said(code if isinstance(code, int) else 0, said.out, said.err)

    return call


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide lines without colours, and no settings of whoever runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith("METABONK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    for console in (output.console, output.stderr):
        console.width = None  # type: ignore[assignment]  # which would stay as it was when they were made
    monkeypatch.setenv("NO_COLOR", "1")

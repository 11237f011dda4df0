"""cli/sizes.py: what a size is, and that none is believed which no picture could have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli.sizes import size_of
from metabonk.errors import ConfigError

Metabonk = Callable[..., Any]


def test_height_comes_first() -> None:
    assert size_of("--size", "180x320") == (180, 320)
    assert size_of("--size", "0x0", none=True) == (0, 0)
    assert size_of("--size", "4096x16", (16, 4096)) == (4096, 16)


@pytest.mark.parametrize(
    "text", ["", "x", "84", "84x", "x84", "84x84x3", "-8x8", "8.5x8", "7x84", "84x1921", "0x0",
             "\u00b2x\u00b2", "9" * 5000 + "x84"],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--size .*: give HEIGHTxWIDTH, .* 8 to 1920 pixels$"):
        size_of("--size", text)


@pytest.mark.parametrize(
    "words",
    [
        ("play", "--proof", 60, "--policy", "random", "--frames"),
        ("record", "--out-dir", "rows", "--pixels"),
        ("host", "--seconds", 1, "--size"),
        ("strips", "--size"),
    ],
)
def test_nothing_is_allocated_for_a_size_that_cannot_be(
    metabonk: Metabonk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = metabonk(*words, "99999x99999")
    assert said.code == 2
    assert said.err.startswith(f"error: {words[-1]} 99999x99999: give HEIGHTxWIDTH")
    assert not list(tmp_path.iterdir())

"""cli/live_game.py: what is said of a live game that shows less than somebody looks at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_broker import serving

from metabonk.cli import live_game
from metabonk.cognition.protocol import wire

Metabonk = Callable[..., Any]
SHOWS_NONE = "the cognitive server looks at pictures, and the game shows none"


@pytest.mark.parametrize(
    ("frames", "looked_at", "said"), [("0x0", 9, 1), ("24x32", 9, 0), ("0x0", 0, 0)]
)
def test_pictures_that_a_game_does_not_show_are_missed_where_somebody_looks(
    frames: str, looked_at: int, said: int, metabonk: Metabonk, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(live_game, "PICTURES", 1.0)
    url = f"ipc://{tmp_path}/b.sock"
    with serving(url) as server:
        server.limits = wire.Limits(frames=looked_at)
        told = metabonk(
            "play", "--policy", "scripted", "--live", "--uncertified", "--cpu", -1,
            "--frames", frames, "--seconds", 3.0, "--agents", 2, "--system2", "--server", url,
            "--out", tmp_path / "s",
        )  # fmt: skip
    assert told.code == 0, told.err
    assert told.err.count(SHOWS_NONE) == said
    assert ("omega-0, omega-1: " in told.err) == bool(said)

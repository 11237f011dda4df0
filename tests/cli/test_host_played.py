"""A hosted game is learnt and recorded by the verbs, as any game is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metabonk import machine

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)

from link_hosts import CROWDED, hosting

from metabonk.games.host import Host, Pace

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def hosted() -> Iterator[tuple[Host, int]]:
    with hosting(level=CROWDED, hz=15.0) as found:
        yield found


def test_train_learns_it(metabonk: Run, hosted: tuple[Host, int], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    host, port = hosted
    code, out, err = metabonk(
        *("train", "--game", "bonklink", "--set", f"game.port={port}", "--steps", 256),
        *("--set", "game.frame_skip=1", "--set", "ppo.horizon=64", "--set", "run.eval_episodes=2"),
        *("--set", "run.acting=torch", "--run", tmp_path / "run", "--json"),
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["game"] == "bonklink"
    assert report["steps"] == 256
    assert report["eval"]["episodes"] == 2
    assert report["eval"]["random_mean"] is not None
    assert host.counts.actions > 256
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_variable_selects_it(
    metabonk: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosting(level=CROWDED, hz=60.0, pace=Pace(speed=20.0)) as (host, port):
        monkeypatch.setenv("METABONK_USE_BONKLINK", "1")
        monkeypatch.setenv("METABONK_BONKLINK_PORT", str(port))
        code, out, err = metabonk(
            *("record", "--out-dir", tmp_path, "--policy", "random", "--hz", 15, "--seconds", 1),
            "--json",
        )
        assert code == 0, err
        assert json.loads(out)["rows"] > 0
        assert host.counts.actions > 0


def test_games_lists_both(metabonk: Run) -> None:
    code, out, _ = metabonk("games", "--json")
    kinds = {kind["pattern"]: kind for kind in json.loads(out)}
    assert code == 0
    for name in ("bonklink", "research_shm"):
        assert kinds[name]["ready"]
        assert kinds[name]["names"] == [name]

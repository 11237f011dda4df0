"""cli/games.py: the list, and demonstrations on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import simplejpeg  # type: ignore[import-untyped]

from metabonk.data.episode import EpisodeStore
from metabonk.games import menu_tour

Run = Callable[..., "tuple[int, str, str]"]


def test_the_list_is_what_it_says_without_a_word(metabonk: Run) -> None:
    code, out, _ = metabonk("games", "--json")
    assert code == 0
    assert {"arena", "grid64/<name>"} <= {kind["pattern"] for kind in json.loads(out)}


def test_demonstrations_are_written(metabonk: Run, tmp_path: Path) -> None:
    where = tmp_path / "demos"
    code, out, err = metabonk(
        *("games", "demo", "grid64/key_door", "--episodes", 2, "--out", where, "--json")
    )
    assert code == 0, err
    said = json.loads(out)
    episodes = list(EpisodeStore(where))
    assert said == {"episodes": 2, "steps": sum(map(len, episodes)), "won": 2}
    code, out, _ = metabonk("games", "demo", "grid64/key_door", "--episodes", 1, "--out", where)
    assert code == 0
    assert "1 episodes" in out
    assert len(EpisodeStore(where).entries()) == 3


def test_games_without_solvers_are_named(metabonk: Run, tmp_path: Path) -> None:
    code, _, err = metabonk("games", "demo", "arena", "--out", tmp_path)
    assert code != 0
    assert "only grid64/<name> has solvers" in err


def test_menus_are_drawn_on_a_sheet_and_by_themselves(metabonk: Run, tmp_path: Path) -> None:
    sheet, each = tmp_path / "menus.jpg", tmp_path / "each"
    code, out, err = metabonk("games", "menus", "--out", sheet, "--each", each, "--json")
    assert code == 0, err
    names = json.loads(out)["pictures"]
    assert names == ["Playing", *menu_tour.MENUS]
    assert simplejpeg.decode_jpeg_header(sheet.read_bytes())[:2] == (3 * 360, 3 * 640)
    assert {path.stem for path in each.iterdir()} == set(names)
    sizes = {simplejpeg.decode_jpeg_header(path.read_bytes())[:2] for path in each.iterdir()}
    assert sizes == {(360, 640)}


def test_only_jpegs_are_drawn(metabonk: Run, tmp_path: Path) -> None:
    code, _, err = metabonk("games", "menus", "--out", tmp_path / "menus.png")
    assert code != 0
    assert "give a .jpg" in err

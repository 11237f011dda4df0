"""cli/bench.py: rows as they were measured, and an exit status that follows from them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from metabonk.bench import verdict

Run = Callable[..., "tuple[int, str, str]"]
bench = importlib.import_module("metabonk.cli.bench")


class Row(msgspec.Struct):
    """As metabonk.bench has it."""

    suite: str
    name: str
    ours: float | None
    peer: float | None
    peer_name: str
    unit: str
    ratio: float | None
    goal: float | None
    met: bool | None
    low: float | None = None
    high: float | None = None
    skipped: bool = False
    note: str = ""
    unmeasured: str = ""
    spared: str = ""


ROWS = [
    Row("games", "arena", 9e4, 3e4, "EnvPool", "steps/s", 3.0, 2.0, True, 2.9, 3.1),
    Row("ppo", "CartPole", 5e3, 1e4, "loop", "steps/s", 0.5, 1.2, False, 0.4, 0.6),
    Row("ppo", "CartPole", 5e3, None, "SB3", "steps/s", None, 5.0, None, skipped=True, note="no"),
    Row("ops", "dense", 1.0, 1.0, "torch", "s", 1.0, None, None),
    Row(
        *("start", "import", None, None, "150 ms", "s", None, 1.0, None),
        skipped=True,
        note="skipped: this needs the package 'envpool': pip install 'metabonk[bench]'",
    ),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    calls: list[Sequence[str]] = []

    def each(
        suites: Sequence[str],
        *,
        only: Sequence[str],
        seconds: float,
        told: Callable[[str], None],
    ) -> Iterator[list[Row]]:
        calls.append(tuple(suites))
        chosen = [r for r in ROWS if not suites or r.suite in suites]
        for number, row in enumerate(chosen):
            told(f"{number + 1} of {len(chosen)}")
            yield [row if number < seconds / 60.0 else late(row)]

    about = {"games": "games", "ppo": "training"}
    room = SimpleNamespace(each=each, SUITES=about, verdict=verdict)
    monkeypatch.setattr(bench, "_room", lambda: room)
    return calls


def late(row: Row) -> Row:
    """A row that the time did not suffice for."""
    nothing = dict.fromkeys(("ours", "peer", "ratio", "met", "low", "high"))
    why = "the minutes were over"
    fields = {**nothing, "skipped": False, "unmeasured": why, "note": f"not measured: {why}"}
    return msgspec.structs.replace(row, **fields)


def test_rows(metabonk: Run, asked: list[Sequence[str]], tmp_path: Path) -> None:
    code, out, err = metabonk("bench", "--json", tmp_path / "rows.json")
    assert code == 0
    assert asked == [()]
    assert "90,000" in out
    assert re.search(r"3\.00 +2\.9 … 3\.1 ", out)
    assert "note: CartPole, SB3: no" in err
    rows = json.loads((tmp_path / "rows.json").read_text())
    keys = {"suite", "name", "ours", "peer", "peer_name", "unit", "ratio", "goal", "met"}
    assert [set(r) >= keys for r in rows] == [True] * len(ROWS)


def test_a_case_says_its_ratio_to_the_best_peer_and_to_the_peak() -> None:
    def row(peer: str, ratio: float | None) -> Row:
        return Row("ops", "cfc", 1.0, 1.0, peer, "steps/s", ratio, None, None)

    rows = [row("ncps", 20.0), row("ONNX Runtime", 4.5), row("floor", 0.815), row("gone", None)]
    said = "4.50 x the best peer, ONNX Runtime; 82% of the measured peak"
    assert bench.summary(rows) == said
    assert bench.summary([row("torch", 2.0)]) == ""


def test_tolerances_are_printed(metabonk: Run) -> None:
    code, out, _ = metabonk("bench", "--tolerances")
    assert code == 0
    assert re.search(r"operation +allowed +portable", out)
    assert "frames.grey" in out


def test_gate(metabonk: Run, asked: list[Sequence[str]]) -> None:
    assert metabonk("bench", "games", "--gate").code == 0
    assert metabonk("bench", "ppo", "--gate").code == 1
    assert metabonk("bench", "ppo").code == 0
    assert asked == [("games",), ("ppo",), ("ppo",)]


def test_a_gate_that_judged_nothing_fails(metabonk: Run, asked: list[Sequence[str]]) -> None:
    code, _, err = metabonk("bench", "start", "--gate")
    assert code == 1
    assert "goal not judged: start: import, 150 ms" in err
    assert "pip install 'metabonk[bench]'" in err
    assert "no goal of start was judged: all of their peers were skipped" in err
    code, _, err = metabonk("bench", "ops", "--gate")
    assert code == 1
    assert "no goal was judged: none is set here" in err
    assert metabonk("bench", "start").code == 0
    assert asked == [("start",), ("ops",), ("start",)]


def test_a_suite_that_was_not_judged_fails_also_beside_one_that_was(
    metabonk: Run, asked: list[Sequence[str]]
) -> None:
    code, _, err = metabonk("bench", "games", "start", "--gate")
    assert code == 1
    assert "goal not judged: start: import, 150 ms" in err
    assert "no goal of start was judged" in err
    assert "no goal of games" not in err
    assert metabonk("bench", "games", "ops", "--gate").code == 0, "ops has no goals here"
    assert asked == [("games", "start"), ("games", "ops")]


def test_one_peer_that_was_skipped_is_listed_and_fails_nothing(
    metabonk: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ROWS[0], msgspec.structs.replace(ROWS[4], suite="games")]
    room = SimpleNamespace(each=lambda *_, **__: iter([rows]), verdict=verdict)
    monkeypatch.setattr(bench, "_room", lambda: room)
    code, _, err = metabonk("bench", "games", "--gate")
    assert code == 0
    assert "goal not judged: games: import, 150 ms" in err


def test_list(metabonk: Run, asked: list[Sequence[str]]) -> None:
    assert "training" in metabonk("bench", "--list").out
    assert asked == []


def test_what_was_not_reached_is_said_and_is_not_met(
    metabonk: Run, asked: list[Sequence[str]], tmp_path: Path
) -> None:
    file = tmp_path / "rows.json"
    code, out, err = metabonk("bench", "games", "ppo", "--minutes", 1, "--gate", "--json", file)
    assert code == 1
    assert "90,000" in out
    assert "CartPole, loop: not measured: the minutes were over" in err
    assert "goal not judged: ppo: CartPole, loop" in err
    assert "--gate: 2 of 3 goals were not measured" in err
    rows = json.loads(file.read_text())
    assert [row["met"] for row in rows] == [True, None, None]
    assert metabonk("bench", "games", "ppo", "--minutes", 1).code == 0


def test_rows_are_there_as_they_come(
    metabonk: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever ends a run, what was measured before is printed and in the file."""

    def each(*_: Any, **__: Any) -> Iterator[list[Row]]:
        yield [ROWS[0]]
        assert len(json.loads((tmp_path / "rows.json").read_text())) == 1
        yield [ROWS[1]]
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "_room", lambda: SimpleNamespace(each=each))
    code, out, _ = metabonk("bench", "--json", tmp_path / "rows.json")
    assert code == 130
    assert "arena" in out
    assert "CartPole" in out
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2


def test_cases_of_a_suite_are_listed_with_their_budgets(metabonk: Run) -> None:
    code, out, _ = metabonk("bench", "cognition", "--list", "--only", "wire")
    assert code == 0
    assert re.search(r"wire +.*client's processor time per strip +\d+ s", out)
    assert "overload" not in out
    code, _, err = metabonk("bench", "cognition", "--list", "--only", "wrie")
    assert code == 2
    assert "groups are wire, " in err

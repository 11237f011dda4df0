"""bench/cognition_stages.py: a request's way in parts, whose they are, and the table of them."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from metabonk.bench import cognition_direct, cognition_stages
from metabonk.bench.versus import AbsentError

from metabonk import machine
from metabonk.errors import LinkError

if not machine.core_built():
    pytest.skip("the native core is not built", allow_module_level=True)


def decided_at(**more: Any) -> Any:
    """A decision as a client remembers it: times in nanoseconds."""
    known = {
        "captured_ns": 0, "sent_ns": 30_000_000, "received_ns": 95_000_000, "server_ms": 60.0,
        "stages": {"wait": 50.0},
    }  # fmt: skip
    return SimpleNamespace(**known, **more)


def test_the_models_time_is_taken_out_and_everything_else_is_ours() -> None:
    arrived = 32_000_000
    found = cognition_stages.stages_of(decided_at(), 10.0, 1.0, arrived)
    assert found == {
        "capture": 1.0, "age": 20.0, "encode": 10.0, "send": 2.0, "server": 10.0, "model": 50.0,
        "receive": 3.0, "all": 96.0,
    }  # fmt: skip
    made = cognition_stages.summary("1, JPEGs", [found], {})
    assert made.ours == 46.0, "age included"
    assert made.ours == sum(v for name, v in found.items() if name not in ("model", "all"))
    assert made.whole == 46.0 + 370.0


def test_what_the_server_codes_is_coding() -> None:
    """Pixels in shared memory become JPEGs there."""
    one = decided_at()
    one.stages = {"wait": 50.0, "encode": 4.0}
    found = cognition_stages.stages_of(one, 0.5, 1.0, 32_000_000)
    assert found["encode"] == 4.5
    assert found["server"] == 6.0


def test_the_table_has_the_budgets_columns_and_says_what_cannot_be_told() -> None:
    figures = dict.fromkeys(cognition_stages.COLUMNS, 1.5)
    rows = [
        cognition_stages.Stages("16, JPEGs", figures, 50.2, 9.0),
        cognition_stages.Stages("1, a real model", figures, 80.0, 9.0, {"vision": 60.0}),
        cognition_stages.Stages("a real model: not installed", {}, 0.0, 0.0),
    ]
    heads, budget, first, real, absent = cognition_stages.table(rows).splitlines()
    assert heads.split()[3:] == [*cognition_stages.COLUMNS, "whole", "model"]
    assert budget.split()[1:8] == ["5.0", "-", "10.0", "1.0", "-", "1.0", "387.0"]
    assert "vision 100, reasoning 250, decode 20" in budget
    assert first.split()[2:9] == ["1.5"] * 6 + ["379.0"]
    assert first.endswith("50.2, answered whole: its parts cannot be told")
    assert "vision 60.0" in real
    assert absent == "a real model: not installed"
    assert "[" not in cognition_stages.table(rows), "rich would take it for markup"


def test_what_the_rules_say_for_the_model_is_no_figure_of_it() -> None:
    """Its time, which is taken out, would be 0, and all that the broker did ours."""
    given = {"status": "ok", "directive": object()}
    assert cognition_stages.of_model(decided_at(**given))
    assert not cognition_stages.of_model(decided_at(**given | {"status": "fallback"}))
    assert not cognition_stages.of_model(decided_at(**given | {"directive": None}))
    without = decided_at(**given)
    without.stages = {"queue": 1.0}
    assert not cognition_stages.of_model(without)
    row = cognition_stages.Stages("1, JPEGs", dict.fromkeys(cognition_stages.COLUMNS, 1.5), 50, 9)
    assert cognition_stages.shown([row]).holds
    aided = replace(row, fallbacks=2)
    found = cognition_stages.shown([row, aided])
    assert not found.holds
    assert found.note.endswith("cannot be told; 2 answers of the rules left out")


def test_stages_of_real_clients_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of three processes on one machine: no stage is negative, none is left out."""
    monkeypatch.setattr(cognition_stages, "ROUND_SECONDS", 1.0)
    monkeypatch.setattr(cognition_stages, "_SEEN", {})
    meter = cognition_stages.Staged(1, "JPEGs")
    try:
        meter.prepare()
        value = meter.measure()
    finally:
        meter.close()
    row = cognition_stages._SEEN["1, JPEGs"]
    assert value == row.ours > 0.0
    assert all(row.figures[name] >= 0.0 for name in cognition_stages.COLUMNS), row
    assert row.model >= 1e3 * cognition_direct.MODEL_SECONDS


def test_stages_of_a_model_that_is_gone_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cognition_stages, "ROUND_SECONDS", 1.5)
    monkeypatch.setattr(cognition_stages, "_SEEN", {})
    meter = cognition_stages.Staged(1, "JPEGs")
    try:
        meter.prepare()
        assert meter.swarm.model is not None
        meter.swarm.model.kill()
        time.sleep(0.5)
        with pytest.raises(LinkError, match="no directive of the model"):
            meter.measure()
        assert meter.clients[0].decisions[-1].status == "fallback", "and something was answered"
    finally:
        meter.close()


def test_rows_of_the_table_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a real model that is not there is said, and counts for nothing."""
    made: list[str] = []

    class Staged:
        def __init__(self, count: int, form: Any, *, real: bool = False) -> None:
            if real:
                raise AbsentError("transformers: not installed")
            self.name = cognition_stages.who(count, form)

        def prepare(self) -> None: ...

        def close(self) -> None: ...

        def measure(self) -> float:
            made.append(self.name)
            figures = dict.fromkeys(cognition_stages.COLUMNS, 1.0)
            row = cognition_stages.Stages(self.name, figures, 50.0, float(len(made)))
            cognition_stages._SEEN[self.name] = row
            return row.ours

    known = cognition_stages.Stages("4, JPEGs", {}, 50.0, 100.0)
    monkeypatch.setattr(cognition_stages, "_SEEN", {"4, JPEGs": known})
    monkeypatch.setattr(cognition_stages, "Staged", Staged)
    whole = cognition_stages.All()
    assert whole.measure() == 100.0 + 370.0
    assert len(made) == len(set(made)) == 11
    assert "4, JPEGs" not in made
    assert "not installed" in whole.rows[-1].who

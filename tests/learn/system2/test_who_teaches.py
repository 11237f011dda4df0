"""Who teaches a distilled policy: the log says it, beside a model the rules do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from decision_logs import Log as Written
from decision_logs import arena_states, menu_state

from metabonk.cli.main import run
from metabonk.cognition import vocabulary as v
from metabonk.cognition.protocol.wire import RequestId
from metabonk.config import DistilConfig
from metabonk.errors import ConfigError
from metabonk.learn.system2 import versions as strategies

COLLECT, CLICK = (v.Verb.COLLECT,), (v.Verb.CLICK, v.Widget(1))
FEW = DistilConfig(hidden=8, updates=2)


def decided_by(folder: Path, *names: str) -> None:
    """A log of six episodes, each decision by the next of these backends."""
    log, told = Written(folder), v.spell(v.Directive(v.Verb.COLLECT))
    for number, packed in enumerate(arena_states(24)):
        name = names[number % len(names)]
        id = RequestId("a", 1, number)
        log.add(id, packed, told, 1.0, episode=number // 4, backend=name)
    log.close()


RULES, OTHERS = "of the rules, beside a model's", "of backends that were not asked for"


@pytest.mark.parametrize(
    ("names", "choice", "teachers", "left_out"),
    [
        (("openai", "rules"), {}, {"openai": 12}, {RULES: 12}),
        (("openai2", "rules", "openai"), {}, {"openai2": 8, "openai": 8}, {RULES: 8}),
        (("policy", "openai", "rules"), {}, {"policy": 8, "openai": 8}, {RULES: 8}),
        (("policy", "rules"), {}, {"policy": 12, "rules": 12}, {}),
        (("rules",), {}, {"rules": 24}, {}),
        (("openai", "rules"), {"with_rules": True}, {"openai": 12, "rules": 12}, {}),
        (
            ("openai", "openai2", "policy", "rules"), {"backends": ("openai",)},
            {"openai": 6, "openai2": 6}, {OTHERS: 12},
        ),
        (("openai", "openai2"), {"backends": ("openai2",)}, {"openai2": 12}, {OTHERS: 12}),
        (("openai", "rules"), {"backends": ("rules",)}, {"rules": 12}, {OTHERS: 12}),
    ],
)  # fmt: skip
def test_the_log_says_who_teaches(
    tmp_path: Path,
    names: tuple[str, ...],
    choice: dict[str, Any],
    teachers: dict[str, int],
    left_out: dict[str, int],
) -> None:
    """Rules answered where a model did not: beside one they teach only if they are wanted."""
    decided_by(tmp_path / "log", *names)
    found = strategies.distil([tmp_path / "log"], tmp_path / "out", FEW, **choice)
    assert found.teachers == teachers
    assert found.decisions == sum(teachers.values())
    assert {k: n for k, n in found.left_out.items() if k in (RULES, OTHERS)} == left_out
    card = found.strategy.card.details
    assert (card["teachers"], card["left_out"]) == (teachers, dict(found.left_out))


def test_a_session_without_a_model_teaches_by_the_rules(tmp_path: Path) -> None:
    """However many there were with one before it in the same log."""
    log, told = Written(tmp_path / "log"), v.spell(v.Directive(v.Verb.COLLECT))
    sessions = [("a", 1, "openai"), ("a", 1, "rules"), ("a", 2, "rules"), ("b", 1, "rules")]
    for number, packed in enumerate(arena_states(24)):
        agent, epoch, backend = sessions[number % len(sessions)]
        log.add(RequestId(agent, epoch, number), packed, told, 1.0, episode=number, backend=backend)
    log.close()
    found = strategies.distil([tmp_path / "log"], tmp_path / "out", FEW)
    assert found.teachers == {"openai": 6, "rules": 12}
    assert found.left_out[RULES] == 6


def test_where_nothing_is_left_it_is_said_what_was_left_out(tmp_path: Path) -> None:
    log, told = Written(tmp_path / "log"), v.spell(v.Directive(v.Verb.COLLECT))
    for number, packed in enumerate(arena_states(9)):
        name = "rules" if number else "openai"
        log.add(RequestId("a", 1, number), packed if number else b"", told, 1.0, backend=name)
    log.close()
    with pytest.raises(ConfigError, match=f"8 decisions were left out: {RULES}; --with-rules"):
        strategies.distil([tmp_path / "log"], tmp_path / "out", FEW)


def test_each_log_says_so_for_itself(tmp_path: Path) -> None:
    """A rehearsal by the rules, named beside a model's log, is wanted."""
    decided_by(tmp_path / "model", "openai", "rules")
    decided_by(tmp_path / "rules", "rules")
    logs = [tmp_path / "model", tmp_path / "rules"]
    found = strategies.distil(logs, tmp_path / "out", FEW)
    assert found.teachers == {"openai": 12, "rules": 24}


def test_a_model_that_only_presses_takes_nobodys_place(tmp_path: Path) -> None:
    """Menus, and buttons that a directive names, teach no strategy."""
    log = Written(tmp_path / "log")
    press = {"kind": "click", "choice": 1}
    told, click = (v.spell(v.Directive(*order)) for order in (COLLECT, CLICK))
    for number, packed in enumerate(arena_states(8)):
        log.add(RequestId("a", 1, number), packed, told, 1.0)
        id = RequestId("b", 1, number)
        log.add(id, menu_state(), press, 1.0, question="menu", backend="openai")
        log.add(RequestId("c", 1, number), menu_state(), click, 1.0, backend="openai")
        log.add(RequestId("d", 1, number), packed, {}, 0.0, status="error", backend="openai")
    log.close()
    found = strategies.distil([tmp_path / "log"], tmp_path / "out", FEW)
    assert found.teachers == {"rules": 8}


def test_of_a_backend_that_decided_nothing_it_is_said_who_did(tmp_path: Path) -> None:
    decided_by(tmp_path / "log", "openai2", "rules")
    with pytest.raises(ConfigError, match=r"policy decided nothing.*: openai2, rules"):
        strategies.distil([tmp_path / "log"], tmp_path / "out", FEW, backends=("policy",))


def command_line(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[str, str]:
    with pytest.raises(SystemExit):
        run([str(word) for word in ("cognition", "distil", *words)])
    said = capsys.readouterr()
    return " ".join(said.out.split()), " ".join(said.err.split())


def test_the_command_line_says_who_taught_and_who_did_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    decided_by(tmp_path / "log", "openai", "openai2", "rules")
    words = (tmp_path / "log", "--set", "distil.updates=2", "--out")
    out, err = command_line(capsys, *words, tmp_path / "a")
    assert "Learned from 16 decisions: openai 8, openai2 8" in out
    assert f"8 decisions: {RULES}; --with-rules" in err
    out, err = command_line(capsys, *words, tmp_path / "b", "--with-rules")
    assert "Learned from 24 decisions: openai 8, openai2 8, rules 8" in out
    assert RULES not in err
    _, err = command_line(capsys, *words, tmp_path / "c", "--backend", "openai", "--with-rules")
    assert "--with-rules: --backend names who teaches: add --backend rules" in err

"""`metabonk serve cognitive` and `metabonk keys`: what they say and which settings they take."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from metabonk.cli import main
from metabonk.config import load
from metabonk.errors import ConfigError


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main.run(list(words))
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "serve", "cognitive", "--help")
    assert code == 0
    for word in ("--bind", "--zmq-port", "--backend", "--key", "--json", "openai", "/metrics"):
        assert word in out, word
    code, out, _ = run(capsys, "keys", "--help")
    assert code == 0
    assert "[agents]" in out


def test_a_few_seconds_of_it_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, "serve", "cognitive", "--bind", "tcp://127.0.0.1:*", "--http", "127.0.0.1:0",
        "--directory", str(tmp_path), "--seconds", "0.05", "--json",
    )  # fmt: skip
    assert code == 0
    assert "agents connect to tcp://127.0.0.1:" in err.replace("\n", " ")
    found = json.loads(out)
    assert found["replies"] == {}
    assert found["journal"]["decisions"] == 0
    assert (tmp_path / "decisions.sqlite").exists()
    assert gc.isenabled(), "it was off while the server started"


def test_keys_are_made_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "keys", "new", "omega-0", "--dir", str(tmp_path), "--json")
    assert code == 0
    found = json.loads(out)
    assert Path(found["public"]).read_text().strip() == found["key"]
    secret = Path(found["secret"]).read_text().split()[-1]
    assert secret not in out
    code, out, err = run(capsys, "keys", "new", "omega-0", "--dir", str(tmp_path))
    assert code == 2
    assert "there is a key already" in err.replace("\n", " ")


def test_settings_come_from_every_source(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('[broker]\nbind = "ipc:///tmp/x"\nagents = 9\n')
    found = load(file, environ={"METABONK_BROKER_AGENTS": "7"}, flags={"broker.drain": "1.5"})
    assert (found.broker.journal_mb, found.broker.journal_days) == (4096, 0.0)
    assert (found.broker.bind, found.broker.agents, found.broker.drain) == ("ipc:///tmp/x", 7, 1.5)
    for key, value in (("broker.agents", 0), ("broker.concurrency", 0), ("broker.frames_mb", -1),
                       ("broker.journal_mb", -1), ("broker.journal_days", -0.5)):  # fmt: skip
        with pytest.raises(ConfigError, match=key):
            load(environ={}, flags={key: value})

"""`metabonk serve cognitive` and `metabonk keys`: what they say and which settings they take."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peers import HANG, Peer, server, until

from metabonk.cli import main
from metabonk.cognition.protocol import wire as w
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


@pytest.mark.parametrize(
    ("chain", "wanted"), [("rules", "openai"), ("policy,rules", "openai,policy")]
)
def test_a_model_of_menus_that_nobody_asks_is_refused(
    capsys: pytest.CaptureFixture[str], chain: str, wanted: str
) -> None:
    """It would start, and the rules would answer about menus."""
    code, _, err = run(
        capsys, "serve", "cognitive", "--backend", chain, "--set", "menu.model=m",
        "--seconds", "0.05", "--bind", "tcp://127.0.0.1:*", "--http", "",
    )  # fmt: skip
    assert code == 2
    assert f"--set menu.model: only the backend openai reads it: add --backend {wanted}\n" in err


class Asked:
    """A real server whose model takes its time, and an agent's question that it is asked."""

    SECONDS = 1.0

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        words = [sys.executable, "-m", "metabonk.cognition.servers.standin", "--port", port]
        model = subprocess.Popen([*words, "--latency", f"{self.SECONDS}"])
        stack.callback(model.wait)
        stack.callback(model.kill)
        url = f"http://127.0.0.1:{port}"
        told = ("--backend", "openai", "--url", url, "--set", "backend.wait=60")
        self.server = stack.enter_context(server(folder, *told))
        until(lambda: self.server.page("/readyz")[0] == 200)
        self.agent = stack.enter_context(Peer(self.server.endpoint))
        self.agent.hello()
        self.agent.send(self.agent.request(seconds=30.0))
        until(lambda: self.server.metric("in_flight") == 1.0)

    def signal(self, number: int) -> None:
        self.server.process.send_signal(number)
        time.sleep(0.1)  # two at once would be one

    def answered(self) -> bool:
        """Whether the question is answered, and by the model, before the server ends in order."""
        reply = self.agent.receive()
        assert isinstance(reply, w.Reply), reply
        return (reply.status, reply.backend, self.server.process.wait(HANG)) == ("ok", "openai", 0)


@pytest.mark.parametrize(
    "signals",
    [
        (signal.SIGINT, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGHUP),
    ],
)
def test_one_wish_told_by_two_is_no_second_one(tmp_path: Path, signals: tuple[int, ...]) -> None:
    """Ctrl-C, which its parent passes on, and a terminal that closes, of which its shell tells."""
    with contextlib.ExitStack() as stack:
        asked = Asked(tmp_path, stack)
        for number in signals:
            asked.signal(number)
        assert asked.answered()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_same_wish_again_ends_it_at_once(tmp_path: Path, number: int) -> None:
    with contextlib.ExitStack() as stack:
        asked = Asked(tmp_path, stack)
        asked.signal(number)
        asked.signal(number)
        assert asked.server.process.wait(HANG) == -number


def test_nohup_keeps_it_serving(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a process hands on
    try:
        with server(tmp_path) as s:
            s.process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                s.process.wait(0.5)
            assert s.page("/readyz")[0] == 200
            assert s.end()[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


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

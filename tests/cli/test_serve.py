"""`metabonk serve` and `serve vlm`: help, settings as a file, command lines, errors in one line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metabonk import config as settings
from metabonk.cli.serve import SERVICES

Run = Callable[..., Any]
HANG_SECONDS = 60.0


def test_help_names_every_service(metabonk: Run) -> None:
    code, out, _ = metabonk("serve", "--help")
    assert code == 0
    for name, help_ in SERVICES.items():
        assert name in out
        assert help_.split(",")[0].split(":")[0] in out


def test_vlm_explains_itself(metabonk: Run) -> None:
    code, out, _ = metabonk("serve", "vlm", "--help")
    assert code == 0
    assert "$ metabonk serve vlm --print > vlm.toml" in out


def test_printed_settings_are_a_file_that_is_read_again(metabonk: Run, tmp_path: Path) -> None:
    _, out, _ = metabonk("serve", "vlm", "--print", "--set", "vlm.port=31000")
    assert list(tomllib.loads(out)) == ["vlm"]
    file = tmp_path / "vlm.toml"
    file.write_text(out)
    _, lines, _ = metabonk("serve", "vlm", "--config", file, "--dry-run")
    assert "--port 31000" in lines
    _, again, _ = metabonk("serve", "vlm", "--config", file, "--print")
    assert again == out


def test_a_dry_run_shows_every_process(metabonk: Run) -> None:
    code, out, _ = metabonk("serve", "vlm", "--dry-run", "--set", "vlm.encoder_split=1")
    assert code == 0
    assert len(out.splitlines()) == 2


def test_who_asks_it_is_told_how(metabonk: Run, tmp_path: Path) -> None:
    """Settings that `serve cognitive` takes, and the key only where there is one."""
    sets = ["--set", "vlm.port=30001", "--set", "vlm.load_seconds=90"]
    code, out, _ = metabonk("serve", "vlm", "--asked-by", *sets)
    assert code == 0
    flags = settings.flags_of(out.splitlines(), {})
    assert set(flags) == {"backend.chain", "backend.url", "backend.wait"}
    found = settings.load(flags=flags, environ={}).backend
    assert (found.chain, found.url) == ("openai,rules", "http://127.0.0.1:30001")
    assert found.wait == 90.0
    key = tmp_path / "a key"
    _, out, _ = metabonk("serve", "vlm", "--asked-by", "--set", f"vlm.key_file={key}")
    flags = settings.flags_of(out.splitlines(), {})
    assert settings.load(flags=flags, environ={}).backend.key_file == str(key)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "vlm.engin=vllm"], "did you mean 'vlm.engine'"),
        (["--set", "vlm.engine=tgi"], "one of sglang, vllm, stand-in"),
        (["--set", "vlm.memory=2"], "vlm.memory"),
        (["--set", "vlm.host=0.0.0.0"], "vlm.key_file"),
        (["--set", "vlm.engine=stand-in", "--set", "vlm.key_file=/nowhere"], "vlm.key_file = /now"),
        (["--set", "vlm.arguments='"], "vlm.arguments: No closing quotation"),
        (["--set", "vlm.environment=/nowhere"], "-m venv /nowhere"),
    ],
)
def test_errors_say_what_to_do(metabonk: Run, words: list[str], told: str) -> None:
    code, out, err = metabonk("serve", "vlm", "--set", "vlm.port=1", *words)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert told in err


class Services:
    """`serve vlm` with the stand-in, any number of times; whatever happens, none stays behind."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self._pids: list[int] = []

    def start(self, *before: str) -> tuple[subprocess.Popen[str], int]:
        """One that serves, after these words of a command line, and its engine's process."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = [
            *before, sys.executable, "-c", "from metabonk.cli.main import run; run()",
            "serve", "vlm", "--json",
            "--set", "vlm.engine=stand-in", "--set", f"vlm.port={port}",
            "--set", f"vlm.log={self._log}",
        ]  # fmt: skip
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._pids.append(process.pid)
        seen: list[dict[str, Any]] = []
        assert process.stdout is not None
        while not seen or seen[-1]["what"] != "ready":
            seen.append(json.loads(process.stdout.readline()))
        assert [event["what"] for event in seen] == ["starting", "ready"]
        assert seen[1]["url"] == f"http://127.0.0.1:{port}"
        (engine,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self._pids.append(int(engine))
        return process, int(engine)

    def close(self) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with contextlib.closing(Services(tmp_path)) as made:
        yield made


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_service_serves_until_it_is_asked_to_end(services: Services, number: int) -> None:
    """By a kill, by Ctrl-C, or by its terminal, which is closed."""
    process, engine = services.start()
    process.send_signal(number)
    out, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert [json.loads(line)["what"] for line in out.splitlines()] == ["stopped"]
    assert gone(engine)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody hears of it")
def test_a_kill_of_who_watches_ends_the_engine(services: Services) -> None:
    process, engine = services.start()
    process.kill()
    process.communicate(timeout=HANG_SECONDS)
    end = time.monotonic() + 10.0
    while not gone(engine):
        assert time.monotonic() < end, "it goes on, with its port and its memory"
        time.sleep(0.01)


def test_nohup_keeps_it_serving(services: Services) -> None:
    process, engine = services.start("nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert not gone(engine)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0

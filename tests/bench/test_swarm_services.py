"""bench/swarm/services.py: processes come up, go down as they are told and leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from metabonk.bench.swarm.services import (
    Service,
    answers,
    free_port,
    plain_environment,
    processor_seconds,
    resident_bytes,
)

from metabonk.errors import LinkError

SERVER = """
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS)
        self.end_headers()
    def log_message(self, *words):
        pass
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("up", flush=True)
server.serve_forever()
"""
READY = SERVER.replace("STATUS", "200")
LOADING = SERVER.replace("STATUS", "503")
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def server(tmp_path: Path, code: str = READY) -> tuple[Service, int]:
    port = free_port()
    ready = answers(f"http://127.0.0.1:{port}/readyz")
    command = [sys.executable, "-c", code, str(port)]
    return Service("the server", command, tmp_path / "logs/server.log", ready), port


def test_it_is_there_when_start_returns_and_can_be_killed_and_started_again(tmp_path: Path) -> None:
    service, port = server(tmp_path)
    with service:
        service.start()
        first = service.pid
        assert answers(f"http://127.0.0.1:{port}/")()
        before = time.monotonic_ns()
        assert before <= service.kill() <= time.monotonic_ns()
        assert not service.alive
        assert not answers(f"http://127.0.0.1:{port}/")()
        service.start()
        assert service.starts == 2
        assert service.pid not in (0, first)
        service.start()  # it runs already
        assert service.starts == 2
        assert resident_bytes(service.pid) > 1 << 20
        assert processor_seconds(service.pid) > 0.0
        assert service.stop() == 3
    assert service.tail() == "up\nup"
    assert service.stop() is None
    service.close()


def test_a_kill_is_over_when_its_time_says_so(tmp_path: Path) -> None:
    """What was said before it took effect may still arrive, and is nobody's who came after."""
    service, _ = server(tmp_path)
    ended: list[int] = []

    class Slow:
        def kill(self) -> None: ...

        def wait(self) -> None:
            time.sleep(0.02)
            ended.append(time.monotonic_ns())

        def poll(self) -> int:
            return 0

    service._process = Slow()  # type: ignore[assignment]
    assert service.kill() >= ended[0]


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    service, _ = server(tmp_path)
    with service:
        service.start()
        pid = service.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert processor_seconds(pid) == 0.0
    assert resident_bytes(pid) == 0


PARENT = """
import sys, time
from pathlib import Path
from metabonk.bench.swarm.services import Service
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
service = Service("a child", sleep, Path(sys.argv[1]))
service.start()
print(service.pid, flush=True)
time.sleep(60)
"""


def test_a_kill_of_who_started_it_leaves_no_process_either(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert resident_bytes(child) > 0
        parent.kill()
        parent.wait()
    end = time.monotonic() + 30.0
    while resident_bytes(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_ends_while_it_starts_says_why(tmp_path: Path) -> None:
    service, _ = server(tmp_path, "import sys; sys.exit('no model there')")
    with service, pytest.raises(LinkError, match="ended while it started:\nno model there"):
        service.start()


def test_what_is_never_ready_is_given_up(tmp_path: Path) -> None:
    service, _ = server(tmp_path, LOADING)
    with service:
        service.start(wait=False)
        while "up" not in service.tail():
            time.sleep(0.01)
        with pytest.raises(LinkError, match="is not ready after 0 s:\nup"):
            service.wait_ready(0.05)


def test_what_ignores_being_asked_is_made_to_end(tmp_path: Path) -> None:
    service = Service("a deaf one", [sys.executable, "-c", DEAF], tmp_path / "log")
    with service:
        service.start()
        while "deaf" not in service.tail():
            time.sleep(0.01)
        assert service.wait(0.01) is None
        assert service.stop(0.1) is None
        assert not service.alive


def test_no_settings_of_whoever_runs_it_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METABONK_GAME_NAME", "doom")
    environment = plain_environment({"METABONK_CPU": "avx2"})
    assert "METABONK_GAME_NAME" not in environment
    assert environment["METABONK_CPU"] == "avx2"


def test_free_ports_are_free() -> None:
    ports = {free_port() for _ in range(5)}
    assert all(1024 <= port < 65536 for port in ports)

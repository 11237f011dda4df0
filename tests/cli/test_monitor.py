"""cli/monitor.py: what the servers publish is shown, and who does not answer."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metabonk.cli import monitor as cli
from metabonk.cognition.monitor import monitor as m
from metabonk.cognition.monitor.nvml import Load
from metabonk.errors import ConfigError

HANG_SECONDS = 60.0
BROKER = f"""\
{m.AGENTS} 2
{m.REQUESTS}{{agent="omega-0"}} %d
{m.REPLIES}{{agent="omega-0",status="ok"}} %d
"""
SGLANG = "sglang:token_usage 0.25\nsglang:cache_hit_rate 0.5\n"


@pytest.fixture
def servers() -> Iterator[tuple[str, str]]:
    """A broker whose counters grow with every look, and a model server; their addresses."""
    looks = iter(range(1, 1_000_000))

    def serve(body: Callable[[], str]) -> socketserver.ThreadingTCPServer:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                assert self.rfile.readline().startswith(b"GET /metrics ")
                text = body().encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n"
                self.wfile.write(head.encode() + text)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def broker() -> str:
        n = next(looks)
        return BROKER % (10 * n, 9 * n)

    both = serve(broker), serve(lambda: SGLANG)
    yield tuple(f"http://127.0.0.1:{s.server_address[1]}" for s in both)
    for server in both:
        server.shutdown()
        server.server_close()


def test_one_look(metabonk: Callable[..., Any], servers: tuple[str, str]) -> None:
    said = metabonk("monitor", "--once", "--broker", servers[0], "--model", servers[1] + "/metrics")
    assert said.code == 0, said.err
    assert "2 agents" in said.out
    assert "prefix cache hits 50%, KV cache 25%" in said.out


def test_one_look_as_json_and_who_is_not_there(
    metabonk: Callable[..., Any], servers: tuple[str, str]
) -> None:
    said = metabonk("monitor", "--once", "--json", "--broker", servers[0])
    [line] = said.out.splitlines()
    figures = json.loads(line)
    assert figures["model"] is None
    assert figures["broker"]["requests"] > 0.0
    assert figures["broker"]["agents"][0]["agent"] == "omega-0"
    said = metabonk("monitor", "--once", "--json", "--broker", "http://127.0.0.1:9")
    assert said.code == 1
    assert "nobody answers" in json.loads(said.out)["broker"]["problem"]


def test_where_servers_are_is_in_the_settings(
    metabonk: Callable[..., Any], servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METABONK_BROKER_HTTP", servers[0].removeprefix("http://"))
    said = metabonk("monitor", "--once", "--json")
    assert said.code == 0
    assert json.loads(said.out)["model"] is None  # rules answer: no model server is asked
    monkeypatch.setenv("METABONK_BACKEND_CHAIN", "openai,rules")
    monkeypatch.setenv("METABONK_BACKEND_URL", f"{servers[1]},http://127.0.0.1:9")
    said = metabonk("monitor", "--once", "--json")
    assert json.loads(said.out)["model"]["kv_use"] == 0.25


def test_it_goes_on_until_it_is_stopped(servers: tuple[str, str]) -> None:
    start = "from metabonk.cli.main import run; run()"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METABONK_")}
    process = subprocess.Popen(
        [sys.executable, "-c", start, "monitor", "--json", "--every=0.1", "--broker", servers[0]],
        stdout=subprocess.PIPE, text=True, env=environ,
    )  # fmt: skip
    killer = threading.Timer(HANG_SECONDS, process.kill)
    killer.start()
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    killer.cancel()
    process.stdout.close()
    assert lines[0]["seconds"] == 0.0
    assert lines[0]["broker"]["requests"] == 0.0
    assert lines[2]["broker"]["requests"] > 0.0


def test_an_address_that_is_none(metabonk: Callable[..., Any]) -> None:
    said = metabonk("monitor", "--once", "--broker", "localhost:5556")
    assert said.code == 2
    assert "give an address" in said.err
    with pytest.raises(ConfigError):
        cli.metrics_of("localhost")
    assert cli.metrics_of("http://a:1/") == cli.metrics_of("http://a:1/metrics")


def test_every_figure_has_words() -> None:
    broker = m.BrokerFigures(
        agents=[m.AgentFigures("omega-0", 10, 8, 2, 1.0)], connected=1, requests=5.0, decisions=4.0,
        replies={"ok": 4.0, "fallback": 1.0}, fallback_share=0.2, age_ms=(12.0, 34.0),
        server_ms=(1.0, 2.0), fairness=0.97, in_flight=1, pending=0, unrecorded=3,
        journal=m.JournalFigures(size=3 << 30, limit=4 << 30, oldest=7200.0, removed=1234),
    )  # fmt: skip
    model = m.ModelFigures(
        kind="vllm", cache_hit_rate=0.6, kv_use=0.5, running=2.0, queued=1.0, generated=33.0
    )
    gpu = Load("NVIDIA", 0.37, 20.0, 80.0, 51.0, 250.0)
    figures = m.Figures(time=0.0, seconds=1.0, broker=broker, model=model, gpus=[gpu])
    told = cli.lines(figures)
    assert told["broker"] == (
        "1 agents, 5.0 requests/s, 4.0 decisions/s, 20% fallbacks, "
        "age at apply 12 ms (p99 34), in the server 1 ms (p99 2), fairness 0.97, "
        "3 rows wait for the journal"
    )
    assert told["journal"] == (
        "3,072 of 4,096 MiB, back to 2.0 hours ago, 1,234 decisions made room"
    )
    assert told["model"].startswith("vllm, prefix cache hits 60%, KV cache 50%, 2 running")
    assert told["gpu 0"] == "NVIDIA, 37% busy, 20.0 of 80.0 GiB, 51 °C, 250 W"
    assert cli.picture(figures) is not None


def test_the_script_is_the_verb() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts/monitor_cognitive_server.py"
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, check=True
    )
    assert "metabonk monitor" in done.stdout

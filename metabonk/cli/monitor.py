"""`metabonk monitor`: how the cognitive server, its model server and the GPUs are doing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.live import Live

from metabonk import config as settings_module
from metabonk.cli.interrupt import interruptible
from metabonk.cli.output import console, notice_line, table, verb
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.cognition.monitor.monitor import (
        BrokerFigures,
        Figures,
        JournalFigures,
        ModelFigures,
    )
    from metabonk.cognition.monitor.nvml import Load

app, command = verb(
    """Show how System 2 is doing.

Requests and decisions per second, the age of directives when they are applied,
fallbacks, how evenly agents are served, how full the journal is; of the model
server (SGLang, vLLM) the hit rate of its prefix cache and the use of its KV cache;
of GPUs their load and memory. Looks at what the servers publish over HTTP and
changes nothing. Ctrl-C ends it.

$ metabonk monitor
$ metabonk monitor --model http://127.0.0.1:30000        and the model server
$ metabonk monitor --once                                one look; 1 if nobody answers
$ metabonk monitor --json --every 10 >> figures.jsonl    one line of JSON per look"""
)

EXAMPLE = "http://127.0.0.1:5556"
_NAP = 0.1  # seconds between two looks at whether Ctrl-C came
_GLANCE = 0.5  # seconds between the two looks of --once, which rates need


@command
def monitor(
    broker: str = typer.Option(
        None,
        "--broker",
        help="The cognitive server's HTTP address; default: that of the settings.",
        metavar="URL",
    ),
    model: str = typer.Option(
        None,
        help="The model server's; default: that of the settings if they ask one.",
        metavar="URL",
    ),
    every: float = typer.Option(1.0, help="Seconds between two looks.", min=0.1),
    once: bool = typer.Option(
        False, "--once", help="Look once and end: 0 if the cognitive server answers, 1 if not."
    ),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON per look."),
) -> None:
    from metabonk.cognition.monitor.monitor import Monitor

    settings = settings_module.load(notice=notice_line)
    if broker is None:
        broker = f"http://{settings.broker.http or EXAMPLE.removeprefix('http://')}"
    if model is None:
        asked = "openai" in settings.backend.chain
        model = settings.backend.url.split(",")[0].strip() if asked else ""
    urls = metrics_of(broker), metrics_of(model) if model else ""
    with Monitor(*urls) as watching, interruptible() as stopped:
        if once:
            watching.look()
            time.sleep(_GLANCE)
            figures = watching.look()
            _print(figures, json)
            raise typer.Exit(1 if figures.broker.problem else 0)
        if json or not console.is_terminal:
            for _ in _turns(every, stopped):
                _print(watching.look(), json)
            return
        with Live(console=console, auto_refresh=False, screen=False) as live:
            for _ in _turns(every, stopped):
                live.update(picture(watching.look()), refresh=True)


def metrics_of(url: str) -> str:
    """The address of a server's metrics; `url` may already be it. Raises ConfigError."""
    if "//" not in url:
        raise ConfigError(f"{url!r}: give an address as {EXAMPLE}")
    return url if url.rstrip("/").endswith("/metrics") else url.rstrip("/") + "/metrics"


def _turns(every: float, stopped: Callable[[], bool]) -> Iterator[None]:
    """Once now and then every so many seconds, until `stopped`."""
    due = time.monotonic()
    while not stopped():
        if time.monotonic() >= due:
            yield
            due = max(due + every, time.monotonic())
        time.sleep(min(_NAP, every))


def _print(figures: Figures, json: bool) -> None:
    if json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
        sys.stdout.flush()  # whoever reads a pipe wants it now
        return
    for what, line in lines(figures).items():
        console.print(f"{what}: {line}", markup=False, soft_wrap=True)


def picture(figures: Figures) -> RenderableType:
    """The figures as they stand on a terminal: a table of agents under one of the rest."""
    rows = [(what, line) for what, line in lines(figures).items()]
    parts: list[RenderableType] = [table(("", ""), rows, header=False)]
    if figures.broker.agents:
        columns = ("agent", ">requests", ">decisions", ">fallbacks", ">share")
        cells = [
            (a.agent, a.requests, a.decisions, a.fallbacks, f"{a.share:.0%}")
            for a in figures.broker.agents
        ]
        parts += ["", table(columns, cells)]
    if figures.broker.replies:
        told = ", ".join(f"{s} {rate:.1f}/s" for s, rate in figures.broker.replies.items())
        parts += ["", f"replies: {told}"]
    return Group(*parts)


def lines(figures: Figures) -> Mapping[str, str]:
    """The figures in words, by what they are about."""
    told = {"broker": figures.broker.problem or _broker_line(figures.broker)}
    if figures.broker.journal is not None:
        told["journal"] = _journal_line(figures.broker.journal)
    if figures.model is not None:
        told["model"] = figures.model.problem or _model_line(figures.model)
    for index, gpu in enumerate(figures.gpus):
        told[f"gpu {index}"] = _gpu_line(gpu)
    if not figures.gpus:
        told["gpu"] = figures.gpu_problem
    return told


def _broker_line(broker: BrokerFigures) -> str:
    parts = [f"{broker.requests:.1f} requests/s", f"{broker.decisions:.1f} decisions/s"]
    if broker.connected is not None:
        parts.insert(0, f"{broker.connected} agents")
    if broker.fallback_share is not None:
        parts.append(f"{broker.fallback_share:.0%} fallbacks")
    if broker.age_ms is not None:
        parts.append(f"age at apply {broker.age_ms[0]:.0f} ms (p99 {broker.age_ms[1]:.0f})")
    if broker.server_ms is not None:
        parts.append(f"in the server {broker.server_ms[0]:.0f} ms (p99 {broker.server_ms[1]:.0f})")
    if broker.fairness is not None:
        parts.append(f"fairness {broker.fairness:.2f}")
    if broker.unrecorded:
        parts.append(f"{broker.unrecorded} rows wait for the journal")
    return ", ".join(parts)


def _journal_line(journal: JournalFigures) -> str:
    size = f"{journal.size / 2**20:,.0f}"
    parts = [f"{size} of {journal.limit / 2**20:,.0f} MiB" if journal.limit else f"{size} MiB"]
    if journal.oldest:
        parts.append(f"back to {journal.oldest / 3600.0:,.1f} hours ago")
    if journal.removed:
        parts.append(f"{journal.removed:,} decisions made room")
    return ", ".join(parts)


def _model_line(model: ModelFigures) -> str:
    parts = [model.kind or "publishes nothing that is known"]
    shares = {"prefix cache hits": model.cache_hit_rate, "KV cache": model.kv_use}
    parts += [f"{name} {value:.0%}" for name, value in shares.items() if value is not None]
    counts = {"running": model.running, "queued": model.queued}
    parts += [f"{value:.0f} {name}" for name, value in counts.items() if value is not None]
    if model.generated is not None:
        parts.append(f"{model.generated:.0f} tokens/s")
    return ", ".join(parts)


def _gpu_line(gpu: Load) -> str:
    parts = [gpu.name]
    if gpu.busy is not None:
        parts.append(f"{gpu.busy:.0%} busy")
    if gpu.used is not None and gpu.total is not None:
        parts.append(f"{gpu.used:.1f} of {gpu.total:.1f} GiB")
    if gpu.celsius is not None:
        parts.append(f"{gpu.celsius:.0f} °C")
    if gpu.watts is not None:
        parts.append(f"{gpu.watts:.0f} W")
    return ", ".join(parts)

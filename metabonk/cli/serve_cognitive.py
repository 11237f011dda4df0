"""`metabonk serve cognitive`: the server that agents ask for directives."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from metabonk import config as settings_module
from metabonk.cli.output import (
    JsonFlag,
    console,
    notice_line,
    print_json,
    refuse_idle,
    stderr,
    table,
    verb,
)
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.cognition.broker.door import Door
    from metabonk.cognition.broker.serving import Running

app, command = verb(
    """Run the cognitive server: agents ask, a backend answers, all is kept once.

Rules answer unless [bold]--backend[/] names others ([bold]openai[/]: any server of that
API), and until those are there. It serves this machine only; agents on others need
keys. /healthz and /metrics are at [bold]--http[/], which asks for none and so stays
on this machine. Ctrl-C, a polite kill or a closed terminal lets answers on their way
finish and refuses new questions, the same once more ends it at once; what was asked
and what came of it lies in DIR/decisions.sqlite, which [bold]metabonk cognition export[/]
reads.

$ metabonk serve cognitive                       port 5555, rules
$ metabonk play --live --system2 --uncertified   an agent, in another window
$ metabonk serve cognitive --backend openai --url http://127.0.0.1:30000
$ metabonk keys new broker                       for other machines, then
$ metabonk serve cognitive --bind tcp://0.0.0.0:5555 --key broker.key
  --allow allow.toml
$ curl http://127.0.0.1:5556/metrics"""
)

LOOK_SECONDS = 0.5
QUIET_SECONDS = 30.0  # between lines where the output is not a terminal


@command
def cognitive(
    context: typer.Context,
    config: Path = typer.Option(None, help="Settings (TOML).", metavar="FILE"),
    bind: str = typer.Option(
        None, help="Where agents connect; several by commas.", metavar="ADDRESS"
    ),
    port: int = typer.Option(
        None, "--port", "--zmq-port", help="The same, a port of 127.0.0.1.", min=1, max=65535
    ),
    http: str = typer.Option(None, help="Of /metrics; empty: nowhere.", metavar="HOST:PORT"),
    directory: Path = typer.Option(None, help="Where decisions are kept.", metavar="DIR"),
    backend: str = typer.Option(
        None, help="Who answers, in this order: openai,rules.", metavar="NAMES"
    ),
    url: str = typer.Option(None, help="The model server of openai.", metavar="URL"),
    model: str = typer.Option(None, help="Its model, if it has several.", metavar="NAME"),
    concurrency: int = typer.Option(None, help="Questions at once at most."),
    frames_mb: int = typer.Option(None, help="Megabytes of logging agents' frames."),
    key: Path = typer.Option(None, help="Its secret key.", metavar="FILE"),
    allow: Path = typer.Option(None, help="Agents and their public keys.", metavar="FILE"),
    sets: list[str] = typer.Option([], "--set", help="Any other setting.", metavar="KEY=VALUE"),
    seconds: float = typer.Option(0.0, help="End after so many seconds; 0: by Ctrl-C.", min=0.0),
    json: bool = JsonFlag,
) -> None:
    if port is not None:
        if bind is not None:
            raise ConfigError("--port and --bind: give one of them")
        bind = f"tcp://127.0.0.1:{port}"
    named = {
        "broker.bind": bind, "broker.http": http, "broker.directory": _text(directory),
        "broker.concurrency": concurrency, "broker.frames_mb": frames_mb,
        "broker.key": _text(key), "broker.allow": _text(allow),
        "backend.chain": backend, "backend.url": url, "backend.model": model,
    }  # fmt: skip
    settings = settings_module.load(
        config, flags=settings_module.flags_of(sets, named), notice=notice_line
    )
    _refuse_idle(context, sets, settings.backend.chain)
    _raise_file_limit()
    sys.setswitchinterval(5e-4)  # the journal's thread gives way to who answers
    with _start_without_garbage():
        found = asyncio.run(_serve(settings, seconds, json))
    if json:
        print_json(found)
    else:
        rows = [(name, f"{count:,}") for name, count in found["replies"].items()]
        rows += [(f"journal: {name}", f"{count:,}") for name, count in found["journal"].items()]
        console.print(table(("", ">"), rows, header=False))


def _refuse_idle(context: typer.Context, sets: list[str], chain: str) -> None:
    """Raises ConfigError for what was given here and nobody in the chain reads: the rules would
    answer whoever believes that a model does."""
    names = [name.strip() for name in chain.split(",") if name.strip()]
    if not {"rules", "openai", "policy"} >= set(names):
        return  # one that there is not is told when it is made
    given = [key for key in settings_module.flags_of(sets, {}) if _of_a_backend(key)]
    for reader in ("openai", "policy"):
        if reader in names:
            continue
        wanted = ",".join([reader, *(name for name in names if name != "rules")])
        why = f"only the backend {reader} reads it: add --backend {wanted}"
        if reader == "openai":
            refuse_idle(context, {"--url", "--model"}, why)
        for key in given:
            if key != "backend.chain" and (key == "backend.policy") == (reader == "policy"):
                raise ConfigError(f"--set {key}: {why}")


def _of_a_backend(key: str) -> bool:
    """Whether a backend reads this setting; of menus `openai` asks another model."""
    return key.startswith("backend.") or key == "menu.model"


async def _serve(settings: settings_module.Config, seconds: float, quiet: bool) -> dict[str, Any]:
    from metabonk.cognition.broker.door import Door

    # Agents find it from here on: what is loaded next takes longer than their pauses.
    door = Door.of(settings.broker)
    door.listen()
    try:
        return await _behind(door, settings, seconds, quiet)
    finally:
        door.close()


async def _behind(
    door: Door, settings: settings_module.Config, seconds: float, quiet: bool
) -> dict[str, Any]:
    """Serves whoever comes through a door that listens already."""
    from metabonk.cognition.backends import choice as backends
    from metabonk.cognition.broker.serving import serving

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    heard: set[int] = set()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup stays so
            loop.add_signal_handler(number, _ask, stop, heard, number)
    if seconds:
        loop.call_later(seconds, stop.set)
    chain = backends.make(settings.backend, menu_model=settings.menu.model)
    began = time.monotonic()
    try:
        explain = settings.backend.explain_seconds > 0.0
        async with serving(chain, settings.broker, explain=explain, door=door) as running:
            _loaded()
            if not chain.limit:  # there is nothing to find out
                await running.opening
                _say(backends.describe(chain))
            _say(_where(running))
            if chain.limit and await _opened(running, stop):
                _say(backends.describe(chain))
            await _watch(running, stop, quiet)
    finally:
        await chain.close()
    replies: Counter[str] = Counter()
    for (_, status), count in running.broker.measures.replies.items():
        replies[status] += count
    return {
        "seconds": time.monotonic() - began,
        "replies": dict(replies),
        "journal": running.journal.counts,
        "frames": running.store.counts,
    }


def _where(running: Running) -> list[str]:
    lines = [f"agents connect to {endpoint}" for endpoint in running.endpoints]
    lines += [f"decisions are kept in {running.journal.path}"]
    if running.url:
        lines += [f"{running.url}/metrics  /healthz  /readyz"]
    return lines


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        stderr.print(line, markup=False, soft_wrap=True)


async def _opened(running: Running, stop: asyncio.Event) -> bool:
    """Whether the backend is open; False where it was asked to end before. Agents are served either
    way. Raises BackendError for a backend that is not there."""
    asked = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {running.opening, asked}
    try:
        done, _ = await asyncio.wait(either, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            _say(["waiting for the model server; rules answer until it is there"])
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    if not running.opening.done():
        return False
    await running.opening
    return True


async def _watch(running: Running, stop: asyncio.Event, quiet: bool) -> None:
    """Says how it goes until it is asked to end: a line that changes, or one now and then. Raises
    what ended a part of the server: one that goes on without it would look as if it served."""
    changing = not quiet and stderr.is_terminal
    said = 0.0
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(stderr.status("waiting for agents")) if changing else None
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
            running.check()
            if status is not None:
                status.update(_line(running))
            elif not quiet and time.monotonic() - said >= QUIET_SECONDS:
                said = time.monotonic()
                _say([_line(running)])


def _line(running: Running) -> str:
    broker = running.broker
    replies: Counter[str] = Counter()
    for (_, how), count in broker.measures.replies.items():
        replies[how] += count
    parts = [f"{len(broker.names)} agents", f"{replies.total():,} requests"]
    parts += [f"{count:,} {how}" for how, count in sorted(replies.items())]
    scheduler = broker.answering.scheduler
    if scheduler.service.mean:
        parts.append(f"{scheduler.service.mean * 1e3:.1f} ms an answer")
    if running.trouble():
        parts.append(running.trouble().replace("\n", "; "))
    return " · ".join(parts)


def _ask(stop: asyncio.Event, heard: set[int], number: int) -> None:
    """The first signal ends it in order, the same one again at once. Another one is the same wish:
    who started it passes on what the terminal has sent already. A terminal that closes says so
    twice, by its shell and by itself."""
    if number in heard and number != signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    heard.add(number)
    stop.set()


def _raise_file_limit() -> None:
    """Every agent is a file descriptor, and so is everybody who only connects."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _start_without_garbage() -> Iterator[None]:
    """Agents wait for a server that starts: what it loads is not searched for garbage meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _loaded() -> None:
    """From here on garbage is looked for, in what comes: never again in what was loaded."""
    gc.freeze()
    gc.enable()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)

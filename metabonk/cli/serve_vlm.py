"""`metabonk serve vlm`: a model server in an environment of its own, watched and restarted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from metabonk import config as settings_module
from metabonk.cli.output import JsonFlag, console, error_line, notice_line, verb
from metabonk.errors import BackendError

if TYPE_CHECKING:
    from metabonk.cognition.servers.supervise import Event, Supervisor
    from metabonk.cognition.servers.vlm import Command
    from metabonk.config import VlmConfig

app, command = verb(
    """Run a model server for the cognitive server.

SGLang (or vLLM) runs in a virtual environment of its own, because it pins a Torch
and a CUDA; what is missing is said, with the commands that install it. Settings are
one file, its table is [bold]vlm[/]. It is waited for until it serves, restarted with
growing pauses when it ends or stops answering, and ended in order by Ctrl-C, a polite
kill or a closed terminal; on Linux kill -9 of this command ends it, too.
The engine stand-in has no model: it answers as SGLang does, with nothing behind it.

$ metabonk serve vlm --print > vlm.toml         every setting with its meaning
$ metabonk serve vlm --config vlm.toml          Ctrl-C ends it
$ metabonk serve vlm --dry-run                  only the command lines
$ metabonk serve vlm --asked-by                 what `serve cognitive` takes to ask it
$ metabonk serve vlm --set vlm.engine=stand-in  to try the way without a GPU"""
)


@command
def vlm(
    config: Path = typer.Option(None, help="TOML file with settings.", metavar="FILE"),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. vlm.port=30001; repeatable.", metavar="KEY=VALUE"
    ),
    print_: bool = typer.Option(False, "--print", help="Print the settings as a file and end."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print what would be run and end."),
    asked_by: bool = typer.Option(
        False, "--asked-by", help="Print the settings (--set) of who asks it, a line each, and end."
    ),
    json: bool = JsonFlag,
) -> None:
    flags = settings_module.flags_of(set_, {})
    chosen = settings_module.load(config, flags=flags, notice=notice_line)
    if print_:
        print(_section(settings_module.to_toml(chosen), "vlm"), end="")
        return
    from metabonk.cognition.servers import vlm as engine

    commands = engine.commands(chosen.vlm)
    if dry_run:
        for one in commands:
            print(one.shown())
        return
    if asked_by:
        for key, value in _asking(chosen.vlm, engine.url_of(chosen.vlm)).items():
            print(f"{key}={value}")
        return
    _serve(chosen.vlm, commands, json)


def _serve(config: VlmConfig, commands: Sequence[Command], json: bool) -> None:
    """Runs the commands until they are stopped; what is missing is said before anything runs."""
    from metabonk.cognition.backends.choice import read_key
    from metabonk.cognition.servers import vlm as engine
    from metabonk.cognition.servers.supervise import Patience, Supervisor

    key = read_key(config.key_file, "vlm.key_file")
    version = engine.preflight(config)
    engine.write_secret(config)
    log, url = engine.log_of(config), engine.url_of(config)
    if not json:
        console.print(f"{config.engine} {version}, {config.model}, log in {log}", markup=False)
    supervisor = Supervisor(
        commands, log, key=key, patience=Patience(load=config.load_seconds),
        told=lambda event: _tell(event, url, json),
    )  # fmt: skip
    try:
        asyncio.run(_until_stopped(supervisor))
    except BackendError as error:
        error_line(str(error))
        raise typer.Exit(2) from error


def _asking(config: VlmConfig, url: str) -> dict[str, str]:
    """The settings of a cognitive server that asks this model server, and waits while it loads."""
    found = {"backend.chain": "openai,rules", "backend.url": url}
    found |= {"backend.key_file": config.key_file} if config.key_file else {}
    return found | {"backend.wait": f"{config.load_seconds:g}"}


def _section(toml: str, name: str) -> str:
    """One table of a TOML text."""
    tables = toml.split("\n\n")
    return next(t for t in tables if t.startswith(f"[{name}]")).rstrip("\n") + "\n"


def _tell(event: Event, url: str, json: bool) -> None:
    if json:
        print(msgspec.json.encode({**msgspec.to_builtins(event), "url": url}).decode(), flush=True)
        return
    text = event.text
    if event.what == "ready":
        text = f"serves at {url} after {event.seconds:.1f} s: set backend.url={url}"
    console.print(text, markup=False, soft_wrap=True)


async def _until_stopped(supervisor: Supervisor) -> None:
    """Runs until Ctrl-C, a polite kill or the end of its terminal, unless nohup keeps that away."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, supervisor.stop)
    await supervisor.run()

"""`metabonk host`: runs a game as a process that agents play over BonkLink or shared memory."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.interrupt import interruptible
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
from metabonk.cli.sizes import size_of
from metabonk.cli.status_line import StatusLine
from metabonk.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from metabonk.games.host import Host

app, command = verb(
    """Run a game as a process that agents play.

It runs in real time, with menus and frames, and speaks BonkLink
([bold]auto[/]: v1 until the agent says HELLO, then v2), or with [bold]--research[/]
ResearchPlugin's shared memory. [bold]--locked[/] waits for the answer to every state
instead. While nobody is connected the game stands still. Ctrl-C ends it and shows
what was counted.

$ metabonk host                            the arena, port 5560, 60 states a second
$ metabonk train --game bonklink --set game.port=5560    learns it, elsewhere
$ metabonk host --hz 15 --locked           as fast as it is answered
$ metabonk host --game doom/basic --protocol v1 --frames jpeg
$ metabonk host --restart menu             as people play, from the menus on
$ metabonk host --research --size 84x84    shared memory of instance 0"""
)

SIZES = {"arena": (180, 320), "doom": (120, 160), "research": (84, 84)}
BONKLINK = {"--host", "--port", "--pipe", "--protocol", "--frames", "--quality", "--token-file"}
SHARED_MEMORY = {"--instance", "--research-dir"}


@command
def host(
    context: typer.Context,
    game: str = typer.Option("arena", help="arena, or doom/<scenario>.", metavar="NAME"),
    address: str = typer.Option("127.0.0.1", "--host", help="Address to listen on."),
    port: int = typer.Option(
        5560, help="Port to listen on; 0: one that is free.", min=0, max=65535
    ),
    pipe: str = typer.Option(None, help="Listen on this pipe instead.", metavar="NAME"),
    protocol: str = typer.Option("auto", help="BonkLink's version: v1, v2 or auto."),
    research: bool = typer.Option(
        False, "--research", help="ResearchPlugin's shared memory instead of BonkLink."
    ),
    hz: float = typer.Option(
        0.0, help="States per second of game time; 0: one per tick (arena 60, Doom 35)."
    ),
    speed: float = typer.Option(1.0, help="Game time per real time."),
    locked: bool = typer.Option(False, "--locked", help="Wait for the answer to every state."),
    frames: str = typer.Option("raw", help="jpeg, raw, or none."),
    size: str = typer.Option(
        None,
        help="Size of frames; 180x320, Doom 120x160, shared memory 84x84.",
        metavar="HEIGHTxWIDTH",
    ),
    quality: int = typer.Option(90, help="Of JPEG frames.", min=1, max=100),
    ring: bool = typer.Option(
        True, help="Frames over a shared-memory ring to v2 agents on this machine."
    ),
    restart: str = typer.Option(
        "auto", help="What begins the next run: auto, an answer; menu, the game's own menus."
    ),
    seed: int = typer.Option(0, help="Seed of the first episodes.", min=0),
    level: Path = typer.Option(
        None, help="The arena's level: a name, as hard, or JSON.", metavar="LEVEL"
    ),
    token_file: Path = typer.Option(
        None, help="File with a secret that agents must know.", metavar="FILE"
    ),
    instance: str = typer.Option("0", help="Of shared memory, which game this is."),
    research_dir: Path = typer.Option(None, help="Folder of shared memory.", metavar="DIR"),
    seconds: float = typer.Option(0.0, help="End after so many seconds; 0: by Ctrl-C.", min=0.0),
    json: bool = JsonFlag,
) -> None:
    if research:
        _refuse_of_bonklink(context, ring)
    else:
        _refuse_idle(context, pipe, frames)
    if locked:
        refuse_idle(context, {"--speed"}, "with --locked answers set the pace: leave it out")
    if not machine.core_built():
        raise BackendError("the native core is not built: in a checkout run ./scripts/build")
    settings_module.cap_cpu()
    from metabonk.games.host import Host, Pace
    from metabonk.games.hosted import make_hosted

    pace = Pace(locked=locked, speed=speed)
    kind = "research" if research else game.partition("/")[0]
    shape = SIZES.get(kind, SIZES["arena"]) if size is None else size_of("--size", size)
    with contextlib.ExitStack() as stack:
        hosted = make_hosted(game, level, shape, hz, restart)
        stack.callback(hosted.close)
        if research:
            from metabonk.games.host_links import ResearchLink
            from metabonk.link.research_shm import path_of

            folder = research_dir or settings_module.load(notice=notice_line).game.research_dir
            link: Any = ResearchLink(path_of(instance, folder), shape)
        else:
            from metabonk.games.host_bonklink import BonkLinkLink, Offer

            offer = Offer(
                host=address, port=port, pipe=pipe or "", protocol=cast(Any, protocol),
                frames=frames, quality=quality, ring=ring, size=shape,
                rate=hosted.hz, locked=locked, token=secret_of(token_file),
            )  # fmt: skip
            link = BonkLinkLink(offer)
        stack.callback(link.close)
        running = Host(hosted, link, pace, seed)
        how = "locked" if locked else f"{hosted.hz * speed:.4g} states a second"
        stderr.print(f"{hosted.name} at {link.status()}, {how}; Ctrl-C ends it", soft_wrap=True)
        began = time.monotonic()
        _run(running, seconds, quiet=json)
        found = {
            "game": hosted.name,
            "seconds": time.monotonic() - began,
            "host": asdict(running.counts),
            "link": dict(link.counters()),
        }
    _show(found, json)


def _refuse_of_bonklink(context: typer.Context, ring: bool) -> None:
    why = "it is BonkLink's, and --research shows the game in shared memory: leave it out"
    refuse_idle(context, BONKLINK, why)
    source = context.get_parameter_source("ring")
    if source is not None and source.name == "COMMANDLINE":  # as it was typed, of its two names
        raise ConfigError(f"--{'ring' if ring else 'no-ring'}: {why}")


def _refuse_idle(context: typer.Context, pipe: str | None, frames: str) -> None:
    refuse_idle(context, SHARED_MEMORY, "only shared memory has it: add --research")
    if pipe:
        why = f"with --pipe {pipe} nothing listens on a port: leave one of them out"
        refuse_idle(context, {"--host", "--port"}, why)
    if frames != "jpeg":
        why = f"only JPEGs have it, and frames are {frames}: add --frames jpeg"
        refuse_idle(context, {"--quality"}, why)


def secret_of(path: Path | None) -> str:
    """The secret in a file, without the line's end. Raises ConfigError for an empty one."""
    if path is None:
        return ""
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--token-file {path}: not text") from error
    except OSError as error:
        raise ConfigError(f"--token-file {path}: {error.strerror}, name a file to read") from error
    if not secret:
        raise ConfigError(f"--token-file {path}: it is empty, write the secret into it")
    return secret


def _run(running: Host, seconds: float, *, quiet: bool) -> None:
    end = time.monotonic() + seconds
    line = StatusLine(lambda: line_of(running), "waiting", quiet=quiet)
    with interruptible() as stopped, line:
        running.run(lambda: stopped() or (seconds > 0.0 and time.monotonic() >= end), line.look)


def _show(found: dict[str, Any], json: bool) -> None:
    if json:
        print_json(found)
        return
    rows = [(key, f"{count:,}") for key, count in found["host"].items()]
    rows += [(f"link: {key}", f"{count:,}") for key, count in found["link"].items() if count]
    console.print(table(("", ">"), rows, header=False))


def line_of(running: Host) -> str:
    """The state of things in one line."""
    counts, shown = running.counts, running.now
    parts = [
        running.link.status(),
        f"episode {counts.episodes:,}, {shown.seconds:,.0f} s",
        f"return {shown.returned:.2f}",
        f"{counts.moments:,} states, {counts.actions:,} actions",
    ]
    told = {"held": counts.held, "stale": counts.stale, "late": counts.late}
    parts += [f"{count:,} {name}" for name, count in told.items() if count]
    if shown.menu not in ("", "None"):
        parts.append(f"menu {shown.menu}")
    return " · ".join(parts)

"""`metabonk play`: play a game yourself, or watch a policy play it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.dual import controlled, recorded, refuse_menus
from metabonk.cli.live import run_live
from metabonk.cli.live_plan import Plan
from metabonk.cli.output import (
    JsonFlag,
    check_target,
    console,
    print_json,
    refuse_idle,
    stderr,
    verb,
)
from metabonk.cli.players import (
    configured,
    default,
    motor_of,
    player_of,
    refuse_greedy,
    run_of,
    visible,
)
from metabonk.cli.system2 import notice_idle, notice_unasked
from metabonk.config import Config
from metabonk.errors import ConfigError, GameError
from metabonk.play import controls
from metabonk.play.window import require_screen

app, command = verb(
    """Play a game yourself, or watch a policy play it.

A policy is [bold]scripted[/], [bold]random[/], or the directory of a run, of its motors, or of a
compiled policy. It is shown in a window, or filmed with [bold]--video[/]: .mp4, or .gif.

[bold]--live[/] plays in real time, 60 decisions a second by a thread of its own that never
waits for Python, and keeps a ledger of every tick. [bold]--proof N[/] does so for N ticks
beside a thread that does nothing but wake, and says what each took; 10,000 ticks or
more earn the policy the latency certificate that [bold]--live[/] asks for.

$ metabonk play --human                       you, with keyboard and mouse
$ metabonk play                               the scripted player in the arena
$ metabonk play --policy runs/long            what a run learned
$ metabonk play --game doom/basic --policy random
$ metabonk play --policy runs/long --video best.mp4 --seed 7
$ metabonk play --policy runs/long --proof 36000      ten minutes, certified
$ metabonk play --policy runs/long --live --seconds 60
$ metabonk play --policy runs/long --live --system2   with a cognitive server
$ metabonk play --policy runs/long --proof 3600 --agents 16 --load busy
$ metabonk play --set sima2.enabled=true --set sima2.log=1   planner and motor

By hand:

"""
    + "\n".join(controls.lines())
)


LIVE = {
    "--seconds", "--agents", "--hz", "--frames", "--load", "--realtime", "--cpu", "--uncertified",
    "--max-p99", "--out", "--record", "--reload",
}  # fmt: skip
SHOWN = {"--episodes", "--video", "--save"}  # of play that is looked at
PLAYERS = {"--policy", "--greedy", "--live", "--proof", "--system2", "--server"}


@command
def play(
    context: typer.Context,
    game: str = typer.Option(
        None, help="What to play; `metabonk games` lists them.", metavar="NAME"
    ),
    human: bool = typer.Option(False, "--human", help="Play yourself (the arena)."),
    policy: str = typer.Option(
        None, help="scripted, random, or the directory of a run or of a compiled policy."
    ),
    seed: int = typer.Option(0, help="Which episode.", min=0),
    episodes: int = typer.Option(1, help="How many episodes, one after the other.", min=1),
    video: Path = typer.Option(None, help="Film it instead of showing it.", metavar="FILE"),
    save: Path = typer.Option(None, help="Keep the last episode as a replay.", metavar="FILE"),
    greedy: bool = typer.Option(False, "--greedy", help="A run's policy acts without chance."),
    level: Path = typer.Option(
        None, help="The arena's level: a name, as hard, or JSON.", metavar="LEVEL"
    ),
    live: bool = typer.Option(False, "--live", help="In real time, by the control loop."),
    proof: int = typer.Option(0, help="So many ticks of it, measured.", min=0, metavar="N"),
    seconds: float = typer.Option(0.0, help="End --live after so long; 0: by Ctrl-C.", min=0.0),
    agents: int = typer.Option(1, help="How many agents --live and --proof play.", min=1, max=64),
    hz: float = typer.Option(60.0, help="Ticks per second of --live and --proof."),
    frames: str = typer.Option(
        None, help="Size of live frames; default: what the policy reads, or 84x84.", metavar="HxW"
    ),
    load_: list[str] = typer.Option(
        [], "--load", help="Of --proof: busy, gc or reader; repeatable.", metavar="NAME"
    ),
    realtime: int = typer.Option(
        0, help="Real-time priority of the loop (SCHED_FIFO, 1 to 99).", min=0, max=99
    ),
    cpu: int = typer.Option(None, help="Processor of the loop; -1: any.", min=-1),
    uncertified: bool = typer.Option(
        False, "--uncertified", help="--live without a latency certificate."
    ),
    max_p99: float = typer.Option(
        None, "--max-p99", help="Bound of --proof's capture to action; 0: none.", metavar="MS"
    ),
    out: Path = typer.Option(None, help="Where the live session is kept.", metavar="DIR"),
    record: bool = typer.Option(
        False, "--record", help="Keep what --live observes (other games than the arena always do)."
    ),
    reload: bool = typer.Option(
        False, "--reload", help="--live takes up new weights when the policy's directory changes."
    ),
    system2: bool = typer.Option(
        None, "--system2", help="Ask a cognitive server for directives beside --live."
    ),
    server: str = typer.Option(
        None, help="Where it is: tcp://HOST:PORT or ipc://PATH.", metavar="URL"
    ),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. game.frame_skip=4; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    _refuse_idle(context, human, live, proof > 0)
    named = {
        "game.name": game,
        "game.level": None if level is None else str(level),
        "cognition.enabled": system2,
        "cognition.server": server,
    }
    flags = settings_module.flags_of(set_, named)
    run = run_of(policy)
    config = configured(run, flags)
    if machine.core_built():
        settings_module.cap_cpu(config)
    if human:
        notice_unasked(config, "with --human it is you who plays")
        _play_human(config, seed)
        return
    if greedy:
        refuse_greedy(policy or default(config), run, config)
    asked = {"--system2": bool(system2), "--server": server is not None}
    _check_asked(config, [flag for flag, given in asked.items() if given], live or proof > 0)
    notice_idle(config, live=live or proof > 0)
    if live or proof:
        if motor_of(policy) is not None:
            raise ConfigError(
                f"--policy {policy}: the live loop plays motors that are compiled: give it what "
                f"`metabonk compile {policy}` writes"
            )
        plan = Plan(
            policy=policy or default(config), run=run, seed=seed, seconds=seconds, proof=proof,
            agents=agents, hz=hz, frames=frames, loads=tuple(load_), realtime=realtime, cpu=cpu,
            uncertified=uncertified, max_p99=max_p99, greedy=greedy, out=out, record=record,
            reload=reload, json=json,
        )  # fmt: skip
        run_live(plan, config)
        return
    refuse_menus(config, live=False)
    with contextlib.closing(recorded(visible(config), config, run, seed)) as made:
        player = player_of(policy or default(config), run, made, config, seed, greedy)
        player = controlled(player, made, config, run, seed)
        _watch(made, player, config, seed, episodes, video, save, json)


def _refuse_idle(context: typer.Context, human: bool, live: bool, proof: bool) -> None:
    if human:
        why = "with --human it is you who plays, in a window: leave it out"
        refuse_idle(context, LIVE | SHOWN | PLAYERS, why)
    elif live or proof:
        refuse_idle(context, SHOWN, "--live and --proof show nothing: leave it out")
        if proof:
            why = "a proof asks for no certificate, it earns one: leave it out"
            refuse_idle(context, {"--uncertified"}, why)
    else:
        refuse_idle(context, LIVE, "only the control loop has it: add --live or --proof N")


def _check_asked(config: Config, given: list[str], live: bool) -> None:
    """given: of --system2 and --server, which stand on the command line."""
    if given and not (live or config.sima2.enabled):
        raise ConfigError(
            f"{given[0]}: System 2 is asked beside --live or --proof, or by the controller of "
            "sima2.enabled: add one of them"
        )
    if given and not config.cognition.enabled:
        raise ConfigError(f"{given[0]}: nobody asks that server: add --system2")


def _play_human(config: Config, seed: int) -> None:
    if config.game.name != "arena":
        raise ConfigError(f"--human: only the arena can be played by hand, not {config.game.name}")
    try:
        require_screen()
    except GameError as error:
        why = "--human: there is no screen to play on; a policy can be filmed, --video FILE"
        raise GameError(why) from error
    importlib.import_module("metabonk.play.human").play(config.game.level or None, seed=seed)


def _watch(
    game: Any,
    player: Any,
    config: Config,
    seed: int,
    episodes: int,
    video: Path | None,
    save: Path | None,
    json: bool,
) -> None:
    from metabonk.learn.evaluate import seeds
    from metabonk.learn.report.film import Showing

    if save is not None and game.name != "arena":
        raise ConfigError(f"--save: only the arena has replays of play, not {game.name}")
    check_target(save)
    if save is not None and not hasattr(game, "hashes"):
        raise ConfigError(
            "--save: a replay holds what the game was given, which under game.latency is not what "
            "was decided: leave game.latency, game.jitter and game.observation_latency out"
        )
    showings = [Showing(game, player, seeds(seed, 1), 0, number) for number in range(episodes)]

    def frames() -> Iterator[Any]:
        for number, showing in enumerate(showings):
            yield from showing.frames()
            if not video and not json:
                console.print(f"episode {number + 1}: return {showing.reward:,.2f}")
        if save is not None:
            _save(game, config, showings[-1].actions, save, json)

    count = 0
    if video is None:
        from metabonk.play.window import show

        show(frames(), game.picture_rate, game.name)
    else:
        from metabonk.data.film import write_film

        with stderr.status("playing"):
            count = write_film(video, frames(), game.picture_rate)
    total = sum(s.reward for s in showings) / episodes
    if json:
        played = [{"return": s.reward, "decisions": len(s.actions)} for s in showings]
        files = {"video": str(video or ""), "frames": count, "replay": str(save or "")}
        print_json({"game": game.name, "seed": seed, "episodes": played, **files})
    elif video is not None:
        console.print(f"{video}: {count} frames, mean return {total:,.2f}", soft_wrap=True)


def _save(game: Any, config: Config, actions: list[Any], path: Path, quiet: bool) -> None:
    """The arena's episode that just ended, as a replay."""
    import numpy as np

    from metabonk.games.arena import level_of
    from metabonk.games.replay import Replay

    level = level_of(config.game.level or None, config.game.frame_skip)
    replay = Replay(level, game.game_state(0).run_seed, np.stack(actions), int(game.hashes()[0]))
    size = replay.save(path)
    if not quiet:
        console.print(f"{path}: {size:,} bytes, `metabonk replay` shows it again", soft_wrap=True)

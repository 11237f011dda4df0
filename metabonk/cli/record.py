"""`metabonk record`: records a game that is played, as episodes and `.npz` files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.dual import controlled, refuse_menus
from metabonk.cli.interrupt import interruptible
from metabonk.cli.output import JsonFlag, console, notice_line, print_json, table, verb
from metabonk.cli.players import configured, default, player_of, refuse_greedy, run_of
from metabonk.cli.sizes import size_of
from metabonk.cli.status_line import StatusLine
from metabonk.cli.system2 import notice_idle
from metabonk.config import Config
from metabonk.errors import ConfigError
from metabonk.games import accepts, from_config
from metabonk.games.make import DELAYS, NAMES
from metabonk.protocols import Captured, Visible

if TYPE_CHECKING:
    from metabonk.data.record import Plan, Recorded, Session

app, command = verb(
    """Record a game that is played, as episodes and .npz files.

Rows are taken at [bold]--hz[/] by capture time: what was seen, what was done, what
it led to. Every row goes to a journal first, so that killing it loses at most the
last second; recording into the same folder goes on where it ended. A game that
is running and tells what is done in it (bonklink) is recorded while somebody else
plays it ([bold]--policy watch[/]). Ctrl-C ends it, and loses nothing.

$ metabonk record --out-dir runs/arena --episodes 10
$ metabonk record --out-dir runs/mine --policy runs/long --hz 0   all decisions
$ metabonk record --out-dir runs/doom --game doom/basic --seconds 60
$ metabonk record --out-dir runs/many --envs 8 --episodes 5
$ metabonk replay runs/arena --video arena.mp4       check it, look at it

Folders: DIR/*.npz with recording.jsonl, and DIR/episodes; with several games
DIR/000, DIR/001, …"""
)

WATCH = "watch"  # who plays, and the setting of games that can be watched
MOST_HZ = 1000.0
PICTURE = (180, 320)  # of frames that are drawn for the recording


@command
def record(
    out_dir: Path = typer.Option(..., "--out-dir", help="Where it is kept.", metavar="DIR"),
    hz: float = typer.Option(10.0, help="Rows per second of capture time; 0: every decision."),
    game: str = typer.Option(
        None, help="What to record; `metabonk games` lists them.", metavar="NAME"
    ),
    policy: str = typer.Option(
        None, help="scripted, random, the directory of a run, or watch: somebody else plays."
    ),
    episodes: int = typer.Option(0, help="Stop after so many of each game; 0: no bound.", min=0),
    seconds: float = typer.Option(0.0, help="Stop after so much capture time.", min=0.0),
    envs: int = typer.Option(1, help="Games that are recorded side by side.", min=1),
    seed: int = typer.Option(0, help="Seed of the first game; the next has the next.", min=0),
    format_: str = typer.Option(
        "auto", "--format", help="episodes, npz, both, or auto: both if there are frames."
    ),
    pixels: str = typer.Option(None, help="Size of frames, as 180x320.", metavar="HEIGHTxWIDTH"),
    when_full: str = typer.Option(
        "auto", help="If the disk stays behind: wait, drop, or auto: what the game can bear."
    ),
    greedy: bool = typer.Option(False, "--greedy", help="A run's policy acts without chance."),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. game.frame_skip=4; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    from metabonk.data.record import Plan

    if not 0.0 <= hz <= MOST_HZ:
        raise ConfigError(f"--hz {hz:g}: give up to {MOST_HZ:g} rows a second, or 0 for all")
    run = run_of(policy)
    flags = settings_module.flags_of(set_, {"game.name": game})
    if "game.envs" in flags:
        raise ConfigError("--set game.envs: --envs N says how many are recorded: give that")
    flags |= {"game.envs": envs}
    config = configured(run, flags)
    if machine.core_built():
        settings_module.cap_cpu(config)
    formats = _formats(format_, config)
    watched = _watched(config.game.name, policy)
    if greedy:
        refuse_greedy(WATCH if watched else policy or default(config), run, config)
    if not watched:  # else it is somebody else who goes through them
        refuse_menus(config, live=False)
    _refuse_rollouts(config)
    notice_idle(config, live=False)
    with contextlib.closing(_make(config, pixels, formats, watched)) as made:
        live = isinstance(made, Captured)
        bounded = bool(episodes or seconds or live)
        plan = Plan(
            hz=hz,
            episodes=episodes if bounded else 1,
            seconds=seconds,
            frames="npz" in formats,
            watched=watched,
        )
        session = _session(
            made, config, plan, out_dir, run, policy, formats, when_full, seed, greedy
        )
        result = _run(session, config.game.name, quiet=json)
    _show(result, out_dir, hz, json)


def _watched(name: str, policy: str | None) -> bool:
    """Whether somebody else plays. Raises ConfigError if that was asked for and cannot be: nothing
    may be sent to such a game, and one that waits for its actions would wait for ever."""
    can = accepts(name, WATCH)
    if policy != WATCH:
        return policy is None and can
    if not can:
        others = [pattern for _, pattern in NAMES.values() if accepts(pattern, WATCH)]
        raise ConfigError(
            f"--policy {WATCH}: {name} is played by nobody else; give a policy, or a game that "
            f"others play while it is recorded: {', '.join(others)}"
        )
    return True


def _refuse_rollouts(config: Config) -> None:
    """Raises ConfigError where the controller's rollouts are wanted: nobody would write them."""
    if config.sima2.enabled and config.sima2.push_rollouts:
        raise ConfigError(
            "sima2.push_rollouts: what is recorded goes to --out-dir, not into a run's rollouts: "
            "unset it (METABONK_SIMA2_PUSH_ROLLOUTS=0), or make rollouts with `metabonk play`"
        )


def _formats(asked: str, config: Config) -> tuple[str, ...]:
    """The formats by name; auto leaves `.npz` out for games that show no frames by themselves."""
    if asked == "auto":
        # What Gymnasium's environments show needs another package and another way of stepping.
        asked = "episodes" if config.game.name.startswith("gym/") else "both"
    known = {"both": ("episodes", "npz"), "episodes": ("episodes",), "npz": ("npz",)}
    if asked not in known:
        raise ConfigError(f"--format {asked}: give auto, {', '.join(known)}")
    return known[asked]


def _make(config: Config, pixels: str | None, formats: tuple[str, ...], watched: bool) -> Any:
    """The game. Frames are drawn for the recording alone where a policy has no use for them."""
    name = config.game.name
    size = None if pixels is None else size_of("--pixels", pixels)
    draws = accepts(name, "pixels") and config.game.pixels == (0, 0)
    if size is not None and not draws:
        raise ConfigError(f"--pixels: frames of {name} have a size of their own; use --set")
    settings: dict[str, Any] = {}
    if "npz" in formats and accepts(name, "visible"):
        settings["visible"] = True
    if watched:
        settings[WATCH] = True
    made = from_config(config.game, **settings)
    drawn = getattr(made, "game", made)  # inside simulated delays
    if draws and hasattr(drawn, "picture"):
        if size is not None and "npz" not in formats:
            made.close()
            raise ConfigError("--pixels: --format episodes keeps no frames: leave one of them out")
        drawn.picture = size or PICTURE
    elif draws and size is not None:
        made.close()
        made = from_config(config.game, **settings, pixels=size)
    return made


def _session(
    game: Any,
    config: Config,
    plan: Plan,
    out_dir: Path,
    run: Path | None,
    policy: str | None,
    formats: tuple[str, ...],
    when_full: str,
    seed: int,
    greedy: bool,
) -> Session:
    from metabonk.data.record import Session, Watching, header_of, open_recorders

    if plan.watched:
        player: Any = Watching(game.action_layout.columns)
        actor = "human"
    else:
        name = policy or default(config)
        player = player_of(name, run, game, config, seed, greedy)
        actor = f"policy:{_hash(run)}" if run is not None else name
        if config.sima2.enabled:
            player, actor = controlled(player, game, config, run, seed), f"sima2:{actor}"
    delays = {key: getattr(config.game, key) for key in DELAYS if getattr(config.game, key)}
    header = header_of(game, plan, seed=seed, actor=actor, **delays)
    if "npz" in formats and not isinstance(game, Visible) and not _sees_frames(game):
        raise ConfigError(f"--format: {game.name} shows no frames; give --format episodes")
    recorders = open_recorders(
        out_dir,
        header,
        game.num_envs,
        formats=formats,
        live=isinstance(game, Captured),
        full=when_full,
    )
    return Session(game, player, recorders, plan, range(seed, seed + game.num_envs))


def _sees_frames(game: Any) -> bool:
    return "pixels" in game.observation_space.spaces


def _hash(run: Path) -> str:
    from metabonk.learn import checkpoint

    return str(checkpoint.latest(run).hash)


def _run(session: Session, name: str, *, quiet: bool) -> Recorded:
    """Records until it is done or Ctrl-C, and shows how far it is."""
    from metabonk.data.record import run

    line = StatusLine(lambda: line_of(name, session), f"recording {name}", quiet=quiet)
    with interruptible() as stopped, line:

        def stop() -> bool:
            line.look()
            return stopped()

        return run(session, stop)


def line_of(name: str, session: Session) -> str:
    """The state of things in one line."""
    found = session.result()
    behind = sum(r.behind for r in session.recorders)
    waiting = found.counts.kept - found.counts.closed
    parts = [f"{name}: {found.rows:,} rows of {found.seconds:,.0f} s"]
    parts += [f"{found.episodes} episodes", f"{behind} rows waiting for the disk"]
    parts.append(f"{waiting:,} in journals")
    if found.counts.dropped:
        parts.append(f"{found.counts.dropped:,} dropped")
    return ", ".join(parts)


def _show(result: Recorded, out_dir: Path, hz: float, json: bool) -> None:
    """The sums; what is not as it was asked for is said in notes too."""
    counts, sampled = result.counts, result.sampled
    if counts.recovered:
        notice_line(f"{counts.recovered:,} rows of a recording that was killed were recovered")
    if counts.dropped:
        notice_line(
            f"{counts.dropped:,} rows were dropped, {counts.gaps} episodes cut in two, for the "
            "disk was too slow: record fewer or smaller frames, or --format episodes"
        )
    if hz and sampled.empty > 0.02 * (result.rows + sampled.empty):
        usual = result.rows / max(result.seconds, 1e-9)
        notice_line(
            f"the game gave about {usual:.3g} rows per second and not {hz:g}: in {sampled.empty:,} "
            "periods nothing was captured"
        )
    if result.unknown:
        notice_line(f"in {result.unknown:,} decisions the game did not say what was done")
    if json:
        print_json({"directory": str(out_dir), **asdict(result)})
        return
    rows = [
        ("rows", f"{result.rows:,}", f"{result.episodes} episodes, {result.seconds:,.1f} s"),
        ("decisions", f"{sampled.decisions:,}", "that these stand for"),
        ("dropped", f"{counts.dropped:,}", "because the disk was too slow"),
        ("waited", f"{counts.waited:.1f} s", "for the disk"),
        ("journals", f"{counts.bytes / 1e6:,.1f} MB", "before compression"),
    ]
    console.print(table(["recorded", ">", ""], rows))
    console.print(f"\n  {out_dir}", soft_wrap=True)


def of_the_running_game(given: Sequence[str]) -> list[str]:
    """The command line for whoever means the game that runs, as `record_experience.py` does: the
    game of METABONK_USE_RESEARCH_SHM or another that the environment names, else BonkLink's, while
    somebody else plays it, unless a policy is given."""
    words = ["record", *given]
    if not _gives("--policy", given):
        words[1:1] = ["--policy", WATCH]
    if not _gives("--game", given):
        named = settings_module.load(notice=lambda _: None).game.name
        unnamed = named == settings_module.GameConfig().name
        words[1:1] = ["--game", "bonklink" if unnamed else named]
    return words


def _gives(flag: str, words: Sequence[str]) -> bool:
    return any(word == flag or word.startswith(f"{flag}=") for word in words)

"""`metabonk cognition`: what System 2 decided, as data sets and as small policies."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import extras, machine
from metabonk.cli.distilled_table import show_distilled
from metabonk.cli.output import (
    JsonFlag,
    console,
    notice_line,
    print_json,
    refuse_idle,
    require,
    stderr,
    table,
)
from metabonk.cli.status_line import StatusLine
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.cognition.log.export import Manifest
    from metabonk.learn.system2.screens import Judged

app = typer.Typer(
    help="""Data sets and small policies from the log of System 2's decisions.

$ metabonk serve cognitive                       writes the log runs/cognitive
$ metabonk cognition export runs/cognitive       Parquet, JSON lines, chats
$ metabonk cognition distil runs/cognitive --out runs/strategy
$ metabonk serve cognitive --backend policy --set backend.policy=runs/strategy""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
LogArgument = typer.Argument(help="Directory of a cognitive server's log.", metavar="LOG")


@app.callback()
def _group() -> None:
    """What System 2 decided, as data sets and as small policies."""


@app.command(
    help="""Write the decision log as data sets.

Every row is a decision joined with what came of it; rows without their pair are
left out and counted. Rows of one episode stay in one of train, validation and
test. parquet: a table (extra data). jsonl: the layout of the known design's log.
chat: conversations for fine-tuning (messages, images) and rows for reward models
(prompt, completion, reward, label), with the prompts that servers are asked with.

$ metabonk cognition export runs/cognitive
$ metabonk cognition export runs/cognitive --format chat --backend openai
$ metabonk cognition export runs/cognitive --out set --split 0.9,0.05,0.05"""
)
def export(
    log: Path = LogArgument,
    out: Path = typer.Option(None, help="Where; default: LOG/export.", metavar="DIR"),
    format_: str = typer.Option(
        None, "--format", help="Some of parquet, jsonl and chat; default: all.", metavar="NAMES"
    ),
    split: str = typer.Option(
        "0.8,0.1,0.1", help="Shares of the episodes: train, validation, test.", metavar="SHARES"
    ),
    frames: bool = typer.Option(False, "--frames", help="Also the pictures."),
    backend: list[str] = typer.Option(
        [], help="Only what this backend, all of its servers, decided; repeatable.", metavar="NAME"
    ),
    answered: bool = typer.Option(False, help="Only requests that were answered."),
    seed: int = typer.Option(0, help="Which episodes go where.", min=0),
    json: bool = JsonFlag,
) -> None:
    from metabonk.cognition.log import export as exports
    from metabonk.cognition.log.rows import Log

    plan = exports.Plan(
        formats=_formats(format_),
        shares=_shares(split),
        frames=frames,
        seed=seed,
        backends=tuple(backend),
        answered=answered,
    )
    target = out or log / "export"
    rows = 0

    def line() -> str:
        return f"exporting: {rows:,} decisions"

    with StatusLine(line, "exporting", quiet=json) as status, Log(log) as opened:

        def progress(done: int) -> None:
            nonlocal rows
            rows = done
            status.look()

        manifest = exports.export(opened, target, plan, progress)
    _show_manifest(manifest, target, json)


def _formats(text: str | None) -> tuple[str, ...]:
    """What is asked for; else all that this installation can write."""
    from metabonk.cognition.log.export import FORMATS

    if text is not None:
        return tuple(name.strip() for name in text.split(",") if name.strip())
    if importlib.util.find_spec("pyarrow") is not None:
        return FORMATS
    notice_line(f"no Parquet without pyarrow: {extras.install('data')}")
    return tuple(name for name in FORMATS if name != "parquet")


def _shares(text: str) -> tuple[float, float, float]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--split {text}: give three numbers, as 0.8,0.1,0.1") from error
    if len(found) != 3:
        raise ConfigError(f"--split {text}: {len(found)} shares; give three, as 0.8,0.1,0.1")
    return found


def _show_manifest(manifest: Manifest, out: Path, json: bool) -> None:
    if json:
        print_json({"path": str(out), **msgspec.to_builtins(manifest)})
        return
    rows = [(s, f"{manifest.rows[s]:,}", f"{manifest.episodes[s]:,}") for s in manifest.rows]
    console.print(table(["split", ">decisions", ">episodes"], rows))
    for reason, count in manifest.refused.items():
        notice_line(f"{count:,} rows were left out: {reason}")
    for reason, count in manifest.without_chat.items():
        notice_line(f"{count:,} decisions make no chat: {reason}")
    for reason, count in manifest.without_reward.items():
        notice_line(f"{count:,} decisions are not for reward models: {reason}")
    if manifest.passed:
        console.print(f"[dim]{manifest.passed:,} rows were not asked for[/]")
    if manifest.missing_frames:
        notice_line(f"{manifest.missing_frames:,} pictures are no longer kept")
    for empty in [s for s, count in manifest.rows.items() if not count]:
        notice_line(f"{empty} is empty: there are too few episodes")
    console.print(f"written  {out}", soft_wrap=True)


@app.command(
    help="""Learn a small policy from the decision log.

It learns the backend's probabilities of every action, or its answers alone, and
weighs a decision by how well the seconds after it went. Where a model decided, what
the rules decided in its place does not teach. Episodes that are held out
say how often it agrees; with --episodes it is also measured beside the rules and
beside System 1 alone, on the same episodes of the arena. The backend [bold]policy[/]
answers with it.

$ metabonk cognition distil runs/cognitive --out runs/strategy
$ metabonk cognition distil LOG --out DIR --backend openai --set distil.beta=1
$ metabonk cognition distil LOG --out DIR --episodes 64 --level hard
$ metabonk cognition distil LOG LOG2 --out DIR         from both together"""
)
def distil(
    context: typer.Context,
    logs: list[Path] = typer.Argument(help="Directories of decision logs.", metavar="LOG..."),
    out: Path = typer.Option(..., help="Where to write the policy.", metavar="DIR"),
    backend: list[str] = typer.Option(
        [], help="Only what this backend, all of its servers, decided; repeatable.", metavar="NAME"
    ),
    with_rules: bool = typer.Option(
        False, "--with-rules", help="Also what the rules decided where a model did."
    ),
    episodes: int = typer.Option(0, help="To measure it in, per level; 0: do not.", min=0),
    level: list[str] = typer.Option(["default"], help="Of the arena; repeatable."),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. distil.beta=1; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    if not episodes:
        refuse_idle(context, {"--level"}, "it is where --episodes measures: add --episodes N")
    if backend:
        why = "--backend names who teaches: add --backend rules instead"
        refuse_idle(context, {"--with-rules"}, why)
    require("torch", "train", "learning")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.learn.system2 import versions as strategies

    flags = settings_module.flags_of(set_, {})
    for key in flags:
        if not key.startswith("distil."):
            raise ConfigError(f"--set {key}: a distilled policy has only the settings distil.*")
    config = settings_module.load(flags=flags, notice=notice_line).distil
    with stderr.status("reading the log") as status:

        def progress(done: int, count: int, metrics: dict[str, float]) -> None:
            if done % 50 == 0 or done == count:
                after = ", then measuring" if done == count and episodes else ""
                status.update(
                    f"{done:,} of {count:,} updates, loss {metrics['loss']:.3g}, agreement "
                    f"{100 * metrics['agreement']:.0f} %{after}"
                )

        found = strategies.distil(
            logs, out, config, seed=seed, backends=tuple(backend), with_rules=with_rules,
            levels=tuple(level), episodes=episodes, progress=progress,
        )  # fmt: skip
    show_distilled(found, json)


@app.command(
    help="""Play the arena with the embedded strategist, and log its decisions.

The log is the one that a cognitive server writes, but in the game's time: thousands
of decisions a minute, to export or to distil. With --player a distilled policy plays,
and the log says what the strategist would have done where that one led: learned from
beside the first log, it corrects what the policy has never seen.

$ metabonk cognition rehearse --out runs/rehearsal --episodes 64
$ metabonk cognition rehearse --out LOG --level hard --explore 0.1 --seed 1
$ metabonk cognition rehearse --out LOG2 --player runs/strategy --seed 2
$ metabonk cognition distil runs/rehearsal LOG2 --out runs/strategy2"""
)
def rehearse(
    out: Path = typer.Option(..., help="Where to write the log.", metavar="DIR"),
    level: str = typer.Option("default", help="Of the arena: a name or a JSON file."),
    episodes: int = typer.Option(64, help="How many.", min=1),
    every: float = typer.Option(2.0, help="Seconds of the game between questions.", min=0.1),
    latency: float = typer.Option(
        0.0, help="Seconds of the game from a state to its directive.", min=0.0
    ),
    explore: float = typer.Option(
        0.0, help="Chance of another action than the strategist's.", min=0.0, max=1.0
    ),
    player: Path = typer.Option(
        None, help="A distilled policy that is followed instead, and corrected.", metavar="DIR"
    ),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    json: bool = JsonFlag,
) -> None:
    from metabonk.games import arena
    from metabonk.games.scripted import Habits, ScriptedPolicy
    from metabonk.learn.system2.rehearse import Rehearsal, open_log
    from metabonk.play.dual import DualSettings

    settings_module.cap_cpu()
    follow, timing = _follower(player), DualSettings(every=every, latency=latency)
    made = arena.level_of(level)
    game = arena.make("", min(16, episodes), level=made)
    motor = ScriptedPolicy(Habits(size=made.terrain.size))
    ended = 0

    def line() -> str:
        return f"rehearsing: {ended:,} of {episodes:,} episodes"

    try:
        with open_log(out) as journal, StatusLine(line, "rehearsing", quiet=json) as status:

            def progress(done: int) -> None:
                nonlocal ended
                ended = done
                status.look()

            rehearsal = Rehearsal(
                game, motor, journal, level=made.pack(), settings=timing, explore=explore,
                player=follow, seed=seed,
            )  # fmt: skip
            found = rehearsal.run(episodes, seed, progress)
    finally:
        game.close()
    if json:
        print_json({"path": str(out), **dataclasses.asdict(found)})
        return
    console.print(
        f"{found.decisions:,} decisions of {found.episodes:,} episodes, return "
        f"{found.return_mean:.1f} on average"
    )
    console.print(f"written  {out}", soft_wrap=True)


def _follower(player: Path | None) -> Any:
    """The distilled policy that rehearses, as a planner; None without. Raises CorruptError."""
    if player is None:
        return None
    require("torch", "train", "--player")
    from metabonk.cognition.backends import policy
    from metabonk.learn.system2.versions import FollowNetwork

    return FollowNetwork(policy.load(player)[0])


@app.command(
    help="""Learn to tell menus from games by pixels.

For games whose state says nothing about menus. Learns from screens of the arena, of
Doom and of menus in random layouts, and is judged on levels, scenarios and menus
that it never saw. The package comes with one; this makes another.

$ metabonk cognition screens --out runs/screens
$ metabonk cognition screens --judge           only judges the package's own"""
)
def screens(
    context: typer.Context,
    out: Path = typer.Option(None, help="Where to write it.", metavar="DIR"),
    judge: bool = typer.Option(False, "--judge", help="Only judge the package's own."),
    count: int = typer.Option(1800, help="Screens to learn from, about.", min=60),
    updates: int = typer.Option(1500, help="Updates of the network.", min=1),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    json: bool = JsonFlag,
) -> None:
    if (out is None) != judge:
        raise ConfigError("give either --out DIR or --judge")
    if judge:
        refuse_idle(context, {"--updates"}, "--judge learns nothing: give --out DIR instead of it")
    require("torch", "train", "learning")
    settings_module.cap_cpu()
    from metabonk.cognition.menus.screens import MenuClassifier
    from metabonk.games import screenshots
    from metabonk.learn.system2 import screens as learning

    if out is not None and out.exists():
        raise FileExistsError(f"{out} is there already: choose another directory with --out")
    with stderr.status("taking screens") as status:
        if judge:
            classifier = MenuClassifier.load()
        else:
            shots = screenshots.learn_shots(count, seed)

            def progress(done: int, of: int, loss: float) -> None:
                if done % 50 == 0 or done == of:
                    status.update(f"{done:,} of {of:,} updates, loss {loss:.3f}")

            classifier = learning.train(shots, updates=updates, seed=seed, progress=progress)
        status.update("taking screens to judge by")
        judged = learning.judge(classifier, screenshots.judge_shots(count // 3, seed))
    if out is not None:
        learning.save(classifier, judged, out, seed=seed)
    _show_judged(judged, out, json)


def _show_judged(judged: Judged, out: Path | None, json: bool) -> None:
    if json:
        print_json({"path": None if out is None else str(out), **dataclasses.asdict(judged)})
        return
    rows = [(source, f"{100 * right:.1f}") for source, right in judged.by_source.items()]
    rows.append(("all", f"{100 * judged.accuracy:.1f}"))
    console.print(table(["screens never seen", ">right, %"], rows))
    console.print(
        f"always the more frequent answer: {100 * judged.majority:.1f} %; menus missed "
        f"{100 * judged.missed:.1f} %, false alarms {100 * judged.false_alarms:.1f} %"
    )
    if out is not None:
        console.print(f"written  {out}", soft_wrap=True)

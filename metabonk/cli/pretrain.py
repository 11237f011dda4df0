"""`metabonk pretrain`: learns from what was recorded, with no game to explore."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.interrupt import interruptible
from metabonk.cli.output import JsonFlag, console, notice_line, print_json, require, stderr, table
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.config import Config
    from metabonk.learn.dreams.pretrain import Pretrained as Dreamt
    from metabonk.learn.motors.pretrain import Pretrained

app = typer.Typer(
    help="""Learn from what was recorded.

$ metabonk train --record --run runs/long
$ metabonk pretrain cpqe runs/long
$ metabonk pretrain dream --from runs/long/episodes""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
SHOWN = (1, 2, 3, 5, 10, 15, 20, 30)  # steps ahead of which errors are told
VIDEOS = "rollouts/video_rollouts"  # where rollouts made from videos are if nobody says
DREAMS = 4  # the phase of scripts/train_sima2.py that this is
PHASES = {"teacher": "diffusion teacher", "student": "one-step student", "q": "Q functions"}


@app.callback()
def _group() -> None:
    """Learn from what was recorded."""


@app.command(
    help="""Learn a consistency motor with Q functions that judge it.

A diffusion teacher learns what was done, a student learns to say the same in
one step, and an ensemble of Q functions learns what that was worth. Several
candidates are drawn per decision; the one with the highest mean - beta std is
done. A version is added to DIR/motors; the run stays as it was.

$ metabonk pretrain cpqe runs/long
$ metabonk pretrain cpqe runs/long --from recordings/human
$ metabonk pretrain cpqe runs/long --set cpqe.candidates=16 --seed 1"""
)
def cpqe(
    directory: Path = typer.Argument(help="Directory of the run.", metavar="DIR"),
    sources: list[Path] = typer.Option(
        [], "--from", help="Recordings; default: DIR/episodes. Repeatable.", metavar="PATH"
    ),
    episodes: int = typer.Option(32, help="To measure it in; 0: do not.", min=0),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. cpqe.beta=2; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "learning")
    if not (directory / "config.toml").exists():
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    if machine.core_built():
        settings_module.cap_cpu()
    from metabonk.learn.motors.pretrain import pretrain_cpqe, settings_of

    config = settings_of(directory, settings_module.flags_of(set_, {}))
    with stderr.status("reading recordings") as status:

        def progress(phase: str, done: int, count: int, metrics: dict[str, float]) -> None:
            if done % 50 == 0 or done == count:
                loss = "".join(f", loss {value:.3g}" for value in metrics.values())
                after = ", then measuring" if phase == "q" and done == count and episodes else ""
                status.update(f"{PHASES[phase]}: {done:,} of {count:,} updates{loss}{after}")

        result = pretrain_cpqe(
            directory, config, sources=sources, seed=seed, episodes=episodes, progress=progress
        )
    _show(result, json)


def _show(result: Pretrained, json: bool) -> None:
    for reason, count in result.left_out.items():
        notice_line(f"{count:,} decisions were left out: {reason}")
    if json:
        found: dict[str, Any] = {
            "path": str(result.motor.path),
            "hash": result.motor.hash,
            "steps": result.steps,
            "left_out": result.left_out,
            "losses": result.losses,
            "evaluation": msgspec.to_builtins(result.evaluation),
        }
        print_json(found)
        return
    console.print(f"[bold]Learned[/] from {result.steps:,} decisions")
    if result.evaluation is not None:
        from metabonk.cli.train import print_evaluation

        print_evaluation(result.evaluation)
        console.print(
            "[dim]teacher: 40 steps of diffusion; unjudged: one candidate, no choice among them[/]"
        )
    console.print(f"written  {result.motor.path}", soft_wrap=True)


@app.command(
    help="""Learn a world model and a dreamer, with no game running.

Recordings are folders of episodes, or .npz and .pt files. The world model learns
to foresee them, an actor and a critic learn in its dreams, which last as long as
it is right on episodes that were held out. A version is added to OUT/dreams; a
run begins from it with world.start. Ctrl-C ends it with what was learned.

$ metabonk pretrain dream --from runs/long/episodes
$ metabonk pretrain dream --from rollouts/video_rollouts --updates 10000
$ metabonk pretrain dream --from demos --game grid64/key_door --out runs/door
$ metabonk train --set world.start=runs/dreams --set world.enabled=1"""
)
def dream(
    sources: list[Path] = typer.Option(
        [], "--from", help="Recordings; default: dream.recordings. Repeatable.", metavar="PATH"
    ),
    out: Path = typer.Option(Path("runs/dreams"), help="Where versions are kept.", metavar="DIR"),
    game: str = typer.Option(
        None, help="Game that it is for; default: what was recorded.", metavar="NAME"
    ),
    updates: int = typer.Option(4000, help="Of the world model.", min=1),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    config: Path = typer.Option(None, help="TOML file with settings.", metavar="FILE"),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. world.deter=512; repeatable.", metavar="KEY=VALUE"
    ),
    phase: int = typer.Option(DREAMS, hidden=True),  # of scripts/train_sima2.py
    json: bool = JsonFlag,
) -> None:
    require("torch", "train", "learning")
    if phase != DREAMS:
        raise ConfigError(
            f"--phase {phase}: there is phase {DREAMS} only, the world model and its dreams; "
            "motors are learned with `metabonk pretrain cpqe`"
        )
    flags = settings_module.flags_of(set_, {"run.seed": seed, "game.name": game})
    chosen, paths = _dream_settings(config, flags, sources)
    if machine.core_built():
        settings_module.cap_cpu(chosen)
    from metabonk.learn.dreams.pretrain import pretrain_dream

    spaces = _spaces_of(chosen) if game is not None else {}
    with stderr.status("reading recordings") as status, interruptible() as asked:

        def progress(done: int, total: int, metrics: dict[str, float]) -> bool:
            if done % 10 == 0 or done == total:
                told = {"wm_recon": "model", "horizon": "horizon", "dream_return": "dreamed return"}
                known = (f"{text} {metrics[k]:.3g}" for k, text in told.items() if k in metrics)
                status.update(f"{done:,} of {total:,} updates, {', '.join(known)}")
            return not asked()

        result = pretrain_dream(out, chosen, paths, updates=updates, progress=progress, **spaces)
    _show_dreams(result, chosen.game.name, json)


def _dream_settings(
    file: Path | None, flags: dict[str, Any], sources: Sequence[Path]
) -> tuple[Config, list[Path]]:
    """The settings in force, and where the recordings are. Those known to work with the recorded
    game are below all others, so that a run of that game can take up what is learned."""
    from metabonk.data.library import Library
    from metabonk.learn.presets import preset

    plain = settings_module.load(file, flags=flags, notice=notice_line)
    paths = list(sources) or ([Path(plain.dream.recordings)] if plain.dream.recordings else [])
    if not paths:
        raise ConfigError(
            "--from: name recordings, as runs/long/episodes, or set dream.recordings "
            "(METABONK_VIDEO_ROLLOUTS_PT_DIR)"
        )
    _notice_unread(plain)
    if "game.name" not in flags:
        source = Library(paths).pieces[0].header.source
        if preset(source):
            flags = {**flags, "game.name": source}
    return settings_module.load(file, presets=preset, flags=flags, notice=lambda line: None), paths


def _notice_unread(config: Config) -> None:
    """Says which settings are of runs that play, and change nothing here."""
    usual, given = map(settings_module.by_key, (settings_module.Config(), config))
    played = ("dream.enabled", "dream.share", "dream.passes", "dream.distill_coef")
    keys = [k for k in usual if k in played or k.startswith("efe.")]
    if told := [key for key in keys if given[key] != usual[key]]:
        notice_line(
            f"nothing reads {', '.join(told)} here: who dreams beside a policy, plays and teaches "
            "it is of `metabonk train`; this learns a world model and a dreamer alone"
        )


def _spaces_of(config: Config) -> dict[str, Any]:
    """What the configured game shows and takes."""
    from metabonk.games import from_config

    made = from_config(config.game, 1)
    try:
        return {"space": made.observation_space, "layout": made.action_layout}
    finally:
        made.close()


def _show_dreams(result: Dreamt, game: str, json: bool) -> None:
    seen = result.foresight
    for reason, count in result.left_out.items():
        notice_line(f"{count:,} rows were left out: {reason}")
    if json:
        ahead = {name: getattr(seen, name).tolist() for name in ("error", "persistence", "mean")}
        print_json(
            {
                "path": str(result.found.path),
                "hash": result.found.hash,
                "steps": result.steps,
                "episodes": result.episodes,
                "left_out": result.left_out,
                "updates": result.updates,
                "stopped": result.stopped,
                "trust": seen.trust,
                "not_judged": list(seen.left_out),
                "reward_auc": seen.reward_auc,
                "seen_auc": seen.seen_auc,
                **ahead,
                "metrics": result.metrics,
            }
        )
        return
    stopped = ", stopped early" if result.stopped else ""
    console.print(
        f"[bold]Learned[/] from {result.steps:,} steps of {result.episodes:,} episodes, "
        f"{result.updates:,} updates{stopped}"
    )
    if seen.sequences:
        shown = [h for h in SHOWN if h <= len(seen.error)]
        rows = (
            (f"{h}", *(f"{a[h - 1]:.4f}" for a in (seen.error, seen.persistence, seen.mean)))
            for h in shown
        )
        console.print(table(["steps ahead", ">error", ">nothing changes", ">the mean"], rows))
        console.print(
            f"[dim]on {seen.sequences} sequences of held-out episodes; right for {seen.trust} "
            f"steps; what pays is told by {seen.reward_auc:.2f}, of steps seen by "
            f"{seen.seen_auc:.2f} (area under the curve, chance .50)[/]"
        )
        if seen.left_out:
            missed = ", ".join(seen.left_out)
            console.print(f"[dim]not judged, as they are sets or masks: {missed}[/]")
    played = "" if game == settings_module.GameConfig().name else f" --game {game}"
    console.print(f"written  {result.found.path}", soft_wrap=True)
    console.print(
        f"begin    metabonk train{played} --set world.enabled=1 --set "
        f"world.start={result.found.path}",
        soft_wrap=True,
    )


def of_phase(words: Sequence[str]) -> list[str]:
    """The command line of scripts/train_sima2.py as one of `metabonk`: its recordings are where
    rollouts made from videos are, if nobody says."""
    named = any(word.split("=")[0] in ("--from", "--help", "-h") for word in words)
    given = {name: _given(name, words) for name in ("--config", "--set")}
    file = Path(given["--config"][-1]) if given["--config"] else None
    flags = settings_module.flags_of(given["--set"], {})
    told = settings_module.load(file, flags=flags, notice=lambda line: None)
    if named or told.dream.recordings:
        return ["pretrain", "dream", *words]
    return ["pretrain", "dream", *words, "--from", VIDEOS]


def _given(option: str, words: Sequence[str]) -> list[str]:
    """The values of an option, which may stand behind it or behind an equals sign."""
    behind = [value for name, value in itertools.pairwise(words) if name == option]
    return behind + [w.split("=", 1)[1] for w in words if w.startswith(f"{option}=")]

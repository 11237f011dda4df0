"""`metabonk strips`: what System 2 sees of a game, and who draws the frames that come next best.

Knows games, players and tables; strips and predictors are metabonk.cognition's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import typer

from metabonk import config as settings_module
from metabonk import files
from metabonk.cli.output import (
    JsonFlag,
    check_target,
    console,
    notice_line,
    print_json,
    require,
    stderr,
    table,
    verb,
)
from metabonk.cli.players import configured, default, player_of, run_of, visible
from metabonk.cli.sizes import size_of
from metabonk.cli.system2 import world_of
from metabonk.errors import ConfigError
from metabonk.protocols import Array, BoolArray, FloatArray, Observation, Policy, Predictor

if TYPE_CHECKING:
    from metabonk.cognition.strips.predictors import Judge, Measurement

CLIP = 1.5  # seconds of frames that are in memory at once
HELD = 0.25  # seconds that a player without sense of time keeps doing the same
EXAMPLE_EVERY = 5  # clips from one example for the picture to the next

app, command = verb(
    """Show the strips that System 2 sees of a game, and measure who draws the next frames best.

A strip has 5 past frames, the current one and, with a predictor, 3 predicted ones.
A predictor is on by default where it beats copying the last frame by 0.5 dB at
every one of their times and [bold]--record[/] put that into the package's own table, the
only one that defaults are read from; a dream is on for the world model that
dreamed it, and no other. [bold]--set cognition.predictor=NAME[/] of `play` needs no table.

$ metabonk strips                                the arena, flow and the copy
$ metabonk strips --game doom/deathmatch --seconds 60 --picture strip.jpg
$ metabonk strips --predictor dream --world runs/long      its world model, the script plays
$ metabonk strips --policy runs/long --predictor dream     its world model, and it plays
"""
)


@command
def strips(
    game: str = typer.Option(None, help="Which game; `metabonk games` lists them.", metavar="NAME"),
    policy: str = typer.Option(None, help="Who plays: scripted, random or the directory of a run."),
    predictor: list[str] = typer.Option(
        ["flow"], help="flow, or dream of a run's world model; repeatable.", metavar="NAME"
    ),
    world: Path = typer.Option(
        None, help="The run whose world model dreams; default: who plays.", metavar="RUN"
    ),
    seconds: float = typer.Option(30.0, help="Seconds of game time that are judged.", min=0.5),
    seed: int = typer.Option(0, help="Which episodes.", min=0),
    size: str = typer.Option(
        None, help="Size of the frames; default: as the game draws them.", metavar="HxW"
    ),
    picture: Path = typer.Option(None, help="Draw an example here (.jpg).", metavar="FILE"),
    record: Path = typer.Option(
        None, help="Keep the measurement in this table (JSON).", metavar="FILE"
    ),
    set_: list[str] = typer.Option(
        [], "--set", help="A setting, e.g. game.frame_skip=1; repeatable.", metavar="KEY=VALUE"
    ),
    json: bool = JsonFlag,
) -> None:
    if picture is not None and picture.suffix.lower() not in (".jpg", ".jpeg"):
        raise ConfigError(f"--picture {picture}: give a .jpg")
    for written in (picture, record):
        check_target(written)
    _size(size)
    run = run_of(policy)
    flags = settings_module.flags_of(set_, {"game.name": game})
    config = configured(run, flags)
    dreaming = run if world is None else world
    given = _dreams(predictor, config.game.name, dreaming)
    dreamer = world_of(dreaming) if given and dreaming is not None else ""
    with contextlib.closing(visible(config)) as made:
        player = player_of(policy or default(config), run, made, config, seed, False)
        if run is None and config.game.name != "arena":
            player = Held(player, max(round(HELD * made.frame_rate), 1))
        judges = _judges(predictor, config.game.name, given, made.picture_rate)
        drawings = _judged(made, player, seed, seconds, judges, _size(size))
        found = [
            judge.result(config.game.name, dreamer if judge.predictor.name in given else "")
            for judge in judges
        ]
    if picture is not None:
        _draw(picture, drawings)
    if record is not None:
        keep(found, record)
        _notice_unread(record)
    if json:
        plain = [{**msgspec.to_builtins(m), "gains": m.gains, "good": m.good} for m in found]
        print_json({"measurements": plain, "picture": str(picture or "")})
        return
    _show(found)
    if picture is not None:
        console.print(f"{picture}: seen and drawn, and what is wrong with it", soft_wrap=True)


class Held:
    """A policy that does everything for several decisions, as people do."""

    def __init__(self, policy: Policy, decisions: int) -> None:
        self._policy, self._decisions = policy, decisions

    def reset(self, num_envs: int) -> Any:
        return (self._policy.reset(num_envs), 0, None)

    def act(
        self, observation: Observation, state: Any, is_first: BoolArray
    ) -> tuple[FloatArray, Any]:
        inner, left, rows = state
        if left == 0 or is_first.any():
            rows, inner = self._policy.act(observation, inner, is_first)
            left = self._decisions
        return rows, (inner, left - 1, rows)


def keep(found: list[Measurement], path: Path) -> None:
    """Puts measurements into a table, in the place of what it said of the same game, predictor,
    size and world model. Raises CorruptError for a table that is none, OSError."""
    from metabonk.cognition.strips.predictors import read_table

    new = {(m.game, m.predictor, m.size, m.world): m for m in found}
    old = {(m.game, m.predictor, m.size, m.world): m for m in read_table(path)}
    rows = [(old | new)[key] for key in sorted(old | new)]
    files.replace(path, msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")


def _notice_unread(path: Path) -> None:
    """Says of a table that is not the package's own that no default follows from it."""
    from metabonk.cognition.strips.predictors import TABLE

    if path.resolve() != TABLE.resolve():
        notice_line(
            f"{path}: no default is read from here: give --record {TABLE}, or choose one with "
            "`metabonk play --set cognition.predictor=NAME`"
        )


def _size(text: str | None) -> tuple[int, int] | None:
    return None if text is None else size_of("--size", text, (16, 4096))


def _dreams(names: list[str], game: str, run: Path | None) -> dict[str, Predictor]:
    """The world model of a run as a predictor, where it is asked for. It steps as often per second
    as it did in training, whatever the frames' rate is now. Raises ConfigError for a directory that
    is no run, or one of another game."""
    if "dream" not in names or run is None:
        return {}
    require("torch", "train", "--predictor dream")
    if not (run / "config.toml").exists():
        raise ConfigError(f"--world {run}: holds no run: it has no config.toml")
    config = configured(run, {})
    if config.game.name != game:
        raise ConfigError(
            f"--world {run}: it learned {config.game.name}, and strips are of {game}: give "
            f"--game {config.game.name} or another run"
        )
    from metabonk.learn.dreams.frames import of_run

    return {"dream": of_run(run, config)}


def _judges(
    names: list[str], game: str, given: Mapping[str, Predictor], rate: float
) -> list[Judge]:
    from metabonk.cognition.strips import predictors

    made = [predictors.make(name, game, given) for name in dict.fromkeys(names)]
    if not made or None in made or "auto" in names:
        raise ConfigError(f"--predictor {', '.join(names)}: give flow or dream")
    return [predictors.Judge(one, rate) for one in made if one is not None]


def _judged(
    game: Any,
    player: Any,
    seed: int,
    seconds: float,
    judges: list[Judge],
    to: tuple[int, int] | None,
) -> list[tuple[list[Array], list[Array], list[Array]]]:
    """Judges clips; returns examples: what was seen, what came, what the first judge drew."""
    examples: list[tuple[list[Array], list[Array], list[Array]]] = []
    first = judges[0]
    with stderr.status("watching"):
        for number, clip in enumerate(_clips(game, player, seed, seconds, first.shortest, to)):
            for judge in judges:
                judge.add(clip)
            t = len(clip) - 1 - first.steps[-1]
            if number % EXAMPLE_EVERY == 0 and t >= first.back:
                seen = [clip[max(t - k * first.back, 0)] for k in range(5, -1, -1)]
                came = [clip[t + step] for step in first.steps]
                examples.append((seen, came, first.predict(clip, t)))
    return examples


def _clips(
    game: Any,
    player: Any,
    seed: int,
    seconds: float,
    shortest: int,
    to: tuple[int, int] | None = None,
) -> Iterator[list[Array]]:
    """Frames of episodes, cut into clips; they share frames with the one before, so that every
    moment can be judged once."""
    from metabonk.learn.evaluate import seeds
    from metabonk.learn.report.film import Showing
    from metabonk.ops.frames import resize

    left, size = round(seconds * game.picture_rate), max(round(CLIP * game.picture_rate), shortest)
    number = 0
    while left > 0:
        clip: list[Array] = []
        for frame in Showing(game, player, seeds(seed, 1), 0, number).frames():
            clip.append(frame.copy() if to is None else resize(np.ascontiguousarray(frame), *to))
            left -= 1
            if len(clip) == size or left == 0:
                yield clip
                clip = clip[-(shortest - 1) :]
            if left == 0:
                return
        yield clip
        number += 1


def _draw(path: Path, examples: list[tuple[list[Array], list[Array], list[Array]]]) -> None:
    """Three rows: what was seen and what came; what was drawn; how far off it is, and how far off
    the last frame was."""
    from metabonk.cognition.strips.strip import encode

    if not examples:
        raise ConfigError("--picture: nothing was long enough to draw; give more --seconds")
    # The example in which most moves: a still one shows nothing.
    seen, came, drawn = max(examples, key=lambda e: float(_off(e[0][-1], e[1][-1]).mean()))
    blank = np.full_like(seen[0], 255)
    copied = [_off(seen[-1], frame) for frame in came]
    rows = [
        [*seen, *came],
        [*[blank] * len(seen), *drawn],
        [*[blank] * (len(seen) - len(copied)), *copied, *map(_off, drawn, came)],
    ]
    files.replace(path, encode(np.concatenate([np.concatenate(row, 1) for row in rows], 0), 90))


def _off(a: Array, b: Array) -> Array:
    """|a - b|, three times as bright."""
    off: Array = np.clip(3 * np.abs(a.astype(np.int16) - b), 0, 255).astype(np.uint8)
    return off


def _show(found: list[Measurement]) -> None:
    rows = []
    for one in found:
        for ahead, psnr, copy, gain in zip(one.ahead, one.psnr, one.copy, one.gains, strict=True):
            rows.append(
                (one.predictor, f"{ahead * 1e3:.0f}", f"{copy:.2f}", f"{psnr:.2f}", f"{gain:+.2f}")
            )
    heads = ["predictor", ">ms ahead", ">copy, dB", ">drawn, dB", ">gain, dB"]
    console.print(table(heads, rows))
    for one in found:
        verdict = "may be on by default" if one.good else "off by default"
        size = f"{one.size[1]}x{one.size[0]}"
        console.print(f"{one.predictor}: {verdict}, by {one.cases:,} moments of {one.game} {size}")

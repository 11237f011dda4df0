"""`metabonk replay`: checks a recorded game and watches it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer

from metabonk.cli.output import JsonFlag, console, print_json, refuse_idle, stderr, verb
from metabonk.errors import ConfigError
from metabonk.play.session import parse_place, place

app, command = verb(
    """Check a recorded game and watch it again.

A replay of the arena or of grid64 is played again natively and must end at the hash
that it recorded. A directory of recordings is compared with its hashes. Recordings in
.npz and .pt files are opened, and their frames shown. Doom's .lmp recordings
(train and eval write them with --set game.record=DIR) are shown; they need the
scenario that they were made with.

RUN:TICK decides one tick of a live session again: what was seen and remembered is
made again from the recording and checked by hash, and the action must come out bit
for bit. RUN is a session, or a run whose newest session is meant.

$ metabonk replay best.replay
$ metabonk replay best.replay --video best.mp4
$ metabonk replay runs/long/episodes
$ metabonk replay rollouts/run-000000.npz --video run.mp4
$ metabonk replay runs/long:1200
$ metabonk replay basic.lmp --scenario basic --video basic.mp4"""
)


GRID64_MAGIC = b"MBGRID64"


class Found(msgspec.Struct, frozen=True):
    """What a recording is. verified: it was compared with the hashes that it holds."""

    format: str
    facts: dict[str, Any]
    verified: bool


@command
def replay(
    context: typer.Context,
    file: Path = typer.Argument(
        help="Recording, a directory of episodes, or a tick of a session.", metavar="FILE|RUN:TICK"
    ),
    video: Path = typer.Option(None, help="Film it: .mp4 or .gif.", metavar="FILE"),
    watch: bool = typer.Option(False, "--watch", help="Show it in a window."),
    scenario: str = typer.Option("", help="Doom's scenario of a .lmp recording.", metavar="NAME"),
    agent: int = typer.Option(0, help="Of RUN:TICK, whose tick.", min=0),
    json: bool = JsonFlag,
) -> None:
    tick = not file.exists() and parse_place(str(file)) is not None
    _refuse_idle(context, file, tick, video is not None)
    if tick:
        _retrace(str(file), agent, json)
        return
    if not file.exists():
        raise FileNotFoundError(f"{file}: no such recording")
    opened = _open(file, scenario)
    found = opened.found
    if json:
        print_json({"file": str(file), **msgspec.to_builtins(found)})
    else:
        state = "[green]verified[/]" if found.verified else "[yellow]nothing to verify[/]"
        console.print(f"[bold]{file}[/]: {found.format}, {state}", soft_wrap=True)
        for name, value in found.facts.items():
            console.print(f"  {name}: {value}", soft_wrap=True)
    if video is not None or watch:
        if opened.frames is None:
            raise ConfigError(f"{file}: {found.format} cannot be shown again")
        _show(opened.frames(), opened.fps, video, file)


def _refuse_idle(context: typer.Context, file: Path, tick: bool, filmed: bool) -> None:
    if tick:
        why = f"a tick is decided again and not shown: leave it out, or name a file, not {file}"
        refuse_idle(context, {"--video", "--watch", "--scenario"}, why)
        return
    refuse_idle(context, {"--agent"}, f"only ticks of sessions have agents, {file} is a recording")
    if filmed:
        refuse_idle(context, {"--watch"}, "with --video it is filmed: leave one of them out")
    if file.suffix != ".lmp":
        refuse_idle(context, {"--scenario"}, "only .lmp recordings want to be told: leave it out")


def _retrace(text: str, agent: int, json: bool) -> None:
    from metabonk.play.retrace import retrace

    session, tick = place(text)
    with stderr.status("playing it again"):
        found = retrace(session, tick, agent)
    if json:
        print_json({"session": str(session.directory), **msgspec.to_builtins(found)})
        return
    console.print(
        f"[bold]{session.directory}[/] tick {tick}: [green]the same action, bit for bit[/]",
        soft_wrap=True,
    )
    facts = {
        "policy": found.artifact,
        "decisions made again": f"{found.decisions:,}",
        "random counter": found.counter,
        "decided": found.own,
        "directive": found.directive or "none",
        "sent": found.action,
    }
    for name, value in facts.items():
        console.print(f"  {name}: {value}", soft_wrap=True)


def _show(frames: Iterator[Any], fps: float, video: Path | None, file: Path) -> None:
    if video is None:
        from metabonk.play.window import show

        show(frames, fps, file.name)
        return
    from metabonk.data.film import write_film

    with stderr.status("playing it again"):
        count = write_film(video, frames, fps)
    stderr.print(f"{video}: {count} frames", soft_wrap=True)


@dataclass(frozen=True)
class Opened:
    """A recording that was read. frames: makes its pictures, None if it holds none."""

    found: Found
    frames: Callable[[], Iterator[Any]] | None = None
    fps: float = 15.0


def _open(file: Path, scenario: str) -> Opened:
    """What the recording is, checked. Raises CorruptError if it is damaged."""
    if file.is_dir():
        return _episodes(file)
    if file.suffix == ".lmp":
        return _doom(file, scenario)
    if file.suffix in (".npz", ".pt"):
        return _rows(file)
    with file.open("rb") as opened:
        head = opened.read(len(GRID64_MAGIC))
    return _grid64(file) if head == GRID64_MAGIC else _arena(file)


def _arena(file: Path) -> Opened:
    from metabonk.games import replay as replays
    from metabonk.games.arena import make

    recorded = replays.load(file)
    recorded.verify()
    facts = {
        "run seed": recorded.run_seed,
        "decisions": len(recorded.actions),
        "bytes": file.stat().st_size,
        "hash": f"{recorded.final_hash:016x}",
    }
    game = make("", 1, level=recorded.level)

    def frames() -> Iterator[Any]:
        return _played(game, recorded.run_seed, recorded.actions)

    return Opened(Found("a replay of the arena", facts, True), frames, game.picture_rate)


def _grid64(file: Path) -> Opened:
    from metabonk.games import grid64

    recorded = grid64.read_replay(file.read_bytes())
    facts = {key: recorded[key] for key in ("game", "split", "seed", "levels_completed")}
    facts |= {"decisions": len(recorded["actions"]), "bytes": file.stat().st_size}
    game = grid64.make(recorded["game"], 1, split=recorded["split"])

    def frames() -> Iterator[Any]:
        return _played(game, recorded["seed"], recorded["actions"])

    return Opened(Found("a replay of grid64", facts, True), frames, game.picture_rate)


def _doom(file: Path, scenario: str) -> Opened:
    from metabonk.games import doom, doom_replay, doom_worker

    if not scenario:
        raise ConfigError(
            f"{file}: a .lmp recording does not say its scenario, give --scenario "
            f"({', '.join(doom.names())})"
        )
    if scenario not in doom.names():
        raise ConfigError(f"--scenario {scenario}: there are {', '.join(doom.names())}")
    tics = doom_replay.replay(file, scenario)
    return Opened(
        Found("a recording of Doom", {"scenario": scenario, "bytes": file.stat().st_size}, False),
        lambda: (tic.frame for tic in tics),
        float(doom_worker.TICS_PER_SECOND),
    )


def _episodes(directory: Path) -> Opened:
    """A folder of episodes, or what `metabonk record` makes: episodes, `.npz` files or both."""
    from metabonk.data.episode import EpisodeStore
    from metabonk.data.index import HEADER
    from metabonk.data.recovery import recover
    from metabonk.data.sinks import EPISODES, verify_files

    recovered, files = recover(directory), verify_files(directory)
    facts: dict[str, Any] = {".npz files": files} if files else {}
    facts |= {"recovered rows": recovered} if recovered else {}
    inner = directory / EPISODES
    place = inner if (inner / HEADER).exists() else directory
    if files and not (place / HEADER).exists():
        return Opened(Found("recorded .npz files", facts, True))
    store = EpisodeStore(place)
    store.verify()
    header = store.header
    facts |= {
        "source": header.source,
        "seed": header.seed,
        "made by": header.actor,
        "build": header.build,
        "episodes": len(store.entries()),
        "rows": sum(chunk.steps for chunk in store.chunks) * header.num_envs,
        "manifest": store.manifest(),
    }
    found = Found("recorded episodes", facts, True)
    keys = store.entries(complete=False)
    frames = "observation/pixels", "extra/frame"  # the first that there is
    held = store.read_rows(*keys[0], 0, 1) if keys else {}
    shown = next((name for name in frames if name in held), None)
    if shown is None:
        return Opened(found)
    name = shown

    def pictures() -> Iterator[Any]:
        for key in keys:
            yield from store.read_rows(*key, wanted=lambda k: k == name)[name]

    return Opened(found, pictures, header.rate or 15.0)


def _rows(file: Path) -> Opened:
    """Rows of a recorder, ours or another's. They hold no hash to be compared with."""
    from metabonk.data.library import READERS

    episodes = READERS[file.suffix](file)
    header = episodes[0].header
    facts = {
        "source": header.source,
        "made by": header.actor,
        "rate": f"{header.rate:g} rows per second" if header.rate else "unknown",
        "episodes": len(episodes),
        "rows": sum(len(e) for e in episodes),
        "ended": sum(bool(e.terminated.any()) for e in episodes),
        "cut": sum(bool(e.truncated.any()) for e in episodes),
        "reward": round(sum(float(e.reward.sum()) for e in episodes), 3),
        "actions": f"{header.columns} columns",
        "observation": {k: list(v.shape[1:]) for k, v in episodes[0].observation.items()},
    }
    found = Found(f"a recording in {file.suffix}", facts, False)
    if "pixels" not in episodes[0].observation:
        return Opened(found)

    def frames() -> Iterator[Any]:
        return (frame for e in episodes for frame in e.observation["pixels"])

    return Opened(found, frames, header.rate or 15.0)


def _played(game: Any, seed: int, actions: Any) -> Iterator[Any]:
    """The pictures of an episode from its seed and actions [T, columns]."""
    import numpy as np

    from metabonk.games.batch import allocate

    observation = allocate(game.observation_space, 1)
    outcome = (np.zeros(1, np.float32), *(np.zeros(1, np.bool_) for _ in range(3)))
    game.reset_into(observation, [seed])
    for row in actions:
        yield from game.pictures(0, row)
        game.step_into(row[None], observation, *outcome)
    yield game.render(0)

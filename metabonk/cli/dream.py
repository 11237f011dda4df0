"""`metabonk dream`: what a run's world model dreams of a game, beside what really happens."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from metabonk import config as settings_module
from metabonk import machine
from metabonk.cli.output import (
    JsonFlag,
    console,
    print_json,
    refuse_idle,
    require,
    stderr,
    table,
    verb,
)
from metabonk.data.film import best_suffix, check_name, write_film
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.config import Config
    from metabonk.learn.viewer.episode import Dreamt, Episode
    from metabonk.learn.viewer.twin import Twin
    from metabonk.models.world import WorldModel
    from metabonk.protocols import FloatArray

app, command = verb(
    """Show what a run's world model dreams, beside what really happens.

The run's policy plays episode E. The world model watches the first steps; from then
on it dreams under the actions that were really taken. The film shows reality above,
the dream below, and the error over time beside that of a frame that never changes;
where the dream comes apart from reality is marked.

[bold]--at T[/] forks the game itself at decision T: it is put back and does something
else there, and the model dreams of that. What then differs is the action's doing, and
whether the model foresaw it is told. [bold]--forks N[/] forks it N times along the
episode and says for how many steps such dreams are right: the horizon to dream by.

$ metabonk dream runs/long --episode 3
$ metabonk dream runs/long --episode 3 --horizon 15   look again every 15 steps
$ metabonk dream runs/long --at 120 --instead choice=2
$ metabonk dream runs/long --forks 32 --json
$ metabonk dream runs/long --from rollouts/video_rollouts --episode 0"""
)


@dataclass(frozen=True)
class _Asked:
    """The flags, as they are needed further in."""

    episode: int
    context: int
    horizon: int
    at: int
    instead: str
    forks: int
    steps: int
    longest: int
    seed: int
    greedy: bool
    source: Path | None
    video: Path | None
    films: bool


@command
def dream(
    told: typer.Context,
    directory: Path = typer.Argument(help="Directory of the run.", metavar="RUN"),
    episode: int = typer.Option(0, help="Which episode.", min=0),
    context: int = typer.Option(8, help="Observations that are watched first.", min=1),
    horizon: int = typer.Option(
        0, help="Steps after which the model looks again; 0: never.", min=0
    ),
    at: int = typer.Option(
        -1, help="Fork the game at this decision.", metavar="T", show_default=False
    ),
    instead: str = typer.Option(
        "", help="What is done there, as choice=2 or move=1:0; default: at random.", metavar="ROW"
    ),
    forks: int = typer.Option(0, help="Fork so many times along the episode.", min=0),
    steps: int = typer.Option(30, help="How far forks are followed.", min=1),
    longest: int = typer.Option(
        1000, help="Decisions after which the episode is cut; 0: none.", min=0
    ),
    seed: int = typer.Option(0, help="Everything random follows from it.", min=0),
    greedy: bool = typer.Option(False, "--greedy", help="The policy acts without chance."),
    source: Path = typer.Option(
        None, "--from", help="Take the episode from recordings.", metavar="PATH"
    ),
    video: Path = typer.Option(
        None, help="Where the film goes (.mp4, .gif); default: RUN/dream-E.", metavar="FILE"
    ),
    no_video: bool = typer.Option(False, "--no-video", help="Numbers only."),
    json: bool = JsonFlag,
) -> None:
    _refuse_idle(told, at >= 0, forks > 0)
    if video is not None:
        check_name(video)
    require("torch", "train", "dreaming")
    if not (directory / "config.toml").exists():
        raise FileNotFoundError(f"{directory} holds no run: it has no config.toml")
    from metabonk.learn.presets import begun

    config = begun(directory, environ={})
    if machine.core_built():
        settings_module.cap_cpu(config)
    if source is not None and (at >= 0 or forks):
        raise ConfigError("--from: a recording cannot be forked, only a game that is played")
    asked = _Asked(
        episode, context, horizon, at, instead, forks, steps, longest, seed, greedy, source, video,
        not no_video,
    )  # fmt: skip
    with stderr.status("dreaming"):
        found = _Session(directory, config, asked).run()
    if json:
        print_json(found.data)
    else:
        found.show()


def _refuse_idle(told: typer.Context, one: bool, many: bool) -> None:
    """one, many: --at and --forks."""
    if one and many:
        raise ConfigError("--at and --forks: fork once or many times, give one of them")
    if many:
        refuse_idle(told, {"--horizon", "--video"}, "--forks tells numbers: leave it out")
    if one:
        refuse_idle(told, {"--context", "--horizon"}, "--at dreams from the fork on: leave it out")
    if not one:
        refuse_idle(told, {"--instead"}, "it is done at a fork: add --at T")
    if not one and not many:
        refuse_idle(told, {"--steps"}, "it is how far forks are followed: add --at or --forks")


@dataclass(frozen=True)
class _Found:
    """What there is to tell."""

    data: dict[str, Any]
    lines: list[Any]

    def show(self) -> None:
        for line in self.lines:
            console.print(line, soft_wrap=True)


class _Session:
    """One invocation: the run, its game and its world model."""

    def __init__(self, directory: Path, config: Config, asked: _Asked) -> None:
        self.directory, self.config, self.asked = directory, config, asked

    def run(self) -> _Found:
        if self.asked.forks:
            return self._many()
        return self._one() if self.asked.at < 0 else self._twin()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, WorldModel]]:
        """The game, of one environment, and the world model; nothing that learns."""
        import torch

        from metabonk.games import accepts, from_config
        from metabonk.learn.dreams import versions as dreams

        name = self.config.game.name
        settings = {"visible": True} if accepts(name, "visible") else {}
        game = from_config(self.config.game, 1, **settings)
        try:
            found = dreams.of_run(
                self.directory, game.observation_space, game.action_layout, self.config
            )
            with torch.no_grad():
                yield game, found.world
        finally:
            game.close()

    def _played(self, game: Any, *, keep: Collection[int] = (), pictures: bool = False) -> Episode:
        from metabonk.data.library import Library
        from metabonk.learn import assess
        from metabonk.learn.evaluate import MAX_STEPS
        from metabonk.learn.viewer import episode as dreamt

        asked = self.asked
        most = asked.longest or MAX_STEPS
        if asked.source is not None:
            pieces = Library(asked.source).pieces
            if asked.episode >= len(pieces):
                raise ConfigError(
                    f"--episode {asked.episode}: {asked.source} has {len(pieces)}, from 0 on"
                )
            keys = sorted(game.observation_space.spaces)
            return dreamt.recorded(pieces[asked.episode], keys, most)
        players, _ = assess.load_players(self.directory, game, self.config)
        policy = players.playing(sampled=not asked.greedy, seed=asked.seed)
        return dreamt.play(
            game, policy, asked.episode, seed=asked.seed, keep=keep, most=most, pictures=pictures
        )

    def _one(self) -> _Found:
        from metabonk.learn.viewer import episode as dreamt
        from metabonk.learn.viewer.film import film, rate_of

        asked = self.asked
        with self._opened() as (game, world):
            episode = self._played(game, pictures=asked.films)
            found = dreamt.dream_of(
                world, episode, context=asked.context, horizon=asked.horizon, seed=asked.seed
            )
            path = self._film(f"dream-{asked.episode}", lambda: film(world, episode, found),
                              rate_of(episode))  # fmt: skip
        return _told(episode, found, path)

    def _twin(self) -> _Found:
        from metabonk.learn.viewer import twin
        from metabonk.learn.viewer.film import rate_of, twin_film

        asked = self.asked
        with self._opened() as (game, world):
            episode = self._played(game, keep=[asked.at], pictures=asked.films)
            row = self._instead(game, episode, asked.at)
            if row is None:
                raise ConfigError(f"--at {asked.at}: nothing else is allowed there, fork elsewhere")
            found = twin.fork(
                world, game, episode, asked.at, row, steps=asked.steps, seed=asked.seed,
                pictures=asked.films,
            )  # fmt: skip
            name = f"twin-{asked.episode}-{asked.at}"
            path = self._film(name, lambda: twin_film(world, episode, found), rate_of(episode))
        return _told_twin(episode, found, path)

    def _many(self) -> _Found:
        """Forks at decisions evenly spread over an episode, each under a random other action."""
        import numpy as np

        from metabonk.learn.viewer import twin

        asked = self.asked
        with self._opened() as (game, world):
            length = len(self._played(game))
            last = max(0, length - asked.steps)  # all of them can be followed as far
            first = min(asked.context, last)
            places = np.unique(np.linspace(first, last, asked.forks).astype(int))
            episode = self._played(game, keep=places.tolist())
            rows = {at: self._instead(game, episode, at) for at in places.tolist()}
            twins = [
                twin.fork(world, game, episode, at, row, steps=asked.steps, seed=asked.seed)
                for at, row in rows.items()
                if row is not None
            ]
        if not twins:
            raise ConfigError("--forks: at none of them is anything else allowed, try another one")
        return _told_forks(twins, len(rows) - len(twins))

    def _instead(self, game: Any, episode: Episode, at: int) -> FloatArray | None:
        from metabonk.learn.trainer import parse_fixed
        from metabonk.learn.viewer import twin

        row = episode.action[at]
        if self.asked.instead:
            return twin.parse_row(self.asked.instead, game.action_layout, row)
        mask = episode.observation.get("action_mask")
        there = None if mask is None else mask[at]
        fixed = parse_fixed(self.config.model.fixed)
        return twin.another(game.action_layout, row, there, self.asked.seed + at, fixed)

    def _film(self, stem: str, pictures: Any, rate: float) -> Path | None:
        if not self.asked.films:
            return None
        path = self.asked.video or (self.directory / stem).with_suffix(best_suffix())
        write_film(path, pictures(), rate)
        return path


def _told(episode: Episode, found: Dreamt, path: Path | None) -> _Found:
    data = {
        "steps": len(episode),
        "context": found.context,
        "dreamed": len(found.error),
        "diverged": found.diverged,
        "unseeing": found.unseeing,
        "error": found.error.tolist(),
        "persistence": found.persistence.tolist(),
        "mean": found.mean.tolist(),
        "awake": found.awake.tolist(),
        "reward": {
            "real": float(episode.reward[found.context - 1 :].sum()),
            "dreamed": float(found.reward.sum()),
        },
        "video": str(path or ""),
    }
    apart = "never apart from what was real"
    if found.diverged is not None:
        into = found.diverged - found.looked[found.diverged - found.context]
        apart = f"apart at step {found.diverged}, {into} into the dream"
    elif found.unseeing:
        apart = "no better than no model at all, awake either"
    means = {
        "the dream": found.error, "nothing changes": found.persistence,
        "the mean of what was seen": found.mean, "the model awake": found.awake,
    }  # fmt: skip
    rows = ((name, f"{values.mean():.4f}", f"{values[-1]:.4f}") for name, values in means.items())
    lines = [
        f"[bold]{len(found.error):,} steps dreamed[/] after {found.context} watched: {apart}",
        table(["error of", ">mean", ">at the end"], rows),
        f"reward of them  {data['reward']['real']:,.2f} real, "
        f"{data['reward']['dreamed']:,.2f} dreamed",
    ]
    return _Found(data, [*lines, *_where(path)])


def _told_twin(episode: Episode, found: Twin, path: Path | None) -> _Found:
    from metabonk.learn.viewer.twin import foreseen

    error, unchanged = foreseen([found])
    was = episode.reward[found.at : found.at + len(found.reward)]
    data = {
        "at": found.at,
        "done": episode.action[found.at].tolist(),
        "instead": found.instead.tolist(),
        "steps": len(found.error),
        "ended": found.ended,
        "forked": found.forked,
        "diverged": found.diverged,
        "effect": found.effect.tolist(),
        "error": found.error.tolist(),
        "unchanged": found.unchanged.tolist(),
        "foreseen": {"error": error, "without_the_action": unchanged},
        "reward": {"done": float(was.sum()), "instead": float(found.reward.sum())},
        "video": str(path or ""),
    }
    if found.forked is None:
        differ = "nothing came of it: both courses are the same"
    else:
        differ = f"the game went another way at step {found.forked}"
    apart = "stayed right" if found.diverged is None else f"was apart at step {found.diverged}"
    lines = [
        f"[bold]decision {found.at}[/] {_row(data['done'])} → {_row(data['instead'])}: {differ}; "
        f"the dream of it {apart}",
        "nothing to foresee"
        if found.forked is None
        else f"error of the dream {error:.4f}, of one that does not know of the action "
        f"{unchanged:.4f}, over the steps in which the courses differ",
        f"reward  {data['reward']['done']:,.2f} as it was, "
        f"{data['reward']['instead']:,.2f} instead",
    ]
    return _Found(data, [*lines, *_where(path)])


def _told_forks(twins: list[Twin], left_out: int) -> _Found:
    """left_out: forks at which nothing else was allowed."""
    from metabonk.learn.viewer.twin import foreseen, trust

    error, unchanged = foreseen(twins)
    horizon, changed = trust(twins), sum(t.forked is not None for t in twins)
    data = {
        "forks": len(twins),
        "left_out": left_out,
        "changed": changed,
        "steps": min(len(t.error) for t in twins),
        "trust": horizon,
        "foreseen": {"error": error, "without_the_action": unchanged},
        "at": [t.at for t in twins],
        "diverged": [t.diverged for t in twins],
    }
    share = round(1.0 - error / unchanged, 2) if changed else 0.0
    known = f"{share + 0.0:.0%} was foreseen" if changed else "nothing: none did"
    beside = f"; {left_out} more left out, where nothing else is allowed" if left_out else ""
    remedy = (
        f"--set dream.horizon={horizon}" if horizon else "nothing to dream of yet, train longer"
    )
    lines = [
        f"[bold]{len(twins)} forks[/], {changed} of which changed the game{beside}",
        f"right for {horizon} of {data['steps']} steps: {remedy}",
        f"of what the actions changed, {known} (error {error:.4f}; without the action "
        f"{unchanged:.4f})",
    ]
    return _Found(data, lines)


def _row(values: Any) -> str:
    return "(" + " ".join(f"{v:g}" for v in values) + ")"


def _where(path: Path | None) -> list[str]:
    return [] if path is None else [f"film     {path}"]

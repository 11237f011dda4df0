"""Players by name, for the verbs that play: scripted, random, or what a run learned; and the game
that they are watched in.

Knows configurations and where policies are; does not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metabonk.cli.output import require
from metabonk.config import Config
from metabonk.errors import ConfigError, GameError


def run_of(policy: str | None) -> Path | None:
    """The directory of a run, if that is what `policy` names, or a motor in it."""
    if policy is None:
        return None
    motor = motor_of(policy)
    where = Path(policy) if motor is None else motor.parent.parent
    return where if (where / "config.toml").exists() else None


def motor_of(policy: str | None) -> Path | None:
    """A version of a motor, if `policy` names one (RUN/motors/000002) or a run's motors, of which
    it is the newest."""
    path = Path(policy or "")
    if path.name == "motors" and path.is_dir():
        versions = sorted(p for p in path.iterdir() if p.name.isdigit())
        return versions[-1] if versions else None
    return path if path.parent.name == "motors" and (path / "card.json").exists() else None


def visible(config: Config) -> Any:
    """One game as it is configured that shows itself. Raises GameError if it cannot."""
    from metabonk.games import accepts, from_config

    settings = {"visible": True} if accepts(config.game.name, "visible") else {}
    made = from_config(config.game, 1, **settings)
    if not hasattr(made, "render"):
        made.close()
        raise GameError(f"{config.game.name} cannot be watched: it draws nothing")
    return made


def default(config: Config) -> str:
    """Who plays where nobody says."""
    return "scripted" if config.game.name == "arena" else "random"


def player_of(
    name: str, run: Path | None, game: Any, config: Config, seed: int, greedy: bool
) -> Any:
    """The policy of that name, ready to act on all of `game`. Only a run's needs Torch."""
    motor = motor_of(name)
    if motor is not None:
        require("torch", "train", f"the motor {name!r}")
        from metabonk.learn.motors import versions as motors
        from metabonk.models.motor import MotorPolicy

        made, _ = motors.load(motor, game.observation_space, game.action_layout)
        return MotorPolicy(made, seed=seed)
    if run is not None:
        require("torch", "train", f"the policy {name!r}")
        from metabonk.learn.assess import load_players

        players, _ = load_players(run, game, config)
        return players.playing(sampled=not greedy, seed=seed)
    from metabonk.games import scripted

    if name == "random":
        return scripted.RandomPolicy(seed, game.action_layout)
    if name == "scripted" and _as_the_arena(game):
        from metabonk.games.arena import level_of

        size = level_of(config.game.level or None).terrain.size
        return scripted.ScriptedPolicy(scripted.Habits(size=size))
    if name == "scripted" and game.name.startswith("grid64/"):
        from metabonk.games.grid64_solver import SolverPolicy

        return SolverPolicy(game)
    has_script = _as_the_arena(game) or game.name.startswith("grid64/")
    known = "random, scripted" if has_script else "random"
    raise ConfigError(
        f"--policy {name}: not the directory of a run, and {config.game.name} has only {known}"
    )


def _as_the_arena(game: Any) -> bool:
    """Whether a game is seen and played as the arena is, over whatever link."""
    from metabonk.records import ACTION_LAYOUT

    same = game.action_layout.branches == ACTION_LAYOUT.branches
    return same and "entities" in game.observation_space.spaces

"""Players by name, for the verbs that play: scripted, random, what a run learned, or a compiled
policy; and the game that they are watched in.

Knows configurations and where policies are; does not know what is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabonk import artifact
from metabonk.cli.output import notice_line, require
from metabonk.config import Config, load
from metabonk.errors import ConfigError, GameError
from metabonk.protocols import BoolArray, FloatArray, Observation

if TYPE_CHECKING:
    from metabonk.play.compiled import CompiledPolicy


class Compiled:
    """A compiled policy as a Policy; it carries its recurrent state itself."""

    def __init__(self, policy: CompiledPolicy, seed: int) -> None:
        self._policy, self._seed = policy, seed

    def reset(self, num_envs: int) -> None:
        """Forgets the past; random numbers begin anew."""
        self._policy.reset()
        self._policy.seed(self._seed)

    def act(
        self, observation: Observation, state: None, is_first: BoolArray
    ) -> tuple[FloatArray, None]:
        """Action rows float32 [N, columns]."""
        self._policy.reset(is_first)
        return self._policy.step(observation).copy(), None


def run_of(policy: str | None) -> Path | None:
    """The directory of a run, if that is what `policy` names, or a motor in it."""
    if policy is None:
        return None
    motor = motor_of(policy)
    where = Path(policy) if motor is None else motor.parent.parent
    return where if (where / "config.toml").exists() else None


def configured(run: Path | None, flags: Mapping[str, Any]) -> Config:
    """The settings of who plays: below variables and flags a run's own, as it was begun."""
    if run is None:
        return load(flags=flags, notice=notice_line)
    from metabonk.learn.presets import begun

    return begun(run, flags=flags, notice=notice_line)


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


def refuse_greedy(policy: str, run: Path | None, config: Config) -> None:
    """Raises ConfigError for --greedy where nobody plays who can act with and without chance."""
    if motor_of(policy) is not None or (config.sima2.enabled and config.sima2.load_cpqe):
        why = "a motor always draws its candidates: leave it out"
    elif run is not None:
        return
    elif (Path(policy) / artifact.CARD).exists():
        why = f"{policy} decides as it was compiled: leave it out, or name its run"
    else:
        why = f"only a run plays without chance, not {policy}: leave it out, or give --policy RUN"
    raise ConfigError(f"--greedy: {why}")


def player_of(
    name: str, run: Path | None, game: Any, config: Config, seed: int, greedy: bool
) -> Any:
    """The policy of that name, ready to act on all of `game`. Only a run's needs Torch, and that
    only unless it was compiled."""
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
    if (Path(name) / artifact.CARD).exists():
        return _compiled(Path(name), game, seed)
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
        f"--policy {name}: not the directory of a run or of a compiled policy, and "
        f"{config.game.name} has only {known}"
    )


def _compiled(path: Path, game: Any, seed: int) -> Compiled:
    """Raises ConfigError for one of another game or number of games, CorruptError for a damaged
    one or something else."""
    from metabonk.play.compiled import OWN, load

    policy = load(path)
    if policy.terms.batch != game.num_envs:
        raise ConfigError(
            f"--policy {path}: it decides for {policy.terms.batch} games at a time, and "
            f"{game.num_envs} is played: `metabonk compile` it with --batch {game.num_envs}"
        )
    shapes = {
        key: (game.num_envs, *(space.shape or ()))
        for key, space in game.observation_space.spaces.items()
    }
    fits = all(
        shapes.get(key) == sizes for key, (_, sizes) in policy.inputs.items() if key not in OWN
    )
    if not fits or policy.terms.columns != game.action_layout.columns:
        raise ConfigError(
            f"--policy {path}: it was compiled for another game than {game.name} as it is set: "
            "name its own with --game"
        )
    return Compiled(policy, seed)


def _as_the_arena(game: Any) -> bool:
    """Whether a game is seen and played as the arena is, over whatever link."""
    from metabonk.records import ACTION_LAYOUT

    same = game.action_layout.branches == ACTION_LAYOUT.branches
    return same and "entities" in game.observation_space.spaces

"""Games by name. Knows which module plays which name; imports a game only when it is made.

To add a game: write a module with `make(rest, num_envs, **settings) -> BatchGame`, where `rest` is
what follows the slash of the name, and give it a row in `NAMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.config import GameConfig
    from metabonk.protocols import BatchGame

# First part of a name -> (module, how the whole name is written).
NAMES = {
    "arena": ("metabonk.games.arena", "arena"),
    "grid64": ("metabonk.games.grid64", "grid64/<name>"),
    "doom": ("metabonk.games.doom", "doom/<scenario>"),
    "gym": ("metabonk.games.gym", "gym/<registered id>"),
    "bonklink": ("metabonk.games.bonklink", "bonklink"),
    "research_shm": ("metabonk.games.research_shm", "research_shm"),
}

# Keys of the configuration that are settings of games.
_PASSED = (
    "level", "layouts", "threads", "pixels", "frame_skip", "record", "protocol", "host", "port",
    "use_pipe", "pipe_name", "token_file", "offer_places", "restart_click", "research_dir",
    "instance",
)  # fmt: skip


# And those that simulate a link to any game: see latency.py.
DELAYS = ("latency", "jitter", "observation_latency")


def make(
    name: str,
    num_envs: int = 1,
    *,
    latency: float = 0.0,
    jitter: float = 0.0,
    observation_latency: float = 0.0,
    **settings: Any,
) -> BatchGame:
    """N environments of one game that step in one call.

    name: "arena", "grid64/<name>", "doom/<scenario>", "gym/<any id registered in Gymnasium>", or
    "bonklink" and "research_shm" for games that run already.
    settings: those of the game's module; an unknown one raises ConfigError that lists them.
    latency, jitter, observation_latency: seconds of simulated delay, see latency.py.
    Raises MissingExtraError if the game needs a package that is not installed.
    """
    factory, rest = _factory(name)
    if num_envs < 1:
        raise ConfigError(f"num_envs: {num_envs} environments cannot be made, give at least 1")
    accepted = _settings_of(factory)
    for key in settings:
        if key not in accepted:
            raise ConfigError(
                f"{name}: no setting {key!r}{_nearest(key, accepted)}; "
                f"it has {', '.join(accepted) or 'none'}"
            )
    game: BatchGame = factory(rest, num_envs, **settings)
    if not (latency or jitter or observation_latency):
        return game
    from metabonk.games.latency import Delays, delayed

    try:
        return delayed(game, Delays(latency, jitter, observation_latency))
    except ConfigError:
        game.close()
        raise


def from_config(config: GameConfig, num_envs: int | None = None, **settings: Any) -> BatchGame:
    """The game that a configuration asks for; `num_envs` and `settings` override it.

    A setting left at its default is passed only to games that have it; one that was changed and
    that the game lacks raises ConfigError.
    """
    factory, _ = _factory(config.name)
    accepted = _settings_of(factory)
    defaults = type(config)()
    chosen: dict[str, Any] = {}
    for key in _PASSED:
        value = getattr(config, key)
        if value != getattr(defaults, key):
            if key not in accepted:
                raise ConfigError(f"game.{key}: {config.name} has no such setting, leave it out")
            chosen[key] = value
    chosen |= {key: getattr(config, key) for key in DELAYS}
    return make(config.name, num_envs or config.envs, **{**chosen, **settings})


def in_processes(name: str) -> bool:
    """Whether every environment of a game is a process of its own: many cost memory, and few are as
    quick."""
    return name.startswith("doom/") or name in ("bonklink", "research_shm")


def accepts(name: str, setting: str) -> bool:
    """Whether a game has a setting, such as `visible`."""
    return setting in _settings_of(_factory(name)[0])


def _factory(name: str) -> tuple[Callable[..., BatchGame], str]:
    kind, _, rest = name.partition("/")
    if kind not in NAMES:
        known = [pattern for _, pattern in NAMES.values()]
        raise ConfigError(
            f"game: no game {name!r}{_nearest(kind, NAMES)}; known are {', '.join(known)}"
        )
    module, pattern = NAMES[kind]
    if bool(rest) != ("/" in pattern):
        raise ConfigError(f"game: {name!r} is not complete, write {pattern}")
    factory: Callable[..., BatchGame] = importlib.import_module(module).make
    return factory, rest


def _settings_of(factory: Callable[..., BatchGame]) -> list[str]:
    import inspect  # slow to import, and `import metabonk` comes through here

    parameters = list(inspect.signature(factory).parameters.values())[2:]
    return [p.name for p in parameters]


def _nearest(word: str, known: Any) -> str:
    import difflib

    match = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {match[0]!r}" if match else ""

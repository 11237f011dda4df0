"""One typed configuration: defaults, then a TOML file, then METABONK_* variables, then flags.

Knows msgspec and the environment; the only file that reads settings from it. Does not know what
the settings do. Every key `section.name` is also a variable METABONK_SECTION_NAME; older names are
in environment.py. A later source wins, and an error names the source, the key and the remedy.
"""

from __future__ import annotations

import difflib
import importlib
import os
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from metabonk.environment import KNOWN, Variable
from metabonk.errors import BackendError, ConfigError
from metabonk.schema import (
    BackendConfig,
    CognitionConfig,
    Config,
    CpqeConfig,
    DistilConfig,
    DreamConfig,
    EfeConfig,
    GameConfig,
    MenuConfig,
    ModelConfig,
    NativeConfig,
    PPOConfig,
    RunConfig,
    Sima2Config,
    VlmConfig,
    WorldConfig,
    idle,
)
from metabonk.setting import PREFIX, Setting, as_text, checked, settings

__all__ = [
    "BackendConfig",
    "CognitionConfig",
    "Config",
    "CpqeConfig",
    "DistilConfig",
    "DreamConfig",
    "EfeConfig",
    "GameConfig",
    "MenuConfig",
    "ModelConfig",
    "NativeConfig",
    "PPOConfig",
    "RunConfig",
    "Setting",
    "Sima2Config",
    "VlmConfig",
    "WorldConfig",
    "as_text",
    "by_key",
    "cap_cpu",
    "flags_of",
    "load",
    "settings",
    "to_toml",
    "variables",
]

_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}


def load(
    file: Path | str | None = None,
    *,
    presets: Callable[[str], Mapping[str, Any]] | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Config:
    """The configuration from all sources.

    file: TOML with a table per section, or None. presets: values by key for a game's name, taken
    where no source says otherwise. flags: values by key (`{"ppo.clip": 0.1}`), text
    or of the key's type; None stands for a flag that was not given. environ: os.environ unless
    given. notice: called with one line per known variable that has no effect yet; by default it
    becomes a Python warning. Given along with presets, which whoever trains has, it is also told of
    settings that nothing reads, as those of dreams where no world model is learned. Raises
    ConfigError naming source, key and remedy.
    """
    environ = os.environ if environ is None else environ
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    pairs = [] if file is None else _from_file(Path(file))
    sources = (
        {k: checked(k, v, str(file)) for k, v in pairs},
        _in_environment(environ, notice),
        {k: checked(k, v, "--set") for k, v in given.items()},
    )
    values: dict[str, Any] = {}
    for told in sources:
        values |= _with_world(told)
    config = Config()
    if presets is not None:
        game = values.get("game.name", config.game.name)
        usual = {k: checked(k, v, "preset") for k, v in presets(game).items()}
        values = _with_world(usual) | values
    for key, value in values.items():
        section, name = key.split(".")
        setattr(getattr(config, section), name, value)
    _check_together(config)
    _check_ports(config, environ)
    if notice is not None and presets is not None:
        for line in idle(config, sources):
            notice(line)
    return config


def by_key(config: Config) -> dict[str, Any]:
    """Every value by its dotted key."""
    split = ((key, *key.split(".")) for key in settings())
    return {key: getattr(getattr(config, section), name) for key, section, name in split}


def flags_of(pairs: list[str], named: Mapping[str, Any]) -> dict[str, Any]:
    """What `--set` assigns (`["ppo.clip=0.1"]`), and flags of their own by key, None where they
    were not given, which win. Raises ConfigError for text without `=`."""
    flags: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair}: write it as section.key=value, e.g. ppo.clip=0.1")
        flags[key.strip()] = value.strip()
    return flags | {key: value for key, value in named.items() if value is not None}


def to_toml(config: Config, *, comments: bool = True) -> str:
    """The configuration as TOML that `load` reads back to an equal one."""
    lines: list[str] = []
    section = ""
    for setting in settings().values():
        here, name = setting.key.split(".")
        if here != section:
            lines += ["", f"[{here}]"] if lines else [f"[{here}]"]
            section = here
        value = _toml_value(getattr(getattr(config, here), name))
        lines.append(f"{name} = {value}" + (f"  # {setting.help}" if comments else ""))
    return "\n".join(lines) + "\n"


# Of `native.cpu`, from AVX-512 on: what is used beyond it.
_SERVER_PORT = 5555  # of a cognitive server whose address says none
_EXTENSIONS = {"avx512": "none", "vnni": "vnni", "bf16": "bf16", "amx": "amx"}
_CONFIGURED: list[str] = []  # what configurations have asked of cap_cpu in this process


def cap_cpu(config: Config | None = None) -> str:
    """Caps the native core's instruction set as METABONK_CPU or `native.cpu` says.

    Returns the name of the tier in use. Called before native code picks its kernels; without a
    configuration it looks at the environment only, and leaves alone what a configuration has set
    in this process. Raises ConfigError for an unknown tier, BackendError if the core is not built.
    """
    support = getattr(importlib.import_module("metabonk._core"), "support", None)
    if support is None:  # only the stubs' folder is there
        raise BackendError("the native core is not built: in a checkout run ./scripts/build")
    environ = _only(os.environ, "native.cpu")
    if config is None and (_CONFIGURED or not environ):
        return str(support.active_tier())
    cpu = (config or load(environ=environ)).native.cpu
    if config is not None:
        _CONFIGURED.append(cpu)
    if cpu in _EXTENSIONS:
        support.cap_extension(_EXTENSIONS[cpu])
    if cpu != "auto":
        support.cap_tier("avx512" if cpu in _EXTENSIONS else cpu)
    return str(support.active_tier())


def variables() -> Iterator[tuple[Variable, str]]:
    """Every variable that may be set, with what reads it: a key, `build` or nothing yet."""
    for variable in KNOWN:
        yield variable, variable.key or ("build" if variable.build else "")
    for setting in settings().values():
        yield Variable(setting.variable, as_text(setting.default), setting.help), setting.key


def _from_file(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for section, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section!r} stands outside a table: put it under [section]")
        for name, value in table.items():
            yield f"{section}.{name}", value


def _with_world(told: dict[str, Any]) -> dict[str, Any]:
    """What one source says, and with whoever is to dream the world model that is dreamed of, unless
    the same source says otherwise. Who dreams is on by default, a world model is not: to be asked
    for by name is more than that."""
    asked = told.get("dream.enabled") or told.get("efe.enabled")
    return {"world.enabled": True, **told} if asked else told


def _in_environment(
    environ: Mapping[str, str],
    notice: Callable[[str], None] | None,
) -> dict[str, Any]:
    """What variables set, by key. Raises ConfigError for two that do not agree."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    for key, text, name in _from_environment(environ, notice):
        value = checked(key, text, name)
        if key in names and value != values[key]:
            raise ConfigError(
                f"{names[key]} and {name} both set {key}, to different values "
                f"({as_text(values[key])} and {as_text(value)}): unset one of them"
            )
        names[key], values[key] = name, value
    return values


def _from_environment(
    environ: Mapping[str, str], notice: Callable[[str], None] | None
) -> Iterator[tuple[str, str, str]]:
    by_name = {s.variable: s.key for s in settings().values()}
    table = {v.name: v for v in KNOWN}
    for name, text in environ.items():
        variable = table.get(name)
        if variable is not None and not variable.key:
            if not variable.build:
                message = f"{name} is known but not built yet: it has no effect"
                (notice or _warn)(message)
        elif variable is not None and variable.value:
            if switched(variable, text) and not switched(
                table.get(variable.yields_to), environ.get(variable.yields_to, "")
            ):
                yield variable.key, variable.value, name
        elif variable is not None:
            yield variable.key, text, name
        elif name in by_name:
            yield by_name[name], text, name
        elif name.startswith(PREFIX):
            near = difflib.get_close_matches(name, [*by_name, *table], 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"{name} is not a variable of MetaBonk: {hint}"
                "`metabonk config --env` lists them all; unset it to go on"
            )


def switched(variable: Variable | None, text: str) -> bool:
    """Whether a switch is on. Raises ConfigError for text that is neither true nor false."""
    word = text.strip().lower()
    if variable is not None and word not in _SWITCHES:
        raise ConfigError(f"{variable.name} = {text!r}: give 1 or 0 ({variable.help.rstrip('.')})")
    return _SWITCHES.get(word, False)


def _check_together(config: Config) -> None:
    ppo, world, game = config.ppo, config.world, config.game
    if ppo.burn_in >= ppo.horizon:
        raise ConfigError(
            f"ppo.burn_in = {ppo.burn_in}: must be below ppo.horizon = {ppo.horizon}, "
            "else no step is left to learn from"
        )
    if ppo.sequence and ppo.horizon % ppo.sequence:
        raise ConfigError(
            f"ppo.sequence = {ppo.sequence}: must divide ppo.horizon = {ppo.horizon}, "
            "so that every step belongs to one sequence"
        )
    if world.burn_in >= world.sequence:
        raise ConfigError(
            f"world.burn_in = {world.burn_in}: must be below world.sequence = {world.sequence}, "
            "else no step is left to learn from or to dream from"
        )
    if min(game.pixels) < 0 or (min(game.pixels) == 0) != (max(game.pixels) == 0):
        raise ConfigError(
            f"game.pixels = {as_text(game.pixels)}: give HEIGHTxWIDTH, or 0x0 for none"
        )


def _check_ports(config: Config, environ: Mapping[str, str]) -> None:
    """BonkLink and the cognitive server have the same port unless somebody says otherwise."""
    game, cognition = config.game, config.cognition
    name, url = "METABONK_COGNITIVE_SERVER_URL", cognition.server
    asked = cognition.enabled or name in environ
    if game.name != "bonklink" or game.use_pipe or not asked or not url.startswith("tcp://"):
        return
    try:
        address = urlsplit(url)
        host, port = address.hostname or "", address.port or _SERVER_PORT
    except ValueError:
        return  # who asks the server says what is wrong with its address
    near = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "*"}
    ours = game.host.strip("[]").lower()
    if port == game.port and (host == ours or {host, ours} <= near):
        raise ConfigError(
            f"game.port = {game.port}: BonkLink's game and the cognitive server ({name} = "
            f"{url}) cannot both be there: give one of them another port "
            "(METABONK_BONKLINK_PORT, or the server's --zmq-port and its variable)"
        )


def _only(environ: Mapping[str, str], key: str) -> dict[str, str]:
    """The variables that set `key`, under either of its names."""
    names = {variable.name for variable, sets in variables() if sets == key}
    return {name: environ[name] for name in names & environ.keys()}


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # TOML forbids it bare


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)

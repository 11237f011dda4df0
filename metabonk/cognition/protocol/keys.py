"""Keys of agents and brokers on different machines: made, kept in files, bound to names.

Knows CURVE (RFC 26, Curve25519) and its files; does not know sockets' lives or messages. Every end
has a key pair. The secret half stays on its machine in a file that only its owner reads; the broker
knows each agent's public half and the names that go with it, the agent knows the broker's.

    metabonk keys new broker          writes broker.key (secret) and broker.pub
    metabonk keys new omega-0         the same on or for the agent's machine
    allow.toml                        [agents]
                                      "omega-0" = "the text in omega-0.pub"
                                      "omega-*" = ["one key", "another"]
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from metabonk import files
from metabonk.errors import ConfigError

PUBLIC, SECRET = ".pub", ".key"
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}\Z")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class KeyPair:
    """Both halves in Z85, 40 characters each. Not shown when printed."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Allowed:
    """Which public key may use which names. patterns: of agents' names, `*` for any end, by key."""

    patterns: Mapping[str, Sequence[str]]

    def knows(self, key: str) -> bool:
        """Whether the key may connect at all."""
        return key in self.patterns

    def may(self, key: str, agent: str) -> bool:
        """Whether the key may use this name."""
        return any(fnmatch.fnmatchcase(agent, p) for p in self.patterns.get(key, ()))


def new(name: str, folder: Path | str = ".") -> tuple[Path, Path]:
    """Makes a key pair: the secret file, which only its owner can read, and the public one.

    Raises ConfigError for a name that is none or has keys already, and where libzmq has no CURVE.
    """
    if not _NAME.match(name):
        raise ConfigError(f"name: {name!r}; wanted letters, digits and ._:@- (an agent's name)")
    if not zmq.has("curve"):
        raise ConfigError("this libzmq was built without CURVE: install pyzmq from its wheels")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    secret, public = folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"
    for path in (secret, public):
        if path.exists():
            raise ConfigError(f"{path}: there is a key already; delete it or take another name")
    made_public, made_secret = (half.decode() for half in zmq.curve_keypair())
    text = f"# MetaBonk key of {name}: secret, stays on its machine\n{made_public}\n{made_secret}\n"
    files.create(secret, text.encode("ascii"), 0o600)
    files.replace(public, f"{made_public}\n".encode())
    return secret, public


def read_pair(path: Path | str) -> KeyPair:
    """A secret file's keys. Raises ConfigError if others may read it or it is none, OSError."""
    path = Path(path)
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ConfigError(f"{path}: others can read this secret key; chmod 600 {path}")
    lines = _lines(path)
    if len(lines) != 2 or not all(map(_Z85.match, lines)):
        raise ConfigError(f"{path}: not a secret key; `metabonk keys new NAME` makes one")
    pair = KeyPair(*lines)
    if zmq.curve_public(pair.secret.encode()).decode() != pair.public:
        raise ConfigError(f"{path}: its halves do not belong together; make a new key")
    return pair


def read_public(path: Path | str) -> str:
    """A public file's key. Raises ConfigError, OSError."""
    lines = _lines(Path(path))
    if len(lines) != 1 or not _Z85.match(lines[0]):
        raise ConfigError(f"{path}: not a public key; give the .pub file of a key")
    return lines[0]


def read_allowed(path: Path | str) -> Allowed:
    """The list of agents (TOML, see above). Raises ConfigError that says what is wrong, OSError."""
    path = Path(path)
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    agents = table.pop("agents", None)
    if table or not isinstance(agents, dict) or not agents:
        raise ConfigError(f'{path}: wanted one table [agents] of lines "NAME" = "PUBLIC KEY"')
    patterns: dict[str, list[str]] = {}
    for name, value in agents.items():
        for key in value if isinstance(value, list) else [value]:
            if not isinstance(key, str) or not _Z85.match(key):
                raise ConfigError(
                    f"{path}: agents.{name}: not a public key; wanted the 40 characters of a .pub"
                )
            patterns.setdefault(key, []).append(name)
    return Allowed(patterns)


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in _text(path).splitlines())
    # A comment has a space after its sign: a key may begin with that sign.
    return [line for line in lines if line and not line.startswith("# ")]


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: more than {_MOST_BYTES:,} bytes, not a file of keys")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text") from error

"""Sessions: directories that say how a game was played live, so that every tick can be explained.

Knows what lies in one: `session.json` (how it was set up), the ledger and the inputs
(metabonk/play/ledger.py), `artifacts/` with a copy of every policy that decided, and what a proof
adds. Does not know loops or games beyond their names.

A session is self-contained: it can be moved, and what it was played with may be gone.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

import metabonk
from metabonk import artifact, files
from metabonk.errors import ConfigError, CorruptError

CARD = "session.json"
FORMAT = 1
ARTIFACTS = "artifacts"
FOLDER = "live"  # of a run: where its sessions are kept
_PLACE = re.compile(r"(?P<run>.+):(?P<tick>\d+)\Z")


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a session was set up.

    game: what was played; `arena` can be played again from its inputs. seeds: one per agent.
    level: of the arena, as plain data. frames: height and width, 0 for none. policy: what decided,
    for people. artifact: hash of the compiled policy at the start, empty for one that decided on a
    thread of Python. loop: the loop's settings. machine: where.
    """

    game: str
    hz: float
    seeds: tuple[int, ...]
    frames: tuple[int, int]
    policy: str
    artifact: str
    loop: dict[str, Any]
    machine: dict[str, Any]
    level: dict[str, Any] = {}
    created: str = ""
    version: str = metabonk.__version__
    format: int = FORMAT


class Session:
    """One session's directory. setup: what `session.json` says."""

    def __init__(self, directory: Path, setup: Setup) -> None:
        self.directory = directory
        self.setup = setup

    @classmethod
    def create(cls, directory: Path, setup: Setup) -> Session:
        """Makes the directory. Raises FileExistsError if it holds a session already."""
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / CARD).exists():
            raise FileExistsError(f"{directory} already holds a session: choose another directory")
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        setup = msgspec.structs.replace(setup, created=created)
        text = msgspec.json.format(msgspec.json.encode(setup), indent=2) + b"\n"
        files.replace(directory / CARD, text)
        return cls(directory, setup)

    @classmethod
    def open(cls, directory: Path) -> Session:
        """Reads a session's card. Raises FileNotFoundError or CorruptError."""
        try:
            raw = (directory / CARD).read_bytes()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{directory} holds no session: it has no {CARD}") from error
        try:
            setup = msgspec.json.decode(raw, type=Setup)
        except msgspec.MsgspecError as error:
            raise CorruptError(f"{directory / CARD} is damaged: {error}") from error
        if setup.format > FORMAT:
            raise CorruptError(
                f"{directory / CARD} has format {setup.format}, this version reads up to {FORMAT}: "
                f"update metabonk (it was written by {setup.version})"
            )
        return cls(directory, setup)

    def keep_artifact(self, path: Path) -> str:
        """Copies a policy's artifact into the session; returns its hash."""
        found = artifact.load(path, verify=False)
        to = self.directory / ARTIFACTS / found.hash
        if not to.exists():
            sibling = to.with_name(f".{to.name}.partial")
            shutil.rmtree(sibling, ignore_errors=True)
            shutil.copytree(path, sibling)
            sibling.rename(to)
        return found.hash

    def artifact_path(self, digest: str) -> Path:
        """Where the policy of that hash lies. Raises FileNotFoundError if it was not kept."""
        path = self.directory / ARTIFACTS / digest
        if not path.is_dir():
            raise FileNotFoundError(f"{self.directory} has no policy {digest[:12]}: restore {path}")
        return path


def new_directory(beside: Path | None) -> Path:
    """Where the next session goes: in the run that the policy is from, else under runs/."""
    base = Path("runs") / FOLDER if beside is None else beside / FOLDER
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path, number = base / stamp, 1
    while path.exists():
        number += 1
        path = base / f"{stamp}-{number}"
    return path


def parse_place(text: str) -> tuple[Path, int] | None:
    """Directory and tick of `RUN:TICK`; None for text of another form."""
    match = _PLACE.match(text)
    return None if match is None else (Path(match["run"]), int(match["tick"]))


def find(run: Path) -> Session:
    """The session in a directory; of a run, its newest. Raises FileNotFoundError."""
    if (run / CARD).exists():
        return Session.open(run)
    sessions = sorted((run / FOLDER).glob(f"*/{CARD}"), key=lambda path: path.stat().st_mtime)
    if not sessions:
        raise FileNotFoundError(
            f"{run} holds no session: `metabonk play --live` or `--proof` makes one"
        )
    return Session.open(sessions[-1].parent)


def place(text: str) -> tuple[Session, int]:
    """Session and tick of `RUN:TICK`. Raises ConfigError for text of another form."""
    found = parse_place(text)
    if found is None:
        raise ConfigError(f"{text}: write it as RUN:TICK, e.g. runs/long:1200")
    return find(found[0]), found[1]

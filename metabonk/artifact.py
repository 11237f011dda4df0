"""Artifacts: directories of tensors with a card that says what they are and proves it.

Knows safetensors, hashes and how to write so that a kill or a full disk leaves no half artifact.
Does not know what the tensors mean (networks, optimisers, evaluations) and never runs what it
loads: safetensors and JSON only, no pickles.

Layout: `<directory>/card.json` and the files that it lists with their SHA-256. The artifact's hash
covers the card except the moment of writing and the certificates (measurements of an artifact on
some machine, added later), so the same content has the same hash wherever it was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

import metabonk
from metabonk import files as disk
from metabonk.errors import CorruptError

CARD = "card.json"
FORMAT = 1
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")

Array = npt.NDArray[Any]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and, in the same row, what it has to be compared with."""

    value: float
    baselines: dict[str, float] = {}


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What a file of the artifact must be. sha256: hexadecimal; size: bytes."""

    sha256: str
    size: int


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an artifact is.

    kind: what wrote it (`checkpoint`, `train`, `eval`, ...). version: of the package. parents:
    hashes of the artifacts it was made from. data: hash of the data manifest, empty for none.
    details: the kind's own fields, plain JSON. certificates: measurements that the hash excludes.
    """

    kind: str
    seed: int
    format: int = FORMAT
    version: str = metabonk.__version__
    created: str = ""  # UTC, ISO 8601
    parents: tuple[str, ...] = ()
    data: str = ""
    metrics: dict[str, Measured] = {}
    details: dict[str, Any] = {}
    files: dict[str, FileEntry] = {}
    hash: str = ""
    certificates: list[dict[str, Any]] = []

    def digest(self) -> str:
        """SHA-256, hexadecimal, of everything but `created`, `hash` and `certificates`."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("created", "hash", "certificates"):
            del content[name]
        return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A verified artifact on disk."""

    path: Path
    card: Card

    @property
    def hash(self) -> str:
        return self.card.hash

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises CorruptError if they are not the ones that the card lists."""
        entry = self.card.files.get(name)
        if entry is None:
            raise CorruptError(
                f"{self.path} has no file {name!r}: it has {sorted(self.card.files)}"
            )
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise CorruptError(f"{self.path / name} is missing: {_REMEDY}") from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CorruptError(f"{self.path / name} is damaged (its SHA-256 differs): {_REMEDY}")
        return data

    def tensors(self, name: str) -> dict[str, Array]:
        """The arrays of a safetensors file. Raises CorruptError as `read` does."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return dict(load(self.read(name)))
        except SafetensorError as error:
            raise CorruptError(f"{self.path / name} is not a safetensors file: {error}") from error

    def verify(self) -> None:
        """Reads every file against its hash. Raises CorruptError naming the first bad one."""
        for name in self.card.files:
            self.read(name)


_REMEDY = "restore it from a copy, or use an artifact written before it"


def write(
    path: Path | str,
    *,
    kind: str,
    seed: int,
    files: Mapping[str, Mapping[str, Array] | bytes],
    parents: Sequence[str] = (),
    data: str = "",
    metrics: Mapping[str, Measured] | None = None,
    details: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Artifact:
    """Writes an artifact so that `path` either holds all of it or what it held before.

    files: by name, arrays (stored as safetensors) or bytes. Everything is flushed to the disk
    before the directory takes its name. Raises FileExistsError if `path` exists and `replace` is
    False, OSError (disk full, no permission) with nothing left behind.
    """
    path = Path(path)
    if path.exists() and not replace:
        raise FileExistsError(f"{path} already holds an artifact: choose another directory")
    card = Card(
        kind=kind,
        seed=seed,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        parents=tuple(parents),
        data=data,
        metrics=dict(metrics or {}),
        details=dict(details or {}),
    )
    with _sibling(path) as sibling:
        entries = {
            name: _write_file(sibling / name, _encoded(name, content))
            for name, content in sorted(files.items())
        }
        card = msgspec.structs.replace(card, files=entries)
        card = msgspec.structs.replace(card, hash=card.digest())
        _write_card(sibling, card)
        _take_place(sibling, path)
    return Artifact(path, card)


def load(path: Path | str, *, kind: str | None = None, verify: bool = True) -> Artifact:
    """Opens an artifact and checks its card and, unless told otherwise, every file.

    Raises CorruptError naming the file and what to do, FileNotFoundError if there is none, and
    CorruptError if it is of another kind than `kind`.
    """
    path = Path(path)
    try:
        raw = (path / CARD).read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} holds no artifact: it has no {CARD}") from error
    try:
        card = msgspec.json.decode(raw, type=Card)
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{path / CARD} is damaged ({error}): {_REMEDY}") from error
    if card.format > FORMAT:
        raise CorruptError(
            f"{path} has format {card.format}, this version reads up to {FORMAT}: "
            f"update metabonk (it was written by {card.version})"
        )
    if card.digest() != card.hash:
        raise CorruptError(f"{path / CARD} is damaged (its own hash differs): {_REMEDY}")
    if kind is not None and card.kind != kind:
        raise CorruptError(f"{path} is an artifact of kind {card.kind!r}, not {kind!r}")
    artifact = Artifact(path, card)
    if verify:
        artifact.verify()
    return artifact


def certify(artifact: Artifact, certificate: Mapping[str, Any]) -> Artifact:
    """Adds a certificate to the card on disk; the artifact's hash stays what it was."""
    certificates = [*artifact.card.certificates, dict(certificate)]
    card = msgspec.structs.replace(artifact.card, certificates=certificates)
    _write_card(artifact.path, card)
    return Artifact(artifact.path, card)


def sweep(directory: Path | str) -> list[Path]:
    """Clears what killed writers left in `directory`; returns the paths removed or put back.

    Call it only where no other process is writing. An artifact that was moved aside for a
    replacement which never arrived is put back.
    """
    touched: list[Path] = []
    directory = Path(directory)
    for aside in sorted(directory.glob(".*.aside-*")):
        home = directory / aside.name[1:].rsplit(".aside-", 1)[0]
        if home.exists():
            shutil.rmtree(aside)
        else:
            os.rename(aside, home)
        touched.append(aside)
    for partial in sorted(directory.glob(".*.partial-*")):
        shutil.rmtree(partial)
        touched.append(partial)
    return touched


def _encoded(name: str, content: Mapping[str, Array] | bytes) -> bytes:
    if not _FILE_NAME.match(name) or name == CARD:
        raise ValueError(f"file name {name!r}: use letters, digits, '.', '_' and '-', not {CARD}")
    if isinstance(content, bytes):
        return content
    from safetensors.numpy import save

    return bytes(save({key: np.asarray(array, order="C") for key, array in content.items()}))


def _write_file(path: Path, data: bytes) -> FileEntry:
    disk.write(path, data)
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def _write_card(directory: Path, card: Card) -> None:
    text = msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"
    disk.replace(directory / CARD, text)


@contextlib.contextmanager
def _sibling(path: Path) -> Iterator[Path]:
    """A fresh directory beside `path`; whatever is left of it at the end is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sibling = path.parent / f".{path.name}.partial-{uuid.uuid4().hex[:8]}"
    sibling.mkdir()
    try:
        yield sibling
    finally:
        if sibling.exists():
            shutil.rmtree(sibling)


def _take_place(sibling: Path, path: Path) -> None:
    aside = path.parent / f".{path.name}.aside-{uuid.uuid4().hex[:8]}"
    if path.exists():
        os.rename(path, aside)
    os.rename(sibling, path)
    disk.sync(path.parent)
    if aside.exists():
        shutil.rmtree(aside)

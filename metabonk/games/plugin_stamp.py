"""What built plugins were built from, kept beside them, so that nothing is built twice.

Two builds of the same sources differ (mono's compiler writes a new identity and time into each),
so that to build again would replace what is installed by its equal. Knows files and their digests;
does not know a compiler.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from metabonk import files

NAME = ".built-from.json"


def digest(words: Iterable[str], named: Mapping[str, Path]) -> str:
    """Of everything that a build depends on. words: the compiler, its version and options. named:
    sources and references by names that are the same wherever their folders lie."""
    whole = hashlib.sha256()
    for word in words:
        whole.update(json.dumps(word).encode())
    for name, path in sorted(named.items()):
        whole.update(json.dumps([name, _of(path)]).encode())
    return whole.hexdigest()


def current(out: Path, made_from: str, names: Iterable[str]) -> bool:
    """Whether `out` has what a build from the same left there, and nobody has changed it since."""
    try:
        said = json.loads((out / NAME).read_text("utf-8"))
        return said["from"] == made_from and all(
            said["made"].get(name) == _of(out / name) for name in names
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # there is none, or none of ours: built anew


def write(out: Path, made_from: str, names: Iterable[str]) -> None:
    said = {"from": made_from, "made": {name: _of(out / name) for name in names}}
    files.replace(out / NAME, (json.dumps(said, indent=1) + "\n").encode())


def _of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

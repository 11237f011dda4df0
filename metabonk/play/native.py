"""Where the C face of compiled policies lies: for plugins that run one inside a game's process.

    where="python -m metabonk.play.native"
    cc plugin.c -I"$($where include)" -L"$($where lib)" -lmetabonk_policy

Knows where the package was installed; how the library is used is said in its header,
`metabonk/policy.h`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from metabonk import _core

LIBRARY = "libmetabonk_policy.so"
HEADER = "metabonk/policy.h"


def include_dir() -> Path:
    """The directory to look in for `#include <metabonk/policy.h>`.

    Raises FileNotFoundError if the package was installed without it.
    """
    return _installed("include", HEADER)


def library_dir() -> Path:
    """The directory that holds libmetabonk_policy.so.

    Raises FileNotFoundError if the package was installed without it.
    """
    return _installed("lib", LIBRARY)


def _installed(directory: str, name: str) -> Path:
    """Beside the native core: an editable install keeps that apart from the Python files."""
    assert _core.__file__ is not None
    found = Path(_core.__file__).resolve().parent / directory
    if not (found / name).is_file():
        raise FileNotFoundError(
            f"{found / name} is missing: install the package again, or run ./scripts/build"
        )
    return found


def main(arguments: list[str]) -> None:
    """Prints one of the two directories."""
    found = {"include": include_dir, "lib": library_dir}
    if len(arguments) != 1 or arguments[0] not in found:
        raise SystemExit("usage: python -m metabonk.play.native include|lib")
    sys.stdout.write(f"{found[arguments[0]]()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

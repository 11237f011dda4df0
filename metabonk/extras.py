"""Extras: what the package can use besides what it needs, and how that is installed here.

Knows the installed package's own requirements and whether it runs from a checkout; nothing else of
the package, and never installs anything.
"""

from __future__ import annotations

import platform
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]  # of a checkout; else a folder of installed packages
INSTALLER = "scripts/install"
ENVIRONMENT = ".venv"  # that the scripts of a checkout make

NAME = re.compile(r"[A-Za-z0-9._-]+")
EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)")
BOUND = re.compile(r"(>=|<=|==|!=|~=|<|>)\s*([0-9][^\s,;)'\"]*)")
MARKER = re.compile(r"(sys_platform|platform_machine)\s*==\s*['\"]([^'\"]+)")
RELEASE = re.compile(r"v?(\d+(?:\.\d+)*)(.*)")
EARLIER = re.compile(r"[._-]?(a|b|c|rc|alpha|beta|pre|preview|dev)[._-]?\d*")  # than the release


class Requirement(NamedTuple):
    """One package of an extra. least: its lowest version that will do, empty for any."""

    package: str
    least: str

    def met_by(self, version: str) -> bool:
        """Whether an installed version will do."""
        return not self.least or _order(version) >= _order(self.least)


def install(extra: str) -> str:
    """The command that installs an extra where this package runs.

    In a checkout it is one that keeps the native core as it was built and obeys constraints.txt;
    there pip would look for the package on an index, and a system's own pip refuses.
    """
    if not (ROOT / INSTALLER).is_file():
        return f"pip install 'metabonk[{extra}]'"
    if Path(sys.prefix).resolve() == (ROOT / ENVIRONMENT).resolve():
        return f"./{INSTALLER} {extra}"
    words = (sys.executable, "-m", "pip", "install", "-c", f"{ROOT}/constraints.txt")
    return shlex.join([*words, "--editable", f"{ROOT}[{extra}]"])


def declared() -> dict[str, list[Requirement]]:
    """What each extra takes on this platform, as the installed package says. Raises
    importlib.metadata.PackageNotFoundError if it is not installed."""
    import importlib.metadata

    found: dict[str, list[Requirement]] = {}
    for line in importlib.metadata.requires("metabonk") or []:
        what, _, marker = line.partition(";")
        name, extra = NAME.match(what), EXTRA.search(marker)
        if name and extra and _is_for_here(marker):
            found.setdefault(extra[1], []).append(Requirement(name[0], _least(what)))
    return found


def _is_for_here(marker: str) -> bool:
    here = {"sys_platform": sys.platform, "platform_machine": platform.machine()}
    return all(here[name] == value for name, value in MARKER.findall(marker))


def _least(requirement: str) -> str:
    return next((version for sign, version in BOUND.findall(requirement) if sign == ">="), "")


def _order(version: str) -> tuple[tuple[int, ...], bool]:
    """A key that sorts versions as PEP 440 does, but for which release of several earlier ones, and
    which of several later ones, came first: no lower bound here tells these apart."""
    found = RELEASE.match(version)
    if found is None:
        return (), False
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()  # 2.0 is 2
    return tuple(numbers), EARLIER.match(found[2]) is None

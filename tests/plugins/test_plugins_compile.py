"""The plugins compile against our stand-ins of Unity and the game, with mono's references and with
.NET's own, and every method of theirs can be run on both."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from csharp import PLUGINS, Peer, compile_cs, compile_for_dotnet

ROOMS = ("Core", "Game", "BonkLink", "ResearchPlugin")
NAMES = {"Core": "Metabonk.Core", "Game": "Metabonk.Game"}


def test_every_method_can_be_run(peer: Peer, plugins: dict[str, Path]) -> None:
    out = peer.run("prepare", *plugins.values())
    assert int(out) > 500


def test_they_compile_with_the_references_of_dotnet(tmp_path: Path) -> None:
    """What mono's libraries have and .NET's lack is an error here."""
    made: list[Path] = []
    for room in ("Stubs", *ROOMS):
        out = tmp_path / f"{NAMES.get(room, room)}.dll"
        compile_for_dotnet(out, list((PLUGINS / room).glob("*.cs")), made)
        made.append(out)


def test_core_has_no_unity_in_it() -> None:
    for path in (PLUGINS / "Core").glob("*.cs"):
        found = re.findall(r"^using (\w+)", path.read_text(), re.MULTILINE)
        assert set(found) <= {"System", "Metabonk"}, path.name


def test_no_assembly_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "plugins"], capture_output=True, text=True, cwd=PLUGINS.parent
    )
    if listed.returncode != 0:
        pytest.skip("needs the repository")
    assert not [name for name in listed.stdout.split() if name.endswith((".dll", ".exe"))]


def test_the_stubs_are_refused_where_a_member_is_missing(
    plugins: dict[str, Path], tmp_path: Path
) -> None:
    """The control: a plugin that wants something of the game that is not there does not compile."""
    source = tmp_path / "Wrong.cs"
    source.write_text("class Wrong { object x = MyPlayerr.Instance; }")
    with pytest.raises(AssertionError, match="MyPlayerr"):
        compile_cs(tmp_path / "Wrong.dll", [source], list(plugins.values()))

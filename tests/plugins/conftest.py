"""The C# of plugins/, compiled once and run on mono and on .NET: as peers of our own ends.

`runtime` runs a test on each that is there. Absent tools skip; ./scripts/test names them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from csharp import PLUGINS, Peer, compile_cs, runtime_command
from rehearsal import Rehearsal


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Metabonk.Core.dll."""
    out = tmp_path_factory.mktemp("core") / "Metabonk.Core.dll"
    return compile_cs(out, list((PLUGINS / "Core").glob("*.cs")), [], "-unsafe")


@pytest.fixture(scope="session")
def peer_program(core: Path) -> Path:
    """Peer.exe beside Core."""
    here = Path(__file__).parent
    return compile_cs(core.with_name("Peer.exe"), list(here.glob("Peer*.cs")), [core], "-unsafe")


@pytest.fixture(scope="session")
def plugins(core: Path) -> dict[str, Path]:
    """The stand-ins and the plugins, compiled beside Core; by the names of their folders."""
    made = {"Core": core}
    stubs = compile_cs(core.with_name("Stubs.dll"), list((PLUGINS / "Stubs").glob("*.cs")), [])
    made["Stubs"] = stubs
    for room in ("Game", "BonkLink", "ResearchPlugin"):
        name = "Metabonk.Game.dll" if room == "Game" else f"{room}.dll"
        sources = list((PLUGINS / room).glob("*.cs"))
        made[room] = compile_cs(core.with_name(name), sources, list(made.values()), "-unsafe")
    return made


@pytest.fixture(params=["mono", "dotnet"])
def runtime(request: pytest.FixtureRequest) -> list[str | Path]:
    """How a compiled program is started."""
    return runtime_command(request.param)


@pytest.fixture
def peer(runtime: list[str | Path], peer_program: Path) -> Iterator[Peer]:
    made = Peer(runtime, peer_program)
    yield made
    made.close()


@pytest.fixture(scope="session")
def rehearsal_program(plugins: dict[str, Path]) -> Path:
    sources = list(Path(__file__).parent.glob("Rehearsal*.cs"))
    out = plugins["Core"].with_name("Rehearsal.exe")
    return compile_cs(out, sources, [*plugins.values(), Path("System.Core.dll")])


@pytest.fixture
def bonklink(
    runtime: list[str | Path], rehearsal_program: Path, tmp_path: Path
) -> Iterator[Callable[..., Rehearsal]]:
    """Starts a game with BonkLink in it; settings: more of its file; absent: types it lacks."""
    started: list[Rehearsal] = []

    def start(settings: str = "", absent: Sequence[str] = ()) -> Rehearsal:
        base = "[Link]\nPort = 0\n[Ring]\nEnabled = false\n[Capture]\nWidth = 32\nHeight = 24\n"
        (tmp_path / "com.metabonk.bonklink.cfg").write_text(base + settings)
        command = [*runtime, rehearsal_program]
        started.append(Rehearsal(command, "bonklink", tmp_path, absent=absent))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.fixture
def shm_name() -> Iterator[str]:
    made = f"plugins-{uuid.uuid4().hex[:12]}"
    yield made
    for path in Path("/dev/shm").iterdir():
        if made in path.name:
            path.unlink()

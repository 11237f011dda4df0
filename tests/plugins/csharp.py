"""C# in tests: mono's compiler, the two runtimes, and Core as another process (Peer.cs)."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PLUGINS = ROOT / "plugins"
HANG = 30.0  # seconds that no test of ours takes
STRICT = ["-langversion:7", "-warnaserror", "-warn:4", "-optimize"]


def compiler() -> str:
    found = shutil.which("mcs")
    if found is None:
        pytest.skip("needs mono's C# compiler: apt-get install mono-mcs mono-runtime")
    return found


def dotnet_folder() -> Path | None:
    """Where the .NET runtime from PyPI (dotnetcore2) has its `dotnet`, or None."""
    import importlib.util

    spec = importlib.util.find_spec("dotnetcore2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "bin"
    return folder if (folder / "dotnet").is_file() else None


def run(command: list[str | Path], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=HANG, **options
    )  # type: ignore[call-overload,no-any-return]


def compile_cs(out: Path, sources: list[Path], references: list[Path], *flags: str) -> Path:
    """Compiles with mono's compiler, with every warning an error."""
    kind = "-target:library" if out.suffix == ".dll" else "-target:exe"
    made = run(
        [
            *(compiler(), kind, *STRICT, *flags, f"-out:{out}"),
            *(f"-r:{reference}" for reference in references),
            *sorted(sources),
        ]
    )
    assert made.returncode == 0, made.stdout + made.stderr
    if out.suffix == ".exe":
        config = {
            "runtimeOptions": {
                "framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"},
                "configProperties": {"System.Globalization.Invariant": True},
            }
        }
        out.with_suffix(".runtimeconfig.json").write_text(json.dumps(config))
    return out


def compile_for_dotnet(out: Path, sources: list[Path], references: list[Path]) -> None:
    """Compiles a library with mono's compiler, against .NET's own assemblies."""
    folder = dotnet_folder()
    if folder is None:
        pytest.skip("needs .NET from PyPI: pip install dotnetcore2")
    facades = {"mscorlib", "netstandard", "System", "System.Core", "WindowsBase"}
    everything = sorted(folder.glob("shared/Microsoft.NETCore.App/*/*.dll"))
    managed = [p for p in everything if p.stem not in facades and "VisualBasic" not in p.stem]
    # 1702: two references name the same assembly, which .NET's always do.
    flags = ["-nostdlib", "-noconfig", "-nowarn:1702,1701", "-unsafe", "-langversion:7"]
    given = [f"-r:{path}" for path in (*managed, *references)]
    done = run([compiler(), "-target:library", *flags, *given, f"-out:{out}", *sorted(sources)])
    assert done.returncode == 0, done.stdout + done.stderr


def runtime_command(name: str) -> list[str | Path]:
    """How a compiled program is started on "mono" or "dotnet"."""
    if name == "mono":
        mono = shutil.which("mono")
        if mono is None:
            pytest.skip("needs mono: apt-get install mono-mcs mono-runtime")
        return [mono]
    folder = dotnet_folder()
    if folder is None:
        pytest.skip("needs .NET from PyPI: pip install dotnetcore2")
    program = folder / "dotnet"
    if not os.access(program, os.X_OK):  # the wheel carries no permissions
        program.chmod(0o755)
    # Its debugger's pipe stays behind in the temporary folder when the program is killed.
    return ["env", "COMPlus_EnableDiagnostics=0", program]


def line(process: subprocess.Popen[str]) -> str:
    """The next one that a peer writes; empty if it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> str:
    """Tells a peer to stop: what it writes last."""
    out, err = process.communicate("stop\n", timeout=HANG)
    assert process.returncode == 0, err
    return out.strip()


class Peer:
    """Peer.exe on one runtime."""

    def __init__(self, runtime: list[str | Path], program: Path) -> None:
        self.command = [*runtime, program]
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str | Path, data: bytes = b"") -> bytes:
        """What it writes to standard output, given `data`."""
        done = subprocess.run(
            [str(part) for part in (*self.command, *arguments)],
            input=data,
            capture_output=True,
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def fail(self, *arguments: str | Path) -> str:
        """What it writes to standard error as it refuses."""
        done = run([*self.command, *arguments])
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """A running one, with pipes; ended when the test is."""
        process = subprocess.Popen(
            [str(part) for part in (*self.command, *arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def transcode(self, kind: str, messages: list[bytes]) -> list[bytes | str]:
        """Each message read and written again by Core; the error's text where it refuses."""
        framed = b"".join(struct.pack("<i", len(m)) + m for m in messages)
        out = self.run("transcode", kind, data=framed)
        results: list[bytes | str] = []
        at = 0
        while at < len(out):
            (size,) = struct.unpack_from("<i", out, at)
            refused = size < 0
            if refused:
                at += 4
                (size,) = struct.unpack_from("<i", out, at)
            body = out[at + 4 : at + 4 + size]
            results.append(body.decode() if refused else body)
            at += 4 + size
        return results

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()

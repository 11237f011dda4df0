"""A plugin as it is shipped, in a game of our stand-ins (Rehearsal.cs), as another process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from csharp import HANG

from metabonk.link.bonklink import Client, Tick
from metabonk.records import Action

T = TypeVar("T")


def wait_for(what: Callable[[], T | None]) -> T:
    """The first value that is not None; fails when it takes as long as a hang."""
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        if (found := what()) is not None:
            return found
    raise AssertionError("nothing came")


class Rehearsal:
    """A running one."""

    def __init__(
        self,
        command: list[str | Path],
        kind: str,
        folder: Path,
        hz: int = 100,
        absent: Sequence[str] = (),
    ) -> None:
        """absent: types that this version of the game does not have."""
        self.folder = folder
        self.process = subprocess.Popen(
            [str(part) for part in (*command, kind, folder, hz, *absent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = self._until("ready")

    def _until(self, last: str) -> list[str]:
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:
            if line.strip() == last:
                return lines
            lines.append(line.strip())
        _, err = self.process.communicate()
        raise AssertionError("\n".join((*lines, err)))

    def do(self, command: str) -> list[str]:
        """What is printed while the command is obeyed."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._until("done " + command)

    def told(self, command: str) -> str:
        """The last line that is printed, but for the log's."""
        return [line for line in self.do(command) if not line.startswith("log ")][-1]

    def show(self) -> dict[str, float]:
        words = self.told("show").split()
        return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}

    @property
    def port(self) -> int:
        (line,) = [line for line in self.log if "listening on" in line]
        return int(line.rsplit(":", 1)[1])

    def stop(self) -> None:
        out, err = self.process.communicate("stop\n", timeout=HANG)
        assert self.process.returncode == 0, out + err
        assert out.strip().endswith("end")


def agent_of(game: Rehearsal, **options: object) -> Client:
    return Client(f"tcp://127.0.0.1:{game.port}", protocol="v2", **options)  # type: ignore[arg-type]


def until(agent: Client, fits: Callable[[Tick], bool], act: Action | None = None) -> Tick:
    """Plays until a tick fits."""

    def one() -> Tick | None:
        tick = agent.poll(1.0)
        if tick is None:
            return None
        if fits(tick):
            return tick
        if act is not None:
            agent.send(act)
        return None

    return wait_for(one)


def summaries(running: Rehearsal, command: str, word: str) -> dict[str, int]:
    """What a line of the log says of the link: name -> count."""

    def told() -> list[str] | None:
        return [line for line in running.do(command) if word in line] or None

    (line,) = wait_for(told)
    assert line.startswith("log info ")
    parts = line.split(": ", 1)[1].split(", ")
    return {name: int(count) for name, count in (part.rsplit(" ", 1) for part in parts)}

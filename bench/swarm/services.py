"""Processes of a swarm: started, waited for, killed without notice, started again.

Knows commands, signals, logs and how a server says over HTTP that it is ready; knows neither the
broker nor models. `close` leaves no process behind, and neither does a kill of who started them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metabonk.errors import LinkError

PATIENCE = 60.0  # seconds until a service that does not become ready is given up
LEAVE_SECONDS = 15.0  # for one that was asked to end
_LOOK_SECONDS = 0.01
_TAIL_BYTES = 2000


_LIBC = ctypes.CDLL(None)  # opened here: a forked child must not load anything
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Runs in the child: when the thread that started it is gone, however it went, it is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, timeout: float = 1.0) -> Callable[[], bool]:
    """Whether a GET of `url` is answered with 2xx, asked when called."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask() -> bool:
        try:
            with opener.open(url, timeout=timeout) as answer:
                return bool(200 <= answer.status < 300)
        except (urllib.error.URLError, OSError):
            return False

    return ask


def plain_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without METABONK_* names, one thread per library, and `more`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("METABONK_")}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(more or {})}


class Service:
    """One process that can be started again after it was killed.

    command: its words. log: a file that gets what it says, of all starts. ready: asked until it is
    True; None for one that needs no waiting.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], bool] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.starts = 0
        self._command = list(command)
        self._log = log
        self._ready = ready
        self._environment = plain_environment(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the running process; 0 where there is none."""
        return self._process.pid if self._process is not None and self.alive else 0

    def start(self, wait: bool = True) -> None:
        """Starts it. Raises LinkError with the end of its log if it ends or is never ready."""
        if self.alive:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, preexec_fn=_die_with_parent,
            )  # fmt: skip
        self.starts += 1
        if wait:
            self.wait_ready()

    def wait_ready(self, patience: float = PATIENCE) -> None:
        """Returns once it is ready. Raises LinkError as `start`."""
        end = time.monotonic() + patience
        while self._ready is not None and not self._ready():
            if not self.alive:
                raise LinkError(f"{self.name} ended while it started:\n{self.tail()}")
            if time.monotonic() > end:
                raise LinkError(f"{self.name} is not ready after {patience:.0f} s:\n{self.tail()}")
            time.sleep(_LOOK_SECONDS)

    def kill(self) -> int:
        """Ends it as a crash does (SIGKILL); returns since when nothing of it runs any more,
        CLOCK_MONOTONIC nanoseconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        return time.monotonic_ns()

    def stop(self, patience: float = LEAVE_SECONDS) -> int | None:
        """Asks it to end (SIGTERM), makes it end after `patience` seconds; its exit status, None
        where nothing ran or it had to be made to."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            self.ask_to_end()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return None
        return process.returncode

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting for what comes of it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, patience: float) -> int | None:
        """Its exit status once it ends by itself; None if it has not within `patience` seconds."""
        if self._process is None:
            return None
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def tail(self) -> str:
        """The end of its log."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def close(self) -> None:
        """Kills what still runs; safe to call twice."""
        self.kill()
        self._process = None

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def processor_seconds(pid: int) -> float:
    """What a process of this machine has used of processors, user and system; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """A process's resident memory; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

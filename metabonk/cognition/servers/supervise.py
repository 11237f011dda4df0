"""Keeps processes running: starts them, waits until they serve, restarts what fails, with back-off.

Knows processes, their logs and a url that says whether one serves; does not know what they are.
Several processes are one service: when one of them ends or hangs, all start again. What never came
up three times in a row is given up, with the last words of its log: trying again would not help.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urlsplit

from metabonk.cognition.backends.httpclient import BadReply, HttpClient, Unreachable
from metabonk.cognition.servers.vlm import Command
from metabonk.errors import BackendError

MOST_LOG = 64 << 20  # bytes, then it is put aside once
_TAIL = 4096  # bytes of a log that an error shows
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # opened here: a forked child must not load anything
What = Literal["starting", "ready", "ended", "unresponsive", "restarting", "stopped"]


@dataclass(frozen=True)
class Event:
    """Something that people should see. seconds: since the start of this try, or until the next."""

    what: What
    text: str
    seconds: float = 0.0
    restarts: int = 0


@dataclass(frozen=True)
class Patience:
    """Seconds: load, until it has to serve; look, between two looks at whether it still does;
    answer, for one look; grace, between asking to end and ending it; first_pause and longest_pause,
    before it is started again, doubled each time; calm, of serving after which that is forgotten.
    looks: failed ones in a row until it counts as gone. tries: without ever serving until it is
    given up."""

    load: float = 1200.0
    look: float = 5.0
    answer: float = 5.0
    looks: int = 3
    grace: float = 20.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    calm: float = 300.0
    tries: int = 3


class Supervisor:
    """Runs commands until it is told to stop. Use `run` once."""

    def __init__(
        self,
        commands: Sequence[Command],
        log: Path,
        *,
        key: str = "",
        patience: Patience | None = None,
        told: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._commands, self._log, self._key = list(commands), log, key
        self._patience = patience or Patience()
        self._told = told
        self._stop = asyncio.Event()
        self._running: list[asyncio.subprocess.Process] = []
        self.restarts = 0

    def stop(self) -> None:
        """Ends everything in order; `run` returns soon after."""
        self._stop.set()

    async def run(self) -> None:
        """Serves until `stop`. Raises BackendError for what never comes up."""
        pause, never = self._patience.first_pause, 0
        while not self._stop.is_set():
            served, why = await self._once()
            if self._stop.is_set():
                break
            never = 0 if served else never + 1
            if never >= self._patience.tries:
                raise BackendError(
                    f"{why}, {never} times without ever serving; {self._log} ends with:\n"
                    + self._last_words()
                )
            if served >= self._patience.calm:
                pause = self._patience.first_pause
            self.restarts += 1
            self._told(Event("restarting", f"{why}; again in {pause:g} s", pause, self.restarts))
            await self._sleep(pause)
            pause = min(2.0 * pause, self._patience.longest_pause)
        self._told(Event("stopped", "stopped", restarts=self.restarts))

    async def _once(self) -> tuple[float, str]:
        """One life: seconds that it served, 0.0 for never, and why it ended."""
        started = time.monotonic()
        names = ", ".join(command.name for command in self._commands)
        self._told(Event("starting", f"starting {names}", restarts=self.restarts))
        try:
            with self._open_log() as log:
                for command in self._commands:
                    self._running.append(await self._spawn(command, log))
            why = await self._until_ready(started)
            if why or self._stop.is_set():
                return 0.0, why
            ready = time.monotonic()
            self._told(Event("ready", "it serves", ready - started, self.restarts))
            why = await self._while_ready()
            return max(time.monotonic() - ready, 1e-9), why
        finally:
            await self._end()

    async def _until_ready(self, started: float) -> str:
        clients = [self._client(command) for command in self._commands]
        try:
            waiting = list(clients)
            while waiting and not self._stop.is_set():
                gone = self._ended()
                if gone:
                    self._told(Event("ended", gone, restarts=self.restarts))
                    return gone
                if time.monotonic() - started > self._patience.load:
                    return f"it did not serve within {self._patience.load:g} s"
                waiting = [pair for pair in waiting if not await self._serves(*pair)]
                if waiting:
                    await self._look_away(min(0.25, self._patience.look))
            return ""
        finally:
            for client, _ in clients:
                await client.close()

    async def _while_ready(self) -> str:
        """Looks at all of them: a model whose encoder hangs still says that it serves."""
        clients = [self._client(command) for command in self._commands]
        missed = [0] * len(clients)
        try:
            while not self._stop.is_set():
                await self._look_away(self._patience.look)
                gone = self._ended()
                if gone:
                    self._told(Event("ended", gone, restarts=self.restarts))
                    return gone
                served = await asyncio.gather(*(self._serves(*pair) for pair in clients))
                missed = [0 if ok else n + 1 for ok, n in zip(served, missed, strict=True)]
                for command, (_, path), count in zip(self._commands, clients, missed, strict=True):
                    if count >= self._patience.looks:
                        why = f"no answer of {command.name} at {path}, {count} times"
                        self._told(Event("unresponsive", why, restarts=self.restarts))
                        return why
            return "stopped"
        finally:
            for client, _ in clients:
                await client.close()

    async def _serves(self, client: HttpClient, path: str) -> bool:
        try:
            reply = await client.get(path, self._patience.answer)
        except (Unreachable, BadReply, TimeoutError):
            return False
        return reply.status == 200

    def _client(self, command: Command) -> tuple[HttpClient, str]:
        parts = urlsplit(command.ready)
        url, names = f"{parts.scheme}://{parts.netloc}", ("vlm.host", "vlm.key_file")
        return HttpClient(url, key=self._key, names=names), parts.path

    def _ended(self) -> str:
        for command, process in zip(self._commands, self._running, strict=True):
            if process.returncode is not None:
                return f"{command.name} ended ({_how(process.returncode)})"
        return ""

    async def _spawn(self, command: Command, log: IO[bytes]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command.words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
                preexec_fn=functools.partial(_end_with, os.getpid()),
            )
        except OSError as error:
            raise BackendError(f"{command.words[0]} cannot be run: {error}") from error

    async def _end(self) -> None:
        """Asks every process group to end, and ends what does not."""
        for process in self._running:
            _signal(process, signal.SIGTERM)
        waits = [asyncio.ensure_future(process.wait()) for process in self._running]
        if waits:
            _, late = await asyncio.wait(waits, timeout=self._patience.grace)
            for process in self._running:
                _signal(process, signal.SIGKILL)  # and what its group left behind
            if late:
                await asyncio.wait(late)
        self._running.clear()

    async def _look_away(self, seconds: float) -> None:
        """Until the next look, at most: an end of a process is noticed when it happens."""
        waits = [asyncio.ensure_future(process.wait()) for process in self._running]
        stop = asyncio.ensure_future(self._stop.wait())
        either = {*waits, stop}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in either:
                one.cancel()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def _open_log(self) -> IO[bytes]:
        """The log, for its owner alone: engines write down their settings, the key among them."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        fd = _open_private(self._log)
        if os.fstat(fd).st_size > MOST_LOG:
            os.close(fd)
            self._log.replace(self._log.with_name(self._log.name + ".1"))
            fd = _open_private(self._log)
        return os.fdopen(fd, "ab")

    def _last_words(self) -> str:
        """Without the key: engines write their settings into their logs, which only their owner
        reads; what is said here goes to terminals and to those who are asked for help."""
        begin = max(0, self._log.stat().st_size - _TAIL)
        with self._log.open("rb") as file:
            file.seek(begin)
            text = file.read().decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key, "(the key)")
        lines = text.splitlines()[bool(begin) :][-12:]  # the first one may be the end of a key
        return "\n".join(f"  {line[:200]}" for line in lines) or "  nothing"


def _open_private(path: Path) -> int:
    """A file to be added to, for its owner alone, also one that was there; a device stays as it
    is."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        with contextlib.suppress(PermissionError):  # somebody else's, who chose who reads it
            os.fchmod(fd, 0o600)
    return fd


def _end_with(parent: int) -> None:
    """Runs in the child: it is asked to end when the thread that started it is gone, however that
    went. A model would else keep its port and the GPU's memory after a kill of who watches it."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it was gone before
            os._exit(1)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}"

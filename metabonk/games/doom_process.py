"""A Doom worker seen from outside: starts it, talks to it, notices its death, cleans up after it.

Knows processes and sockets; does not know what the commands mean.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from metabonk.games import doom_worker

HANG_SECONDS = 60.0


class DoomProcess:
    """One worker in a process group of its own, with a folder of its own to write into."""

    def __init__(self, memory: int, spec: str) -> None:
        self._arguments = (memory, spec)
        self._folder = tempfile.mkdtemp(prefix="metabonk-doom-")
        ours, theirs = socket.socketpair()
        # -P: the worker's folder stays off its module path.
        command = [sys.executable, "-P", doom_worker.__file__, str(theirs.fileno()), str(memory)]
        with open(Path(self._folder, "log"), "wb") as log:
            self._process = subprocess.Popen(
                [*command, spec, self._folder],
                pass_fds=(theirs.fileno(), memory),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._instance: str | None = None
        self._complaint = ""
        self._sent = 0  # number of the newest command
        self.running = True
        self._finalizer = weakref.finalize(
            self, _clean, self._process, self._connection, self._folder, ""
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: bytes) -> None:
        """Sends a command; a dead worker is noticed by `done`."""
        self._sent = (self._sent + 1) % 2**32
        with self._whole():
            self._connection.send_bytes(self._sent.to_bytes(4, "little") + message)

    def done(self) -> bool:
        """Waits for the answer to the newest command; False if the worker died or hung, and then
        it is cleaned up.

        Answers that nobody waited for, after an interrupt or an error, are passed over.
        """
        if self.running and self._instance is None:
            hello = self._receive()
            if hello is not None:
                self._instance = hello.decode()
                self._rearm()
        newest = self._sent.to_bytes(4, "little")
        while self.running:
            if self._receive() == newest:
                return True
        self.close()
        return False

    def complaint(self) -> str:
        """The end of what a worker that died had written."""
        return self._complaint or "it wrote nothing"

    def restarted(self) -> DoomProcess:
        """Another worker for the same slot."""
        self.close()
        return DoomProcess(*self._arguments)

    def close(self) -> None:
        self.running = False
        log = Path(self._folder, "log")
        if log.is_file():
            self._complaint = log.read_text(errors="replace")[-400:].strip()
        self._finalizer()

    def _receive(self) -> bytes | None:
        ready = False
        with contextlib.suppress(OSError):
            ready = self._connection.poll(HANG_SECONDS)
        if ready:
            with self._whole():
                return self._connection.recv_bytes()
        self.running = False
        return None

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """A worker that died, or a message that an interrupt may have torn, ends the worker."""
        try:
            yield
        except (EOFError, OSError):
            self.running = False
        except BaseException:
            self.running = False
            raise

    def _rearm(self) -> None:
        """The finalizer must know the engine's id to remove its shared memory."""
        self._finalizer.detach()
        self._finalizer = weakref.finalize(
            self, _clean, self._process, self._connection, self._folder, self._instance or ""
        )


def _clean(
    process: subprocess.Popen[bytes], connection: Connection, folder: str, instance: str
) -> None:
    """Ends the worker and its engine, and removes what they leave behind."""
    connection.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2.0)  # a worker that lives closes its engine when the connection ends
    if process.returncode != 0:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the engine outlives a worker that was killed
        process.wait()
    if instance:
        for part in ("MQCtr", "MQDoom", "SM"):
            Path("/dev/shm", f"ViZDoom{part}{instance}").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)

"""One frame at a time from this process to another: how long until it is there.

Knows processes, clocks and shared counters; knows no transport. The frame's first bytes carry the
time at which it was about to be sent; the other process looks at the first and the last byte of
what it received and takes the time. Both read one monotonic clock. The next frame is sent only when
the other process waits again, so that nothing queues.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metabonk.errors import MetabonkError

Frame = npt.NDArray[np.uint8]
SHAPE = (360, 640, 3)
FRAMES = 150  # per round
WARM = 30
PAUSE = 0.0005  # seconds after which the receiver sleeps in its wait again
PATIENCE = 20.0  # seconds until a process that does not answer is given up
LEAVE_SECONDS = 3.0  # for the other process to let go of what it holds
_STAMP = 8


_numbers = itertools.count()


def own_name(start: str) -> str:
    """A name that nobody else on this machine uses now."""
    return f"{start}{os.getpid()}-{next(_numbers)}"


class Channel(Protocol):
    """A transport with two ends in two processes. It is made here and sent to the other process
    (pickled as an argument), where `open` is called once more."""

    def open(self, sends: bool) -> None:
        """Makes this end. The receiver's is made first."""

    def send(self, frame: Frame) -> None:
        """Copies the frame to where the receiver finds it."""

    def place(self, frame: Frame) -> Frame:
        """Copies the frame to where the receiver will find it, as a game that draws there does;
        returns that memory. Asked only of channels that can."""

    def publish(self) -> None:
        """Sends what `place` gave."""

    def receive(self) -> Frame:
        """Waits for the next frame, uint8 [H, W, C]; what was received before may be gone."""

    def leave(self) -> None:
        """Lets go of the receiver's end."""

    def close(self) -> None:
        """Lets go of the sender's end and of what both shared."""


class Exchange:
    """A meter of a channel: median microseconds from the sender to the receiver.

    make: the channel, from the context that its locks have to come from. in_place: frames are in
    the transport's memory before time is taken.
    """

    def __init__(self, make: Callable[[SpawnContext], Channel], *, in_place: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._in_place = in_place
        self._channel = make(context)
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_receive, args=(self._channel, other), daemon=True)
        self._process.start()
        other.close()
        self._frame = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
        self._last = int(self._frame.reshape(-1)[-1])
        self._hear()  # its end is open
        self._channel.open(sends=True)

    def prepare(self) -> None:
        self._round(WARM)

    def measure(self) -> float:
        return float(np.median(self._round(FRAMES))) / 1e3

    def close(self) -> None:
        if self._pipe.closed:
            return
        with contextlib.suppress(OSError):  # it is gone already
            self._pipe.send(False)
        self._process.join(LEAVE_SECONDS)
        if self._process.is_alive():  # it waits for a frame
            self._process.terminate()
            self._process.join()
        self._pipe.close()
        self._channel.close()

    def _round(self, count: int) -> list[int]:
        found = []
        for _ in range(count):
            self._pipe.send(True)  # wait for a frame now
            frame = self._channel.place(self._frame) if self._in_place else self._frame
            stamp = frame.reshape(-1)[:_STAMP].view(np.int64)
            time.sleep(PAUSE)
            stamp[0] = began = time.monotonic_ns()
            if self._in_place:
                self._channel.publish()
            else:
                self._channel.send(frame)
            arrived, sent, last = self._hear()
            if sent != began or last != self._last:
                raise MetabonkError("exchange: the frame that arrived is not the one that was sent")
            found.append(arrived - sent)
        return found

    def _hear(self) -> Any:
        if not self._pipe.poll(PATIENCE):
            raise MetabonkError(f"exchange: no answer within {PATIENCE:.0f} s")
        return self._pipe.recv()


def _receive(channel: Channel, pipe: Any) -> None:
    """The other process."""
    channel.open(sends=False)
    pipe.send(None)
    while _asked(pipe):
        frame = channel.receive()
        flat = frame.reshape(-1)
        last = int(flat[-1])
        arrived = time.monotonic_ns()
        sent = int.from_bytes(flat[:_STAMP].tobytes(), "little", signed=True)
        del frame, flat
        pipe.send((arrived, sent, last))
    channel.leave()


def _asked(pipe: Any) -> bool:
    """Whether another frame comes; not once the first process is gone."""
    try:
        return bool(pipe.recv())
    except EOFError:
        return False

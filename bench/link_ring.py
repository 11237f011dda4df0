"""The frame ring in suite `link`: a frame of 640x360x3 to another process, against what people use.

Blocking: the reader sleeps when the frame is sent. Spinning: it looks until one is there. A frame
is copied into the transport from where the game drew it, or was drawn in its memory (in place),
which is not timed for anybody. The value is the median of a round, from just before the frame is
sent until the other process has looked at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import Case
from .exchange import PATIENCE, SHAPE, Exchange, Frame, own_name
from .meter import Meter, Timed
from .peers import exchange as peers
from .versus import Contender

UNIT = "us"
MICROSECONDS = 1e6


def cases() -> list[Case]:
    in_place: dict[str, Callable[[], Meter]] = {
        "iceoryx2, in place": lambda: peers.iceoryx2(in_place=True),
        "shared memory and semaphore, in place": lambda: peers.semaphore(in_place=True),
    }
    copied = {f"{name}, copied": make for name, make in peers.CHANNELS.items()}
    return [
        _case("frame 640x360x3 in place, blocking", lambda: ring(in_place=True), copied | in_place),
        _case("frame 640x360x3 copied, blocking", lambda: ring(), dict(peers.CHANNELS)),
        _case(
            "frame 640x360x3 in place, spinning",
            lambda: ring(in_place=True, spin_us=1000),
            {
                "Python, in place": lambda: peers.spinning(in_place=True),
                "memcpy of the frame": memcpy,
            },
        ),
        _case(
            "frame 640x360x3 copied, spinning",
            lambda: ring(spin_us=1000),
            {"Python": peers.spinning},
        ),
    ]


def _case(name: str, ours: Callable[[], Meter], others: dict[str, Callable[[], Meter]]) -> Case:
    against = tuple(Contender(peer, make) for peer, make in others.items())
    return Case("link", name, UNIT, Contender("metabonk", ours), against, better="lower")


def ring(*, in_place: bool = False, spin_us: int = 0) -> Exchange:
    """Ours. spin_us: that the reader looks before it sleeps, microseconds."""
    return Exchange(lambda context: _Ring(spin_us), in_place=in_place)


def memcpy() -> Timed:
    """One copy of the frame in hot memory: what any transport that copies must take at least."""
    source = np.zeros(SHAPE, np.uint8)
    target = np.empty_like(source)
    return _Microseconds(lambda: np.copyto(target, source))


class _Microseconds(Timed):
    def measure(self) -> float:
        return super().measure() * MICROSECONDS


class _Ring:
    def __init__(self, spin_us: int) -> None:
        self._name = own_name("bench-")
        self._spin_us = spin_us
        self._end: Any = None
        self._frame: Any = None

    def open(self, sends: bool) -> None:
        from metabonk.link.ring import RingReader, RingWriter

        if sends:
            self._end = RingWriter(self._name, SHAPE, readers=1)
        else:
            self._end = RingReader(self._name, spin_us=self._spin_us)

    def send(self, frame: Frame) -> None:
        self._end.write(frame)

    def place(self, frame: Frame) -> Frame:
        memory: Frame = self._end.begin(*SHAPE[:2])
        memory[...] = frame
        return memory

    def publish(self) -> None:
        self._end.commit()

    def receive(self) -> Frame:
        self._frame = None  # its lease ends
        self._frame = self._end.latest(PATIENCE)
        if self._frame is None:
            raise TimeoutError(self._end.why)
        pixels: Frame = self._frame.pixels
        return pixels

    def leave(self) -> None:
        self._frame = None
        self.close()

    def close(self) -> None:
        if self._end is not None:
            self._end.close()

"""Loads: what a live loop has to withstand, made on purpose beside it in the same process.

Knows three: a Python thread that never rests, a garbage collector over millions of objects, and a
reader that sits on its frames. Does not know loops.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from metabonk.errors import ConfigError

OBJECTS = 3_000_000  # that gc.collect() has to walk
READER_SECONDS = 0.25  # that a slow reader sits on a frame

Work = Callable[[threading.Event], None]


@contextlib.contextmanager
def running(names: Sequence[str], ring: str = "") -> Iterator[dict[str, int]]:
    """Runs loads by name on threads; gives how often each came round.

    ring: name of the frame ring that `reader` reads. Raises ConfigError for an unknown name.
    """
    counts: dict[str, int] = dict.fromkeys(names, 0)
    works = [_work(name, ring, counts) for name in names]
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _work(name: str, ring: str, counts: dict[str, int]) -> Work:
    if name == "busy":
        return lambda stop: _busy(stop, counts)
    if name == "gc":
        return lambda stop: _collect(stop, counts)
    if name == "reader":
        if not ring:
            raise ConfigError("--load reader: there is no frame ring to read; give --frames")
        return lambda stop: _read(stop, counts, ring)
    raise ConfigError(f"--load {name}: there are busy, gc and reader")


def _busy(stop: threading.Event, counts: dict[str, int]) -> None:
    while not stop.is_set():
        total = 0
        for number in range(10_000):
            total += number * number
        counts["busy"] += 1


def _collect(stop: threading.Event, counts: dict[str, int]) -> None:
    objects = [[number] for number in range(OBJECTS)]
    while not stop.is_set():
        gc.collect()
        counts["gc"] += 1
    del objects


def _read(stop: threading.Event, counts: dict[str, int], ring: str) -> None:
    from metabonk.link.ring import RingReader

    with contextlib.closing(RingReader(ring)) as reader:
        while not stop.is_set():
            frame = reader.latest(0.1)
            if frame is not None:
                counts["reader"] += 1
                time.sleep(READER_SECONDS)
                del frame

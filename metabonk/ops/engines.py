"""Native objects that ops keep from call to call: their threads and their scratch memory.

One for each Python thread, so that calls from several threads do not wait for each other, and it
ends with its thread. Knows threads, processes and how many threads torch has; no op.

Threads do not survive a fork. A child makes engines of its own, and those that it inherited are
never ended there: their threads, which it would wait for, are not its own.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
MOST_THREADS = 1024  # of one engine or plan, as of games


def threads_of(op: str, asked: int | None) -> int:
    """How many threads a plan takes at most: torch's number where nobody asked for any.

    Raises TypeError for what is no whole number, ValueError for one out of range.
    """
    if asked is None:
        return min(torch.get_num_threads(), MOST_THREADS)
    if not isinstance(asked, int):
        raise TypeError(f"{op}: threads is {type(asked).__name__}; wanted an int")
    if not 1 <= asked <= MOST_THREADS:
        raise ValueError(f"{op}: threads is {asked}; wanted 1 to {MOST_THREADS:,}")
    return asked


class _Engine:
    """One that somebody keeps. owner: the PerThread whose it is."""

    def __init__(self, native: Any, owner: object) -> None:
        self.native, self.owner, self.process = native, owner, os.getpid()


_lock = threading.Lock()
_live: weakref.WeakSet[_Engine] = weakref.WeakSet()
_forking: list[Any] = []  # natives, while a process forks


class PerThread(Generic[T]):
    """What `make(threads)` gives, once for each thread and number of torch's threads."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._here = threading.local()
        atexit.register(self.close)

    def get_here(self) -> T:
        """That of this thread, made with torch's number of threads on first use."""
        engines: dict[tuple[int, int], _Engine] | None = getattr(self._here, "engines", None)
        if engines is None:
            engines = self._here.engines = {}
        key = os.getpid(), threads_of("torch", None)
        engine = engines.get(key)
        if engine is None:
            engine = engines[key] = _Engine(self._make(key[1]), self)
            with _lock:
                _live.add(engine)
        native: T = engine.native
        return native

    def close(self) -> None:
        """Ends those of all threads of this process, when it ends; nobody may ask afterwards."""
        with _lock:
            own = [e for e in _live if e.owner is self and e.process == os.getpid()]
        for engine in own:
            engine.native = None


def _before_fork() -> None:
    """Keeps all that there are: a child forgets its parent's other threads, and what they held,
    before it can be asked."""
    _lock.acquire()
    _forking.extend(engine.native for engine in _live)


def _in_parent() -> None:
    _forking.clear()
    _lock.release()


def _in_child() -> None:
    for native in _forking:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))  # whoever lets go, it does not end
    _forking.clear()
    _lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)

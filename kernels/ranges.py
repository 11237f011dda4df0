"""Named ranges round ops and ticks, for profilers: NVTX's, or those of torch's own profiler.

Knows where ranges go (a `Sink`) and whether they are on; not what is named, and torch only where
they go through it. Ranges nest per thread and are balanced also where what they stand round raises.
Off, `named` costs the test of a flag, and `around` gives back what it was given: nothing is paid.

`scripts/gpu_profile` turns ranges on, and `metabonk.ops` does where a profiler that takes NVTX is
attached when it is imported; so does whoever calls `enable` before.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# C functions of NVTX: CUDA 13's library for languages that cannot include its header, and the one
# of NVTX 2 before it. A torch with CUDA in it has its own.
LIBRARIES = ("libnvtx3interop.so.1", "libnvToolsExt.so.1")


class Sink(Protocol):
    """Where ranges go. `pop` ends the last one that this thread has pushed."""

    def push(self, name: str) -> None: ...
    def pop(self) -> None: ...


class _TorchNvtx:
    def __init__(self, torch: Any) -> None:
        self.push, self.pop = torch.cuda.nvtx.range_push, torch.cuda.nvtx.range_pop


class _LibraryNvtx:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._push, self._pop = library.nvtxRangePushA, library.nvtxRangePop
        self._push.argtypes, self._pop.argtypes = [ctypes.c_char_p], []

    def push(self, name: str) -> None:
        self._push(name.encode())

    def pop(self) -> None:
        self._pop()


class TorchProfiler(threading.local):
    """A sink for torch.profiler, in whose tables and traces a range is a row of its name."""

    def __init__(self) -> None:
        self._span = importlib.import_module("torch.autograd.profiler").record_function
        self._open: list[Any] = []

    def push(self, name: str) -> None:
        span = self._span(name)
        span.__enter__()
        self._open.append(span)

    def pop(self) -> None:
        self._open.pop().__exit__(None, None, None)


def nvtx() -> Sink:
    """A sink for Nsight and other tools that take NVTX. Raises RuntimeError where nothing here
    speaks it."""
    try:
        torch: Any = importlib.import_module("torch")
    except ModuleNotFoundError:
        torch = None
    if torch is not None and torch.version.cuda is not None:
        return _TorchNvtx(torch)
    for name in LIBRARIES:
        with contextlib.suppress(OSError):
            return _LibraryNvtx(ctypes.CDLL(name))
    raise RuntimeError(
        f"ranges: torch, if it is here, has no NVTX in it, and none of {', '.join(LIBRARIES)} is "
        "found; put the CUDA toolkit's lib folder on LD_LIBRARY_PATH, or use a torch with CUDA"
    )


_sink: Sink | None = None


def enable(sink: Sink | None) -> None:
    """From now on ranges go there; None turns them off."""
    global _sink
    _sink = sink


def sink() -> Sink | None:
    """Where ranges go now."""
    return _sink


class _Named:
    """One range; the sink of its begin is that of its end."""

    def __init__(self, to: Sink, name: str) -> None:
        self._to, self._name = to, name

    def __enter__(self) -> None:
        self._to.push(self._name)

    def __exit__(self, *_: object) -> None:
        self._to.pop()


_NOTHING = contextlib.nullcontext()


def named(name: str) -> contextlib.AbstractContextManager[None]:
    """What runs inside carries this name in a profile."""
    return _NOTHING if _sink is None else _Named(_sink, name)


def around(name: str, run: Callable[P, R]) -> Callable[P, R]:
    """`run` with a range of this name round every call; `run` itself where ranges are off now."""
    to = _sink
    if to is None:
        return run

    @functools.wraps(run)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with _Named(to, name):
            return run(*args, **kwargs)

    return inside

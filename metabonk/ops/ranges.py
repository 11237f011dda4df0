"""Named ranges round ops and the steps of plans: `rssm_scan native 16x512 16x1024 64x16x6`.

A range's name is the op, the backend that it chose and the shapes of its tensors; an op's begins
where the backend is chosen (arguments have been looked at by then) and ends with the op, also
where it raises. A plan's step is `cfc_cell.step`, with the name of its loops for a backend.

Whether a profiler is attached is asked once, when this is imported. Where none is and nobody has
turned ranges on (before the import, for ops; before a plan is made, for its step), kernels and
steps are the very functions they were: nothing is paid, not even the test of a flag. Knows names
and shapes; where ranges go is metabonk.kernels.ranges'.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from metabonk.environment import profiler
from metabonk.kernels import ranges
from metabonk.kernels.ranges import Sink

F = TypeVar("F", bound=Callable[..., Any])


class _Call:
    """An op that runs. open: whether its range has begun."""

    def __init__(self, op: str, arguments: tuple[Any, ...]) -> None:
        self.op = op
        self.arguments = arguments
        self.open = False


class _Calls(threading.local):
    """The ops that run on this thread, the innermost last."""

    def __init__(self) -> None:
        self.running: list[_Call] = []


_calls = _Calls()


def _attached() -> Sink | None:
    """Where ranges go: what somebody has turned on before, or the profiler that is attached."""
    if ranges.sink() is None and profiler():
        try:
            ranges.enable(ranges.nvtx())
        except RuntimeError as error:
            warnings.warn(f"a profiler is attached, but sees no ops: {error}", stacklevel=2)
    found: Sink | None = ranges.sink()
    return found


SINK = _attached()


def watched(op: str, kernel: F, sink: Sink | None = SINK) -> F:
    """The kernel of an op with a range round it, or `kernel` itself where nobody watches."""
    if sink is None:
        return kernel

    @functools.wraps(kernel)
    def run(*args: Any, **kwargs: Any) -> Any:
        call = _Call(op, (*args, *kwargs.values()))
        _calls.running.append(call)
        try:
            return kernel(*args, **kwargs)
        finally:
            _calls.running.pop()
            if call.open:
                sink.pop()

    return run  # type: ignore[return-value]


def telling(choose: F, sink: Sink | None = SINK) -> F:
    """What chooses a backend, so that the range of the op that asked begins with the answer."""
    if sink is None:
        return choose

    @functools.wraps(choose)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        backend = choose(*args, **kwargs)
        call = _calls.running[-1] if _calls.running else None
        if call is not None and not call.open:  # an op that chooses twice has the first one's name
            sink.push(" ".join([call.op, backend, *shapes(call.arguments)]))
            call.open = True
        return backend

    return chosen  # type: ignore[return-value]


def stepping(
    op: str, loops: Callable[[], object], arguments: Iterable[Any], step: Callable[[], None]
) -> Callable[[], None]:
    """A plan's step with a range round it, or `step` itself, the core's own, where nobody watches.

    loops: says the name of its loops. arguments: what it is bound to.
    """
    if ranges.sink() is None:
        return step
    name = " ".join([f"{op}.step", str(loops()), *shapes(arguments)])
    inside: Callable[[], None] = ranges.around(name, step)
    return inside


def shapes(arguments: Iterable[Any]) -> Iterator[str]:
    """16x512 for a tensor or an array [16, 512]; other arguments, lists of tensors among them, and
    those without elements are left out."""
    for argument in arguments:
        shape = getattr(argument, "shape", None)
        if shape and 0 not in shape:
            yield "x".join(map(str, shape))

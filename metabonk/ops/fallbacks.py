"""Calls that torch's definition of an op took because no kernel could read a tensor as it lay.

Under "auto" such a call is right but slow, and a slice of a tensor is enough to make one. So they
are counted, by op and by what was in the way, and the first of each kind is a FallbackWarning.
Runs and benchmarks show at their end what was counted meanwhile (`Watch`). Knows names and counts;
no op and no tensor.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Mapping


class FallbackWarning(UserWarning):
    """An op runs on torch's definition of it; the message says what would make it fast."""


class Reason(str):
    """Why a kernel cannot take a tensor as it lies, in words.

    kind: the same without the figures that differ from call to call, to be counted by. placed:
    whether only the device is another, for which there are other kernels.
    """

    kind: str
    placed: bool

    def __new__(cls, text: str, kind: str, placed: bool = False) -> Reason:
        made = super().__new__(cls, text)
        made.kind, made.placed = kind, placed
        return made


_lock = threading.Lock()
_counts: Counter[tuple[str, str]] = Counter()


def count(op: str, reason: Reason) -> None:
    """Counts a call of `op` that torch's definition takes; warns of the first of its kind."""
    key = op, reason.kind
    with _lock:
        _counts[key] += 1
        first = _counts[key] == 1
    if first:
        warnings.warn(
            f"{op}: torch's definition runs, which is slow: the kernels cannot take {reason} "
            "(said once; metabonk.ops.fallbacks.seen() counts)",
            FallbackWarning,
            stacklevel=2,
        )


def seen() -> dict[tuple[str, str], int]:
    """Calls so far in this process, by op and what was in the way: "x is strided"."""
    with _lock:
        return dict(_counts)


class Watch:
    """The calls from when it was made on, of this process."""

    def __init__(self) -> None:
        self._told = seen()

    def news(self) -> dict[str, int]:
        """Calls since it was made or last asked, by op and what was in the way, in words: "qlinear,
        x is strided". Empty where there were none."""
        now = seen()
        before, self._told = self._told, now
        calls = {key: count - before.get(key, 0) for key, count in now.items()}
        return {f"{op}, {kind}": count for (op, kind), count in calls.items() if count}


def told(calls: Mapping[str, int]) -> str:
    """`Watch.news` in one sentence, the most frequent first."""
    by_count = sorted(calls.items(), key=lambda call: -call[1])
    listed = "; ".join(f"{what}: {count:,}" for what, count in by_count)
    return (
        f"Operations ran on torch's definition, which is slow, as kernels could not read: {listed}."
    )

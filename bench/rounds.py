"""Rounds with several figures: measured once, and each figure is the value of a case of its own.

Knows figures by name; does not know what is measured, nor contests. A median and a high percentile
of the same answers, or a rate and what it costs, need no second run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Round:
    """The figures of one round by name. note: what else was seen. holds: whether they are of what
    they are called by."""

    figures: Mapping[str, float]
    note: str = ""
    holds: bool = True


class Rounds(Protocol):
    """What measures them; as a meter otherwise."""

    def prepare(self) -> None: ...

    def measured(self) -> Round: ...

    def close(self) -> None: ...


_KEPT: dict[str, list[Round]] = {}


class Shared:
    """A meter of one figure. Its rounds are those of `key` that other cases of this process have
    measured, in their order, and then its own. make: opens what measures them, where any are
    missing of the `most` that cases have. round: the last one. holds: whether all of them do."""

    def __init__(self, key: str, make: Callable[[], Rounds], figure: str, most: int) -> None:
        self._kept = _KEPT.setdefault(key, [])
        self._figure, self._most = figure, most
        self._rounds = make() if len(self._kept) < most else None
        self._next = 0
        self.round = Round({})
        self.holds = True

    def prepare(self) -> None:
        if self._rounds is not None:
            self._rounds.prepare()

    def measure(self) -> float:
        if self._next == len(self._kept):
            if self._rounds is None:
                raise ValueError(f"round {self._next + 1}; wanted at most {self._most}")
            self._kept.append(self._rounds.measured())
        self.round = self._kept[self._next]
        self._next += 1
        self.holds &= self.round.holds
        return self.round.figures[self._figure]

    def close(self) -> None:
        if self._rounds is not None:
            self._rounds.close()

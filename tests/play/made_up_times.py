"""Times of ticks that are made up, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabonk.play import proof
from metabonk.play.ledger import Gate
from metabonk.play.loop import TIMES, LoopSettings

PERIOD = 16_666_667
MS = 1_000_000


def delay(times: np.ndarray[Any, Any], ticks: Any, by: int) -> None:
    """Those ticks' actions are handed over, and leave, so much later."""
    times["acted"][ticks] += by
    times["sent"][ticks] += by


def made_up(ticks: int = 300, skipped: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    """Times of ticks that took 0.4 ms each, captures 0.5 ms before the planned start."""
    rows = np.zeros(ticks, TIMES)
    rows["tick"] = np.arange(ticks)
    rows["planned"] = 10**9 + np.arange(ticks) * PERIOD
    rows["next"] = rows["planned"] + PERIOD
    for name, after in [("woke", 1000), ("began", 2000), ("found", 3000), ("seen", 10_000)]:
        rows[name] = rows["planned"] + after
    rows["decided"] = rows["planned"] + 350_000
    rows["acted"] = rows["sent"] = rows["planned"] + 400_000
    rows["capture"] = rows["planned"] - 500_000
    rows["ready"] = rows["capture"] + 100_000
    rows["sequence"] = np.arange(ticks) + 1
    rows["gate"] = Gate.DECIDED
    rows["cpu"] = 450_000
    return rows[~np.isin(rows["tick"], skipped)]


class MadeUp:
    """What `examine` asks of a loop. late: of the reference thread after each tick, ns; beside:
    what that was granted."""

    def __init__(
        self,
        times: list[Any],
        late: dict[int, int] | None = None,
        game: dict[str, Any] | None = None,
        beside: dict[str, Any] | None = None,
    ) -> None:
        self.beside = {"cpu": 1, "priority": 10} if beside is None else beside
        self.game_counts = {"skipped": 2} if game is None else game
        self.settings = LoopSettings()
        self.seats = [self] * len(times)
        self.loop = self
        self.deciders: list[Any] = []
        self._times, self._late = times, late or {}
        self.ticks = 300 if not len(times[0]) else max(300, int(times[0]["tick"][-1]) + 1)

    def times(self, agent: int) -> Any:
        return self._times[agent]

    def reference(self, first: int, count: int) -> dict[str, Any]:
        late = np.full(count, 20_000, np.int64)
        for tick, value in self._late.items():
            late[tick - first] = value
        return {"late": late, "granted": self.beside}

    def granted(self) -> dict[str, Any]:
        return {"cpu": 1, "priority": 10}

    def counts(self) -> dict[str, Any]:
        agent = {"lost": 1, "untold": 0, "refused": 0}
        return {**agent, "agents": [agent] * len(self._times), "game": self.game_counts}


def examine(
    times: Any,
    late: dict[int, int] | None = None,
    loads: dict[str, int] | None = None,
    max_p99: float = 2e-3,
    beside: dict[str, Any] | None = None,
) -> proof.Report:
    all_times = times if isinstance(times, list) else [times]
    live: Any = MadeUp(all_times, late, beside=beside)
    return proof.examine(live, loads or {}, max_p99)

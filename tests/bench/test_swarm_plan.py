"""bench/swarm: a soak's faults are planned, and its books read, as the verdict needs them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from metabonk.bench.swarm import books
from metabonk.bench.swarm.plan import QUIET, Plan, events
from metabonk.bench.swarm.verdict import Decision, Noted

from metabonk.cognition.log import journal as j
from metabonk.cognition.protocol.wire import Outcome, Reply, RequestId
from metabonk.errors import ConfigError


def test_a_plan_has_what_it_says_in_order_and_away_from_its_ends() -> None:
    plan = Plan(seconds=100.0, broker_kills=20, model_kills=10, impostors=3)
    found = events(plan)
    kinds = [event.kind for event in found]
    assert kinds.count("kill_broker") == 20
    assert kinds.count("kill_model") == 10
    assert kinds.count("impostor") == 3
    times = np.array([event.at for event in found])
    assert (np.diff(times) >= 0).all()
    assert times.min() >= 100.0 * QUIET
    assert times.max() <= 100.0 * (1.0 - QUIET)
    assert all((event.kind == "impostor") == (event.agent >= 0) for event in found)
    assert all(event.agent < plan.agents for event in found)
    kills = np.array([event.at for event in found if event.kind == "kill_broker"])
    assert np.diff(kills).max() < 2 * 90.0 / 20  # spread over the time


def test_one_seed_is_one_plan() -> None:
    assert events(Plan(seed=3)) == events(Plan(seed=3))
    assert events(Plan(seed=3)) != events(Plan(seed=4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"agents": 0}, {"seconds": 0.0}, {"period": 0.0}, {"deadline": -1.0}, {"churn": 1.5},
        {"slow": 17}, {"broker_kills": -1}, {"impostors": -2}, {"latency": -0.1},
        {"model": False, "model_kills": 1},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(wrong)).replace('_', '-')[:5]}"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_a_digest_is_of_what_is_said_and_not_of_how() -> None:
    assert books.digest({"action": "move", "target": "hold"}) == books.digest(
        {"target": "hold", "action": "move"}
    )
    assert books.digest({"action": "move"}) != books.digest({"action": "hold"})
    assert books.digest({}) == ""


def test_the_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    answer = {"action": "retreat", "target": "compass:3", "seconds": 2.0, "priority": "high"}
    first, second = RequestId("omega-0", 7, 1), RequestId("omega-0", 7, 2)
    written = threading.Semaphore(0)
    with j.Journal(tmp_path) as journal:
        rows = [
            j.Decision(reply=Reply(id=first, status="ok", answer=answer), at=1.0),
            j.Decision(reply=Reply(id=second, status="stale", code="late"), at=2.0),
        ]
        for row in rows:
            journal.record(row, lambda safe: written.release() if safe else None)
        journal.outcome(
            Outcome(id=first, applied=True, seconds=2.0), lambda safe: written.release()
        )
        for _ in range(3):
            assert written.acquire(timeout=30.0)
        assert list(books.decisions(tmp_path)) == [  # also while it is open elsewhere
            Decision("omega-0/7/1", "ok", books.digest(answer)),
            Decision("omega-0/7/2", "stale", ""),
        ]
        assert list(books.outcomes(tmp_path)) == [Noted("omega-0/7/1", applied=True)]
    size, count = books.sizes(tmp_path)
    assert count == 2
    assert size > 0


def test_without_a_journal_there_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no journal"):
        list(books.decisions(tmp_path))

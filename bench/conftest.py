"""The `versus` fixture for pytest-benchmark, and the verdict on the suites of a session.

Knows cases and gates. What one case misses fails its test (test_suites.py); what only the rows of
many show, a suite of which nothing was judged, ends the session with exit status 1, as
`metabonk bench --gate` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from metabonk import config as settings_module
from metabonk import machine

from .case import Case, Info, attempt
from .gates import Row, rows, verdict
from .versus import Contender, Contest

Versus = Callable[..., list[Row]]

SEEN = pytest.StashKey[list[Row]]()  # of the session's configuration: the rows of all its cases


@pytest.fixture
def versus(benchmark: Any, request: pytest.FixtureRequest) -> Versus:
    """`versus(ours, peers, suite=, name=, unit=, ...)` or `versus(case)`: the rows, judged.

    Ours is what pytest-benchmark times; the peers are measured in the set-up of each round, so that
    rounds interleave as everywhere. Ratios and intervals are stored in `extra_info`. A case that is
    not measured, or breaks, has rows that say so; a test that nothing follows from is skipped.
    """

    def compare(
        ours: Contender | Case, peers: Sequence[Contender] = (), **settings: Any
    ) -> list[Row]:
        case = ours if isinstance(ours, Case) else Case(ours=ours, peers=tuple(peers), **settings)

        def drive(contest: Contest) -> None:
            benchmark.pedantic(
                contest.our_round, setup=contest.peers_round, rounds=case.rounds, iterations=1
            )

        if machine.core_built():
            settings_module.cap_cpu()  # as the command line does
        info: Info = attempt(case, drive)
        benchmark.extra_info.update(info)
        found = rows(benchmark.extra_info)
        request.config.stash.setdefault(SEEN, []).extend(found)
        if found and not any(_tells(row) for row in found):
            pytest.skip("; ".join(dict.fromkeys(row.note for row in found)))
        return found

    return compare


def _tells(row: Row) -> bool:
    """Whether something follows from a row: a ratio, or that a goal could not be judged in time."""
    return row.ratio is not None or (row.goal is not None and bool(row.unmeasured))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if verdict(session.config.stash.get(SEEN, [])).silent and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for suite in verdict(config.stash.get(SEEN, [])).silent:
        terminalreporter.write_line(f"FAILED: no goal of suite {suite} was judged", red=True)

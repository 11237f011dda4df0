"""Every case as a benchmark: `pytest bench --benchmark-only`, `-k ppo` for one suite."""

from __future__ import annotations

import pytest

from .case import Case
from .conftest import Versus
from .suites import cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.suite}-{case.name}")
def test_case(case: Case, versus: Versus) -> None:
    rows = versus(case)
    missed = [
        f"{row.peer_name}: ratio {row.ratio:.2f}, goal {row.goal:g}. {row.note}"
        for row in rows
        if row.met is False
    ]
    assert not missed, "\n".join(missed)

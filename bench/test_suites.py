"""Every case as a benchmark: `pytest bench --benchmark-only`, `-k ppo` for one suite."""

from __future__ import annotations

import pytest

from .case import Case
from .conftest import Versus
from .gates import Row, verdict
from .suites import cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.suite}-{case.name}")
def test_case(case: Case, versus: Versus) -> None:
    found = verdict(versus(case))
    wrong = [_said(row) for row in (*found.missed, *found.unmeasured)]
    assert not wrong, "\n".join(wrong)


def _said(row: Row) -> str:
    ratio = "" if row.ratio is None else f"ratio {row.ratio:.2f}, "
    return f"{row.peer_name}: {ratio}goal {row.goal:g}. {row.note}"

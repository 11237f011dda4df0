"""What a small learner of PPO has played, for tests that learn from it."""

from __future__ import annotations

import pytest
from learners import collected


@pytest.fixture
def rollout(request: pytest.FixtureRequest) -> bytes:
    """What the network of the test has played; those without a state take the pilot's."""
    given = getattr(request.node, "callspec", None)
    name = given.params.get("name") if given else None
    return collected("mamba" if name == "mamba" else "pilot")

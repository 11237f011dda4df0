"""What tests of ops share: instruction sets to walk, and the table of tolerances.

`within` holds an error against `bench/tolerances.toml`. With `pytest tests/ops
--record-tolerances` the worst of what all tests saw is written there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from metabonk.bench import tolerances

from metabonk import _core

SUPPORT = _core.support
TIERS = ("baseline", "avx2", "avx512")
EXTENSIONS = ("none", "vnni", "bf16")
SEEN = pytest.StashKey[dict[tuple[str, str], float]]()

Within = Callable[[str, str, float], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-tolerances",
        action="store_true",
        help="write the worst errors that were seen to bench/tolerances.toml",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SEEN] = {}


@pytest.fixture(scope="session")
def within(pytestconfig: pytest.Config) -> Within:
    """within(op, way, error): asserts that the error is allowed, and remembers it.

    way: a backend or an instruction set.
    """
    seen, table = pytestconfig.stash[SEEN], tolerances.load()

    def hold(op: str, way: str, error: float) -> None:
        assert op in table, f"{op}: no row in bench/tolerances.toml"
        seen[op, way] = max(error, seen.get((op, way), 0.0))
        row = table[op]
        assert error <= row.allowed, f"{op} on {way}: {error:.3g} {row.unit}"

    return hold


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    seen = config.stash[SEEN]
    if hasattr(config, "workeroutput"):  # of a distributed run: the controller collects
        config.workeroutput["tolerances"] = [(*key, value) for key, value in seen.items()]
    elif config.getoption("--record-tolerances", default=False):
        tolerances.save(tolerances.recorded(tolerances.load(), seen))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    seen = node.config.stash[SEEN]
    for op, way, value in getattr(node, "workeroutput", {}).get("tolerances", ()):
        seen[op, way] = max(value, seen.get((op, way), 0.0))


def sets() -> list[tuple[str, str]]:
    """(tier, extension) that this processor can be capped to, the least first."""
    tiers = TIERS[: TIERS.index(SUPPORT.detected_tier()) + 1]
    extensions = EXTENSIONS[1 : EXTENSIONS.index(SUPPORT.detected_extension()) + 1]
    return [(tier, "none") for tier in tiers] + [("avx512", name) for name in extensions]


@pytest.fixture(params=sets(), ids=lambda s: s[0] if s[1] == "none" else s[1])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test once with each instruction set that the processor has; its name."""
    before = SUPPORT.active_tier(), SUPPORT.active_extension()
    tier, extension = request.param
    SUPPORT.cap_tier(tier)
    SUPPORT.cap_extension(extension)
    yield {"baseline": "portable"}.get(tier, tier) if extension == "none" else extension
    SUPPORT.cap_tier(before[0])
    SUPPORT.cap_extension(before[1])

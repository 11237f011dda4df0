"""What tests of ops share: instruction sets to walk, and the table of tolerances.

`within` holds an error against `bench/tolerances.toml`. With `pytest tests/ops
--record-tolerances` the worst of what all tests saw is written there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from metabonk.bench import tolerances

from metabonk import _core

SUPPORT = _core.support
TIERS = ("baseline", "avx2", "avx512")
EXTENSIONS = ("none", "vnni", "bf16", "amx")
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


def name_of(capped: tuple[str, str]) -> str:
    """As kernels call it: portable, avx2, avx512, vnni, bf16, amx."""
    tier, extension = capped
    return {"baseline": "portable"}.get(tier, tier) if extension == "none" else extension


@contextlib.contextmanager
def capped(to: tuple[str, str]) -> Iterator[str]:
    """The name of the set, while the core is capped to it."""
    before = SUPPORT.active_tier(), SUPPORT.active_extension()
    SUPPORT.cap_tier(to[0])
    SUPPORT.cap_extension(to[1])
    try:
        yield name_of(to)
    finally:
        SUPPORT.cap_tier(before[0])
        SUPPORT.cap_extension(before[1])


@pytest.fixture(params=sets(), ids=name_of)
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test once with each instruction set that the processor has; its name."""
    with capped(request.param) as name:
        yield name


@pytest.fixture(params=[*sets(), None], ids=lambda s: "torch" if s is None else name_of(s))
def way(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Runs a test with backend `native` on each instruction set, and with `torch`: (backend, name
    of the set or "torch")."""
    if request.param is None:
        yield "torch", "torch"
        return
    with capped(request.param) as name:
        yield "native", name


@pytest.fixture(params=TIERS[: TIERS.index(SUPPORT.detected_tier()) + 1])
def tier(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test on every tier that the processor has, with its extension; the tier's name."""
    before = SUPPORT.active_tier()
    SUPPORT.cap_tier(request.param)
    yield str(request.param)
    SUPPORT.cap_tier(before)


@pytest.fixture
def everywhere() -> Callable[[Callable[[], Any]], dict[str, Any]]:
    """everywhere(run): what `run` returns on each instruction set, by its name."""

    def call(run: Callable[[], Any]) -> dict[str, Any]:
        found = {}
        for one in sets():
            with capped(one) as name:
                found[name] = run()
        return found

    return call

"""The fixture: pytest and the command line come to one verdict, whatever a case comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from metabonk.bench import gates, suites
from metabonk.bench.case import Case
from metabonk.bench.gates import Gate
from metabonk.bench.meter import Reading
from metabonk.bench.versus import AbsentError, Contender

import metabonk._core
import metabonk.cli.bench
from metabonk.cli.main import run
from metabonk.errors import LinkError

# Pytester forgets modules that were imported after it began, and a native one comes only once.
BEFORE = (metabonk._core, metabonk.cli.bench)

CONFTEST = """
from metabonk.bench.conftest import pytest_sessionfinish, pytest_terminal_summary, versus
"""

# The very tests of the package, over cases and gates of these tests.
TESTS = """
from metabonk.bench.test_suites import test_case
"""

Judged = Callable[..., pytest.RunResult]
pytest_plugins = ["pytester"]

GATES = {
    "s": {"fast": {"peer": Gate(1.2)}, "slow": {"peer": Gate(1.2)}},
    "late": {"late": {"peer": Gate(1.2)}},
    "broken": {"broken": {"peer": Gate(1.2)}},
    "alone": {"alone": {"peer": Gate(1.2)}, "paired": {"peer": Gate(1.2)}},
}


def absent() -> Reading:
    raise AbsentError("nobody is here")


def broken() -> Reading:
    raise LinkError("it went away")


def of(word: str) -> Case:
    """A case that comes to what its name says; those of suite `free` have no goal."""
    suite, _, name = word.rpartition("/")
    peer = {"alone": absent, "broken": broken}.get(name, lambda: Reading(lambda: 1.0))
    value = 1.1 if name == "slow" else 2.0
    return Case(
        suite or ("s" if name in ("fast", "slow") else name),
        name,
        "x",
        Contender("ours", lambda: Reading(lambda: value)),
        (Contender("peer", peer),),
        rounds=4,
        budget=0.0 if name == "late" else float("inf"),
    )


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Judged:
    """Runs the package's own tests over the cases of these names, then `metabonk bench --gate`."""
    # A run of its own, also when this test is one of a distributed run, which disables benchmarks.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.setattr(gates, "load", lambda: GATES)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)

    def judge(*words: str, options: Sequence[str] = ()) -> pytest.RunResult:
        monkeypatch.setattr(suites, "cases", lambda names=(): [of(word) for word in words])
        done = pytester.runpytest_inprocess(
            *("-p", "no:cacheprovider", "-p", "no:xdist", "--benchmark-only", "-rs", *options)
        )
        with pytest.raises(SystemExit) as ended:
            run(["bench", "--gate"])
        assert ended.value.code == done.ret, "pytest and the command line come to one verdict"
        return done

    return judge


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["fast", "late"], 1, "peer: goal 1.2. not measured: 0 of 4 rounds within its 0 s"),
        (["fast", "broken"], 1, "peer: goal 1.2. not measured: it broke: it went away"),
        (["fast", "alone"], 1, "no goal of suite alone was judged"),
        (["alone", "alone/paired"], 0, "1 passed, 1 skipped"),
        (["fast", "free/late", "free/broken", "free/alone"], 0, "1 passed, 3 skipped"),
    ],
    ids=lambda value: " and ".join(value) if isinstance(value, list) else "",
)
def test_pytest_and_the_command_line_come_to_one_verdict(
    judged: Judged, words: list[str], status: int, told: str
) -> None:
    done = judged(*words)
    said = done.stdout.str()
    assert done.ret == status, said
    assert told in said
    assert "no goal of suite s " not in said


def test_pytest_stores_ratio_and_interval_and_the_slower_one_fails(
    judged: Judged, pytester: pytest.Pytester
) -> None:
    done = judged("fast", "slow", options=["--benchmark-json=stored.json"])
    stored = json.loads((pytester.path / "stored.json").read_text())["benchmarks"]
    assert done.ret == 1
    assert "peer: ratio 1.10, goal 1.2" in done.stdout.str()
    found = stored[0]["extra_info"]["peers"]["peer"]
    assert (found["ratio"], found["low"], found["high"], found["rounds"]) == (2.0, 2.0, 2.0, 4)
    assert stored[0]["stats"]["rounds"] == 4
    assert [gates.rows(b["extra_info"], GATES)[0].met for b in stored] == [True, False]

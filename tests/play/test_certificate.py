"""play/certificate.py: what was proven lies beside the weights, and holds for no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_up_times import PERIOD, delay, examine, made_up

from metabonk import artifact, machine
from metabonk.errors import ConfigError
from metabonk.play import certificate, proof

WANTED = certificate.Demand(game="arena", hz=60.0, priority=10)  # as MadeUp was granted


def report_of(ticks: int) -> proof.Report:
    return examine(made_up(ticks + proof.WARM_UP))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    artifact.write(tmp_path / "p", kind="policy", seed=0, files={"a.bin": b"weights"})
    return tmp_path / "p"


def test_a_certificate_lies_beside_the_weights_and_leaves_the_hash(policy: Path) -> None:
    before = artifact.load(policy).hash
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, made)
    found = artifact.load(policy)
    assert found.hash == before
    assert certificate.certificates(found.card) == [made]
    assert certificate.require(policy, WANTED) == made
    assert made.decided == 1.0
    assert made.latency_p99 == pytest.approx(0.9e-3)
    assert made.ticks == 10_000
    assert made.priority == 10
    assert made.worst_p99 == pytest.approx(0.9e-3)
    assert (made.max_p99, made.alike) == (2e-3, True)


def test_what_was_not_proven_gets_no_certificate() -> None:
    with pytest.raises(ConfigError, match=r"9,999 ticks, it takes 10,000"):
        certificate.of(report_of(9_999), "arena")
    times = made_up(10_000 + proof.WARM_UP)
    delay(times, 5000, PERIOD)
    with pytest.raises(ConfigError, match="1 deadlines were missed"):
        certificate.of(examine(times), "arena")


@pytest.mark.parametrize(
    ("changed", "asked", "said"),
    [
        ({}, {"hz": 120.0}, "of 60 ticks a second, not of 120.*--hz 120"),
        ({}, {"agents": 2}, "of 1 agents, not of 2.*--agents 2"),
        ({}, {"game": "bonklink"}, "of arena, not of bonklink.*--game bonklink"),
        ({}, {"priority": 0}, "real-time priority 10, this loop has none"),
        ({}, {"priority": 9}, "real-time priority 10, this loop has 9.*--realtime 9"),
        ({"processor": "another"}, {}, "another machine"),
        ({}, {"max_p99": 0.5e-3}, "its 0.900 ms from capture to action.*are more than 0.5"),
        ({"agents": 4}, {"max_p99": 0.5e-3}, r"p99, of 4 agents.*--max-p99 0.5"),
        ({"ticks": 100}, {}, "too few"),
    ],
)
def test_a_certificate_of_something_else_does_not_hold(
    policy: Path, changed: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, msgspec.structs.replace(made, **changed))
    with pytest.raises(ConfigError, match=said):
        certificate.require(policy, msgspec.structs.replace(WANTED, **asked))


def test_a_certificate_of_more_than_is_wanted_holds(policy: Path) -> None:
    made = certificate.of(report_of(10_000), "arena")
    certificate.add(policy, made)
    less = certificate.Demand(game="arena", hz=30.0, agents=1, priority=50)
    assert certificate.require(policy, less) == made


# What proofs did not always look at: decisions, how long they took, what the reference was granted.
@pytest.mark.parametrize("said", ["decided", "worst_p99", "alike"])
def test_certificates_of_proofs_that_looked_at_less_are_left_out(policy: Path, said: str) -> None:
    made = msgspec.to_builtins(certificate.of(report_of(10_000), "arena"))
    artifact.certify(artifact.load(policy), {"latency": {**made, "hz": 60.0}})
    assert certificate.require(policy, WANTED)
    older = {key: value for key, value in made.items() if key != said}
    artifact.write(policy.with_name("o"), kind="policy", seed=1, files={"a.bin": b"others"})
    artifact.certify(artifact.load(policy.with_name("o")), {"latency": older})
    with pytest.raises(ConfigError, match="no latency certificate"):
        certificate.require(policy.with_name("o"), WANTED)


def test_a_proof_that_was_held_to_no_bound_says_so(policy: Path) -> None:
    made = certificate.of(examine(made_up(10_000 + proof.WARM_UP), max_p99=0.0), "arena")
    assert made.max_p99 == 0.0
    certificate.add(policy, made)
    wanted = msgspec.structs.replace(WANTED, max_p99=0.5e-3)
    with pytest.raises(ConfigError, match=r"more than 0\.5"):
        certificate.require(policy, wanted)
    assert certificate.require(policy, msgspec.structs.replace(wanted, max_p99=0.0)) == made


def test_the_command_that_earns_one_names_no_bound_that_is_usual() -> None:
    usual = msgspec.structs.replace(WANTED, max_p99=proof.default_p99("arena", 1, 60.0))
    assert "--max-p99" not in usual.proof("p")
    assert msgspec.structs.replace(usual, agents=2).proof("p").endswith("--max-p99 2")
    assert msgspec.structs.replace(usual, max_p99=0.0).proof("p").endswith("--max-p99 0")


def test_a_policy_without_a_certificate_says_how_to_come_by_one(policy: Path) -> None:
    artifact.certify(artifact.load(policy), {"fidelity": {"agreement": 1.0}})
    artifact.certify(artifact.load(policy), {"latency": {"from": "another version"}})
    with pytest.raises(ConfigError, match=r"no latency certificate.*--proof 10000"):
        certificate.require(policy, WANTED)


def test_the_newest_certificate_that_holds_counts(policy: Path) -> None:
    made = certificate.of(report_of(10_000), "arena")
    newer = msgspec.structs.replace(made, created="2031-01-01T00:00:00Z")
    elsewhere = msgspec.structs.replace(made, processor="another")
    for one in (made, newer, elsewhere):
        certificate.add(policy, one)
    assert machine.processor() != "another"
    assert certificate.require(policy, WANTED) == newer

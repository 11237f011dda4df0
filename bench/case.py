"""A case: one thing that is compared, with all its contenders. Knows `versus`; no suite or gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .machine import description
from .meter import Meter
from .versus import Better, Contender, Contest

Info = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What else has to hold for a ratio to count. note: a sentence with its figures."""

    holds: bool
    note: str


@dataclass(frozen=True)
class Case:
    """Ours and its peers, on the same work.

    unit: of every value. rounds: how often all are measured. evidence: asked per peer after the
    last round, of our meter and the peer's; a ratio without it is not met whatever its size.
    """

    suite: str
    name: str
    unit: str
    ours: Contender
    peers: tuple[Contender, ...]
    better: Better = "higher"
    rounds: int = 9
    evidence: Callable[[Meter, Meter], Evidence] | None = None


def measure(case: Case, drive: Callable[[Contest], None] | None = None) -> Info:
    """Runs all rounds of a case; returns what is stored of it, plain data for JSON.

    drive: runs the rounds; by default one after the other.
    """
    contest = Contest.open(case.ours, case.peers, case.better)
    try:
        if contest.runs:
            (drive or (lambda c: rounds(c, case.rounds)))(contest)
        return _info(case, contest)
    finally:
        contest.close()


def rounds(contest: Contest, count: int) -> None:
    """`count` rounds, peers before ours in each."""
    for _ in range(count):
        contest.peers_round()
        contest.our_round()


def _info(case: Case, contest: Contest) -> Info:
    return {
        "suite": case.suite,
        "name": case.name,
        "unit": case.unit,
        "ours": contest.value(contest.ours),
        "peers": {peer: _peer(case, contest, peer) for peer in contest.peers},
        "machine": description(),
    }


def _peer(case: Case, contest: Contest, name: str) -> Mapping[str, Any]:
    skipped = contest.skipped.get(contest.ours) or contest.skipped.get(name)
    found = contest.ratio(name)
    if skipped or found is None:
        return {"skipped": skipped or "no round was run"}
    info: dict[str, Any] = {
        "value": contest.value(name),
        "ratio": found.median,
        "low": found.low,
        "high": found.high,
        "rounds": len(contest.values[name]),
    }
    if case.evidence is not None:
        evidence = case.evidence(contest.meters[contest.ours], contest.meters[name])
        info |= {"holds": evidence.holds, "note": evidence.note}
    return info

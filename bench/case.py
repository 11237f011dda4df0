"""A case: one thing that is compared, with all its contenders. Knows `versus`; no suite or gate."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metabonk.errors import MetabonkError

from .machine import description
from .meter import Clock, Meter
from .versus import Better, Contender, Contest

Info = dict[str, Any]
Told = Callable[[str], None]  # what goes on now, in words


@dataclass(frozen=True)
class Evidence:
    """What else has to hold for a ratio to count. note: a sentence with its figures."""

    holds: bool
    note: str


@dataclass(frozen=True)
class Case:
    """Ours and its peers, on the same work.

    unit: of every value. rounds: how often all are measured. evidence: asked per peer after the
    last round, of our meter and the peer's; a ratio without it is not met whatever its size. group:
    by what it is asked for alone, within its suite. budget: seconds, starts included, after which
    no further round begins; a case that was cut off so has not been measured, whatever it shows.
    """

    suite: str
    name: str
    unit: str
    ours: Contender
    peers: tuple[Contender, ...]
    better: Better = "higher"
    rounds: int = 9
    evidence: Callable[[Meter, Meter], Evidence] | None = None
    group: str = ""
    budget: float = math.inf


def measure(
    case: Case,
    drive: Callable[[Contest], None] | None = None,
    *,
    told: Told = lambda line: None,
    clock: Clock = time.monotonic,
) -> Info:
    """Runs all rounds of a case, or as many as its budget has; returns what is stored of it, plain
    data for JSON.

    drive: runs the rounds, of which those that come after the budget do nothing; by default one
    after the other, and `told` of each. clock: the budget's.
    """
    ends = clock() + case.budget
    told("starting")
    contest = Contest.open(case.ours, case.peers, case.better, ends, clock)
    try:
        if contest.runs and drive is not None:
            drive(contest)
        elif contest.runs:
            _drive(contest, case.rounds, told)
        return _info(case, contest)
    finally:
        contest.close()


def attempt(
    case: Case,
    drive: Callable[[Contest], None] | None = None,
    *,
    told: Told = lambda line: None,
) -> Info:
    """`measure` for one of many: a case that breaks has no figure, and takes none from those behind
    it. A process of it may have ended, or been too late."""
    try:
        return measure(case, drive, told=told)
    except (MetabonkError, OSError, EOFError, subprocess.SubprocessError) as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        return unmeasured(case, f"it broke: {why}")


def _drive(contest: Contest, rounds: int, told: Told) -> None:
    for number in range(rounds):
        told(f"round {number + 1} of {rounds}")
        contest.peers_round()
        contest.our_round()
        if contest.late:
            break


def unmeasured(case: Case, why: str) -> Info:
    """What is stored of a case that was not reached, or broke."""
    found: Info = {"suite": case.suite, "name": case.name, "unit": case.unit, "ours": None}
    peers = {peer.name: {} for peer in case.peers}
    return {**found, "peers": peers, "machine": description(), "unmeasured": why}


def _info(case: Case, contest: Contest) -> Info:
    found: Info = {
        "suite": case.suite,
        "name": case.name,
        "unit": case.unit,
        "ours": contest.value(contest.ours),
        "peers": {peer: _peer(case, contest, peer) for peer in contest.peers},
        "machine": description(),
    }
    done = len(contest.values.get(contest.ours, ()))
    if contest.runs and done < case.rounds:
        within = f" within its {case.budget:g} s" if math.isfinite(case.budget) else ""
        found["unmeasured"] = f"{done} of {case.rounds} rounds{within}"
    return found


def _peer(case: Case, contest: Contest, name: str) -> Mapping[str, Any]:
    skipped = contest.skipped.get(contest.ours) or contest.skipped.get(name)
    found = contest.ratio(name)
    if skipped:
        return {"skipped": skipped}
    if found is None:
        return {}
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

"""Latency certificates: what a proof found for a policy, kept beside its weights.

Knows artifacts' cards and what a certificate is worth: it is of one policy in one game, at a rate
and a priority, on a kind of machine. The artifact's hash excludes it. Does not know how a proof is
made.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

import metabonk
from metabonk import artifact, machine
from metabonk.errors import ConfigError
from metabonk.play.proof import Report, default_p99

NAME = "latency"
TICKS_MIN = 10_000


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Of one policy's proof. Times are seconds; latency is capture to action. decided: share of
    its ticks in which the agent that decided least did so. worst_p99: of the agent that took
    longest; max_p99: the bound that it was held to, 0 for none. alike: whether the reference thread
    was granted what the loop's was, so that it could excuse misses; without, there were none.
    priority: of SCHED_FIFO as granted."""

    game: str
    hz: float
    ticks: int
    agents: int
    decided: float
    missed: int
    excused: int
    reference_missed: int
    latency_p50: float
    latency_p99: float
    latency_p999: float
    latency_max: float
    worst_p99: float
    max_p99: float
    alike: bool
    lateness_p99: float
    lateness_max: float
    priority: int
    loads: tuple[str, ...]
    processor: str
    tier: str
    version: str = metabonk.__version__
    created: str = ""


def of(report: Report, game: str) -> Certificate:
    """The certificate that a proof earns. Raises ConfigError for one that earns none."""
    if not report.passed:
        raise ConfigError(f"no certificate: {'; '.join(report.failures)}")
    if report.ticks < TICKS_MIN:
        raise ConfigError(f"no certificate: {report.ticks:,} ticks, it takes {TICKS_MIN:,}")
    here = machine.describe()
    return Certificate(
        game=game,
        hz=report.hz,
        ticks=report.ticks,
        agents=len(report.agents),
        decided=min(agent.decided / agent.ticks for agent in report.agents),
        missed=report.missed,
        excused=report.excused,
        reference_missed=report.reference_missed,
        latency_p50=report.latency.p50,
        latency_p99=report.latency.p99,
        latency_p999=report.latency.p999,
        latency_max=report.latency.max,
        worst_p99=max(agent.latency.p99 for agent in report.agents),
        max_p99=report.max_p99,
        alike=report.alike,
        lateness_p99=report.lateness.p99,
        lateness_max=report.lateness.max,
        priority=int(report.granted.get("priority", 0)),
        loads=tuple(report.loads),
        processor=here.processor,
        tier=here.tier,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def add(path: Path | str, certificate: Certificate) -> None:
    """Writes a certificate into the card of a policy's artifact, whose hash stays what it was."""
    artifact.certify(artifact.load(path), {NAME: msgspec.to_builtins(certificate)})


def certificates(card: artifact.Card) -> list[Certificate]:
    """Those of a card, oldest first; what another version wrote and this one cannot read is left
    out."""
    found = []
    for entry in card.certificates:
        if NAME in entry:
            try:
                found.append(msgspec.convert(entry[NAME], Certificate))
            except msgspec.ValidationError:
                continue
    return found


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate is wanted for. game: its name. priority: what the loop is granted, of
    SCHED_FIFO; 0 for ordinary scheduling. max_p99: what capture to action may take in 99 of 100
    ticks, seconds; 0: however long."""

    game: str
    hz: float
    agents: int = 1
    priority: int = 0
    max_p99: float = 0.0

    def proof(self, path: Path | str) -> str:
        """The command that earns it, for people."""
        words = ["metabonk play"]
        if self.game != "arena":
            words.append(f"--game {self.game}")
        words.append(f"--policy {path} --proof {TICKS_MIN}")
        if self.hz != 60.0:
            words.append(f"--hz {self.hz:g}")
        if self.agents != 1:
            words.append(f"--agents {self.agents}")
        if self.priority:
            words.append(f"--realtime {self.priority}")
        if self.max_p99 != default_p99(self.game, self.agents, self.hz):
            words.append(f"--max-p99 {1e3 * self.max_p99:g}")
        return " ".join(words)


def require(path: Path | str, wanted: Demand) -> Certificate:
    """The newest certificate of a policy that holds here, for what is wanted. Raises ConfigError
    that says why none does and how to come by one."""
    found = certificates(artifact.load(path, verify=False).card)
    remedy = f"`{wanted.proof(path)}` earns one, --uncertified plays without"
    if not found:
        raise ConfigError(f"{path} has no latency certificate: {remedy}")
    processor = machine.processor()
    reason = ""
    for certificate in reversed(found):
        against = _against(certificate, wanted, processor)
        if not against:
            return certificate
        reason = reason or against  # the newest one's
    raise ConfigError(f"{path} has no latency certificate that holds here ({reason}): {remedy}")


def _against(certificate: Certificate, wanted: Demand, processor: str) -> str:
    """Why a certificate does not hold, empty if it does."""
    if certificate.ticks < TICKS_MIN:
        return f"its {certificate.ticks:,} ticks are too few"
    if certificate.game != wanted.game:
        return f"it is of {certificate.game}, not of {wanted.game}"
    if certificate.hz < wanted.hz:
        return f"it is of {certificate.hz:g} ticks a second, not of {wanted.hz:g}"
    if certificate.agents < wanted.agents:
        return f"it is of {certificate.agents} agents, not of {wanted.agents}"
    if certificate.priority > wanted.priority:
        has = f"has {wanted.priority}" if wanted.priority else "has none"
        return f"it is of real-time priority {certificate.priority}, this loop {has}"
    if 0.0 < wanted.max_p99 < certificate.worst_p99:
        return (
            f"its {1e3 * certificate.worst_p99:.3f} ms from capture to action (p99, of "
            f"{certificate.agents} agents) are more than {1e3 * wanted.max_p99:g}"
        )
    if certificate.processor != processor:
        return f"it is of another machine, {certificate.processor}"
    return ""

"""Latency certificates: what a proof found for a policy, kept beside its weights.

Knows artifacts' cards and what a certificate is worth: it is of one policy, at a rate, on a kind of
machine. The artifact's hash excludes it. Does not know how a proof is made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

import metabonk
from metabonk import artifact, machine
from metabonk.errors import ConfigError
from metabonk.play.proof import Report

NAME = "latency"
TICKS_MIN = 10_000


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Of one policy's proof. Times are seconds; latency is capture to action."""

    game: str
    hz: float
    ticks: int
    agents: int
    missed: int
    excused: int
    reference_missed: int
    latency_p50: float
    latency_p99: float
    latency_p999: float
    latency_max: float
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
        raise ConfigError(
            f"no certificate: {report.missed - report.excused} deadlines were missed without excuse"
        )
    if report.ticks < TICKS_MIN:
        raise ConfigError(f"no certificate: {report.ticks:,} ticks, it takes {TICKS_MIN:,}")
    here = machine.describe()
    return Certificate(
        game=game,
        hz=report.hz,
        ticks=report.ticks,
        agents=len(report.agents),
        missed=report.missed,
        excused=report.excused,
        reference_missed=report.reference_missed,
        latency_p50=report.latency.p50,
        latency_p99=report.latency.p99,
        latency_p999=report.latency.p999,
        latency_max=report.latency.max,
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


def require(path: Path | str, hz: float, agents: int = 1) -> Certificate:
    """The newest certificate of a policy that holds here. Raises ConfigError that says why none
    does and how to come by one."""
    found = certificates(artifact.load(path, verify=False).card)
    prove = f"metabonk play --policy {path} --proof {TICKS_MIN}"
    remedy = f"`{prove}` earns one, --uncertified plays without"
    if not found:
        raise ConfigError(f"{path} has no latency certificate: {remedy}")
    processor = machine.processor()
    reason = ""
    for certificate in reversed(found):
        reason = _against(certificate, hz, agents, processor)
        if not reason:
            return certificate
    raise ConfigError(f"{path} has no latency certificate that holds here ({reason}): {remedy}")


def _against(certificate: Certificate, hz: float, agents: int, processor: str) -> str:
    """Why a certificate does not hold, empty if it does."""
    if certificate.ticks < TICKS_MIN:
        return f"its {certificate.ticks:,} ticks are too few"
    if certificate.hz < hz:
        return f"it is of {certificate.hz:g} ticks a second, not of {hz:g}"
    if certificate.agents < agents:
        return f"it is of {certificate.agents} agents, not of {agents}"
    if certificate.processor != processor:
        return f"it is of another machine, {certificate.processor}"
    return ""


def rows(certificate: Certificate) -> list[tuple[str, Any]]:
    """What people want to know of one."""
    ms = 1e3
    return [
        ("ticks", f"{certificate.ticks:,} at {certificate.hz:g} Hz, {certificate.agents} agents"),
        ("missed", f"{certificate.missed} ({certificate.excused} with an excuse)"),
        (
            "capture to action",
            f"p50 {certificate.latency_p50 * ms:.3f}, p99 {certificate.latency_p99 * ms:.3f}, "
            f"max {certificate.latency_max * ms:.3f} ms",
        ),
        ("load", ", ".join(certificate.loads) or "none"),
    ]

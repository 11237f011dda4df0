"""`metabonk soak`: runs a swarm while its servers are killed, and says what was lost."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from metabonk import files
from metabonk.cli.interrupt import interruptible
from metabonk.cli.output import check_target, console, refuse_idle, table, verb
from metabonk.cli.status_line import StatusLine
from metabonk.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from metabonk.bench.swarm.soak import Report

SUBJECTS = ("cognition",)
REPORT = "report.json"

app, command = verb(
    """Run the cognitive server and agents for minutes while things go wrong.

Agents are processes with the real client. The server is killed without notice, and
so is its model server; connections are cut, clients made anew, one agent does not look
at its replies, and others try to take a living agent's name. Afterwards what agents
wrote down is held against the server's journal: nothing may be lost, doubled or
followed too late, and who was killed has to be back. 1 if not. Everything stays on
this machine's loopback.

$ metabonk soak cognition                               ten minutes, sixteen agents
$ metabonk soak cognition --minutes 1 --broker-kills 4 --model-kills 2
$ metabonk soak cognition --no-model --agents 4         the embedded rules answer
$ metabonk soak cognition --out runs/soak               keeps journal, ledgers, a picture
$ metabonk soak cognition --json soak.json              the report as a file"""
)


@command
def soak(
    context: typer.Context,
    subject: str = typer.Argument("cognition", help="What is soaked: cognition.", metavar="WHAT"),
    minutes: float = typer.Option(10.0, help="How long agents ask.", min=0.05),
    agents: int = typer.Option(16, help="Agent processes.", min=1),
    period: float = typer.Option(0.5, help="Seconds between an agent's requests."),
    deadline: float = typer.Option(1.0, help="Seconds from capture until an answer is too late."),
    broker_kills: int = typer.Option(20, help="Times that the cognitive server is killed.", min=0),
    model_kills: int = typer.Option(10, help="Times that the model server is killed.", min=0),
    impostors: int = typer.Option(5, help="Attempts to take a living agent's name.", min=0),
    churn: float = typer.Option(
        0.02, help="Share of requests after which a connection is cut or a client made anew."
    ),
    slow: int = typer.Option(1, help="Agents that look away from their replies.", min=0),
    latency: float = typer.Option(0.05, help="Seconds that the model server takes.", min=0.0),
    model: bool = typer.Option(
        True, help="A model server answers (one without a model); else the embedded rules."
    ),
    seed: int = typer.Option(0, help="Draws when what goes wrong.", min=0),
    out: Path = typer.Option(
        None,
        help="Empty folder that keeps journal, ledgers, logs, report.json and soak.png.",
        metavar="DIR",
    ),
    json: Path = typer.Option(
        None, "--json", help="Write the report to this file.", metavar="FILE"
    ),
) -> None:
    if subject not in SUBJECTS:
        raise ConfigError(f"soak: no subject {subject!r}: there is {', '.join(SUBJECTS)}")
    if not model:
        why = "with --no-model there is no model server: leave one of them out"
        refuse_idle(context, {"--model-kills", "--latency"}, why)
    check_target(json)
    room = _room()
    plan = room.plan.Plan(
        agents=agents, seconds=minutes * 60.0, period=period, deadline=deadline,
        broker_kills=broker_kills, model_kills=model_kills if model else 0, impostors=impostors,
        churn=churn, slow=slow, latency=latency, model=model, seed=seed,
    )  # fmt: skip
    said = [f"starting {agents} agents"]
    with interruptible() as stopped, StatusLine(lambda: said[0], said[0], quiet=False) as line:

        def progress(now: str) -> None:
            said[0] = now
            line.look()

        if out is not None:
            report = room.soak.run(plan, out, progress=progress, stopped=stopped)
            files.replace(out / REPORT, _written(report))
        else:
            with tempfile.TemporaryDirectory(prefix="metabonk-soak-") as folder:
                where = Path(folder) / "soak"
                report = room.soak.run(plan, where, progress=progress, stopped=stopped)
    if json is not None:
        files.replace(json, _written(report))
    show(report)
    if not report.passed:
        raise typer.Exit(1)


def show(report: Report) -> None:
    """What happened, what was wrong, and whether it passed."""
    found = report.verdict
    rows: list[tuple[str, str]] = [
        ("agents, requests", f"{found.agents:,} clients, {found.requests:,}"),
        ("became", ", ".join(f"{count:,} {name}" for name, count in found.counts.items())),
        ("kills", f"{report.broker_kills} of the broker, {report.model_kills} of the model server"),
        ("names that were tried", _attempts(report)),
        ("lost, doubled, stale", _faults(found.fault_counts)),
    ]
    if found.recovery:
        median, high = found.recovered_within(0.5), found.recovered_within(0.99)
        rows.append(("without an answer after a kill", f"median {median:.2f} s, p99 {high:.2f} s"))
    if found.model_back is not None:
        rows.append(("the model server answers again", f"{found.model_back:.2f} s after its kill"))
    median, high, most = found.blocked_us
    rows += [
        ("a game's thread was held", f"median {median:.1f} us, p99 {high:.1f}, most {most:.0f}"),
        ("journal", f"{report.decisions:,} decisions of {report.decision_bytes:,.0f} bytes"),
        ("broker", f"{report.processor:.1%} of a processor, {report.resident / 2**20:.0f} MiB"),
    ]
    console.print(table(("", ""), rows, header=False))
    for fault in found.faults:
        console.print(f"  {fault.kind}: {fault.id}: {fault.why}", markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(f"  {problem}", markup=False, soft_wrap=True)
    verdict = "[green]passed[/]" if report.passed else "[bold red]failed[/]"
    console.print(f"{verdict} after {report.seconds:.0f} s")


def _attempts(report: Report) -> str:
    refused = sum(not attempt.bound for attempt in report.impostors)
    given = len(report.impostors) - refused
    told = f"{refused} refused"
    return f"{told}, {given} given while their agents were away" if given else told


def _faults(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "none"


def _written(report: Report) -> bytes:
    whole = msgspec.to_builtins(report) | {"passed": report.passed}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def _room() -> Any:
    if importlib.util.find_spec("metabonk.bench") is None:
        raise MissingExtraError("metabonk.bench", "bench", "a soak")
    room = importlib.import_module("metabonk.bench.swarm")
    for part in ("plan", "soak"):
        importlib.import_module(f"metabonk.bench.swarm.{part}")
    return room

"""`metabonk why`: says where one tick's action came from."""

from __future__ import annotations

from typing import Any

import typer

from metabonk.cli.output import JsonFlag, console, print_json, table, verb
from metabonk.play.session import Session, place

app, command = verb(
    """Say where one tick's action of a live session came from.

What was seen and when, which policy decided, what stood between it and the game,
and what took how long: from the decision ledger, nothing is played again.
`metabonk replay RUN:TICK` does that.

$ metabonk why runs/long:1200                 the newest session of a run
$ metabonk why runs/long/live/20260101-120000:1200 --agent 3"""
)


@command
def why(
    where: str = typer.Argument(
        help="Directory of a session, or of a run for its newest one, and the tick.",
        metavar="RUN:TICK",
    ),
    agent: int = typer.Option(0, help="Whose tick.", min=0),
    json: bool = JsonFlag,
) -> None:
    session, tick = place(where)
    found = explain(session, tick, agent)
    if json:
        print_json({"session": str(session.directory), **found})
        return
    console.print(f"[bold]{session.directory}[/] tick {tick}, agent {agent}", soft_wrap=True)
    for section, rows in found.items():
        if isinstance(rows, dict):
            shown = [(name, _text(value)) for name, value in rows.items()]
            console.print(table(["", ""], shown, title=section, header=False))


def explain(session: Session, tick: int, agent: int) -> dict[str, Any]:
    """Everything that the ledger knows of a tick, by section. Raises ConfigError for one that it
    does not have."""
    from metabonk.play.ledger import Gate, read_ledger
    from metabonk.records import Action

    ledger = read_ledger(session.directory)
    row = ledger.ticks[ledger.at(tick, agent)]
    gate = Gate(int(row["gate"]))
    found: dict[str, Any] = {
        "tick": tick,
        "agent": agent,
        "what happened": _happened(gate),
        "seen": _seen(row, gate),
        "decided by": _decider(session, row, gate),
        "directive": _directive(ledger, row, agent),
        "sent": _action(Action.from_row(row["action"])),
        "times, ms after the planned start": {
            name: float(row[name]) / 1e6 for name in ("woke", "seen", "decided", "acted")
        },
    }
    if gate & Gate.DECIDED:
        times = found["times, ms after the planned start"]
        acted = int(row["planned"]) + int(row["acted"])
        # To other processes a thread sends it later, which no ledger says.
        until = "action" if session.setup.game == "arena" else "hand-over"
        times[f"capture to {until}"] = (acted - int(row["capture"])) / 1e6
    return found


def _happened(gate: Any) -> dict[str, str]:
    from metabonk.play.ledger import MEANING

    return {one.name.lower(): MEANING[one] for one in MEANING if gate & one and one.name}


def _seen(row: Any, gate: Any) -> dict[str, Any]:
    from metabonk.play.ledger import Gate

    seen: dict[str, Any] = {"capture": int(row["sequence"]), "frame": int(row["frame"])}
    if gate & Gate.DECIDED:
        low, high = (int(x) for x in row["observation"])
        seen["time step, s"] = float(row["dt"])
        seen["hash of what was observed"] = f"{low:016x}{high:016x}"
    return seen


def _decider(session: Session, row: Any, gate: Any) -> dict[str, Any]:
    from metabonk import artifact
    from metabonk.play.ledger import Gate

    if not gate & Gate.DECIDED:
        return {"policy": "none: see what happened"}
    if not row["artifact"].any():
        return {"policy": f"{session.setup.policy}, on a thread of Python"}
    digest = bytes(row["artifact"]).hex()
    found: dict[str, Any] = {"policy": digest}
    try:
        card = artifact.load(session.artifact_path(digest), verify=False).card
        found |= {
            "made": f"{card.created} by metabonk {card.version}",
            "from": ", ".join(parent[:12] for parent in card.parents) or "nothing on record",
        }
        found |= {f"its {key}": value for key, value in card.details.get("terms", {}).items()}
    except FileNotFoundError:
        found["made"] = "unknown: the session has lost its copy"
    found["hash of its memory before"] = f"{int(row['memory']):016x}"
    found["random counter"] = int(row["counter"])
    found["chosen candidate"] = int(row["candidate"])
    score = float(row["score"])
    found["its score"] = score if score == score else "none: the policy tells no score or value"
    return found


def _directive(ledger: Any, row: Any, agent: int) -> dict[str, Any]:
    from metabonk.play.directive import of_ledger, told

    number = int(row["directive"])
    if number == 0:
        return {"in force": "none that changed the action"}
    given = ledger.directive(number, agent)
    if given is None:
        return {"in force": f"number {number}, which the ledger has lost"}
    left = (int(given["until"]) - int(row["planned"])) / 1e9
    return {
        "in force": told(of_ledger(given)),
        "number": number,
        "priority": int(given["priority"]),
        "taken up in tick": int(given["tick"]),
        "valid for another, s": left,
    }


def _action(action: Any) -> dict[str, Any]:
    return {name: getattr(action, name) for name in action.__slots__}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, tuple):
        return ", ".join(f"{x:.3f}" for x in value)
    return str(value)

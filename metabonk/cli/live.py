"""`metabonk play --live` and `--proof`: sets a live session up, watches it, says what came of it.

Knows sessions, what runs beside the loop, and tables; the loop is metabonk.play's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from metabonk import files, machine
from metabonk.cli.dual import refuse_live, refuse_menus
from metabonk.cli.interrupt import interruptible
from metabonk.cli.live_game import frames_of, game_of, level_of_session, picture_reporter
from metabonk.cli.live_plan import (
    Plan,
    artifact_of,
    bound_of,
    decider_of,
    demand_of,
    require_certificate,
)
from metabonk.cli.output import console, notice_line, print_json, stderr, table
from metabonk.cli.proof_table import show_report
from metabonk.config import Config
from metabonk.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from metabonk.play.loop import Live
    from metabonk.play.session import Session

REPORT, TRACE = "report.json", "trace.json"
RELOAD_SECONDS = 0.5  # between two looks at the policy's directory
PATIENCE = 30.0  # seconds for a game to appear


def run_live(plan: Plan, config: Config) -> None:
    """Plays, or proves; prints what came of it. Raises ConfigError for flags that do not go
    together and for a policy without a certificate."""
    if not machine.core_built():
        raise BackendError("the native core is not built: in a checkout run ./scripts/build")
    if not 0.1 <= plan.hz <= 10_000.0:
        raise ConfigError(f"--hz {plan.hz:g}: give 0.1 to 10000 ticks a second")
    if plan.loads and not plan.proof:
        raise ConfigError("--load: only --proof makes loads")
    if plan.proof and plan.seconds:
        raise ConfigError("--proof N ends by itself: leave --seconds out")
    if plan.proof and plan.reload:
        raise ConfigError("--reload: what is proven is one policy: leave it out")
    refuse_live(config)
    refuse_menus(config, live=True)
    bound_of(plan, config)  # refused before anything is compiled or played
    found = artifact_of(plan)
    if plan.record and found is None:
        raise ConfigError(
            f"--record: only what compiled policies observe is kept, and --policy {plan.policy} is "
            "none: leave it out, or give the directory of a run"
        )
    if not plan.proof:
        require_certificate(found, plan, config)
    with _assembled(plan, config, found) as (live, session):
        if plan.proof:
            _prove(plan, config, found, live, session)
        else:
            _play(plan, config, found, live, session)


@contextlib.contextmanager
def _assembled(plan: Plan, config: Config, found: Path | None) -> Iterator[tuple[Live, Session]]:
    """The loop over the game, ready to start; stopped at the end."""
    from metabonk.play.loop import REMEMBERED, Live, LoopSettings, described
    from metabonk.play.proof import WARM_UP
    from metabonk.play.session import Session, Setup, new_directory

    settings = LoopSettings(hz=plan.hz, cpu=plan.cpu, priority=plan.realtime)
    deciders = [decider_of(plan, config, found, agent) for agent in range(plan.agents)]
    seeds = tuple(plan.seed + agent for agent in range(plan.agents))
    frames = frames_of(plan, config, deciders)
    setup = Setup(
        game=config.game.name,
        hz=plan.hz,
        seeds=seeds,
        frames=frames,
        policy=plan.policy,
        artifact=deciders[0].hash,
        loop=described(settings),
        machine=msgspec.to_builtins(machine.describe()),
        level=level_of_session(config),
    )
    session = Session.create(plan.out or new_directory(plan.run), setup)
    if found is not None:
        session.keep_artifact(found)
    game = game_of(plan, config, frames, session, settings)
    ticks = plan.proof + WARM_UP if plan.proof else 0
    remembered = ticks or REMEMBERED
    # The arena can be played again from its inputs; of other games the observations are kept.
    record = found is not None and (plan.record or config.game.name != "arena")
    live = Live(
        game, deciders, settings, session, ticks=ticks, remembered=remembered,
        reference=plan.proof > 0, record=record,
    )  # fmt: skip
    if config.cognition.enabled or config.sima2.enabled:
        from metabonk.cli.system2 import put_beside

        put_beside(live, config, frames, plan.run)
    try:
        yield live, session
    finally:
        live.stop()


def _play(plan: Plan, config: Config, found: Path | None, live: Live, session: Session) -> None:
    from metabonk.play.proof import drops

    looks = [_reloader(plan, config, found, live, session)] if plan.reload else []
    if live.beside:
        from metabonk.cli.system2 import reporter

        looks += [reporter(live), picture_reporter(live)]
    live.game.start()
    _await_game(live)
    live.start()
    if not plan.json:
        stderr.print(f"playing; Ctrl-C ends it; {session.directory} keeps it", soft_wrap=True)
    with interruptible() as asked:
        live.wait(lambda: any(look() for look in looks) or asked(), plan.seconds)
    live.stop()
    _notice_troubles(live, plan)
    counts = live.counts()
    if plan.json:
        latency = [seat.latency() for seat in live.seats]
        shown = [{k: v for k, v in one.items() if k not in ("low", "counts")} for one in latency]
        print_json({"session": str(session.directory), **counts, "latency_ns": shown})
        return
    rows = []
    for agent, (seat, of) in enumerate(zip(live.seats, counts["agents"], strict=True)):
        latency = seat.latency()
        names = ("ticks", "decided", "held", "safe", "missed", "lost", "faults")
        spread = f"{latency['p50'] / 1e6:.3f} / {latency['p99'] / 1e6:.3f}"
        rows.append((agent, *(f"{of[name]:,}" for name in names), spread))
    heads = ["agent", ">ticks", ">decided", ">held", ">safe", ">missed", ">lost", ">faults"]
    console.print(table([*heads, ">capture to action p50 / p99, ms"], rows))
    if dropped := {name: count for name, count in drops(live).items() if count}:
        console.print(table(["dropped", ">"], [(k, f"{v:,}") for k, v in dropped.items()]))
    if "system2" in counts:
        from metabonk.cli.system2 import show

        show(counts["system2"])
    console.print(f"kept in {session.directory}", soft_wrap=True)


def _reloader(
    plan: Plan, config: Config, found: Path | None, live: Live, session: Session
) -> Callable[[], bool]:
    """Looks after the policy's directory now and then; never true."""
    from metabonk.play import certificate
    from metabonk.play.loop import CompiledDecider
    from metabonk.play.reload import Reloader

    deciders = [decider for decider in live.deciders if isinstance(decider, CompiledDecider)]
    if found is None or not deciders:
        raise ConfigError(f"--reload: {plan.policy} has no weights that could change")

    demand = demand_of(plan, config)

    def allowed() -> None:
        if not plan.uncertified:
            certificate.require(found, demand)

    watch, next_look = Reloader(found, deciders, session, allowed), time.monotonic()

    def look() -> bool:
        nonlocal next_look
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + RELOAD_SECONDS
            if said := watch.look():
                notice_line(said)
        return False

    return look


def _prove(plan: Plan, config: Config, found: Path | None, live: Live, session: Session) -> None:
    from metabonk.play import certificate, proof, trace
    from metabonk.play.live_games import ArenaLive
    from metabonk.play.loads import running

    ring = live.game.ring_name() if isinstance(live.game, ArenaLive) else ""
    live.game.start()
    _await_game(live)
    live.start()
    with running(plan.loads, ring) as loads:
        _watch(live, plan)
    live.stop()
    _notice_troubles(live, plan)
    report = proof.examine(live, loads, bound_of(plan, config))
    files.write(session.directory / REPORT, msgspec.json.format(msgspec.json.encode(report)))
    times = [live.times(agent) for agent in range(len(live.seats))]
    late = live.loop.reference(0, report.ticks + proof.WARM_UP)["late"]
    files.write(session.directory / TRACE, trace.perfetto(times, late, 0))
    said = ""
    if found is not None:
        try:
            certificate.add(found, certificate.of(report, config.game.name))
            said = f"certified  {found}"
        except ConfigError as error:
            said = str(error)
    if plan.json:
        found_json = {"session": str(session.directory), "certificate": said}
        print_json({**found_json, **msgspec.to_builtins(report)})
    else:
        show_report(report)
        console.print(f"written  {session.directory / REPORT}", soft_wrap=True)
        trace_at = session.directory / TRACE
        console.print(f"written  {trace_at}: open it at https://ui.perfetto.dev", soft_wrap=True)
        if said:
            console.print(said, soft_wrap=True)
    if not report.passed:
        raise SystemExit(1)


def _await_game(live: Live) -> None:
    from metabonk.play.live_games import GamesElsewhere

    if isinstance(live.game, GamesElsewhere):
        with stderr.status("waiting for the game"):
            live.game.await_connected(PATIENCE)


def _watch(live: Live, plan: Plan) -> None:
    """Until the loop ends, with a bar."""
    total = plan.proof
    bar = Progress(
        TextColumn("proving"), BarColumn(bar_width=None), TextColumn("{task.completed:,.0f} ticks"),
        TextColumn("{task.fields[missed]} missed"), TimeRemainingColumn(),
        console=stderr, expand=True, disable=plan.json or not stderr.is_terminal,
        refresh_per_second=2,
    )  # fmt: skip
    task = bar.add_task("", total=total, missed=0)
    with bar, interruptible() as asked:
        while live.loop.running and not asked():
            live.wait(asked, 0.5, look=0.25)
            missed = sum(int(seat.counts()["missed"]) for seat in live.seats) + live.loop.skipped
            bar.update(task, completed=min(live.loop.ticks, total), missed=missed)
        if asked():
            raise KeyboardInterrupt


def _notice_troubles(live: Live, plan: Plan) -> None:
    from metabonk.play.live_games import GamesElsewhere

    granted = live.loop.granted()
    for what, asked in (("priority", plan.realtime > 0), ("cpu", live.settings.processor() >= 0)):
        if asked and granted[f"{what}_error"]:
            notice_line(f"the loop's {what} was refused: {granted[f'{what}_error']}")
    if isinstance(live.game, GamesElsewhere):
        if error := live.game.refused():
            notice_line(f"the priority of the thread that sends to the game was refused: {error}")
        for ended in live.game.ended():
            notice_line(f"{ended}; that game was no longer played")
    counts = live.counts()
    if unshown := counts["game"].get("unshown"):
        notice_line(
            f"{unshown:,} captures were not shown, the frame ring took no frame: is /dev/shm full?"
        )
    if "system2" in counts:
        from metabonk.cli.system2 import notice_unsent

        notice_unsent(counts["system2"])
    for journal in (counts.get("ledger"), counts.get("recording"), counts["game"].get("inputs")):
        if journal is not None and journal["error"]:
            notice_line(f"the session's disk failed, what came later is lost: {journal['error']}")

"""`metabonk play --live` and `--proof`: sets a live session up, watches it, says what came of it.

Knows flags, where policies and certificates are, and tables; the loop is metabonk.play's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from metabonk import artifact, files, machine
from metabonk.cli.dual import refuse_live
from metabonk.cli.host import secret_of
from metabonk.cli.interrupt import interruptible
from metabonk.cli.output import console, notice_line, print_json, require, stderr, table
from metabonk.cli.proof_table import show_report
from metabonk.cli.sizes import size_of
from metabonk.config import Config
from metabonk.errors import BackendError, ConfigError, CorruptError

if TYPE_CHECKING:
    from metabonk.play.certificate import Demand
    from metabonk.play.loop import Decider, Live, LoopSettings
    from metabonk.play.session import Session

REPORT, TRACE = "report.json", "trace.json"
FRAMES = (84, 84)
RELOAD_SECONDS = 0.5  # between two looks at the policy's directory
PATIENCE = 30.0  # seconds for a game to appear


@dataclass(frozen=True)
class Plan:
    """What the flags ask for. run: the policy's run directory, if that is what it names."""

    policy: str
    run: Path | None
    seed: int
    seconds: float
    proof: int
    agents: int
    hz: float
    frames: str | None
    loads: tuple[str, ...]
    realtime: int
    cpu: int | None
    uncertified: bool
    greedy: bool
    out: Path | None
    record: bool
    reload: bool
    json: bool


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
    found = _artifact(plan)
    if found is not None and not plan.proof:
        _certified(found, plan, config)
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
    deciders = [_decider(plan, config, found, agent) for agent in range(plan.agents)]
    seeds = tuple(plan.seed + agent for agent in range(plan.agents))
    frames = _frames(plan, config, deciders)
    setup = Setup(
        game=config.game.name,
        hz=plan.hz,
        seeds=seeds,
        frames=frames,
        policy=plan.policy,
        artifact=deciders[0].hash,
        loop=described(settings),
        machine=msgspec.to_builtins(machine.describe()),
        level=_level(config),
    )
    session = Session.create(plan.out or new_directory(plan.run), setup)
    if found is not None:
        session.keep_artifact(found)
    game = _game(plan, config, frames, session, settings)
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


def _artifact(plan: Plan) -> Path | None:
    """The compiled policy that is meant; None for players that are written in Python.

    Of a run it is policies/live, or policies/greedy, made if it is not there or older than the run.
    """
    path = Path(plan.policy)
    if (path / artifact.CARD).exists():
        return path
    if plan.run is None:
        return None
    made = plan.run / "policies" / ("greedy" if plan.greedy else "live")
    if not _current(made, plan.run):
        require("torch", "train", f"compiling {plan.policy}")
        from metabonk.learn.compiling import compile_run

        with stderr.status("compiling the policy"):
            compile_run(
                plan.run, made, sampled=not plan.greedy, episodes=0, seed=plan.seed, valued=True
            )
    return made


def _current(made: Path, run: Path) -> bool:
    """Whether a compiled policy is there and no checkpoint of the run is newer."""
    try:
        artifact.load(made, verify=False)
    except (FileNotFoundError, CorruptError):
        return False
    compiled = (made / artifact.CARD).stat().st_mtime
    checkpoints = (run / "checkpoints").glob(f"*/{artifact.CARD}")
    return all(path.stat().st_mtime <= compiled for path in checkpoints)


def _demand(plan: Plan, config: Config) -> Demand:
    """What the live loop's certificate must be of: a priority that is refused is none."""
    from metabonk.play.certificate import Demand
    from metabonk.play.loop import LoopSettings

    settings = LoopSettings(hz=plan.hz, cpu=plan.cpu, priority=plan.realtime)
    granted = int(settings.granted()["priority"])
    return Demand(game=config.game.name, hz=plan.hz, agents=plan.agents, priority=granted)


def _certified(found: Path, plan: Plan, config: Config) -> None:
    from metabonk.play import certificate

    try:
        certificate.require(found, _demand(plan, config))
    except ConfigError as error:
        if not plan.uncertified:
            raise
        notice_line(str(error))


def _decider(plan: Plan, config: Config, found: Path | None, agent: int) -> Decider:
    from metabonk.play.loop import CompiledDecider, PythonDecider

    if found is not None:
        return CompiledDecider(found)
    from metabonk.games import scripted
    from metabonk.records import ACTION_LAYOUT

    if plan.policy == "random":
        return PythonDecider(scripted.RandomPolicy(plan.seed + agent, ACTION_LAYOUT), "random")
    if plan.policy == "scripted":
        from metabonk.games.arena import level_of

        size = level_of(config.game.level or None).terrain.size
        return PythonDecider(scripted.ScriptedPolicy(scripted.Habits(size=size)), "scripted")
    raise ConfigError(
        f"--policy {plan.policy}: not the directory of a run or of a compiled policy, and not "
        "scripted or random"
    )


def _frames(plan: Plan, config: Config, deciders: list[Decider]) -> tuple[int, int]:
    from metabonk.play.loop import CompiledDecider

    first = deciders[0]
    read = first.frame if isinstance(first, CompiledDecider) else (0, 0)
    if config.game.name == "research_shm" and not read[0] and plan.policy != "random":
        raise ConfigError(
            f"--policy {plan.policy}: research_shm shows frames and nothing else, and this policy "
            "reads none: train one on research_shm"
        )
    if plan.frames is None:
        return read if read[0] or config.game.name != "arena" else FRAMES
    asked = size_of("--frames", plan.frames, none=True)
    if read[0] and asked != read:
        raise ConfigError(f"--frames {plan.frames}: the policy reads {read[0]}x{read[1]}")
    return asked


def _level(config: Config) -> dict[str, Any]:
    """The arena's level as the live game plays it: a decision at every tick."""
    if config.game.name != "arena":
        return {}
    from metabonk.games.arena import level_of

    plain: dict[str, Any] = msgspec.to_builtins(level_of(config.game.level or None, 1))
    return plain


def _game(
    plan: Plan, config: Config, frames: tuple[int, int], session: Session, settings: LoopSettings
) -> Any:
    from metabonk.games.bonklink_line import Address
    from metabonk.games.offer_places import points
    from metabonk.play.live_games import ArenaLive, BonkLinkLive

    of = config.game
    if of.name == "research_shm":
        return _research(plan, config, frames)
    if of.name == "arena":
        from metabonk.games.arena import level_of

        level = level_of(of.level or None, 1)
        return ArenaLive(level.pack(), session.setup.seeds, frames, session, settings.hz)
    if of.name != "bonklink":
        raise ConfigError(
            f"--live: {of.name} is not played live; arena, bonklink and research_shm are"
        )
    if of.use_pipe and plan.agents > 1:
        raise ConfigError(f"--agents {plan.agents}: a pipe leads to one game; use ports")
    host = f"[{of.host}]" if ":" in of.host else of.host
    places = [f"tcp://{host}:{of.port + agent}" for agent in range(plan.agents)]
    if of.use_pipe:
        places = [f"pipe://{of.pipe_name}"]
    token = secret_of(Path(of.token_file) if of.token_file else None)
    offers = points("game.offer_places", of.offer_places)
    # Axes and places as where it learned.
    return BonkLinkLive(places, of.protocol, token, frames, Address.axes, offers)


def _research(plan: Plan, config: Config, frames: tuple[int, int]) -> Any:
    from metabonk.link.research_shm import paths_of
    from metabonk.play.live_games import ResearchLive

    of = config.game
    return ResearchLive(paths_of(of.instance, plan.agents, of.research_dir), frames)


def _play(plan: Plan, config: Config, found: Path | None, live: Live, session: Session) -> None:
    looks = [_reloader(plan, config, found, live, session)] if plan.reload else []
    if live.beside:
        from metabonk.cli.system2 import reporter

        looks.append(reporter(live))
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

    demand = _demand(plan, config)

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
    report = proof.examine(live, loads)
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
    granted = live.loop.granted()
    for what, asked in (("priority", plan.realtime > 0), ("cpu", live.settings.processor() >= 0)):
        if asked and granted[f"{what}_error"]:
            notice_line(f"the loop's {what} was refused: {granted[f'{what}_error']}")
    counts = live.counts()
    if unshown := counts["game"].get("unshown"):
        notice_line(
            f"{unshown:,} captures were not shown, the frame ring took no frame: is /dev/shm full?"
        )
    for journal in (counts.get("ledger"), counts.get("recording"), counts["game"].get("inputs")):
        if journal is not None and journal["error"]:
            notice_line(f"the session's disk failed, what came later is lost: {journal['error']}")

"""What `metabonk play --live` and `--proof` were asked for: flags, and the policy they mean.

Knows where policies and certificates are and who decides for a name; no game, no loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metabonk import artifact
from metabonk.cli.output import notice_line, require, stderr
from metabonk.config import Config
from metabonk.errors import ConfigError, CorruptError

if TYPE_CHECKING:
    from metabonk.play.certificate import Demand
    from metabonk.play.loop import Decider


@dataclass(frozen=True)
class Plan:
    """What the flags ask for. run: the policy's run directory, if that is what it names. max_p99:
    milliseconds, 0 for no bound, None for what is usual."""

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
    max_p99: float | None
    greedy: bool
    out: Path | None
    record: bool
    reload: bool
    json: bool


def artifact_of(plan: Plan) -> Path | None:
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


def bound_of(plan: Plan, config: Config) -> float:
    """What capture to action may take in 99 of 100 ticks, seconds; 0: however long, as under loads
    if nobody says otherwise: there deadlines are judged, beside those of the reference."""
    from metabonk.play.proof import default_p99

    if plan.max_p99 is None:
        return 0.0 if plan.loads else default_p99(config.game.name, plan.agents, plan.hz)
    if not 0.0 <= plan.max_p99 <= 1e6:
        raise ConfigError(f"--max-p99 {plan.max_p99:g}: give milliseconds, or 0 for no bound")
    return plan.max_p99 / 1e3


def demand_of(plan: Plan, config: Config) -> Demand:
    """What the live loop's certificate must be of: a priority that is refused is none."""
    from metabonk.play.certificate import Demand
    from metabonk.play.loop import LoopSettings

    settings = LoopSettings(hz=plan.hz, cpu=plan.cpu, priority=plan.realtime)
    granted = int(settings.granted()["priority"])
    return Demand(
        game=config.game.name, hz=plan.hz, agents=plan.agents, priority=granted,
        max_p99=bound_of(plan, config),
    )  # fmt: skip


def require_certificate(found: Path | None, plan: Plan, config: Config) -> None:
    """Raises ConfigError for a policy without a certificate of what is asked for; only says so if
    the plan does without. found: None of a policy that has no artifact which could bear one."""
    from metabonk.play import certificate

    try:
        if found is None:
            raise ConfigError(
                f"--policy {plan.policy} decides on a thread of Python, which no certificate is "
                "given for: give the directory of a run, or play with --uncertified"
            )
        certificate.require(found, demand_of(plan, config))
    except ConfigError as error:
        if not plan.uncertified:
            raise
        notice_line(str(error))


def decider_of(plan: Plan, config: Config, found: Path | None, agent: int) -> Decider:
    """Who decides for an agent: the compiled policy, or a player written in Python."""
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

"""`metabonk play --live --system2`: clients of the cognitive server beside the live loop, as the
settings say, and a table of what came of them.

Knows settings, key files and predictors; the clients are metabonk.cognition's, how they look at the
loop is metabonk.play's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from metabonk.cli.output import console, notice_line, require, table
from metabonk.config import Config, Sima2Config
from metabonk.errors import CheckpointError, ConfigError, MissingExtraError

PATIENCE = 5.0  # seconds in which a server may come before somebody is told that there is none

if TYPE_CHECKING:
    from metabonk.cognition.agent.client import ClientSettings, Sight
    from metabonk.cognition.agent.line import Keys
    from metabonk.cognition.vocabulary import Directive
    from metabonk.play.loop import Live
    from metabonk.play.system2 import System2


def put_beside(live: Live, config: Config, frames: tuple[int, int], run: Path | None) -> System2:
    """Makes the clients of a loop that has not started; they start and stop with it. run: of the
    policy, whose world model `dream` is. Raises ConfigError for settings that cannot be."""
    from metabonk.cognition.strips import predictors
    from metabonk.play.live_games import ArenaLive
    from metabonk.play.system2 import System2

    cognition, game = config.cognition, config.game.name
    agents = range(len(live.seats))
    kind, given = _predictor(config, run, frames)
    rings = [live.game.ring_name(i) for i in agents] if isinstance(live.game, ArenaLive) else []
    made = System2(
        live,
        cognition.server,
        [f"{cognition.agent}-{agent}" for agent in agents],
        client_settings(config),
        reward=_reward(config),
        frames=frames,
        rings=rings,
        predictors=[predictors.make(kind, game, given, frames) for _ in agents],
        local=_rules(config) if cognition.fallback == "rules" else None,
        told=_teller() if config.sima2.enabled and config.sima2.log else None,
    )
    live.beside.append(made)
    return made


def client_settings(config: Config) -> ClientSettings:
    """What the settings say of clients. Raises ConfigError for keys that cannot be read."""
    from metabonk.cognition.agent.client import ClientSettings

    cognition, menu = config.cognition, config.menu
    return ClientSettings(
        every=cognition.every,
        patience=cognition.patience,
        pictures=cognition.pictures,
        quality=cognition.quality,
        outcomes=cognition.rl_logging,
        menus=menu.enabled,
        offers=menu.offers,
        goal=config.sima2.goal if config.sima2.enabled else "",
        menu_goal=menu.goal,
        protocol=cognition.protocol,
        keys=_keys(cognition.key, cognition.server_key),
    )


def show(counts: list[dict[str, Any]]) -> None:
    """A table of every agent's requests and what became of them. late: came too late, or never;
    refused: rejected, or no answer that can be followed; ms: from capture to answer, smoothed."""
    rows = []
    for agent, one in enumerate(counts):
        answered = one["ok"] + one["fallback"]
        figures = (
            one["requests"], one["ok"], one["fallback"], one["stale"] + one["lost"],
            one["rejected"] + one["error"], one["applied"], one["local"],
        )  # fmt: skip
        latency = f"{one['latency_ms']:.1f}" if answered else "-"
        rows.append((agent, *(f"{figure:,}" for figure in figures), latency))
        if not one["connected"] and not one["requests"]:
            notice_line(f"agent {agent}: the cognitive server was not reached: {_why(one)}")
    heads = ("asked", "ok", "fallback", "late", "refused", "followed", "local", "ms")
    console.print(table(["System 2", *(f">{head}" for head in heads)], rows))


def notice_unsent(counts: list[dict[str, Any]]) -> None:
    """Says of which agents the server's log lacks outcomes, once they have ended."""
    for agent, one in enumerate(counts):
        if waiting := one["waiting_outcomes"]:
            notice_line(
                f"agent {agent}: {waiting:,} outcomes are lost, the cognitive server did not "
                "acknowledge them in time: its log lacks them; end the server after its agents"
            )
        if dropped := one["dropped"]:
            notice_line(
                f"agent {agent}: {dropped:,} outcomes were dropped: the server refused them or was "
                "away for too long; of version 1 it takes none (cognition.protocol)"
            )


def reporter(live: Live) -> Callable[[], bool]:
    """What says once, while a game is played, that an agent's server is not there, and why; never
    true."""
    from metabonk.play.system2 import System2

    began, told = time.monotonic(), set[int]()
    systems = [other for other in live.beside if isinstance(other, System2)]

    def look() -> bool:
        late = time.monotonic() - began >= PATIENCE
        for system2 in systems if late else ():
            for agent, client in enumerate(system2.clients):
                if client.connected or agent in told:
                    continue
                told.add(agent)
                one = {"why": client.why, "refusals": client.refusals}
                notice_line(f"agent {agent}: no cognitive server yet at {client.url}: {_why(one)}")
        return False

    return look


def _why(one: dict[str, Any]) -> str:
    """Why an agent has no server, with the remedy where there is one."""
    why = str(one["why"])
    if why.startswith("taken"):
        return f"{why}, as by --set cognition.agent=NAME"
    if not why and one["refusals"]:
        return "it does not take our key: put this agent into its --allow list"
    return why or "nothing answers there: `metabonk serve cognitive` starts one"


def _keys(own: str, server: str) -> Keys | None:
    if not own and not server:
        return None
    if not own or not server:
        raise ConfigError(
            "cognition.key, cognition.server_key: both are needed, this agent's secret key and the "
            "server's public one: `metabonk keys new` makes them"
        )
    from metabonk.cognition.agent.line import Keys
    from metabonk.cognition.protocol.keys import read_pair, read_public

    try:
        pair = read_pair(own)
        return Keys(read_public(server), pair.public, pair.secret)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{error.filename}: no such key file: `metabonk keys new NAME` makes one"
        ) from error


def _reward(config: Config) -> Any:
    """The arena's weights, of what states show of them; the default level's for other games."""
    from metabonk.games.arena import level_of

    level = config.game.level if config.game.name == "arena" else ""
    return msgspec.structs.replace(level_of(level or None).reward, damage_dealt=0.0)


def _teller() -> Callable[[int, Directive], None]:
    """Shows every subgoal that comes into force, with the seconds since now."""
    began = time.monotonic()

    def tell(agent: int, directive: Directive) -> None:
        notice_line(f"{time.monotonic() - began:6.1f} s, agent {agent}: {directive}")

    return tell


def _rules(config: Config) -> Callable[[Sight], Directive | None]:
    """The embedded planner, which answers while no server does."""
    from metabonk.cognition.backends.rules import Strategist, temper_of

    goal = config.sima2.goal if config.sima2.enabled else ""
    strategist = Strategist(temper_of(goal))
    return lambda sight: strategist.plan(sight.packed)


def notice_idle(config: Config, *, live: bool) -> None:
    """Says which settings of System 2 change nothing here. live: whether a live loop plays, which
    has clients beside it."""
    if config.cognition.enabled and not (live or config.sima2.enabled):
        notice_line(
            "cognition.enabled (METABONK_SYSTEM2_ENABLED): nobody is asked: that is done beside "
            "`metabonk play --live`, or by the controller of sima2.enabled (METABONK_USE_SIMA2=1)"
        )
    if config.menu.model:
        notice_line(
            "menu.model (METABONK_VLM_MENU_MODEL): an agent does not choose who answers: tell it "
            "the server, `metabonk serve cognitive --backend openai`"
        )
    if config.sima2.enabled:
        return
    usual = Sima2Config()
    given = [n for n in usual.__struct_fields__ if getattr(config.sima2, n) != getattr(usual, n)]
    if given:
        names = ", ".join(f"sima2.{name}" for name in given)
        notice_line(f"nothing reads {names} without sima2.enabled (METABONK_USE_SIMA2=1)")


def notice_unasked(config: Config, why: str) -> None:
    """Says that a System 2 which is switched on has no part in what is done here. why: nobody asks
    it, and where it is asked."""
    on = {
        "cognition.enabled (METABONK_SYSTEM2_ENABLED)": config.cognition.enabled,
        "sima2.enabled (METABONK_USE_SIMA2)": config.sima2.enabled,
    }
    names = ", ".join(name for name, is_on in on.items() if is_on)
    if names:
        notice_line(f"{names}: nobody is asked: {why}")


def world_of(run: Path) -> str:
    """By what measurements know a run's world model: the hash of its newest checkpoint, which it is
    in. Raises CheckpointError where it has none."""
    from metabonk.learn import checkpoint

    return str(checkpoint.latest(run).hash)


def _predictor(
    config: Config, run: Path | None, frames: tuple[int, int]
) -> tuple[str, dict[str, Any]]:
    """The kind of predictor, and the run's world model as one, where that is asked for or is the
    recorded default of this very world model; `auto` goes on without it, and says why, where it
    cannot be had."""
    kind: str = config.cognition.predictor
    if run is None or kind not in ("auto", "dream"):
        return kind, {}
    try:
        if kind == "auto" and not _dreams_best(config.game.name, run, frames):
            return kind, {}
        require("torch", "train", "cognition.predictor dream")
        from metabonk.learn.dreams.frames import of_run

        return "dream", {"dream": of_run(run, config)}
    except (CheckpointError, ConfigError, MissingExtraError) as error:
        if kind == "dream":
            raise
        notice_line(f"cognition.predictor auto: no dreams of {run}: {error}")
        return kind, {}


def _dreams_best(game: str, run: Path, frames: tuple[int, int]) -> bool:
    """Whether the run's own dreams are the recorded default. Raises CheckpointError and
    MissingExtraError; only where dreams of this game were ever worth it."""
    from metabonk.cognition.strips import predictors

    recorded = predictors.read_table()
    dreams = [m for m in recorded if m.predictor == "dream" and m.game == game]
    if not any(m.good for m in dreams):
        return False
    require("torch", "train", "cognition.predictor auto")
    world = world_of(run)
    if all(m.world != world for m in dreams):
        notice_line(
            f"cognition.predictor auto: the dreams that were recorded for {game} are not those of "
            f"{run}, as it is now: `metabonk strips --predictor dream --world {run}` measures them"
        )
    return predictors.best(game, recorded, size=frames, world=world) == "dream"

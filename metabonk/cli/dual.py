"""The dual-system controller for verbs that play: the embedded planner on whatever policy is meant.

Knows settings, players and where motors are; the controller is metabonk.play's, the planner
metabonk.cognition's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metabonk.cli.output import notice_line
from metabonk.config import Config, Sima2Config
from metabonk.errors import ConfigError


def controlled(player: Any, game: Any, config: Config, run: Path | None, seed: int) -> Any:
    """`player` with System 2's directives where `sima2.enabled` says so, else as it is.

    Raises ConfigError for a game that gives no states, and where a motor is to be loaded and no run
    is named.
    """
    settings = config.sima2
    if not settings.enabled:
        return player
    from metabonk.play.dual import Dual, DualSettings, states_of

    motor = _motor(game, config, run, seed) if settings.load_cpqe else player
    return Dual(
        motor,
        _planner(config),
        states_of(game),
        level=_level(config),
        settings=DualSettings(every=settings.every, latency=settings.latency),
        told=_tell if settings.log else None,
    )


def refuse_live(config: Config) -> None:
    """Raises ConfigError for what only the controller of games that wait does, and not the live
    loop, whose System 2 is its clients'."""
    settings = config.sima2
    if not settings.enabled:
        return
    if settings.load_cpqe:
        raise ConfigError(
            "sima2.load_cpqe: the live loop plays compiled policies, and no motors yet: watch the "
            "motor without --live, or unset it (METABONK_SIMA2_LOAD_CPQE=0)"
        )
    if settings.push_rollouts:
        raise ConfigError(
            "sima2.push_rollouts: a live session is kept as one, with --record also what it saw: "
            "unset it (METABONK_SIMA2_PUSH_ROLLOUTS=0), or make rollouts without --live"
        )
    if settings.latency:
        raise ConfigError(
            f"sima2.latency = {settings.latency:g}: live answers take the time that they take: "
            "unset it, or play without --live"
        )
    if settings.every != Sima2Config().every:
        raise ConfigError(
            f"sima2.every = {settings.every:g}: live, cognition.every says how often System 2 is "
            "asked (METABONK_STRATEGY_FREQUENCY): set that one"
        )


def refuse_menus(config: Config, *, live: bool) -> None:
    """Raises ConfigError where the menu navigator is wanted and nobody would run it: it is a part
    of System 2's clients, which only a live loop has."""
    if not config.menu.enabled or (live and (config.cognition.enabled or config.sima2.enabled)):
        return
    if live:
        raise ConfigError(
            "menu.enabled (METABONK_USE_VLM_MENU): System 2 goes through menus, and it is not "
            "asked: add --system2 beside --live, or unset it (METABONK_USE_VLM_MENU=0)"
        )
    raise ConfigError(
        "menu.enabled (METABONK_USE_VLM_MENU): menus are gone through beside a live loop only: "
        "play with --system2 --live, or unset it (METABONK_USE_VLM_MENU=0)"
    )


def _planner(config: Config) -> Any:
    """The embedded rules; with `cognition.enabled` the cognitive server, and them behind it."""
    from metabonk.cognition.backends.rules import Strategist, temper_of

    rules = Strategist(temper_of(config.sima2.goal))
    cognition = config.cognition
    if not cognition.enabled:
        return rules
    from metabonk.cli.system2 import client_settings
    from metabonk.cognition.agent.served import ServedPlanner

    settings = client_settings(config)
    local = rules.plan if cognition.fallback == "rules" else None
    return ServedPlanner(f"{cognition.agent}-0", cognition.server, settings, local)


def recorded(game: Any, config: Config, run: Path | None, seed: int) -> Any:
    """`game`, recorded into the run where `sima2.push_rollouts` says so, else as it is."""
    if not (config.sima2.enabled and config.sima2.push_rollouts):
        return game
    from metabonk.play.rollouts import FOLDER, RolloutGame

    return RolloutGame(game, _run(config, run) / FOLDER, seed=seed, actor="policy:sima2")


def _run(config: Config, run: Path | None) -> Path:
    found = Path(config.sima2.run) if config.sima2.run else run
    if found is None:
        raise ConfigError(
            "sima2.run: no run is named whose motor to load or where to put rollouts: give "
            "--policy RUN or sima2.run"
        )
    return found


def _motor(game: Any, config: Config, run: Path | None, seed: int) -> Any:
    """The newest consistency motor of the run, as System 1."""
    from metabonk.cli.players import player_of

    folder = _run(config, run) / "motors"
    if not folder.is_dir():
        raise ConfigError(
            f"sima2.load_cpqe: {folder} is not there: learn a motor with `metabonk pretrain cpqe`"
        )
    return player_of(str(folder), None, game, config, seed, False)


def _level(config: Config) -> bytes | None:
    """From which the ground follows; None for games that say nothing of theirs."""
    if config.game.name != "arena":
        return None
    from metabonk.games.arena import level_of

    return level_of(config.game.level or None).pack()


def _tell(env: int, seconds: float, directive: Any) -> None:
    notice_line(f"{seconds:6.1f} s, game {env}: {directive}")

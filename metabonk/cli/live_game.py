"""The game that `metabonk play --live` plays, as it is configured, and the frames it shows.

Knows the settings of links and levels; does not know who plays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from metabonk.cli.host import secret_of
from metabonk.cli.live_plan import Plan
from metabonk.cli.output import notice_line
from metabonk.cli.sizes import size_of
from metabonk.config import Config
from metabonk.errors import ConfigError

if TYPE_CHECKING:
    from metabonk.play.loop import Decider, Live, LoopSettings
    from metabonk.play.session import Session

FRAMES = (84, 84)
PICTURES = 3.0  # seconds in which a game may show its first picture


def frames_of(plan: Plan, config: Config, deciders: list[Decider]) -> tuple[int, int]:
    """Height and width of the frames that the policy reads, zeros for none. Raises ConfigError for
    sizes that do not go together."""
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


def picture_reporter(live: Live) -> Callable[[], bool]:
    """What says once, while a game is played, of which agents the server looks at pictures that
    their game does not show; never true."""
    from metabonk.play.system2 import System2

    began, told = time.monotonic(), set[str]()
    systems = [other for other in live.beside if isinstance(other, System2)]

    def look() -> bool:
        late = time.monotonic() - began >= PICTURES
        clients = [client for system2 in systems for client in system2.clients] if late else []
        blind = [c.agent for c in clients if c.agent not in told and c.pictureless]
        told.update(blind)
        if blind:
            notice_line(
                f"{', '.join(blind)}: the cognitive server looks at pictures, and the game shows "
                "none: it decides by states alone; --frames 180x320 asks the game for pictures"
            )
        return False

    return look


def level_of_session(config: Config) -> dict[str, Any]:
    """The arena's level as the live game plays it: a decision at every tick."""
    if config.game.name != "arena":
        return {}
    from metabonk.games.arena import level_of

    plain: dict[str, Any] = msgspec.to_builtins(level_of(config.game.level or None, 1))
    return plain


def game_of(
    plan: Plan, config: Config, frames: tuple[int, int], session: Session, settings: LoopSettings
) -> Any:
    """The live game of the session. Raises ConfigError for one that is not played live."""
    from metabonk.games.bonklink_line import Address
    from metabonk.games.offer_places import points
    from metabonk.play.live_games import ArenaLive, BonkLinkLive

    of = config.game
    if of.name == "research_shm":
        return _research(plan, config, frames, settings)
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
    return BonkLinkLive(places, of.protocol, token, frames, Address.axes, offers, settings.below())


def _research(plan: Plan, config: Config, frames: tuple[int, int], settings: LoopSettings) -> Any:
    from metabonk.link.research_shm import paths_of
    from metabonk.play.live_games import ResearchLive

    of = config.game
    paths = paths_of(of.instance, plan.agents, of.research_dir)
    return ResearchLive(paths, frames, priority=settings.below())

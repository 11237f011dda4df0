"""Live sessions for tests: short ones, quicker than the game's own pace, of a small policy.

They end when so much was decided and not after so much time: a machine that others use as well may
let none of a second's ticks happen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metabonk.games.arena import level_of
from metabonk.play.live_games import ArenaLive
from metabonk.play.loop import CompiledDecider, Decider, Live, LoopSettings, described
from metabonk.play.session import Session, Setup

HZ = 250.0


def session_at(directory: Path, frames: tuple[int, int] = (12, 16), agents: int = 1) -> Session:
    """A new session of the arena."""
    import msgspec

    setup = Setup(
        game="arena",
        hz=HZ,
        seeds=tuple(range(7, 7 + agents)),
        frames=frames,
        policy="test",
        artifact="",
        loop=described(LoopSettings(hz=HZ)),
        machine={},
        level=msgspec.to_builtins(level_of(None, 1)),
    )
    return Session.create(directory, setup)


def reach(live: Live, decisions: int) -> None:
    """Waits until every agent came to so many decisions, those that were refused included."""

    def reached() -> bool:
        counts = live.counts()["agents"]
        return all(seat["decided"] + seat["faults"] >= decisions for seat in counts)

    live.wait(reached, seconds=60.0, look=0.002)
    assert reached(), f"not {decisions} decisions in a minute: {live.counts()}"


def play(
    session: Session,
    policy: Path | Decider,
    decisions: int,
    meanwhile: Callable[[Live], None] | None = None,
    **settings: Any,
) -> Live:
    """Plays the arena with one policy for every agent until each came to so many decisions, and
    `meanwhile` is over; the stopped loop."""
    setup = session.setup
    deciders: list[Decider] = [
        CompiledDecider(policy) if isinstance(policy, Path) else policy for _ in setup.seeds
    ]
    if isinstance(policy, Path):
        session.keep_artifact(policy)
    game = ArenaLive(level_of(None, 1).pack(), setup.seeds, setup.frames, session, HZ)
    # A busy machine must not turn what is tested into held ticks.
    loop = {key: settings.pop(key) for key in ("record", "reference") if key in settings}
    chosen = LoopSettings(hz=HZ, cpu=-1, spin=0.0, stale=30.0, **settings)
    live = Live(game, deciders, chosen, session, **loop)
    live.start()
    try:
        if meanwhile is not None:
            meanwhile(live)
        reach(live, decisions)
    finally:
        live.stop()
    return live
